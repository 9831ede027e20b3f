/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a virtqueue needs of the front end that its driver speaks to: where the rings are, how the
 * driver kicks and is interrupted, and memory.
 *
 * A front end (frontend/) implements it, one object for a disk. It starts and stops the queues by
 * commands (queue.h), and replies to its driver when a command has taken effect. Differences
 * between front ends are data in struct transport. No other file compares front ends.
 */
#ifndef VDUSE_BLK_TRANSPORT_H
#define VDUSE_BLK_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "iotlb.h"

struct transport;

/* Where the driver has put the rings of a queue. Not checked. */
struct transport_rings {
	bool ready; /* false: the driver has not set the queue up, the rest is void but next_avail */
	uint32_t size;		       /* descriptors */
	uint64_t desc, driver, device; /* addresses for the IOTLB */
	uint16_t next_avail;	       /* index of the next chain to take */
};

/* Functions for one queue are called on its worker. They must not block. */
struct transport_ops {
	/** @rings: at a start, and again for a queue that was not ready. Return: 0; -errno */
	int (*rings)(struct transport *transport, uint32_t queue, struct transport_rings *out);

	/**
	 * @kick: a descriptor that becomes readable when the driver has made chains available
	 *
	 * Asked for at each start; the front end's, open until the queue is stopped. Return: it;
	 * -errno
	 */
	int (*kick)(struct transport *transport, uint32_t queue);

	/**
	 * @interrupt: tell the driver that chains have come back
	 * @adopted: an earlier server may have died before it did so: the state that the front end
	 *	     has kept in this process may be wrong
	 *
	 * Return: 0; -EAGAIN: the driver cannot take it yet, try again soon; other -errno
	 */
	int (*interrupt)(struct transport *transport, uint32_t queue, bool adopted);

	/** @running: the queue begins or ends to take requests; NULL: nothing to do */
	void (*running)(struct transport *transport, uint32_t queue, bool running);

	/**
	 * @buffer: the one piece of memory that all data of the driver lies in, until it is stopped
	 *
	 * For registration with io_uring. Only where @has_buffer. Return: 0; -EAGAIN: not known
	 * yet, ask again; -ENOENT: there is none after all
	 */
	int (*buffer)(struct transport *transport, void **addr, size_t *size);
};

struct transport {
	const struct transport_ops *ops;
	struct iotlb *iotlb;
	bool has_buffer;	   /* @buffer may be called */
	const char *unmapped_hint; /* what the operator may look at when rings are not mapped; "" */
};

#endif
