// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/queue/worker.c: a worker begins and ends; when it polls and when it sleeps. What it serves is
 * in test_request_path.c.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fds.h"
#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "threads.h"
#include "queue/worker.h"

static struct polling_shared shared;
static struct worker workers[2];
static unsigned int fds_before;

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
}

static void teardown(void)
{
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

/* ps and top show them by it; scripts pin them to CPUs. */
START_TEST(worker_has_a_name_of_its_own)
{
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(worker_start(&workers[i], i, &shared), 0);
	ck_assert_uint_eq(threads_named("worker-0"), 1);
	ck_assert_uint_eq(threads_named("worker-1"), 1);
	for (unsigned int i = 0; i < 2; i++)
		worker_stop(&workers[i]);
	ck_assert_uint_eq(shared.awake, 0); /* and takes no CPU from others */
}
END_TEST

START_TEST(worker_without_a_ring_does_not_start)
{
	struct rlimit before, now;
	int next = dup(0), err;

	close(next);
	test_log_expect(LOG_LEVEL_ERROR, "cannot set up an io_uring: Too many open files");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	err = worker_start(&workers[0], 0, &shared);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(err, -EMFILE);
	/* A thread that was joined is listed for a moment more. */
	turn_until(!threads_named("worker-0"), other_threads_run());
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need memory as well */

static rlim_t mapped_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void set_stack_size(size_t size)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, size);
	ck_assert_int_eq(pthread_setattr_default_np(&attr), 0);
	pthread_attr_destroy(&attr);
}

/*
 * A start that fails gives its memory back, so a little more memory is enough in the end. Buffers
 * are larger than one of these stacks, and smaller than the other.
 */
START_TEST(worker_starts_as_soon_as_there_is_memory_for_it)
{
	rlim_t base = mapped_bytes();
	struct rlimit before, now;
	int err = -ENOMEM;

	set_stack_size(_i ? 16 << 20 : 1 << 20);

	test_log_allow(LOG_LEVEL_ERROR, "cannot start worker thread 0: Resource temporarily");
	test_log_allow(LOG_LEVEL_ERROR, "cannot set up an io_uring: Cannot allocate memory");
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	now = before;
	for (rlim_t step = 0; err && step < 256; step++) {
		now.rlim_cur = base + (step << 18);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &now), 0);
		err = worker_start(&workers[0], 0, &shared);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		ck_assert(!err || err == -ENOMEM || err == -EAGAIN);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_ptr_nonnull(workers[0].iov_pool.shared.items);
	ck_assert_uint_ge(test_log_count("cannot start worker thread 0"), 1);
	worker_stop(&workers[0]);
}
END_TEST

#endif

static void lose_ring(struct ring_message *message)
{
	(void)message;
	workers[0].ring.uring.enter_ring_fd = -1;
}

/* Its queues would wait for ever, and the next server can serve them. */
START_TEST(worker_whose_ring_fails_ends_the_process)
{
	struct ring_message message = { .run = lose_ring };
	pid_t child = fork();
	int status;

	ck_assert_int_ge(child, 0);
	if (!child) {
		if (worker_start(&workers[0], 0, &shared))
			_exit(1);
		ring_post(&workers[0].ring, &message);
		pthread_join(workers[0].thread, NULL);
		_exit(2);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}
END_TEST

/* ---- polling ---- */

#define OK VIRTIO_BLK_S_OK

#define LONG_US (100 * 1000 * 1000u) /* longer than this process may be kept off the CPU */

/* The worker lends its CPU by this call. @cpu_is_taken: another program keeps it for 2 ms. */
static bool cpu_is_taken;
static unsigned int lent;

int sched_yield(void)
{
	struct timespec time = { .tv_nsec = 2000000 };

	__atomic_fetch_add(&lent, 1, __ATOMIC_RELAXED);
	if (load_relaxed(&cpu_is_taken))
		nanosleep(&time, NULL);
	return (int)syscall(SYS_sched_yield);
}

static void start_polling(uint32_t poll_us)
{
	rig.config.poll_us = poll_us;
	rig_start();
	rig_driver_start();
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
}

/* A message reads or changes what belongs to the worker's thread. */
struct visit {
	struct ring_message to_worker, to_main;
	void (*look)(struct worker *worker);
	bool back;
};

static void visit_is_over(struct ring_message *message)
{
	container_of(message, struct visit, to_main)->back = true;
}

static void visit_worker(struct ring_message *message)
{
	struct visit *visit = container_of(message, struct visit, to_worker);

	visit->look(&rig.workers[0]);
	ring_post(&rig.ring, &visit->to_main);
}

static void on_worker(void (*look)(struct worker *worker))
{
	struct visit visit = {
		.to_worker.run = visit_worker,
		.to_main.run = visit_is_over,
		.look = look,
	};

	ring_post(&rig.workers[0].ring, &visit.to_worker);
	rig_wait(visit.back);
}

static struct polling seen;

static void see_polling(struct worker *worker)
{
	seen = worker->polling;
}

/* Also after the worker was woken by something else than a request. */
START_TEST(polling_worker_wants_no_kicks)
{
	struct rig_req req;

	rig.event_idx = _i;
	start_polling(LONG_US);
	for (int i = 0; i < 3; i++) {
		rig_let_time_pass();
		req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
		ck_assert_msg(!guest_publish(rig.guests[0]), "a kick is asked for");
		ck_assert_int_eq(rig_finish(&req), OK);
	}
}
END_TEST

/* The time of poll_us begins when work runs out. Where no queue polls, no time is taken. */
START_TEST(polling_worker_knows_since_when_it_has_no_work)
{
	bool polls = _i;
	uint64_t first_ns;

	start_polling(polls ? LONG_US : 0);
	rig_settle();
	on_worker(see_polling);
	ck_assert_int_eq(seen.idle_since_ns != 0, polls);
	first_ns = seen.idle_since_ns;
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_settle();
	on_worker(see_polling);
	ck_assert_int_eq(seen.idle_since_ns > first_ns, polls);
}
END_TEST

static uint64_t served;

static void see_served(struct worker *worker)
{
	served = worker->served;
}

/* poll_us = auto compares what a request costs. */
START_TEST(worker_counts_requests)
{
	start_polling(0);
	for (uint32_t queue = 0; queue < 2; queue++)
		ck_assert_int_eq(rig_do(queue, VIRTIO_BLK_T_IN, 0, 512), OK);
	rig_settle();
	on_worker(see_served);
	ck_assert_uint_eq(served, 3);
}
END_TEST

/* It notices where another program needs the CPU, and poll_us = auto rests after that. */
START_TEST(polling_worker_lends_its_cpu)
{
	start_polling(LONG_US);
	rig_wait(load_relaxed(&lent) >= 3);
	store_relaxed(&cpu_is_taken, true);
	do
		on_worker(see_polling);
	while (!seen.rests_until_ns);
}
END_TEST

/* What io_req_local_work_add() leaves where work is done before it says that there is some. */
static void say_there_are_events(void)
{
	__atomic_fetch_or(rig.workers[0].ring.uring.sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_RELAXED);
}

static bool worker_sleeps(void)
{
	return load_relaxed(&rig.polling_shared.awake) == 0;
}

/* The worker spins after the first request, for the pause of the second. */
START_TEST(events_that_are_none_hide_no_work)
{
	struct rig_req req;

	rig.event_idx = _i;
	start_polling(300000);
	say_there_are_events();
	req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0); /* a kick is asked for where this process was slow, and the worker sleeps */
	ck_assert_int_eq(rig_finish(&req), OK);
	say_there_are_events();
	rig_wait(worker_sleeps());
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
}
END_TEST

/* A message that comes while the worker runs another one. It starts an operation. */
static struct {
	struct ring_message second, to_main;
	struct ring_timer timer;
	bool over;
} late;

static void late_is_over(struct ring_message *message)
{
	(void)message;
	late.over = true;
}

static void late_expired(struct ring_timer *timer)
{
	(void)timer;
	ring_post(&rig.ring, &late.to_main);
}

static void start_late(struct ring_message *message)
{
	(void)message;
	ring_timer_start(&rig.workers[0].ring, &late.timer, 1, late_expired);
}

static void post_late(struct worker *worker)
{
	late.second.run = start_late;
	late.to_main.run = late_is_over;
	ring_post(&worker->ring, &late.second);
}

/* What a completion starts goes to the kernel before the worker spins, not after poll_us. */
START_TEST(operation_does_not_wait_for_the_end_of_polling)
{
	start_polling(LONG_US);
	rig_settle();
	on_worker(post_late);
	rig_wait(late.over);
}
END_TEST

static void begin_polled_io(struct worker *worker)
{
	ck_assert_int_eq(ring_iopoll_init(&worker->ring), 0);
	worker->ring.iopoll_count++;
}

static void end_polled_io(struct worker *worker)
{
	worker->ring.iopoll_count--;
}

/* A worker that polls a disk (iopoll) does not sleep, and looks at its queues meanwhile. */
START_TEST(worker_that_polls_a_disk_wants_no_kicks)
{
	struct rig_req req;

	start_polling(0);
	rig_wait(worker_sleeps());
	on_worker(begin_polled_io);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_next(0);
	for (int i = 0; i < 3; i++) {
		rig_let_time_pass();
		req = rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
		ck_assert_msg(!guest_publish(rig.guests[0]), "a kick is asked for");
		ck_assert_int_eq(rig_finish(&req), OK);
	}
	on_worker(end_polled_io);
	rig_wait(worker_sleeps());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *tc = suite_case(suite, "worker", setup, teardown);

	tcase_add_test(tc, worker_has_a_name_of_its_own);
	tcase_add_test(tc, worker_without_a_ring_does_not_start);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_loop_test(tc, worker_starts_as_soon_as_there_is_memory_for_it, 0, 2);
#endif
	tcase_add_test(tc, worker_whose_ring_fails_ends_the_process);
	tc = suite_case(suite, "polling", rig_setup, rig_teardown);
	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, polling_worker_wants_no_kicks, 0, 2);
	tcase_add_loop_test(tc, polling_worker_knows_since_when_it_has_no_work, 0, 2);
	tcase_add_test(tc, worker_counts_requests);
	tcase_add_test(tc, polling_worker_lends_its_cpu);
	tcase_add_loop_test(tc, events_that_are_none_hide_no_work, 0, 2);
	tcase_add_test(tc, operation_does_not_wait_for_the_end_of_polling);
	tcase_add_test(tc, worker_that_polls_a_disk_wants_no_kicks);
	return suite_run(suite);
}
