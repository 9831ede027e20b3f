/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One front end at one disk: its connection, its guest's memory and queues, and the state that
 * outlives a connection. The orders of messages are tables of steps (vmm.h).
 *
 * Functions without a result end the program where something is wrong; those with one return what
 * the client returned, so that a caller can see -ECONNRESET.
 */
#ifndef TESTS_NATIVE_SESSION_H
#define TESTS_NATIVE_SESSION_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>

#include "vhost_user_client.h"
#include "vhost_user_guest.h"

#define QUEUES_MAX 8

/*
 * Guest memory: two queues in two regions that are adjacent; a gap; and the other queues above 4 GiB.
 * The border of the first two may lie in the third slot of the first queue.
 */
#define MEM_HIGH_BYTES (VUG_QUEUE_BYTES * QUEUES_MAX)
#define MEM_LOW	       0x100000ull
#define MEM_HIGH       0x100000000ull

struct vmm;

struct session {
	const char *path;
	const struct vmm *vmm;
	struct vuc c;
	struct vug_memory memory;
	struct vug_queue queues[QUEUES_MAX];
	unsigned int queue_count;
	uint16_t queue_size;
	uint64_t offered;	   /* virtio features of the back end */
	uint64_t features;	   /* accepted */
	uint64_t protocol_offered; /* protocol features of the back end */
	uint64_t queues_offered;
	uint64_t slots_offered;
	struct virtio_blk_config config;
	struct vuc_inflight inflight;
	int inflight_fd;  /* -1: none */
	bool again;	  /* this connection is not the first one */
	bool memory_sent; /* by ADD_MEM_REG, on this connection */
	bool hostile;	  /* session_reconnect() may return -EREMOTEIO: a message was refused */
	bool log_all;	  /* SET_FEATURES and SET_VRING_ADDR ask for the dirty log */
};

/**
 * session_open() - connect, and the VMM's messages up to the disk's configuration
 * @border: buffers cross the border of two regions
 */
void session_open(struct session *s, const char *path, const struct vmm *vmm,
		  unsigned int queue_count, bool border);

/** session_start() - the messages of the VMM for a driver that sets DRIVER_OK */
void session_start(struct session *s);

/** session_stop() - the messages for a driver that resets: nothing is in flight afterwards */
void session_stop(struct session *s);

/** session_can_stop() - does the VMM have any? Some let no guest reset its device */
bool session_can_stop(const struct session *s);

/** session_reset() - what the guest's driver does after that: empty rings, nothing in flight */
void session_reset(struct session *s);

/** session_close() - the connection; session_exit(): and all memory */
void session_close(struct session *s);
void session_exit(struct session *s);

/** session_reconnect() - after the connection is gone: all messages again, with what is in flight */
int __must_check session_reconnect(struct session *s);

/** session_has() - has a virtio feature been accepted? */
bool session_has(const struct session *s, unsigned int bit);

/** session_protocol() - does the back end offer a protocol feature? */
bool session_protocol(const struct session *s, enum vuc_protocol bit);

#endif
