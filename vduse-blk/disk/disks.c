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
	if (!ours.store[0])
		return NULL; /* a rescue has no store */
	for (size_t i = 0; i < disks->count; i++) {
		const struct disk *other = &disks->all[i];

		if (other == disk || !disk_has_store(other) ||
		    (disk->config->readonly && other->config->readonly))
			continue;
		device_identity(&other->device, &theirs);
		if (identity_overlaps(&ours, &theirs))
			return other;
	}
	return NULL;
}

int disks_init(struct disks *disks)
{
	const struct config *config = disks->host.config;

	disks->all = calloc(config->device_count, sizeof(*disks->all));
	if (!disks->all)
		return -ENOMEM;
	disks->count = disks->remaining = config->device_count;
	disks->host.rival = find_rival;
	disks->host.changed = disk_changed;
	disks->host.gone = disk_ended;
	for (size_t i = 0; i < disks->count; i++) {
		disks->all[i].host = &disks->host;
		disks->all[i].config = &config->devices[i];
		disks->all[i].state = DISK_OPENING;
	}
	return 0;
}

void disks_exit(struct disks *disks)
{
	umem_unreserve();
	if (!disks->host.tasks) /* a task that still opens a store uses the memory of its disk */
		free(disks->all);
}

struct disk *disks_find(struct disks *disks, const char *name)
{
	for (size_t i = 0; i < disks->count; i++)
		if (disks->all[i].state != DISK_GONE && !strcmp(disks->all[i].config->name, name))
			return &disks->all[i];
	return NULL;
}

void disks_hold(struct disks *disks, const char *name)
{
	struct disk *disk = disks_find(disks, name);

	if (disk)
		disk->state = DISK_WAITING;
}

/* In the order of the file, one after the other; a disk that takes too long loses its turn. */
static void attach_next(struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++) {
		struct disk *disk = &disks->all[i];

		if (disk_wants_turn(disk))
			disk_attach(disk);
		if (!disk_is_settled(disk) && !disk->slow)
			return;
	}
}

static bool all_settled(const struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		if (!disk_is_settled(&disks->all[i]) && !disks->all[i].overdue)
			return false;
	return true;
}

static size_t count_state(const struct disks *disks, enum disk_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < disks->count; i++)
		count += disks->all[i].state == state;
	return count;
}

/* A disk may be in its second try already, while others had their first. */
static bool all_failed(const struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		if (disks->all[i].state != DISK_FAILED &&
		    (disks->all[i].state != DISK_OPENING || !disks->all[i].failures))
			return false;
	return true;
}

/* One that failed may be on its next attempt when the start ends. */
static void report_missing(const struct disk *disk)
{
	if (disk->state == DISK_FAILED || disk->failures)
		log_warn("%s: is not served; the other disks are, and it is tried again",
			 disk->config->name);
	else if (!disk_is_settled(disk))
		log_info("%s: is not served yet: it is %s; the other disks do not wait for it",
			 disk->config->name, disk_state_name(disk));
}

/* Each disk is served, has failed, or takes too long. */
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
	for (size_t i = 0; i < disks->count; i++)
		report_missing(&disks->all[i]);
	notify_ready(count_state(disks, DISK_ATTACHED));
}

static void disk_changed(struct disk_host *host, struct disk *disk)
{
	struct disks *disks = container_of(host, struct disks, host);

	if (disk->config->rescue && disk->state == DISK_CREATED) {
		disks_stop(disks, false);
		return;
	}
	if (disks->watch)
		disks->watch(disks, disk);
	if (host->stopping)
		return;
	if (disks->started && disk->state == DISK_FAILED && disk->failures == 1)
		report_missing(disk);
	attach_next(disks);
	if (!disks->started && !host->stopping && all_settled(disks))
		start_ended(disks);
}

static void disk_ended(struct disk_host *host, struct disk *disk)
{
	struct disks *disks = container_of(host, struct disks, host);

	(void)disk;
	disks->remaining--;
}

void disks_start(struct disks *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		disk_start(&disks->all[i], disks->all[i].state == DISK_WAITING);
}

void disks_stop(struct disks *disks, bool force)
{
	if (disks->host.leaving)
		return;
	if (!disks->host.stopping)
		notify_stopping();
	disks->host.forced |= force;
	disks->host.stopping = true;
	for (size_t i = disks->count; i-- > 0;)
		disk_stop(&disks->all[i]);
}

void disks_leave(struct disks *disks)
{
	if (disks->host.leaving)
		return;
	log_info("leaving all disks as they are: they wait for another server");
	disks->host.leaving = disks->host.stopping = true;
	for (size_t i = 0; i < disks->count; i++)
		disk_leave(&disks->all[i]);
}
