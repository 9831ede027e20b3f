/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A malformed chain as a row of a table: its descriptors, and what must come back.
 *
 * Descriptors follow each other unless a row says otherwise. The status belongs into the last byte
 * that the chain lets the device write; where that cannot be found, the chain comes back with
 * length 0 and nothing written.
 */
#ifndef TESTS_HOSTILE_SKETCH_H
#define TESTS_HOSTILE_SKETCH_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostile.h"

/* Where a descriptor points. */
enum place { NO_PLACE, HEADER, STATUS, DATA, TABLE, RO, WO, SPLIT, TOP, NOWHERE };

struct sketch_desc {
	enum place place;
	uint32_t offset;
	uint32_t len;
	bool in;	/* the device may write it */
	bool indirect;	/* flag */
	bool stop;	/* nothing follows, whatever stands below */
	uint16_t next;	/* GO_TO() an entry instead of the one below */
	uint16_t flags; /* set too */
};

#define OUT(place_, offset_, len_, ...)                                                            \
	{                                                                                          \
		.place = place_, .offset = offset_, .len = len_, __VA_ARGS__                       \
	}
#define IN(place_, offset_, len_, ...)                                                             \
	{                                                                                          \
		.place = place_, .offset = offset_, .len = len_, .in = true, __VA_ARGS__           \
	}
#define HEAD	     OUT(HEADER, 0, 16)
#define LAST	     IN(STATUS, 0, 1)
#define GO_TO(entry) .next = (uint16_t)((entry) + 1u)

#define SKETCH_MAX 20

/* How the chain comes to the device. */
enum way { DIRECT, INDIRECT };

enum outcome {
	ANSWERED, /* with a status */
	RETURNED, /* with length 0, nothing written */
};

struct sketch {
	const char *name;
	enum way way;
	uint32_t type;
	uint64_t sector;
	struct sketch_desc desc[SKETCH_MAX];
	enum outcome outcome;
	uint8_t status;
	uint32_t used;	      /* length */
	uint32_t table_bytes; /* INDIRECT: of the table, where it is not as long as it should be */
	enum place table_place; /* INDIRECT: where the descriptor in the ring says it is */
	uint32_t table_offset;
	uint16_t head_flags; /* INDIRECT: of that descriptor, set too */
	bool not_negotiated; /* INDIRECT: the feature */
	const char *payload; /* what stands in DATA, as bytes */
	uint32_t payload_bytes;
	bool read_only; /* on the device that cannot be written */
};

/* Tables; each ends with a row without a name. */
extern const struct sketch chain_sketches[];
extern const struct sketch indirect_sketches[];
extern const struct sketch request_sketches[];

/** sketch_run() - on queue 0 of the victim or the read-only device, which runs and goes on to */
void sketch_run(struct bench *bench, const struct sketch *sketch);

#endif
