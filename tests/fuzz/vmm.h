/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end of vhost-user that sends what the input says: messages with any payload and any
 * descriptors, in pieces, in any order. It has the memory of a guest, and writes rings there.
 */
#ifndef TESTS_FUZZ_VMM_H
#define TESTS_FUZZ_VMM_H

#include <stdbool.h>

#include "fuzz.h"
#include "vhost_user.h"

#define VMM_QUEUES    2u
#define VMM_RING_SIZE 8u
#define VMM_MEMFDS    3u
#define VMM_MEMORY    0x10000u /* bytes of each memfd */

struct vmm {
	int fd; /* the socket; -1: not connected */
	int memfds[VMM_MEMFDS];
	uint8_t *memory; /* of the first memfd */
	int kicks[VMM_QUEUES], calls[VMM_QUEUES];
	int log_fd;	 /* for a dirty log */
	int null_fd;	 /* something that is not wanted anywhere */
	int inflight_fd; /* that it was given last; -1: none */
	struct vhost_user_inflight inflight;
	uint64_t features; /* that are offered */
};

/** vmm_init() - memory and eventfds; not connected */
void vmm_init(struct vmm *vmm);
void vmm_exit(struct vmm *vmm);

/** vmm_connect() - to the abstract socket @name. No effect where it is connected */
void vmm_connect(struct vmm *vmm, const char *name);
void vmm_disconnect(struct vmm *vmm);

/** vmm_read() - read all that was sent to it */
void vmm_read(struct vmm *vmm);

/* Steps. */
void vmm_message(struct vmm *vmm, struct input *in);
void vmm_bytes(struct vmm *vmm, struct input *in);
void vmm_region(struct vmm *vmm, struct input *in);
void vmm_ring_message(struct vmm *vmm, struct input *in);
void vmm_pass_inflight(struct vmm *vmm);
void vmm_truncate(struct vmm *vmm, struct input *in);
void vmm_scribble(struct vmm *vmm, struct input *in);
void vmm_request(struct vmm *vmm, struct input *in);
void vmm_kick(struct vmm *vmm, uint8_t which);
void vmm_damage_call(struct vmm *vmm, uint8_t which);

/** vmm_start() - the messages that start all rings, as QEMU sends them */
void vmm_start(struct vmm *vmm, bool log);

#endif
