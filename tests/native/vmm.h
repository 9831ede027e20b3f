/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual machine monitors as tables: which features each accepts, and in which order it sends its
 * messages, as their sources have it.
 */
#ifndef TESTS_NATIVE_VMM_H
#define TESTS_NATIVE_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

struct session;

/* A message, or a few that belong together. Steps whose protocol feature is not accepted are left out. */
enum step {
	STEPS_END,
	EACH_QUEUE, /* the steps up to NEXT_QUEUE, for each queue */
	NEXT_QUEUE,
	OWNER,
	GET_FEATURES,
	SET_FEATURES,
	SET_OFFERED_FEATURES, /* all that the back end offers, before the driver has chosen */
	GET_PROTOCOL,
	SET_PROTOCOL,
	SET_OFFERED_PROTOCOL, /* all that the back end offers, if the client can do it or not */
	QUEUE_NUM,
	MEM_SLOTS,
	BACKEND_FD,
	CONFIG,		 /* 60 bytes */
	CONFIG_WRITABLE, /* the same with the flag WRITABLE */
	CONFIG_PIECES,	 /* field by field, as the driver reads it */
	MEMORY,		 /* SET_MEM_TABLE */
	MEMORY_SLOTS,	 /* ADD_MEM_REG for each region */
	INFLIGHT,	 /* GET_INFLIGHT_FD at the first time, SET_INFLIGHT_FD */
	NUM,
	ADDR,
	BASE,
	BASE_AT_FIRST, /* not when it connects again */
	CALL,
	MASK, /* SET_VRING_CALL with an eventfd that nobody reads */
	KICK,
	ERR,
	ENABLE,
	DISABLE,
	GET_BASE,
	STATUS_DRIVER_OK,
	STATUS_RESET,
	RESET_OWNER,
	RESET_DEVICE,
};

#define STEPS_MAX 24

struct vmm {
	const char *name;
	uint64_t features; /* of virtio: what it lets the driver see */
	uint64_t protocol; /* features that it knows */
	unsigned int queues_max;
	uint16_t queue_size;
	uint16_t inflight_size; /* that it asks an inflight area for; 0: queue_size */
	bool need_reply_all;	/* NEED_REPLY in every message once REPLY_ACK is accepted */
	bool reconnects;
	enum step connect[STEPS_MAX];
	enum step start[STEPS_MAX];
	enum step stop[STEPS_MAX];
};

extern const struct vmm vmms[];
extern const unsigned int vmm_count;

/** vmm_find() - by name; fails the program where there is none */
const struct vmm *vmm_find(const char *name);

/** vmm_play() - one table of steps. Return: as the client's functions */
int __must_check vmm_play(struct session *s, const enum step *steps);

#endif
