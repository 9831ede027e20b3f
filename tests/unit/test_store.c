// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/store.c with files in a temporary directory, and loop devices where root may make them.
 *
 * The directory should be on a disk file system: TMPDIR, else /var/tmp.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store.h"
#include "test_log.h"

#define IMAGE  (1u << 20)
#define NOBODY 65534

static char dir[256];
static char path[300]; /* of the image that most tests serve */
static char disk_name[] = "disk0";
static struct device_config config;
static struct store store;
static unsigned int wait_ms; /* for who has it */
static unsigned int fds_before;
static rlim_t fds_limit = RLIM_INFINITY; /* while a refusal is expected */

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

/* Descriptors from @limit on cannot be had; RLIM_INFINITY: as many as may be. */
static void limit_fds(rlim_t limit)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = MIN(limit, r.rlim_max);
	setrlimit(RLIMIT_NOFILE, &r);
}

/* Once, in the process that starts the tests, so that what a failed test leaves goes as well. */
static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/vduse-blk-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/image", dir);
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

static void make_image(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void setup(void)
{
	test_log_begin();
	unlink(path);
	make_image(IMAGE);
	config = (struct device_config){ .name = disk_name, .path = path };
	fds_before = open_fds();
}

/* Whatever a test did: nothing stays open. */
static void teardown(void)
{
	ck_assert_uint_eq(open_fds(), fds_before);
	test_log_end();
}

/* Opens @config, which must fail with one line that names the device, the path and @reason. */
static void expect_refusal(int err, const char *reason)
{
	unsigned int before = open_fds();
	struct store refused;

	test_log_begin();
	test_log_allow(LOG_LEVEL_ERROR, "");
	limit_fds(fds_limit);
	ck_assert_int_eq(store_open(&config, wait_ms, &refused), err);
	limit_fds(RLIM_INFINITY);
	ck_assert_uint_eq(open_fds(), before);
	ck_assert_msg(test_log_count("") == 1 && test_log_count("disk0: ") == 1 &&
			      test_log_count(config.path) == 1 && test_log_count(reason) == 1,
		      "not one line about \"%s\"", reason);
	test_log_end();
	test_log_begin();
}

static void expect_open(struct store *opened)
{
	ck_assert_int_eq(store_open(&config, wait_ms, opened), 0);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool can_direct(const char *file)
{
	int fd = open(file, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int open_flags(int fd)
{
	return fcntl(fd, F_GETFL);
}

/* What is no store. */

enum node {
	MISSING,
	MISSING_DIR,
	NOT_A_DIR,
	EMPTY_PATH,
	DIRECTORY,
	FIFO,
	NULL_DEVICE,
	DANGLING,
	LOOP,
};

static const struct {
	enum node node;
	int err;
	const char *reason;
} no_stores[] = {
	{ MISSING, -ENOENT, "No such file" },
	{ MISSING_DIR, -ENOENT, "No such file" },
	{ NOT_A_DIR, -ENOTDIR, "Not a directory" },
	{ EMPTY_PATH, -ENOENT, "No such file" },
	{ DIRECTORY, -EISDIR, "neither a regular file nor a block device" },
	{ FIFO, -ENOTBLK, "neither a regular file nor a block device" },
	{ NULL_DEVICE, -ENOTBLK, "neither a regular file nor a block device" },
	{ DANGLING, -ENOENT, "No such file" },
	{ LOOP, -ELOOP, "symbolic link" },
};

static void make_node(enum node node)
{
	static char under[320];

	unlink(path);
	switch (node) {
	case MISSING:
		break;
	case MISSING_DIR:
	case NOT_A_DIR:
		if (node == NOT_A_DIR)
			make_image(IMAGE);
		snprintf(under, sizeof(under), "%s/image", path);
		config.path = under;
		break;
	case EMPTY_PATH:
		config.path = under;
		break;
	case DIRECTORY:
		config.path = dir;
		break;
	case FIFO:
		ck_assert_int_eq(mkfifo(path, 0644), 0);
		break;
	case NULL_DEVICE:
		ck_assert_int_eq(symlink("/dev/null", path), 0);
		break;
	case DANGLING:
		ck_assert_int_eq(symlink("nothing", path), 0);
		break;
	case LOOP:
		ck_assert_int_eq(symlink("image", path), 0);
		break;
	}
}

START_TEST(what_is_no_store_is_refused)
{
	make_node(no_stores[_i].node);
	for (int readonly = 0; readonly < 2; readonly++)
		for (config.cache = CACHE_AUTO; config.cache <= CACHE_UNSAFE; config.cache++) {
			config.readonly = readonly;
			expect_refusal(no_stores[_i].err, no_stores[_i].reason);
		}
	unlink(path);
}
END_TEST

START_TEST(symlink_to_an_image_is_followed)
{
	char link[320];

	snprintf(link, sizeof(link), "%s/link", dir);
	ck_assert_int_eq(symlink("image", link), 0);
	config.path = link;
	expect_open(&store);
	ck_assert_uint_eq(store.limits.size, IMAGE);
	store_close(&store);
	unlink(link);
}
END_TEST

/* Sizes and slices. */

#define PAST_END "goes past the end"
#define ODD	 "must be multiples of the logical block"
#define NOTHING	 "nothing to serve"

static const struct {
	uint64_t image, offset, size;
	uint32_t block;
	uint64_t served; /* 0: refused */
	const char *reason;
} slices[] = {
	{ IMAGE, 0, 0, 0, IMAGE, NULL },
	{ IMAGE, 512, 0, 0, IMAGE - 512, NULL },
	{ IMAGE, IMAGE - 512, 0, 0, 512, NULL },
	{ IMAGE, 0, 512, 0, 512, NULL },
	{ IMAGE, 0, IMAGE, 0, IMAGE, NULL },
	{ IMAGE, 4096, 8192, 0, 8192, NULL },
	{ IMAGE, IMAGE - 512, 512, 0, 512, NULL },
	{ 512, 0, 0, 0, 512, NULL },
	{ 1ull << 40, 1ull << 39, 1ull << 38, 0, 1ull << 38, NULL },
	{ 0, 0, 0, 0, 0, NOTHING },
	{ 0, 512, 512, 0, 0, NOTHING " at that offset" },
	{ IMAGE, IMAGE, 0, 0, 0, NOTHING " at that offset" },
	{ IMAGE, IMAGE, 512, 0, 0, NOTHING " at that offset" },
	{ IMAGE, IMAGE + 512, 0, 0, 0, NOTHING " at that offset" },
	{ IMAGE, 1ull << 62, 0, 0, 0, NOTHING " at that offset" },
	{ IMAGE, (1ull << 63) - 512, 0, 0, 0, NOTHING " at that offset" },
	{ IMAGE, 0, IMAGE + 512, 0, 0, PAST_END },
	{ IMAGE, 512, IMAGE, 0, 0, PAST_END },
	{ IMAGE, IMAGE - 512, 1024, 0, 0, PAST_END },
	{ IMAGE, 512, (1ull << 63) - 1024, 0, 0, PAST_END },
	{ IMAGE, 512, (1ull << 63) - 512, 0, 0, PAST_END },
	{ 1, 0, 0, 0, 0, ODD },
	{ 511, 0, 0, 0, 0, ODD },
	{ 513, 0, 0, 0, 0, ODD },
	{ IMAGE + 1, 0, 0, 0, 0, ODD },
	{ IMAGE + 1, 0, IMAGE, 0, IMAGE, NULL }, /* what is behind the slice does not matter */
	{ IMAGE + 1, 512, 0, 0, 0, ODD },
	{ 3 * 512, 0, 0, 4096, 0, ODD },
	{ IMAGE + 512, 0, 0, 4096, 0, ODD },
	{ IMAGE + 512, 512, 0, 4096, 0, ODD }, /* the size fits, the offset does not */
	{ IMAGE + 512, 0, 512, 4096, 0, ODD },
	{ IMAGE + 512, 4096, 8192, 4096, 8192, NULL },
	{ IMAGE, 0, 0, 4096, IMAGE, NULL },
	{ IMAGE + 512, 0, 0, 512, IMAGE + 512, NULL },
};

static const enum cache_mode direct_and_not[] = { CACHE_AUTO, CACHE_NONE, CACHE_WRITEBACK };

START_TEST(slice_is_judged)
{
	make_image((off_t)slices[_i].image);
	config.offset = slices[_i].offset;
	config.size = slices[_i].size;
	config.logical_block_size = slices[_i].block;
	for (size_t i = 0; i < ARRAY_SIZE(direct_and_not); i++) {
		config.cache = direct_and_not[i];
		if (config.cache == CACHE_NONE && !can_direct(path))
			continue;
		if (!slices[_i].served) {
			expect_refusal(-EINVAL, slices[_i].reason);
			continue;
		}
		expect_open(&store);
		ck_assert_uint_eq(store.offset, slices[_i].offset);
		ck_assert_uint_eq(store.limits.size, slices[_i].served);
		store_close(&store);
	}
}
END_TEST

START_TEST(regular_file_has_limits)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	for (config.logical_block_size = 0; config.logical_block_size <= 4096;
	     config.logical_block_size += 512) {
		uint32_t block = config.logical_block_size;

		if (block & (block - 1))
			continue;
		config.cache = CACHE_WRITEBACK;
		expect_open(&store);
		ck_assert_str_eq(store.path, path);
		ck_assert(!store.block_device);
		ck_assert_uint_eq(store.limits.logical_block, block ? block : 512);
		ck_assert_uint_ge(store.limits.physical_block, store.limits.logical_block);
		if (st.st_blksize == 4096) {
			ck_assert_uint_eq(store.limits.physical_block, 4096);
			ck_assert_uint_eq(store.limits.io_min, 4096);
			ck_assert_uint_eq(store.limits.discard_granularity, 4096);
		}
		ck_assert_uint_eq(store.limits.alignment_offset, 0);
		ck_assert_uint_eq(store.limits.discard_max, 1u << 31);
		ck_assert_uint_eq(store.limits.zeroes_max, 1u << 31);
		store_close(&store);
	}
}
END_TEST

/* Caches. */

static const struct {
	enum cache_mode mode;
	bool direct;
	enum cache_mode becomes;
	bool volatile_cache;
} caches[] = {
	{ CACHE_AUTO, true, CACHE_NONE, true },
	{ CACHE_NONE, true, CACHE_NONE, true },
	{ CACHE_WRITEBACK, false, CACHE_WRITEBACK, true },
	{ CACHE_WRITETHROUGH, false, CACHE_WRITETHROUGH, false },
	{ CACHE_UNSAFE, false, CACHE_UNSAFE, true },
};

static void expect_cache(size_t mode, bool direct)
{
	int access = config.readonly ? O_RDONLY : O_RDWR;

	expect_open(&store);
	ck_assert_int_eq(store.direct, direct);
	ck_assert_int_eq(store.cache,
			 mode == 0 && !direct ? CACHE_WRITEBACK : caches[mode].becomes);
	ck_assert_int_eq(store.limits.volatile_cache, caches[mode].volatile_cache);
	ck_assert_int_eq(store.readonly, config.readonly);

	ck_assert_int_eq(open_flags(store.fd) & O_ACCMODE, access);
	ck_assert_int_eq(!!(open_flags(store.fd) & O_DIRECT), direct);
	ck_assert_int_ne(fcntl(store.fd, F_GETFD) & FD_CLOEXEC, 0);
	if (direct) {
		ck_assert_int_eq(open_flags(store.buffered_fd) & O_ACCMODE, access);
		ck_assert_int_eq(open_flags(store.buffered_fd) & O_DIRECT, 0);
		ck_assert_int_ne(fcntl(store.buffered_fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_uint_gt(store.memory_align, 0);
		ck_assert_uint_eq(store.memory_align & (store.memory_align - 1), 0);
		ck_assert_uint_ge(store.limits.logical_block, store.length_align);
		ck_assert_uint_eq(store.length_align & (store.length_align - 1), 0);
	} else {
		ck_assert_int_eq(store.buffered_fd, -1);
	}
	store_close(&store);
	ck_assert_int_eq(store.fd, -1);
	ck_assert_int_eq(store.buffered_fd, -1);
}

START_TEST(cache_mode_decides_about_o_direct)
{
	if (!can_direct(path))
		return;
	for (int readonly = 0; readonly < 2; readonly++) {
		config.readonly = readonly;
		config.cache = caches[_i].mode;
		expect_cache((size_t)_i, caches[_i].direct);
	}
	ck_assert_uint_eq(test_log_count(""), 0);
}
END_TEST

/* From here on this test's process mounts for itself. Return: false where nobody lets us */
static bool enter_mounts(void)
{
	return !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static bool mount_private(const char *type, const char *options)
{
	return enter_mounts() && !mount(type, dir, type, 0, options);
}

START_TEST(file_system_without_o_direct)
{
	if (!mount_private("ramfs", NULL))
		return;
	make_image(IMAGE);
	config.cache = caches[_i].mode;
	if (can_direct(path)) /* a kernel that learned it */
		expect_cache((size_t)_i, caches[_i].direct);
	else if (config.cache == CACHE_NONE)
		expect_refusal(-EINVAL, "O_DIRECT");
	else
		expect_cache((size_t)_i, false);
	if (config.cache == CACHE_AUTO && !can_direct(path))
		ck_assert_uint_eq(test_log_count("cannot do O_DIRECT, so cache is writeback"), 1);
	ck_assert_int_eq(umount(dir), 0);
}
END_TEST

/* Since Linux 6.6 it takes O_DIRECT, of any alignment, and does not say so. */
START_TEST(file_system_in_memory)
{
	if (!mount_private("tmpfs", _i ? "huge=always" : NULL)) /* st_blksize: 2 MiB */
		return;
	make_image(IMAGE);
	config.cache = CACHE_AUTO;
	expect_cache(0, can_direct(path));
	expect_open(&store);
	ck_assert_uint_eq(store.limits.logical_block, 512);
	ck_assert_uint_eq(store.limits.physical_block, 4096);
	ck_assert_uint_eq(store.limits.io_min, 4096);
	ck_assert_uint_eq(store.limits.discard_granularity, 4096);
	if (store.direct)
		ck_assert_uint_eq(store.length_align, 512);
	store_close(&store);
	ck_assert_int_eq(umount(dir), 0);
}
END_TEST

/* Who else has it. */

/* Of the image. */
struct part {
	bool readonly;
	uint64_t offset, size;
};

static const struct {
	struct part first, second;
	bool fine;
} pairs[] = {
	{ { false, 0, 0 }, { false, 0, 0 }, false },
	{ { false, 0, 0 }, { true, 0, 0 }, false },
	{ { true, 0, 0 }, { false, 0, 0 }, false },
	{ { true, 0, 0 }, { true, 0, 0 }, true },
	{ { false, 0, 8192 }, { false, 8192, 8192 }, true },
	{ { false, 8192, 8192 }, { false, 0, 8192 }, true },
	{ { false, 0, 8192 }, { true, 8192, 8192 }, true },
	{ { false, 0, 8192 }, { false, 8192, 0 }, true },
	{ { false, 8192, 0 }, { false, 0, 8192 }, true },
	{ { false, 0, 8192 }, { false, 4096, 8192 }, false },
	{ { false, 0, 8192 }, { false, 7680, 512 }, false },
	{ { false, 4096, 512 }, { false, 0, 0 }, false },
	{ { false, 0, 0 }, { true, 4096, 512 }, false },
	{ { false, 8192, 0 }, { false, IMAGE - 512, 512 }, false },
	{ { true, 0, 8192 }, { true, 4096, 8192 }, true },
	{ { true, 0, 8192 }, { false, 4096, 8192 }, false },
};

static void configure_part(const struct part *part)
{
	config.readonly = part->readonly;
	config.offset = part->offset;
	config.size = part->size;
}

static void expect_second(const struct part *second, bool fine)
{
	struct store other;

	configure_part(second);
	if (fine) {
		expect_open(&other);
		store_close(&other);
	} else {
		expect_refusal(-EBUSY, "in use by another process");
	}
}

/* In one process: the open file counts. With O_DIRECT and without, and one of each. */
START_TEST(slices_that_overlap_have_one_writer_or_readers)
{
	static const enum cache_mode modes[] = { CACHE_AUTO, CACHE_WRITEBACK };

	for (size_t i = 0; i < 4; i++) {
		config.cache = modes[i / 2];
		configure_part(&pairs[_i].first);
		expect_open(&store);
		config.cache = modes[i % 2];
		expect_second(&pairs[_i].second, pairs[_i].fine);
		store_close(&store);
		expect_second(&pairs[_i].second, true);
	}
}
END_TEST

/* A child that has the store for @ms milliseconds, or until it is killed. */
static pid_t start_holder(const struct part *held, int ms)
{
	struct store other;
	int ready[2];
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		configure_part(held);
		if (store_open(&config, 0, &other) || write(ready[1], &byte, 1) != 1)
			_exit(1);
		poll(NULL, 0, ms);
		_exit(0);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

START_TEST(other_process_counts_until_it_is_gone)
{
	pid_t pid = start_holder(&pairs[_i].first, 60000);

	expect_second(&pairs[_i].second, pairs[_i].fine);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	expect_second(&pairs[_i].second, true);
}
END_TEST

START_TEST(other_process_may_be_waited_for)
{
	uint64_t start = now_ms();
	pid_t pid = start_holder(&(struct part){ 0 }, 100);

	wait_ms = 20000;
	expect_open(&store);
	ck_assert_uint_ge(now_ms() - start, 100);
	ck_assert_uint_lt(now_ms() - start, 10000);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	store_close(&store);
}
END_TEST

START_TEST(waiting_ends_and_is_for_busy_stores_alone)
{
	uint64_t start = now_ms();

	expect_open(&store);
	wait_ms = 100;
	expect_refusal(-EBUSY, "in use by another process");
	ck_assert_uint_ge(now_ms() - start, 100);
	store_close(&store);

	wait_ms = 60000; /* longer than the test may take */
	unlink(path);
	expect_refusal(-ENOENT, "No such file");
	make_image(513);
	expect_refusal(-EINVAL, ODD);
}
END_TEST

/* A server was killed, and I/O goes on through one of the two descriptors of its store. */
START_TEST(each_descriptor_holds_the_store_by_itself)
{
	static const enum cache_mode next[] = { CACHE_NONE, CACHE_WRITEBACK };

	if (!can_direct(path))
		return;
	config.cache = CACHE_NONE;
	expect_open(&store);
	close(_i % 2 ? store.fd : store.buffered_fd);
	config.cache = next[_i / 2];
	expect_refusal(-EBUSY, "in use by another process");
	close(_i % 2 ? store.buffered_fd : store.fd);
	expect_open(&store);
	store_close(&store);
}
END_TEST

START_TEST(identity_is_of_the_bytes_not_of_the_name)
{
	char link[320], first[BACKEND_IDENTITY_MAX];

	snprintf(link, sizeof(link), "%s/link", dir);
	expect_open(&store);
	strcpy(first, store.identity);
	store_close(&store);

	ck_assert_int_eq(symlink("image", link), 0);
	config.path = link;
	config.cache = CACHE_WRITEBACK;
	expect_open(&store);
	ck_assert_str_eq(store.identity, first);
	store_close(&store);
	unlink(link);

	config.path = path;
	config.offset = 512;
	expect_open(&store);
	ck_assert_str_ne(store.identity, first);
	store_close(&store);

	config.offset = 0;
	ck_assert_int_eq(rename(path, link), 0);
	make_image(IMAGE);
	expect_open(&store);
	ck_assert_str_ne(store.identity, first);
	store_close(&store);
	unlink(link);
}
END_TEST

/* What the system refuses. */

START_TEST(descriptors_run_out)
{
	static const struct {
		enum cache_mode cache;
		rlim_t needed;
	} modes[] = { { CACHE_NONE, 3 }, { CACHE_WRITEBACK, 2 } }; /* path, file, buffered file */
	int next = dup(STDIN_FILENO);

	ck_assert_int_ge(next, 0);
	close(next);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (modes[i].cache == CACHE_NONE && !can_direct(path))
			continue;
		config.cache = modes[i].cache;
		for (rlim_t n = 0; n < modes[i].needed; n++) {
			fds_limit = (rlim_t)next + n;
			expect_refusal(-EMFILE, "Too many open files");
		}
		limit_fds((rlim_t)next + modes[i].needed);
		expect_open(&store);
		limit_fds(RLIM_INFINITY);
		store_close(&store);
	}
}
END_TEST

/* Gives up what root may do with other people's files. The directory must let others in. */
static bool become_nobody(void)
{
	if (geteuid() == 0 && seteuid(NOBODY))
		return false;
	return faccessat(AT_FDCWD, dir, X_OK, AT_EACCESS) == 0;
}

static void become_root(void)
{
	if (geteuid() != getuid())
		ck_assert_int_eq(seteuid(getuid()), 0);
	prctl(PR_SET_DUMPABLE, 1); /* leak checkers want to look at us */
}

START_TEST(permission_of_the_file_counts)
{
	ck_assert_int_eq(chmod(path, _i % 2 ? 0444 : 0), 0);
	config.cache = _i / 2 ? CACHE_WRITEBACK : CACHE_AUTO;
	if (become_nobody()) {
		expect_refusal(-EACCES, "Permission denied");
		config.readonly = true;
		if (_i % 2) {
			expect_open(&store);
			ck_assert(store.readonly);
			store_close(&store);
		} else {
			expect_refusal(-EACCES, "Permission denied");
		}
	}
	become_root();
}
END_TEST

/* Block devices. */

static char loop_name[32];

/* Makes the image a block device with blocks of @block. Return: descriptor, -1: nobody lets us */
static int make_loop(uint32_t block)
{
	struct loop_config lc = { .block_size = block, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;

	lc.fd = (uint32_t)open(path, O_RDWR | O_CLOEXEC);
	for (int tries = 0; control >= 0 && loop < 0 && tries < 10; tries++) {
		snprintf(loop_name, sizeof(loop_name), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		loop = open(loop_name, O_RDWR | O_CLOEXEC);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &lc)) {
			close(loop); /* somebody else was faster */
			loop = -1;
		}
	}
	close((int)lc.fd);
	if (control >= 0)
		close(control);
	config.path = loop_name;
	return loop;
}

static uint64_t loop_limit(const char *name)
{
	unsigned long long value = 0;
	char file[128];
	FILE *f;

	snprintf(file, sizeof(file), "/sys/block/%s/queue/%s", loop_name + strlen("/dev/"), name);
	f = fopen(file, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%llu", &value), 1);
	fclose(f);
	return value;
}

static void expect_loop_limits(uint32_t block)
{
	ck_assert(store.block_device);
	ck_assert_uint_eq(store.limits.logical_block, block);
	ck_assert_uint_eq(store.limits.physical_block, loop_limit("physical_block_size"));
	ck_assert_uint_eq(store.limits.io_min, loop_limit("minimum_io_size"));
	ck_assert_uint_eq(store.limits.io_opt, loop_limit("optimal_io_size"));
	ck_assert_uint_eq(store.limits.discard_granularity, loop_limit("discard_granularity"));
	ck_assert_uint_eq(store.limits.discard_max, MIN(loop_limit("discard_max_bytes"), 2u << 30));
	ck_assert_uint_gt(store.limits.zeroes_max, 0);
}

static bool others_may_claim_loop(void)
{
	int fd = open(loop_name, O_RDONLY | O_EXCL | O_CLOEXEC); /* as mount does */

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(block_device_has_its_own_limits)
{
	uint32_t block = _i ? 4096 : 512;
	int loop = make_loop(block);
	char number[32];
	struct stat st;

	if (loop < 0)
		return;
	ck_assert_int_eq(fstat(loop, &st), 0);
	snprintf(number, sizeof(number), " %u:%u", major(st.st_rdev), minor(st.st_rdev));
	for (config.cache = CACHE_AUTO; config.cache <= CACHE_UNSAFE; config.cache++) {
		expect_open(&store);
		expect_loop_limits(block);
		ck_assert_uint_eq(store.limits.size, IMAGE);
		ck_assert_int_eq(store.direct, config.cache <= CACHE_NONE);
		ck_assert_ptr_nonnull(strstr(store.identity, number));
		store_close(&store);
	}
	config.cache = CACHE_WRITEBACK;
	config.logical_block_size = 512;
	if (block > 512)
		expect_refusal(-EINVAL, "too small");
	config.logical_block_size = 4096;
	config.offset = 8192;
	expect_open(&store);
	ck_assert_uint_eq(store.limits.logical_block, 4096);
	ck_assert_uint_ge(store.limits.physical_block, 4096);
	ck_assert_uint_eq(store.limits.size, IMAGE - 8192);
	store_close(&store);
	config.offset = 512;
	expect_refusal(-EINVAL, ODD);
	config.offset = IMAGE;
	expect_refusal(-EINVAL, NOTHING);
	close(loop);
}
END_TEST

START_TEST(block_device_that_is_written_is_claimed)
{
	int loop = make_loop(512), other;

	if (loop < 0)
		return;
	config.cache = _i ? CACHE_WRITEBACK : CACHE_AUTO;
	expect_open(&store);
	ck_assert(!others_may_claim_loop());
	expect_second(&(struct part){ .readonly = true }, false);
	expect_second(&(struct part){ .readonly = false }, false);
	store_close(&store);

	other = open(loop_name, O_RDONLY | O_EXCL | O_CLOEXEC);
	ck_assert_int_ge(other, 0);
	expect_second(&(struct part){ .readonly = false }, false);
	expect_second(&(struct part){ .readonly = true }, true); /* it may be mounted read-only */
	close(other);

	configure_part(&(struct part){ .readonly = true });
	expect_open(&store);
	expect_second(&(struct part){ .readonly = true }, true);
	expect_second(&(struct part){ .readonly = false }, false);
	store_close(&store);
	close(loop);
}
END_TEST

START_TEST(slices_of_a_block_device_share_one_claim)
{
	struct part parts[] = { { false, 0, 8192 }, { false, 8192, 8192 }, { true, 65536, 0 } };
	int loop = make_loop(512);
	struct store stores[3];
	pid_t pid;

	if (loop < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		configure_part(&parts[i]);
		expect_open(&stores[i]);
	}
	expect_second(&(struct part){ false, 4096, 8192 }, false);
	expect_second(&(struct part){ false, 0, 0 }, false);
	for (size_t i = 0; i < 2; i++) {
		ck_assert(!others_may_claim_loop());
		store_close(&stores[_i ? 1 - i : i]);
	}
	ck_assert(others_may_claim_loop()); /* the one that is left only reads */
	store_close(&stores[2]);

	pid = start_holder(&parts[0], 60000); /* another process claims for itself */
	expect_second(&parts[1], false);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	expect_second(&parts[1], true);
	ck_assert(others_may_claim_loop());
	close(loop);
}
END_TEST

START_TEST(each_block_device_has_its_own_claim)
{
	int loop = make_loop(512), other_loop;
	char first_name[sizeof(loop_name)];
	struct store first;

	if (loop < 0)
		return;
	strcpy(first_name, loop_name);
	expect_open(&first);
	other_loop = make_loop(512);
	ck_assert_int_ge(other_loop, 0);
	ck_assert_str_ne(loop_name, first_name);
	ck_assert(others_may_claim_loop());
	expect_open(&store);
	ck_assert(!others_may_claim_loop());
	store_close(&first);
	ck_assert(!others_may_claim_loop());
	strcpy(loop_name, first_name);
	ck_assert(others_may_claim_loop());
	store_close(&store);
	close(other_loop);
	close(loop);
}
END_TEST

START_TEST(descriptors_run_out_for_a_block_device)
{
	int loop = make_loop(512), next = dup(STDIN_FILENO);

	close(next);
	if (loop < 0)
		return;
	for (rlim_t n = 0; n < 4; n++) { /* path, claim, disk, buffered disk */
		fds_limit = (rlim_t)next + n;
		expect_refusal(-EMFILE, "Too many open files");
		ck_assert(others_may_claim_loop());
	}
	fds_limit = RLIM_INFINITY;
	expect_second(&(struct part){ 0 }, true);
	close(loop);
}
END_TEST

START_TEST(block_device_may_be_waited_for)
{
	int loop = make_loop(512);
	uint64_t start;
	pid_t pid;

	if (loop < 0)
		return;
	start = now_ms();
	pid = start_holder(&(struct part){ 0 }, 100);
	wait_ms = 20000;
	expect_open(&store);
	ck_assert_uint_ge(now_ms() - start, 100);
	ck_assert_uint_lt(now_ms() - start, 10000);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);

	wait_ms = 50;
	start = now_ms();
	expect_refusal(-EBUSY, "in use by another process");
	ck_assert_uint_ge(now_ms() - start, 50);
	store_close(&store);
	close(loop);
}
END_TEST

START_TEST(partition_has_the_limits_of_its_disk)
{
	struct blkpg_partition part = { .start = 8192, .length = IMAGE / 2, .pno = 1 };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION,
				       .datalen = sizeof(part),
				       .data = &part };
	char partition[40];
	int loop = make_loop(512);

	if (loop < 0)
		return;
	snprintf(partition, sizeof(partition), "%sp1", loop_name);
	if (!ioctl(loop, BLKPG, &arg) && !access(partition, R_OK)) {
		config.path = partition;
		expect_open(&store);
		expect_loop_limits(512);
		ck_assert_uint_eq(store.limits.size, IMAGE / 2);
		store_close(&store);
	}
	arg.op = BLKPG_DEL_PARTITION;
	ioctl(loop, BLKPG, &arg);
	close(loop);
}
END_TEST

/* O_DIRECT to a file needs the blocks of the disk below, here of a loop device. */
START_TEST(file_on_a_disk_with_large_blocks)
{
	char command[128];
	int loop;

	make_image(8 * IMAGE);
	loop = make_loop(4096);
	config.path = path;
	if (loop < 0)
		return;
	snprintf(command, sizeof(command), "mke2fs -q -F -t ext4 %s >/dev/null 2>&1", loop_name);
	if (!system(command) && enter_mounts() && !mount(loop_name, dir, "ext4", 0, NULL)) {
		make_image(IMAGE + 512);
		config.cache = CACHE_WRITEBACK;
		expect_open(&store);
		ck_assert_uint_eq(store.limits.logical_block, 512);
		store_close(&store);
		config.cache = CACHE_NONE;
		expect_refusal(-EINVAL, ODD);
		config.logical_block_size = 512;
		expect_refusal(-EINVAL, "needs blocks of 4096 bytes with O_DIRECT");
		config.logical_block_size = 0;
		config.size = IMAGE;
		expect_open(&store);
		ck_assert_uint_eq(store.length_align, 4096);
		ck_assert_uint_eq(store.limits.logical_block, 4096);
		ck_assert_uint_eq(store.limits.physical_block, 4096);
		store_close(&store);
		ck_assert_int_eq(umount(dir), 0);
	}
	close(loop);
}
END_TEST

static TCase *file_case(void)
{
	TCase *tc = tcase_create("file");

	tcase_add_unchecked_fixture(tc, make_dir, remove_dir);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, what_is_no_store_is_refused, 0, ARRAY_SIZE(no_stores));
	tcase_add_test(tc, symlink_to_an_image_is_followed);
	tcase_add_loop_test(tc, slice_is_judged, 0, ARRAY_SIZE(slices));
	tcase_add_test(tc, regular_file_has_limits);
	tcase_add_loop_test(tc, cache_mode_decides_about_o_direct, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, file_system_without_o_direct, 0, ARRAY_SIZE(caches));
	tcase_add_loop_test(tc, file_system_in_memory, 0, 2);
	tcase_add_test(tc, identity_is_of_the_bytes_not_of_the_name);
	tcase_add_test(tc, descriptors_run_out);
	tcase_add_loop_test(tc, permission_of_the_file_counts, 0, 4);
	return tc;
}

static TCase *lock_case(void)
{
	TCase *tc = tcase_create("lock");

	tcase_add_unchecked_fixture(tc, make_dir, remove_dir);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, slices_that_overlap_have_one_writer_or_readers, 0,
			    ARRAY_SIZE(pairs));
	tcase_add_loop_test(tc, other_process_counts_until_it_is_gone, 0, ARRAY_SIZE(pairs));
	tcase_add_test(tc, other_process_may_be_waited_for);
	tcase_add_test(tc, waiting_ends_and_is_for_busy_stores_alone);
	tcase_add_loop_test(tc, each_descriptor_holds_the_store_by_itself, 0, 4);
	return tc;
}

static TCase *block_case(void)
{
	TCase *tc = tcase_create("block");

	tcase_add_unchecked_fixture(tc, make_dir, remove_dir);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, block_device_has_its_own_limits, 0, 2);
	tcase_add_loop_test(tc, block_device_that_is_written_is_claimed, 0, 2);
	tcase_add_test(tc, file_on_a_disk_with_large_blocks);
	tcase_add_loop_test(tc, slices_of_a_block_device_share_one_claim, 0, 2);
	tcase_add_test(tc, each_block_device_has_its_own_claim);
	tcase_add_test(tc, descriptors_run_out_for_a_block_device);
	tcase_add_test(tc, block_device_may_be_waited_for);
	tcase_add_test(tc, partition_has_the_limits_of_its_disk);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("store");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, file_case());
	suite_add_tcase(suite, lock_case());
	suite_add_tcase(suite, block_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
