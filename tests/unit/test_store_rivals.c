// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/store/store_lock.c and openers.c: processes with locks on an image, those that prevent
 * serving it and those that do not; store_access.c: users that may open it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"
#include "openers.h"
#include "places.h"
#include "store_fixture.h"
#include "store/store_lock.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define NOBODY 65534 /* the user */
#define BESIDE "cannot be locked for this server alone"

/* The mark of "disk0", the lowest one, and the highest one. */
#define MARK	   4611686009933047347ull
#define FIRST_MARK ((1ull << 62) - (1ull << 33) + 1)
#define LAST_MARK  ((1ull << 62) - (1ull << 32) - 2)

/* What another process does with the image. */
struct hold {
	int flags; /* of its open(2) */
	bool nobody;
	bool wait; /* for a lock on all of it, which the child gets when we let go */
	off_t start, len;
};

static pid_t holder;

static int lock_file(int fd, const struct hold *hold)
{
	struct flock lock = { .l_type = F_RDLCK, .l_start = hold->start, .l_len = hold->len };

	return fcntl(fd, hold->wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
}

static void hold_in_child(const struct hold *hold, int ready)
{
	char byte = 0;
	int fd;

	if (hold->wait)
		host_file_close(&st_store); /* what fork() gave us of it */
	if (hold->nobody && (setgid(NOBODY) || setuid(NOBODY)))
		_exit(1);
	fd = open(st_image, hold->flags | O_CLOEXEC);
	if (fd < 0)
		_exit(2);
	if (hold->wait && write(ready, &byte, 1) != 1)
		_exit(3);
	if (lock_file(fd, hold))
		_exit(4);
	if (write(ready, &byte, 1) != 1)
		_exit(5);
	for (;;)
		pause();
}

/* Returns when the child has its lock; or, where it has to wait, the descriptor that tells. */
static int start_holder(const struct hold *hold)
{
	char byte = 0;
	int ready[2];

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	holder = fork();
	ck_assert_int_ge(holder, 0);
	if (!holder)
		hold_in_child(hold, ready[1]);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	if (hold->wait)
		return ready[0];
	close(ready[0]);
	return -1;
}

static void end_holder(void)
{
	kill(holder, SIGKILL);
	ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
}

/* ---- a server whose slices are in tables of their own ---- */

#define SLICE (ST_IMAGE_SIZE / 2)

static void lock_slice(off_t start)
{
	const struct hold hold = { .start = start, .len = SLICE };
	int fd = open(st_image, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || lock_file(fd, &hold) || fcntl(fd, F_DUPFD_CLOEXEC, 40) != 40)
		_exit(2);
}

static pthread_barrier_t started;

static void *share_table(void *arg)
{
	pthread_barrier_wait(&started);
	for (;;)
		pause();
	return arg;
}

static void *hold_slice(void *arg)
{
	pthread_t thread;

	if (unshare(CLONE_FILES))
		_exit(3);
	lock_slice(*(off_t *)arg);
	pthread_create(&thread, NULL, share_table, NULL);
	return share_table(NULL);
}

static void hold_slices(int ready)
{
	static off_t starts[] = { 0, SLICE };
	pthread_t threads[2];

	pthread_barrier_init(&started, NULL, 5);
	pthread_setname_np(pthread_self(), "vduse-blk");
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, hold_slice, &starts[i]);
	pthread_barrier_wait(&started);
	if (write(ready, "", 1) != 1)
		_exit(4);
	for (;;)
		pause();
}

static void count_locks(const struct opener *opener, void *ctx)
{
	unsigned int *locks = ctx;

	if (opener->pid == holder)
		*locks += opener->locks;
}

/* Each slice has one lock, whatever thread holds it, and however many share its table. */
START_TEST(locks_in_all_tables_of_a_server_count_once)
{
	const struct file_range slice = { _i * SLICE, _i * SLICE + SLICE - 1 };
	unsigned int locks = 0;
	struct file_key key;
	int ready[2], fd;
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	holder = fork();
	if (!holder)
		hold_slices(ready[1]);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	fd = open(st_image, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(openers_key(fd, &key), 0);
	ck_assert_int_eq(openers_scan(&key, &slice, count_locks, &locks), 0);
	ck_assert_uint_eq(locks, 1);
	close(fd);
	end_holder();
}
END_TEST

static void expect_beside(struct host_file *opened)
{
	char line[64];

	snprintf(line, sizeof(line), "(process %d, user ", (int)holder);
	test_log_expect(LOG_LEVEL_WARNING, BESIDE);
	st_expect_open(opened);
	ck_assert_uint_eq(test_log_count(line), 1);
}

static const struct hold read_locks[] = {
	{ .flags = O_RDONLY },
	{ .flags = O_RDONLY, .start = 100, .len = 1 },
	{ .flags = O_RDONLY, .start = ST_IMAGE_SIZE - 1, .len = 1 },
	{ .flags = O_RDONLY, .start = 1ll << 40, .len = 1 },
};

/* Whoever may read an image can do that, and wait for the moment when a server lets go. */
START_TEST(reader_with_a_lock_does_not_stop_a_successor)
{
	start_holder(&read_locks[_i / 2]);
	st_config.cache = _i % 2 ? CACHE_WRITEBACK : CACHE_AUTO;
	st_wait_ms = 5000;
	expect_beside(&st_store);
	host_file_close(&st_store);
	end_holder();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

static void *open_isolated(void *arg)
{
	int *err = arg, none = -1;

	*err = descriptors_isolate(&none, 1);
	if (!*err)
		*err = host_file_open(&st_config, st_wait_ms, &st_store);
	if (!*err)
		host_file_close(&st_store);
	return NULL;
}

/* A thread with a descriptor table of its own does not take its own locks for others'. */
START_TEST(thread_with_its_own_descriptors_opens_beside_a_reader)
{
	pthread_t thread;
	int err = -1;

	start_holder(&read_locks[0]);
	st_wait_ms = _i ? 5000 : 0;
	if (_i)
		test_log_expect(LOG_LEVEL_WARNING, BESIDE);
	else
		test_log_expect(LOG_LEVEL_ERROR, "has it open for reading");
	ck_assert_int_eq(pthread_create(&thread, NULL, open_isolated, &err), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(err, _i ? 0 : -EBUSY);
	end_holder();
}
END_TEST

START_TEST(waiting_read_lock_that_wins_does_not_stop_a_successor)
{
	const struct hold all = { .flags = O_RDONLY, .wait = true };
	char byte;
	int ready;

	st_expect_open(&st_store);
	ready = start_holder(&all);
	host_file_close(&st_store);
	ck_assert_int_eq(read(ready, &byte, 1), 1);
	close(ready);
	st_wait_ms = 5000;
	expect_beside(&st_store);
	host_file_close(&st_store);
	end_holder();
}
END_TEST

/* QEMU locks single bytes from 100 on for reading, whatever it does with the image. */
START_TEST(process_that_may_write_is_named_and_refused)
{
	const struct hold qemu = { .flags = O_RDWR, .start = 100, .len = 104 };
	char reason[64];

	start_holder(&qemu);
	snprintf(reason, sizeof(reason), "(process %d) has it open for writing", (int)holder);
	st_wait_ms = _i ? 50 : 0;
	st_expect_refusal(-EBUSY, reason);
	end_holder();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* Its disk must not change below it. */
START_TEST(reader_of_the_owner_refuses_a_new_disk)
{
	char reason[64];

	start_holder(&read_locks[0]);
	snprintf(reason, sizeof(reason), "(process %d) has it open for reading", (int)holder);
	st_expect_refusal(-EBUSY, reason);
	end_holder();
}
END_TEST

START_TEST(reader_that_owns_the_image_refuses_a_new_disk)
{
	const struct hold owner = { .flags = O_RDONLY, .nobody = true };

	if (geteuid())
		return;
	ck_assert_int_eq(chown(st_image, NOBODY, 0), 0);
	start_holder(&owner);
	st_expect_refusal(-EBUSY, "has it open for reading, with a lock");
	end_holder();
}
END_TEST

START_TEST(reader_of_another_user_does_not_stop_a_new_disk)
{
	const struct hold nobody = { .flags = O_RDONLY, .nobody = true };

	if (geteuid())
		return;
	ck_assert_int_eq(chmod(st_image, 0604), 0);
	start_holder(&nobody);
	test_log_allow(LOG_LEVEL_WARNING, "can be opened by any user");
	expect_beside(&st_store);
	host_file_close(&st_store);
	end_holder();
}
END_TEST

/* ---- open files that no process has: those of I/O in flight, here of a message in a socket ---- */

/* A dead server's I/O, while another user holds a read lock: that one does not hide it. */
START_TEST(io_of_a_dead_server_is_waited_for_beside_a_reader)
{
	start_holder(&read_locks[_i]);
	st_config.cache = CACHE_WRITEBACK;
	st_wait_ms = 5000;
	expect_beside(&st_store);
	st_hide(st_store.fd);
	st_store.fd = -1;
	host_file_close(&st_store);

	st_wait_ms = 250;
	st_expect_refusal(
		-EBUSY,
		_i ? "or a lock of a process in another PID namespace" /* not of the reader */
		   : "in use by another process");
	st_end_hidden();
	st_wait_ms = 5000;
	expect_beside(&st_store);
	host_file_close(&st_store);
	end_holder();
}
END_TEST

static int open_locked(int flags, off_t start, off_t len)
{
	const struct hold hold = { .start = start, .len = len };
	int fd = open(st_image, flags | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(lock_file(fd, &hold), 0);
	return fd;
}

/* A process of another PID namespace: its locks are seen, the process is not. */
START_TEST(read_lock_of_nobody_stops_where_somebody_may_write)
{
	st_hide(open_locked(O_RDWR, 100, 1));
	st_wait_ms = _i ? 250 : 0;
	st_expect_refusal(-EBUSY, "in use by another process");
	st_end_hidden();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

START_TEST(read_lock_of_nobody_does_not_stop_where_nobody_can_write)
{
	if (openers_written(st_image) != FILE_UNWRITTEN)
		return; /* no leases here */
	st_hide(open_locked(O_RDONLY, 0, 0));
	st_wait_ms = _i ? 5000 : 0;
	test_log_expect(LOG_LEVEL_WARNING, BESIDE);
	st_expect_open(&st_store);
	ck_assert_int_eq(openers_written(st_image), FILE_MAYBE_WRITTEN); /* by this process */
	host_file_close(&st_store);
	st_end_hidden();
}
END_TEST

/* Is this byte of the image locked? By whoever has it open as well. */
static bool byte_is_locked(uint64_t byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)byte, .l_len = 1 };
	int fd = open(st_image, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
	close(fd);
	return lock.l_type != F_UNLCK;
}

/* The server after an upgrade looks for the mark of the one before. */
START_TEST(mark_of_a_name_is_where_every_version_has_it)
{
	static const struct {
		const char *name;
		uint64_t mark;
	} marks[] = {
		{ "disk0", MARK },	   { "another", 4611686013281240835ull },
		{ "zsjpxah", FIRST_MARK }, /* its hash is 0 */
		{ "zsjpxai", FIRST_MARK }, { "zsjpxaf", LAST_MARK },
		{ "zsjpxag", LAST_MARK }, /* all ones */
	};

	st_config.name = (char *)marks[_i].name;
	st_config.offset = 4096;
	st_config.size = 8192;
	st_expect_open(&st_store);
	ck_assert(!byte_is_locked(4095));
	ck_assert(byte_is_locked(4096));
	ck_assert(byte_is_locked(4096 + 8191));
	ck_assert(!byte_is_locked(4096 + 8192));
	ck_assert(!byte_is_locked(marks[_i].mark - 1));
	ck_assert(byte_is_locked(marks[_i].mark));
	ck_assert(!byte_is_locked(marks[_i].mark + 1));
	host_file_close(&st_store);
}
END_TEST

/* An image may grow while it is served. */
START_TEST(disk_without_a_size_has_all_bytes_up_to_the_marks)
{
	st_config.offset = 4096;
	st_expect_open(&st_store);
	ck_assert(!byte_is_locked(4095));
	ck_assert(byte_is_locked(4096));
	ck_assert(byte_is_locked(FIRST_MARK - 2));
	ck_assert(!byte_is_locked(FIRST_MARK - 1));
	host_file_close(&st_store);
}
END_TEST

/* I/O in flight locks exactly the mark. A lock of other bytes, beside the mark, does not hide that. */
START_TEST(lock_of_the_mark_alone_stops_a_successor)
{
	static const struct hold beside[] = {
		{ .start = 1 << 20, .len = 1 },
		{ .start = 0, .len = (off_t)MARK },
		{ .start = (off_t)MARK + 1, .len = 0 },
	};
	int mark;

	start_holder(&beside[_i]);
	mark = open_locked(O_RDONLY, (off_t)MARK, 1);
	st_wait_ms = 50;
	st_expect_refusal(-EBUSY, "in use by another process");
	close(mark);
	end_holder();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* The server cannot tell whether I/O in flight holds a lock of the mark too: the log names both. */
START_TEST(program_that_imitates_the_mark_is_named)
{
	static const struct hold imitation = { .start = (off_t)MARK, .len = 1 };
	char reason[64];

	start_holder(&imitation);
	st_wait_ms = 50;
	snprintf(reason, sizeof(reason), "(process %d, user %u)", (int)holder, getuid());
	st_expect_refusal(-EBUSY, reason);
	st_expect_refusal(-EBUSY, "I/O of a killed server, or a lock of test_store_riv");
	end_holder();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

START_TEST(mark_of_another_disk_stops_nobody)
{
	int other = open_locked(O_RDWR, (off_t)MARK + 1, 1);

	st_wait_ms = 5000;
	st_expect_open(&st_store);
	host_file_close(&st_store);
	close(other);
}
END_TEST

/* A lock of all bytes covers the mark, so the server searches for a second lock, of the mark alone. */
START_TEST(reader_of_all_bytes_is_no_mark)
{
	int writer, mark;

	start_holder(&read_locks[0]);
	writer = open(st_image, O_RDWR | O_CLOEXEC); /* without a lock: not judged here */
	ck_assert_int_ge(writer, 0);
	st_wait_ms = 5000;
	expect_beside(&st_store);
	host_file_close(&st_store);
	close(writer);

	st_config.readonly = true;
	st_expect_open(&st_store);
	host_file_close(&st_store);
	mark = open_locked(O_RDONLY, (off_t)MARK, 1);
	st_wait_ms = 50;
	st_expect_refusal(-EBUSY, "in use by another process");
	close(mark);
	end_holder();
}
END_TEST

/* This process serves another slice, so whether others write the image is unknown. */
START_TEST(visible_reader_does_not_stop_the_successor_of_a_slice)
{
	const struct hold reader = { .flags = O_RDONLY, .start = 8192, .len = 4096 };
	struct host_file other;

	start_holder(&reader);
	st_configure_part(&(struct st_part){ .size = 8192 });
	st_config.name = (char *)"another";
	st_expect_open(&other);
	st_configure_part(&(struct st_part){ .offset = 8192, .size = 8192 });
	st_config.name = (char *)"disk0";
	st_wait_ms = 5000;
	expect_beside(&st_store);
	host_file_close(&st_store);
	host_file_close(&other);
	end_holder();
}
END_TEST

START_TEST(holder_of_a_write_lock_is_named)
{
	struct st_part whole = { 0 };
	pid_t pid = st_start_holder(&whole);
	char reason[64];

	snprintf(reason, sizeof(reason), "(process %d) has it open for writing", (int)pid);
	st_expect_refusal(-EBUSY, reason);
	st_end_holder(pid);

	st_expect_open(&st_store);
	snprintf(reason, sizeof(reason), "(process %d, this one) has it open for writing",
		 (int)getpid());
	st_expect_refusal(-EBUSY, reason);
	st_hide(st_store.fd);
	st_store.fd = -1;
	host_file_close(&st_store);
	st_expect_refusal(
		-EBUSY, "I/O of a killed server, or a lock of a process in another PID namespace");
	st_end_hidden();
}
END_TEST

/* /proc as some containers have it: processes, and no table of locks. */
START_TEST(without_a_table_of_locks_a_reader_stops_a_successor)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, "subset=pid"))
		return; /* not root, or in a sandbox */
	start_holder(&read_locks[1]);
	st_wait_ms = 50;
	st_expect_refusal(-EBUSY, "in use by another process");
	end_holder();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* ---- the functions alone ---- */

/* A store as store_lock() sees it. */
static struct host_file open_plain(int flags)
{
	struct host_file store = { .fd = open(st_image, flags | O_CLOEXEC) };

	ck_assert_int_ge(store.fd, 0);
	return store;
}

START_TEST(failed_system_call_is_no_lock)
{
	struct store_rivals rivals = { .successor = _i, .written = FILE_UNWRITTEN };
	struct host_file store = open_plain(O_PATH);

	ck_assert_int_eq(store_lock(&st_config, &store, &rivals), -EBADF);
	ck_assert_int_eq(store_lock_shared(&st_config, &store, &rivals), -EBADF);
	close(store.fd);
}
END_TEST

/* Otherwise two successors that retry would refuse each other for ever. */
START_TEST(server_that_waits_holds_no_mark)
{
	struct store_rivals rivals = { .successor = true, .written = FILE_WRITTEN };
	struct host_file store = open_plain(O_RDWR);
	int all = open_locked(O_RDONLY, 0, 0), mark = -1;

	if (_i)
		mark = open_locked(O_RDONLY, (off_t)MARK, 1);
	ck_assert_int_eq(store_lock(&st_config, &store, &rivals), -EBUSY);
	close(all);
	if (_i)
		close(mark);
	ck_assert(!byte_is_locked(MARK));
	close(store.fd);
}
END_TEST

START_TEST(rival_of_an_earlier_try_is_forgotten)
{
	struct store_rivals rivals = { .successor = true, .written = FILE_WRITTEN };
	struct host_file store = open_plain(O_RDWR);

	start_holder(&(struct hold){ .flags = O_RDWR });
	ck_assert_int_eq(store_lock_shared(&st_config, &store, &rivals), -EBUSY);
	ck_assert_ptr_nonnull(strstr(rivals.text, "has it open for writing"));
	end_holder();
	test_log_expect(LOG_LEVEL_WARNING, "since a process in another PID namespace holds");
	ck_assert_int_eq(store_lock_shared(&st_config, &store, &rivals), 0);
	close(store.fd);
}
END_TEST

/* It had a second descriptor, with a lock far behind the data. */
START_TEST(io_of_a_dead_server_of_an_earlier_version_is_waited_for)
{
	struct flock second = { .l_type = _i ? F_RDLCK : F_WRLCK };
	int fd = open(st_image, O_RDWR | O_CLOEXEC);

	st_config.offset = 4096;
	second.l_start = (off_t)((1ull << 62) + 4096);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &second), 0);
	st_hide(fd);
	st_wait_ms = 50;
	if (_i) { /* nobody's I/O */
		st_expect_open(&st_store);
		host_file_close(&st_store);
	} else {
		st_expect_refusal(-EBUSY, "in use by another process");
	}
	st_end_hidden();
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* ---- who may open it ---- */

static const struct {
	mode_t mode, dir;
	bool warned;
} modes[] = {
	{ 0600, 0755, false }, { 0604, 0755, true },  { 0602, 0755, true },
	{ 0644, 0755, true },  { 0644, 0700, false }, { 0644, 0711, true },
};

START_TEST(image_that_others_may_open_is_a_warning)
{
	ck_assert_int_eq(chmod(st_image, modes[_i].mode), 0);
	ck_assert_int_eq(chmod(temp_dir, modes[_i].dir), 0);
	if (modes[_i].warned)
		test_log_expect(LOG_LEVEL_WARNING, "can be opened by any user");
	st_expect_open(&st_store);
	host_file_close(&st_store);
	ck_assert_uint_eq(test_log_count("chmod go-rw"), modes[_i].warned);
	st_wait_ms = 100; /* the server before has said it */
	st_expect_open(&st_store);
	host_file_close(&st_store);
	ck_assert_uint_eq(test_log_count("chmod go-rw"), modes[_i].warned);
	ck_assert_int_eq(chmod(temp_dir, 0755), 0);
}
END_TEST

START_TEST(image_that_a_group_may_open_is_a_warning)
{
	if (geteuid())
		return;
	ck_assert_int_eq(chown(st_image, 0, NOBODY), 0);
	ck_assert_int_eq(chmod(st_image, 0640), 0);
	test_log_expect(LOG_LEVEL_WARNING, "can be opened by members of its group");
	st_expect_open(&st_store);
	host_file_close(&st_store);
	ck_assert_int_eq(chown(st_image, 0, 0), 0);
	st_expect_open(&st_store); /* root's group */
	host_file_close(&st_store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_rivals");
	TCase *tc = suite_case(suite, "rivals", st_setup, st_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, locks_in_all_tables_of_a_server_count_once, 0, 2);
	tcase_add_loop_test(tc, reader_with_a_lock_does_not_stop_a_successor, 0,
			    2 * ARRAY_SIZE(read_locks));
#ifndef __SANITIZE_THREAD__ /* descriptors_isolate() does nothing with it */
	tcase_add_loop_test(tc, thread_with_its_own_descriptors_opens_beside_a_reader, 0, 2);
#else
	(void)thread_with_its_own_descriptors_opens_beside_a_reader;
#endif
	tcase_add_test(tc, waiting_read_lock_that_wins_does_not_stop_a_successor);
	tcase_add_loop_test(tc, process_that_may_write_is_named_and_refused, 0, 2);
	tcase_add_test(tc, reader_of_the_owner_refuses_a_new_disk);
	tcase_add_test(tc, reader_that_owns_the_image_refuses_a_new_disk);
	tcase_add_test(tc, reader_of_another_user_does_not_stop_a_new_disk);
	tcase_add_loop_test(tc, io_of_a_dead_server_is_waited_for_beside_a_reader, 0, 2);
	tcase_add_loop_test(tc, read_lock_of_nobody_stops_where_somebody_may_write, 0, 2);
	tcase_add_loop_test(tc, read_lock_of_nobody_does_not_stop_where_nobody_can_write, 0, 2);
	tcase_add_loop_test(tc, mark_of_a_name_is_where_every_version_has_it, 0, 6);
	tcase_add_test(tc, disk_without_a_size_has_all_bytes_up_to_the_marks);
	tcase_add_loop_test(tc, lock_of_the_mark_alone_stops_a_successor, 0, 3);
	tcase_add_test(tc, program_that_imitates_the_mark_is_named);
	tcase_add_test(tc, mark_of_another_disk_stops_nobody);
	tcase_add_test(tc, reader_of_all_bytes_is_no_mark);
	tcase_add_test(tc, visible_reader_does_not_stop_the_successor_of_a_slice);
	tcase_add_test(tc, holder_of_a_write_lock_is_named);
	tcase_add_test(tc, without_a_table_of_locks_a_reader_stops_a_successor);
	tcase_add_loop_test(tc, failed_system_call_is_no_lock, 0, 2);
	tcase_add_loop_test(tc, server_that_waits_holds_no_mark, 0, 2);
	tcase_add_test(tc, rival_of_an_earlier_try_is_forgotten);
	tcase_add_loop_test(tc, io_of_a_dead_server_of_an_earlier_version_is_waited_for, 0, 2);
	tcase_add_loop_test(tc, image_that_others_may_open_is_a_warning, 0, ARRAY_SIZE(modes));
	tcase_add_test(tc, image_that_a_group_may_open_is_a_warning);
	return suite_run(suite);
}
