// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "ring_setup.h"

/* Tried in this order. A kernel refuses all flags if it does not know one (the first row: 6.1). */
static const unsigned int setup_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
	0,
};

static void messages_ready(struct ring_poll *poll)
{
	struct ring *ring = container_of(poll, struct ring, message_poll);
	struct ring_message *message;
	uint64_t count;

	if (read(ring->message_fd, &count, sizeof(count)) < 0)
		return; /* a spurious wake-up: no message */

	pthread_mutex_lock(&ring->lock);
	message = ring->first;
	ring->first = NULL;
	ring->last = &ring->first;
	pthread_mutex_unlock(&ring->lock);

	while (message) {
		struct ring_message *next = message->next;

		message->run(message);
		message = next;
	}
}

static const char *hint(int err)
{
	switch (err) {
	case -EPERM:
		return " (is sysctl kernel.io_uring_disabled set?)";
	case -ENOMEM:
		return " (is the limit of locked memory too low? ulimit -l, LimitMEMLOCK=)";
	}
	return "";
}

static int set_up(struct io_uring *uring, unsigned int entries, unsigned int flags)
{
	int err = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(setup_flags) && err == -EINVAL; i++)
		err = ring_setup(uring, entries, setup_flags[i] | flags);
	if (err) {
		log_err("cannot set up an io_uring: %s%s", strerror(-err), hint(err));
		return err;
	}
	io_uring_register_ring_fd(uring); /* saves a file look-up per call where it works */
	return 0;
}

int ring_init(struct ring *ring, unsigned int entries)
{
	int err;

	memset(ring, 0, sizeof(*ring));
	err = set_up(&ring->uring, entries, 0);
	if (err)
		return err;

	ring->message_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->message_fd < 0) {
		err = -errno;
		log_err("cannot create an eventfd: %s", strerror(-err));
		io_uring_queue_exit(&ring->uring);
		return err;
	}

	pthread_mutex_init(&ring->lock, NULL);
	ring->last = &ring->first;
	ring_poll_start(ring, &ring->message_poll, ring->message_fd, messages_ready);
	return 0;
}

int ring_iopoll_init(struct ring *ring)
{
	int err;

	if (ring->has_iopoll)
		return 0;
	err = set_up(&ring->iopoll, ring->uring.sq.ring_entries, IORING_SETUP_IOPOLL);
	if (err)
		return err;
	err = io_uring_register_buffers_sparse(&ring->iopoll, RING_BUFFERS_MAX);
	if (err) {
		log_err("cannot set up an io_uring with buffers: %s", strerror(-err));
		io_uring_queue_exit(&ring->iopoll);
		return err;
	}
	ring->has_iopoll = true;
	return 0;
}

void ring_exit(struct ring *ring)
{
	if (ring->has_iopoll)
		io_uring_queue_exit(&ring->iopoll);
	io_uring_queue_exit(&ring->uring);
	close(ring->message_fd);
	pthread_mutex_destroy(&ring->lock);
}

static struct io_uring_sqe *get_sqe(struct io_uring *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);

	while (unlikely(!sqe)) {
		io_uring_submit(uring);
		sqe = io_uring_get_sqe(uring);
	}
	return sqe;
}

struct io_uring_sqe *ring_sqe(struct ring *ring)
{
	return get_sqe(&ring->uring);
}

struct io_uring_sqe *ring_iopoll_sqe(struct ring *ring)
{
	ring->iopoll_count++;
	return get_sqe(&ring->iopoll);
}

/* Handles the completions that exist now, not those of operations that @done starts. */
static unsigned int reap(struct io_uring *uring)
{
	unsigned int head, count = 0, ready = io_uring_cq_ready(uring);
	struct io_uring_cqe *cqe;

	io_uring_for_each_cqe(uring, head, cqe)
	{
		if (count == ready)
			break;
		struct ring_op *op = io_uring_cqe_get_data(cqe);

		count++;
		op->done(op, cqe->res, cqe->flags);
	}
	io_uring_cq_advance(uring, count);
	return count;
}

/* Return: 0; -errno, logged */
static int enter(struct io_uring *uring, bool wait)
{
	int ret;

	if (wait)
		ret = io_uring_submit_and_wait(uring, 1);
	else
		ret = io_uring_submit_and_get_events(uring);
	/* EINTR: a signal. EBUSY, EAGAIN: reap completions first. */
	if (ret < 0 && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN) {
		log_err("io_uring_enter() failed: %s", strerror(-ret));
		return ret;
	}
	return 0;
}

/* May the first io_uring have completions? */
static bool has_news(struct ring *ring)
{
	/*
	 * With deferred task work, the kernel sets a flag, and creates the CQEs in our next call.
	 * The kernel sets the flag after it has queued the work (io_req_local_work_add()). If our
	 * call comes in between, the flag stays set without any work.
	 */
	return io_uring_cq_ready(&ring->uring) ||
	       (load_relaxed(ring->uring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* Submits operations, and polls the disk for completions. */
static int iopoll_run(struct ring *ring)
{
	int err = enter(&ring->iopoll, false);
	unsigned int count;

	if (err)
		return err;
	count = reap(&ring->iopoll); /* may increase iopoll_count */
	ring->iopoll_count -= count;
	return 0;
}

int ring_run(struct ring *ring, bool wait)
{
	int err;

	if (ring_is_polling(ring)) {
		err = iopoll_run(ring);
		if (err || (!ring_has_prepared(ring) && !has_news(ring)))
			return err;
		wait = false;
	}
	err = enter(&ring->uring, wait);
	if (err)
		return err;
	reap(&ring->uring);
	return 0;
}

bool ring_has_events(struct ring *ring)
{
	return ring_is_polling(ring) || has_news(ring);
}

static void poll_arm(struct ring_poll *poll)
{
	struct io_uring_sqe *sqe = ring_sqe(poll->ring);

	/*
	 * Multishot: one completion for each wake-up, and no need to arm it again. The counter of a
	 * kick eventfd is never read, which saves a system call for each kick.
	 */
	io_uring_prep_poll_multishot(sqe, poll->fd, POLLIN);
	ring_sqe_done(sqe, &poll->op);
	poll->armed = true;
}

static void poll_finish_stop(struct ring_poll *poll)
{
	if (poll->stopping && !poll->armed && !poll->cancel.done)
		poll->stopped(poll);
}

static void poll_done(struct ring_op *op, int res, uint32_t flags)
{
	struct ring_poll *poll = container_of(op, struct ring_poll, op);

	if (!(flags & IORING_CQE_F_MORE))
		poll->armed = false;
	if (poll->stopping) {
		poll_finish_stop(poll);
		return;
	}
	if (!poll->armed && res != -EBADF)
		poll_arm(poll); /* before ready(), so that no wake-up is missed */
	if (res >= 0 || res == -ECANCELED)
		poll->ready(poll);
}

static void poll_cancel_done(struct ring_op *op, int res, uint32_t flags)
{
	struct ring_poll *poll = container_of(op, struct ring_poll, cancel);

	(void)res;
	(void)flags;
	poll->cancel.done = NULL;
	poll_finish_stop(poll);
}

void ring_poll_start(struct ring *ring, struct ring_poll *poll, int fd,
		     void (*ready)(struct ring_poll *poll))
{
	poll->ring = ring;
	poll->fd = fd;
	poll->ready = ready;
	poll->op.done = poll_done;
	poll->stopping = false;
	poll_arm(poll);
}

void ring_poll_stop(struct ring_poll *poll, void (*stopped)(struct ring_poll *poll))
{
	struct io_uring_sqe *sqe = ring_sqe(poll->ring);

	poll->stopping = true;
	poll->stopped = stopped;
	poll->cancel.done = poll_cancel_done;
	io_uring_prep_cancel(sqe, &poll->op, 0);
	ring_sqe_done(sqe, &poll->cancel);
}

static void timer_done(struct ring_op *op, int res, uint32_t flags)
{
	struct ring_timer *timer = container_of(op, struct ring_timer, op);

	(void)res;
	(void)flags;
	timer->active = false;
	timer->expired(timer);
}

void ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
		      void (*expired)(struct ring_timer *timer))
{
	struct io_uring_sqe *sqe;

	if (timer->active)
		return;
	timer->active = true;
	timer->expired = expired;
	timer->op.done = timer_done;
	timer->ts.tv_sec = (long long)(us / 1000000);
	timer->ts.tv_nsec = (long long)(us % 1000000) * 1000;
	sqe = ring_sqe(ring);
	io_uring_prep_timeout(sqe, &timer->ts, 0, 0);
	ring_sqe_done(sqe, &timer->op);
}

/* For operations whose result is not used. */
static void ignore_done(struct ring_op *op, int res, uint32_t flags)
{
	(void)op;
	(void)res;
	(void)flags;
}

static struct ring_op ignored = { .done = ignore_done };

void ring_timer_expire_now(struct ring *ring, struct ring_timer *timer)
{
	struct io_uring_sqe *sqe;

	if (!timer->active)
		return;
	sqe = ring_sqe(ring);
	io_uring_prep_timeout_remove(sqe, (uintptr_t)&timer->op, 0);
	ring_sqe_done(sqe, &ignored);
}

void ring_cancel(struct ring *ring, struct ring_op *op)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_cancel(sqe, op, IORING_ASYNC_CANCEL_ALL);
	ring_sqe_done(sqe, &ignored);
}

void ring_post_by(struct ring *ring, struct ring_message *message, int fd)
{
	uint64_t one = 1;

	message->next = NULL;
	pthread_mutex_lock(&ring->lock);
	*ring->last = message;
	ring->last = &message->next;
	/* Before the unlock: the thread that takes the message may then close @fd at once. */
	if (write(fd, &one, sizeof(one)) < 0)
		log_err("cannot write to an eventfd: %s", strerror(errno));
	pthread_mutex_unlock(&ring->lock);
}

void ring_post(struct ring *ring, struct ring_message *message)
{
	ring_post_by(ring, message, ring->message_fd);
}
