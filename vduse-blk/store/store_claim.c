// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "descriptors.h"

int store_reopen(int path_fd, int flags)
{
	char link[64];
	int fd;

	/* Not "self": this thread may have a private descriptor table (descriptors.h). */
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", path_fd);
	fd = open(link, flags | O_CLOEXEC | O_NOCTTY | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* not the owner */
		fd = open(link, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/*
 * A block device that is open with O_EXCL. A process opens each device once, since a second O_EXCL would
 * fail, and several disks may be on one device. A claim is busy while a thread opens or closes the
 * device. That may block for ever, and then only threads that open the same device wait.
 */
struct claim {
	struct claim *next;
	dev_t rdev;
	unsigned int users;
	int fd;
	bool busy;
	bool moving; /* a task has opened it; busy until it has moved to the process's table */
};

static struct claim *claims;
static pthread_mutex_t claims_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t claims_changed = PTHREAD_COND_INITIALIZER;

/* Called with the lock, which it releases while the claim is busy. Return: NULL: there is none */
static struct claim *claim_find(dev_t rdev)
{
	struct claim *claim = claims;

	while (claim) {
		if (claim->rdev != rdev) {
			claim = claim->next;
		} else if (claim->busy) {
			pthread_cond_wait(&claims_changed, &claims_lock);
			claim = claims;
		} else {
			break;
		}
	}
	return claim;
}

/* Called with the lock: the claim is no longer busy. If @fd < 0, removes it from the list. */
static void claim_set_ready(struct claim *claim, int fd)
{
	struct claim **link = &claims;

	claim->busy = false;
	claim->fd = fd;
	while (fd < 0 && *link != claim)
		link = &(*link)->next;
	if (fd < 0)
		*link = claim->next;
	pthread_cond_broadcast(&claims_changed);
}

int store_claim_get(int path_fd, dev_t rdev, struct claim **out)
{
	struct claim *claim;
	int fd;

	pthread_mutex_lock(&claims_lock);
	claim = claim_find(rdev);
	if (claim) {
		claim->users++;
		pthread_mutex_unlock(&claims_lock);
		*out = claim;
		return 0;
	}
	claim = calloc(1, sizeof(*claim));
	if (!claim) {
		pthread_mutex_unlock(&claims_lock);
		return -ENOMEM;
	}
	*claim = (struct claim){ .next = claims, .rdev = rdev, .users = 1, .busy = true };
	claims = claim;
	pthread_mutex_unlock(&claims_lock);

	fd = store_reopen(path_fd, O_RDONLY | O_EXCL);
	pthread_mutex_lock(&claims_lock);
	if (fd >= 0 && descriptors_isolated()) {
		claim->moving = true;
		claim->fd = fd;
	} else {
		claim_set_ready(claim, fd);
	}
	pthread_mutex_unlock(&claims_lock);
	if (fd < 0)
		free(claim);
	else
		*out = claim;
	return fd < 0 ? fd : 0;
}

void store_claim_put(struct claim *claim)
{
	pthread_mutex_lock(&claims_lock);
	claim->users--;
	/*
	 * A thread with a private descriptor table cannot close a descriptor of the process. The
	 * claim stays for the next attempt to open the device, and is closed after that.
	 */
	claim->busy = !claim->users && (claim->moving || !descriptors_isolated());
	if (!claim->busy) {
		pthread_mutex_unlock(&claims_lock);
		return;
	}
	pthread_mutex_unlock(&claims_lock);
	close(claim->fd);
	pthread_mutex_lock(&claims_lock);
	claim_set_ready(claim, -1);
	pthread_mutex_unlock(&claims_lock);
	free(claim);
}

bool store_claim_is_moving(const struct claim *claim)
{
	return claim->moving;
}

int *store_claim_fd(struct claim *claim)
{
	return &claim->fd;
}

void store_claim_moved(struct claim *claim)
{
	pthread_mutex_lock(&claims_lock);
	claim->moving = false;
	claim_set_ready(claim, claim->fd);
	pthread_mutex_unlock(&claims_lock);
}
