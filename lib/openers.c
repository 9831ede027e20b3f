// SPDX-License-Identifier: GPL-2.0-or-later
#include "openers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "descriptors.h"
#include "log.h"
#include "own_files.h"

#define PROC_PATH_MAX 128
#define LOCK_LOOKS    8

struct lock_line {
	bool write;
	struct file_range range;
};

/*
 * Reads "1: OFDLCK ADVISORY  READ -1 fd:00:2531452 0 EOF". "->" in the second place is a waiting
 * lock.
 *
 * Return: is it a record lock that is held, on the file @name? @name NULL: on any file, out: @found
 */
static bool lock_read(const char *text, const char *name, char found[48], struct lock_line *out)
{
	char kind[16], type[16], last[32];

	if (sscanf(text, "%*d: %15s %*s %15s %*d %47s %" SCNu64 " %31s", kind, type, found,
		   &out->range.first, last) != 5)
		return false;
	if (strcmp(kind, "POSIX") && strcmp(kind, "OFDLCK"))
		return false;
	if (name && strcmp(found, name))
		return false;
	out->write = !strcmp(type, "WRITE");
	out->range.last = strcmp(last, "EOF") ? strtoull(last, NULL, 10) : INT64_MAX;
	return true;
}

static bool overlaps(const struct file_range *a, const struct file_range *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static int count_locks(const struct file_key *key, const struct file_range *range, bool exact,
		       struct file_locks *out)
{
	FILE *file = fopen("/proc/locks", "re");
	char text[256], found[48], page[4096];
	struct lock_line line;

	if (!file)
		return -errno;
	setvbuf(file, page, _IOFBF, sizeof(page)); /* read() returns a page of the table at most */
	*out = (struct file_locks){ 0 };
	while (fgets(text, sizeof(text), file)) {
		if (!lock_read(text, key->lock, found, &line) || !overlaps(&line.range, range))
			continue;
		if (exact && (line.range.first != range->first || line.range.last != range->last))
			continue;
		if (line.write)
			out->write++;
		else
			out->read++;
	}
	fclose(file);
	return 0;
}

/*
 * The kernel returns a page of the table at a time, and continues by line number. It leaves a line
 * out where an earlier line has gone in the meantime.
 */
int openers_locks(const struct file_key *key, const struct file_range *range, bool exact,
		  struct file_locks *out)
{
	struct file_locks most = { 0 }, now;
	int err = 0;

	for (int look = 0; look < LOCK_LOOKS && !err; look++) {
		err = count_locks(key, range, exact, &now);
		most.read = MAX(most.read, err ? 0 : now.read);
		most.write = MAX(most.write, err ? 0 : now.write);
	}
	if (!err)
		*out = most;
	return err;
}

/* The contents of fdinfo of one descriptor. */
struct fdinfo {
	unsigned int flags;
	uint64_t ino;
	char lock[48]; /* the file's name in its first lock; empty: it has none */
	unsigned int locks;
};

/* @key: stop if it is another file; NULL: any file. Return: was everything read? */
static bool fdinfo_read(const char *path, const struct file_key *key,
			const struct file_range *range, struct fdinfo *out)
{
	FILE *file = fopen(path, "re");
	char text[256], found[48];
	struct lock_line line;
	bool other = false;
	int got = 0;

	*out = (struct fdinfo){ 0 };
	if (!file)
		return false;
	while (!other && fgets(text, sizeof(text), file)) {
		got += sscanf(text, "flags: %o", &out->flags) == 1;
		if (sscanf(text, "ino: %" SCNu64, &out->ino) == 1) {
			got++;
			other = key && key->ino != out->ino;
		}
		if (strncmp(text, "lock:", 5) || !lock_read(text + 5, NULL, found, &line))
			continue;
		strcpy(out->lock, found);
		out->locks += range && overlaps(&line.range, range);
	}
	fclose(file);
	return got == 2 && !other;
}

int openers_key(int fd, struct file_key *key)
{
	char path[PROC_PATH_MAX];
	struct fdinfo info;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	if (fstat(fd, &st))
		return -errno;
	if (!fdinfo_read(path, NULL, NULL, &info))
		return -ENOENT;
	*key = (struct file_key){ .dev = st.st_dev, .ino = info.ino, .fd = fd };
	strcpy(key->lock, info.lock);
	return 0;
}

/* statx() with AT_STATX_DONT_SYNC: stat(2) would ask the server of a network file system. */
static bool same_file(const char *path, const struct file_key *key)
{
	struct statx stx;

	return !statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &stx) &&
	       makedev(stx.stx_dev_major, stx.stx_dev_minor) == key->dev;
}

/* A descriptor, in the table of a thread. */
struct seen {
	pid_t tid;
	int fd;
};

struct scan {
	const struct file_key *key;
	const struct file_range *range;
	pid_t self;
	char own_table[64]; /* /proc directory of the calling thread where its table is private */
	unsigned int looked_at;
	struct seen *seen; /* different open files of the process with locks on @range */
	unsigned int seen_count, seen_size;
	void (*found)(const struct opener *opener, void *ctx);
	void *ctx;
};

/* Must this descriptor be ignored? */
static bool is_own(const struct scan *scan, const struct opener *opener, const char *dir,
		   const char *name)
{
	const struct file_key *key = scan->key;
	int fd = atoi(name);
	bool own = fd == key->fd;

	if (!opener->self || (scan->own_table[0] && strcmp(scan->own_table, dir)))
		return false;
	for (unsigned int i = 0; i < key->more_count && !own; i++)
		own = fd == key->more[i];
	return own;
}

static bool scan_goes_on(struct scan *scan)
{
	return !scan->key->scan_max || scan->looked_at++ < scan->key->scan_max;
}

/* Without kcmp(), as in some sandboxes, equal numbers are taken for one open file. */
static bool same_open_file(const struct seen *a, const struct seen *b)
{
	long result = syscall(SYS_kcmp, a->tid, b->tid, KCMP_FILE, a->fd, b->fd);

	return result < 0 ? a->fd == b->fd : result == 0;
}

/* Threads of a process may share tables, and have copies of descriptors. Each open file counts once. */
static bool was_seen(struct scan *scan, pid_t tid, int fd)
{
	const struct seen now = { tid, fd };
	struct seen *more;

	for (unsigned int i = 0; i < scan->seen_count; i++)
		if (same_open_file(&scan->seen[i], &now))
			return true;
	if (scan->seen_count == scan->seen_size) {
		more = realloc(scan->seen, (scan->seen_size + 16) * sizeof(*more));
		if (!more)
			return false;
		scan->seen = more;
		scan->seen_size += 16;
	}
	scan->seen[scan->seen_count++] = now;
	return false;
}

/* Scans the descriptor table of thread @tid in @dir. Return: does it contain the file? */
static bool scan_table(struct scan *scan, const char *dir, pid_t tid, struct opener *opener)
{
	char path[2 * PROC_PATH_MAX];
	struct dirent *entry;
	struct fdinfo info;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "%s/fdinfo", dir);
	fds = opendir(path);
	while (fds && (entry = readdir(fds)) && scan_goes_on(scan)) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    is_own(scan, opener, dir, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/fdinfo/%.10s", dir, entry->d_name);
		if (!fdinfo_read(path, scan->key, scan->range, &info))
			continue;
		snprintf(path, sizeof(path), "%s/fd/%.10s", dir, entry->d_name);
		if (!(info.lock[0] && !strcmp(info.lock, scan->key->lock)) &&
		    !same_file(path, scan->key))
			continue;
		found = true;
		opener->writes |= !(info.flags & O_PATH) && (info.flags & O_ACCMODE) != O_RDONLY;
		if (info.locks && !was_seen(scan, tid, atoi(entry->d_name)))
			opener->locks += info.locks;
		opener->locked |= info.lock[0] != '\0';
	}
	if (fds)
		closedir(fds);
	return found;
}

/* A descriptor table of many threads is read once. Without kcmp() it is read for each. */
static bool shares_table(pid_t pid, pid_t tid)
{
	return tid == pid || syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) == 0;
}

/* Threads of this program may have private descriptor tables, each with another part of the file. */
static bool scan_threads(struct scan *scan, const char *dir, struct opener *opener)
{
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *threads;

	snprintf(path, sizeof(path), "%s/task", dir);
	threads = opendir(path);
	while (threads && (entry = readdir(threads))) {
		pid_t tid = atoi(entry->d_name);

		if (!tid || shares_table(opener->pid, tid))
			continue;
		snprintf(path, sizeof(path), "%s/task/%.10s", dir, entry->d_name);
		found |= scan_table(scan, path, tid, opener);
	}
	if (threads)
		closedir(threads);
	return found;
}

/* Other users choose the name of the process: control characters must not reach the log. */
static void describe_process(const char *dir, struct opener *opener)
{
	char path[PROC_PATH_MAX], text[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/status", dir);
	file = fopen(path, "re");
	while (file && fgets(text, sizeof(text), file)) {
		sscanf(text, "Name: %31[^\n]", opener->name);
		if (sscanf(text, "Uid: %*u %u", &opener->uid) == 1)
			break;
	}
	if (file)
		fclose(file);
	for (char *c = opener->name; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

static void scan_process(struct scan *scan, const char *name)
{
	struct opener opener = { .pid = atoi(name), .uid = (uid_t)-1 };
	char dir[32];
	bool found;

	snprintf(dir, sizeof(dir), "/proc/%.10s", name);
	opener.self = opener.pid == scan->self;
	scan->seen_count = 0;
	found = scan_table(scan, dir, opener.pid, &opener);
	describe_process(dir, &opener);
	if (opener.self || !strcmp(opener.name, "vduse-blk"))
		found |= scan_threads(scan, dir, &opener);
	if (found)
		scan->found(&opener, scan->ctx);
}

int openers_scan(const struct file_key *key, const struct file_range *range,
		 void (*found)(const struct opener *opener, void *ctx), void *ctx)
{
	struct scan scan = { .key = key, .range = range, .found = found, .ctx = ctx };
	char self[48] = "";
	struct dirent *entry;
	DIR *proc;

	if (readlink("/proc/thread-self", self, sizeof(self) - 1) < 0) /* PID/task/TID */
		return -errno;
	scan.self = atoi(self);
	if (descriptors_isolated())
		snprintf(scan.own_table, sizeof(scan.own_table), "/proc/%s", self);
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			scan_process(&scan, entry->d_name);
	closedir(proc);
	free(scan.seen);
	return key->scan_max && scan.looked_at > key->scan_max ? -E2BIG : 0;
}

/*
 * The kernel refuses a read lease while the file is open for writing anywhere, and only a user with
 * write permission can cause that. When a process opens the file while the lease exists, the kernel
 * sends us a signal. The default would be SIGIO, which ends the process; SIGURG is ignored.
 */
enum file_written openers_written(const char *path)
{
	int path_fd = open(path, O_PATH | O_CLOEXEC), fd = -1;
	enum file_written written = FILE_MAYBE_WRITTEN;
	char link[64];
	struct stat st;
	bool own;

	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", path_fd);
	if (path_fd >= 0 && !fstat(path_fd, &st) && S_ISREG(st.st_mode))
		fd = open(link, O_RDONLY | O_CLOEXEC);
	if (path_fd >= 0)
		close(path_fd);
	if (fd < 0)
		return written;
	own = own_files_have(&st);
	if (!fcntl(fd, F_SETSIG, SIGURG) && !fcntl(fd, F_SETLEASE, F_RDLCK)) {
		written = FILE_UNWRITTEN;
		fcntl(fd, F_SETLEASE, F_UNLCK);
	} else if (errno == EAGAIN) {
		written = own || own_files_have(&st) ? FILE_MAYBE_WRITTEN : FILE_WRITTEN;
	}
	close(fd);
	return written;
}
