// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"

/* The search for a warning ends after so many descriptors of other processes. */
#define SCAN_MAX 20000

struct conflict {
	const struct device_config *config;
	const struct host_file *file;
	struct stat st;		 /* of the store */
	char base[NAME_MAX + 1]; /* the last part of its path */
	int err;
	bool found; /* a user that writes was found */
};

static bool read_text(const char *path, char *text, size_t size)
{
	FILE *stream = fopen(path, "re");
	bool got = stream && fgets(text, (int)size, stream);

	if (stream)
		fclose(stream);
	if (got)
		text[strcspn(text, "\n")] = '\0';
	return got;
}

/*
 * Does a path from a table of the kernel lead to the store? Does not call stat() for a file of
 * another name: it may be on a network file system whose server does not respond.
 */
static bool is_store(const struct conflict *c, const char *path)
{
	const char *base = strrchr(path, '/');
	struct stat st;

	if (!base || (strcmp(base + 1, c->base) && strncmp(path, "/dev/", 5)) || stat(path, &st))
		return false;
	if (c->file->block_device)
		return S_ISBLK(st.st_mode) && st.st_rdev == c->st.st_rdev;
	return st.st_dev == c->st.st_dev && st.st_ino == c->st.st_ino;
}

static void loop_found(struct conflict *c, const char *loop, bool readonly)
{
	const struct device_config *config = c->config;

	if (readonly && config->readonly)
		return;
	c->found |= !readonly;
	if (!readonly && !config->readonly) {
		log_err("%s: %s is the file of /dev/%s, which can write to it: losetup --detach "
			"/dev/%s first",
			config->name, config->path, loop, loop);
		c->err = -EBUSY;
	} else {
		log_warn("%s: %s is also the file of /dev/%s, which %s", config->name, config->path,
			 loop,
			 readonly ? "is read-only, and whose data changes when the disk is written"
				  : "can write to it: the data of the disk changes then");
	}
}

/* The path in the table may lead to another file now, for example after a mount over it. */
static bool loop_has_file(const struct conflict *c, const char *loop)
{
	struct loop_info64 info;
	char path[16 + NAME_MAX];
	bool same;
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", loop);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	same = !ioctl(fd, LOOP_GET_STATUS64, &info) && info.lo_device == c->st.st_dev &&
	       info.lo_inode == c->st.st_ino;
	close(fd);
	return same;
}

static void find_loops(struct conflict *c)
{
	char path[64 + NAME_MAX], text[PATH_MAX];
	DIR *blocks = opendir("/sys/block");
	struct dirent *entry;

	while (blocks && !c->err && (entry = readdir(blocks))) {
		if (strncmp(entry->d_name, "loop", 4))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
		if (!read_text(path, text, sizeof(text)) || !is_store(c, text))
			continue;
		if (!c->file->block_device && !loop_has_file(c, entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/ro", entry->d_name);
		loop_found(c, entry->d_name,
			   read_text(path, text, sizeof(text)) && !strcmp(text, "1"));
	}
	if (blocks)
		closedir(blocks);
}

/* The table writes blanks and backslashes as \ooo. */
static void unescape(char *text)
{
	unsigned int code;
	char *to = text;

	while (*text) {
		if (*text == '\\' && strlen(text) >= 4 && sscanf(text, "\\%3o", &code) == 1) {
			*to++ = (char)code;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

static void find_swap(struct conflict *c)
{
	FILE *stream = fopen("/proc/swaps", "re");
	char *line = NULL;
	size_t size = 0;

	while (stream && !c->err && getline(&line, &size, stream) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		unescape(line);
		if (line[0] != '/' || !is_store(c, line))
			continue;
		log_err("%s: %s is swap space of this host: swapoff first", c->config->name,
			c->config->path);
		c->err = -EBUSY;
	}
	free(line);
	if (stream)
		fclose(stream);
}

/* store_lock.c has judged the processes that hold locks. */
static void program_found(const struct opener *opener, void *ctx)
{
	struct conflict *c = ctx;

	if (!opener->writes)
		return;
	c->found = true;
	/* This process: another task opens the store for another disk. */
	if (opener->locked || opener->self)
		return;
	log_warn("%s: %s (process %d) has %s open for writing too, without a lock: what it writes "
		 "damages the disk",
		 c->config->name, opener->name, (int)opener->pid, c->config->path);
}

static void find_programs(struct conflict *c, enum file_written written)
{
	struct file_range all = { 0, INT64_MAX };
	struct file_key key;

	if (openers_key(c->file->fd, &key))
		return;
	key.scan_max = SCAN_MAX;
	key.more = c->file->sync_fds;
	key.more_count = c->file->sync_count;
	if (openers_scan(&key, &all, program_found, c) == 0 && !c->found && written == FILE_WRITTEN)
		log_warn("%s: %s is open for writing elsewhere too, but not in a visible process: "
			 "perhaps in the kernel, as an iSCSI or NVMe target, or in a process of "
			 "another PID namespace; what it writes damages the disk",
			 c->config->name, c->config->path);
}

int store_users_check(const struct device_config *config, const struct host_file *file,
		      enum file_written written)
{
	struct conflict c = { .config = config, .file = file };
	char path[PATH_MAX];

	if (fstat(file->fd, &c.st) || !realpath(config->path, path))
		return 0;
	snprintf(c.base, sizeof(c.base), "%s", basename(path));
	find_loops(&c);
	if (!c.err && !file->block_device)
		find_swap(&c);
	if (!c.err && !file->block_device && written != FILE_UNWRITTEN)
		find_programs(&c, written);
	return c.err;
}
