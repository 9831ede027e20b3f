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

/* One message with all descriptors. */
union fd_message {
	struct cmsghdr header;
	char space[CMSG_SPACE(TASK_DESCRIPTORS_MAX * sizeof(int))];
};

static struct msghdr fd_msghdr(struct iovec *iov, union fd_message *control, unsigned int count)
{
	return (struct msghdr){
		.msg_iov = iov,
		.msg_iovlen = 1,
		.msg_control = control->space,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
}

static int send_given(const struct task *task)
{
	union fd_message control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = fd_msghdr(&iov, &control, task->given_count);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int *fds;

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(task->given_count * sizeof(int));
	fds = (int *)CMSG_DATA(cmsg);
	for (unsigned int i = 0; i < task->given_count; i++)
		fds[i] = *task->given[i];
	return sendmsg(task->theirs, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Return: the number received, which is less than sent at the limit of open files; -errno */
static int receive_fds(const struct task *task, int fds[TASK_DESCRIPTORS_MAX])
{
	union fd_message control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = fd_msghdr(&iov, &control, task->given_count);
	struct cmsghdr *cmsg;
	size_t len;

	if (recvmsg(task->ours, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return 0;
	len = cmsg->cmsg_len - CMSG_LEN(0);
	memcpy(fds, CMSG_DATA(cmsg), len);
	return (int)(len / sizeof(int));
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
	task->done(task);
}

static void *task_main(void *arg)
{
	struct task *task = arg;
	struct ring *ring = task->ring;
	int keep[] = { task->theirs, ring->message_fd };
	int err = -ENOTSUP;

	if (!task->shares_descriptors)
		err = descriptors_isolate(keep, ARRAY_SIZE(keep));
	pthread_setname_np(pthread_self(), task->name);
	if (err && err != -ENOTSUP)
		log_warn("task \"%s\": no private descriptor table: %s; if this server is killed "
			 "while the task is stuck, no other server can serve its disks",
			 task->name, strerror(-err));
	task->work(task);
	if (task->given_count)
		task->lost = send_given(task) != 0;
	/* Not left to the end of the thread: a lock on the file lasts until all copies are closed. */
	for (unsigned int i = 0; i < task->given_count; i++)
		close(*task->given[i]);
	ring_post(ring, &task->message); /* from here on @task may be freed */
	return NULL;
}

static int start_thread(struct task *task)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = -pthread_create(&thread, &attr, task_main, task);
	pthread_attr_destroy(&attr);
	return err;
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
	task->theirs = pair[1];
	err = start_thread(task);
	if (err) {
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
