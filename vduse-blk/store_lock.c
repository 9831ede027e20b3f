// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

/*
 * Locks far behind any data: a byte for each device's name, its mark. It does not touch the data, or
 * the kernel would join them.
 */
#define MARK_START ((1ull << 62) - (1ull << 33))
#define MARK_COUNT (1ull << 32)

/* Here versions up to 0.1.0 had the write lock of a second descriptor with I/O, from @offset on. */
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
		.l_len = range->last == INT64_MAX ? 0 : (off_t)(range->last - range->first + 1),
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

static struct locked_fd locked_fd(const struct device_config *config, const struct store *store)
{
	uint64_t first = store->offset, mark = mark_of(config->name);
	uint64_t last = config->size ? first + config->size - 1 : MARK_START - 1;

	return (struct locked_fd){ store->fd, { first, last }, { mark, mark } };
}

static bool is_locked(int fd, uint64_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, /* a descriptor that only reads can ask even so */
		.l_whence = SEEK_SET,
		.l_start = (off_t)byte,
		.l_len = 1,
	};

	return fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* A lock of more than the mark is there. Is there one of the mark alone, through another file? */
static int look_for_mark(const struct locked_fd *fd)
{
	struct file_locks locks = { 0 };
	struct file_key key;
	int err;

	err = lock_range(fd->fd, F_RDLCK, &fd->mark); /* which makes the file's key known */
	if (!err)
		err = openers_key(fd->fd, &key);
	if (!err)
		err = openers_locks(&key, &fd->mark, true, &locks);
	if (err || locks.read > 1)
		lock_range(fd->fd, F_UNLCK, &fd->mark);
	return err || locks.read > 1 ? -EBUSY : 0;
}

/*
 * Is the mark of this device's name locked through another open file, by a dead server's I/O? Read
 * locks of more than that byte say nothing: any reader of the file can hold them.
 */
static int check_mark(const struct locked_fd *fd, bool readonly, enum file_written written)
{
	uint64_t mark = fd->mark.first;

	if (!is_locked(fd->fd, mark))
		return 0;
	if (!is_locked(fd->fd, mark - 1) || !is_locked(fd->fd, mark + 1))
		return -EBUSY;
	if (!readonly && written == FILE_UNWRITTEN)
		return 0; /* nor has I/O in flight it open */
	return look_for_mark(fd);
}

/* Read locks there are strangers'. */
static int check_second(const struct locked_fd *fd)
{
	struct flock lock = {
		.l_type = F_RDLCK, /* is in the way of write locks only */
		.l_whence = SEEK_SET,
		.l_start = (off_t)(SECOND_LOCK_START + fd->data.first),
		.l_len = (off_t)(fd->data.last - fd->data.first + 1),
	};

	if (fcntl(fd->fd, F_OFD_GETLK, &lock))
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : -EBUSY;
}

static int lock_both(const struct locked_fd *fd, const struct store *store,
		     const struct store_rivals *rivals, short type)
{
	int err = 0;

	if (rivals->successor)
		err = check_mark(fd, store->readonly, rivals->written);
	if (!err && rivals->successor)
		err = check_second(fd);
	if (!err)
		err = lock_range(fd->fd, type, &fd->data);
	if (!err)
		err = lock_range(fd->fd, F_RDLCK, &fd->mark);
	return err;
}

int store_lock(const struct device_config *config, const struct store *store,
	       const struct store_rivals *rivals)
{
	struct locked_fd fd = locked_fd(config, store);

	return lock_both(&fd, store, rivals, store->readonly ? F_RDLCK : F_WRLCK);
}

/* ---- who is in the way ---- */

struct judgement {
	const struct device_config *config;
	struct store_rivals *rivals;
	uid_t owner;
	unsigned int seen; /* locks of processes that were found */
	char readers[128]; /* who does not count */
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

/* With read locks on everything. Return: 0: nobody who counts has a lock; -EBUSY; other -errno */
static int look_around(const struct locked_fd *fd, struct judgement *j)
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
		return err == -ENOENT ? -EBUSY : err; /* nobody can tell */
	if (rivals->text[0])
		return -EBUSY;
	/* One is ours. What is left belongs to nobody who can be seen. */
	return locks.read > j->seen + 1 && rivals->written != FILE_UNWRITTEN ? -EBUSY : 0;
}

/* Nothing is to be lost by a lock: the others see it as well, and two that see each other both go. */
static void name_writer(const struct locked_fd *fd, struct judgement *j)
{
	struct file_key key;

	if (!openers_key(fd->fd, &key) && !openers_scan(&key, &fd->data, judge, j) &&
	    !j->rivals->text[0])
		snprintf(j->rivals->text, sizeof(j->rivals->text),
			 "I/O of a dead server, or a process that cannot be seen from here");
}

int store_lock_beside(const struct device_config *config, const struct store *store,
		      struct store_rivals *rivals)
{
	struct judgement j = { .config = config, .rivals = rivals };
	struct locked_fd fd = locked_fd(config, store);
	int err;

	rivals->text[0] = '\0';
	err = lock_both(&fd, store, rivals, F_RDLCK);
	if (!err)
		err = store->readonly ? 0 : look_around(&fd, &j);
	else if (err == -EBUSY)
		name_writer(&fd, &j);
	if (err || store->readonly)
		return err;
	log_warn("%s: %s cannot be locked for this server alone, since %s holds a read lock on it; "
		 "it is served with a read lock, which does not keep every other server out; end "
		 "that process, and keep other users from reading the file (chmod go-rwx)",
		 config->name, config->path,
		 j.readers[0] ? j.readers : "a process that cannot be seen from here");
	return 0;
}
