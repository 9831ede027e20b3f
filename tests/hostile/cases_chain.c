// SPDX-License-Identifier: GPL-2.0-or-later
/* Chains that are wrong as chains, whatever they ask for (virtio 1.3, 2.7). */
#include "sketch.h"

#define IOERR .outcome = ANSWERED, .status = VIRTIO_BLK_S_IOERR
#define FINE  .outcome = ANSWERED, .status = VIRTIO_BLK_S_OK
#define LOST  .outcome = RETURNED

/* clang-format off */
const struct sketch chain_sketches[] = {
	/* The walk never ends, or leaves the table. */
	{ "loop-self", .desc = { OUT(HEADER, 0, 16, GO_TO(0)), IN(STATUS, 0, 1) }, LOST },
	{ "loop-of-two", .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1, GO_TO(1)) },
	  LOST },
	{ "loop-of-empty", .desc = { OUT(HEADER, 0, 16), IN(STATUS, 0, 1), OUT(DATA, 0, 0, GO_TO(1)) },
	  LOST },
	{ "loop-of-4g", .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, UINT32_MAX, GO_TO(1)) }, LOST },
	{ "next-is-size", .desc = { OUT(HEADER, 0, 16), IN(STATUS, 0, 1, GO_TO(1024)) }, LOST },
	{ "next-is-65534", .desc = { OUT(HEADER, 0, 16), IN(STATUS, 0, 1, GO_TO(65534)) }, LOST },
	/* A table full of zeroes lies behind it: one more, empty, without a flag. */
	{ "next-is-blank", .desc = { OUT(HEADER, 0, 16), IN(STATUS, 0, 1, GO_TO(100)) }, IOERR,
	  .type = VIRTIO_BLK_T_IN, .sector = UINT64_MAX },

	/* Memory that is not there, or not for this. */
	{ "header-nowhere", .desc = { OUT(NOWHERE, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "data-nowhere", .desc = { OUT(HEADER, 0, 16), IN(NOWHERE, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "data-out-nowhere", .type = VIRTIO_BLK_T_OUT,
	  .desc = { OUT(HEADER, 0, 16), OUT(NOWHERE, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "status-nowhere", .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(NOWHERE, 0, 1) }, LOST },
	{ "all-nowhere", .desc = { OUT(NOWHERE, 0, 16), IN(NOWHERE, 0, 512), IN(NOWHERE, 0, 1) }, LOST },
	{ "data-half-nowhere",
	  .desc = { OUT(HEADER, 0, 16), IN(TOP, AREA_BYTES - 512, 512), IN(RO, AREA_BYTES - 512, 1024),
		    IN(STATUS, 0, 1) }, IOERR },
	{ "data-read-only", .desc = { OUT(HEADER, 0, 16), IN(RO, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "status-read-only", .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(RO, 0, 1) }, LOST },
	{ "header-write-only", .desc = { OUT(WO, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "data-out-write-only", .type = VIRTIO_BLK_T_OUT,
	  .desc = { OUT(HEADER, 0, 16), OUT(WO, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "data-write-only", .desc = { OUT(HEADER, 0, 16), IN(WO, 0, 512), IN(STATUS, 0, 1) }, FINE,
	  .used = 513 },
	{ "data-at-the-top",
	  .desc = { OUT(HEADER, 0, 16), IN(TOP, AREA_BYTES - 512, 512), IN(STATUS, 0, 1) }, FINE,
	  .used = 513 },
	{ "data-wraps",
	  .desc = { OUT(HEADER, 0, 16), IN(TOP, AREA_BYTES - 512, 1024), IN(STATUS, 0, 1) }, IOERR },
	{ "data-wraps-4g",
	  .desc = { OUT(HEADER, 0, 16), IN(TOP, 0, UINT32_MAX), IN(STATUS, 0, 1) }, IOERR },
	{ "header-wraps",
	  .desc = { OUT(TOP, AREA_BYTES - 8, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "status-wraps", .desc = { OUT(HEADER, 0, 16), IN(TOP, AREA_BYTES - 8, 513) }, LOST },
	{ "data-over-a-border",
	  .desc = { OUT(HEADER, 0, 16), IN(SPLIT, SPLIT_BORDER - 512, 1024), IN(STATUS, 0, 1) }, FINE,
	  .used = 1025 },
	{ "data-over-a-border-oddly",
	  .desc = { OUT(HEADER, 0, 16), IN(SPLIT, SPLIT_BORDER - 3, 512), IN(STATUS, 0, 1) }, FINE,
	  .used = 513 },

	/* The order and number of parts. */
	{ "status-only", .desc = { IN(STATUS, 0, 1) }, IOERR },
	{ "no-status", .desc = { OUT(HEADER, 0, 16), OUT(DATA, 0, 512) }, LOST },
	{ "header-only", .desc = { OUT(HEADER, 0, 16) }, LOST },
	{ "header-for-writing", .desc = { IN(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "writable-first", .desc = { IN(DATA, 0, 512), OUT(HEADER, 0, 16), IN(STATUS, 0, 1) }, IOERR },
	{ "status-first", .desc = { IN(STATUS, 0, 1), OUT(HEADER, 0, 16) }, IOERR },
	{ "header-of-15", .desc = { OUT(HEADER, 0, 15), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "header-of-0", .desc = { OUT(HEADER, 0, 0), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, IOERR },
	{ "all-empty", .desc = { OUT(HEADER, 0, 0), IN(DATA, 0, 0), IN(STATUS, 0, 0) }, LOST },
	{ "empty-nowhere",
	  .desc = { OUT(NOWHERE, 0, 0), OUT(HEADER, 0, 16), IN(NOWHERE, 0, 0), IN(DATA, 0, 512),
		    IN(STATUS, 0, 1), IN(NOWHERE, 0, 0) }, FINE, .used = 513 },
	{ "header-in-bytes",
	  .desc = { OUT(HEADER, 0, 1), OUT(HEADER, 1, 1), OUT(HEADER, 2, 1), OUT(HEADER, 3, 1),
		    OUT(HEADER, 4, 1), OUT(HEADER, 5, 1), OUT(HEADER, 6, 1), OUT(HEADER, 7, 1),
		    OUT(HEADER, 8, 1), OUT(HEADER, 9, 1), OUT(HEADER, 10, 1), OUT(HEADER, 11, 1),
		    OUT(HEADER, 12, 1), OUT(HEADER, 13, 1), OUT(HEADER, 14, 1), OUT(HEADER, 15, 1),
		    IN(DATA, 0, 512), IN(STATUS, 0, 1) }, FINE, .used = 513 },
	{ "header-with-data", .type = VIRTIO_BLK_T_OUT,
	  .desc = { OUT(HEADER, 0, 16 + 512), IN(STATUS, 0, 1) }, FINE, .used = 1 },
	{ "data-with-status", .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 513) }, FINE, .used = 513 },
	{ "unknown-flags",
	  .desc = { OUT(HEADER, 0, 16, .flags = 0xff00), IN(DATA, 0, 512, .flags = 0x5a58),
		    IN(STATUS, 0, 1, .flags = 0xfff8) }, FINE, .used = 513 },
	{ 0 }
};

const struct sketch indirect_sketches[] = {
	{ "indirect", INDIRECT, .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, FINE,
	  .used = 513 },
	{ "indirect-not-negotiated", INDIRECT, .not_negotiated = true,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-after-direct",
	  .desc = { OUT(HEADER, 0, 16), OUT(TABLE, 0, 32, .indirect = true) }, LOST },
	{ "indirect-with-next", INDIRECT, .head_flags = VRING_DESC_F_NEXT,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-for-writing", INDIRECT, .head_flags = VRING_DESC_F_WRITE, /* 2.7.5.3.2: ignored */
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, FINE, .used = 513 },
	{ "indirect-nested", INDIRECT,
	  .desc = { OUT(HEADER, 0, 16), OUT(TABLE, 0, 48, .indirect = true), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-nested-last", INDIRECT,
	  .desc = { OUT(HEADER, 0, 16), IN(STATUS, 0, 1), OUT(TABLE, 0, 48, .indirect = true) }, LOST },
	{ "indirect-in-itself", INDIRECT, .desc = { OUT(TABLE, 0, 16, .indirect = true) }, LOST },
	{ "indirect-odd-size", INDIRECT, .table_bytes = 47,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-15-bytes", INDIRECT, .table_bytes = 15, .desc = { IN(STATUS, 0, 1) }, LOST },
	{ "indirect-empty", .desc = { OUT(TABLE, 0, 0, .indirect = true) }, LOST },
	{ "indirect-too-short", INDIRECT, .table_bytes = 32,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-4g", INDIRECT, .table_bytes = UINT32_MAX - 15,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, FINE, .used = 513 },
	{ "indirect-4g-loop", INDIRECT, .table_bytes = UINT32_MAX - 15,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1, GO_TO(1)) }, LOST },
	{ "indirect-next-outside", INDIRECT,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1, GO_TO(3)) }, LOST },
	{ "indirect-nowhere", INDIRECT, .table_place = NOWHERE, .desc = { IN(STATUS, 0, 1) }, LOST },
	{ "indirect-write-only", INDIRECT, .table_place = WO, .desc = { IN(STATUS, 0, 1) }, LOST },
	{ "indirect-off-the-end", INDIRECT, .table_place = TOP, .table_offset = AREA_BYTES - 16,
	  .desc = { OUT(HEADER, 0, 16), IN(DATA, 0, 512), IN(STATUS, 0, 1) }, LOST },
	{ "indirect-noise", INDIRECT, .table_place = RO, .table_bytes = 0x1000,
	  .desc = { IN(STATUS, 0, 1) }, LOST },
	{ "indirect-at-an-odd-place", INDIRECT, .table_place = HEADER, .table_offset = 1,
	  .table_bytes = 16, .desc = { IN(STATUS, 0, 1) }, LOST },
	{ 0 }
};
/* clang-format on */
