// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_steps.h"

#include <errno.h>

#include "log.h"

/*
 * Times between two attempts to detach a disk in use. The first attempts have a short time between them,
 * and log nothing: when a program closes a disk after writing, udev opens the disk for a moment.
 */
#define BUSY_RETRY_US	  1000000
#define BUSY_SOON_US	  100000
#define BUSY_QUIET_CHECKS 10

static void detach_finished(struct attach_job *job);

static void disk_detach(struct disk *disk)
{
	disk_submit(disk, disk_goal(disk) == DISK_DETACH_FORCED ? DETACH_FORCE : DETACH_UNUSED,
		    DISK_DETACHING, detach_finished);
}

static void warn_busy(const struct disk *disk)
{
	/* After a failed start, and in a rescue, detaching began without a signal. */
	const char *end = disk->host->rescue || disk->host->failed ? "a signal" : "a second signal";
	const struct attach_job *job = &disk->job;

	if (job->result == -EINPROGRESS)
		log_warn("%s: is being removed by another process; it is served until the removal "
			 "has ended, or until %s",
			 job->name, end);
	else
		log_warn("%s: %s is in use: %s; it is served until it is no longer in use, or "
			 "until %s",
			 job->name, job->node, job->users, end);
}

/* Serves the disk meanwhile. A second signal may have arrived: then the next attempt is at once. */
static void retry_busy(struct disk *disk)
{
	bool forced = disk_goal(disk) == DISK_DETACH_FORCED;
	uint64_t delay_us = BUSY_RETRY_US;

	if (++disk->busy_checks < BUSY_QUIET_CHECKS)
		delay_us = BUSY_SOON_US;
	disk_set_state(disk, DISK_BUSY);
	if (disk->busy_checks == BUSY_QUIET_CHECKS && !forced)
		warn_busy(disk);
	disk_timer_start(disk, forced ? 0 : delay_us);
}

/* Checks the bus, too: another program may have changed it meanwhile. */
void disk_serve_again(struct disk *disk)
{
	disk->busy_checks = 0;
	disk_set_state(disk, DISK_ATTACHED);
	disk_driver_changed(&disk->device);
}

static void detach_finished(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);

	if ((job->result == -EBUSY || job->result == -EINPROGRESS) && job->verb == DETACH_UNUSED) {
		retry_busy(disk);
		if (disk_goal(disk) == DISK_SERVE)
			disk_serve_again(disk);
		else if (disk_goal(disk) == DISK_LEAVE)
			disk_apply_goal(disk);
		else if (disk_is_releasing(disk))
			disk_release_step(disk);
		return;
	}
	if (job->result) {
		disk->host->failed = true;
		disk->detach_error = job->result;
		disk->left = true;
		if (job->result == -EBUSY)
			log_err("%s: %s is still in use: %s; it is left in the kernel without a "
				"server; to serve its requests: vduse-blk serve",
				job->name, job->node, job->users);
		if (job->result == -EINPROGRESS)
			log_err("%s: is still being removed by another process; it is left in the "
				"kernel without a server; to serve its requests: vduse-blk serve",
				job->name);
	}
	disk_close(disk);
}

/* The disk has no device here. A disk that was taken back is on the bus: only a device can detach it. */
static void stop_opening(struct disk *disk)
{
	if (disk->taken_back && disk_goal(disk) != DISK_DETACH_FORCED)
		return;
	if (disk->taken_back) {
		disk->host->failed = true;
		disk->detach_error = -EBUSY;
		log_err("%s: could not be opened again after a cancelled takeover; it is left in "
			"the kernel without a server; to serve its requests: vduse-blk serve",
			disk->config->name);
	}
	disk_end(disk);
}

void disk_detach_step(struct disk *disk)
{
	switch (disk->state) {
	case DISK_WAITING:
	case DISK_OPENING:
	case DISK_FAILED:
		stop_opening(disk);
		break;
	case DISK_RELEASED: /* disk_forget() or disk_take_back() continues */
		break;
	case DISK_CREATED:
		if (device_adopted(&disk->device))
			disk_detach(disk); /* it may be in use */
		else if (disk->connection.fds[0] >= 0 && disk_goal(disk) == DISK_DETACH)
			disk_attach(disk); /* a front end uses it: only a device can tell */
		else
			disk_close(disk);
		break;
	case DISK_ATTACHED:
	case DISK_UNBOUND:
	case DISK_REMOVED: /* another program may have added it to the bus again */
		disk_detach(disk);
		break;
	case DISK_BUSY:
		ring_timer_expire_now(disk->host->ring, &disk->timer);
		disk_detach(disk);
		break;
	case DISK_ATTACHING: /* the end of the job calls disk_apply_requests() */
	case DISK_DETACHING:
	case DISK_CLOSING:
	case DISK_GONE:
		break;
	}
}
