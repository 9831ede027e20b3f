// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_steps.h"

#include <errno.h>

#include "log.h"

static void close_store_work(struct task *task)
{
	backend_close(container_of(task, struct disk, closing)->closing_store);
}

static void close_store_done(struct task *task)
{
	struct disk *disk = container_of(task, struct disk, closing);

	disk->tasks--;
	disk->host->tasks--;
	disk->store_closed(disk);
}

void disk_close_store(struct disk *disk, void (*closed)(struct disk *disk))
{
	disk->closing = (struct task){
		.name = "close",
		.work = close_store_work,
		.done = close_store_done,
		.shares_descriptors = true,
	};
	disk->closing_store = disk->device.backend;
	disk->device.backend = NULL;
	disk->store_closed = closed;
	disk->tasks++;
	disk->host->tasks++;
	if (!disk->closing_store || task_start(&disk->closing, disk->host->ring)) {
		if (disk->closing_store)
			backend_close(disk->closing_store);
		close_store_done(&disk->closing);
	}
}

/* The device and its store are closed: continues according to the flags. */
static void store_closed(struct disk *disk)
{
	bool failing = disk->failing;

	disk->left = disk->recreate = disk->failing = false;
	if (disk_is_releasing(disk)) {
		disk_released_to_other(disk);
	} else if (disk->reopen && disk_goal(disk) != DISK_LEAVE) {
		disk->reopen = false;
		disk_open(disk); /* to serve it again, or to detach it */
	} else if (disk_goal(disk) != DISK_SERVE) {
		disk_end(disk);
	} else if (failing) {
		disk_failed(disk);
	} else {
		disk_end(disk);
	}
}

/*
 * Destroys a device that was removed from the vdpa bus: Linux 7.0 leaks memory if the same device
 * is added to the bus a second time. Adopts it if another program has already added it again.
 */
static int replace_device(struct disk *disk)
{
	int err = device_destroy(&disk->device);

	return err && err != -EBUSY ? err : disk_create(disk);
}

static void disk_recreate(struct disk *disk)
{
	bool attach = !disk->unattached;

	disk->recreate = disk->inherited = disk->unattached = false;
	if (replace_device(disk)) {
		disk->failing = true;
		disk_close_store(disk, store_closed);
	} else if (device_adopted(&disk->device)) {
		disk_created(disk); /* another program has added it to the bus again */
	} else if (attach) {
		log_info("%s: was removed from the vdpa bus by another program; it is recreated",
			 disk->config->name);
		disk_attach(disk);
	} else {
		disk_set_state(disk, DISK_REMOVED);
	}
}

static void destroy_device(struct disk *disk)
{
	int err = device_destroy(&disk->device);

	if (err == -EBUSY)
		log_err("%s: cannot destroy the VDUSE device: it is still on the vdpa bus; to serve "
			"its requests: vduse-blk serve",
			disk->config->name);
	if (err && !disk->failing) {
		disk->host->failed = true;
		disk->detach_error = err;
	}
}

static void close_finished(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);

	if (disk->recreate && disk_goal(disk) == DISK_SERVE && !disk_is_releasing(disk)) {
		disk_recreate(disk);
		return;
	}
	if (disk->left)
		device_abandon(device);
	else
		destroy_device(disk);
	disk_close_store(disk, store_closed);
}

void disk_close(struct disk *disk)
{
	disk->resuming = false;
	disk_set_state(disk, DISK_CLOSING);
	device_close(&disk->device, close_finished);
}

void disk_close_and_leave(struct disk *disk)
{
	disk->left = true;
	disk_close(disk);
}

/* While a task runs, or the device is being closed, disk_apply_requests() or close_finished() does it later. */
static void leave(struct disk *disk)
{
	if (disk_has_nothing_open(disk) || disk->state == DISK_OPENING)
		disk_end(disk);
	else if (disk_is_closable(disk))
		disk_close_and_leave(disk);
}

void disk_apply_goal(struct disk *disk)
{
	if (disk_goal(disk) == DISK_LEAVE)
		leave(disk);
	else if (disk_goal(disk) != DISK_SERVE)
		disk_detach_step(disk);
}

bool disk_apply_requests(struct disk *disk)
{
	if (disk_goal(disk) == DISK_LEAVE)
		leave(disk);
	else if (disk_is_releasing(disk) && disk->state == DISK_OPENING)
		disk_released_to_other(disk);
	else if (disk_is_releasing(disk))
		disk_release_step(disk);
	else if (disk_goal(disk) != DISK_SERVE)
		disk_detach_step(disk);
	else
		return false;
	return true;
}
