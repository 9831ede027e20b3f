// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"
#include "log.h"

static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int users;
static bool apart; /* threads have private descriptor tables */
static struct thread_starter starter;

/* Does pidfd_getfd() work? */
static bool can_fetch(void)
{
	int err = descriptors_fetch(INT_MAX); /* there is no such descriptor */

	if (err == -EBADF)
		return true;
	log_warn("pidfd_getfd: %s: if this server is killed while one store stalls, no other "
		 "server can open any of its stores",
		 strerror(-err));
	return false;
}

static int enter(struct thread_starter *self)
{
	(void)self;
	store_thread_enter();
	return 0;
}

/* Return: 0; -errno, logged */
static int start_starter(void)
{
	int err;

	apart = can_fetch();
	starter = (struct thread_starter){ .name = "store-starter", .enter = enter };
	err = thread_starter_start(&starter);
	if (err)
		log_err("cannot start the store-starter thread: %s", strerror(-err));
	return err;
}

int store_threads_get(void)
{
	int err = 0;

	pthread_mutex_lock(&users_lock);
	if (!users)
		err = start_starter();
	if (!err)
		users++;
	pthread_mutex_unlock(&users_lock);
	return err;
}

void store_threads_put(void)
{
	pthread_mutex_lock(&users_lock);
	if (!--users)
		thread_starter_stop(&starter);
	pthread_mutex_unlock(&users_lock);
}

struct thread_starter *store_threads_starter(void)
{
	return &starter;
}

bool store_threads_apart(void)
{
	return apart;
}

void store_thread_enter(void)
{
	if (apart)
		close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
}

int store_thread_fetch(int fd)
{
	return apart ? descriptors_fetch(fd) : fd;
}

void store_thread_close(int own)
{
	/* Not close(): the thread sanitizer takes the number for a descriptor of the process. */
	if (apart && own >= 0)
		close_range((unsigned int)own, (unsigned int)own, 0);
}
