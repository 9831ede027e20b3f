// SPDX-License-Identifier: GPL-2.0-or-later
#include "host_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store_users.h"
#include "log.h"
#include "self_backing.h"
#include "process/startup_wait.h"
#include "store_access.h"
#include "store_claim.h"
#include "store_format.h"
#include "file_limits.h"
#include "store_lock.h"

#define LOCK_ROUND_MS 100u

/* With O_PATH: a normal open of a device node may have effects, and that of a FIFO may block. */
static int open_path(const struct device_config *config, struct stat *st)
{
	int fd, err = 0;

	fd = open(config->path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st))
		err = -errno;
	else if (S_ISDIR(st->st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		err = -ENOTBLK;
	else if (self_backing_lies_on(st, config->name))
		err = -EDEADLK;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int open_syncs(const struct device_config *config, struct host_file *file, int path_fd,
		      int flags)
{
	unsigned int wanted = file->readonly ? 1 : STORE_SYNCS;

	if (config->cache == CACHE_UNSAFE)
		wanted = 0;
	while (file->sync_count < wanted) {
		int fd = store_reopen(path_fd, flags);

		if (fd < 0)
			return fd;
		file->sync_fds[file->sync_count++] = fd;
	}
	return 0;
}

static int open_fds(const struct device_config *config, struct host_file *file, int path_fd)
{
	int flags = file->readonly ? O_RDONLY : O_RDWR, fd = -EINVAL;

	if (config->cache == CACHE_NONE || config->cache == CACHE_AUTO) {
		fd = store_reopen(path_fd, flags | O_DIRECT);
		file->direct = fd >= 0;
	}
	if (fd == -EINVAL && config->cache != CACHE_NONE)
		fd = store_reopen(path_fd, flags);
	if (fd < 0)
		return fd;
	file->fd = fd;
	return open_syncs(config, file, path_fd, flags);
}

static void log_open_error(const struct device_config *config, int err)
{
	const char *reason = strerror(-err);

	if (err == -EBUSY)
		reason = "in use by another process";
	else if (err == -EISDIR || err == -ENOTBLK)
		reason = "neither a regular file nor a block device";
	else if (err == -EDEADLK)
		reason = "it is stored on this disk itself";
	else if (err == -EINVAL && config->cache == CACHE_NONE)
		reason = "its file system cannot do O_DIRECT, which cache = none needs; "
			 "accepted are auto, writeback, writethrough and unsafe";
	log_err("%s: cannot open %s: %s", config->name, config->path, reason);
}

static void log_busy(const struct device_config *config, const struct store_rivals *rivals)
{
	log_err("%s: cannot open %s: in use by another process%s%s", config->name, config->path,
		rivals->text[0] ? ": " : "", rivals->text);
}

static void set_cache(const struct device_config *config, struct host_file *file)
{
	file->cache = config->cache;
	if (config->cache == CACHE_AUTO)
		file->cache = file->direct ? CACHE_NONE : CACHE_WRITEBACK;
	file->limits.volatile_cache = file->cache != CACHE_WRITETHROUGH;
}

static int open_once(const struct device_config *config, bool claim, struct host_file *file,
		     struct stat *st)
{
	int path_fd, err;

	path_fd = open_path(config, st);
	if (path_fd < 0)
		return path_fd;
	file->block_device = S_ISBLK(st->st_mode);
	/* Several read-only disks may share a block device, so they do not claim it. */
	err = 0;
	if (!file->block_device)
		own_file_add(&file->own, st);
	if (claim && file->block_device && !file->readonly)
		err = store_claim_get(path_fd, st->st_rdev, &file->claim);
	if (!err)
		err = open_fds(config, file, path_fd);
	close(path_fd);
	if (err)
		host_file_close(file);
	return err;
}

static void set_identity(const struct stat *st, char identity[BACKEND_IDENTITY_MAX])
{
	if (S_ISBLK(st->st_mode))
		snprintf(identity, BACKEND_IDENTITY_MAX, "block device %u:%u/0", major(st->st_rdev),
			 minor(st->st_rdev));
	else
		snprintf(identity, BACKEND_IDENTITY_MAX, "file %u:%u/%llu", major(st->st_dev),
			 minor(st->st_dev), (unsigned long long)st->st_ino);
}

void host_file_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX])
{
	struct stat st;

	identity[0] = '\0';
	if (!stat(config->path, &st) && (S_ISBLK(st.st_mode) || S_ISREG(st.st_mode)))
		set_identity(&st, identity);
}

/* Opens the store, examines it, and applies the configuration, without a lock. Logs a failure. */
static int open_and_examine(const struct device_config *config, bool claim, unsigned int *wait_ms,
			    struct host_file *file)
{
	uint64_t store_size = 0;
	struct stat st;
	int err;

	*file = (struct host_file){
		.readonly = config->readonly,
		.fd = -1,
	};
	memset(file->sync_fds, -1, sizeof(file->sync_fds));
	do {
		err = open_once(config, claim, file, &st);
	} while (err == -EBUSY && startup_wait(wait_ms));
	if (!err)
		err = file_limits_examine(file, &st, &store_size);
	if (err) {
		log_open_error(config, err);
		return err;
	}
	err = file_limits_apply(config, file, store_size, st.st_rdev);
	if (err)
		return err;
	set_cache(config, file);
	set_identity(&st, file->identity);
	return 0;
}

/* Tries to lock for @wait_ms. Searches for the holders of locks only after that: it takes long. */
static int lock_with_retries(const struct device_config *config, const struct host_file *file,
			     unsigned int *wait_ms, struct store_rivals *rivals)
{
	int err;

	do {
		err = store_lock(config, file, rivals);
	} while (err == -EBUSY && startup_wait(wait_ms));
	return err == -EBUSY ? store_lock_shared(config, file, rivals) : err;
}

/*
 * Works in rounds of LOCK_ROUND_MS, and closes the store in between: openers_written() is only
 * valid while this process does not have the store open.
 */
static int open_and_lock(const struct device_config *config, unsigned int wait_ms,
			 struct host_file *file)
{
	struct store_rivals rivals = { .successor = wait_ms > 0 };
	unsigned int round_ms, left_ms;
	int err;

	for (;;) {
		rivals.written = openers_written(config->path);
		err = open_and_examine(config, true, &wait_ms, file);
		if (err)
			return err;
		round_ms = left_ms = MIN(wait_ms, LOCK_ROUND_MS);
		err = lock_with_retries(config, file, &left_ms, &rivals);
		wait_ms -= round_ms - left_ms;
		if (err != -EBUSY || stop_pending() || !wait_ms)
			break;
		host_file_close(file);
	}
	if (err == -EBUSY)
		log_busy(config, &rivals);
	else if (err)
		log_open_error(config, err);
	else if (!rivals.successor)
		err = store_users_check(config, file, rivals.written);
	return err;
}

int host_file_open(const struct device_config *config, unsigned int wait_ms, struct host_file *file)
{
	bool successor = wait_ms > 0; /* a former server may have been killed just now */
	struct stat st;
	int err;

	err = open_and_lock(config, wait_ms, file);
	if (err)
		goto close_store;
	if (config->cache == CACHE_AUTO && !file->direct)
		log_info("%s: %s cannot do O_DIRECT, so cache is writeback", config->name,
			 config->path);
	if (!successor && !config->offset)
		store_format_warn(config, file);
	if (!successor && !fstat(file->fd, &st))
		store_access_warn(config, &st);
	return 0;

close_store:
	host_file_close(file);
	return err;
}

/* Locks the store as host_file_open() would, but without waiting. */
static int lock_once(const struct device_config *config, const struct host_file *file,
		     enum file_written written)
{
	struct store_rivals rivals = { .written = written };
	int err = store_lock(config, file, &rivals);

	if (err == -EBUSY)
		err = store_lock_shared(config, file, &rivals);
	if (err == -EBUSY)
		log_busy(config, &rivals);
	else if (err)
		log_open_error(config, err);
	return err;
}

int host_file_examine(const struct device_config *config, bool try_lock, struct host_file *file)
{
	enum file_written written = try_lock ? openers_written(config->path) : FILE_MAYBE_WRITTEN;
	unsigned int wait_ms = 0;
	int err;

	err = open_and_examine(config, false, &wait_ms, file);
	if (!err && try_lock && !file->block_device)
		err = lock_once(config, file, written);
	if (!err && try_lock)
		err = store_users_check(config, file, written);
	host_file_close(file);
	return err;
}

int host_file_try_claim(const struct device_config *config)
{
	struct stat st;
	int path_fd, fd = 0;

	if (config->readonly)
		return 0;
	path_fd = open_path(config, &st);
	if (path_fd < 0)
		return path_fd;
	if (S_ISBLK(st.st_mode))
		fd = store_reopen(path_fd, O_RDONLY | O_EXCL);
	close(path_fd);
	if (fd > 0)
		close(fd);
	if (fd == -EBUSY)
		log_open_error(config, fd);
	return MIN(fd, 0);
}

unsigned int host_file_descriptors(struct host_file *file, int **fds, unsigned int max)
{
	unsigned int count = 0;

	assert(max >= 2 + STORE_SYNCS);
	fds[count++] = &file->fd;
	for (unsigned int i = 0; i < file->sync_count; i++)
		fds[count++] = &file->sync_fds[i];
	if (file->claim && store_claim_is_moving(file->claim))
		fds[count++] = store_claim_fd(file->claim);
	return count;
}

void host_file_moved(struct host_file *file)
{
	if (file->claim && store_claim_is_moving(file->claim))
		store_claim_moved(file->claim);
}

void host_file_forget(struct host_file *file)
{
	file->fd = -1;
	memset(file->sync_fds, -1, sizeof(file->sync_fds));
	file->sync_count = 0;
}

void host_file_close(struct host_file *file)
{
	while (file->sync_count) {
		close(file->sync_fds[--file->sync_count]);
		file->sync_fds[file->sync_count] = -1;
	}
	if (file->fd >= 0)
		close(file->fd);
	if (file->claim)
		store_claim_put(file->claim);
	file->claim = NULL;
	file->fd = -1;
	own_file_remove(&file->own);
}
