// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/outbox.c: outbox_put() never waits, and dropped texts are counted. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outbox.h"
#include "suite.h"
#include "test_log.h"
#include "time_ns.h"

#define QUEUE_SIZE  4096
#define MANY	    5000
#define FAR_AWAY_NS (time_now_ns() + 3600ull * 1000000000)
#define LINES	    (2 * MANY)
#define LOST_MARK   "lost "
#define TEXTS_PER_Q (QUEUE_SIZE / 8) /* "text 00", and its NUL */

/* The reader: stuck or not, failing or not. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stuck;
	bool entered; /* a delivery waits */
	int err;
	char *lines[LINES + 1];
	unsigned int count;
	unsigned int lost;
	void (*look)(void);
} reader = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static char queue[QUEUE_SIZE];

static int take(const char *text)
{
	int err;

	pthread_mutex_lock(&reader.lock);
	reader.entered = true;
	pthread_cond_broadcast(&reader.changed);
	while (reader.stuck)
		pthread_cond_wait(&reader.changed, &reader.lock);
	reader.entered = false;
	if (reader.look)
		reader.look();
	err = reader.err;
	if (!err && reader.count < LINES)
		reader.lines[reader.count++] = strdup(text);
	pthread_mutex_unlock(&reader.lock);
	return err;
}

static int take_lost(unsigned int count)
{
	char text[32];
	int err;

	snprintf(text, sizeof(text), LOST_MARK "%u", count);
	err = take(text);
	if (!err)
		reader.lost += count;
	return err;
}

static struct outbox box;

static void setup(void)
{
	test_log_begin();
	reader.stuck = false;
	reader.err = 0;
	reader.count = reader.lost = 0;
	reader.look = NULL;
	box = (struct outbox){
		OUTBOX_INIT,	       .name = "outbox", .queue = queue,
		.size = sizeof(queue), .deliver = take,	 .lost = take_lost,
	};
}

static void stick(bool stuck)
{
	pthread_mutex_lock(&reader.lock);
	reader.stuck = stuck;
	pthread_cond_broadcast(&reader.changed);
	pthread_mutex_unlock(&reader.lock);
}

static void fail_with(int err)
{
	pthread_mutex_lock(&reader.lock);
	reader.err = err;
	pthread_mutex_unlock(&reader.lock);
}

static void wait_until_stuck(void)
{
	pthread_mutex_lock(&reader.lock);
	while (!reader.entered)
		pthread_cond_wait(&reader.changed, &reader.lock);
	pthread_mutex_unlock(&reader.lock);
}

static void teardown(void)
{
	stick(false);
	ck_assert_int_eq(outbox_stop(&box, FAR_AWAY_NS), 0);
	ck_assert(!box.running);
	while (reader.count)
		free(reader.lines[--reader.count]);
	test_log_end();
}

static void put_number(unsigned int i)
{
	char text[32];

	snprintf(text, sizeof(text), "text %02u", i);
	outbox_put(&box, text);
}

static void check_line(unsigned int at, const char *want)
{
	ck_assert_uint_lt(at, reader.count);
	ck_assert_str_eq(reader.lines[at], want);
}

static void check_number(unsigned int at, unsigned int i)
{
	char text[32];

	snprintf(text, sizeof(text), "text %02u", i);
	check_line(at, text);
}

/* In bursts, between which the queue is empty. */
START_TEST(texts_come_in_order)
{
	box.thread_stays = _i;
	for (unsigned int i = 0; i < MANY; i++) {
		put_number(i);
		if (i % 77 == 0)
			ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	}
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	ck_assert_uint_eq(reader.count, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		check_number(i, i);
	ck_assert_uint_eq(reader.lost, 0);
}
END_TEST

/* One text is taken and stuck, and the queue holds as many as there is room for. */
static unsigned int fill_stuck_queue(unsigned int more)
{
	stick(true);
	put_number(0);
	wait_until_stuck();
	for (unsigned int i = 1; i <= TEXTS_PER_Q + more; i++)
		outbox_put(&box, "text xx");
	return 1 + TEXTS_PER_Q;
}

#define TAKEN_FIRST 50

static void get_stuck_again(void)
{
	if (reader.count == TAKEN_FIRST - 1)
		reader.stuck = true;
}

static void put_numbered(unsigned int from, unsigned int to)
{
	char text[64];

	for (unsigned int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "%u %.*s", i, (int)(i * 7 % 50),
			 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
		outbox_put(&box, text);
	}
}

/* Of a queue that never becomes empty: texts lie across its end, cut at any place. */
START_TEST(texts_across_the_end_of_the_queue_are_whole)
{
	unsigned int taken = 0;
	char want[64];

	stick(true);
	put_numbered(0, 1);
	wait_until_stuck();
	put_numbered(1, 110);
	reader.look = get_stuck_again;
	stick(false);
	while (taken < TAKEN_FIRST) {
		pthread_mutex_lock(&reader.lock);
		taken = reader.count;
		pthread_mutex_unlock(&reader.lock);
		sched_yield();
	}
	put_numbered(110, 150);
	pthread_mutex_lock(&reader.lock);
	reader.look = NULL;
	pthread_mutex_unlock(&reader.lock);
	stick(false);
	outbox_flush(&box, FAR_AWAY_NS);
	ck_assert_uint_eq(reader.count, 150);
	for (unsigned int i = 0; i < 150; i++) {
		snprintf(want, sizeof(want), "%u %.*s", i, (int)(i * 7 % 50),
			 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
		ck_assert_str_eq(reader.lines[i], want);
	}
}
END_TEST

START_TEST(stuck_reader_holds_up_nobody_and_losses_are_counted)
{
	unsigned int room;

	box.thread_stays = _i;
	room = fill_stuck_queue(3);
	ck_assert_int_eq(outbox_flush(&box, time_now_ns()), -ETIMEDOUT);
	ck_assert_int_eq(outbox_stop(&box, time_now_ns()), -ETIMEDOUT);
	stick(false);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	/* The number stands where the lost texts would have stood. */
	ck_assert_uint_eq(reader.count, room + 1);
	check_number(0, 0);
	check_line(room - 1, "text xx");
	check_line(room, LOST_MARK "3");
	outbox_put(&box, "next");
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	check_line(room + 1, "next");
	ck_assert_uint_eq(reader.count, room + 2);
}
END_TEST

/* The number comes before texts that were put after the loss: a long text is lost, a short one fits. */
START_TEST(losses_are_reported_in_their_place)
{
	stick(true);
	put_number(0);
	wait_until_stuck();
	for (unsigned int i = 1; i < TEXTS_PER_Q; i++)
		put_number(1);
	outbox_put(&box, "text that is longer");
	outbox_put(&box, "short");
	stick(false);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	ck_assert_uint_eq(reader.count, TEXTS_PER_Q + 2);
	check_number(TEXTS_PER_Q - 1, 1);
	check_line(TEXTS_PER_Q, LOST_MARK "1");
	check_line(TEXTS_PER_Q + 1, "short");
}
END_TEST

START_TEST(failed_delivery_is_counted_and_logged_when_one_succeeds)
{
	fail_with(-EIO);
	for (unsigned int i = 0; i < 5; i++)
		put_number(i);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	ck_assert_uint_eq(reader.count, 0);
	fail_with(0);
	put_number(5);
	put_number(6);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	check_number(0, 5);
	check_line(1, LOST_MARK "5");
	check_number(2, 6);
	ck_assert_uint_eq(reader.lost, 5);
}
END_TEST

static int refuse_lost(unsigned int count)
{
	(void)count;
	box.lost = take_lost;
	return -EIO;
}

START_TEST(number_that_was_refused_is_told_again)
{
	box.lost = refuse_lost;
	fail_with(-EIO);
	put_number(0);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	fail_with(0);
	put_number(1);
	put_number(2);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	check_number(0, 1);
	check_number(1, 2);
	check_line(2, LOST_MARK "1");
}
END_TEST

START_TEST(long_text_is_cut)
{
	char text[OUTBOX_TEXT_MAX + 2];

	for (size_t len = OUTBOX_TEXT_MAX - 2; len <= OUTBOX_TEXT_MAX + 1; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		outbox_put(&box, text);
		ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
		ck_assert_uint_eq(strlen(reader.lines[reader.count - 1]),
				  MIN(len, OUTBOX_TEXT_MAX - 1));
	}
}
END_TEST

START_TEST(errno_is_kept)
{
	errno = EXDEV;
	outbox_put(&box, "text");
	ck_assert_int_eq(errno, EXDEV);
}
END_TEST

static int someones_fd;
static bool has_fd, takes_signals;

static void look_around(void)
{
	sigset_t set;

	has_fd = fcntl(someones_fd, F_GETFD) >= 0;
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	takes_signals = !sigismember(&set, SIGTERM) || !sigismember(&set, SIGUSR1);
}

/* A thread that is stuck for ever must not keep a device or a store open. */
START_TEST(thread_has_no_descriptor_of_others_and_takes_no_signal)
{
	sigset_t before, after;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	someones_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_gt(someones_fd, 2);
	has_fd = takes_signals = true;
	reader.look = look_around;
	outbox_put(&box, "text");
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	ck_assert(!has_fd);
	ck_assert(!takes_signals);
	ck_assert_int_ge(fcntl(someones_fd, F_GETFD), 0);
	close(someones_fd);
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	ck_assert_int_eq(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}
END_TEST

static bool is_running(void)
{
	bool running;

	pthread_mutex_lock(&box.lock);
	running = box.running;
	pthread_mutex_unlock(&box.lock);
	return running;
}

START_TEST(thread_ends_or_stays_as_the_owner_wants_it)
{
	box.thread_stays = _i;
	ck_assert(!is_running());
	outbox_put(&box, "text");
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	if (box.thread_stays)
		ck_assert(is_running());
	else
		while (is_running())
			sched_yield();
	ck_assert_int_eq(outbox_stop(&box, FAR_AWAY_NS), 0);
	ck_assert(!is_running());
	outbox_put(&box, "text");
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	ck_assert_uint_eq(reader.count, 2);
}
END_TEST

START_TEST(thread_can_be_there_before_the_first_text)
{
	box.thread_stays = true;
	ck_assert_int_eq(outbox_start(&box), 0);
	ck_assert(is_running());
	ck_assert_int_eq(outbox_start(&box), 0);
	outbox_put(&box, "text");
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	check_line(0, "text");
}
END_TEST

static void *put_many(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < MANY; i++)
		outbox_put(&box, "text xx");
	return NULL;
}

START_TEST(texts_of_many_threads_are_delivered_or_counted)
{
	pthread_t threads[2];
	unsigned int notes = 0;

	box.thread_stays = _i;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(outbox_flush(&box, FAR_AWAY_NS), 0);
	for (unsigned int i = 0; i < reader.count; i++)
		notes += !strncmp(reader.lines[i], LOST_MARK, strlen(LOST_MARK));
	ck_assert_uint_eq(reader.count - notes + reader.lost, 2 * MANY);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *tc = suite_case(suite, "outbox", setup, teardown);

	tcase_add_loop_test(tc, texts_come_in_order, 0, 2);
	tcase_add_test(tc, texts_across_the_end_of_the_queue_are_whole);
	tcase_add_loop_test(tc, stuck_reader_holds_up_nobody_and_losses_are_counted, 0, 2);
	tcase_add_test(tc, losses_are_reported_in_their_place);
	tcase_add_test(tc, failed_delivery_is_counted_and_logged_when_one_succeeds);
	tcase_add_test(tc, number_that_was_refused_is_told_again);
	tcase_add_test(tc, long_text_is_cut);
	tcase_add_test(tc, errno_is_kept);
	tcase_add_test(tc, thread_has_no_descriptor_of_others_and_takes_no_signal);
	tcase_add_loop_test(tc, thread_ends_or_stays_as_the_owner_wants_it, 0, 2);
	tcase_add_test(tc, thread_can_be_there_before_the_first_text);
	tcase_add_loop_test(tc, texts_of_many_threads_are_delivered_or_counted, 0, 2);
	return suite_run(suite);
}
