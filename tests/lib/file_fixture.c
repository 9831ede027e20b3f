// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_fixture.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_store_kern.h"
#include "fds.h"
#include "places.h"
#include "temp_dir.h"
#include "test_log.h"

#define RING 8

const struct fb_cache fb_caches[FB_CACHES] = {
	{ CACHE_AUTO, true },
	{ CACHE_WRITEBACK, false },
	{ CACHE_WRITETHROUGH, false },
	{ CACHE_UNSAFE, false },
};

char *fb_image, *fb_filler;
struct device_config fb_config;
struct ring fb_ring;
struct backend *fb_backend;
int fb_plain_fd;

uint8_t fb_content[FB_IMAGE_SIZE];
uint8_t fb_scratch[FB_IMAGE_SIZE];
uint8_t fb_buffer[FB_IMAGE_SIZE] __attribute__((aligned(4096)));
struct iovec fb_pieces[FB_IOVS];
uint32_t fb_piece_count;

static char disk_name[] = "disk0";
static struct iovec fb_iov[FB_IOVS]; /* the pieces, as the store may change them */
static bool mounted;
static int loop_fd;
static unsigned int fds_before;
static unsigned int uring_tail, iopoll_tail; /* as they were last seen */

void fb_setup(void)
{
	test_log_begin();
	fb_image = temp_path("image");
	signal(SIGXFSZ, SIG_IGN);
	fb_plain_fd = loop_fd = -1;
	fb_config = (struct device_config){
		.name = disk_name,
		.path = fb_image,
		.offset = FB_SLICE_START,
		.size = FB_SLICE,
	};
	fds_before = fds_open();
	ck_assert_int_eq(ring_init(&fb_ring, RING), 0);
	iopoll_tail = 0;
}

void fb_teardown(void)
{
	if (fb_backend)
		backend_close(fb_backend);
	ring_exit(&fb_ring);
	if (fb_plain_fd >= 0)
		close(fb_plain_fd);
	if (loop_fd >= 0)
		close(loop_fd);
	ck_assert_uint_eq(fds_open(), fds_before);
	if (mounted)
		ck_assert_int_eq(umount(temp_dir), 0);
	test_log_end();
}

bool fb_make_place(enum place place)
{
	int fd;

	if (place == MEMORY)
		mounted = mount_private("tmpfs", "size=4m");
	if (place == PLAIN)
		mounted = mount_private("ramfs", NULL);
	if ((place == MEMORY || place == PLAIN) && !mounted)
		return false;
	for (size_t i = 0; i < FB_IMAGE_SIZE; i++)
		fb_content[i] = (uint8_t)(1 + random() % 255);
	fd = open(fb_image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, fb_content, FB_IMAGE_SIZE, 0), FB_IMAGE_SIZE);
	close(fd);
	if (place == BLOCK) {
		loop_fd = loop_make(fb_image, 0);
		fb_config.path = loop_name;
		if (loop_fd < 0)
			return false;
	}
	return true;
}

bool fb_open_place(enum place place, enum cache_mode cache)
{
	if (!fb_make_place(place))
		return false;
	fb_config.cache = cache;
	ck_assert_int_eq(store_type_file.open(&fb_config, 0, &fb_backend), 0);
	fb_plain_fd = open(fb_config.path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fb_plain_fd, 0);
	return true;
}

/* Every byte, those outside of the slice as well. */
void fb_expect_content(void)
{
	struct stat st;

	ck_assert_int_eq(pread(fb_plain_fd, fb_scratch, FB_IMAGE_SIZE, 0), FB_IMAGE_SIZE);
	for (size_t i = 0; memcmp(fb_scratch, fb_content, FB_IMAGE_SIZE) && i < FB_IMAGE_SIZE; i++)
		if (fb_scratch[i] != fb_content[i])
			ck_abort_msg("byte %zu is %#x, not %#x", i, fb_scratch[i], fb_content[i]);
	ck_assert_int_eq(fstat(fb_plain_fd, &st), 0);
	ck_assert(S_ISBLK(st.st_mode) || st.st_size == FB_IMAGE_SIZE);
}

/* What the file system of the image can do, by trying it with another file. */
bool fb_can_fallocate(int mode)
{
	char name[320];
	bool can;
	int fd;

	snprintf(name, sizeof(name), "%s/probe", temp_dir);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	can = fallocate(fd, mode, 0, 4096) == 0;
	close(fd);
	unlink(name);
	return can;
}

/* The watch. */

static struct fb_op *watched;
static uint8_t own_staging[BACKEND_STAGING_SIZE] __attribute__((aligned(4096)));

static void add_word(struct fb_op *op, const char *word)
{
	size_t len = strlen(op->trace);

	snprintf(op->trace + len, sizeof(op->trace) - len, " %s", word);
}

/* A read or a write, of the ring or of a thread. */
static void add_transfer(struct fb_op *op, bool write, int fd, const void *addr, size_t len)
{
	char word[32];

	if (addr == (op->staging ? op->staging : own_staging))
		add_word(op, "staged");
	snprintf(word, sizeof(word), "%s%s", write ? "write" : "read",
		 fcntl(fd, F_GETFL) & O_DIRECT ? "-direct" : "");
	if (op->io.op == BACKEND_WRITE_ZEROES)
		snprintf(word, sizeof(word), "zeroes:%zu", len);
	add_word(op, word);
}

static void add_sqe(struct fb_op *op, const struct io_uring_sqe *sqe)
{
	bool fixed = sqe->opcode == IORING_OP_READ_FIXED || sqe->opcode == IORING_OP_WRITE_FIXED;
	bool write = sqe->opcode == IORING_OP_WRITE_FIXED || sqe->opcode == IORING_OP_WRITEV ||
		     sqe->opcode == IORING_OP_WRITE;

	ck_assert(fixed || write || sqe->opcode == IORING_OP_READV ||
		  sqe->opcode == IORING_OP_READ);
	ck_assert_msg(sqe->rw_flags == RWF_NOWAIT, "the ring may wait for the store");
	if (fixed)
		add_word(op, "fixed");
	add_transfer(op, write, sqe->fd, (void *)(uintptr_t)sqe->addr, sqe->len);
}

static void step_done(struct ring_op *ring_op, int res, uint32_t flags);

static void begin_step(struct fb_op *op)
{
	ck_assert_uint_lt(op->steps, STEPS);
	if (op->steps++ && op->between)
		op->between(op);
}

/* Is there a new SQE? Takes note of it, and of its completion before the store does. */
static void watch_step(struct fb_op *op)
{
	struct io_uring_sq *sq = &fb_ring.uring.sq;
	const struct io_uring_sqe *sqe;
	bool polled = fb_ring.iopoll.sq.sqe_tail != iopoll_tail;

	if (!polled && fb_ring.uring.sq.sqe_tail == uring_tail)
		return;
	if (polled)
		sq = &fb_ring.iopoll.sq;
	iopoll_tail = fb_ring.iopoll.sq.sqe_tail;
	uring_tail = fb_ring.uring.sq.sqe_tail;
	sqe = &sq->sqes[(sq->sqe_tail - 1) & sq->ring_mask];
	if ((void *)(uintptr_t)sqe->user_data != &file_io(&op->io)->ring_op)
		return;
	begin_step(op);
	op->polled = polled;
	if (polled)
		add_word(op, "polled");
	add_sqe(op, sqe);
	op->forward = file_io(&op->io)->ring_op.done;
	file_io(&op->io)->ring_op.done = step_done;
}

static void step_done(struct ring_op *ring_op, int res, uint32_t flags)
{
	struct fb_op *op = container_of(io_of_ring_op(ring_op), struct fb_op, io);
	int fake = op->fakes[op->steps - 1];

	/* It would have waited: the same step is done by a thread, with that result. */
	op->refused = (res == -EAGAIN || res == -EOPNOTSUPP) && !op->polled;
	op->ring_steps += !op->refused;
	if (!op->refused && fake)
		res = fake;
	op->forward(ring_op, res, flags);
	if (!op->completions)
		watch_step(op); /* the same ring_run() may run it */
}

static void add_call(struct fb_op *op, const struct store_call *call)
{
	switch (call->what) {
	case STORE_CALL_READ:
	case STORE_CALL_WRITE:
		add_transfer(op, call->what == STORE_CALL_WRITE, call->fd, call->iov->iov_base,
			     call->iov->iov_len);
		break;
	case STORE_CALL_SYNC:
		add_word(op, "sync");
		break;
	case STORE_CALL_WRITE_BACK:
		add_word(op, "write_back");
		break;
	case STORE_CALL_ALLOCATE:
		add_word(op, call->mode == FALLOC_FL_PUNCH_HOLE	  ? "punch"
			     : call->mode == FALLOC_FL_ZERO_RANGE ? "zero_range"
								  : "fallocate");
		break;
	case STORE_CALL_DISCARD:
		add_word(op, "discard");
		break;
	}
}

static void before_call(const struct store_call *call)
{
	struct fb_op *op = watched;

	if (!op->refused) {
		begin_step(op);
		add_call(op, call);
	}
	op->refused = false;
}

static int after_call(const struct store_call *call, int res)
{
	int fake = watched->fakes[watched->steps - 1];

	(void)call;
	return fake ? fake : res;
}

static void op_done(struct backend_io *io, int err)
{
	struct fb_op *op = container_of(io, struct fb_op, io);

	op->completions++;
	op->err = err;
}

static void *op_staging(struct backend_io *io)
{
	const struct fb_op *op = container_of(io, struct fb_op, io);

	if (op->no_stage)
		return NULL;
	return op->staging ? op->staging : own_staging;
}

/* Runs one operation to its end. Return: its result */
int fb_run(struct fb_op *op)
{
	op->io.get_staging = op_staging;
	op->io.done = op_done;
	op->completions = op->steps = op->ring_steps = 0;
	op->refused = false;
	op->trace[0] = '\0';
	uring_tail = fb_ring.uring.sq.sqe_tail;
	watched = op;
	fake_store_watch(before_call, after_call);
	backend_submit(fb_backend, &fb_ring, &op->io);
	while (!op->completions) {
		watch_step(op);
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ring_run(&fb_ring, false), 0);
	fake_store_watch(NULL, NULL);
	ck_assert_uint_eq(op->completions, 1);
	return op->err;
}

struct fb_op fb_make_op(enum backend_op kind, uint64_t offset, uint64_t len)
{
	return (struct fb_op){ .io = { .op = kind, .offset = offset, .len = len } };
}

void fb_zero_content(const struct fb_op *op)
{
	memset(fb_content + FB_SLICE_START + op->io.offset, 0, op->io.len);
}

/* Cuts memory into @count pieces, whose lengths come from @lens in turn, with gaps after each. */
uint64_t fb_cut_buffer(uint32_t count, const size_t *lens, uint32_t len_count, size_t first,
		       size_t gap)
{
	uint8_t *at = fb_buffer + first;
	uint64_t len = 0;

	for (uint32_t i = 0; i < count; i++) {
		fb_pieces[i] = (struct iovec){ .iov_base = at, .iov_len = lens[i % len_count] };
		len += fb_pieces[i].iov_len;
		at += fb_pieces[i].iov_len + gap;
	}
	ck_assert(at < fb_buffer + sizeof(fb_buffer));
	fb_piece_count = count;
	return len;
}

uint64_t fb_one_piece(size_t len)
{
	return fb_cut_buffer(1, &len, 1, 0, 0);
}

/* A transfer with the pieces; a write's have new bytes, a read's are poison. */
struct fb_op fb_make_transfer(enum backend_op kind, uint64_t offset, uint64_t len)
{
	struct fb_op op = fb_make_op(kind, offset, len);
	const struct iovec *last = &fb_pieces[fb_piece_count - 1];

	memcpy(fb_iov, fb_pieces, fb_piece_count * sizeof(*fb_iov));
	if (fb_piece_count < FB_IOVS) /* what lies behind them is none of them */
		fb_iov[fb_piece_count] = (struct iovec){ fb_scratch, 512 };
	op.io.iov = fb_iov;
	op.io.iov_count = fb_piece_count;
	memset(fb_buffer, 0xee,
	       (size_t)((uint8_t *)last->iov_base - fb_buffer) + last->iov_len + 1);
	for (uint32_t i = 0; i < fb_piece_count && kind == BACKEND_WRITE; i++)
		for (size_t j = 0; j < fb_pieces[i].iov_len; j++)
			((uint8_t *)fb_pieces[i].iov_base)[j] = (uint8_t)random();
	return op;
}

/* Notes that the first @len bytes of a write are in the store. */
void fb_write_content(const struct fb_op *op, uint64_t len)
{
	uint8_t *at = fb_content + FB_SLICE_START + op->io.offset;

	for (uint32_t i = 0; i < fb_piece_count; i++) {
		size_t n = MIN(fb_pieces[i].iov_len, len);

		memcpy(at, fb_pieces[i].iov_base, n);
		at += n;
		len -= n;
	}
}

/* Did a read fill the pieces, and nothing between and behind them? */
void fb_expect_read(const struct fb_op *op)
{
	const uint8_t *from = fb_content + FB_SLICE_START + op->io.offset, *at = fb_buffer;

	for (uint32_t i = 0; i < fb_piece_count; i++) {
		while (at < (uint8_t *)fb_pieces[i].iov_base)
			if (*at++ != 0xee)
				ck_abort_msg("piece %u: the memory before it was written", i);
		ck_assert_mem_eq(at, from, fb_pieces[i].iov_len);
		at += fb_pieces[i].iov_len;
		from += fb_pieces[i].iov_len;
	}
	ck_assert_uint_eq(*at, 0xee);
}

void fb_limit_file_size(rlim_t limit)
{
	struct rlimit r;

	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = MIN(limit, r.rlim_max);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

/* Makes a hole of @len bytes at the disk's begin in a tmpfs that has room for @room bytes. */
void fb_fill_memory(size_t len, size_t room)
{
	off_t size = 0;
	ssize_t n;
	int fd;

	fb_filler = temp_path("filler");
	fd = open(fb_filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fallocate(fb_plain_fd, PUNCH, FB_SLICE_START, (off_t)len), 0);
	memset(fb_content + FB_SLICE_START, 0, len);
	while ((n = write(fd, fb_scratch, CHUNK)) > 0)
		size += n;
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(ftruncate(fd, size - (off_t)room), 0);
	close(fd);
}
