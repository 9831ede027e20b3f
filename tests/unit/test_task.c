// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/task.c and descriptors.c: a thread that blocks holds no descriptors of other disks. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <mqueue.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "descriptors.h"
#include "fds.h"
#include "suite.h"
#include "task.h"
#include "temp_dir.h"
#include "test_log.h"

/* descriptors_isolate() does nothing with it. */
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

struct job {
	struct task task;
	int result;
	int fds[3]; /* that the work opens */
	int other;  /* a descriptor of the process */
	bool done;
	sem_t go_on;
	pthread_t thread;
};

static struct ring ring;
static struct job job;
static unsigned int fds_before;

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	ck_assert_int_eq(ring_init(&ring, 8), 0);
	job = (struct job){ .fds = { -1, -1, -1 }, .other = -1 };
	sem_init(&job.go_on, 0, 0);
}

static void teardown(void)
{
	ring_exit(&ring);
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

static void done(struct task *task)
{
	ck_assert_ptr_eq(task, &job.task);
	ck_assert(pthread_equal(pthread_self(), job.thread));
	job.done = true;
}

static void start(void (*work)(struct task *task))
{
	job.thread = pthread_self();
	job.task = (struct task){ .name = "test", .work = work, .done = done };
	ck_assert_int_eq(task_start(&job.task, &ring), 0);
}

static void finish(void)
{
	while (!job.done)
		ck_assert_int_eq(ring_run(&ring, true), 0);
}

static void look_around(struct task *task)
{
	(void)task;
	job.result = fcntl(job.other, F_GETFD) < 0 ? -errno : 0;
	if (!descriptors_isolated() || fcntl(STDERR_FILENO, F_GETFD) < 0 ||
	    pthread_equal(pthread_self(), job.thread))
		job.result = -EINVAL;
}

START_TEST(descriptors_of_the_process_are_not_the_tasks)
{
	job.other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	start(look_around);
	finish();
	ck_assert_int_eq(job.result, -EBADF);
	ck_assert_int_eq(fcntl(job.other, F_GETFD), FD_CLOEXEC);
	ck_assert(!descriptors_isolated());
	close(job.other);
}
END_TEST

static void sleep_until_told(struct task *task)
{
	(void)task;
	while (sem_wait(&job.go_on))
		;
}

/* As a store of a killed server must be free for the next one while some task of the dead one sleeps. */
START_TEST(task_that_sleeps_keeps_nothing_open)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	start(sleep_until_told);
	/* It may not have left the table yet: the other end is closed as soon as it has. */
	close(ends[1]);
	while (read(ends[0], &byte, 1) < 0)
		ck_assert_int_eq(errno, EAGAIN);
	ck_assert(!job.done);
	sem_post(&job.go_on);
	finish();
	close(ends[0]);
}
END_TEST

/* Return: a descriptor; -1: this kernel has no message queues */
static int open_message_queue(void)
{
	const char *name = "test_task";
	int fd = (int)syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, NULL);

	if (fd >= 0)
		syscall(SYS_mq_unlink, name);
	return fd;
}

static int ask_for_notice(int fd)
{
	struct sigevent event;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_NONE;
	return syscall(SYS_mq_notify, fd, &event) ? -errno : 0;
}

/*
 * close() of a copy can wait for ever where the file's store has stalled. A message queue shows that one
 * was closed: the process is not registered for a notice any more.
 */
START_TEST(task_closes_no_copies)
{
	start(look_around); /* the starter's first task: no store is open yet */
	finish();
	job.done = false;
	job.other = open_message_queue();
	if (job.other < 0)
		return;
	ck_assert_int_eq(ask_for_notice(job.other), 0);
	start(look_around);
	finish();
	ck_assert_int_eq(job.result, -EBADF);
	ck_assert_int_eq(ask_for_notice(job.other), -EBUSY);
	close(job.other);
}
END_TEST

static void open_some(struct task *task)
{
	job.fds[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	job.fds[2] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		task_give(task, &job.fds[i]);
}

START_TEST(descriptors_that_are_given_become_the_processes)
{
	char byte = 1;
	int taken[8];

	/* Numbers that are free in the task's table are taken here. */
	for (int i = 0; i < 8; i++)
		taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	start(open_some);
	finish();
	ck_assert(!job.task.lost);
	ck_assert_int_eq(job.fds[1], -1);
	ck_assert_int_eq(read(job.fds[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 0);
	ck_assert_int_eq(read(job.fds[2], &byte, 1), 0);
	ck_assert_int_eq(fcntl(job.fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_uint_eq(fds_open(), fds_before + 2 + 8 + 2);
	for (int i = 0; i < 8; i++)
		close(taken[i]);
	close(job.fds[0]);
	close(job.fds[2]);
}
END_TEST

static const char *fifo;

static void open_fifo(struct task *task)
{
	job.fds[0] = open(fifo, O_WRONLY | O_CLOEXEC);
	task_give(task, &job.fds[0]);
}

/* A lock on a store lasts until all copies are closed, and the next one that opens it would see it. */
START_TEST(descriptor_that_is_given_is_the_only_copy)
{
	int fd;

	temp_dir_make();
	fifo = temp_path("fifo");
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };

		job.done = false;
		start(open_fifo);
		finish();
		ck_assert(!job.task.lost);
		ck_assert_int_eq(poll(&pollfd, 1, 0), 0);
		close(job.fds[0]);
		ck_assert_int_eq(poll(&pollfd, 1, 0), 1);
		ck_assert_int_eq(pollfd.revents, POLLHUP);
	}
	close(fd);
	temp_dir_remove();
}
END_TEST

/* _i: how many of the two can be had */
START_TEST(descriptors_that_cannot_be_taken_are_closed)
{
	struct pollfd posted = { .events = POLLIN };
	struct rlimit limit, before;
	int next;

	start(open_some);
	posted.fd = ring.message_fd;
	ck_assert_int_eq(poll(&posted, 1, -1), 1);	/* the limit holds in the task as well */
	next = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest that is free */
	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = (rlim_t)(next + _i);
	setrlimit(RLIMIT_NOFILE, &limit);
	test_log_expect(LOG_LEVEL_ERROR, "task \"test\": cannot transfer 2 descriptors");
	finish();
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert(job.task.lost);
	ck_assert_int_eq(job.fds[0], -1);
	ck_assert_int_eq(job.fds[2], -1);
}
END_TEST

START_TEST(task_that_cannot_be_started_is_logged)
{
	struct rlimit limit, before;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = 4;
	setrlimit(RLIMIT_NOFILE, &limit);
	job.task = (struct task){ .name = "test", .work = look_around, .done = done };
	ck_assert_int_eq(task_start(&job.task, &ring), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
}
END_TEST

static void *keep_several(void *arg)
{
	int fds[6], keep[4];

	(void)arg;
	for (int i = 0; i < 6; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	keep[0] = fds[4];
	keep[1] = fds[1];
	keep[2] = -1;
	keep[3] = fds[2]; /* its neighbour: nothing lies between */
	ck_assert_int_eq(descriptors_isolate(keep, 4), 0);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(fcntl(fds[i], F_GETFD) >= 0, i == 1 || i == 2 || i == 4);
	_exit(0); /* this test's process has nothing left to go on with */
}

/* _i: on the main thread, or on another one */
START_TEST(several_are_kept_in_any_order)
{
	pthread_t thread;

	if (!_i)
		keep_several(NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_several, NULL), 0);
	pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("task");
	TCase *tc = suite_case(suite, "task", setup, teardown);
	TCase *last = suite_case(suite, "table", NULL, NULL);

	if (!THREAD_SANITIZER) {
		tcase_add_test(tc, descriptors_of_the_process_are_not_the_tasks);
		tcase_add_test(tc, task_that_sleeps_keeps_nothing_open);
		tcase_add_test(tc, task_closes_no_copies);
		tcase_add_loop_test(last, several_are_kept_in_any_order, 0, 2);
	}
	tcase_add_test(tc, descriptors_that_are_given_become_the_processes);
	tcase_add_test(tc, descriptor_that_is_given_is_the_only_copy);
	tcase_add_loop_test(tc, descriptors_that_cannot_be_taken_are_closed, 0, 2);
	tcase_add_test(tc, task_that_cannot_be_started_is_logged);
	return suite_run(suite);
}
