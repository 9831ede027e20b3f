// SPDX-License-Identifier: GPL-2.0-or-later
#include "task_starter.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

#include "descriptors.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool exists;
	bool waiting; /* @main is to be started */
	void *(*main)(void *arg);
	void *arg;
	int result;
} starter = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

int task_starter_thread(void *(*main)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = -pthread_create(&thread, &attr, main, arg);
	pthread_attr_destroy(&attr);
	return err;
}

static void *starter_main(void *arg)
{
	int err = descriptors_leave();

	(void)arg;
	pthread_setname_np(pthread_self(), "task-starter");
	pthread_mutex_lock(&starter.lock);
	for (;;) {
		while (!starter.waiting)
			pthread_cond_wait(&starter.changed, &starter.lock);
		starter.result = err ? err : task_starter_thread(starter.main, starter.arg);
		starter.waiting = false;
		pthread_cond_broadcast(&starter.changed);
	}
	return NULL;
}

/* With the lock. Return: 0; -errno */
static int make_starter(void)
{
	int err = 0;

	if (!starter.exists)
		err = task_starter_thread(starter_main, NULL);
	starter.exists = !err;
	return err;
}

int task_starter_run(void *(*main)(void *arg), void *arg)
{
	int err;

#ifdef __SANITIZE_THREAD__
	return -ENOTSUP; /* the sanitizer does not know that equal numbers are different files */
#endif
	if (descriptors_fetch(INT_MAX) != -EBADF)
		return -ENOTSUP;
	pthread_mutex_lock(&starter.lock);
	err = make_starter();
	while (!err && starter.waiting) /* for another caller */
		pthread_cond_wait(&starter.changed, &starter.lock);
	if (!err) {
		starter.main = main;
		starter.arg = arg;
		starter.waiting = true;
		pthread_cond_broadcast(&starter.changed);
		while (starter.waiting)
			pthread_cond_wait(&starter.changed, &starter.lock);
		err = starter.result;
	}
	pthread_mutex_unlock(&starter.lock);
	return err;
}
