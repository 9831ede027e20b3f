/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One io_uring for everything that a thread waits for: I/O, descriptors, timers, and messages from
 * other threads. The main thread and each worker have one.
 *
 * Only ring_post() and ring_post_by() may be called on other threads than the one that called
 * ring_init(). The struct ring_op of an operation and its buffers must exist until its last
 * completion.
 */
#ifndef LIB_RING_H
#define LIB_RING_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

/*
 * One operation. @done is called on the ring's thread: @res is the result or -errno, @flags are
 * those of the CQE (IORING_CQE_F_MORE: more completions of this operation follow). @done may start
 * operations. After the last completion it may free the operation.
 */
struct ring_op {
	void (*done)(struct ring_op *op, int res, uint32_t flags);
};

/* Reports each time that a descriptor becomes readable, until ring_poll_stop(). */
struct ring_poll {
	struct ring_op op;
	struct ring_op cancel;
	struct ring *ring;
	int fd;
	bool armed;
	bool stopping;
	void (*ready)(struct ring_poll *poll);
	void (*stopped)(struct ring_poll *poll);
};

/* A timer that expires once. */
struct ring_timer {
	struct ring_op op;
	struct __kernel_timespec ts;
	bool active;
	void (*expired)(struct ring_timer *timer);
};

/* A message to the thread of a ring, which calls @run. It must exist until @run is called. */
struct ring_message {
	struct ring_message *next;
	void (*run)(struct ring_message *message);
};

/* Memory that is registered with the ring: its pages stay pinned. Zeroed: none. */
struct ring_buffer {
	uint8_t *addr;
	size_t len;
	uint16_t index;
};

#define RING_BUFFERS_MAX 512 /* for bounce buffers and slices of guest memory */
#define RING_BUFFER_NONE UINT16_MAX

struct ring {
	struct io_uring uring;
	struct io_uring iopoll; /* the second io_uring, if @has_iopoll */
	bool has_iopoll;
	unsigned int iopoll_count; /* its operations, from ring_iopoll_sqe() to completion */
	bool has_buffers; /* the kernel has a table of registered buffers; @buffers is a copy */
	struct {
		uint8_t *addr;
		size_t len;
		unsigned int users;
	} buffers[RING_BUFFERS_MAX];
	pthread_mutex_t lock; /* protects the list of messages */
	struct ring_message *first;
	struct ring_message **last;
	int message_fd;
	struct ring_poll message_poll;
};

/**
 * ring_init() - set up a ring for the calling thread
 * @entries: operations that can be prepared before they must be submitted
 *
 * Return: 0; -errno, logged
 */
int __must_check ring_init(struct ring *ring, unsigned int entries);
void ring_exit(struct ring *ring);

/**
 * ring_sqe() - get an SQE for one operation; never NULL: a full ring is submitted first
 *
 * The caller prepares the SQE before it calls any other ring function.
 */
struct io_uring_sqe *ring_sqe(struct ring *ring);

/** ring_sqe_done() - set the operation that gets the completion; call it after io_uring_prep_*() */
static inline void ring_sqe_done(struct io_uring_sqe *sqe, struct ring_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

/**
 * ring_iopoll_init() - set up a second io_uring, for polled reads and writes (IORING_SETUP_IOPOLL)
 *
 * The disk sends no interrupts for them. ring_run() polls for the completions, and does not sleep
 * before it has all of them. The second io_uring accepts O_DIRECT reads and writes only. No effect
 * at the second call. Return: 0; -errno, logged: use the first io_uring only
 */
int __must_check ring_iopoll_init(struct ring *ring);

/** ring_iopoll_sqe() - as ring_sqe(), in the second io_uring, which must exist */
struct io_uring_sqe *ring_iopoll_sqe(struct ring *ring);

/** ring_is_polling() - are operations in flight in the second io_uring? */
static inline bool ring_is_polling(const struct ring *ring)
{
	return unlikely(ring->iopoll_count);
}

/**
 * ring_run() - submit prepared operations, and call @done for each completion
 * @wait: sleep until there is a completion; no effect while ring_is_polling()
 *
 * Return: 0; -errno, logged: the ring cannot be used any more
 */
int __must_check ring_run(struct ring *ring, bool wait);

/** ring_has_prepared() - are operations prepared that ring_run() has not submitted yet? */
static inline bool ring_has_prepared(const struct ring *ring)
{
	return io_uring_sq_ready(&ring->uring);
}

/** ring_has_events() - may there be a completion? True without one is possible. No system call */
bool ring_has_events(struct ring *ring);

/** ring_poll_start() - call @poll->ready whenever @fd is readable; @poll is zeroed by the caller */
void ring_poll_start(struct ring *ring, struct ring_poll *poll, int fd,
		     void (*ready)(struct ring_poll *poll));

/** ring_poll_stop() - stop polling; @stopped is called when the ring does not use @poll any more */
void ring_poll_stop(struct ring_poll *poll, void (*stopped)(struct ring_poll *poll));

/** ring_timer_start() - call @expired in @us microseconds; no effect on an active timer */
void ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
		      void (*expired)(struct ring_timer *timer));

/** ring_timer_expire_now() - make an active timer expire now; no effect on an inactive one */
void ring_timer_expire_now(struct ring *ring, struct ring_timer *timer);

/**
 * ring_buffer_add() - register memory for IORING_OP_READ_FIXED and WRITE_FIXED
 *
 * All of it becomes resident, and stays pinned until ring_buffer_remove(), even if it is unmapped.
 * A range that is registered already is counted, not registered again. If there is a second
 * io_uring, the memory is registered with both. Return: 0; -errno: use the memory without
 * registration
 */
int __must_check ring_buffer_add(struct ring *ring, struct ring_buffer *buffer, void *addr,
				 size_t len);

/** ring_buffer_remove() - with no I/O on it in flight; no effect on a zeroed @buffer */
void ring_buffer_remove(struct ring *ring, struct ring_buffer *buffer);

/** ring_buffer_has() - does @buffer contain all of [@addr, @addr + @len)? */
static inline bool ring_buffer_has(const struct ring_buffer *buffer, const void *addr, size_t len)
{
	uintptr_t at = (uintptr_t)addr - (uintptr_t)buffer->addr;

	return at < buffer->len && len <= buffer->len - at;
}

/**
 * ring_cancel() - ask the kernel to cancel every operation of @op
 *
 * Each operation completes: with -ECANCELED or -EINTR if it was cancelled. Disk I/O that has begun
 * cannot be cancelled, and completes with its result.
 */
void ring_cancel(struct ring *ring, struct ring_op *op);

/** ring_post() - send @message: the ring's thread calls @message->run. Any thread */
void ring_post(struct ring *ring, struct ring_message *message);

/** ring_post_by() - as ring_post(), from a private descriptor table; @fd: a copy of message_fd */
void ring_post_by(struct ring *ring, struct ring_message *message, int fd);

#endif
