// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store of a vhost-user disk is open and locked while rings of the front end run.
 *
 * In a live migration, the server on the target host starts while the source still serves the disk. So
 * the target opens the store when the VMM starts the rings there, and the source has closed it before
 * it replies to the last GET_VRING_BASE. The two never write at the same time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/closed_store.h"
#include "store/store_type.h"
#include "vhost_user_steps.h"

/* How long to wait for I/O of a server that was killed, whose inflight log the front end has. */
#define SUCCESSOR_WAIT_MS 30000

/* How long, and how often, to try to open a store that another process still has. */
#define BUSY_TRIES    100
#define BUSY_DELAY_US 100000

static int open_store(struct vhost_user_device *vu, unsigned int wait_ms)
{
	const struct device_config *config = vu->device->config;
	int err = store_type_of(config)->open(config, wait_ms, &vu->store);

	if (err)
		return err;
	err = closed_store_check(config, vu->device->backend, vu->store);
	if (!err)
		return 0;
	backend_close(vu->store);
	vu->store = NULL;
	return err;
}

/* Did a former server run rings of this front end until it was killed? */
static bool is_successor(const struct vhost_user_device *vu)
{
	for (uint16_t i = 0; i < vu->inflight_queues && vu->keeps_inflight; i++)
		if (inflight_vq_is_active(inflight_vq(vu->device->inflight, i)))
			return true;
	return false;
}

static void try_to_open(struct vhost_user_device *vu)
{
	unsigned int tries = is_successor(vu) ? 1 : BUSY_TRIES;
	unsigned int wait_ms = is_successor(vu) ? SUCCESSOR_WAIT_MS : 0;

	do {
		log_capture(vu->error);
		vu->store_result = open_store(vu, wait_ms);
		log_capture(NULL);
	} while (vu->store_result == -EBUSY && --tries && !usleep(BUSY_DELAY_US));
}

/* The log line that this text becomes a part of begins with the name of the disk already. */
static void cut_name(struct vhost_user_device *vu)
{
	const char *name = vu->device->config->name;
	size_t len = strlen(name);

	if (!strncmp(vu->error, name, len) && !strncmp(vu->error + len, ": ", 2))
		memmove(vu->error, vu->error + len + 2, strlen(vu->error + len + 2) + 1);
}

static void open_work(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);
	int *fds[TASK_DESCRIPTORS_MAX];
	unsigned int count;

	try_to_open(vu);
	cut_name(vu);
	if (vu->store_result)
		return;
	count = backend_descriptors(vu->store, fds, ARRAY_SIZE(fds));
	for (unsigned int i = 0; i < count; i++)
		task_give(task, fds[i]);
}

static void open_done(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);

	if (!vu->store_result)
		backend_moved(vu->store);
	if (!vu->store_result && task->lost) {
		backend_close(vu->store);
		vu->store = NULL;
		vu->store_result = -EMFILE;
	}
	if (vu->store)
		queues_set_backend(&vu->device->queues, vu->store);
	else if (!vu->error[0])
		snprintf(vu->error, sizeof(vu->error), "cannot open the store: %s",
			 strerror(-vu->store_result));
	vu->store_done(vu, vu->store ? NULL : vu->error);
}

void vhost_user_open_store(struct vhost_user_device *vu,
			   void (*done)(struct vhost_user_device *vu, const char *why))
{
	int err;

	vu->store_done = done;
	vu->store_task = (struct task){ .name = "open", .work = open_work, .done = open_done };
	err = task_start(&vu->store_task, vu->device->ring);
	if (err)
		done(vu, strerror(-err));
}

/* The target of a migration, on another host, must find all completed writes in the store. */
static void sync_and_close(struct vhost_user_device *vu)
{
	const struct device_config *config = vu->device->config;
	int err = backend_sync(vu->store);

	if (err)
		log_err("%s: cannot write back the page cache of %s: %s", config->name,
			config->path, strerror(-err));
	backend_close(vu->store);
	vu->store = NULL;
}

static void close_work(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);

	if (vu->store)
		sync_and_close(vu);
	if (vu->clear_memory) {
		vhost_user_drop_dirty_log(vu);
		vhost_user_memory_clear(&vu->memory);
	}
	vu->clear_memory = false;
}

static void close_done(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);

	vu->store_done(vu, NULL);
}

void vhost_user_close_store(struct vhost_user_device *vu,
			    void (*done)(struct vhost_user_device *vu, const char *why))
{
	vu->store_done = done;
	vu->store_task = (struct task){
		.name = "close",
		.work = close_work,
		.done = close_done,
		.shares_descriptors = true,
	};
	queues_set_backend(&vu->device->queues, vu->device->backend);
	if (!vu->store && !vu->clear_memory) {
		done(vu, NULL);
	} else if (task_start(&vu->store_task, vu->device->ring)) {
		close_work(&vu->store_task);
		done(vu, NULL);
	}
}
