/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front-end side of a vhost-user socket (QEMU's docs/interop/vhost-user.rst), written for tests:
 * it shares no code with the server, and sends whatever a test wants to send.
 *
 * All functions return 0 or -errno unless they say otherwise: -ETIMEDOUT where the deadline of the
 * client is over, -ECONNRESET where the back end has closed the connection, -EPROTO for a reply that
 * is not well-formed, -EREMOTEIO where the back end refused a message. One thread.
 */
#ifndef TESTS_VHOST_USER_CLIENT_H
#define TESTS_VHOST_USER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

enum vuc_request {
	VUC_GET_FEATURES = 1,
	VUC_SET_FEATURES = 2,
	VUC_SET_OWNER = 3,
	VUC_RESET_OWNER = 4,
	VUC_SET_MEM_TABLE = 5,
	VUC_SET_LOG_BASE = 6,
	VUC_SET_LOG_FD = 7,
	VUC_SET_VRING_NUM = 8,
	VUC_SET_VRING_ADDR = 9,
	VUC_SET_VRING_BASE = 10,
	VUC_GET_VRING_BASE = 11,
	VUC_SET_VRING_KICK = 12,
	VUC_SET_VRING_CALL = 13,
	VUC_SET_VRING_ERR = 14,
	VUC_GET_PROTOCOL_FEATURES = 15,
	VUC_SET_PROTOCOL_FEATURES = 16,
	VUC_GET_QUEUE_NUM = 17,
	VUC_SET_VRING_ENABLE = 18,
	VUC_SET_BACKEND_REQ_FD = 21,
	VUC_GET_CONFIG = 24,
	VUC_SET_CONFIG = 25,
	VUC_GET_INFLIGHT_FD = 31,
	VUC_SET_INFLIGHT_FD = 32,
	VUC_RESET_DEVICE = 34,
	VUC_GET_MAX_MEM_SLOTS = 36,
	VUC_ADD_MEM_REG = 37,
	VUC_REM_MEM_REG = 38,
	VUC_SET_STATUS = 39,
	VUC_GET_STATUS = 40,
	VUC_SET_DEVICE_STATE_FD = 42,
	VUC_CHECK_DEVICE_STATE = 43,
	VUC_REQUEST_END = 48, /* behind all that the specification has */
};

/* Of the back end, on the socket of SET_BACKEND_REQ_FD. */
#define VUC_BACKEND_CONFIG_CHANGE 2

/* Flags of a header. */
#define VUC_VERSION    0x1u
#define VUC_REPLY      0x4u
#define VUC_NEED_REPLY 0x8u

/* Bits of the virtio features that are vhost-user's own. */
#define VUC_F_LOG_ALL  26
#define VUC_F_PROTOCOL 30

/* Bits of the protocol features. */
enum vuc_protocol {
	VUC_P_MQ = 0,
	VUC_P_LOG_SHMFD = 1,
	VUC_P_REPLY_ACK = 3,
	VUC_P_BACKEND_REQ = 5,
	VUC_P_CONFIG = 9,
	VUC_P_INFLIGHT_SHMFD = 12,
	VUC_P_RESET_DEVICE = 13,
	VUC_P_CONFIGURE_MEM_SLOTS = 15,
	VUC_P_STATUS = 16,
	VUC_P_DEVICE_STATE = 19,
	VUC_P_GET_VRING_BASE_INFLIGHT = 20,
};

#define VUC_NO_FD	0x100u /* in a u64 of SET_VRING_KICK, CALL and ERR: no descriptor */
#define VUC_VRING_F_LOG 0x1u

struct vuc_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vuc_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vuc_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* these three are addresses of the front end */
	uint64_t used;
	uint64_t avail;
	uint64_t log; /* guest physical address of the used ring */
};

struct vuc_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

#define VUC_TABLE_REGIONS 8

struct vuc_memory {
	uint32_t count;
	uint32_t padding;
	struct vuc_region regions[VUC_TABLE_REGIONS];
};

struct vuc_memory_slot {
	uint64_t padding;
	struct vuc_region region;
};

#define VUC_CONFIG_MAX 256

struct vuc_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VUC_CONFIG_MAX];
};
#define VUC_CONFIG_HEADER offsetof(struct vuc_config, bytes)

struct vuc_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding; /* on the wire too */
};

struct vuc_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

struct vuc_device_state {
	uint32_t direction; /* 0: save, 1: load */
	uint32_t phase;
};

#define VUC_PAYLOAD_MAX 4096
#define VUC_FDS_MAX	32

struct vuc_message {
	struct vuc_header header;
	union {
		uint64_t u64;
		struct vuc_vring_state state;
		struct vuc_config config;
		struct vuc_inflight inflight;
		uint8_t bytes[VUC_PAYLOAD_MAX];
	};
	int fds[VUC_FDS_MAX]; /* the receiver's to close */
	unsigned int fd_count;
};

struct vuc {
	int fd; /* -1: not connected */
	unsigned int deadline_ms;
	uint64_t protocol;   /* accepted by vuc_set_protocol_features() */
	bool need_reply_all; /* NEED_REPLY in each message, as the rust crate has it */
	int backend_fd;	     /* our end of SET_BACKEND_REQ_FD; -1: none */
};

/* What a message carries; zeroes are left out. */
struct vuc_send {
	const void *payload;
	size_t size;
	const int *fds;
	unsigned int fd_count;
	uint32_t flags; /* besides the version */
};

/**
 * vuc_connect() - to the socket at @path, which need not be there before the deadline
 *
 * -EAGAIN: others wait to be accepted, and no more may.
 */
int __must_check vuc_connect(struct vuc *c, const char *path, unsigned int deadline_ms);
void vuc_close(struct vuc *c);

/** vuc_has() - has the front end accepted a protocol feature? */
bool vuc_has(const struct vuc *c, enum vuc_protocol bit);

/** vuc_send_bytes() - exactly these bytes, with these descriptors, in one sendmsg() */
int __must_check vuc_send_bytes(struct vuc *c, const void *bytes, size_t size, const int *fds,
				unsigned int fd_count);

/** vuc_send() - a message, whose reply the caller receives where there is one */
int __must_check vuc_send(struct vuc *c, uint32_t request, const struct vuc_send *what);

/** vuc_receive() - the next message of the back end, with its descriptors */
int __must_check vuc_receive(struct vuc *c, struct vuc_message *message);

/**
 * vuc_ask() - a request that has a reply of its own
 *
 * -EPROTO: the reply is to another request, or its flags are not those of a reply.
 */
int __must_check vuc_ask(struct vuc *c, uint32_t request, const struct vuc_send *what,
			 struct vuc_message *reply);

/** vuc_tell() - a request without a reply of its own: acknowledged where REPLY_ACK is accepted */
int __must_check vuc_tell(struct vuc *c, uint32_t request, const struct vuc_send *what);

/** vuc_tell_fast() - the same without an acknowledgement */
int __must_check vuc_tell_fast(struct vuc *c, uint32_t request, const struct vuc_send *what);

/** vuc_closed() - has the back end closed the connection? Waits until the deadline */
bool vuc_closed(struct vuc *c);

/* One message each. */
int __must_check vuc_get_u64(struct vuc *c, uint32_t request, uint64_t *value);
int __must_check vuc_set_u64(struct vuc *c, uint32_t request, uint64_t value);
int __must_check vuc_set_empty(struct vuc *c, uint32_t request);
int __must_check vuc_set_protocol_features(struct vuc *c, uint64_t features);
int __must_check vuc_set_state(struct vuc *c, uint32_t request, uint32_t index, uint32_t num);

/** vuc_set_vring_fd() - SET_VRING_KICK, CALL or ERR; @fd -1: the message says that there is none */
int __must_check vuc_set_vring_fd(struct vuc *c, uint32_t request, uint32_t index, int fd);
int __must_check vuc_get_vring_base(struct vuc *c, uint32_t index, uint32_t *base);
int __must_check vuc_set_memory(struct vuc *c, const struct vuc_region *regions, const int *fds,
				unsigned int count);
int __must_check vuc_add_memory(struct vuc *c, const struct vuc_region *region, int fd);
int __must_check vuc_remove_memory(struct vuc *c, const struct vuc_region *region);

/** vuc_get_config() - -EREMOTEIO: an empty reply, which means an error */
int __must_check vuc_get_config(struct vuc *c, uint32_t offset, uint32_t size, uint32_t flags,
				uint8_t *bytes);
int __must_check vuc_set_config(struct vuc *c, uint32_t offset, const void *bytes, uint32_t size);

/**
 * vuc_get_inflight() - @inflight: in, the queues; out, the area. @fd: the caller's to close
 *
 * -EOPNOTSUPP: the back end has no area to give.
 */
int __must_check vuc_get_inflight(struct vuc *c, struct vuc_inflight *inflight, int *fd);
int __must_check vuc_set_inflight(struct vuc *c, const struct vuc_inflight *inflight, int fd);
int __must_check vuc_set_log_base(struct vuc *c, uint64_t size, int fd);

/** vuc_set_backend_fd() - hand the back end a socket, whose other end is @c->backend_fd */
int __must_check vuc_set_backend_fd(struct vuc *c);

/** vuc_next_backend_request() - wait for a request of the back end on that socket */
int __must_check vuc_next_backend_request(struct vuc *c, struct vuc_header *header);

/** vuc_device_state() - SET_DEVICE_STATE_FD with a pipe end. Return also -EREMOTEIO */
int __must_check vuc_device_state(struct vuc *c, uint32_t direction, int fd);

#endif
