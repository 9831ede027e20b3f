// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/store_pool.c, store_threads.c: blocked threads hold their store only; lost writes. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "store/file_store.h"
#include "fake_store_kern.h"
#include "file_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "threads.h"

#define MANY 40

/* Calls of threads, which wait at the kernel's door until they are let in. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int entered;	   /* calls on the first store, so far */
	unsigned int admitted;	   /* so many of them may go on */
	unsigned int descriptions; /* bit n: a sync of the n-th was begun */
	unsigned int losses;
	unsigned int seen[STORE_SYNCS]; /* of them, by description: as errseq_t */
	unsigned int flushes;		/* that the disk has done */
	bool late;			/* the thread of the one that failed may return */
	bool foreign;			/* a thread had something that is not its store's */
} door = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static struct backend_io ios[MANY];
static unsigned int done_count;
static int results[MANY];
static bool lost_was_known[MANY];
static bool lost_called;
static ino_t first_store;

/* The n-th description for syncs has that position; see open_held(). */
static unsigned int description_of(const struct store_call *call)
{
	return (unsigned int)lseek(call->fd, 0, SEEK_CUR) - 1;
}

static bool is_first_store(const struct store_call *call)
{
	struct stat st;

	return !fstat(call->fd, &st) && st.st_ino == first_store;
}

static void wait_at_door(const struct store_call *call)
{
	unsigned int ticket;

	if (!is_first_store(call))
		return;
	pthread_mutex_lock(&door.lock);
	ticket = door.entered++;
	if (call->what == STORE_CALL_SYNC)
		door.descriptions |= 1u << description_of(call);
	pthread_cond_broadcast(&door.changed);
	while (ticket >= door.admitted)
		pthread_cond_wait(&door.changed, &door.lock);
	pthread_mutex_unlock(&door.lock);
}

static int tell_of_losses(const struct store_call *call, int res)
{
	if (call->what != STORE_CALL_SYNC || !is_first_store(call))
		return res;
	pthread_mutex_lock(&door.lock);
	if (door.seen[description_of(call)] != door.losses)
		res = -EIO;
	door.seen[description_of(call)] = door.losses;
	pthread_mutex_unlock(&door.lock);
	return res;
}

static void admit(unsigned int count)
{
	pthread_mutex_lock(&door.lock);
	door.admitted += count;
	pthread_cond_broadcast(&door.changed);
	pthread_mutex_unlock(&door.lock);
}

static void wait_for_calls(unsigned int count)
{
	pthread_mutex_lock(&door.lock);
	while (door.entered < count)
		pthread_cond_wait(&door.changed, &door.lock);
	ck_assert_uint_eq(door.entered, count);
	pthread_mutex_unlock(&door.lock);
}

static void wait_for_flushes(unsigned int count)
{
	pthread_mutex_lock(&door.lock);
	while (door.flushes < count)
		pthread_cond_wait(&door.changed, &door.lock);
	pthread_mutex_unlock(&door.lock);
}

static void note_loss(void *owner)
{
	ck_assert_ptr_eq(owner, &door);
	store_relaxed(&lost_called, true);
}

static struct host_file *store(void)
{
	return &container_of(fb_backend, struct file_store, base)->file;
}

static void open_held(enum cache_mode cache)
{
	struct stat st;

	ck_assert(fb_open_place(DISK, cache));
	ck_assert_int_eq(fstat(fb_plain_fd, &st), 0);
	first_store = st.st_ino;
	for (unsigned int i = 0; i < STORE_SYNCS; i++)
		ck_assert_int_eq(lseek(store()->sync_fds[i], i + 1, SEEK_SET), i + 1);
	fb_backend->lost = note_loss;
	fb_backend->owner = &door;
	fake_store_watch(wait_at_door, tell_of_losses);
}

static void close_held(void)
{
	if (fb_backend)
		backend_close(fb_backend);
	fb_backend = NULL;
	fake_store_watch(NULL, NULL);
	fb_teardown();
}

static void io_done(struct backend_io *io, int err)
{
	results[io - ios] = err;
	lost_was_known[io - ios] = load_relaxed(&lost_called);
	done_count++;
}

static void submit(unsigned int index, enum backend_op op)
{
	ios[index] = (struct backend_io){ .op = op, .offset = index * 4096, .done = io_done };
	ios[index].len = op == BACKEND_FLUSH ? 0 : 4096;
	backend_submit(fb_backend, &fb_ring, &ios[index]);
}

static void wait_for_done(unsigned int count)
{
	while (done_count < count)
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
	ck_assert_uint_eq(done_count, count);
}

/* One after the other, so that none shares the next one's. */
static void begin_syncs(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		submit(i, BACKEND_FLUSH);
		wait_for_calls(i + 1);
	}
}

/* As open_held(), of a store whose thread has done a job and a sync. */
static void open_used(enum cache_mode cache)
{
	open_held(cache);
	fake_store_watch(NULL, NULL);
	submit(0, BACKEND_WRITE_ZEROES);
	wait_for_done(1);
	submit(0, BACKEND_FLUSH);
	wait_for_done(2);
	done_count = 0;
	fake_store_watch(wait_at_door, tell_of_losses);
}

START_TEST(each_sync_under_way_has_its_own_description)
{
	open_held(CACHE_WRITEBACK);
	begin_syncs(STORE_SYNCS);
	ck_assert_uint_eq(door.descriptions, (1u << STORE_SYNCS) - 1);
	/* There is none left; those that wait share the next one. */
	for (unsigned int i = 0; i < 3; i++)
		submit(STORE_SYNCS + i, BACKEND_FLUSH);
	admit(1);
	wait_for_calls(STORE_SYNCS + 1);
	/* The first one waits for those that began before its end, and not for the last one. */
	admit(STORE_SYNCS - 1);
	wait_for_done(1);
	admit(1);
	wait_for_done(STORE_SYNCS + 3);
	wait_for_calls(STORE_SYNCS + 1);
	for (unsigned int i = 0; i < STORE_SYNCS + 3; i++)
		ck_assert_int_eq(results[i], 0);
	ck_assert(!lost_called);
}
END_TEST

/* A write is lost while syncs are under way: each of them says so, and nothing completes before it is known. */
START_TEST(loss_is_reported_to_all_syncs_under_way)
{
	open_held(CACHE_WRITEBACK);
	begin_syncs(2);
	door.losses++;
	admit(2);
	wait_for_done(2);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(results[i], -EIO);
		ck_assert(ios[i].sync_failed);
		ck_assert(lost_was_known[i]);
	}
}
END_TEST

/*
 * A disk that loses its cache says so to one flush; the next one succeeds. The thread that has the
 * error may return late.
 */
static int lose_cache(const struct store_call *call, int res)
{
	unsigned int nth;

	if (call->what != STORE_CALL_SYNC || !is_first_store(call))
		return res;
	pthread_mutex_lock(&door.lock);
	nth = door.flushes++;
	pthread_cond_broadcast(&door.changed);
	while (!nth && !door.late)
		pthread_cond_wait(&door.changed, &door.lock);
	pthread_mutex_unlock(&door.lock);
	return nth ? 0 : -EIO;
}

static void set_late(struct ring_timer *timer)
{
	(void)timer;
	pthread_mutex_lock(&door.lock);
	door.late = true;
	pthread_cond_broadcast(&door.changed);
	pthread_mutex_unlock(&door.lock);
}

START_TEST(sync_that_succeeds_does_not_overtake_one_that_failed)
{
	struct ring_timer timer = { 0 };

	open_used(CACHE_WRITEBACK);
	fake_store_watch(wait_at_door, lose_cache);
	begin_syncs(2);
	/* The first one has its error, then the second one is done by the disk. */
	admit(1);
	wait_for_flushes(1);
	admit(1);
	wait_for_flushes(2);
	ring_timer_start(&fb_ring, &timer, 100000, set_late);
	wait_for_done(2);
	ck_assert(lost_was_known[0]);
	ck_assert(lost_was_known[1]);
}
END_TEST

static unsigned int interruptions;

static int interrupt(const struct store_call *call, int res)
{
	if (call->what != STORE_CALL_SYNC || !interruptions)
		return res;
	interruptions--;
	return -EINTR;
}

START_TEST(interrupted_sync_is_tried_again)
{
	open_held(CACHE_WRITEBACK);
	interruptions = 3;
	fake_store_watch(NULL, interrupt);
	submit(0, BACKEND_FLUSH);
	wait_for_done(1);
	ck_assert_uint_eq(interruptions, 0);
	ck_assert_int_eq(results[0], 0);
	ck_assert(!lost_called);
}
END_TEST

/* A durable write or change is followed by such a sync, which is not tried again. */
START_TEST(loss_is_reported_to_a_durable_change)
{
	open_held(CACHE_WRITETHROUGH);
	admit(100);
	door.losses++;
	ios[0] = (struct backend_io){
		.op = _i ? BACKEND_WRITE_ZEROES : BACKEND_WRITE,
		.durable = true,
		.len = 4096,
		.iov = fb_pieces,
		.iov_count = 1,
		.done = io_done,
	};
	fb_one_piece(4096);
	backend_submit(fb_backend, &fb_ring, &ios[0]);
	wait_for_done(1);
	ck_assert_int_eq(results[0], -EIO);
	ck_assert(ios[0].sync_failed);
	ck_assert(lost_was_known[0]);
}
END_TEST

static struct backend *open_other(void)
{
	struct device_config config = { .name = (char *)"disk1", .path = temp_path("other") };
	struct backend *other;
	int fd = open(config.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
	config.cache = CACHE_WRITEBACK;
	ck_assert_int_eq(store_type_file.open(&config, 0, &other), 0);
	return other;
}

static bool other_done;

static void other_io_done(struct backend_io *io, int err)
{
	(void)io;
	ck_assert_int_eq(err, 0);
	other_done = true;
}

static void flush_other(struct backend *other)
{
	struct backend_io io = { .op = BACKEND_FLUSH, .done = other_io_done };

	other_done = false;
	backend_submit(other, &fb_ring, &io);
	while (!other_done)
		ck_assert_int_eq(ring_run(&fb_ring, true), 0);
}

/* All that it can have under way, and more; of what has not begun, some is given up. */
START_TEST(stalled_store_keeps_its_own_threads)
{
	struct backend *other;

	open_used(CACHE_AUTO);
	other = open_other();
	for (unsigned int i = 0; i < MANY; i++)
		submit(i, BACKEND_WRITE_ZEROES);
	wait_for_calls(POOL_THREADS);
	ck_assert_uint_eq(threads_named("store"), POOL_THREADS);
	ck_assert_uint_eq(threads_named("iou-*"), 0);
	flush_other(other);
	ck_assert_uint_eq(done_count, 0);

	for (unsigned int i = 0; i < MANY; i += 2)
		backend_cancel(&ios[i]);
	wait_for_done((MANY - POOL_THREADS) / 2);
	admit(MANY);
	wait_for_done(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert_int_eq(results[i], i >= POOL_THREADS && i % 2 == 0 ? -ECANCELED : 0);
	backend_close(other);
}
END_TEST

/* A thread has one operation under way: a store that only threads can read and write gets more of them. */
START_TEST(store_that_refuses_nowait_has_more_under_way)
{
	struct fb_op op = { 0 };

	open_held(CACHE_AUTO);
	for (int i = 0; i < 100 && !op.ring_steps; i++) {
		op = fb_make_transfer(BACKEND_READ, 4096, fb_one_piece(4096));
		op.fakes[0] = -EOPNOTSUPP;
		fb_run(&op);
	}
	if (!op.ring_steps)
		return; /* this file system refuses each time by itself */
	ck_assert_int_eq(op.err, 0);
	fake_store_watch(wait_at_door, tell_of_losses); /* fb_run() had its own */
	for (unsigned int i = 0; i < MANY; i++)
		submit(i, BACKEND_WRITE_ZEROES);
	wait_for_calls(MANY);
	admit(MANY);
	wait_for_done(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert_int_eq(results[i], 0);
}
END_TEST

/* What comes behind the last one, after that was given up. */
START_TEST(last_job_that_waits_can_be_cancelled)
{
	enum { LAST = POOL_THREADS + 2 };

	open_held(CACHE_AUTO);
	for (unsigned int i = 0; i <= LAST; i++)
		submit(i, BACKEND_WRITE_ZEROES);
	wait_for_calls(POOL_THREADS);
	backend_cancel(&ios[LAST]);
	wait_for_done(1);
	ck_assert_int_eq(results[LAST], -ECANCELED);
	submit(LAST + 1, BACKEND_WRITE_ZEROES);
	backend_cancel(&ios[0]); /* has begun: no effect */
	admit(MANY);
	wait_for_done(LAST + 2);
	ck_assert_int_eq(results[LAST + 1], 0);
	ck_assert_int_eq(results[0], 0);
}
END_TEST

static void submit_read(unsigned int index)
{
	ios[index] = (struct backend_io){
		.op = BACKEND_READ, .len = 4096, .iov = fb_pieces, .iov_count = 1, .done = io_done
	};
	fb_one_piece(4096);
	backend_submit(fb_backend, &fb_ring, &ios[index]);
}

/* Reads as well go to threads, while those are all busy and more is to be done: a ring might wait. */
static const struct {
	unsigned int busy, waiting;
	bool cancelled; /* what waited was given up */
	bool to_ring;
} loads[] = {
	{ .busy = 1, .to_ring = true },
	{ .busy = POOL_THREADS, .waiting = 1 },
	{ .busy = POOL_THREADS, .waiting = 1, .cancelled = true, .to_ring = true },
};

START_TEST(nothing_of_a_store_that_is_behind_goes_to_the_ring)
{
	unsigned int tail, count = loads[_i].busy + loads[_i].waiting;

	open_held(CACHE_AUTO);
	for (unsigned int i = 0; i < count; i++)
		submit(i, BACKEND_WRITE_ZEROES);
	wait_for_calls(loads[_i].busy);
	if (loads[_i].cancelled) {
		backend_cancel(&ios[count - 1]);
		wait_for_done(1);
	}
	tail = fb_ring.uring.sq.sqe_tail;
	submit_read(MANY - 1);
	ck_assert_uint_eq(fb_ring.uring.sq.sqe_tail, tail + loads[_i].to_ring);
	admit(MANY);
	wait_for_done(count + 1);
	ck_assert_int_eq(results[MANY - 1], 0);
}
END_TEST

/* On a thread of the first store: is anything of its table the other store's? */
static void look_at_table(const struct store_call *call)
{
	DIR *dir = opendir("/proc/thread-self/fd");
	const struct dirent *entry;
	char target[300];
	ssize_t n;

	if (!is_first_store(call)) {
		closedir(dir);
		return;
	}
	while ((entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[MAX(n, 0)] = '\0';
		if (strstr(target, "/other") || strstr(target, "io_uring"))
			door.foreign = true;
	}
	closedir(dir);
	door.entered++;
}

START_TEST(thread_holds_nothing_of_other_stores)
{
	struct backend *other;

	open_held(CACHE_AUTO);
	other = open_other();
	fake_store_watch(look_at_table, NULL);
	flush_other(other);
	submit(0, BACKEND_FLUSH);
	wait_for_done(1);
	ck_assert_uint_eq(door.entered, 1);
	ck_assert(!door.foreign);
	backend_close(other);
}
END_TEST

/*
 * A mapping of an io_uring keeps it open, and what it polls, as long as any thread of a killed
 * process waits in the kernel. Linux 6.5.
 */
START_TEST(no_io_uring_is_mapped)
{
	unsigned int major = 0, minor = 0;
	struct utsname uts;
	char line[512];
	FILE *maps;

	ck_assert_int_eq(uname(&uts), 0);
	if (sscanf(uts.release, "%u.%u", &major, &minor) != 2 || major * 1000 + minor < 6005)
		return;
	ck_assert_int_eq(ring_iopoll_init(&fb_ring), 0);
	maps = fopen("/proc/self/maps", "re");
	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		ck_assert_msg(!strstr(line, "io_uring]"), "%s", line);
	fclose(maps);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_pool");
	TCase *tc = suite_case(suite, "store_pool", fb_setup, close_held);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, each_sync_under_way_has_its_own_description);
	tcase_add_test(tc, loss_is_reported_to_all_syncs_under_way);
	tcase_add_test(tc, sync_that_succeeds_does_not_overtake_one_that_failed);
	tcase_add_test(tc, interrupted_sync_is_tried_again);
	tcase_add_loop_test(tc, loss_is_reported_to_a_durable_change, 0, 2);
	tcase_add_test(tc, stalled_store_keeps_its_own_threads);
	tcase_add_test(tc, store_that_refuses_nowait_has_more_under_way);
	tcase_add_test(tc, last_job_that_waits_can_be_cancelled);
	tcase_add_loop_test(tc, nothing_of_a_store_that_is_behind_goes_to_the_ring, 0,
			    ARRAY_SIZE(loads));
	tcase_add_test(tc, thread_holds_nothing_of_other_stores);
	tcase_add_test(tc, no_io_uring_is_mapped);
	return suite_run(suite);
}
