// SPDX-License-Identifier: GPL-2.0-or-later
#include "task.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptors.h"
#include "log.h"
#include "task_starter.h"

#define RETRY_US 10000

static unsigned int running;

unsigned int tasks_running(void)
{
	return load_relaxed(&running);
}

static int send_given(const struct task *task)
{
	char byte = 0;
	const struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	int fds[TASK_DESCRIPTORS_MAX];
	ssize_t sent;

	for (unsigned int i = 0; i < task->given_count; i++)
		fds[i] = *task->given[i];
	sent = passed_fds_send(task->send_fd, &iov, 1, fds, task->given_count, 0);
	return sent < 0 ? (int)sent : 0;
}

/* Return: the number received, which is less than sent at the limit of open files; -errno */
static int receive_fds(const struct task *task, int fds[TASK_DESCRIPTORS_MAX])
{
	char byte;
	const struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	unsigned int count;
	ssize_t len = passed_fds_receive(task->ours, iov, fds, task->given_count, &count);

	return len < 0 ? (int)len : (int)count;
}

static void take_given(struct task *task)
{
	int fds[TASK_DESCRIPTORS_MAX], count;

	if (!task->given_count)
		return;
	count = task->lost ? 0 : receive_fds(task, fds);
	task->lost = count != (int)task->given_count;
	for (int i = 0; i < (int)task->given_count; i++)
		*task->given[i] = task->lost ? -1 : fds[i];
	for (int i = 0; task->lost && i < count; i++)
		close(fds[i]);
	if (task->lost)
		log_err("task \"%s\": cannot transfer %u descriptors: %s", task->name,
			task->given_count,
			count < 0 ? strerror(-count) : "the limit of open files is reached");
}

static void task_done(struct ring_message *message)
{
	struct task *task = container_of(message, struct task, message);

	take_given(task);
	close(task->ours);
	close(task->theirs);
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
	task->done(task);
}

static void isolate(struct task *task)
{
	int keep[] = { task->theirs, task->ring->message_fd };
	int err = descriptors_isolate(keep, ARRAY_SIZE(keep));

	if (err && err != -ENOTSUP)
		log_warn("task \"%s\": no private descriptor table: %s; if this server is killed "
			 "while the task is stuck, no other server can serve its disks",
			 task->name, strerror(-err));
}

/* Only for want of memory it does not succeed at once, and the task can do nothing without it. */
static int fetch(int fd)
{
	int own;

	while ((own = descriptors_fetch(fd)) < 0)
		usleep(RETRY_US);
	return own;
}

static void leave_and_fetch(struct task *task)
{
	while (descriptors_leave())
		usleep(RETRY_US);
	task->send_fd = fetch(task->theirs);
	task->post_fd = fetch(task->ring->message_fd);
}

static void run(struct task *task)
{
	struct ring *ring = task->ring;

	pthread_setname_np(pthread_self(), task->name);
	task->work(task);
	if (task->given_count)
		task->lost = send_given(task) != 0;
	/* Not left to the end of the thread: a lock on the file lasts until all copies are closed. */
	for (unsigned int i = 0; i < task->given_count; i++)
		close(*task->given[i]);
	ring_post_by(ring, &task->message, task->post_fd); /* from here on @task may be freed */
}

static void *private_main(void *arg)
{
	leave_and_fetch(arg);
	run(arg);
	return NULL;
}

static void *shared_main(void *arg)
{
	struct task *task = arg;

	if (!task->shares_descriptors)
		isolate(task);
	run(task);
	return NULL;
}

static int start_thread(struct task *task)
{
	int err = -ENOTSUP;

	if (!task->shares_descriptors)
		err = task_starter_run(private_main, task);
	return err == -ENOTSUP ? task_starter_thread(shared_main, task) : err;
}

int task_start(struct task *task, struct ring *ring)
{
	int pair[2], err;

	task->ring = ring;
	task->message.run = task_done;
	task->given_count = 0;
	task->lost = false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	task->ours = pair[0];
	task->theirs = task->send_fd = pair[1];
	task->post_fd = ring->message_fd;
	__atomic_fetch_add(&running, 1, __ATOMIC_RELAXED);
	err = start_thread(task);
	if (err) {
		__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
		close(pair[0]);
		close(pair[1]);
	}
	return err;
}

void task_give(struct task *task, int *fd)
{
	assert(task->given_count < TASK_DESCRIPTORS_MAX);
	if (*fd >= 0)
		task->given[task->given_count++] = fd;
}
