// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bounce.h"
#include "time_ns.h"
#include "logger.h"

/* A disk that failed is opened again after so long, then after twice that, and so on. */
#define RETRY_FIRST_US 1000000u
#define RETRY_LAST_US  30000000u

/*
 * A disk that is opened, or attached, for longer than this does not keep later ones from being attached,
 * and for longer than that, does not keep the server from being ready.
 */
#define SLOW_US	   10000000ull
#define OVERDUE_US 30000000ull

/* How often a disk that is in use at the end is looked at again. */
#define BUSY_RETRY_US	 1000000
#define BUSY_SOON_US	 100000
#define BUSY_QUIET_LOOKS 10 /* the first ones, soon one after the other and without a log line */

/* After a driver's reset or start: has another program changed what is on the bus? */
#define WATCH_US    300000
#define WATCH_LOOKS 20 /* for a node that does not come */

const char *disk_state_name(const struct disk *disk)
{
	static const char *const names[] = {
		[DISK_WAITING] = "waiting",	[DISK_OPENING] = "opening",
		[DISK_FAILED] = "failed",	[DISK_CREATED] = "created",
		[DISK_ATTACHING] = "attaching", [DISK_ATTACHED] = "attached",
		[DISK_UNBOUND] = "unbound",	[DISK_REMOVED] = "removed",
		[DISK_DETACHING] = "detaching", [DISK_BUSY] = "in-use",
		[DISK_CLOSING] = "closing",	[DISK_RELEASED] = "released",
		[DISK_GONE] = "gone",
	};

	return names[disk->state];
}

static void set_state(struct disk *disk, enum disk_state state)
{
	disk->state = state;
	if (state != DISK_GONE)
		disk->host->changed(disk->host, disk);
}

static void disk_gone(struct disk *disk)
{
	disk->state = DISK_GONE;
	disk->host->gone(disk->host, disk);
}

/* ---- opening ---- */

static void disk_open(struct disk *disk);

static void retry_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, timer);

	if (disk->state == DISK_FAILED)
		disk_open(disk);
}

static uint64_t retry_us(const struct disk *disk)
{
	unsigned int doublings = MIN(disk->failures - 1, 5u);

	return MIN(RETRY_FIRST_US << doublings, RETRY_LAST_US);
}

/* What failed is in @attempt. A reason is logged when it is a new one. */
static void disk_failed(struct disk *disk)
{
	if (strcmp(disk->attempt, disk->why))
		log_err("%s", disk->attempt);
	memcpy(disk->why, disk->attempt, sizeof(disk->why));
	disk->failures++;
	if (disk->config->rescue) {
		disk->host->failed = true;
		disk_gone(disk);
		return;
	}
	ring_timer_start(disk->host->ring, &disk->timer, retry_us(disk), retry_expired);
	set_state(disk, DISK_FAILED);
}

static void open_work(struct task *task)
{
	struct disk *disk = container_of(task, struct disk, opening);
	int *fds[TASK_DESCRIPTORS_MAX];
	unsigned int count;

	log_capture(disk->attempt);
	disk->result =
		device_open_store(&disk->device, disk->config, disk->host->config->runtime_dir);
	log_capture(NULL);
	if (disk->result)
		return;
	count = backend_descriptors(disk->device.backend, fds, ARRAY_SIZE(fds));
	for (unsigned int i = 0; i < count; i++)
		task_give(task, fds[i]);
}

static void disk_opened(struct disk *disk);

static void open_done(struct task *task)
{
	struct disk *disk = container_of(task, struct disk, opening);

	disk->host->tasks--;
	if (!disk->result && !task->lost)
		backend_moved(disk->device.backend);
	if (!disk->result && task->lost) {
		device_close_store(&disk->device);
		disk->result = -EMFILE;
		snprintf(disk->attempt, sizeof(disk->attempt), "%s: too many open files",
			 disk->config->name);
	}
	if (disk->result && !disk->attempt[0])
		snprintf(disk->attempt, sizeof(disk->attempt), "%s: cannot open %s: %s",
			 disk->config->name, disk->config->path, strerror(-disk->result));
	disk_opened(disk);
}

static void patience_expired(struct ring_timer *timer);

/* It begins to be opened or attached, or waits for another server to release it. */
static void be_patient(struct disk *disk)
{
	disk->slow = false;
	disk->since_ns = time_now_ns();
	ring_timer_start(disk->host->ring, &disk->patience, SLOW_US, patience_expired);
}

static void patience_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, patience);
	uint64_t took_us = (time_now_ns() - disk->since_ns) / 1000;
	uint64_t limit_us = disk->slow ? OVERDUE_US : SLOW_US;

	if (disk_is_settled(disk) || disk->state == DISK_GONE || disk->state == DISK_CREATED)
		return; /* one that waits for its turn has time */
	if (took_us >= limit_us) {
		disk->overdue = disk->slow;
		disk->slow = true;
		disk->host->changed(disk->host, disk);
		limit_us = OVERDUE_US;
	}
	if (!disk->overdue)
		ring_timer_start(disk->host->ring, &disk->patience,
				 took_us < limit_us ? limit_us - took_us : 0, patience_expired);
}

static void disk_open(struct disk *disk)
{
	int err;

	disk->device = (struct device){ .config = disk->config };
	disk->opening = (struct task){ .name = "open", .work = open_work, .done = open_done };
	be_patient(disk);
	set_state(disk, DISK_OPENING);
	err = task_start(&disk->opening, disk->host->ring);
	if (!err) {
		disk->host->tasks++;
		return;
	}
	snprintf(disk->attempt, sizeof(disk->attempt), "%s: cannot start a thread: %s",
		 disk->config->name, strerror(-err));
	disk_failed(disk);
}

void disk_start(struct disk *disk, bool held_by_other)
{
	if (!held_by_other) {
		disk_open(disk);
		return;
	}
	be_patient(disk);
	set_state(disk, DISK_WAITING);
}

void disk_released(struct disk *disk)
{
	if (disk->state == DISK_WAITING)
		disk_open(disk);
}

/* ---- the VDUSE device ---- */

/* In the hands of a driver when this server came. A rescue is to remove what it inherits. */
static bool disk_is_inherited(const struct disk *disk)
{
	enum vdpa_state state = vdpa_bus_state(disk->config->name);

	return vduse_dev_adopted(disk->device.dev) && !disk->config->rescue &&
	       (state == VDPA_BOUND || state == VDPA_REMOVING);
}

static void driver_changed(struct device *device);

static int disk_create(struct disk *disk)
{
	struct disk_host *host = disk->host;
	int err;

	disk->device.umem = bounce_is_ours(host->config, disk->config);
	log_capture(disk->attempt);
	err = device_create(&disk->device, host->config->runtime_dir, host->ring, host->workers,
			    host->worker_count, &host->next_worker);
	log_capture(NULL);
	if (err) {
		if (!disk->attempt[0])
			snprintf(disk->attempt, sizeof(disk->attempt),
				 "%s: cannot create the device: %s", disk->config->name,
				 strerror(-err));
		return err;
	}
	disk->device.driver_changed = driver_changed;
	disk->inherited = disk_is_inherited(disk);
	return 0;
}

static bool disk_obey(struct disk *disk);

/* A driver that waits has what it needs; a new device is attached when its turn comes. */
static void disk_created(struct disk *disk)
{
	set_state(disk, DISK_CREATED);
	if (disk->state == DISK_CREATED && vduse_dev_adopted(disk->device.dev) &&
	    !disk->config->rescue)
		disk_attach(disk);
}

/* Two sections may lead to one store by different paths; a device node has no lock of its own. */
static bool disk_has_rival(struct disk *disk)
{
	const struct disk *rival = disk->host->rival(disk->host, disk);

	if (rival)
		snprintf(
			disk->attempt, sizeof(disk->attempt),
			"%s: %s has the same bytes as [%s] serves from %s; accepted: readonly = yes "
			"in both, or slices (offset, size) that do not overlap",
			disk->config->name, disk->config->path, rival->config->name,
			rival->config->path);
	return rival;
}

static void disk_opened(struct disk *disk)
{
	if (disk->state == DISK_GONE) {
		if (!disk->result)
			device_close_store(&disk->device);
		return;
	}
	if (disk->handover) {
		if (!disk->result)
			device_close_store(&disk->device);
		disk_obey(disk);
	} else if (disk->result) {
		disk_failed(disk);
	} else if (disk_has_rival(disk) || disk_create(disk)) {
		device_close_store(&disk->device);
		disk_failed(disk);
	} else {
		disk_created(disk);
	}
}

/* ---- closing ---- */

static void disk_close(struct disk *disk);

static void disk_handed_over(struct disk *disk)
{
	struct handover *handover = disk->handover;

	disk->handover = NULL;
	set_state(disk, DISK_RELEASED);
	handover->done(handover, 0);
}

/* It left the vdpa bus. Linux 7.0 leaks memory where a device is put on the bus a second time. */
static void disk_make_anew(struct disk *disk)
{
	bool attach = !disk->unattached;

	disk->anew = disk->inherited = disk->unattached = false;
	if (device_destroy(&disk->device) || disk_create(disk)) {
		device_close_store(&disk->device);
		disk_failed(disk);
	} else if (vduse_dev_adopted(disk->device.dev)) {
		disk_created(disk); /* it was put on the bus again meanwhile */
	} else if (attach) {
		log_info("%s: was removed from the vdpa bus by another program; it is recreated",
			 disk->config->name);
		disk_attach(disk);
	} else {
		set_state(disk, DISK_REMOVED);
	}
}

static void disk_closed(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);
	bool failing = disk->failing;

	if (disk->anew && !disk->host->stopping && !disk->handover) {
		disk_make_anew(disk);
		return;
	}
	if (disk->left)
		device_abandon(device);
	else if (device_destroy(device) && !failing)
		disk->host->failed = true;
	device_close_store(device);
	disk->left = disk->anew = disk->failing = false;
	if (disk->handover) {
		disk_handed_over(disk);
	} else if (disk->host->stopping) {
		disk_gone(disk);
	} else if (disk->retake) {
		disk->retake = false;
		disk_open(disk);
	} else if (failing) {
		disk_failed(disk);
	} else {
		disk_gone(disk);
	}
}

static void disk_close(struct disk *disk)
{
	set_state(disk, DISK_CLOSING);
	device_close(&disk->device, disk_closed);
}

void disk_leave(struct disk *disk)
{
	switch (disk->state) {
	case DISK_WAITING:
	case DISK_OPENING:
	case DISK_FAILED:
	case DISK_RELEASED:
		disk_gone(disk);
		break;
	case DISK_CREATED:
	case DISK_ATTACHED:
	case DISK_UNBOUND:
	case DISK_REMOVED:
	case DISK_BUSY:
		disk->left = true;
		disk_close(disk);
		break;
	case DISK_ATTACHING: /* the end of the job calls disk_obey() */
	case DISK_DETACHING:
	case DISK_CLOSING:
	case DISK_GONE:
		break;
	}
}

void disk_hand_over(struct disk *disk, struct handover *handover)
{
	disk->handover = handover;
	disk->retake = false;
	handover->disk = disk;
	switch (disk->state) {
	case DISK_WAITING:
	case DISK_FAILED:
	case DISK_RELEASED:
		disk_handed_over(disk);
		break;
	case DISK_CREATED:
	case DISK_ATTACHED:
	case DISK_UNBOUND:
	case DISK_REMOVED:
	case DISK_BUSY:
		disk->left = true;
		disk_close(disk);
		break;
	case DISK_OPENING: /* the end of the task, or of the job, goes on */
	case DISK_ATTACHING:
	case DISK_DETACHING:
		break;
	case DISK_CLOSING:
	case DISK_GONE:
		disk->handover = NULL;
		handover->done(handover, -EBUSY);
		break;
	}
}

void disk_take_back(struct disk *disk)
{
	disk->handover = NULL;
	if (disk->state == DISK_RELEASED)
		disk_open(disk);
	else if (disk->state == DISK_CLOSING)
		disk->retake = true;
}

void disk_forget(struct disk *disk)
{
	if (disk->state == DISK_RELEASED)
		disk_gone(disk);
}

/* ---- detaching ---- */

static void disk_detached(struct attach_job *job);

static void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
			void (*finished)(struct attach_job *job))
{
	disk->job = (struct attach_job){
		.verb = verb,
		.name = disk->config->name,
		.driver = disk->config->driver,
		.finished = finished,
	};
	set_state(disk, state);
	attach_submit(&disk->job, disk->host->ring);
}

static void disk_detach(struct disk *disk)
{
	disk_submit(disk, disk->host->forced ? DETACH_FORCE : DETACH_UNUSED, DISK_DETACHING,
		    disk_detached);
}

static void say_busy(const struct disk *disk)
{
	/* After a start that failed, and for a rescue, the first signal is the second. */
	const char *end = disk->config->rescue || disk->host->failed ? "a signal"
								     : "a second signal";
	const struct attach_job *job = &disk->job;

	if (job->result == -EINPROGRESS)
		log_warn("%s: is being removed by another process; it is served until that has "
			 "ended, or until %s",
			 job->name, end);
	else
		log_warn("%s: %s is in use: %s; it is served until it is free, or until %s",
			 job->name, job->node, job->users, end);
}

static void busy_retry(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, timer);

	if (disk->state == DISK_BUSY && !disk->host->leaving)
		disk_stop(disk);
}

/* Served on, and tried again by and by; at once where a second signal has come meanwhile. */
static void disk_is_busy(struct disk *disk)
{
	bool forced = disk->host->forced;
	bool quiet = ++disk->busy_looks < BUSY_QUIET_LOOKS;

	set_state(disk, DISK_BUSY);
	/* A program that closes a disk it wrote to has udev look at the disk, for a moment. */
	if (disk->busy_looks == BUSY_QUIET_LOOKS && !forced)
		say_busy(disk);
	ring_timer_start(disk->host->ring, &disk->timer,
			 forced	 ? 0
			 : quiet ? BUSY_SOON_US
				 : BUSY_RETRY_US,
			 busy_retry);
}

static void disk_detached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);

	if ((job->result == -EBUSY || job->result == -EINPROGRESS) && job->verb == DETACH_UNUSED) {
		disk_is_busy(disk);
		if (disk->host->leaving)
			disk_leave(disk);
		return;
	}
	if (job->result) {
		disk->host->failed = true;
		disk->left = true;
		if (job->result == -EBUSY)
			log_err("%s: %s is still in use: %s; it is left in the kernel, unserved",
				job->name, job->node, job->users);
		if (job->result == -EINPROGRESS)
			log_err("%s: is still being removed by another process; it is left in the "
				"kernel, unserved",
				job->name);
	}
	disk_close(disk);
}

void disk_stop(struct disk *disk)
{
	switch (disk->state) {
	case DISK_WAITING:
	case DISK_OPENING:
	case DISK_FAILED:
		disk_gone(disk);
		break;
	case DISK_RELEASED: /* forgotten, or taken back and then detached */
		break;
	case DISK_CREATED:
		if (vduse_dev_adopted(disk->device.dev))
			disk_detach(disk); /* its users may be there still */
		else
			disk_close(disk);
		break;
	case DISK_ATTACHED:
	case DISK_UNBOUND:
	case DISK_REMOVED: /* it may be on the bus again */
		disk_detach(disk);
		break;
	case DISK_BUSY:
		ring_timer_hurry(disk->host->ring, &disk->timer);
		disk_detach(disk);
		break;
	case DISK_ATTACHING: /* the end of the job calls disk_obey() */
	case DISK_DETACHING:
	case DISK_CLOSING:
	case DISK_GONE:
		break;
	}
}

/* ---- attaching ---- */

/* Was it told to go while it could not? Return: it goes, or waits for another server */
static bool disk_obey(struct disk *disk)
{
	if (disk->host->leaving) {
		disk_leave(disk);
	} else if (disk->handover) {
		if (disk->state == DISK_OPENING)
			disk_handed_over(disk);
		else
			disk_hand_over(disk, disk->handover);
	} else if (disk->host->stopping) {
		disk_stop(disk);
	} else {
		return false;
	}
	return true;
}

static void attach_retry(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, timer);

	if (disk->state == DISK_CREATED && !disk->host->stopping)
		disk_attach(disk);
}

/*
 * Another program takes a disk of an earlier server away, and waits in the kernel for what we serve.
 * It can be put on the bus again when that has ended.
 */
static void disk_await_removal(struct disk *disk)
{
	if (disk->job.result == -ESTALE) {
		disk->anew = true;
		disk_close(disk);
		return;
	}
	if (!disk->said_removal)
		log_info("%s: is being removed by another process; it is served until that has "
			 "ended",
			 disk->job.name);
	disk->said_removal = true;
	ring_timer_start(disk->host->ring, &disk->timer, BUSY_SOON_US, attach_retry);
}

/* Its own device goes again; one that an earlier server attached stays, for the next attempt. */
static void disk_attach_failed(struct disk *disk)
{
	if (disk->job.error[0])
		memcpy(disk->attempt, disk->job.error, sizeof(disk->attempt));
	else
		snprintf(disk->attempt, sizeof(disk->attempt), "%s: cannot attach: %s",
			 disk->config->name, strerror(-disk->job.result));
	disk->failing = true;
	disk->left = disk->inherited;
	disk_close(disk);
}

static void say_attached(struct disk *disk)
{
	logger_output("%s %s\n", disk->config->name, disk->job.node);
	if (disk->failures)
		log_info("%s: is served after %u failed attempts", disk->config->name,
			 disk->failures);
	disk->failures = 0;
	disk->why[0] = disk->attempt[0] = '\0';
}

static void disk_attached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);

	disk->state = job->result ? DISK_CREATED : DISK_ATTACHED;
	if (disk_obey(disk))
		return;
	if (job->result == -EINPROGRESS || job->result == -ESTALE) {
		disk_await_removal(disk);
	} else if (job->result) {
		disk_attach_failed(disk);
	} else {
		say_attached(disk);
		set_state(disk, DISK_ATTACHED);
	}
}

void disk_attach(struct disk *disk)
{
	be_patient(disk);
	disk_submit(disk, vduse_dev_adopted(disk->device.dev) ? ADOPT : ATTACH, DISK_ATTACHING,
		    disk_attached);
}

bool disk_wants_turn(const struct disk *disk)
{
	return disk->state == DISK_CREATED && !disk->timer.active;
}

bool disk_is_settled(const struct disk *disk)
{
	switch (disk->state) {
	case DISK_OPENING:
		return disk->failures;
	case DISK_CLOSING:
		return !disk->failing;
	case DISK_WAITING:
	case DISK_CREATED:
	case DISK_ATTACHING:
		return false;
	default:
		return true;
	}
}

/* ---- other programs ---- */

static void disk_watch(struct disk *disk);

static void disk_was_removed(struct disk *disk)
{
	log_warn("%s: another program removed it from the vdpa bus: it is attached no more; 'vdpa "
		 "dev add name %s mgmtdev vduse' attaches it again",
		 disk->config->name, disk->config->name);
	disk->job.node[0] = '\0';
	disk->anew = disk->unattached = true;
	disk_close(disk);
}

static void disk_was_unbound(struct disk *disk)
{
	log_warn("%s: another program unbound its driver: %s is gone", disk->config->name,
		 disk->job.node);
	disk->job.node[0] = '\0';
	set_state(disk, DISK_UNBOUND);
}

static void disk_was_bound(struct disk *disk)
{
	char node[VDPA_NODE_MAX];

	if (vdpa_bus_node(disk->config->name, node)) {
		if (++disk->watch_looks < WATCH_LOOKS)
			disk_watch(disk);
		return;
	}
	if (disk->state == DISK_ATTACHED && !strcmp(node, disk->job.node))
		return;
	log_info("%s: another program attached it", disk->config->name);
	memcpy(disk->job.node, node, sizeof(node));
	say_attached(disk);
	set_state(disk, DISK_ATTACHED);
}

static void watch_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, watch);

	if (disk->host->stopping || disk->handover ||
	    (disk->state != DISK_ATTACHED && disk->state != DISK_UNBOUND &&
	     disk->state != DISK_REMOVED))
		return;
	switch (vdpa_bus_state(disk->config->name)) {
	case VDPA_ABSENT:
		if (disk->state != DISK_REMOVED)
			disk_was_removed(disk);
		break;
	case VDPA_REMOVING:
		disk_watch(disk);
		break;
	case VDPA_UNBOUND:
		if (disk->state == DISK_ATTACHED)
			disk_was_unbound(disk);
		break;
	case VDPA_BOUND:
		disk_was_bound(disk);
		break;
	}
}

static void disk_watch(struct disk *disk)
{
	ring_timer_start(disk->host->ring, &disk->watch, WATCH_US, watch_expired);
}

/* A driver was reset, or started: that may be all we hear of a program that changes the bus. */
static void driver_changed(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);

	disk->watch_looks = 0;
	disk_watch(disk);
}
