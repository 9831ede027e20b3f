// SPDX-License-Identifier: GPL-2.0-or-later
#include "outbox.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Functions whose names begin with box_ are called with the lock held. */

static void box_copy_in(struct outbox *box, const char *text, size_t size)
{
	size_t end = (box->first + box->used) % box->size;
	size_t straight = MIN(size, box->size - end);

	memcpy(box->queue + end, text, straight);
	memcpy(box->queue, text + straight, size - straight);
	box->used += size;
}

static bool box_add(struct outbox *box, const char *text)
{
	size_t len = strnlen(text, OUTBOX_TEXT_MAX - 1);

	if (len + 1 > box->size - box->used)
		return false;
	box_copy_in(box, text, len);
	box_copy_in(box, "", 1);
	box->texts++;
	return true;
}

static void box_take(struct outbox *box, char text[OUTBOX_TEXT_MAX])
{
	do {
		*text = box->queue[box->first];
		box->first = (box->first + 1) % box->size;
		box->used--;
	} while (*text++);
	if (!box->used)
		box->first = 0; /* a short queue uses its first pages only */
}

static void box_count_lost(struct outbox *box)
{
	if (!box->lost_count++)
		box->before_lost = box->texts;
}

static void deliver(struct outbox *box, const char *text)
{
	int err = box->deliver(text);
	unsigned int lost = 0;

	pthread_mutex_lock(&box->lock);
	if (box->before_lost)
		box->before_lost--;
	if (err)
		box->lost_count++;
	else if (!box->before_lost)
		lost = box->lost_count;
	pthread_mutex_unlock(&box->lock);

	if (lost && box->lost(lost) == 0) {
		pthread_mutex_lock(&box->lock);
		box->lost_count -= lost;
		if (box->lost_count) /* the queue became full again meanwhile */
			box->before_lost = box->texts - 1;
		pthread_mutex_unlock(&box->lock);
	}
}

static void *outbox_main(void *arg)
{
	struct outbox *box = arg;
	char text[OUTBOX_TEXT_MAX];

	pthread_setname_np(pthread_self(), box->name);
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_UNSHARE);
	pthread_mutex_lock(&box->lock);
	for (;;) {
		while (!box->used && box->thread_stays && !box->ending)
			pthread_cond_wait(&box->changed, &box->lock);
		if (!box->used)
			break;
		box_take(box, text);
		pthread_mutex_unlock(&box->lock);
		deliver(box, text);
		pthread_mutex_lock(&box->lock);
		box->texts--;
		pthread_cond_broadcast(&box->changed);
	}
	box->running = false;
	pthread_cond_broadcast(&box->changed);
	pthread_mutex_unlock(&box->lock);
	return NULL;
}

/* The thread is detached: it may wait for ever, so no other thread can join it. */
static int box_start_thread(struct outbox *box)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = -pthread_create(&thread, &attr, outbox_main, box);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	box->running = !err;
	box->ending = false;
	return err;
}

int outbox_start(struct outbox *box)
{
	int err = 0;

	pthread_mutex_lock(&box->lock);
	if (!box->running)
		err = box_start_thread(box);
	pthread_mutex_unlock(&box->lock);
	return err;
}

void outbox_put(struct outbox *box, const char *text)
{
	int saved_errno = errno;

	pthread_mutex_lock(&box->lock);
	if (!box_add(box, text))
		box_count_lost(box);
	if (!box->running)
		box_start_thread(box); /* after a failure the next text tries again */
	pthread_cond_broadcast(&box->changed);
	pthread_mutex_unlock(&box->lock);
	errno = saved_errno;
}

static int wait_for_end(struct outbox *box, uint64_t deadline_ns, bool ending)
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / 1000000000),
		.tv_nsec = (long)(deadline_ns % 1000000000),
	};
	int err = 0;

	pthread_mutex_lock(&box->lock);
	if (ending) {
		box->ending = true;
		pthread_cond_broadcast(&box->changed);
	}
	while (!err && (box->texts || (ending && box->running)))
		err = pthread_cond_clockwait(&box->changed, &box->lock, CLOCK_MONOTONIC, &deadline);
	if (!box->texts)
		err = 0;
	pthread_mutex_unlock(&box->lock);
	return -err;
}

int outbox_flush(struct outbox *box, uint64_t deadline_ns)
{
	return wait_for_end(box, deadline_ns, false);
}

int outbox_stop(struct outbox *box, uint64_t deadline_ns)
{
	return wait_for_end(box, deadline_ns, true);
}
