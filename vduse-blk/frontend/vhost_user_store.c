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
#include <stdlib.h>
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

/*
 * The store is being opened. The task may last for ever, so it has its own copy of the section, and the
 * disk may end before it does.
 */
struct vhost_user_opening {
	struct task task;
	struct ring *ring; /* of the main thread */
	struct device_config *config;
	unsigned int tries, wait_ms;
	struct vhost_user_device *vu; /* NULL: the store is not wanted any more. Main thread */
	bool abandoned;		      /* likewise, for the task. Atomic */
	struct backend *store;	      /* out; NULL: it could not be opened */
	int result;
	char error[LOG_CAPTURE_MAX];
};

/* Did a former server run rings of this front end until it was killed? */
static bool is_successor(const struct vhost_user_device *vu)
{
	for (uint16_t i = 0; i < vu->inflight_queues && vu->keeps_inflight; i++)
		if (inflight_vq_is_active(inflight_vq(vu->device->inflight, i)))
			return true;
	return false;
}

static struct vhost_user_opening *opening_of(struct task *task)
{
	return container_of(task, struct vhost_user_opening, task);
}

static int try_to_open(struct vhost_user_opening *opening)
{
	const struct device_config *config = opening->config;
	int err;

	log_capture(opening->error);
	err = store_type_of(config)->open(config, opening->wait_ms, &opening->store);
	log_capture(NULL);
	return err;
}

static void open_work(struct task *task)
{
	struct vhost_user_opening *opening = opening_of(task);
	int *fds[TASK_DESCRIPTORS_MAX];
	unsigned int count;

	do
		opening->result = try_to_open(opening);
	while (opening->result == -EBUSY && --opening->tries &&
	       !load_relaxed(&opening->abandoned) && !usleep(BUSY_DELAY_US));
	if (opening->result)
		return;
	count = backend_descriptors(opening->store, fds, ARRAY_SIZE(fds));
	for (unsigned int i = 0; i < count; i++)
		task_give(task, fds[i]);
}

static void opening_free(struct vhost_user_opening *opening)
{
	config_device_free(opening->config);
	free(opening);
}

static void unwanted_close(struct task *task)
{
	backend_close(opening_of(task)->store);
}

static void unwanted_closed(struct task *task)
{
	opening_free(opening_of(task));
}

/* close() may block as well. */
static void opening_end(struct vhost_user_opening *opening)
{
	if (!opening->store) {
		opening_free(opening);
		return;
	}
	opening->task = (struct task){
		.name = "close",
		.work = unwanted_close,
		.done = unwanted_closed,
		.shares_descriptors = true,
	};
	if (!task_start(&opening->task, opening->ring))
		return;
	backend_close(opening->store);
	opening_free(opening);
}

/* Return: 0: the store is open, and as it was when the server started; -errno */
static int check_opened(struct vhost_user_opening *opening)
{
	int err = opening->result;

	if (!err)
		backend_moved(opening->store);
	if (!err && opening->task.lost)
		err = -EMFILE;
	if (err || !opening->vu)
		return err;
	log_capture(opening->error);
	err = closed_store_check(opening->config, opening->vu->device->backend, opening->store);
	log_capture(NULL);
	return err;
}

/* The log line that this text becomes a part of begins with the name of the disk already. */
static const char *without_name(const char *error, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(error, name, len) && !strncmp(error + len, ": ", 2) ? error + len + 2
									    : error;
}

static void open_done(struct task *task)
{
	struct vhost_user_opening *opening = opening_of(task);
	struct vhost_user_device *vu = opening->vu;
	int err = check_opened(opening);

	if (vu && !err) {
		vu->store = opening->store;
		opening->store = NULL;
		queues_set_backend(&vu->device->queues, vu->store);
	} else if (vu && opening->error[0]) {
		snprintf(vu->error, sizeof(vu->error), "%s",
			 without_name(opening->error, opening->config->name));
	} else if (vu) {
		snprintf(vu->error, sizeof(vu->error), "cannot open the store: %s", strerror(-err));
	}
	opening_end(opening);
	if (!vu)
		return;
	vu->opening = NULL;
	vu->store_done(vu, err ? vu->error : NULL);
}

static int start_opening(struct vhost_user_device *vu)
{
	struct vhost_user_opening *opening = calloc(1, sizeof(*opening));
	bool successor = is_successor(vu);
	int err = -ENOMEM;

	if (!opening)
		return err;
	opening->task = (struct task){ .name = "open", .work = open_work, .done = open_done };
	opening->config = config_device_new(vu->device->config);
	opening->ring = vu->device->ring;
	opening->vu = vu;
	opening->tries = successor ? 1 : BUSY_TRIES;
	opening->wait_ms = successor ? SUCCESSOR_WAIT_MS : 0;
	if (opening->config)
		err = task_start(&opening->task, opening->ring);
	if (err)
		opening_free(opening);
	else
		vu->opening = opening;
	return err;
}

void vhost_user_open_store(struct vhost_user_device *vu,
			   void (*done)(struct vhost_user_device *vu, const char *why))
{
	int err;

	vu->store_done = done;
	err = start_opening(vu);
	if (err)
		done(vu, strerror(-err));
}

void vhost_user_abandon_store(struct vhost_user_device *vu)
{
	struct vhost_user_opening *opening = vu->opening;

	if (!opening)
		return;
	opening->vu = NULL;
	vu->opening = NULL;
	store_relaxed(&opening->abandoned, true);
	vu->store_done(vu, "the server stops");
}

static void close_work(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);

	backend_close(vu->store);
	vu->store = NULL;
}

static void close_done(struct task *task)
{
	struct vhost_user_device *vu = container_of(task, struct vhost_user_device, store_task);

	vu->store_done(vu, NULL);
}

static void start_closing(struct vhost_user_device *vu)
{
	vu->store_task = (struct task){
		.name = "close",
		.work = close_work,
		.done = close_done,
		.shares_descriptors = true,
	};
	if (!task_start(&vu->store_task, vu->device->ring))
		return;
	close_work(&vu->store_task);
	vu->store_done(vu, NULL);
}

static void synced(struct backend_io *io, int err)
{
	struct vhost_user_device *vu = container_of(io, struct vhost_user_device, sync);
	const struct device_config *config = vu->device->config;

	if (err)
		log_err("%s: cannot write back the page cache of %s: %s", config->name,
			config->path, strerror(-err));
	start_closing(vu);
}

/*
 * The target of a migration, on another host, must find all completed writes in the store. A thread of the
 * store writes them back: a task that stalls with the descriptors of the process would keep all its files
 * after the server was killed.
 */
static void start_sync(struct vhost_user_device *vu)
{
	vu->sync = (struct backend_io){ .op = BACKEND_FLUSH, .durable = true, .done = synced };
	backend_submit(vu->store, vu->device->ring, &vu->sync);
}

void vhost_user_close_store(struct vhost_user_device *vu,
			    void (*done)(struct vhost_user_device *vu, const char *why))
{
	vu->store_done = done;
	queues_set_backend(&vu->device->queues, vu->device->backend);
	if (!vu->store)
		done(vu, NULL);
	else if (vu->store->cached)
		start_sync(vu);
	else
		start_closing(vu);
}
