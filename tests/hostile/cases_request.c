// SPDX-License-Identifier: GPL-2.0-or-later
/* Chains that are right as chains, and ask for what must be refused (virtio 1.3, 5.2.6). */
#include "sketch.h"

#ifndef VIRTIO_BLK_T_ZONE_REPORT /* Linux 6.3, linux/virtio_blk.h */
#define VIRTIO_BLK_T_ZONE_REPORT 16
#endif

#define IOERR  .outcome = ANSWERED, .status = VIRTIO_BLK_S_IOERR
#define UNSUPP .outcome = ANSWERED, .status = VIRTIO_BLK_S_UNSUPP
#define FINE   .outcome = ANSWERED, .status = VIRTIO_BLK_S_OK

#define READ(len)  .desc = { HEAD, IN(DATA, 0, len), LAST }
#define WRITE(len) .desc = { HEAD, OUT(DATA, 0, len), LAST }

/* Ranges of discard and write zeroes: a sector, a number of sectors and flags, little endian. */
#define ZERO4	       "\0\0\0\0"
#define FULL4	       "\xff\xff\xff\xff"
#define RANGE(s, n, f) s "\0\0\0\0\0\0\0" n "\0\0\0" f "\0\0\0"
#define PAYLOAD(bytes) .payload = (bytes), .payload_bytes = sizeof(bytes) - 1

#define EMPTY_16  RANGE("\0", "\0", "\0")
#define GOOD_16	  RANGE("\0", "\x08", "\0")
#define FLAGGED_2 RANGE("\0", "\x08", "\x02")
#define UNMAP_1	  RANGE("\0", "\x08", "\x01")

#define T_OUT  .type = VIRTIO_BLK_T_OUT
#define T_ID   .type = VIRTIO_BLK_T_GET_ID
#define T_TRIM .type = VIRTIO_BLK_T_DISCARD
#define T_ZERO .type = VIRTIO_BLK_T_WRITE_ZEROES
#define T_SYNC .type = VIRTIO_BLK_T_FLUSH

/* clang-format off */
const struct sketch request_sketches[] = {
	{ "read-nothing", READ(0), FINE, .used = 1 },
	{ "read-1", READ(1), IOERR },
	{ "read-511", READ(511), IOERR },
	{ "read-513", READ(513), IOERR },
	{ "read-at-the-end", READ(512), .sector = 64 << 11, IOERR },
	{ "read-over-the-end", READ(1024), .sector = (64 << 11) - 1, IOERR },
	{ "read-far-away", READ(512), .sector = UINT64_MAX, IOERR },
	{ "read-overflows", READ(512), .sector = UINT64_MAX / 512 + 1, IOERR },
	{ "read-overflows-by-one", READ(1024), .sector = UINT64_MAX / 512, IOERR },
	{ "read-into-no-data", .desc = { HEAD, OUT(DATA, 0, 512), LAST }, FINE,
	  .used = 1 },
	{ "write-nothing", T_OUT, WRITE(0), FINE, .used = 1 },
	{ "write-100", T_OUT, WRITE(100), IOERR },
	{ "write-at-the-end", T_OUT, WRITE(512), .sector = 64 << 11, IOERR },
	{ "write-overflows", T_OUT, WRITE(512), .sector = UINT64_MAX / 512 + 1, IOERR },
	{ "write-of-what-to-read", T_OUT, READ(512), FINE },
	{ "write-4g", T_OUT, WRITE(UINT32_MAX - 511), IOERR },
	{ "write-read-only", T_OUT, WRITE(512), .read_only = true, IOERR },
	{ "trim-read-only", T_TRIM, WRITE(16), PAYLOAD(GOOD_16), .read_only = true, UNSUPP },
	{ "zero-read-only", T_ZERO, WRITE(16), PAYLOAD(GOOD_16), .read_only = true, UNSUPP },

	{ "type-2", .type = 2, WRITE(512), UNSUPP },
	{ "type-secure-erase", .type = VIRTIO_BLK_T_SECURE_ERASE, WRITE(16), PAYLOAD(GOOD_16),
	  UNSUPP },
	{ "type-zone-report", .type = VIRTIO_BLK_T_ZONE_REPORT, READ(512), UNSUPP },
	{ "type-lifetime", .type = 10, READ(512), UNSUPP },
	{ "type-barrier", .type = VIRTIO_BLK_T_BARRIER, WRITE(512), UNSUPP },
	{ "type-all-ones", .type = UINT32_MAX, WRITE(512), UNSUPP },

	{ "id-short", T_ID, READ(5), FINE, .used = 6 },
	{ "id-none", T_ID, READ(0), FINE, .used = 1 },
	{ "id-long", T_ID, READ(100), FINE, .used = 20 },
	{ "flush-with-data", T_SYNC, WRITE(512), FINE, .used = 1 },
	{ "flush-with-room", T_SYNC, READ(512), FINE },
	{ "flush-somewhere", T_SYNC, WRITE(0), .sector = UINT64_MAX, FINE, .used = 1 },

	{ "trim", T_TRIM, WRITE(16), PAYLOAD(GOOD_16), FINE, .used = 1 },
	{ "trim-nothing", T_TRIM, WRITE(16), PAYLOAD(EMPTY_16), FINE, .used = 1 },
	{ "trim-without-range", T_TRIM, WRITE(0), IOERR },
	{ "trim-odd", T_TRIM, WRITE(17), PAYLOAD(GOOD_16 "\0"), IOERR },
	{ "trim-cut", T_TRIM, WRITE(15), PAYLOAD(GOOD_16), IOERR },
	{ "trim-unmap", T_TRIM, WRITE(16), PAYLOAD(UNMAP_1), UNSUPP },
	{ "trim-unknown-flag", T_TRIM, WRITE(16), PAYLOAD(FLAGGED_2), UNSUPP },
	{ "trim-all-flags", T_TRIM, WRITE(16), PAYLOAD(ZERO4 ZERO4 "\x08\0\0\0" FULL4), UNSUPP },
	{ "trim-far-away", T_TRIM, WRITE(16), PAYLOAD(FULL4 FULL4 "\x08\0\0\0" ZERO4), IOERR },
	{ "trim-too-long", T_TRIM, WRITE(16), PAYLOAD(ZERO4 ZERO4 FULL4 ZERO4), IOERR },
	{ "trim-overflows", T_TRIM, WRITE(16),
	  PAYLOAD("\0\0\0\0\0\0\x80\0" "\x08\0\0\0" ZERO4), IOERR },
	{ "trim-second-is-bad", T_TRIM, WRITE(32), PAYLOAD(GOOD_16 FLAGGED_2), UNSUPP },
	/* Behind the good range there is poison. */
	{ "trim-256-ranges", T_TRIM, WRITE(256 * 16), PAYLOAD(GOOD_16), UNSUPP },
	{ "trim-257-ranges", T_TRIM, WRITE(257 * 16), PAYLOAD(GOOD_16), IOERR },
	{ "trim-4g", T_TRIM, WRITE(UINT32_MAX - 15), PAYLOAD(GOOD_16), IOERR },
	{ "zero", T_ZERO, WRITE(16), PAYLOAD(GOOD_16), FINE, .used = 1 },
	{ "zero-unmap", T_ZERO, WRITE(16), PAYLOAD(UNMAP_1), FINE, .used = 1 },
	{ "zero-unknown-flag", T_ZERO, WRITE(16), PAYLOAD(FLAGGED_2), UNSUPP },
	{ "zero-odd", T_ZERO, WRITE(24), PAYLOAD(GOOD_16 "\0\0\0\0\0\0\0\0"), IOERR },
	{ "zero-far-away", T_ZERO, WRITE(16), PAYLOAD(FULL4 FULL4 "\x08\0\0\0" ZERO4), IOERR },
	{ "zero-too-long", T_ZERO, WRITE(16), PAYLOAD(ZERO4 ZERO4 FULL4 ZERO4), IOERR },
	{ "zero-257-ranges", T_ZERO, WRITE(257 * 16), PAYLOAD(GOOD_16), IOERR },
	{ "zero-in-bytes", T_ZERO, PAYLOAD(GOOD_16),
	  .desc = { OUT(HEADER, 0, 7), OUT(HEADER, 7, 9), OUT(DATA, 0, 1), OUT(DATA, 1, 7),
		    OUT(DATA, 8, 3), OUT(DATA, 11, 5), LAST }, FINE, .used = 1 },
	{ 0 }
};
/* clang-format on */
