// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "frontend/vhost_user_device.h"
#include "process/logger.h"

/* How often to check whether the removal by another process has ended. */
#define REMOVAL_CHECK_US 100000

void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
		 void (*finished)(struct attach_job *job))
{
	disk->job = (struct attach_job){
		.verb = verb,
		.name = disk->config->name,
		.driver = disk->config->driver,
		.listener = vhost_user_listener_of(&disk->device),
		.front_end = vhost_user_front_end(&disk->device),
		.finished = finished,
	};
	if (disk->job.listener && !disk->job.listener->inherited)
		strcpy(disk->job.node, disk->job.listener->path);
	disk_set_state(disk, state);
	attach_submit(&disk->job, disk->host->ring);
}

/*
 * Another program is removing the device of a former server. The removal waits for requests of the
 * disk, which this server serves. When the removal has ended, the device is recreated.
 */
static void await_removal(struct disk *disk)
{
	if (disk->job.result == -ESTALE) {
		disk->recreate = true;
		disk_close(disk);
		return;
	}
	if (!disk->removal_logged)
		log_info("%s: is being removed by another process; it is served until the removal "
			 "has ended",
			 disk->job.name);
	disk->removal_logged = true;
	disk_timer_start(disk, REMOVAL_CHECK_US);
}

/* Destroys a new device. Keeps a device that a former server attached, for the next attempt. */
static void attach_failed(struct disk *disk)
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

void disk_report_attached(struct disk *disk)
{
	logger_output("%s %s\n", disk->config->name, disk->job.node);
	if (disk->failures)
		log_info("%s: is served after %u failed attempts", disk->config->name,
			 disk->failures);
	disk->failures = 0;
	disk->why[0] = disk->attempt[0] = '\0';
}

static void attached(struct disk *disk)
{
	disk_report_attached(disk);
	disk_set_state(disk, DISK_ATTACHED);
}

static void attach_finished(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);

	disk->state = job->result ? DISK_CREATED : DISK_ATTACHED;
	disk->taken_back = disk->taken_back && job->result;
	if (!job->result && job->listener) {
		disk->resuming = vhost_user_resuming(&disk->device);
		vhost_user_listening(&disk->device);
	}
	if (disk_apply_requests(disk))
		return;
	if (job->result == -EINPROGRESS || job->result == -ESTALE) {
		await_removal(disk);
	} else if (job->result) {
		attach_failed(disk);
	} else if (!disk->resuming) {
		attached(disk);
	}
}

/*
 * If this server could not receive what the front end has said, the former server takes the connection back.
 * If it was refused, the former server would refuse it too: the front end must connect again, and no other
 * disk waits for that. The disk may be in use meanwhile, by a detach that is tried again.
 */
void disk_resumed(struct device *device, int err)
{
	struct disk *disk = container_of(device, struct disk, device);

	if (!disk->resuming)
		return;
	disk->resuming = false;
	disk_end_handover(disk);
	if (disk->state != DISK_ATTACHED)
		return;
	if (!err || err == -EPROTO || !disk->connection.held) {
		attached(disk);
		return;
	}
	snprintf(disk->attempt, sizeof(disk->attempt),
		 "%s: cannot continue the connection to the front end", disk->config->name);
	disk->failing = true;
	disk_close(disk);
}

void disk_attach(struct disk *disk)
{
	disk_time_start(disk);
	disk_submit(disk, device_adopted(&disk->device) ? ADOPT : ATTACH, DISK_ATTACHING,
		    attach_finished);
}
