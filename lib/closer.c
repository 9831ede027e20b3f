// SPDX-License-Identifier: GPL-2.0-or-later
#include "closer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_all(const struct closer_items *items)
{
	for (unsigned int i = 0; i < items->fd_count; i++)
		if (items->fds[i] >= 0)
			close(items->fds[i]);
	for (unsigned int i = 0; i < items->mapping_count; i++)
		driver_release(&items->mappings[i]);
}

static void close_work(struct task *task)
{
	close_all(&container_of(task, struct closer, task)->items);
}

static void close_done(struct task *task)
{
	struct closer *closer = container_of(task, struct closer, task);

	if (closer->closed)
		closer->closed(closer);
	free(closer);
}

/* With a copy of @items behind it. */
static struct closer *closer_new(const struct closer_items *items)
{
	size_t mappings = items->mapping_count * sizeof(*items->mappings);
	size_t fds = items->fd_count * sizeof(*items->fds);
	struct closer *closer = malloc(sizeof(*closer) + mappings + fds);

	if (!closer)
		return NULL;
	*closer = (struct closer){
		.task = {
			.name = "close",
			.work = close_work,
			.done = close_done,
			.shares_descriptors = true,
		},
		.items = *items,
	};
	closer->items.mappings = closer->mappings;
	closer->items.fds = (int *)(closer->mappings + items->mapping_count);
	if (mappings)
		memcpy(closer->mappings, items->mappings, mappings);
	if (fds)
		memcpy(closer->mappings + items->mapping_count, items->fds, fds);
	return closer;
}

struct closer *closer_start(struct ring *ring, const struct closer_items *items,
			    void (*closed)(struct closer *closer), void *ctx)
{
	struct closer *closer = closer_new(items);

	if (closer) {
		closer->closed = closed;
		closer->ctx = ctx;
		if (!task_start(&closer->task, ring))
			return closer;
	}
	close_all(items);
	free(closer);
	return NULL;
}
