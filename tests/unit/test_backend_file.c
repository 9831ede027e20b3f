// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/backend_file.c: a real ring and real files, compared with an array of bytes.
 *
 * Each operation is watched at the kernel's door: what SQEs it is made of, in short words, and a
 * test may replace what the kernel said to one of them.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "iov.h"
#include "test_log.h"

#define IMAGE	    (2u << 20)
#define SLICE_START (64u << 10) /* of the image, the disk is this slice */
#define SLICE	    (1536u << 10)
#define RING	    8
#define STEPS	    40
#define IOVS	    4096
#define CHUNK	    65536u /* of zeroes that are written, as in backend_file.c */

#define PUNCH	   (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_RANGE (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* Where the image lies. Those but DISK need root: a test of theirs does nothing without. */
enum place {
	DISK,	/* TMPDIR, else /var/tmp */
	MEMORY, /* a tmpfs of 4 MiB: holes, but no zero range */
	PLAIN,	/* a ramfs: no O_DIRECT, no fallocate() */
	BLOCK,	/* a loop device */
};

/* One operation under watch. */
struct op {
	struct backend_io io;
	unsigned int completions;
	int err;

	unsigned int steps;
	char trace[256];		/* the steps */
	int fakes[STEPS];		/* result of each step; 0: what the kernel says */
	void (*between)(struct op *op); /* after each step but the last */
	void (*forward)(struct ring_op *op, int res, uint32_t flags);
};

static char dir[256], image[300];
static char disk_name[] = "disk0", loop_name[32];
static struct device_config config;
static struct ring ring;
static struct backend *backend;
static bool mounted;
static int plain_fd, loop_fd; /* the test's own view of the store; -1 */
static unsigned int fds_before;

static uint8_t content[IMAGE]; /* what the store must have */
static uint8_t scratch[IMAGE];
static uint8_t buffer[IMAGE] __attribute__((aligned(4096)));
static struct iovec pieces[IOVS]; /* of the buffer, as a test wants them */
static struct iovec iov[IOVS];	  /* the same, as the store may change them */
static uint32_t piece_count;

static unsigned int open_fds(void)
{
	unsigned int count = 0;
	DIR *d = opendir("/proc/self/fd");

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* Once, in the process that starts the tests, so that what a failed test leaves goes as well. */
static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/vduse-blk-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

static void remove_dir(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void setup(void)
{
	test_log_begin();
	signal(SIGXFSZ, SIG_IGN);
	plain_fd = loop_fd = -1;
	config = (struct device_config){
		.name = disk_name,
		.path = image,
		.offset = SLICE_START,
		.size = SLICE,
	};
	fds_before = open_fds();
	ck_assert_int_eq(ring_init(&ring, RING), 0);
}

static void teardown(void)
{
	if (backend)
		backend_close(backend);
	ring_exit(&ring);
	if (plain_fd >= 0)
		close(plain_fd);
	if (loop_fd >= 0)
		close(loop_fd);
	ck_assert_uint_eq(open_fds(), fds_before);
	if (mounted)
		ck_assert_int_eq(umount(dir), 0);
	test_log_end();
}

/* Mounts @type over @dir, for this test's process alone. */
static bool mount_private(const char *type, const char *options)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	mounted = mount(type, dir, type, 0, options) == 0;
	return mounted;
}

/* Makes the image a block device, until @loop_fd is closed. */
static bool make_loop(void)
{
	struct loop_config lc = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	lc.fd = (uint32_t)open(image, O_RDWR | O_CLOEXEC);
	for (int tries = 0; control >= 0 && loop_fd < 0 && tries < 10; tries++) {
		snprintf(loop_name, sizeof(loop_name), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		loop_fd = open(loop_name, O_RDWR | O_CLOEXEC);
		if (loop_fd >= 0 && ioctl(loop_fd, LOOP_CONFIGURE, &lc)) {
			close(loop_fd); /* somebody else was faster */
			loop_fd = -1;
		}
	}
	close((int)lc.fd);
	if (control >= 0)
		close(control);
	config.path = loop_name;
	return loop_fd >= 0;
}

/* Opens a new image with something everywhere. Return: false where this place cannot be had */
static bool open_place(enum place place, enum cache_mode cache)
{
	int fd;

	if (place == MEMORY && !mount_private("tmpfs", "size=4m"))
		return false;
	if (place == PLAIN && !mount_private("ramfs", NULL))
		return false;
	for (size_t i = 0; i < IMAGE; i++)
		content[i] = (uint8_t)(1 + random() % 255);
	fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, content, IMAGE, 0), IMAGE);
	close(fd);
	if (place == BLOCK && !make_loop())
		return false;

	config.cache = cache;
	ck_assert_int_eq(backend_file_open(&config, 0, &backend), 0);
	plain_fd = open(config.path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(plain_fd, 0);
	return true;
}

/* Every byte, those outside of the slice as well. */
static void expect_content(void)
{
	struct stat st;

	ck_assert_int_eq(pread(plain_fd, scratch, IMAGE, 0), IMAGE);
	for (size_t i = 0; memcmp(scratch, content, IMAGE) && i < IMAGE; i++)
		if (scratch[i] != content[i])
			ck_abort_msg("byte %zu is %#x, not %#x", i, scratch[i], content[i]);
	ck_assert_int_eq(fstat(plain_fd, &st), 0);
	ck_assert(S_ISBLK(st.st_mode) || st.st_size == IMAGE);
}

static bool can_direct(void)
{
	int fd = open(config.path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What the file system of the image can do, by trying it with another file. */
static bool can_fallocate(int mode)
{
	char name[320];
	bool can;
	int fd;

	snprintf(name, sizeof(name), "%s/probe", dir);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	can = fallocate(fd, mode, 0, 4096) == 0;
	close(fd);
	unlink(name);
	return can;
}

/* The watch. */

static void add_step(struct op *op, const struct io_uring_sqe *sqe)
{
	char *at = op->trace + strlen(op->trace);
	size_t left = sizeof(op->trace) - strlen(op->trace);
	const char *direct = fcntl(sqe->fd, F_GETFL) & O_DIRECT ? "-direct" : "";
	const char *durable = sqe->rw_flags == RWF_DSYNC ? "-durable" : "";

	switch (sqe->opcode) {
	case IORING_OP_READV:
		snprintf(at, left, " read%s", direct);
		return;
	case IORING_OP_WRITEV:
		snprintf(at, left, " write%s%s", direct, durable);
		return;
	case IORING_OP_WRITE:
		snprintf(at, left, " zeroes:%u", sqe->len);
		return;
	case IORING_OP_FSYNC:
		snprintf(at, left, sqe->fsync_flags == IORING_FSYNC_DATASYNC ? " sync" : " fsync");
		return;
	case IORING_OP_FALLOCATE:
		snprintf(at, left,
			 sqe->len == PUNCH	  ? " punch"
			 : sqe->len == ZERO_RANGE ? " zero_range"
						  : " fallocate");
		return;
	case IORING_OP_URING_CMD:
		snprintf(at, left, " discard");
		return;
	}
	snprintf(at, left, " unknown");
}

static void step_done(struct ring_op *ring_op, int res, uint32_t flags);

/* Takes note of the SQE that was just prepared, and of its completion before the store does. */
static void watch_step(struct op *op)
{
	struct io_uring_sq *sq = &ring.uring.sq;
	const struct io_uring_sqe *sqe = &sq->sqes[(sq->sqe_tail - 1) & sq->ring_mask];

	ck_assert_ptr_eq((void *)(uintptr_t)sqe->user_data, &op->io.ring_op);
	ck_assert_uint_lt(op->steps, STEPS);
	add_step(op, sqe);
	op->steps++;
	op->forward = op->io.ring_op.done;
	op->io.ring_op.done = step_done;
}

static void step_done(struct ring_op *ring_op, int res, uint32_t flags)
{
	struct op *op = container_of(ring_op, struct op, io.ring_op);
	int fake = op->fakes[op->steps - 1];

	op->forward(ring_op, fake ? fake : res, flags);
	if (op->completions)
		return;
	watch_step(op);
	if (op->between)
		op->between(op);
}

static void op_done(struct backend_io *io, int err)
{
	struct op *op = container_of(io, struct op, io);

	op->completions++;
	op->err = err;
}

/* Runs one operation to its end. Return: its result */
static int run(struct op *op)
{
	op->io.done = op_done;
	op->completions = op->steps = 0;
	op->trace[0] = '\0';
	backend_submit(backend, &ring, &op->io);
	if (!op->completions)
		watch_step(op);
	while (!op->completions)
		ck_assert_int_eq(ring_run(&ring, true), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(op->completions, 1);
	return op->err;
}

static struct op make_op(enum backend_op kind, uint64_t offset, uint64_t len)
{
	return (struct op){ .io = { .op = kind, .offset = offset, .len = len } };
}

static void zero_content(const struct op *op)
{
	memset(content + SLICE_START + op->io.offset, 0, op->io.len);
}

/* Cuts memory into @count pieces, whose lengths come from @lens in turn, with gaps after each. */
static uint64_t cut_buffer(uint32_t count, const size_t *lens, uint32_t len_count, size_t first,
			   size_t gap)
{
	uint8_t *at = buffer + first;
	uint64_t len = 0;

	for (uint32_t i = 0; i < count; i++) {
		pieces[i] = (struct iovec){ .iov_base = at, .iov_len = lens[i % len_count] };
		len += pieces[i].iov_len;
		at += pieces[i].iov_len + gap;
	}
	ck_assert(at < buffer + sizeof(buffer));
	piece_count = count;
	return len;
}

static uint64_t one_piece(size_t len)
{
	return cut_buffer(1, &len, 1, 0, 0);
}

/* A transfer with the pieces; a write's have new bytes, a read's are poison. */
static struct op make_transfer(enum backend_op kind, uint64_t offset, uint64_t len)
{
	struct op op = make_op(kind, offset, len);
	const struct iovec *last = &pieces[piece_count - 1];

	memcpy(iov, pieces, piece_count * sizeof(*iov));
	op.io.iov = iov;
	op.io.iov_count = piece_count;
	memset(buffer, 0xee, (size_t)((uint8_t *)last->iov_base - buffer) + last->iov_len + 1);
	for (uint32_t i = 0; i < piece_count && kind == BACKEND_WRITE; i++)
		for (size_t j = 0; j < pieces[i].iov_len; j++)
			((uint8_t *)pieces[i].iov_base)[j] = (uint8_t)random();
	return op;
}

/* Notes that the first @len bytes of a write are in the store. */
static void write_content(const struct op *op, uint64_t len)
{
	uint8_t *at = content + SLICE_START + op->io.offset;

	for (uint32_t i = 0; i < piece_count; i++) {
		size_t n = MIN(pieces[i].iov_len, len);

		memcpy(at, pieces[i].iov_base, n);
		at += n;
		len -= n;
	}
}

/* Did a read fill the pieces, and nothing between and behind them? */
static void expect_read(const struct op *op)
{
	const uint8_t *from = content + SLICE_START + op->io.offset, *at = buffer;

	for (uint32_t i = 0; i < piece_count; i++) {
		while (at < (uint8_t *)pieces[i].iov_base)
			if (*at++ != 0xee)
				ck_abort_msg("piece %u: the memory before it was written", i);
		ck_assert_mem_eq(at, from, pieces[i].iov_len);
		at += pieces[i].iov_len;
		from += pieces[i].iov_len;
	}
	ck_assert_uint_eq(*at, 0xee);
}

/* Reads and writes. */

static const struct {
	enum cache_mode cache;
	bool direct;
} caches[] = {
	{ CACHE_AUTO, true },
	{ CACHE_WRITEBACK, false },
	{ CACHE_WRITETHROUGH, false },
	{ CACHE_UNSAFE, false },
};

/* For blocks of 512 bytes; larger ones make them larger. */
static const struct {
	uint32_t count;
	size_t lens[4];
	size_t first, gap;
	bool aligned;
} shapes[] = {
	{ 1, { 512 }, 0, 0, true },
	{ 1, { 65536 }, 0, 0, true },
	{ 2, { 512, 3584 }, 0, 0, true },
	{ 4, { 4096, 512, 1024, 8192 }, 512, 4096, true },
	{ 1, { 4096 }, 1, 0, false }, /* the address */
	{ 3, { 4096, 4096, 4096 }, 1024, 1, false },
	{ 2, { 100, 412 }, 0, 0, false }, /* the lengths */
	{ 3, { 1, 1022, 1 }, 3, 5, false },
	{ 2, { 256, 256 }, 0, 256, false },
};

START_TEST(transfer_lands_where_it_belongs)
{
	uint64_t len, unit, offsets[3];
	const char *direct;
	char want[32];
	struct op op;

	if (!open_place(DISK, caches[_i].cache))
		return;
	unit = backend->limits.logical_block;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		size_t lens[4];
		bool durable = i == 1 || i == 7;

		for (size_t j = 0; j < 4; j++)
			lens[j] = shapes[i].lens[j] * unit / 512;
		len = cut_buffer(shapes[i].count, lens, 4,
				 shapes[i].first * (shapes[i].aligned ? unit / 512 : 1),
				 shapes[i].gap * unit / 512);
		direct = caches[_i].direct && can_direct() && shapes[i].aligned ? "-direct" : "";
		offsets[0] = 0;
		offsets[1] = unit;
		offsets[2] = SLICE - len;
		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++) {
			op = make_transfer(BACKEND_WRITE, offsets[j], len);
			op.io.durable = durable;
			write_content(&op, len);
			ck_assert_int_eq(run(&op), 0);
			expect_content();
			snprintf(want, sizeof(want), " write%s%s", direct,
				 durable && config.cache != CACHE_UNSAFE ? "-durable" : "");
			ck_assert_str_eq(op.trace, want);

			op = make_transfer(BACKEND_READ, offsets[j], len);
			op.io.durable = durable;
			ck_assert_int_eq(run(&op), 0);
			expect_read(&op);
			snprintf(want, sizeof(want), " read%s", direct);
			ck_assert_str_eq(op.trace, want);
		}
	}
}
END_TEST

/* More than one system call takes: it goes on where it stopped. */
START_TEST(transfer_has_more_pieces_than_iov_max)
{
	static const size_t lens[][3] = { { 512, 512, 512 }, { 1, 1022, 1 } };
	struct op op;
	uint64_t len;

	if (!open_place(DISK, CACHE_AUTO))
		return;
	len = cut_buffer(2 * IOV_MAX + 1 + 3 * (uint32_t)_i, lens[_i], 3, 0, 0);
	len -= len % 4096;
	piece_count = iov_truncate(pieces, piece_count, len);
	ck_assert_uint_gt(piece_count, 2 * IOV_MAX - 8);
	op = make_transfer(BACKEND_WRITE, 4096, len);
	write_content(&op, len);
	ck_assert_int_eq(run(&op), 0);
	ck_assert_uint_ge(op.steps, 2);
	expect_content();
	op = make_transfer(BACKEND_READ, 4096, len);
	ck_assert_int_eq(run(&op), 0);
	ck_assert_uint_ge(op.steps, 2);
	expect_read(&op);
}
END_TEST

START_TEST(operations_in_any_order_agree_with_an_array)
{
	static const enum backend_op kinds[16] = {
		BACKEND_FLUSH, /* few: a disk that others use as well takes long */
		BACKEND_DISCARD,      BACKEND_DISCARD,	    BACKEND_DISCARD, BACKEND_WRITE_ZEROES,
		BACKEND_WRITE_ZEROES, BACKEND_WRITE_ZEROES, BACKEND_WRITE,   BACKEND_WRITE,
		BACKEND_WRITE,	      BACKEND_WRITE,	    BACKEND_WRITE,   BACKEND_WRITE,
	};
	struct op op;

	if (!open_place(DISK, caches[_i].cache))
		return;
	srandom((unsigned int)_i);
	for (int i = 0; i < 300; i++) {
		uint64_t unit = backend->limits.logical_block, blocks = SLICE / unit;
		uint64_t count = 1 + (uint64_t)random() % 40;
		uint64_t offset = (uint64_t)random() % (blocks - count) * unit;
		size_t lens[4] = { unit, 3 * unit, 2 * unit, 4 * unit };
		enum backend_op kind = kinds[random() % 16];
		size_t odd = random() % 2 ? 1 : 0;

		if (kind == BACKEND_READ || kind == BACKEND_WRITE) {
			uint64_t len =
				cut_buffer(4 + (uint32_t)random() % 4, lens, 4, odd * 7, odd * 13);

			if (offset + len > SLICE)
				continue;
			op = make_transfer(kind, offset, len);
			if (kind == BACKEND_WRITE)
				write_content(&op, len);
			ck_assert_int_eq(run(&op), 0);
			if (kind == BACKEND_READ)
				expect_read(&op);
			continue;
		}
		op = make_op(kind, offset, kind == BACKEND_FLUSH ? 0 : count * unit);
		op.io.unmap = odd;
		if (kind == BACKEND_WRITE_ZEROES ||
		    (kind == BACKEND_DISCARD && can_fallocate(PUNCH)))
			zero_content(&op);
		ck_assert_int_eq(run(&op), 0);
		if (i % 10 == 0)
			expect_content();
	}
	expect_content();
}
END_TEST

/* Short transfers. */

static void truncate_store(uint64_t disk_bytes)
{
	ck_assert_int_eq(ftruncate(plain_fd, (off_t)(SLICE_START + disk_bytes)), 0);
}

START_TEST(store_that_was_truncated_has_no_data)
{
	static const uint64_t ends[] = { 0, 4096, 8192, 8192 + 512, 8192 + 100 };
	struct op op;

	if (!open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		truncate_store(ends[i]);
		op = make_transfer(BACKEND_READ, 8192, one_piece(8192));
		ck_assert_int_eq(run(&op), -ENODATA);
	}
}
END_TEST

static void restore_store(struct op *op)
{
	(void)op;
	ck_assert_int_eq(pwrite(plain_fd, content, IMAGE, 0), IMAGE);
}

/* Both ends: on a block, and inside of one, where O_DIRECT could not go on. */
START_TEST(short_read_goes_on_where_it_stopped)
{
	static const uint64_t ends[] = { 8192 + 4096, 8192 + 4096 + 100, 8192 + 3 };
	static const size_t lens[] = { 4096, 512, 4096, 3584 };
	struct op op;

	if (!open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		truncate_store(ends[i]);
		op = make_transfer(BACKEND_READ, 8192, cut_buffer(4, lens, 4, 0, 4096));
		op.between = restore_store;
		ck_assert_int_eq(run(&op), 0);
		ck_assert_uint_eq(op.steps, 2);
		expect_read(&op);
	}
}
END_TEST

static void limit_file_size(rlim_t limit)
{
	struct rlimit r;

	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = MIN(limit, r.rlim_max);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void lift_limit(struct op *op)
{
	(void)op;
	limit_file_size(RLIM_INFINITY);
}

START_TEST(short_write_goes_on_or_says_why_not)
{
	static const size_t lens[] = { 4096, 512, 4096, 3584 };
	uint64_t len, fits = _i % 2 ? 4096 + 100 : 4096;
	struct op op;

	if (!open_place(DISK, CACHE_WRITEBACK))
		return;
	len = cut_buffer(4, lens, 4, 0, 4096);
	op = make_transfer(BACKEND_WRITE, 8192, len);
	op.between = _i / 2 ? lift_limit : NULL;
	limit_file_size(SLICE_START + 8192 + fits);
	ck_assert_int_eq(run(&op), _i / 2 ? 0 : -EFBIG);
	ck_assert_str_eq(op.trace, " write write");
	lift_limit(NULL);
	write_content(&op, _i / 2 ? len : fits);
	expect_content();
}
END_TEST

static char filler[320];

/* Makes a hole of @len bytes at the disk's begin in a tmpfs that has room for @room bytes. */
static void fill_memory(size_t len, size_t room)
{
	off_t size = 0;
	ssize_t n;
	int fd;

	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fallocate(plain_fd, PUNCH, SLICE_START, (off_t)len), 0);
	memset(content + SLICE_START, 0, len);
	while ((n = write(fd, scratch, CHUNK)) > 0)
		size += n;
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(ftruncate(fd, size - (off_t)room), 0);
	close(fd);
}

static void remove_filler(struct op *op)
{
	(void)op;
	unlink(filler);
}

START_TEST(full_file_system_is_an_error_until_there_is_room)
{
	struct op op;

	if (!open_place(MEMORY, CACHE_AUTO))
		return;
	fill_memory(4 * CHUNK, CHUNK + 4096);
	op = make_transfer(BACKEND_WRITE, 0, one_piece(4 * CHUNK));
	op.between = _i ? remove_filler : NULL;
	ck_assert_int_eq(run(&op), _i ? 0 : -ENOSPC);
	ck_assert_uint_eq(op.steps, 2);
	write_content(&op, _i ? 4 * CHUNK : CHUNK + 4096);
	expect_content();
}
END_TEST

START_TEST(interrupted_transfer_is_tried_again)
{
	struct op op;
	uint64_t len;

	if (!open_place(DISK, CACHE_WRITEBACK))
		return;
	len = one_piece(8192);
	for (int kind = BACKEND_READ; kind <= BACKEND_WRITE; kind++) {
		const char *want[] = { " read read read read", " write write write write" };

		op = make_transfer((enum backend_op)kind, 512, len);
		op.fakes[0] = -EAGAIN;
		op.fakes[1] = -EINTR;
		op.fakes[2] = 512;
		if (kind == BACKEND_WRITE)
			write_content(&op, len);
		ck_assert_int_eq(run(&op), 0);
		ck_assert_str_eq(op.trace, want[kind]);
		expect_content();

		op = make_transfer((enum backend_op)kind, 512, len);
		op.fakes[0] = 512;
		op.fakes[1] = -EIO;
		if (kind == BACKEND_WRITE)
			write_content(&op, len);
		ck_assert_int_eq(run(&op), -EIO);
		ck_assert_uint_eq(op.steps, 2);
	}
}
END_TEST

/* Flush, discard, write zeroes. */

static const struct {
	enum cache_mode cache;
	const char *steps;
} flushes[] = {
	{ CACHE_AUTO, " sync" },
	{ CACHE_WRITEBACK, " sync" },
	{ CACHE_WRITETHROUGH, " sync" }, /* not offered, but a driver may ask */
	{ CACHE_UNSAFE, "" },
};

START_TEST(flush_is_a_sync)
{
	struct op op = make_op(BACKEND_FLUSH, 0, 0);

	if (!open_place(DISK, flushes[_i].cache))
		return;
	ck_assert_int_eq(run(&op), 0);
	ck_assert_str_eq(op.trace, flushes[_i].steps);
	op.fakes[0] = -EIO;
	ck_assert_int_eq(run(&op), *flushes[_i].steps ? -EIO : 0);
}
END_TEST

static blkcnt_t blocks_of_store(void)
{
	struct stat st;

	ck_assert_int_eq(fsync(plain_fd), 0);
	ck_assert_int_eq(fstat(plain_fd, &st), 0);
	return st.st_blocks;
}

/* Lengths and offsets of a disk block, and of many. */
static const struct {
	uint64_t offset, len;
} extents[] = {
	{ 0, 4096 },
	{ 4096, 1u << 20 },
	{ SLICE - 8192, 8192 },
	{ SLICE - 4096 - 512, 512 }, /* inside of a file system's block */
	{ 512, 8192 },
};

/* So much that its space shows, however loosely a file system counts. */
static bool large(size_t extent)
{
	return extents[extent].len >= 1u << 20;
}

START_TEST(discard_gives_space_back_and_touches_nothing_else)
{
	static const char *const wants[][2] = {
		{ " punch", " punch sync" }, { " punch", " punch" }, /* cache = unsafe */
	};
	blkcnt_t before;
	struct op op;

	if (!can_fallocate(PUNCH) || !open_place(DISK, _i ? CACHE_UNSAFE : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		before = large(i) ? blocks_of_store() : 0;
		op = make_op(BACKEND_DISCARD, extents[i].offset, extents[i].len);
		op.io.durable = i % 2;
		zero_content(&op);
		ck_assert_int_eq(run(&op), 0);
		ck_assert_str_eq(op.trace, wants[_i][i % 2]);
		expect_content();
		if (large(i))
			ck_assert_int_le(blocks_of_store(), before - (1 << 20) / 512 / 2);
	}
}
END_TEST

/* What write zeroes begins with, by place. Holes are for image files; disks get what was asked. */
static const struct {
	enum place place;
	enum config_switch discard;
	bool unmap;
	const char *steps; /* where everything is supported */
} zeroings[] = {
	{ DISK, SWITCH_AUTO, false, " punch" },	      { DISK, SWITCH_AUTO, true, " punch" },
	{ DISK, SWITCH_YES, false, " punch" },	      { DISK, SWITCH_NO, false, " zero_range" },
	{ DISK, SWITCH_NO, true, " zero_range" },     { MEMORY, SWITCH_AUTO, false, " punch" },
	{ BLOCK, SWITCH_AUTO, false, " zero_range" }, { BLOCK, SWITCH_AUTO, true, " punch" },
	{ BLOCK, SWITCH_NO, true, " zero_range" },
};

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

START_TEST(zeroes_are_made_the_best_way)
{
	bool keeps = zeroings[_i].discard == SWITCH_NO;
	blkcnt_t before;
	struct op op;

	config.discard = zeroings[_i].discard;
	if (!open_place(zeroings[_i].place, CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		before = large(i) ? blocks_of_store() : 0;
		op = make_op(BACKEND_WRITE_ZEROES, extents[i].offset, extents[i].len);
		op.io.unmap = zeroings[_i].unmap;
		op.io.durable = i % 2;
		zero_content(&op);
		ck_assert_int_eq(run(&op), 0);
		expect_content();
		ck_assert(!!strstr(op.trace, " sync") == op.io.durable);
		if (i == 0)
			ck_assert(starts_with(op.trace, zeroings[_i].steps));
		if (large(i) && keeps && zeroings[_i].place == DISK)
			ck_assert_int_ge(blocks_of_store(), before);
		if (large(i) && !keeps && zeroings[_i].place == MEMORY)
			ck_assert_int_le(blocks_of_store(), before - (1 << 20) / 512 / 2);
	}
}
END_TEST

START_TEST(unsafe_cache_makes_nothing_durable)
{
	struct op op;

	if (!open_place(DISK, CACHE_UNSAFE))
		return;
	op = make_op(BACKEND_WRITE_ZEROES, 0, 4096);
	op.io.durable = true;
	zero_content(&op);
	ck_assert_int_eq(run(&op), 0);
	ck_assert_ptr_null(strstr(op.trace, "sync"));
	expect_content();
}
END_TEST

#define FOUR_CHUNKS " zeroes:65536 zeroes:65536 zeroes:65536"

/* Where nothing makes zeroes they are written, and what was learned is remembered. */
static const struct {
	enum place place;
	enum config_switch discard;
	int fake; /* for each step that is not a write */
	const char *first, *later;
} written[] = {
	{ PLAIN, SWITCH_AUTO, 0, " punch zero_range", "" },
	{ PLAIN, SWITCH_NO, 0, " zero_range", "" },
	{ MEMORY, SWITCH_NO, 0, " zero_range", "" },
	{ DISK, SWITCH_AUTO, -EOPNOTSUPP, " punch zero_range", "" },
	{ DISK, SWITCH_NO, -EOPNOTSUPP, " zero_range", "" },
	{ DISK, SWITCH_AUTO, -ENOSYS, " punch zero_range", "" },
	{ DISK, SWITCH_AUTO, -ENODEV, " punch zero_range", "" },
	{ BLOCK, SWITCH_AUTO, -ENOTTY, " punch zero_range", "" },
};

START_TEST(zeroes_are_written_in_chunks_as_the_last_resort)
{
	uint64_t unit, offsets[] = { 0, 512 * 1024, SLICE - 4 * CHUNK };
	char want[256];
	struct op op;

	config.discard = written[_i].discard;
	if (!open_place(written[_i].place, CACHE_AUTO))
		return;
	unit = backend->limits.logical_block;
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		op = make_op(BACKEND_WRITE_ZEROES, offsets[i] + unit, 3 * CHUNK + unit);
		op.io.durable = i % 2;
		op.io.unmap = true;
		for (int step = 0; i == 0 && step < (written[_i].discard == SWITCH_NO ? 1 : 2);
		     step++)
			op.fakes[step] = written[_i].fake;
		zero_content(&op);
		ck_assert_int_eq(run(&op), 0);
		expect_content();
		snprintf(want, sizeof(want), "%s%s zeroes:%u%s",
			 i ? written[_i].later : written[_i].first, FOUR_CHUNKS, (unsigned int)unit,
			 i % 2 ? " sync" : "");
		ck_assert_str_eq(op.trace, want);
	}
}
END_TEST

/* Puts the old bytes back, as if the step before had written nothing but what it said. */
static void undo_zeroes(struct op *op)
{
	uint64_t from = SLICE_START + op->io.offset + op->io.done_bytes;

	if (!strstr(op->trace, "zeroes:"))
		return;
	memset(scratch, 0xdd, op->io.len);
	ck_assert_int_ge(pwrite(plain_fd, scratch, op->io.len - op->io.done_bytes, (off_t)from), 0);
}

START_TEST(written_zeroes_go_on_where_they_stopped)
{
	struct op op = make_op(BACKEND_WRITE_ZEROES, 4096, CHUNK + 4096);

	config.discard = SWITCH_NO;
	if (!open_place(DISK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	op.fakes[0] = -EOPNOTSUPP;
	op.fakes[1] = 8192;
	op.fakes[2] = -EAGAIN;
	op.fakes[3] = -EINTR;
	op.between = undo_zeroes;
	zero_content(&op);
	ck_assert_int_eq(run(&op), 0);
	ck_assert_str_eq(op.trace,
			 " zero_range zeroes:65536 zeroes:61440 zeroes:61440 zeroes:61440");
	expect_content();

	memset(op.fakes, 0, sizeof(op.fakes));
	op.fakes[1] = -EIO;
	op.between = NULL;
	op.io.durable = true;
	ck_assert_int_eq(run(&op), -EIO);
	ck_assert_str_eq(op.trace, " zeroes:65536 zeroes:4096");
}
END_TEST

START_TEST(written_zeroes_need_room)
{
	struct op op = make_op(BACKEND_WRITE_ZEROES, 0, 4 * CHUNK);

	config.discard = SWITCH_NO;
	if (!open_place(MEMORY, CACHE_AUTO))
		return;
	fill_memory(4 * CHUNK, CHUNK + 4096);
	ck_assert_int_eq(run(&op), -ENOSPC);
	ck_assert_str_eq(op.trace, " zero_range zeroes:65536 zeroes:65536 zeroes:65536");
	expect_content();
}
END_TEST

static const enum backend_op changes[] = { BACKEND_DISCARD, BACKEND_WRITE_ZEROES };

/* An error that is not "I cannot do this" ends it, and is not remembered. */
START_TEST(error_of_a_change_is_passed_up)
{
	static const int errors[] = { -EIO, -ENOSPC, -EINVAL, -EPERM };
	struct op op;

	if (!open_place(DISK, CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		op = make_op(changes[_i / 2], 4096, 8192);
		op.io.durable = true;
		op.fakes[_i % 2] = errors[i]; /* of the change, of the sync after it */
		zero_content(&op);
		ck_assert_int_eq(run(&op), errors[i]);
		ck_assert_str_eq(op.trace, _i % 2 ? " punch sync" : " punch");
		expect_content();
	}
}
END_TEST

START_TEST(discard_that_cannot_be_done_succeeds_without_effect)
{
	struct op op = make_op(BACKEND_DISCARD, 4096, 8192);

	op.io.durable = true;
	if (!open_place(_i ? PLAIN : DISK, CACHE_AUTO))
		return;
	if (!_i) {
		op.fakes[0] = -EOPNOTSUPP;
		zero_content(&op); /* in truth it could */
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(run(&op), 0);
		ck_assert_str_eq(op.trace, i ? "" : " punch");
		expect_content();
	}
}
END_TEST

START_TEST(block_device_is_discarded_through_the_ring)
{
	struct op op;

	if (!open_place(BLOCK, _i ? CACHE_WRITEBACK : CACHE_AUTO))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
		op = make_op(BACKEND_DISCARD, extents[i].offset & ~4095ull,
			     MAX(extents[i].len, 4096));
		op.io.durable = i % 2;
		zero_content(&op); /* a loop device punches its file */
		ck_assert_int_eq(run(&op), 0);
		expect_content();
		if (i)
			continue;
		/* Kernels before 6.12 do not know it. */
		ck_assert(!strcmp(op.trace, " discard") || !strcmp(op.trace, " discard punch"));
	}
	op.io.durable = true;
	op.fakes[0] = -EIO;
	ck_assert_int_eq(run(&op), -EIO);
}
END_TEST

START_TEST(block_device_falls_back_to_punching)
{
	static const char *const traces[] = { " discard punch", "", "" };
	struct op op = make_op(BACKEND_DISCARD, 8192, 8192);

	if (!open_place(BLOCK, CACHE_AUTO))
		return;
	op.fakes[0] = -EOPNOTSUPP;
	op.fakes[1] = _i ? -EOPNOTSUPP : 0;
	for (int i = 0; i < 2; i++) {
		zero_content(&op);
		ck_assert_int_eq(run(&op), 0);
		ck_assert_str_eq(op.trace, i == 0 ? traces[0] : _i ? "" : " punch");
		memset(op.fakes, 0, sizeof(op.fakes));
		expect_content();
	}
}
END_TEST

/* Many. */

#define MANY 1000

static struct many {
	struct backend_io io;
	struct iovec iov;
	unsigned int completions;
	int err;
} many[MANY];

static unsigned int many_done;

static void many_io_done(struct backend_io *io, int err)
{
	struct many *m = container_of(io, struct many, io);

	m->completions++;
	m->err = err;
	many_done++;
}

static enum backend_op many_op(unsigned int i)
{
	if (i % 50 == 0)
		return BACKEND_FLUSH;
	return i % 5 == BACKEND_FLUSH ? BACKEND_READ : (enum backend_op)(i % 5);
}

/* Each has a block of its own. */
static void submit_one(unsigned int i, uint64_t unit)
{
	struct many *m = &many[i];
	uint8_t *at = content + SLICE_START + i * unit;

	m->iov = (struct iovec){ .iov_base = buffer + i * unit, .iov_len = unit };
	m->io = (struct backend_io){
		.op = many_op(i),
		.offset = i * unit,
		.len = unit,
		.iov = &m->iov,
		.iov_count = 1,
		.done = many_io_done,
	};
	memset(m->iov.iov_base, (int)i, unit);
	if (m->io.op == BACKEND_WRITE)
		memcpy(at, m->iov.iov_base, unit);
	if (m->io.op == BACKEND_WRITE_ZEROES || m->io.op == BACKEND_DISCARD)
		memset(at, 0, unit);
	backend_submit(backend, &ring, &m->io);
}

START_TEST(thousand_operations_are_in_flight_on_a_small_ring)
{
	uint64_t unit;

	if (!can_fallocate(PUNCH) || !open_place(DISK, caches[_i].cache))
		return;
	unit = backend->limits.logical_block;
	if (MANY * unit > SLICE)
		return;
	for (unsigned int i = 0; i < MANY; i++)
		submit_one(i, unit);
	while (many_done < MANY)
		ck_assert_int_eq(ring_run(&ring, true), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(ring_run(&ring, false), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		ck_assert_uint_eq(many[i].completions, 1);
		ck_assert_int_eq(many[i].err, 0);
		if (many[i].io.op == BACKEND_READ)
			ck_assert_mem_eq(buffer + i * unit, content + SLICE_START + i * unit, unit);
	}
	expect_content();
}
END_TEST

#define AGAIN 30

static void submit_again(struct backend_io *io, int err)
{
	struct op *op = container_of(io, struct op, io);

	ck_assert_int_eq(err, 0);
	if (++op->completions < AGAIN)
		backend_submit(backend, &ring, io);
}

/* As the ranges of one discard do: also where it ends before submitting returns. */
START_TEST(done_may_submit_again)
{
	static const enum backend_op kinds[] = { BACKEND_FLUSH, BACKEND_DISCARD,
						 BACKEND_WRITE_ZEROES };
	static struct op op;

	if (!open_place(DISK, _i ? CACHE_UNSAFE : CACHE_WRITEBACK))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		op = make_op(kinds[i], 4096, 4096);
		op.io.done = submit_again;
		backend_submit(backend, &ring, &op.io);
		while (op.completions < AGAIN)
			ck_assert_int_eq(ring_run(&ring, true), 0);
		ck_assert_int_eq(ring_run(&ring, false), 0);
		ck_assert_uint_eq(op.completions, AGAIN);
	}
}
END_TEST

/* Opening. */

START_TEST(open_passes_on_what_the_store_is)
{
	if (!open_place(DISK, CACHE_WRITETHROUGH))
		return;
	ck_assert_uint_eq(backend->limits.size, SLICE);
	ck_assert_uint_eq(backend->limits.logical_block, 512);
	ck_assert_uint_gt(backend->limits.discard_max, 0);
	ck_assert(!backend->limits.volatile_cache);
	ck_assert_ptr_nonnull(strstr(backend->identity, "at 65536"));
}
END_TEST

START_TEST(open_that_fails_leaves_nothing)
{
	struct backend *untouched = (struct backend *)content, *out = untouched;

	unlink(image);
	test_log_expect(LOG_LEVEL_ERROR, image);
	ck_assert_int_eq(backend_file_open(&config, 0, &out), -ENOENT);
	ck_assert_ptr_eq(out, untouched);
}
END_TEST

static TCase *new_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_unchecked_fixture(tc, make_dir, remove_dir);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return tc;
}

static void add_transfers(TCase *tc)
{
	tcase_add_loop_test(tc, transfer_lands_where_it_belongs, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, transfer_has_more_pieces_than_iov_max, 0, 2);
	tcase_add_loop_test(tc, operations_in_any_order_agree_with_an_array, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, store_that_was_truncated_has_no_data, 0, 2);
	tcase_add_loop_test(tc, short_read_goes_on_where_it_stopped, 0, 2);
	tcase_add_loop_test(tc, short_write_goes_on_or_says_why_not, 0, 4);
	tcase_add_loop_test(tc, full_file_system_is_an_error_until_there_is_room, 0, 2);
	tcase_add_test(tc, interrupted_transfer_is_tried_again);
}

static void add_changes(TCase *tc)
{
	tcase_add_loop_test(tc, flush_is_a_sync, 0, ARRAY_SIZE(flushes));
	tcase_add_loop_test(tc, discard_gives_space_back_and_touches_nothing_else, 0, 2);
	tcase_add_loop_test(tc, zeroes_are_made_the_best_way, 0, ARRAY_SIZE(zeroings));
	tcase_add_test(tc, unsafe_cache_makes_nothing_durable);
	tcase_add_loop_test(tc, zeroes_are_written_in_chunks_as_the_last_resort, 0,
			    ARRAY_SIZE(written));
	tcase_add_loop_test(tc, written_zeroes_go_on_where_they_stopped, 0, 2);
	tcase_add_test(tc, written_zeroes_need_room);
	tcase_add_loop_test(tc, error_of_a_change_is_passed_up, 0, 4);
	tcase_add_loop_test(tc, discard_that_cannot_be_done_succeeds_without_effect, 0, 2);
	tcase_add_loop_test(tc, block_device_is_discarded_through_the_ring, 0, 2);
	tcase_add_loop_test(tc, block_device_falls_back_to_punching, 0, 2);
}

int main(void)
{
	Suite *suite = suite_create("backend_file");
	SRunner *runner;
	TCase *many_case;
	int failed;

	add_transfers(new_case(suite, "transfer"));
	add_changes(new_case(suite, "change"));
	many_case = new_case(suite, "many");
	tcase_add_loop_test(many_case, thousand_operations_are_in_flight_on_a_small_ring, 0,
			    ARRAY_SIZE(caches));
	tcase_add_loop_test(many_case, done_may_submit_again, 0, 2);
	tcase_add_test(many_case, open_passes_on_what_the_store_is);
	tcase_add_test(many_case, open_that_fails_leaves_nothing);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
