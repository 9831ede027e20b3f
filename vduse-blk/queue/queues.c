// SPDX-License-Identifier: GPL-2.0-or-later
#include "queues.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* A front end may keep an inflight log of fewer queues than the disk has. */
static uint32_t logged_queues(const struct queues *queues)
{
	return MIN(queues->count, inflight_vq_count(queues->disk.inflight));
}

static void restore_lost_writes(struct queues *queues)
{
	for (uint32_t i = 0; i < logged_queues(queues); i++)
		if (inflight_vq(queues->disk.inflight, i)->user_flag)
			queues->disk.flush_failed = true;
}

void queues_set_inflight(struct queues *queues, struct inflight *inflight)
{
	queues->disk.inflight = inflight;
	restore_lost_writes(queues);
}

/*
 * Linux reports lost writes once, and the next sync succeeds. The report does not say which writes
 * are lost. So until the driver is reset, no flush and no durable write succeeds.
 */
static void writes_lost(void *owner)
{
	struct queues *queues = owner;
	struct queue_disk *disk = &queues->disk;

	/* For a server that adopts the disk. */
	store_relaxed(&inflight_vq(disk->inflight, 0)->user_flag, 1);
	if (!__atomic_exchange_n(&disk->flush_failed, true, __ATOMIC_SEQ_CST))
		log_err("%s: writes may be lost: every flush and every durable write fails until "
			"the driver is reset%s",
			disk->name, disk->backend->cached ? " and the disk is detached" : "");
}

void queues_clear_lost_writes(struct queues *queues)
{
	if (queues->disk.backend->cached)
		return;
	queues->disk.flush_failed = false;
	for (uint32_t i = 0; i < logged_queues(queues); i++)
		inflight_vq(queues->disk.inflight, i)->user_flag = 0;
}

void queues_set_backend(struct queues *queues, struct backend *backend)
{
	queues->disk.backend = backend;
	backend->owner = queues;
	backend->lost = writes_lost;
}

int queues_init(struct queues *queues, uint32_t count, struct worker *workers,
		unsigned int worker_count, unsigned int *next_worker)
{
	struct queue_disk *disk = &queues->disk;
	uint32_t i;
	int err;

	queues->count = count;
	queues->all = calloc(count, sizeof(*queues->all));
	if (!queues->all)
		return -ENOMEM;
	store_health_init(&disk->health, disk->name);
	for (i = 0; i < count; i++) {
		struct worker *worker = &workers[(*next_worker)++ % worker_count];

		err = queue_init(&queues->all[i], disk, i, worker);
		if (err)
			goto exit_queues;
	}
	restore_lost_writes(queues);
	queues_set_backend(queues, disk->backend);
	return 0;

exit_queues:
	log_err("%s: cannot create queue %u: %s", disk->name, i, strerror(-err));
	while (i--)
		queue_exit(&queues->all[i]);
	store_health_exit(&disk->health);
	free(queues->all);
	queues->all = NULL;
	return err;
}

void queues_exit(struct queues *queues)
{
	for (uint32_t i = 0; i < queues->count; i++)
		queue_exit(&queues->all[i]);
	store_health_exit(&queues->disk.health);
	free(queues->all);
	queues->all = NULL;
}

static void command_done(struct queue *queue)
{
	struct queues *queues = container_of(queue->disk, struct queues, disk);

	if (queue->command.result)
		queues->result = queue->command.result;
	if (--queues->waiting_for == 0)
		queues->done(queues);
}

void queues_command(struct queues *queues, enum queue_verb verb, uint64_t features,
		    void (*done)(struct queues *queues))
{
	queues->waiting_for = queues->count;
	queues->result = 0;
	queues->done = done;
	for (uint32_t i = 0; i < queues->count; i++)
		queue_command(&queues->all[i], verb, features, command_done);
}
