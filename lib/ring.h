/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One io_uring and everything a thread waits for: I/O, descriptors, timers, and messages from
 * other threads. The main thread and each worker have one.
 *
 * Every function but ring_post() and ring_post_by() belongs to the thread that called ring_init().
 * Whatever an operation points at (the struct ring_op itself, buffers) lives until its last
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
 * One operation in the ring. @done runs on the ring's thread: @res is the result or -errno, @flags
 * are the CQE's (IORING_CQE_F_MORE: a multishot operation goes on). It may start operations, and
 * may free the operation where no more completions follow.
 */
struct ring_op {
	void (*done)(struct ring_op *op, int res, uint32_t flags);
};

/* Readiness of a descriptor, again and again, until ring_poll_stop(). */
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

/* One shot, after a time. */
struct ring_timer {
	struct ring_op op;
	struct __kernel_timespec ts;
	bool active;
	void (*expired)(struct ring_timer *timer);
};

/* A message to the thread of a ring: @run is called there. In use until @run is entered. */
struct ring_message {
	struct ring_message *next;
	void (*run)(struct ring_message *message);
};

/* Memory that the ring has pinned, so that I/O on it need not look for its pages. Zeroed: none. */
struct ring_buffer {
	uint8_t *addr;
	size_t len;
	uint16_t index;
};

#define RING_BUFFERS_MAX 512 /* bounce memory, 64 MiB each, and guest memory, 128 MiB each */
#define RING_BUFFER_NONE UINT16_MAX

struct ring {
	struct io_uring uring;
	struct io_uring iopoll; /* the second one, where there is one */
	bool has_iopoll;
	unsigned int iopoll_count; /* operations in it, from ring_iopoll_sqe() to completion */
	bool has_buffers;	   /* the kernel has a table for them, and we the same one */
	struct {
		uint8_t *addr;
		size_t len;
		unsigned int users;
	} buffers[RING_BUFFERS_MAX];
	pthread_mutex_t lock; /* of the messages */
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
 * ring_sqe() - a place for one operation; never NULL: submits what is prepared when it is full
 *
 * The caller prepares it before the next call of any ring function.
 */
struct io_uring_sqe *ring_sqe(struct ring *ring);

/** ring_sqe_done() - say who takes the completion; call after io_uring_prep_*() */
static inline void ring_sqe_done(struct io_uring_sqe *sqe, struct ring_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

/**
 * ring_iopoll_init() - a second io_uring, for reads and writes whose completions are polled for
 *
 * The disk sends no interrupt for them: ring_run() looks for completions, and does not sleep while
 * one is missing. It takes nothing but O_DIRECT reads and writes, so all else stays in the first.
 * Once for each ring; no effect after that. Return: 0; -errno, logged: do without
 */
int __must_check ring_iopoll_init(struct ring *ring);

/** ring_iopoll_sqe() - as ring_sqe(), in the second io_uring, which must be there */
struct io_uring_sqe *ring_iopoll_sqe(struct ring *ring);

/** ring_is_polling() - is something under way that ring_run() has to look for? */
static inline bool ring_is_polling(const struct ring *ring)
{
	return unlikely(ring->iopoll_count);
}

/**
 * ring_run() - submit what is prepared and hand out completions
 * @wait: sleep until there is at least one; no effect while ring_is_polling()
 *
 * Return: 0; -errno: the ring is of no use any more
 */
int __must_check ring_run(struct ring *ring, bool wait);

/** ring_has_prepared() - are operations prepared that ring_run() has not submitted yet? */
static inline bool ring_has_prepared(const struct ring *ring)
{
	return io_uring_sq_ready(&ring->uring);
}

/** ring_has_events() - would ring_run() hand something out, or might it? No system call */
bool ring_has_events(struct ring *ring);

/** ring_poll_start() - call @poll->ready whenever @fd is readable; @poll is zeroed by the caller */
void ring_poll_start(struct ring *ring, struct ring_poll *poll, int fd,
		     void (*ready)(struct ring_poll *poll));

/** ring_poll_stop() - @stopped is called when @poll is of no more use to the ring */
void ring_poll_stop(struct ring_poll *poll, void (*stopped)(struct ring_poll *poll));

/** ring_timer_start() - call @timer->expired in @us microseconds; no effect while active */
void ring_timer_start(struct ring *ring, struct ring_timer *timer, uint64_t us,
		      void (*expired)(struct ring_timer *timer));

/** ring_timer_hurry() - have an active timer expire now; no effect on another */
void ring_timer_hurry(struct ring *ring, struct ring_timer *timer);

/**
 * ring_buffer_add() - register memory for IORING_OP_READ_FIXED and WRITE_FIXED
 *
 * All of it becomes resident and stays so, mapped or not, until ring_buffer_remove(). The same
 * memory again is not registered twice; but with the second io_uring as well where that is there,
 * even if nobody will use it in that. Return: 0; -errno: do without
 */
int __must_check ring_buffer_add(struct ring *ring, struct ring_buffer *buffer, void *addr,
				 size_t len);

/** ring_buffer_remove() - nothing is in flight on it any more; no effect where there is none */
void ring_buffer_remove(struct ring *ring, struct ring_buffer *buffer);

/** ring_buffer_has() - does all of [@addr, @addr + @len) lie in it? */
static inline bool ring_buffer_has(const struct ring_buffer *buffer, const void *addr, size_t len)
{
	uintptr_t at = (uintptr_t)addr - (uintptr_t)buffer->addr;

	return at < buffer->len && len <= buffer->len - at;
}

/**
 * ring_cancel() - ask the kernel to end every operation that completes to @op
 *
 * Completions come in any case, with -ECANCELED or -EINTR where one was ended. Disk I/O that has
 * begun cannot be, and completes as if nothing was asked.
 */
void ring_cancel(struct ring *ring, struct ring_op *op);

/** ring_post() - have @message->run called on the ring's thread; from any thread */
void ring_post(struct ring *ring, struct ring_message *message);

/** ring_post_by() - as ring_post(), with @fd for ring->message_fd in a private descriptor table */
void ring_post_by(struct ring *ring, struct ring_message *message, int fd);

#endif
