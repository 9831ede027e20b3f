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

	/* Not "self": this thread may have a descriptor table of its own (descriptors.h). */
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", path_fd);
	fd = open(link, flags | O_CLOEXEC | O_NOCTTY | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* not the owner */
		fd = open(link, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/*
 * The exclusive opening of a block device: one per process, since a second one would fail, and
 * several slices of a disk may be served. One that is being opened or closed is busy: opening may
 * take for ever, and then only those who want the same device wait.
 */
struct claim {
	struct claim *next;
	dev_t rdev;
	unsigned int users;
	int fd;
	bool busy;
	bool moving; /* opened by a thread with a descriptor table of its own; busy until it has moved */
};

static struct claim *claims;
static pthread_mutex_t claims_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t claims_changed = PTHREAD_COND_INITIALIZER;

/* With the lock, which it gives up while the claim is busy. NULL: there is none */
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

/* With the lock: the claim is what it is, or gone (@fd < 0). */
static void claim_settle(struct claim *claim, int fd)
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
		claim_settle(claim, fd);
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
	 * A thread with a descriptor table of its own cannot close a descriptor of the process: the claim
	 * stays, for the next attempt to open the device, whose end closes it.
	 */
	claim->busy = !claim->users && (claim->moving || !descriptors_isolated());
	if (!claim->busy) {
		pthread_mutex_unlock(&claims_lock);
		return;
	}
	pthread_mutex_unlock(&claims_lock);
	close(claim->fd);
	pthread_mutex_lock(&claims_lock);
	claim_settle(claim, -1);
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
	claim_settle(claim, claim->fd);
	pthread_mutex_unlock(&claims_lock);
}
