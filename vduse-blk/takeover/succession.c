// SPDX-License-Identifier: GPL-2.0-or-later
#include "succession.h"

#include <errno.h>
#include <stdlib.h>

#include "frontend/bounce.h"
#include "log.h"
#include "process/startup_wait.h"
#include "control/ownership.h"
#include "leave.h"
#include "takeover.h"

/* ---- as the old server ---- */

static struct disks *disks_of(struct takeover_old *old)
{
	return container_of(old, struct succession, to)->disks;
}

static bool is_ours(const struct disk *disk)
{
	return disk->state != DISK_GONE && disk->state != DISK_WAITING;
}

static char *old_names(struct takeover_old *old)
{
	struct disks *disks = disks_of(old);
	char *names = NULL;
	size_t len;
	FILE *to = open_memstream(&names, &len);

	if (!to)
		return NULL;
	disks_for_each (disk, disks)
		if (is_ours(disk))
			fprintf(to, "%s\n", disk->config->name);
	if (!fclose(to))
		return names;
	free(names);
	return NULL;
}

static bool old_has(struct takeover_old *old, const char *name)
{
	const struct disk *disk = disks_find(disks_of(old), name);

	return disk && is_ours(disk);
}

static void old_release(struct takeover_old *old, const char *name, struct disk_command *command)
{
	disk_command(disks_find(disks_of(old), name), command);
}

static int old_connection(struct takeover_old *old, const char *name, int *fds)
{
	struct disk *disk = disks_find(disks_of(old), name);

	return disk ? disk_pass_connection(disk, fds) : -ENOENT;
}

static void old_take_back(struct takeover_old *old, const char *name)
{
	disk_take_back(disks_find(disks_of(old), name));
}

static void old_forget(struct takeover_old *old, const char *name)
{
	struct disk *disk = disks_find(disks_of(old), name);

	if (disk)
		disk_forget(disk);
}

static const struct takeover_old_ops old_ops = {
	.names = old_names,
	.has = old_has,
	.release = old_release,
	.connection = old_connection,
	.take_back = old_take_back,
	.forget = old_forget,
};

/* During a session, CONTROL_LEAVE of a server of version 0.1.0 has no effect. */
static bool leave(struct succession *succession, const struct control_request *request, FILE *to)
{
	if (succession->to.active)
		return true;
	return leave_respond(succession->disks, request->names, request->verb == CONTROL_LEAVE, to);
}

bool succession_requested(struct succession *succession, const struct control_request *request,
			  struct control_call *call)
{
	switch (request->verb) {
	case CONTROL_TAKE_OVER:
		takeover_old_begin(&succession->to, call, request->names);
		return true;
	case CONTROL_MAY_LEAVE:
	case CONTROL_LEAVE:
		control_respond(call, leave(succession, request, call->to));
		return true;
	default:
		return false;
	}
}

/* ---- as the new server ---- */

static void new_released(struct takeover_new *takeover, const char *name)
{
	struct disks *disks = container_of(takeover, struct succession, from)->disks;
	struct disk *disk = disks_find(disks, name);

	if (disk)
		disk_released(disk);
}

static bool new_connection(struct takeover_new *takeover, const char *name, const int *fds)
{
	struct disks *disks = container_of(takeover, struct succession, from)->disks;
	struct disk *disk = disks_find(disks, name);

	if (disk)
		disk_set_connection(disk, fds, !takeover->complete);
	return disk;
}

static void new_kept(struct takeover_new *takeover, const char *name)
{
	struct disks *disks = container_of(takeover, struct succession, from)->disks;
	struct disk *disk = disks_find(disks, name);

	if (disk)
		disk_keep_connection(disk);
}

static void new_cancelled(struct takeover_new *takeover)
{
	struct disks *disks = container_of(takeover, struct succession, from)->disks;

	disks->host.failed = true;
	disks_leave(disks);
}

static const struct takeover_new_ops new_ops = {
	.released = new_released,
	.connection = new_connection,
	.kept = new_kept,
	.cancelled = new_cancelled,
};

static void examined_late(struct examine *examine, const char *name, int result)
{
	struct succession *succession = container_of(examine, struct succession, examine);

	if (result)
		log_warn("%s: is not taken over: the old server continues to serve it", name);
	else
		takeover_new_ask(&succession->from, name);
}

/* A takeover is not possible from a server with another runtime_dir, or from another program. */
static int check_strangers(const struct succession *succession, const struct config *config)
{
	int err = 0;

	for (size_t i = 0; i < config->device_count && !err; i++)
		if (!takeover_new_holds(&succession->from, config->devices[i].name))
			err = ownership_by_other(config->devices[i].name, config->runtime_dir);
	return err;
}

/* Return: 0; -errno, logged */
static int look_at_all(struct succession *succession, const struct config *config)
{
	int err = check_strangers(succession, config);

	if (!err)
		err = examine_all(&succession->examine, config, succession->disks->host.ring);
	if (err)
		return err;
	bounce_reserve(config); /* before the first release: after it a disk pauses */
	if (stop_pending()) {
		log_info("a signal ends this server before the takeover: no disk is taken over");
		return -EINTR;
	}
	return 0;
}

int succession_prepare(struct succession *succession)
{
	const struct config *config = succession->disks->host.config;
	struct takeover_agreement agreement = { 0 };
	bool without_session;
	int err = takeover_ask(config, &agreement);

	without_session = agreement.without_session;
	succession->from.ops = &new_ops;
	if (!err)
		err = takeover_new_init(&succession->from, succession->disks->host.ring, config,
					&agreement);
	takeover_agreement_free(&agreement);
	if (err)
		return err;
	succession->examine.late = examined_late;
	err = look_at_all(succession, config);
	return err || !without_session ? err : takeover_without_session(config);
}

static void disk_changed(struct disks *disks, struct disk *disk)
{
	struct succession *succession = disks->watcher;

	if (disk->state == DISK_ATTACHED && disk->resuming)
		return; /* the old server can still have the connection back */
	if (disk->state == DISK_ATTACHED)
		takeover_new_serving(&succession->from, disk->config->name);
	else if (disk->state == DISK_GONE && disks->host.goal == DISK_SERVE)
		takeover_new_serving(
			&succession->from,
			disk->config->name); /* it ended here: the old server can forget it */
	else if (disk->state == DISK_FAILED)
		takeover_new_failed(&succession->from, disk->config->name);
}

static bool start_ended(struct disks *disks)
{
	struct succession *succession = disks->watcher;

	if (!takeover_new_complete(&succession->from))
		return false;
	if (succession->ready)
		succession->ready(succession);
	return true;
}

void succession_start(struct succession *succession)
{
	struct disks *disks = succession->disks;

	succession->to.ops = &old_ops;
	succession->to.ring = disks->host.ring;
	disks->watcher = succession;
	disks->watch = disk_changed;
	disks->start_ended = start_ended;
	takeover_new_start(&succession->from);
	disks_for_each (disk, disks) {
		const char *name = disk->config->name;

		if (!takeover_new_holds(&succession->from, name))
			continue;
		disks_hold(disks, name);
		if (!examine_pending(&succession->examine, name))
			takeover_new_ask(&succession->from, name);
	}
}

bool succession_cancel(struct succession *succession, const char *signal_name)
{
	return takeover_new_cancel(&succession->from, signal_name);
}

void succession_stop(struct succession *succession)
{
	takeover_new_end(&succession->from);
}

void succession_exit(struct succession *succession)
{
	takeover_new_exit(&succession->from);
	takeover_old_exit(&succession->to);
	examine_exit(&succession->examine);
}
