// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/front_end.h"
#include "frontend/bounce.h"
#include "disk_steps.h"
#include "time_ns.h"

/* The time until a failed disk is opened again: it doubles after each failure, up to the last. */
#define RETRY_FIRST_US 1000000u
#define RETRY_LAST_US  30000000u

/*
 * When opening or attaching a disk takes longer than SLOW_US, the next disks are attached before
 * it. When it takes longer than OVERDUE_US, the start ends without it.
 */
#define SLOW_US	   10000000ull
#define OVERDUE_US 30000000ull

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

struct disk *disk_new(struct disk_host *host, const struct device_config *config)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->config = config_device_new(config);
	if (!disk->config) {
		free(disk);
		return NULL;
	}
	disk->host = host;
	disk->connection.fds[0] = disk->connection.fds[1] = -1;
	disk->state = DISK_OPENING;
	return disk;
}

void disk_free(struct disk *disk)
{
	config_device_free(disk->config);
	free(disk);
}

bool disk_is_unused(const struct disk *disk)
{
	return disk->state == DISK_GONE && !disk->tasks && !disk->timer.active &&
	       !disk->slow_timer.active && !disk->watch.active;
}

void disk_set_state(struct disk *disk, enum disk_state state)
{
	disk->state = state;
	if (state != DISK_GONE)
		disk->host->changed(disk->host, disk);
}

void disk_end(struct disk *disk)
{
	struct ring *ring = disk->host->ring;

	disk->state = DISK_GONE;
	disk_drop_connection(disk);
	ring_timer_expire_now(ring, &disk->timer);
	ring_timer_expire_now(ring, &disk->slow_timer);
	ring_timer_expire_now(ring, &disk->watch);
	disk->host->gone(disk->host, disk);
	if (disk_is_releasing(disk)) /* a task may still open the store, and will close it */
		disk_command_finish(disk, disk->tasks ? -EBUSY : 0);
	else
		disk_command_finish(disk, disk->detach_error);
}

enum control_owner disk_owner(const struct disk *disk)
{
	switch (disk->state) {
	case DISK_WAITING:
	case DISK_OPENING:
	case DISK_FAILED:
	case DISK_RELEASED:
	case DISK_GONE:
		return CONTROL_OWNER_NONE;
	case DISK_ATTACHED:
	case DISK_UNBOUND:
	case DISK_REMOVED:
		return CONTROL_OWNER_KEEPS;
	case DISK_CREATED:
	case DISK_ATTACHING:
	case DISK_DETACHING:
	case DISK_BUSY:
	case DISK_CLOSING:
		break;
	}
	return CONTROL_OWNER_HAS;
}

bool disk_wants_turn(const struct disk *disk)
{
	return disk->state == DISK_CREATED && !disk->timer.active;
}

bool disk_start_ended(const struct disk *disk)
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
		return !disk->resuming;
	}
}

/* The current state decides, although an earlier state may have started the timer. */
static void timer_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, timer);

	if (disk->state == DISK_FAILED)
		disk_open(disk);
	else if (disk->state == DISK_CREATED && disk_goal(disk) == DISK_SERVE)
		disk_attach(disk);
	else if (disk->state == DISK_BUSY && disk_goal(disk) != DISK_LEAVE)
		disk_detach_step(disk);
}

void disk_timer_start(struct disk *disk, uint64_t us)
{
	if (disk->timer.active) /* an earlier state started it, perhaps with a longer time */
		ring_timer_expire_now(disk->host->ring, &disk->timer);
	else
		ring_timer_start(disk->host->ring, &disk->timer, us, timer_expired);
}

/* ---- opening ---- */

static uint64_t retry_us(const struct disk *disk)
{
	unsigned int doublings = MIN(disk->failures - 1, 5u);

	return MIN(RETRY_FIRST_US << doublings, RETRY_LAST_US);
}

/* Logs @attempt unless the last failure had the same reason. */
void disk_failed(struct disk *disk)
{
	if (strcmp(disk->attempt, disk->why))
		log_err("%s", disk->attempt);
	memcpy(disk->why, disk->attempt, sizeof(disk->why));
	disk->failures++;
	if (disk->host->rescue) {
		disk->host->failed = true;
		disk_end(disk);
		return;
	}
	disk_timer_start(disk, retry_us(disk));
	disk_set_state(disk, DISK_FAILED);
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

static void open_finished(struct disk *disk);

static void open_done(struct task *task)
{
	struct disk *disk = container_of(task, struct disk, opening);

	disk->tasks--;
	disk->host->tasks--;
	if (!disk->result && !task->lost)
		backend_moved(disk->device.backend);
	if (!disk->result && task->lost) {
		disk->result = -EMFILE;
		snprintf(disk->attempt, sizeof(disk->attempt), "%s: too many open files",
			 disk->config->name);
	}
	if (disk->result && !disk->attempt[0])
		snprintf(disk->attempt, sizeof(disk->attempt), "%s: cannot open %s: %s",
			 disk->config->name, disk->config->path, strerror(-disk->result));
	open_finished(disk);
}

static void slow_expired(struct ring_timer *timer);

/* Called when the disk begins to open, to attach, or to wait for another server. */
void disk_time_start(struct disk *disk)
{
	disk->slow = false;
	disk->since_ns = time_now_ns();
	ring_timer_start(disk->host->ring, &disk->slow_timer, SLOW_US, slow_expired);
}

static void slow_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, slow_timer);
	uint64_t took_us = (time_now_ns() - disk->since_ns) / 1000;
	uint64_t limit_us = disk->slow ? OVERDUE_US : SLOW_US;

	if (disk_start_ended(disk) || disk->state == DISK_GONE || disk->state == DISK_CREATED)
		return; /* a CREATED disk waits for its turn: this time does not count */
	if (took_us >= limit_us) {
		disk->overdue = disk->slow;
		disk->slow = true;
		disk->host->changed(disk->host, disk);
		limit_us = OVERDUE_US;
	}
	if (!disk->overdue)
		ring_timer_start(disk->host->ring, &disk->slow_timer,
				 took_us < limit_us ? limit_us - took_us : 0, slow_expired);
}

void disk_open(struct disk *disk)
{
	int err;

	disk_reclaim_connection(disk);
	disk->device = (struct device){ .config = disk->config, .connection = &disk->connection };
	disk->opening = (struct task){ .name = "open", .work = open_work, .done = open_done };
	ring_timer_expire_now(disk->host->ring,
			      &disk->timer); /* disk_wants_turn() needs it stopped */
	disk_time_start(disk);
	disk_set_state(disk, DISK_OPENING);
	err = task_start(&disk->opening, disk->host->ring);
	if (!err) {
		disk->tasks++;
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
	disk_time_start(disk);
	disk_set_state(disk, DISK_WAITING);
}

void disk_released(struct disk *disk)
{
	if (disk->state == DISK_WAITING)
		disk_open(disk);
}

/* ---- the VDUSE device ---- */

/* Did the device have a driver when this server adopted it? False in a rescue, which removes it. */
static bool is_inherited(const struct disk *disk)
{
	enum vdpa_state state;

	if (!device_adopted(&disk->device) || disk->host->rescue)
		return false;
	state = vdpa_bus_state(disk->config->name);
	return state == VDPA_BOUND || state == VDPA_REMOVING;
}

int disk_create(struct disk *disk)
{
	struct disk_host *host = disk->host;
	int err;

	disk->device.umem = bounce_wants_umem(host->config, disk->config);
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
	disk->device.driver_changed = disk_driver_changed;
	disk->device.resumed = disk_resumed;
	disk->inherited = is_inherited(disk);
	return 0;
}

/*
 * The kernel numbers the nodes of new devices in the order in which they are attached, so they wait for
 * their turn. An adopted device has its node, and its driver waits; a socket has no number.
 */
void disk_created(struct disk *disk)
{
	disk_set_state(disk, DISK_CREATED);
	if (disk->state != DISK_CREATED)
		return;
	if (device_adopted(&disk->device) && !disk->host->rescue)
		disk_attach(disk);
	else if (disk_goal(disk) != DISK_SERVE)
		disk_detach_step(disk); /* taken back, but another program had removed the device */
	else if (!front_end_of(disk->config->driver)->vdpa)
		disk_attach(disk);
}

/* Two sections may have different paths to one store. Locks of one process do not conflict. */
static bool has_rival(struct disk *disk)
{
	const struct disk *rival = disk->host->rival(disk->host, disk);

	if (rival)
		snprintf(disk->attempt, sizeof(disk->attempt),
			 "%s: %s shares bytes with disk %s (%s); accepted: readonly = yes in both, "
			 "or extents (offset, size) that do not overlap",
			 disk->config->name, disk->config->path, rival->config->name,
			 rival->config->path);
	return rival;
}

/* Meanwhile a release may have been requested, or cancelled: then @attempt is empty. */
static void opening_failed(struct disk *disk)
{
	if (disk->state == DISK_GONE)
		return;
	if (disk_is_releasing(disk))
		disk_apply_requests(disk);
	else if (disk->attempt[0])
		disk_failed(disk);
	else
		disk_open(disk);
}

static void open_finished(struct disk *disk)
{
	if (disk->state == DISK_GONE || disk_is_releasing(disk) || disk->result ||
	    has_rival(disk) || disk_create(disk))
		disk_close_store(disk, opening_failed);
	else
		disk_created(disk);
}
