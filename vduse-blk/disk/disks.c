// SPDX-License-Identifier: GPL-2.0-or-later
#include "disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/identity.h"
#include "log.h"
#include "process/notify.h"
#include "umem.h"

static void disk_changed(struct disk_host *host, struct disk *disk);
static void disk_ended(struct disk_host *host, struct disk *disk);

static const struct disk *find_rival(struct disk_host *host, const struct disk *disk)
{
	const struct disks *disks = container_of(host, struct disks, host);
	struct disk_identity ours, theirs;

	device_identity(&disk->device, &ours);
	disks_for_each (other, disks) {
		if (other == disk || !disk_has_store(other) ||
		    (disk->config->readonly && other->config->readonly))
			continue;
		device_identity(&other->device, &theirs);
		if (identity_overlaps(&ours, &theirs))
			return other;
	}
	return NULL;
}

/* ---- the list ---- */

void disks_init(struct disks *disks)
{
	list_init(&disks->all);
	disks->host.rival = find_rival;
	disks->host.changed = disk_changed;
	disks->host.gone = disk_ended;
}

int disks_add(struct disks *disks, const struct device_config *config, struct disk **out)
{
	struct disk *disk;

	if (disks->host.goal != DISK_SERVE)
		return -ESHUTDOWN;
	if (disks_find(disks, config->name))
		return -EEXIST;
	disk = disk_new(&disks->host, config);
	if (!disk)
		return -ENOMEM;
	list_add(&disks->all, &disk->node);
	disks->remaining++;
	if (out)
		*out = disk;
	return 0;
}

int disks_add_all(struct disks *disks)
{
	const struct config *config = disks->host.config;
	int err = 0;

	for (size_t i = 0; i < config->device_count && !err; i++)
		err = disks_add(disks, &config->devices[i], NULL);
	return err;
}

void disks_reap(struct disks *disks)
{
	if (!disks->ended)
		return;
	list_for_each_safe (node, &disks->all) {
		struct disk *disk = container_of(node, struct disk, node);

		if (!disk_is_unused(disk))
			continue;
		list_remove(node);
		disk_free(disk);
		disks->ended--;
	}
}

void disks_exit(struct disks *disks)
{
	struct list_node *node;

	umem_unreserve();
	if (disks->host.tasks)
		return; /* the process ends while a task uses the memory of its disk */
	while ((node = list_take(&disks->all)))
		disk_free(container_of(node, struct disk, node));
}

struct disk *disks_find(const struct disks *disks, const char *name)
{
	disks_for_each (disk, disks)
		if (disk->state != DISK_GONE && !strcmp(disk->config->name, name))
			return disk;
	return NULL;
}

void disks_hold(struct disks *disks, const char *name)
{
	struct disk *disk = disks_find(disks, name);

	if (disk)
		disk->state = DISK_WAITING;
}

/* ---- the start ---- */

/* Attaches disks one after the other, in the order of the list. A slow disk loses its turn. */
static void attach_next(struct disks *disks)
{
	disks_for_each (disk, disks) {
		if (disk_wants_turn(disk))
			disk_attach(disk);
		if (!disk_start_ended(disk) && !disk->slow)
			return;
	}
}

static bool all_starts_ended(const struct disks *disks)
{
	disks_for_each (disk, disks)
		if (!disk_start_ended(disk) && !disk->overdue)
			return false;
	return true;
}

static size_t count_state(const struct disks *disks, enum disk_state state)
{
	size_t count = 0;

	disks_for_each (disk, disks)
		count += disk->state == state;
	return count;
}

/* Some disks may already be in their second attempt. */
static bool all_failed(const struct disks *disks)
{
	disks_for_each (disk, disks)
		if (disk->state != DISK_FAILED && disk->state != DISK_GONE &&
		    (disk->state != DISK_OPENING || !disk->failures))
			return false;
	return true;
}

/* A disk that failed may be in its next attempt when the start ends. */
static void report_missing(const struct disk *disk)
{
	if (disk->state == DISK_GONE)
		return;
	if (disk->state == DISK_FAILED || disk->failures)
		log_warn("%s: is not served; the server tries it again, and serves the other disks",
			 disk->config->name);
	else if (!disk_start_ended(disk))
		log_info("%s: is not served yet: it is %s; the other disks do not wait for it",
			 disk->config->name, disk_state_name(disk));
}

/* Each disk is served, has failed, has ended, or takes too long. */
static void start_ended(struct disks *disks)
{
	disks->started = true;
	if (all_failed(disks)) {
		disks->host.failed = true;
		disks_stop(disks, false);
		return;
	}
	if (disks->start_ended && !disks->start_ended(disks))
		return;
	disks_for_each (disk, disks)
		report_missing(disk);
	notify_ready(count_state(disks, DISK_ATTACHED));
}

/* After a change of a disk's state: other disks may have waited for their turn. */
static void continue_start(struct disks *disks)
{
	if (disks->host.goal != DISK_SERVE)
		return;
	attach_next(disks);
	if (!disks->started && disks->host.goal == DISK_SERVE && all_starts_ended(disks))
		start_ended(disks);
}

static void disk_changed(struct disk_host *host, struct disk *disk)
{
	struct disks *disks = container_of(host, struct disks, host);

	if (host->rescue && disk->state == DISK_CREATED) {
		disks_stop(disks, false);
		return;
	}
	if (disks->watch)
		disks->watch(disks, disk);
	if (disks->host.goal == DISK_SERVE && disks->started && disk->state == DISK_FAILED &&
	    disk->failures == 1)
		report_missing(disk);
	continue_start(disks);
}

static void disk_ended(struct disk_host *host, struct disk *disk)
{
	struct disks *disks = container_of(host, struct disks, host);

	if (disks->watch)
		disks->watch(disks, disk);
	disks->ended++;
	if (--disks->remaining)
		continue_start(disks);
}

void disks_start(struct disks *disks)
{
	disks_for_each (disk, disks)
		disk_start(disk, disk->state == DISK_WAITING);
}

/* ---- the end ---- */

void disks_stop(struct disks *disks, bool force)
{
	enum disk_goal goal = force ? DISK_DETACH_FORCED : DISK_DETACH;

	if (disks->host.goal == DISK_LEAVE)
		return;
	if (disks->host.goal == DISK_SERVE)
		notify_stopping();
	disks->host.goal = MAX(disks->host.goal, goal);
	/* Detach in reverse order. */
	for (struct list_node *node = disks->all.head.prev; node != &disks->all.head;
	     node = node->prev)
		disk_apply_goal(container_of(node, struct disk, node));
}

void disks_leave(struct disks *disks)
{
	if (disks->host.goal == DISK_LEAVE)
		return;
	log_info("leaving all disks as they are: their requests wait for the next server");
	disks->host.goal = DISK_LEAVE;
	disks_for_each (disk, disks)
		disk_apply_goal(disk);
}
