/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface of a virtqueue to its front end: addresses of the rings, kicks, interrupts, memory.
 *
 * Each front end (frontend/) implements it, with one struct transport for each disk. The front end
 * starts and stops the queues by commands (queue.h). Differences between front ends are data in
 * struct transport: code in queue/ never asks which front end it has.
 */
#ifndef VDUSE_BLK_TRANSPORT_H
#define VDUSE_BLK_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "dirty_log.h"
#include "iotlb.h"

struct transport;

/* The addresses of the rings of a queue, as the driver set them: not checked. */
struct transport_rings {
	bool ready; /* false: the driver has not set the queue up, and only next_avail is valid */
	uint32_t size;		       /* descriptors */
	uint64_t desc, driver, device; /* addresses for the IOTLB */
	uint16_t next_avail;	       /* avail index of the first chain to pop */
};

/* Called on the worker of @queue. They must not block. */
struct transport_ops {
	/** @rings: called at a start, and again if the queue was not ready. Return: 0; -errno */
	int (*rings)(struct transport *transport, uint32_t queue, struct transport_rings *out);

	/**
	 * @kick: get the descriptor that becomes readable when the driver kicks
	 *
	 * Called at each start. The front end owns the descriptor, and keeps it open until the
	 * queue is stopped. Return: the descriptor; -errno
	 */
	int (*kick)(struct transport *transport, uint32_t queue);

	/**
	 * @interrupt: interrupt the driver: the used ring has new entries
	 * @adopted: the former server may have died before it interrupted, so perhaps the used ring
	 *	     has no new entries
	 *
	 * Return: 0; -EAGAIN: the front end cannot interrupt yet, try again soon; other -errno
	 */
	int (*interrupt)(struct transport *transport, uint32_t queue, bool adopted);

	/** @broken: the queue is broken, and serves nothing until it is stopped. May be NULL */
	void (*broken)(struct transport *transport, uint32_t queue);

	/** @running: the queue was started or stopped. May be NULL */
	void (*running)(struct transport *transport, uint32_t queue, bool running);

	/**
	 * @buffer: get the bounce buffer, which contains all data of the driver until a stop
	 *
	 * For registration with io_uring. Called only if @has_buffer. Return: 0; -EAGAIN: not known
	 * yet, ask again; -ENOENT: the bounce buffer is the kernel's
	 */
	int (*buffer)(struct transport *transport, void **addr, size_t *size);

	/**
	 * @dirty_log: the dirty log of a live migration, asked for at each start and resume
	 * @used: out: guest physical address of the used ring
	 *
	 * May be NULL. Return: the log, valid until the queue is paused or stopped; NULL: none
	 */
	const struct dirty_log *(*dirty_log)(struct transport *transport, uint32_t queue,
					     uint64_t *used);

	/**
	 * @idle: has the transport no operation under way on the worker of @queue?
	 *
	 * Called before the queue is stopped or removed. Else cancels it, and schedules the work of
	 * the queue when it has ended. May be NULL
	 */
	bool (*idle)(struct transport *transport, uint32_t queue);
};

struct transport {
	const struct transport_ops *ops;
	struct iotlb *iotlb;
	bool has_buffer;	   /* @buffer may be called */
	const char *unmapped_hint; /* for the log line about rings that are not mapped; may be "" */
};

#endif
