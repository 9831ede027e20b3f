// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/store_holder.c: the process has no descriptor of a store whose close() may stall. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"
#include "fake_store_kern.h"
#include "fds.h"
#include "file_fixture.h"
#include "store/store_holder.h"
#include "store/store_threads.h"
#include "suite.h"
#include "task.h"
#include "temp_dir.h"
#include "threads.h"

/* A private table is not to be had with it. */
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

#define MANY 12u

static struct task opening;
static int result;
static bool opened;

static void open_work(struct task *task)
{
	int *fds[TASK_DESCRIPTORS_MAX];
	unsigned int count;

	result = store_type_file.open(&fb_config, 0, &fb_backend);
	if (result)
		return;
	count = backend_descriptors(fb_backend, fds, ARRAY_SIZE(fds));
	for (unsigned int i = 0; i < count; i++)
		task_give(task, fds[i]);
}

static void open_done(struct task *task)
{
	(void)task;
	opened = true;
}

/* As a disk opens its store: in a task. */
static void open_in_task(enum cache_mode cache)
{
	fb_config.cache = cache;
	opened = false;
	opening = (struct task){ .name = "open", .work = open_work, .done = open_done };
	ck_assert_int_eq(task_start(&opening, &fb_ring), 0);
	turn_until(opened, ck_assert_int_eq(ring_run(&fb_ring, true), 0));
	ck_assert_int_eq(result, 0);
	backend_moved(fb_backend);
}

static void make_slow_store(void)
{
	fake_store_refuse_nowait(true);
	ck_assert(fb_make_place(DISK));
}

static void setup(void)
{
	fb_setup();
	make_slow_store();
}

static void teardown(void)
{
	fake_store_watch(NULL, NULL);
	fake_store_refuse_nowait(false);
	fb_teardown();
}

static void close_store(void)
{
	backend_close(fb_backend);
	fb_backend = NULL;
}

/* How many descriptors of a file are in a table: "self" or "thread-self". */
static unsigned int open_in_table(const char *table, const char *file)
{
	char path[64], target[300];
	const struct dirent *entry;
	unsigned int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", table);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[MAX(n, 0)] = '\0';
		count += !strcmp(target, file);
	}
	closedir(dir);
	return count;
}

START_TEST(process_has_no_descriptor_of_a_slow_store)
{
	unsigned int before;

	open_in_task(CACHE_AUTO); /* which starts the store-starter, and the task-starter */
	close_store();
	before = fds_open();
	open_in_task(CACHE_AUTO);
	ck_assert_uint_eq(threads_named("store-holder"), THREAD_SANITIZER ? 0 : 1);
	if (THREAD_SANITIZER)
		return;
	ck_assert_uint_eq(open_in_table("self", fb_image), 0);
	ck_assert_uint_eq(fds_open(), before);
	close_store();
	ck_assert_uint_eq(threads_named("store-holder"), 0);
}
END_TEST

START_TEST(quick_store_needs_no_holder)
{
	fake_store_refuse_nowait(false);
	open_in_task(CACHE_AUTO);
	ck_assert_uint_eq(threads_named("store-holder"), 0);
	ck_assert_uint_ge(open_in_table("self", fb_image), 2);
}
END_TEST

/* Nobody could close the descriptors without the process's table. */
START_TEST(store_opened_outside_of_a_task_has_no_holder)
{
	ck_assert(fb_open_place(DISK, CACHE_AUTO));
	ck_assert_uint_eq(threads_named("store-holder"), 0);
	fb_expect_content();
}
END_TEST

static void run_all_operations(void)
{
	struct fb_op op;

	op = fb_make_transfer(BACKEND_WRITE, 8192, fb_one_piece(65536));
	ck_assert_int_eq(fb_run(&op), 0);
	fb_write_content(&op, 65536);
	ck_assert_uint_eq(op.ring_steps, 0);
	op = fb_make_transfer(BACKEND_READ, 4096, fb_one_piece(131072));
	ck_assert_int_eq(fb_run(&op), 0);
	fb_expect_read(&op);
	ck_assert_uint_eq(op.ring_steps, 0);
	op = fb_make_op(BACKEND_WRITE_ZEROES, 4096, 8192);
	op.io.durable = true;
	ck_assert_int_eq(fb_run(&op), 0);
	fb_zero_content(&op);
	op = fb_make_op(BACKEND_FLUSH, 0, 0);
	ck_assert_int_eq(fb_run(&op), 0);
}

START_TEST(slow_store_is_served_by_its_threads)
{
	open_in_task(fb_caches[_i].cache);
	fb_plain_fd = open(fb_image, O_RDWR | O_CLOEXEC);
	run_all_operations();
	fb_expect_content();
}
END_TEST

static unsigned int inside, files, eventfds, completions;

/* All threads at the same time: each has the store, and all together one eventfd for the ring. */
static void look_at_table(const struct store_call *call)
{
	(void)call;
	__atomic_fetch_add(&inside, 1, __ATOMIC_ACQ_REL);
	turn_until(load_acquire(&inside) >= MANY, other_threads_run());
	store_release(&files, open_in_table("thread-self", fb_image));
	store_release(&eventfds, open_in_table("thread-self", "anon_inode:[eventfd]"));
}

static void one_done(struct backend_io *io, int err)
{
	(void)io;
	ck_assert_int_eq(err, 0);
	completions++;
}

START_TEST(threads_share_the_table_of_the_holder)
{
	static struct fb_op ops[MANY];

	open_in_task(CACHE_AUTO);
	fake_store_watch(look_at_table, NULL);
	for (unsigned int round = 0; round < 2; round++) {
		inside = completions = 0;
		for (unsigned int i = 0; i < MANY; i++) {
			ops[i] = fb_make_op(BACKEND_WRITE_ZEROES, 4096 * i, 4096);
			ops[i].io.done = one_done;
			backend_submit(fb_backend, &fb_ring, &ops[i].io);
		}
		turn_until(completions == MANY, ck_assert_int_eq(ring_run(&fb_ring, true), 0));
		ck_assert_uint_ge(files, 2); /* the store itself, and one for syncs */
		if (!THREAD_SANITIZER)
			ck_assert_uint_le(eventfds, 1);
	}
}
END_TEST

START_TEST(slow_store_is_locked_until_it_is_closed)
{
	struct backend *other = NULL;

	open_in_task(CACHE_AUTO);
	test_log_expect(LOG_LEVEL_ERROR, "in use by another process");
	ck_assert_int_eq(store_type_file.open(&fb_config, 0, &other), -EBUSY);
	close_store();
	ck_assert_int_eq(store_type_file.open(&fb_config, 0, &other), 0);
	backend_close(other);
}
END_TEST

static bool can_lock(int fd)
{
	struct flock lock = { .l_type = F_WRLCK };

	return !fcntl(fd, F_OFD_SETLK, &lock);
}

/* On a thread with a private table, which keeps nothing of the store. Return: what went wrong; NULL */
static void *hold_and_free(void *arg)
{
	struct store_holder *holder;
	int fd, nothing = -1, *fds[] = { &fd, &nothing };
	const char *wrong = NULL;

	(void)arg;
	if (descriptors_leave())
		return "no private table";
	for (int i = 0; i < 200 && !wrong; i++) {
		fd = open(fb_image, O_RDWR | O_CLOEXEC);
		if (!can_lock(fd))
			wrong = "the file is locked after its holder has gone";
		else if (store_holder_new(fds, ARRAY_SIZE(fds), &holder))
			wrong = "no holder";
		else if (fcntl(fd, F_GETFD) >= 0)
			wrong = "the thread still has the descriptor";
		else
			store_holder_free(holder);
	}
	return (void *)wrong;
}

START_TEST(holder_has_the_only_copy_and_closes_it)
{
	pthread_t thread;
	void *wrong;

	if (THREAD_SANITIZER)
		return;
	ck_assert_int_eq(store_threads_get(), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, hold_and_free, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, &wrong), 0);
	ck_assert_msg(!wrong, "%s", (const char *)wrong);
	store_threads_put();
}
END_TEST

static void *end_at_once(void *arg)
{
	__atomic_fetch_add((unsigned int *)arg, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int refuse(struct thread_starter *starter)
{
	(void)starter;
	return -ENOSPC;
}

static int agree(struct thread_starter *starter)
{
	(void)starter;
	return 0;
}

START_TEST(starter_reports_what_its_thread_could_not_do)
{
	struct thread_starter starter = { .name = "starter", .enter = refuse };

	ck_assert_int_eq(thread_starter_start(&starter), -ENOSPC);
	ck_assert_uint_eq(threads_named("starter"), 0);
}
END_TEST

/* A pool that ends withdraws its order while the starter may be at it. */
START_TEST(order_is_either_withdrawn_or_carried_out)
{
	struct thread_starter starter = { .name = "starter", .enter = agree };
	static struct thread_order orders[2];
	static unsigned int started;
	unsigned int expected = 0;

	ck_assert_int_eq(thread_starter_start(&starter), 0);
	for (unsigned int i = 0; i < 3000; i++) {
		orders[0] = orders[1] =
			(struct thread_order){ .main = end_at_once, .arg = &started };
		thread_starter_order(&starter, &orders[0]);
		thread_starter_order(&starter, &orders[1]);
		if (i % 3)
			sched_yield();
		expected += !thread_starter_withdraw(&starter, &orders[i % 2]);
		ck_assert(!thread_starter_withdraw(&starter, &orders[i % 2]));
		expected += !thread_starter_withdraw(&starter, &orders[!(i % 2)]);
		turn_until(load_acquire(&started) == expected, other_threads_run());
	}
	thread_starter_stop(&starter);
	ck_assert_uint_eq(started, expected);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_holder");
	TCase *tc = suite_case(suite, "holder", setup, teardown);
	TCase *starter = suite_case(suite, "starter", NULL, NULL);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, process_has_no_descriptor_of_a_slow_store);
	tcase_add_test(tc, quick_store_needs_no_holder);
	tcase_add_test(tc, store_opened_outside_of_a_task_has_no_holder);
	tcase_add_loop_test(tc, slow_store_is_served_by_its_threads, 0, FB_CACHES);
	tcase_add_test(tc, threads_share_the_table_of_the_holder);
	tcase_add_test(tc, slow_store_is_locked_until_it_is_closed);
	tcase_add_test(tc, holder_has_the_only_copy_and_closes_it);
	tcase_add_test(starter, starter_reports_what_its_thread_could_not_do);
	tcase_add_test(starter, order_is_either_withdrawn_or_carried_out);
	return suite_run(suite);
}
