// SPDX-License-Identifier: GPL-2.0-or-later
#include "disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounce.h"
#include "log.h"
#include "notify.h"
#include "umem.h"

/* How often a disk that is in use at the end is looked at again. */
#define BUSY_RETRY_US	 1000000
#define BUSY_SOON_US	 100000
#define BUSY_QUIET_LOOKS 10 /* the first ones, soon after another and without a word */

int disks_open(struct disks *disks, const struct config *config)
{
	int err;

	disks->config = config;
	disks->all = calloc(config->device_count, sizeof(*disks->all));
	if (!disks->all)
		return -ENOMEM;
	for (size_t i = 0; i < config->device_count; i++) {
		struct disk *disk = &disks->all[i];

		err = device_open_store(&disk->device, &config->devices[i], config->runtime_dir);
		if (err)
			return err;
		disk->disks = disks;
		disk->device.umem = bounce_is_ours(config, &config->devices[i]);
		disks->count++;
	}
	return 0;
}

int disks_examine(const struct config *config)
{
	int err = 0;

	for (size_t i = 0; i < config->device_count && !err; i++)
		err = device_examine(&config->devices[i], config->runtime_dir);
	return err;
}

void disks_close(struct disks *disks)
{
	umem_unreserve();
	for (size_t i = 0; i < disks->count; i++)
		device_close_store(&disks->all[i].device); /* those that were never created */
	free(disks->all);
}

static void disk_gone(struct disk *disk)
{
	disk->state = DISK_GONE;
	disk->disks->remaining--;
}

/* In the hands of a driver when this server came. A rescue is to remove what it inherits. */
static bool disk_is_inherited(const struct disk *disk)
{
	enum vdpa_state state = vdpa_bus_state(disk->device.config->name);

	return vduse_dev_adopted(disk->device.dev) && !disk->device.config->rescue &&
	       (state == VDPA_BOUND || state == VDPA_REMOVING);
}

static int disk_create(struct disk *disk)
{
	struct disks *disks = disk->disks;
	int err = device_create(&disk->device, disks->config->runtime_dir, disks->ring,
				disks->workers, disks->worker_count, &disks->next_worker);

	if (err)
		return err;
	disk->state = DISK_CREATED;
	disk->inherited = disk_is_inherited(disk);
	return 0;
}

static void disk_attach(struct disk *disk);
static void give_up(struct disks *disks);

/* Linux 7.0 leaks memory where a device is put on the bus a second time. */
static void disk_make_anew(struct disk *disk)
{
	disk->anew = disk->inherited = false;
	if (device_destroy(&disk->device) || disk_create(disk)) {
		device_close_store(&disk->device);
		disk_gone(disk);
		give_up(disk->disks);
		return;
	}
	log_info("%s: it is gone, and made again", disk->device.config->name);
	disk_attach(disk);
}

static void disk_closed(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);

	if (disk->anew && !disk->disks->stopping) {
		disk_make_anew(disk);
		return;
	}
	if (disk->left)
		device_abandon(device);
	else if (device_destroy(device))
		disk->disks->failed = true;
	device_close_store(device);
	disk_gone(disk);
}

static void disk_close(struct disk *disk)
{
	disk->state = DISK_CLOSING;
	device_close(&disk->device, disk_closed);
}

static void disk_leave(struct disk *disk)
{
	switch (disk->state) {
	case DISK_STORE_OPEN:
		disk_gone(disk);
		break;
	case DISK_CREATED:
	case DISK_ATTACHED:
	case DISK_BUSY:
		disk->left = true;
		disk_close(disk);
		break;
	case DISK_ATTACHING: /* disk_attached() and disk_detached() see that we are leaving */
	case DISK_DETACHING:
	case DISK_CLOSING:
	case DISK_GONE:
		break;
	}
}

static void leave_all(struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		disk_leave(&disks->all[i]);
}

static void busy_retry(struct ring_timer *timer);

static void say_busy(const struct disk *disk)
{
	/* After a start that failed, and for a rescue, the first signal is the second. */
	const char *end = disk->device.config->rescue || disk->disks->failed ? "a signal"
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

/* Kept, looked at again by and by; where a second signal has come meanwhile, taken away. */
static void disk_is_busy(struct disk *disk)
{
	struct disks *disks = disk->disks;

	disk->state = DISK_BUSY;
	disk->busy_looks++;
	/* Who closes a disk that was written has udev look at it, for a moment. */
	if (disk->busy_looks == BUSY_QUIET_LOOKS && !disks->forced)
		say_busy(disk);
	ring_timer_start(disks->ring, &disks->busy_retry,
			 disks->forced			       ? 0
			 : disk->busy_looks < BUSY_QUIET_LOOKS ? BUSY_SOON_US
							       : BUSY_RETRY_US,
			 busy_retry);
}

static void disk_detached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);
	struct disks *disks = disk->disks;

	if ((job->result == -EBUSY || job->result == -EINPROGRESS) && job->verb == DETACH_UNUSED) {
		disk_is_busy(disk);
		if (disks->leaving)
			disk_leave(disk);
		return;
	}
	if (job->result) {
		disks->failed = true;
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

static void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
			void (*finished)(struct attach_job *job))
{
	const struct device_config *config = disk->device.config;

	disk->state = state;
	disk->job = (struct attach_job){
		.verb = verb,
		.name = config->name,
		.driver = config->driver,
		.finished = finished,
	};
	attach_submit(&disk->disks->attach, &disk->job);
}

static void disk_detach(struct disk *disk, enum attach_verb verb)
{
	disk_submit(disk, verb, DISK_DETACHING, disk_detached);
}

/* An earlier server attached it, and its users may be there still; or somebody takes it away. */
static bool disk_was_attached(const struct disk *disk)
{
	return vduse_dev_adopted(disk->device.dev);
}

/* Sends away what is still there, last attached first. */
static void stop_all(struct disks *disks)
{
	enum attach_verb verb = disks->forced ? DETACH_FORCE : DETACH_UNUSED;

	for (size_t i = disks->count; i-- > 0;) {
		struct disk *disk = &disks->all[i];

		switch (disk->state) {
		case DISK_STORE_OPEN:
			disk_gone(disk);
			break;
		case DISK_CREATED:
			if (disk_was_attached(disk))
				disk_detach(disk, verb);
			else
				disk_close(disk);
			break;
		case DISK_ATTACHED:
		case DISK_BUSY:
			disk_detach(disk, verb);
			break;
		case DISK_ATTACHING: /* disk_attached() sees that we are stopping */
		case DISK_DETACHING:
		case DISK_CLOSING:
		case DISK_GONE:
			break;
		}
	}
}

static void busy_retry(struct ring_timer *timer)
{
	struct disks *disks = container_of(timer, struct disks, busy_retry);

	if (!disks->leaving)
		stop_all(disks);
}

void disks_stop(struct disks *disks, bool force)
{
	if (disks->leaving)
		return;
	if (!disks->stopping)
		notify_stopping();
	disks->forced |= force;
	disks->stopping = true;
	stop_all(disks);
}

void disks_leave(struct disks *disks)
{
	if (disks->leaving)
		return;
	log_info("leaving all disks as they are");
	disks->leaving = true;
	disks->stopping = true;
	leave_all(disks);
}

/*
 * The start has failed. What an earlier server attached stays as it was, with whoever uses it, for
 * a server that can go on with it; what this one made goes again.
 */
static void give_up(struct disks *disks)
{
	disks->failed = true;
	for (size_t i = 0; i < disks->count; i++) {
		struct disk *disk = &disks->all[i];

		if (!disk->inherited)
			continue;
		log_warn("%s: is left attached and unserved: start a server that can go on with it",
			 disk->device.config->name);
		disk_leave(disk);
	}
	disks_stop(disks, false);
}

static void attach_retry(struct ring_timer *timer)
{
	struct disks *disks = container_of(timer, struct disks, attach_retry);

	if (!disks->stopping)
		disk_attach(&disks->all[disks->attached]);
}

/*
 * Somebody takes a disk of an earlier server away, and waits in the kernel for what we serve. It
 * can be put on the bus again when that has ended.
 */
static void disk_await_removal(struct disk *disk)
{
	struct disks *disks = disk->disks;

	disk->state = DISK_CREATED;
	if (disks->leaving) {
		disk_leave(disk);
	} else if (disks->stopping) {
		stop_all(disks);
	} else if (disk->job.result == -ESTALE) {
		disk->anew = true;
		disk_close(disk);
	} else {
		if (!disk->said_removal)
			log_info("%s: is being removed by another process; it is served until "
				 "that has ended",
				 disk->job.name);
		disk->said_removal = true;
		ring_timer_start(disks->ring, &disks->attach_retry, BUSY_SOON_US, attach_retry);
	}
}

static void disk_attached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);
	struct disks *disks = disk->disks;

	if (job->result == -EINPROGRESS || job->result == -ESTALE) {
		disk_await_removal(disk);
		return;
	}
	if (job->result) {
		disks->failed = true;
		disk->state = DISK_CREATED;
		if (disks->leaving)
			disk_leave(disk);
		else if (disks->stopping)
			stop_all(disks);
		else
			give_up(disks);
		return;
	}
	disk->state = DISK_ATTACHED;
	if (disks->leaving) {
		disk_leave(disk);
		return;
	}
	if (disks->stopping) {
		stop_all(disks);
		return;
	}
	printf("%s %s\n", job->name, job->node);
	fflush(stdout);
	disks->attached++;
	if (disks->attached < disks->count)
		disk_attach(&disks->all[disks->attached]);
	else
		notify_ready(disks->count);
}

static void disk_attach(struct disk *disk)
{
	disk_submit(disk, disk_was_attached(disk) ? ADOPT : ATTACH, DISK_ATTACHING, disk_attached);
}

static int create_devices(struct disks *disks)
{
	int err = 0;

	for (size_t i = 0; i < disks->count && !err; i++)
		err = disk_create(&disks->all[i]);
	return err;
}

void disks_start(struct disks *disks, struct worker *workers, unsigned int worker_count)
{
	disks->remaining = disks->count;
	disks->workers = workers;
	disks->worker_count = worker_count;
	if (create_devices(disks))
		give_up(disks);
	else if (disks->config->devices[0].rescue)
		disks_stop(disks, false);
	else
		disk_attach(&disks->all[0]);
}
