// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

/*
 * The mark of a device's name is one byte far behind any data, which each server of the device
 * locks. It is not adjacent to the data, since the kernel would join the two locks.
 */
#define MARK_START ((1ull << 62) - (1ull << 33))
#define MARK_COUNT (1ull << 32)

/* Version 0.1.0 held a write lock here, at @offset, with its second descriptor for I/O. */
#define SECOND_LOCK_START (1ull << 62)

/* The descriptor of a store, and what it locks. */
struct locked_fd {
	int fd;
	struct file_range data;
	struct file_range mark;
};

static int lock_range(int fd, short type, const struct file_range *range)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)range->first,
		.l_len = (off_t)(range->last - range->first + 1),
	};

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static uint64_t mark_of(const char *name)
{
	uint64_t hash = 0;

	for (; *name; name++)
		hash = hash * 31 + (unsigned char)*name;
	hash %= MARK_COUNT;
	return MARK_START + MIN(MAX(hash, 1ull), MARK_COUNT - 2);
}

static struct locked_fd locked_fd(const struct device_config *config, const struct host_file *file)
{
	uint64_t first = file->offset, mark = mark_of(config->name);
	uint64_t last = config->size ? first + config->size - 1 : MARK_START - 1;

	return (struct locked_fd){ file->fd, { first, last }, { mark, mark } };
}

static bool is_locked(int fd, uint64_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, /* F_OFD_GETLK permits it on a read-only descriptor too */
		.l_whence = SEEK_SET,
		.l_start = (off_t)byte,
		.l_len = 1,
	};

	return fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* A lock covers the mark and more. Is there also a lock of the mark alone, of another open file? */
static int look_for_mark(const struct locked_fd *fd)
{
	struct file_locks locks = { 0 };
	struct file_key key;
	int err;

	err = lock_range(fd->fd, F_RDLCK, &fd->mark); /* openers_key() needs a lock in fdinfo */
	if (!err)
		err = openers_key(fd->fd, &key);
	if (!err)
		err = openers_locks(&key, &fd->mark, true, &locks);
	lock_range(fd->fd, F_UNLCK, &fd->mark);
	return err || locks.read > 1 ? -EBUSY : 0;
}

/*
 * Does I/O of a killed server still hold the lock of this device's mark? A read lock that covers
 * more than the mark is no sign of that: any reader of the file can hold one.
 */
static int check_mark(const struct locked_fd *fd, bool readonly, enum file_written written)
{
	uint64_t mark = fd->mark.first;

	if (!is_locked(fd->fd, mark))
		return 0;
	if (!is_locked(fd->fd, mark - 1) || !is_locked(fd->fd, mark + 1))
		return -EBUSY;
	if (!readonly && written == FILE_UNWRITTEN)
		return 0; /* so no I/O in flight has the file open either */
	return look_for_mark(fd);
}

/* Does I/O of version 0.1.0 hold its second lock? That was a write lock; others do not count. */
static int check_second(const struct locked_fd *fd)
{
	struct flock lock = {
		.l_type = F_RDLCK, /* conflicts with write locks only */
		.l_whence = SEEK_SET,
		.l_start = (off_t)(SECOND_LOCK_START + fd->data.first),
		.l_len = (off_t)(fd->data.last - fd->data.first + 1),
	};

	if (fcntl(fd->fd, F_OFD_GETLK, &lock))
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : -EBUSY;
}

static int lock_both(const struct locked_fd *fd, const struct host_file *file,
		     const struct store_rivals *rivals, short type)
{
	int err = 0;

	if (rivals->successor)
		err = check_mark(fd, file->readonly, rivals->written);
	if (!err && rivals->successor)
		err = check_second(fd);
	if (!err)
		err = lock_range(fd->fd, type, &fd->data);
	if (!err)
		err = lock_range(fd->fd, F_RDLCK, &fd->mark);
	return err;
}

int store_lock(const struct device_config *config, const struct host_file *file,
	       const struct store_rivals *rivals)
{
	struct locked_fd fd = locked_fd(config, file);

	return lock_both(&fd, file, rivals, file->readonly ? F_RDLCK : F_WRLCK);
}

/* ---- the rule for read locks ---- */

struct judgement {
	const struct device_config *config;
	struct store_rivals *rivals;
	uid_t owner;
	unsigned int seen; /* locks of visible processes */
	char readers[128]; /* a process whose read lock does not count */
};

static void judge(const struct opener *opener, void *ctx)
{
	struct judgement *j = ctx;
	struct store_rivals *rivals = j->rivals;
	bool trusted = opener->uid == 0 || opener->uid == j->owner;

	j->seen += opener->locks;
	if (!opener->locks)
		return;
	if (!opener->writes && (rivals->successor || !trusted)) {
		snprintf(j->readers, sizeof(j->readers), "%s (process %d, user %u)", opener->name,
			 (int)opener->pid, opener->uid);
		return;
	}
	snprintf(rivals->text, sizeof(rivals->text), "%s (process %d%s) has it open for %s",
		 opener->name, (int)opener->pid, opener->self ? ", this one" : "",
		 opener->writes ? "writing" : "reading, with a lock");
}

/* Called with our read locks held. Return: 0: no other lock counts; -EBUSY; other -errno */
static int check_other_locks(const struct locked_fd *fd, struct judgement *j)
{
	struct store_rivals *rivals = j->rivals;
	struct file_locks locks;
	struct file_key key;
	struct stat st;
	int err;

	if (fstat(fd->fd, &st))
		return -errno;
	j->owner = st.st_uid;
	err = openers_key(fd->fd, &key);
	if (!err)
		err = openers_scan(&key, &fd->data, judge, j);
	if (!err)
		err = openers_locks(&key, &fd->data, false, &locks);
	if (err)
		return err == -ENOENT ? -EBUSY : err; /* without /proc the holders are unknown */
	if (rivals->text[0])
		return -EBUSY;
	/* One lock is ours. The rest have no visible process. */
	return locks.read > j->seen + 1 && rivals->written != FILE_UNWRITTEN ? -EBUSY : 0;
}

/* Names the process that prevents even a read lock: it holds a lock on our bytes, or on the mark. */
static void name_writer(const struct locked_fd *fd, struct judgement *j)
{
	struct store_rivals *rivals = j->rivals;
	struct file_key key;

	if (openers_key(fd->fd, &key) || openers_scan(&key, &fd->data, judge, j) || rivals->text[0])
		return;
	j->readers[0] = '\0';
	if (openers_scan(&key, &fd->mark, judge, j) || rivals->text[0])
		return;
	snprintf(rivals->text, sizeof(rivals->text), "I/O of a killed server, or a lock of %s",
		 j->readers[0] ? j->readers : "a process in another PID namespace");
}

int store_lock_shared(const struct device_config *config, const struct host_file *file,
		      struct store_rivals *rivals)
{
	struct judgement j = { .config = config, .rivals = rivals };
	struct locked_fd fd = locked_fd(config, file);
	int err;

	rivals->text[0] = '\0';
	err = lock_both(&fd, file, rivals, F_RDLCK);
	if (!err)
		err = file->readonly ? 0 : check_other_locks(&fd, &j);
	else if (err == -EBUSY)
		name_writer(&fd, &j);
	if (err || file->readonly)
		return err;
	log_warn("%s: %s cannot be locked for this server alone, since %s holds a read lock on it; "
		 "it is served with a read lock, which does not keep every other server out; end "
		 "that process, and keep other users from reading the file (chmod go-rwx)",
		 config->name, config->path,
		 j.readers[0] ? j.readers : "a process in another PID namespace");
	return 0;
}
