/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of texts for a reader that may be slow, blocked or dead: a pipe, a log file, the service
 * manager.
 *
 * A thread that serves disks must not wait for such a reader. It puts the text into a queue of
 * fixed size, and a thread of the outbox delivers it. When the queue is full, the text is dropped
 * and counted.
 *
 * The thread of the outbox has a private descriptor table with descriptors 0 to 2 only, and blocks
 * all signals. When the process is killed while this thread waits in the kernel, all other files of
 * the process are closed.
 *
 * An outbox is a static variable that is never destroyed. All functions may be called on any thread
 * except that of the outbox.
 */
#ifndef LIB_OUTBOX_H
#define LIB_OUTBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define OUTBOX_TEXT_MAX 1152 /* bytes of one text, with its NUL */

struct outbox {
	const char *name; /* of its thread, 15 characters at most */
	char *queue;	  /* texts, each with its NUL */
	size_t size;	  /* of @queue, bytes */

	/*
	 * false: the thread ends when the queue is empty, and the next text starts a new one, so
	 * that an outbox that is rarely used needs no thread. true: the thread stays until
	 * outbox_stop().
	 */
	bool thread_stays;

	/**
	 * @deliver: write one text to the reader; may wait for ever
	 *
	 * Return: 0; -errno: the text is dropped
	 */
	int (*deliver)(const char *text);

	/**
	 * @lost: report that @count texts were dropped; called when the reader accepts texts again
	 *
	 * Called on the outbox's thread. Return: 0; -errno: called again after the next text
	 */
	int (*lost)(unsigned int count);

	pthread_mutex_t lock; /* protects the members below; held for the time of a copy only */
	pthread_cond_t changed;
	size_t first, used; /* bytes of @queue */
	unsigned int texts; /* queued, or being delivered */
	unsigned int lost_count;
	unsigned int before_lost; /* texts still queued from before the first dropped one */
	bool running;		  /* there is a thread */
	bool ending;		  /* the thread ends when the queue is empty */
};

#define OUTBOX_INIT .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER

/**
 * outbox_start() - start the thread before the first text
 *
 * For an outbox that must work when no more threads can be started. Return: 0; -errno
 */
int __must_check outbox_start(struct outbox *box);

/**
 * outbox_put() - queue @text
 *
 * Does not wait, and keeps errno. A text of OUTBOX_TEXT_MAX bytes or more is cut.
 */
void outbox_put(struct outbox *box, const char *text);

/**
 * outbox_flush() - wait until all texts are delivered
 * @deadline_ns: the latest end, by time_now_ns()
 *
 * Return: 0; -ETIMEDOUT: the reader does not accept them
 */
int outbox_flush(struct outbox *box, uint64_t deadline_ns);

/**
 * outbox_stop() - as outbox_flush(), and wait until the thread has ended
 *
 * The next text starts a new thread. Return: as outbox_flush()
 */
int outbox_stop(struct outbox *box, uint64_t deadline_ns);

#endif
