// SPDX-License-Identifier: GPL-2.0-or-later
#include "resize.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/front_end.h"
#include "frontend/vhost_user_device.h"
#include "log.h"
#include "store/closed_store.h"
#include "task.h"

/* A request whose store is being examined. The disk may end meanwhile, so it has a copy of its section. */
struct resize {
	struct task task;
	struct disks *disks;
	struct device_config *config;
	struct control_deferred deferred;
	struct backend *store; /* out of the task; NULL: it failed */
	char error[LOG_CAPTURE_MAX];
};

static void examine(struct task *task)
{
	struct resize *resize = container_of(task, struct resize, task);
	int err;

	log_capture(resize->error);
	err = closed_store_new(resize->config, &resize->store);
	log_capture(NULL);
	if (err && !resize->error[0])
		snprintf(resize->error, sizeof(resize->error), "%s: %s", resize->config->name,
			 strerror(-err));
}

/* Return: false: it cannot be resized; the reason is in @to */
static bool can_resize(const struct disk *disk, FILE *to)
{
	const struct device_config *config = disk->config;

	if (front_end_of(config->driver)->vdpa)
		fprintf(to,
			"%s: a disk with driver = %s cannot be resized; detach it and attach it again",
			config->name, front_end_of(config->driver)->name);
	else if (config->size)
		fprintf(to,
			"%s: its section has size = %" PRIu64 "; change that, then: vduse-blk "
			"serve --takeover",
			config->name, config->size);
	else if (disk->state != DISK_ATTACHED && disk->state != DISK_BUSY)
		fprintf(to, "%s: is %s; try again when it is attached", config->name,
			disk_state_name(disk));
	else
		return true;
	return false;
}

/* Return: success; the text of the response is in @to */
static bool apply(struct disk *disk, const struct backend *store, FILE *to)
{
	struct blk_limits *limits = &disk->device.limits;
	uint64_t old = limits->size, new = store->limits.size;

	if (strcmp(store->identity, disk->device.backend->identity)) {
		fprintf(to, "%s: %s is another file or disk than at the start of the server",
			disk->config->name, disk->config->path);
		return false;
	}
	if (new < old) {
		fprintf(to,
			"%s: %s has shrunk from %" PRIu64 " to %" PRIu64 " bytes; the disk keeps "
			"its size",
			disk->config->name, disk->config->path, old, new);
		return false;
	}
	fprintf(to, "%s: %" PRIu64 " bytes\n", disk->config->name, new);
	if (new == old)
		return true;
	log_info("%s: resized from %" PRIu64 " to %" PRIu64 " bytes", disk->config->name, old, new);
	disk->device.backend->limits.size = new;
	store_relaxed(&limits->size, new);
	vhost_user_config_changed(&disk->device);
	return true;
}

static bool finish(struct resize *resize, FILE *to)
{
	struct disk *disk = disks_find(resize->disks, resize->config->name);

	if (!resize->store) {
		fputs(resize->error, to);
		return false;
	}
	if (!disk) {
		fprintf(to, "%s: has ended", resize->config->name);
		return false;
	}
	return can_resize(disk, to) && apply(disk, resize->store, to);
}

static void resize_free(struct resize *resize)
{
	if (resize->store)
		backend_close(resize->store);
	config_device_free(resize->config);
	free(resize);
}

static void examined(struct task *task)
{
	struct resize *resize = container_of(task, struct resize, task);
	struct control_call *call = resize->deferred.call;

	resize->disks->host.tasks--;
	if (call)
		control_respond(call, finish(resize, call->to));
	resize_free(resize);
}

/* The task goes on, without an effect. */
static void cancelled(struct control_deferred *deferred)
{
	deferred->call = NULL;
}

/* Return: 0; -errno: no task runs */
static int start(struct disks *disks, const struct disk *disk, struct control_call *call)
{
	struct resize *resize = calloc(1, sizeof(*resize));
	int err = -ENOMEM;

	if (!resize)
		return err;
	resize->task = (struct task){ .name = "resize", .work = examine, .done = examined };
	resize->disks = disks;
	resize->deferred.cancelled = cancelled;
	resize->config = config_device_new(disk->config);
	if (resize->config)
		err = control_defer(call, &resize->deferred);
	if (err) {
		resize_free(resize);
		return err;
	}
	err = task_start(&resize->task, disks->host.ring);
	if (err) {
		fprintf(call->to, "%s: cannot start a thread: %s", disk->config->name,
			strerror(-err));
		control_respond(call, false);
		resize_free(resize);
		return 0;
	}
	disks->host.tasks++;
	return 0;
}

void resize_requested(struct disks *disks, const struct control_request *request,
		      struct control_call *call)
{
	const char *names = request->names;
	char name[CONTROL_NAME_MAX];
	struct disk *disk = NULL;
	int err;

	if (control_next_name(&names, name))
		disk = disks_find(disks, name);
	if (!disk || disk->state == DISK_RELEASED) {
		control_respond(call, true);
		return;
	}
	if (!can_resize(disk, call->to)) {
		control_respond(call, false);
		return;
	}
	err = start(disks, disk, call);
	if (err) {
		fprintf(call->to, "%s: %s", name,
			err == -EBUSY ? "the server has too many requests; try again"
				      : strerror(-err));
		control_respond(call, false);
	}
}
