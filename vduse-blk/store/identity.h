/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The identity of a disk, that is which bytes of which store it has, as text in its inflight log. */
#ifndef VDUSE_BLK_IDENTITY_H
#define VDUSE_BLK_IDENTITY_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "compiler.h"
#include "inflight.h"

struct disk_identity {
	char store[BACKEND_IDENTITY_MAX]; /* as in struct backend: "file 8:1/77" */
	uint64_t offset;		  /* bytes into the store */
	uint64_t size;			  /* bytes of the disk */
	uint32_t block;
	char serial[VIRTIO_BLK_ID_BYTES + 1];
};

/** identity_print() - write it as text. All versions must read the text of all others */
void identity_print(const struct disk_identity *identity, char text[INFLIGHT_IDENTITY_MAX]);

/** identity_parse() - read it from @text. Return: false: @text is no identity */
bool __must_check identity_parse(const char *text, struct disk_identity *out);

/** identity_overlaps() - do two disks have bytes of one store in common? No, if it keeps none */
bool identity_overlaps(const struct disk_identity *a, const struct disk_identity *b);

#endif
