// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_signal.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

void vhost_user_signal_init(struct vhost_user_signal *signal)
{
	*signal = (struct vhost_user_signal){ .fd = -1 };
}

void vhost_user_signal_set(struct vhost_user_signal *signal, int fd)
{
	if (fd < 0) {
		store_relaxed(&signal->wanted, false);
		return;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK); /* io_uring writes it at once then */
	if (signal->fd < 0) {
		signal->fd = fd;
	} else {
		dup3(fd, signal->fd, O_CLOEXEC);
		close(fd);
	}
	store_release(&signal->wanted, true);
}

void vhost_user_signal_close(struct vhost_user_signal *signal)
{
	if (signal->fd >= 0)
		close(signal->fd);
	signal->fd = -1;
	store_relaxed(&signal->wanted, false);
}

static void submit(struct vhost_user_signal *signal);

/* A failure is the front end's: it has passed a descriptor that cannot be written to. */
static void written(struct ring_op *op, int res, uint32_t flags)
{
	struct vhost_user_signal *signal = container_of(op, struct vhost_user_signal, op);
	struct queue *queue = signal->queue;

	(void)res;
	(void)flags;
	if (signal->again)
		submit(signal);
	else
		signal->queue = NULL;
	if (queue->held) /* a STOP or REMOVE may wait for the end of the write */
		worker_schedule(queue->worker, &queue->work);
}

static void submit(struct vhost_user_signal *signal)
{
	static const uint64_t one = 1;
	struct io_uring_sqe *sqe = ring_sqe(&signal->queue->worker->ring);

	signal->again = false;
	signal->op.done = written;
	io_uring_prep_write(sqe, signal->fd, &one, sizeof(one), 0);
	ring_sqe_done(sqe, &signal->op);
}

void vhost_user_signal_send(struct vhost_user_signal *signal, struct queue *queue)
{
	if (!load_acquire(&signal->wanted))
		return;
	if (signal->queue) {
		signal->again = true;
		return;
	}
	signal->queue = queue;
	submit(signal);
}

bool vhost_user_signal_idle(struct vhost_user_signal *signal)
{
	if (!signal->queue)
		return true;
	ring_cancel(&signal->queue->worker->ring, &signal->op);
	return false;
}
