/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One device, driven from user space: its memory, its two queues, the way to DRIVER_OK.
 *
 * Memory is files (memfd): the kernel hands mappings of files on to the server, and of nothing
 * else. The main area holds for each queue a ring and buffers; smaller ones have their quirks.
 */
#ifndef TESTS_HOSTILE_DRIVER_H
#define TESTS_HOSTILE_DRIVER_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "ring.h"
#include "vhost.h"

#define QUEUES 2u

/* Where things lie for the device. */
#define MAIN_IOVA    0x100000000ull
#define RO_IOVA	     0x200000000ull /* may be read only */
#define WO_IOVA	     0x300000000ull /* may be written only */
#define SPLIT_IOVA   0x400000000ull /* two regions without a gap, which meet at SPLIT_BORDER */
#define SPARE_IOVA   0x500000000ull /* for cases that bring their own memory */
#define NOWHERE_IOVA 0xe00000000ull
#define TOP_IOVA     (UINT64_MAX - (AREA_BYTES - 1)) /* the last page there is */

#define AREA_BYTES   0x10000u
#define SPLIT_BORDER (AREA_BYTES / 2)

/* Each queue's part of the main area: its ring, then its buffers. */
#define QUEUE_BYTES 0x200000u
#define AT_HEADER   (RING_BYTES + 0x0)
#define AT_STATUS   (RING_BYTES + 0x1000)
#define AT_TABLE    (RING_BYTES + 0x2000) /* indirect descriptors, up to AT_DATA */
#define AT_DATA	    (RING_BYTES + 0x20000)
#define DATA_BYTES  (QUEUE_BYTES - AT_DATA)
#define MAIN_BYTES  (QUEUES * QUEUE_BYTES)
#define POISON	    0xee /* in memory that the device has not written */

struct area {
	int fd;
	uint8_t *addr;
	size_t size;
};

struct driver {
	int fd;
	const char *path;
	uint64_t offered; /* features */
	uint64_t features;
	uint16_t ring_max;
	uint64_t sectors;
	struct area main;
	struct ring ring[QUEUES];
};

/** area_new() - shared memory of a file, filled with zeroes */
struct area area_new(size_t size);
void area_free(struct area *area);

/** driver_open() - a device at rest, with its main area mapped */
void driver_open(struct driver *d, const char *path);

/** driver_map_quirks() - map the smaller areas as well */
void driver_map_quirks(struct driver *d);

/** driver_reset() - status 0; the rings are empty again */
void driver_reset(struct driver *d);

/** driver_negotiate() - from status 0 to FEATURES_OK with d->features. Return: 0; -errno */
int __must_check driver_negotiate(struct driver *d);

/** driver_set_queue() - say where a queue is, as it is in d->ring, and enable it */
void driver_set_queue(struct driver *d, uint32_t queue);

/** driver_ok() - the last step. Return: 0; -errno */
int __must_check driver_ok(struct driver *d);

/** driver_start() - all steps, from any state */
void driver_start(struct driver *d);

/* Where a queue's memory lies, for the device and for us; @at: AT_* */
uint64_t driver_iova(const struct driver *d, uint32_t queue, uint32_t at);
uint8_t *driver_mem(const struct driver *d, uint32_t queue, uint32_t at);

/** driver_header() - write a request's header */
void driver_header(struct driver *d, uint32_t queue, uint32_t at, uint32_t type, uint64_t sector);

/** driver_good() - a write and a read, in which nothing is wrong, must succeed on @queue */
void driver_good(struct driver *d, uint32_t queue);

/** driver_offer_read() - offer a good read in three descriptors from @head on; not published */
void driver_offer_read(struct driver *d, uint32_t queue, uint16_t head);

#endif
