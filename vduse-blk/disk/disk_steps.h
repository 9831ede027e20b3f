/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a disk's state machine that its files share; callers use disk.h. Main thread.
 *
 *     disk          states; opens the store, creates the VDUSE device
 *     disk_attach   adds the device to the vdpa bus and binds the driver
 *     disk_watch    detects changes that other programs make on the bus
 *     disk_detach   removes the device from the bus, when the disk is not in use
 *     disk_close    closes the device and the store: to end, to leave it, to release it, to retry
 *     disk_command  the release to a new server, and a removal by a command
 *     disk_connection  the connection to its front end, which a release passes to the new server
 *
 * A step may end the disk or begin the next state: its caller returns at once.
 */
#ifndef VDUSE_BLK_DISK_STEPS_H
#define VDUSE_BLK_DISK_STEPS_H

#include "disk.h"
#include "disk_command.h"
#include "frontend/vhost_user_device.h"

/** disk_set_state() - change the state, and call host->changed. For DISK_GONE: disk_end() */
void disk_set_state(struct disk *disk, enum disk_state state);

/** disk_end() - everything is closed: change to GONE */
void disk_end(struct disk *disk);

/** disk_time_start() - a step of the start begins: measure its time, for @slow and @overdue */
void disk_time_start(struct disk *disk);

/**
 * disk_timer_start() - after @us microseconds retry: FAILED opens the store, CREATED attaches the
 * disk, BUSY detaches it. Retries at once if the timer of an earlier state still runs
 */
void disk_timer_start(struct disk *disk, uint64_t us);

/** disk_open() - open the store, in a task */
void disk_open(struct disk *disk);

/** disk_create() - create or adopt the VDUSE device. Return: 0; -errno, the reason in @attempt */
int __must_check disk_create(struct disk *disk);

/** disk_created() - change to CREATED; attach an adopted device at once, since its driver waits */
void disk_created(struct disk *disk);

/** disk_failed() - change to FAILED; try again later. Nothing is open; @attempt has the reason */
void disk_failed(struct disk *disk);

/** disk_submit() - start a task with a job on the vdpa bus, and change to @state */
void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
		 void (*finished)(struct attach_job *job));

/** disk_report_attached() - print its node on standard output, and forget earlier failures */
void disk_report_attached(struct disk *disk);

/** disk_resumed() - the connection of a former server: struct device calls it */
void disk_resumed(struct device *device, int err);

/** disk_driver_changed() - the driver was reset or started: struct device calls it */
void disk_driver_changed(struct device *device);

/**
 * disk_close_store() - close the store in a task, then call @closed on the main thread
 *
 * close() of a file on FUSE, virtiofs or NFS waits for the file server. The state does not change.
 */
void disk_close_store(struct disk *disk, void (*closed)(struct disk *disk));

/** disk_close() - CLOSING: quiesce, close device and store; then continue according to the flags */
void disk_close(struct disk *disk);

/** disk_drop_connection() - close it: the front end must connect again. No effect if there is none */
void disk_drop_connection(struct disk *disk);

/** disk_reclaim_connection() - it is served again: the next device gets the connection of @handover */
void disk_reclaim_connection(struct disk *disk);

/** disk_end_handover() - close this server's copy of the connection, if it has one */
void disk_end_handover(struct disk *disk);

/** disk_close_and_leave() - as disk_close(); the device stays in the kernel */
void disk_close_and_leave(struct disk *disk);

/** disk_is_closable() - does it have a device, and no task that uses the device? */
static inline bool disk_is_closable(const struct disk *disk)
{
	return disk->state == DISK_CREATED || disk->state == DISK_ATTACHED ||
	       disk->state == DISK_UNBOUND || disk->state == DISK_REMOVED ||
	       disk->state == DISK_BUSY;
}

/** disk_has_nothing_open() - has it neither a device nor an open store, and no task? */
static inline bool disk_has_nothing_open(const struct disk *disk)
{
	return disk->state == DISK_WAITING || disk->state == DISK_FAILED ||
	       disk->state == DISK_RELEASED;
}

/** disk_is_releasing() - is a DISK_RELEASE under way? */
static inline bool disk_is_releasing(const struct disk *disk)
{
	return disk->command && disk->command->verb == DISK_RELEASE;
}

/** disk_release_step() - a release is under way: do what this state allows */
void disk_release_step(struct disk *disk);

/** disk_released_to_other() - nothing is open any more: change to RELEASED, reply to the release */
void disk_released_to_other(struct disk *disk);

/** disk_command_finish() - reply to the command under way; no effect without a command */
void disk_command_finish(struct disk *disk, int err);

/** disk_serve_again() - the removal of a BUSY disk was cancelled: change to ATTACHED */
void disk_serve_again(struct disk *disk);

/** disk_detach_step() - the goal is to detach: do what this state allows; no effect while a task runs */
void disk_detach_step(struct disk *disk);

/**
 * disk_apply_requests() - after a task: detach, leave or release the disk, if that was requested meanwhile
 *
 * Return: false: nothing was requested
 */
bool disk_apply_requests(struct disk *disk);

#endif
