/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a disk's state machine that its files share; callers use disk.h. Main thread.
 *
 *     disk          states; opens the store, creates the VDUSE device
 *     disk_attach   puts it on the vdpa bus and binds the driver
 *     disk_watch    finds out what other programs have changed on the bus
 *     disk_detach   takes it off the bus, when it is not in use
 *     disk_close    closes the device and the store: to end, to leave it, to hand it over, to retry
 *
 * A step may end the disk or begin the next state: its caller returns at once.
 */
#ifndef VDUSE_BLK_DISK_STEPS_H
#define VDUSE_BLK_DISK_STEPS_H

#include "disk.h"

/** disk_set_state() - and tell the host. Not for DISK_GONE, which is disk_end() */
void disk_set_state(struct disk *disk, enum disk_state state);

/** disk_end() - nothing of it is open any more: GONE */
void disk_end(struct disk *disk);

/** disk_time_start() - a part of its start begins: from now on it counts until the disk is slow */
void disk_time_start(struct disk *disk);

/**
 * disk_timer_start() - in @us microseconds do what the state waits for: FAILED opens the store, CREATED
 * attaches the disk, BUSY detaches it. At once where the timer of an earlier state still runs
 */
void disk_timer_start(struct disk *disk, uint64_t us);

/** disk_open() - open the store, in a task */
void disk_open(struct disk *disk);

/** disk_create() - a VDUSE device for the open store. Return: 0; -errno, with the reason in @attempt */
int __must_check disk_create(struct disk *disk);

/** disk_created() - CREATED; an adopted device is attached at once, since its driver waits */
void disk_created(struct disk *disk);

/** disk_failed() - nothing is open, and @attempt has the reason: FAILED, and open it again later */
void disk_failed(struct disk *disk);

/** disk_submit() - give a job for the vdpa bus to a task, and change to @state until it has ended */
void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
		 void (*finished)(struct attach_job *job));

/** disk_report_attached() - print its node on standard output, and forget earlier failures */
void disk_report_attached(struct disk *disk);

/** disk_driver_changed() - the driver was reset or started: struct device calls it */
void disk_driver_changed(struct device *device);

/** disk_close() - CLOSING: quiesce, close the device and the store, and go on as the flags say */
void disk_close(struct disk *disk);

/**
 * disk_obey() - a state that could not be interrupted has ended: was the disk to stop meanwhile?
 *
 * Return: true: it stops, or is handed over; false: go on
 */
bool disk_obey(struct disk *disk);

#endif
