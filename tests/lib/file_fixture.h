/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vduse-blk/store/file_store.c: a real ring and real files, compared with an array of bytes.
 *
 * The fixture records the steps of each operation as short words, where they enter the kernel, and a
 * test may replace the result of a step. A step that ends with EAGAIN on the ring, and the call of
 * the thread that does it then, are recorded as one step.
 */
#ifndef TESTS_FILE_FIXTURE_H
#define TESTS_FILE_FIXTURE_H

#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "store/file_store.h"
#include "store/store_type.h"
#include "test_log.h"

#define FB_IMAGE_SIZE  (2u << 20)
#define FB_SLICE_START (64u << 10) /* of the image, the disk is this slice */
#define FB_SLICE       (1536u << 10)
#define FB_IOVS	       4096
#define CHUNK	       65536u /* of zeroes that are written, as in file_store.c */
#define STEPS	       40

#define PUNCH	   (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_RANGE (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* Where the image lies. Those but DISK need root: a test of theirs does nothing without. */
enum place {
	DISK,	/* temp_dir */
	MEMORY, /* a tmpfs of 4 MiB: holes, but no zero range */
	PLAIN,	/* a ramfs: no O_DIRECT, no fallocate() */
	BLOCK,	/* a loop device */
};

/* For loops over all cache modes. */
#define FB_CACHES 4
struct fb_cache {
	enum cache_mode cache;
	bool direct; /* where the file system can */
};
extern const struct fb_cache fb_caches[FB_CACHES];

/* One operation under watch. */
struct fb_op {
	struct backend_io io;
	void *staging; /* what the store gets when it asks for one; NULL: its own */
	bool no_stage; /* there is no memory */
	unsigned int completions;
	int err;

	unsigned int steps;
	unsigned int ring_steps;	   /* those that the ring did */
	bool polled, refused;		   /* the step under way, on the ring */
	char trace[256];		   /* the steps */
	int fakes[STEPS];		   /* result of each step; 0: what the kernel says */
	void (*between)(struct fb_op *op); /* before each step but the first */
	void (*forward)(struct ring_op *op, int res, uint32_t flags);
};

extern char *fb_image, *fb_filler;     /* paths */
extern struct device_config fb_config; /* of the image; (t) before fb_open_place() */
extern struct ring fb_ring;
extern struct backend *fb_backend;
extern int fb_plain_fd; /* the test's own view of the store */

extern uint8_t fb_content[FB_IMAGE_SIZE]; /* what the store must have */
extern uint8_t fb_scratch[FB_IMAGE_SIZE];
extern uint8_t fb_buffer[FB_IMAGE_SIZE];
extern struct iovec fb_pieces[FB_IOVS]; /* of the buffer, as a test wants them */
extern uint32_t fb_piece_count;

/* Checked fixture. */
void fb_setup(void);
void fb_teardown(void);

/** fb_make_place() - make a new image with something everywhere. Return: can that place be had? */
bool fb_make_place(enum place place);

/** fb_open_place() - make a new image and open it as a store, and for the test. Return: likewise */
bool fb_open_place(enum place place, enum cache_mode cache);

/** fb_expect_content() - the store has fb_content: every byte, those outside of the slice as well */
void fb_expect_content(void);

/** fb_can_fallocate() - can the file system of the image do @mode? */
bool fb_can_fallocate(int mode);

/** fb_limit_file_size() - writes past @limit fail, from now on */
void fb_limit_file_size(rlim_t limit);

/** fb_fill_memory() - a hole of @len bytes at the disk's begin, in MEMORY with @room bytes left */
void fb_fill_memory(size_t len, size_t room);

struct fb_op fb_make_op(enum backend_op kind, uint64_t offset, uint64_t len);

/** fb_cut_buffer() - memory in @count pieces, whose lengths are @lens in turn, with gaps after each */
uint64_t fb_cut_buffer(uint32_t count, const size_t *lens, uint32_t len_count, size_t first,
		       size_t gap);
uint64_t fb_one_piece(size_t len);

/** fb_make_transfer() - with the pieces; a write's have new bytes, a read's are poison */
struct fb_op fb_make_transfer(enum backend_op kind, uint64_t offset, uint64_t len);

/** fb_run() - run one operation to its end. Return: its result */
int fb_run(struct fb_op *op);

/** fb_write_content() - the first @len bytes of a write are in the store */
void fb_write_content(const struct fb_op *op, uint64_t len);

/** fb_zero_content() - the store has zeroes where @op is about */
void fb_zero_content(const struct fb_op *op);

/** fb_expect_read() - a read filled the pieces, and nothing between and behind them */
void fb_expect_read(const struct fb_op *op);

#endif
