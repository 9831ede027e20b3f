// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Locks far behind any data: a byte for each device that reads, a range for the second descriptor. */
#define READER_LOCK_START   ((1ull << 62) - (1ull << 33))
#define READER_LOCK_COUNT   (1ull << 32) /* for the second descriptor as many again */
#define BUFFERED_LOCK_START (1ull << 62)

int store_reopen(int path_fd, int flags)
{
	char link[64];
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
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
	claim_settle(claim, fd);
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
	claim->busy = !--claim->users;
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

static int lock_range(int fd, bool readonly, uint64_t start, uint64_t len)
{
	struct flock lock = {
		.l_type = readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)start,
		.l_len = (off_t)len, /* 0: to the end of all offsets */
	};

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/*
 * Several may read the same bytes, so those say nothing about the reads of a killed server of this
 * device; a byte of its own does. A file that is open for reading takes no exclusive lock, but can
 * ask for one.
 */
static int lock_reader(int fd, uint64_t start, const char *name, bool successor)
{
	uint64_t byte = 0;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

	for (; *name; name++)
		byte = byte * 31 + (unsigned char)*name;
	lock.l_start = (off_t)(start + byte % READER_LOCK_COUNT);
	if (successor && fcntl(fd, F_OFD_GETLK, &lock))
		return -errno;
	if (successor && lock.l_type != F_UNLCK)
		return -EBUSY;
	return lock_range(fd, true, (uint64_t)lock.l_start, 1);
}

/*
 * Locks the bytes that are served, so that two slices of one image can both be written.
 *
 * A lock lives as long as its open file, and that as long as I/O on it: who gets it after a server
 * was killed knows that all of that server's I/O has ended. For I/O through the second descriptor
 * a lock of its own says the same, far behind any data. Who has but one takes both locks with it.
 */
int store_lock(const struct device_config *config, const struct store *store, bool successor)
{
	int buffered_fd = store->direct ? store->buffered_fd : store->fd;
	uint64_t len = store->limits.size;
	int err;

	if (!config->size)
		len = READER_LOCK_START - store->offset; /* and what it may grow by */
	err = lock_range(store->fd, store->readonly, store->offset, len);
	if (!err)
		err = lock_range(buffered_fd, store->readonly, BUFFERED_LOCK_START + store->offset,
				 config->size);
	if (!err && store->readonly)
		err = lock_reader(store->fd, READER_LOCK_START, config->name, successor);
	if (!err && store->readonly && store->direct)
		err = lock_reader(buffered_fd, READER_LOCK_START + READER_LOCK_COUNT, config->name,
				  successor);
	return err;
}
