// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/ring.c: each completion and message comes once, and an idle thread sleeps. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fds.h"
#include "guest.h"
#include "ring.h"
#include "suite.h"
#include "test_log.h"

#define ENTRIES	   8
#define AN_HOUR_US (3600ull * 1000 * 1000)

static struct ring ring;
static unsigned int fds_before;

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	ck_assert_int_eq(ring_init(&ring, ENTRIES), 0);
}

static void teardown(void)
{
	ring_exit(&ring);
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

static void turn(void)
{
	ck_assert_int_eq(ring_run(&ring, true), 0);
}

/* ---- operations ---- */

struct counted_op {
	struct ring_op op;
	unsigned int done;
	int res;
};

static void op_done(struct ring_op *op, int res, uint32_t flags)
{
	struct counted_op *counted = container_of(op, struct counted_op, op);

	(void)flags;
	counted->done++;
	counted->res = res;
}

START_TEST(more_operations_than_entries_all_complete)
{
	static struct counted_op ops[100 * ENTRIES];
	unsigned int done = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		ops[i].op.done = op_done;
		io_uring_prep_nop(sqe);
		ring_sqe_done(sqe, &ops[i].op);
	}
	while (done < ARRAY_SIZE(ops)) {
		turn();
		done = 0;
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
			done += ops[i].done;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		must(ops[i].done == 1, "operation %zu completed %u times", i, ops[i].done);
}
END_TEST

START_TEST(operation_that_would_last_is_cancelled)
{
	struct counted_op op = { .op.done = op_done };
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	io_uring_prep_read(sqe, ends[0], &byte, 1, 0);
	ring_sqe_done(sqe, &op.op);
	ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(op.done, 0);
	ring_cancel(&ring, &op.op);
	while (!op.done)
		turn();
	ck_assert(op.res == -ECANCELED || op.res == -EINTR);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* ---- timers ---- */

static unsigned int expirations;

static void expired(struct ring_timer *timer)
{
	ck_assert(!timer->active);
	expirations++;
}

/* The thread sleeps meanwhile: it turns no more often than something comes. */
START_TEST(timer_expires_once_and_the_thread_sleeps_until_then)
{
	struct ring_timer timer = { 0 };
	unsigned int turns = 0;

	ring_timer_start(&ring, &timer, 30000, expired);
	ck_assert(timer.active);
	ring_timer_start(&ring, &timer, 1, expired); /* no effect */
	for (; !expirations; turns++)
		turn();
	ck_assert_uint_le(turns, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(expirations, 1);
}
END_TEST

START_TEST(timer_can_be_made_to_expire_now)
{
	struct ring_timer timer = { 0 };

	for (unsigned int i = 1; i <= 3; i++) {
		ring_timer_start(&ring, &timer, AN_HOUR_US, expired);
		ring_timer_expire_now(&ring, &timer);
		while (expirations < i)
			turn();
	}
	/* One that is not active is left alone, and so is its next time. */
	ring_timer_expire_now(&ring, &timer);
	ck_assert_uint_eq(io_uring_sq_ready(&ring.uring), 0);
	ck_assert_uint_eq(expirations, 3);
}
END_TEST

/* ---- readiness ---- */

static unsigned int readies, stops;

static void ready(struct ring_poll *poll)
{
	char bytes[8];

	ck_assert_int_ge(read(poll->fd, bytes, sizeof(bytes)), 0);
	readies++;
}

static void stopped(struct ring_poll *poll)
{
	(void)poll;
	stops++;
}

START_TEST(readiness_is_reported_until_it_is_stopped)
{
	struct ring_poll poll = { 0 };
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ring_poll_start(&ring, &poll, ends[0], ready);
	ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(readies, 0);
	for (unsigned int i = 1; i <= 5; i++) {
		ck_assert_int_eq(write(ends[1], "x", 1), 1);
		while (readies < i)
			turn();
		ck_assert_uint_eq(readies, i);
	}
	ring_poll_stop(&poll, stopped);
	while (!stops)
		turn();
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(readies, 5);
	ck_assert_uint_eq(stops, 1);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* ---- messages ---- */

#define POSTERS	 3
#define MESSAGES 200

static struct mail {
	struct ring_message message;
	unsigned int poster, number;
} mails[POSTERS][MESSAGES];

static unsigned int received, next_of[POSTERS];

static void receive(struct ring_message *message)
{
	const struct mail *mail = container_of(message, struct mail, message);

	ck_assert_uint_eq(mail->number, next_of[mail->poster]);
	next_of[mail->poster]++;
	received++;
}

static void *post_all(void *arg)
{
	struct mail *own = arg;

	for (unsigned int i = 0; i < MESSAGES; i++)
		ring_post(&ring, &own[i].message);
	return NULL;
}

START_TEST(messages_of_each_thread_come_in_order)
{
	pthread_t threads[POSTERS];

	for (unsigned int i = 0; i < POSTERS; i++) {
		for (unsigned int j = 0; j < MESSAGES; j++)
			mails[i][j] =
				(struct mail){ .message.run = receive, .poster = i, .number = j };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, mails[i]), 0);
	}
	while (received < POSTERS * MESSAGES)
		turn();
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(received, POSTERS * MESSAGES);
}
END_TEST

/* The kernel may tell of a message after another wake-up has brought it. */
START_TEST(wake_up_for_nothing_is_harmless)
{
	static struct mail mail = { .message.run = receive };
	uint64_t count = 1;

	ck_assert_int_eq(ring_run(&ring, false), 0); /* it waits for messages now */
	ck_assert_int_eq(write(ring.message_fd, &count, sizeof(count)), sizeof(count));
	ck_assert_int_eq(read(ring.message_fd, &count, sizeof(count)), sizeof(count));
	ck_assert_int_eq(ring_run(&ring, false), 0);
	ck_assert_uint_eq(received, 0);
	ring_post(&ring, &mail.message);
	while (!received)
		turn();
}
END_TEST

static volatile sig_atomic_t signals;

static void take_signal(int sig)
{
	(void)sig;
	signals++;
}

static void *send_signals(void *arg)
{
	static struct mail mail = { .message.run = receive };

	for (int i = 0; i < 50; i++) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		sched_yield();
	}
	ring_post(&ring, &mail.message);
	return NULL;
}

START_TEST(signal_is_no_error)
{
	struct sigaction action = { .sa_handler = take_signal }; /* without SA_RESTART */
	pthread_t self = pthread_self(), sender;

	sigaction(SIGUSR1, &action, NULL);
	ck_assert_int_eq(pthread_create(&sender, NULL, send_signals, &self), 0);
	while (!received)
		turn();
	pthread_join(sender, NULL);
	ck_assert_int_gt(signals, 0);
}
END_TEST

/* ---- registered memory ---- */

#define BUFFER_SIZE (256u << 10)

/* KiB that io_uring has pinned for this process; 0 where the kernel does not say. */
static unsigned int pinned(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned int kib = 0;
	char line[128];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %u", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static uint8_t *new_memory(void)
{
	uint8_t *addr =
		mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(addr, MAP_FAILED);
	return addr;
}

static bool have_iopoll(bool want)
{
	return !want || !ring_iopoll_init(&ring);
}

/* Two queues of a disk have the same memory: it is pinned once, and until the last one lets go. */
START_TEST(memory_is_pinned_until_its_last_user_lets_go)
{
	struct ring_buffer first = { 0 }, second = { 0 }, other = { 0 };
	unsigned int before = pinned(), with;
	uint8_t *addr = new_memory();

	ck_assert(have_iopoll(_i));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ring_buffer_add(&ring, &first, addr, BUFFER_SIZE), 0);
		with = pinned();
		if (with == before)
			return;
		ck_assert_uint_ge(with, before + (_i ? 2 : 1) * BUFFER_SIZE / 1024);
		ck_assert_int_eq(ring_buffer_add(&ring, &second, addr, BUFFER_SIZE), 0);
		ck_assert_uint_eq(pinned(), with);
		ck_assert_int_eq(ring_buffer_add(&ring, &other, addr, BUFFER_SIZE / 2), 0);
		ck_assert_uint_gt(pinned(), with);
		ring_buffer_remove(&ring, &other);
		ck_assert_uint_eq(pinned(), with);
		ring_buffer_remove(&ring, &first);
		ck_assert_uint_eq(pinned(), with);
		ck_assert(ring_buffer_has(&second, addr, BUFFER_SIZE));
		ck_assert(!ring_buffer_has(&first, addr, 1));
		ring_buffer_remove(&ring, &first); /* no effect */
		ring_buffer_remove(&ring, &second);
		ck_assert_uint_eq(pinned(), before);
	}
	munmap(addr, BUFFER_SIZE);
}
END_TEST

START_TEST(memory_that_cannot_be_registered_takes_no_place)
{
	struct ring_buffer buffer = { 0 };
	uint8_t *addr = new_memory();

	ck_assert(have_iopoll(_i));
	munmap(addr, BUFFER_SIZE);
	for (unsigned int i = 0; i < RING_BUFFERS_MAX + 1; i++)
		ck_assert_int_eq(ring_buffer_add(&ring, &buffer, addr, BUFFER_SIZE), -EFAULT);
	ck_assert_uint_eq(buffer.len, 0);
	addr = new_memory();
	ck_assert_int_eq(ring_buffer_add(&ring, &buffer, addr, BUFFER_SIZE), 0);
	ring_buffer_remove(&ring, &buffer);
	munmap(addr, BUFFER_SIZE);
}
END_TEST

/* ---- setting it up ---- */

START_TEST(second_io_uring_is_set_up_once)
{
	unsigned int fds;

	ck_assert(have_iopoll(true));
	fds = fds_open();
	ck_assert_uint_eq(fds, fds_before + 3);
	ck_assert(have_iopoll(true));
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

/* Room for the io_uring, and none for the eventfd; or for neither. */
START_TEST(ring_that_cannot_be_set_up_leaves_nothing)
{
	unsigned int fds = fds_open();
	struct rlimit before, now;
	struct ring other;
	int next = dup(0), err;

	close(next);
	test_log_expect(LOG_LEVEL_ERROR, _i ? "cannot create an eventfd: Too many"
					    : "cannot set up an io_uring: Too");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){ .rlim_cur = (rlim_t)(next + _i), .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	err = ring_init(&other, ENTRIES);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(err, -EMFILE);
	ck_assert_uint_eq(fds_open(), fds);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = suite_case(suite, "ring", setup, teardown);

	tcase_add_test(tc, more_operations_than_entries_all_complete);
	tcase_add_test(tc, operation_that_would_last_is_cancelled);
	tcase_add_test(tc, timer_expires_once_and_the_thread_sleeps_until_then);
	tcase_add_test(tc, timer_can_be_made_to_expire_now);
	tcase_add_test(tc, readiness_is_reported_until_it_is_stopped);
	tcase_add_test(tc, messages_of_each_thread_come_in_order);
	tcase_add_test(tc, wake_up_for_nothing_is_harmless);
	tcase_add_test(tc, signal_is_no_error);
	tcase_add_loop_test(tc, memory_is_pinned_until_its_last_user_lets_go, 0, 2);
	tcase_add_loop_test(tc, memory_that_cannot_be_registered_takes_no_place, 0, 2);
	tcase_add_test(tc, second_io_uring_is_set_up_once);
	tcase_add_loop_test(tc, ring_that_cannot_be_set_up_leaves_nothing, 0, 2);
	return suite_run(suite);
}
