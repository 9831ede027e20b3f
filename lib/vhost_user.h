/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user protocol: numbers and layout of its messages. All fields are in native byte order.
 *
 * A front end (a VMM) connects to a Unix stream socket. It sends descriptors of the guest's memory,
 * addresses of virtqueues, and eventfds. The back end (this process) serves the virtqueues.
 *
 * Source: docs/interop/vhost-user.rst of QEMU.
 */
#ifndef LIB_VHOST_USER_H
#define LIB_VHOST_USER_H

#include <stdint.h>

/* "Front-end message types". Numbers that are missing are of no use for a back end here. */
enum vhost_user_request {
	VHOST_USER_TRANSCRIPT_END = 0, /* not of the protocol: vhost_user_transcript.h */
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
};

#define VHOST_USER_REQUESTS 44 /* the numbers are below */

/* "Back-end message types". */
#define VHOST_USER_BACKEND_CONFIG_CHANGE_MSG 2

/* Bits of the virtio features that the protocol defines. */
#define VHOST_F_LOG_ALL		       26
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* Bits of the protocol features. */
#define VHOST_USER_PROTOCOL_F_MQ		      0
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD		      1
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		      3
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ	      5
#define VHOST_USER_PROTOCOL_F_CONFIG		      9
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD	      12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE	      13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS     15
#define VHOST_USER_PROTOCOL_F_STATUS		      16
#define VHOST_USER_PROTOCOL_F_DEVICE_STATE	      19
#define VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT 20

/* Bits of vhost_user_header.flags. */
#define VHOST_USER_VERSION	1u
#define VHOST_USER_VERSION_MASK 3u
#define VHOST_USER_REPLY	4u
#define VHOST_USER_NEED_REPLY	8u

#define VHOST_USER_TABLE_MAX  8				 /* regions in SET_MEM_TABLE */
#define VHOST_USER_CONFIG_MAX 256			 /* bytes of config space */
#define VHOST_USER_FDS_MAX    8				 /* descriptors with one message */
#define VHOST_USER_FDS_ROOM   (VHOST_USER_FDS_MAX + 253) /* and SCM_MAX_FD, that come with its end */

/* Bits of the payload of SET_VRING_KICK, _CALL and _ERR. */
#define VHOST_USER_VRING_INDEX 0xffu
#define VHOST_USER_VRING_NO_FD 0x100u

#define VHOST_USER_VRING_F_LOG 1u /* of vhost_user_addr.flags */

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
} __attribute__((packed));

struct vhost_user_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used, avail; /* user addresses of the front end */
	uint64_t log;		    /* guest physical address of the used ring */
};

struct vhost_user_region {
	uint64_t guest_addr; /* guest physical */
	uint64_t size;	     /* bytes */
	uint64_t user_addr;  /* of the front end */
	uint64_t mmap_offset;
};

struct vhost_user_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_TABLE_MAX];
};

struct vhost_user_one_region {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_log {
	uint64_t mmap_size, mmap_offset;
};

struct vhost_user_config {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

struct vhost_user_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t num_queues, queue_size;
	uint32_t padding; /* no front end packs it */
};

struct vhost_user_device_state {
	uint32_t direction; /* 0: save, 1: load */
	uint32_t phase;
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_state state;
	struct vhost_user_addr addr;
	struct vhost_user_table table;
	struct vhost_user_one_region one_region;
	struct vhost_user_log log;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	struct vhost_user_device_state device_state;
};

#endif
