// SPDX-License-Identifier: GPL-2.0-or-later
#include "closer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void close_work(struct task *task)
{
	struct closer *closer = container_of(task, struct closer, task);

	close_all(closer->fds, closer->count);
}

static void close_done(struct task *task)
{
	struct closer *closer = container_of(task, struct closer, task);

	if (closer->closed)
		closer->closed(closer);
	free(closer);
}

struct closer *closer_start(struct ring *ring, const int *fds, unsigned int count,
			    void (*closed)(struct closer *closer), void *ctx)
{
	struct closer *closer = malloc(sizeof(*closer) + count * sizeof(*fds));

	if (!closer) {
		close_all(fds, count);
		return NULL;
	}
	*closer = (struct closer){
		.task = {
			.name = "close",
			.work = close_work,
			.done = close_done,
			.shares_descriptors = true,
		},
		.closed = closed,
		.ctx = ctx,
		.count = count,
	};
	memcpy(closer->fds, fds, count * sizeof(*fds));
	if (!task_start(&closer->task, ring))
		return closer;
	close_all(fds, count);
	free(closer);
	return NULL;
}
