/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by inflight.c (a file) and inflight_memory.c (memory that a front end keeps). */
#ifndef LIB_INFLIGHT_PRIV_H
#define LIB_INFLIGHT_PRIV_H

#include "inflight.h"

#define INFLIGHT_MAGIC	 0x746c666e69627576ull /* "vubinflt" */
#define INFLIGHT_VERSION 2u

struct inflight_header {
	uint64_t magic;
	uint32_t version;
	uint32_t checksum; /* of the rest of the header */
	uint64_t features;
	uint16_t vq_num;
	uint16_t vq_size;
	uint32_t reserved;
	char identity[INFLIGHT_IDENTITY_MAX];
};

struct inflight {
	int dir_fd;	/* -1: the log is not in a file (inflight_memory.c) */
	char name[300]; /* of the file */
	struct inflight_header *header;
	size_t size;
	size_t vq_stride;
};

/** inflight_stride() - bytes of the part of one queue */
size_t inflight_stride(uint16_t vq_size);

/** inflight_size() - bytes of the whole log */
size_t inflight_size(uint16_t vq_num, uint16_t vq_size);

/** inflight_header_fill() - from @p */
void inflight_header_fill(struct inflight_header *header, const struct inflight_params *p);

/** inflight_header_check() - Return: 0; -EINVAL with an error text in @why */
int inflight_header_check(const struct inflight_header *h, const struct inflight_params *p,
			  char why[INFLIGHT_WHY_MAX]);

#endif
