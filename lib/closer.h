/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closes descriptors that another process has passed, and unmaps its memory, in a task.
 *
 * close() may block for ever: a socket waits for its linger time, a file on FUSE for its file server. The
 * last reference of a memory file frees all its pages, and of a socket closes what is queued in it.
 * munmap() of a guest's memory takes seconds.
 */
#ifndef LIB_CLOSER_H
#define LIB_CLOSER_H

#include "compiler.h"
#include "driver_map.h"
#include "list.h"
#include "ring.h"
#include "task.h"

struct closer_items {
	const int *fds; /* -1 entries are ignored */
	unsigned int fd_count;
	const struct driver_mapping *mappings;
	unsigned int mapping_count;
};

struct closer {
	struct list_node node; /* the caller's */
	struct task task;
	void (*closed)(struct closer *closer); /* NULL: the caller does not wait */
	void *ctx;			       /* the caller's */
	struct closer_items items;
	struct driver_mapping mappings[]; /* and then the descriptors */
};

/**
 * closer_start() - close and unmap @items, which are copied
 * @closed: called on the ring's thread when all are closed. Then the closer is freed. Set
 *          closer->closed to NULL where the caller cannot wait any more
 *
 * If no task can be started, this thread closes them. Return: the closer; NULL: all are
 * closed already, and @closed is not called
 */
struct closer *closer_start(struct ring *ring, const struct closer_items *items,
			    void (*closed)(struct closer *closer), void *ctx);

#endif
