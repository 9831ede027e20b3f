/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk, whole but for the kernel: worker threads, rings, queues, the device, a file as its
 * store. The test plays the kernel (fake_kern), the driver (a guest per queue), the store where it
 * likes (manual_backend), and turns the main thread's ring by waiting for something.
 *
 * A test may change what is marked with (t) before rig_start().
 */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H

#include <check.h>
#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/disk_device.h"
#include "fake_kern.h"
#include "guest.h"
#include "manual_backend.h"
#include "ring.h"
#include "queue/worker.h"
#include "suite.h"

#define RIG_DISK_SIZE	(1u << 20)
#define RIG_QUEUES_MAX	4
#define RIG_WORKERS_MAX 2

/* What a Linux driver writes one after the other, up to and with the last. */
#define RIG_ACKNOWLEDGE 0x1
#define RIG_DRIVER	0x3
#define RIG_FEATURES_OK 0xb
#define RIG_DRIVER_OK	0xf

struct rig {
	struct device_config config; /* (t) 2 queues of 64, cache = writeback */
	unsigned int worker_count;   /* (t) 1 */
	uint16_t num;		     /* (t) descriptors of the driver's rings; 64 */
	bool event_idx, indirect;    /* (t) accepted and used by the driver; at any reset */
	bool bounce;		     /* (t) bounce memory at IOVA 0 is ours; guests lie behind it */
	bool scarce;		     /* (t) device_create() gets @descriptors and no more */
	unsigned int descriptors;
	uint64_t refused; /* (t) features that are offered and not accepted; at any reset */

	struct ring ring; /* the main thread's */
	struct worker workers[RIG_WORKERS_MAX];
	struct polling_shared polling_shared;
	struct device device;
	struct backend *store; /* a manual one, in front of the file's */
	struct fake_dev *kern;
	struct guest *guests[RIG_QUEUES_MAX];
	bool closed;

	/* Of the request that rig_next() took last. */
	uint32_t used_len;
};

extern struct rig rig;

/* A request that the driver made. */
struct rig_req {
	uint32_t queue;
	int head;
	uint64_t data;	 /* address of the bytes after the header */
	uint64_t status; /* of the status byte */
	uint32_t len;
};

/* Checked fixture; temp_dir_make() is to be an unchecked one. What is started gets stopped. */
void rig_setup(void);
void rig_teardown(void);

/** rig_wait() - turn the main ring until @cond holds */
#define rig_wait(cond) turn_until(cond, rig_turn())

void rig_turn(void);

/** rig_settle() - until all threads have done what they were told to, and sleep */
void rig_settle(void);

/** rig_let_time_pass() - on the first worker: a few ms, longer than a timer for a retry */
void rig_let_time_pass(void);

/** rig_open() - start threads, open the store, create the device; it takes no messages yet */
void rig_open(void);

/** rig_try_open() - rig_open(), which may fail and then leaves nothing. Return: 0; -errno */
int rig_try_open(void);

/** rig_start() - serve a new device and put it on the vdpa bus; a driver may come */
void rig_start(void);

/** rig_close() - device_close(), to its end; what the store holds is done */
void rig_close(void);

/** rig_destroy() - device_destroy() after rig_close() gives @err; it removes the inflight log */
void rig_destroy(int err);

/** rig_stop() - rig_close() unless that was done, off the bus, destroy it, end the threads */
void rig_stop(void);

/**
 * rig_crash() - the server is killed: what it would do from now on does not happen
 *
 * The inflight log, the driver's memory and the kernel's messages stay as they are now; what the store
 * has not begun is lost.
 */
void rig_crash(void);

/** rig_restart() - a new server for the device that a dead one left; as far as it takes messages */
void rig_restart(void);

/** rig_map() - the driver maps its memory; rig_unmap() takes it away, and the kernel tells nobody */
void rig_map(void);
void rig_unmap(void);

/* Control messages. */
uint32_t rig_send_status(uint8_t status);
uint32_t rig_send_iotlb(uint64_t start, uint64_t last);
uint32_t rig_send_vq_state(uint32_t index);
bool rig_has_reply(uint32_t request_id);

/** rig_reply_is_ok() - wait for the answer. Return: was it yes? */
bool rig_reply_is_ok(uint32_t request_id);

/** rig_status() - the driver sets @status, is answered with yes, and the kernel does the rest */
void rig_status(uint8_t status);

/** rig_program_vq() - the driver puts queue @index where its guest has it, ready or not */
void rig_program_vq(uint32_t index, bool ready);

/** rig_program() - maps memory, accepts features, programs all queues: all but the status */
void rig_program(void);

/** rig_driver_start() - rig_program() and the walk to DRIVER_OK */
void rig_driver_start(void);

/**
 * rig_add() - make a request; the device sees it after rig_go()
 * @len: bytes of data, which the driver fills with a pattern where the device reads them
 */
struct rig_req rig_add(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len);

/**
 * rig_add_in_pieces() - a read of one sector, in @pieces that do not lie side by side
 *
 * rig_add_pieces(): in so many that it needs a large buffer; no more are possible.
 */
struct rig_req rig_add_in_pieces(uint32_t queue, uint64_t sector, uint32_t pieces);
struct rig_req rig_add_pieces(uint32_t queue, uint64_t sector);

/** rig_add_at() - a read of @len bytes to @addr, which need not be the guest's memory */
struct rig_req rig_add_at(uint32_t queue, uint64_t sector, uint64_t addr, uint32_t len);

/** rig_fill() - write the data of a request that is not published yet */
void rig_fill(const struct rig_req *req, const void *data, uint32_t len);

/** rig_go() - publish what was added to @queue, kick where the device wants it */
void rig_go(uint32_t queue);

/** rig_next() - wait for the next request that @queue gives back. Return: its head */
int rig_next(uint32_t queue);

/** rig_has_next() - has @queue given one back? */
bool rig_has_next(uint32_t queue);

/** rig_finish() - wait for @req, which has to be the next. Return: its status */
uint8_t rig_finish(const struct rig_req *req);

/** rig_do() - rig_add(), rig_go() and rig_finish() */
uint8_t rig_do(uint32_t queue, uint32_t type, uint64_t sector, uint32_t len);

/** rig_mapped_regions() - how many the server has mapped */
unsigned int rig_mapped_regions(void);

/** rig_check_stopped() - nothing is in flight, and every request came back; queues are paused or stopped */
void rig_check_stopped(void);

#endif
