// SPDX-License-Identifier: GPL-2.0-or-later
#include "node_users.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

#include "log.h"

#define NAMED_MAX 4
#define DEVS_MAX  257 /* a disk and the kernel's DISK_MAX_PARTS */

#define BLOCK_PATH_MAX 64 /* "/sys/dev/block/MAJOR:MINOR/holders" */

struct seen {
	char **items;
	size_t num;
};

struct search {
	mode_t type; /* S_IFBLK or S_IFCHR: a disk and a terminal may have equal numbers */
	dev_t devs[DEVS_MAX];
	size_t num_devs;

	struct seen namespaces;
	struct seen mount_points;

	int users;
	char *text;
	size_t size;
	size_t len;
};

static bool seen_has(const struct seen *seen, const char *item)
{
	for (size_t n = 0; n < seen->num; n++)
		if (!strcmp(seen->items[n], item))
			return true;
	return false;
}

/* Is @item new? Without memory the result is yes: better counted twice than not at all. */
static bool seen_first(struct seen *seen, const char *item)
{
	char **items;

	if (seen_has(seen, item))
		return false;
	items = reallocarray(seen->items, seen->num + 1, sizeof(*items));
	if (!items)
		return true;
	seen->items = items;
	items[seen->num] = strdup(item);
	if (items[seen->num])
		seen->num++;
	return true;
}

static void seen_exit(struct seen *seen)
{
	while (seen->num)
		free(seen->items[--seen->num]);
	free(seen->items);
}

/* Other users choose names of mount points and processes: control characters become '?'. */
static void text_vappend(struct search *search, const char *fmt, va_list args)
{
	size_t room = search->size - search->len;
	char *c = search->text + search->len;
	int len;

	if (!search->size)
		return;
	len = vsnprintf(c, room, fmt, args);
	if (len > 0)
		search->len += MIN((size_t)len, room - 1);
	for (; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

static void __printf(2, 3) text_append(struct search *search, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	text_vappend(search, fmt, args);
	va_end(args);
}

static void __printf(2, 3) search_user(struct search *search, const char *fmt, ...)
{
	va_list args;

	if (++search->users > NAMED_MAX)
		return;
	if (search->users > 1)
		text_append(search, "; ");
	va_start(args, fmt);
	text_vappend(search, fmt, args);
	va_end(args);
}

static bool search_matches(const struct search *search, mode_t mode, dev_t dev)
{
	size_t n;

	if ((mode & S_IFMT) != search->type)
		return false;
	for (n = 0; n < search->num_devs; n++)
		if (search->devs[n] == dev)
			return true;
	return false;
}

/* Is @path, from a table in /proc, a node of the device? */
static bool search_matches_node(const struct search *search, const char *path)
{
	struct stat st;

	/* Outside /dev, stat() may wait for the server of a network file system. */
	if (strncmp(path, "/dev/", strlen("/dev/")) || stat(path, &st) < 0)
		return false;
	return search_matches(search, st.st_mode, st.st_rdev);
}

static int for_each_entry(struct search *search, const char *path,
			  void (*fn)(struct search *search, const char *name))
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			fn(search, entry->d_name);
	closedir(dir);
	return 0;
}

static void for_each_line(struct search *search, FILE *file,
			  void (*fn)(struct search *search, char *line))
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, file) > 0)
		fn(search, line);
	free(line);
}

static int read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool got;

	if (!file)
		return -errno;
	got = fgets(line, (int)size, file);
	fclose(file);
	if (!got)
		return -EIO;
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

/* The tables in /proc write blanks and backslashes as \ooo. */
static void unescape(char *text)
{
	unsigned int code;
	char *to = text;

	while (*text) {
		if (*text == '\\' && sscanf(text, "\\%3o", &code) == 1 && strlen(text) >= 4) {
			*to++ = (char)code;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

static void block_path(char path[BLOCK_PATH_MAX], dev_t dev, const char *sub)
{
	snprintf(path, BLOCK_PATH_MAX, "/sys/dev/block/%u:%u%s", major(dev), minor(dev), sub);
}

static void partition_add(struct search *search, const char *name)
{
	char disk[BLOCK_PATH_MAX], path[PATH_MAX], line[32];
	unsigned int maj, min;

	block_path(disk, search->devs[0], "");
	snprintf(path, sizeof(path), "%s/%s/partition", disk, name);
	if (access(path, F_OK) < 0 || search->num_devs == DEVS_MAX)
		return;
	snprintf(path, sizeof(path), "%s/%s/dev", disk, name);
	if (read_line(path, line, sizeof(line)) == 0 && sscanf(line, "%u:%u", &maj, &min) == 2)
		search->devs[search->num_devs++] = makedev(maj, min);
}

static void holder_found(struct search *search, const char *name)
{
	search_user(search, "held by %s", name);
}

static void swap_line(struct search *search, char *line)
{
	line[strcspn(line, " \t")] = '\0';
	unescape(line);
	if (search_matches_node(search, line))
		search_user(search, "swap on %s", line);
}

/* ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [OPTIONAL]... - TYPE SOURCE OPTIONS */
static void mount_line(struct search *search, char *line)
{
	char *point = NULL, *source = NULL;
	const char *second = strstr(line, " - ");
	unsigned int maj, min;

	if (sscanf(line, "%*d %*d %u:%u %*s %ms", &maj, &min, &point) != 3)
		goto out;
	if (!second || sscanf(second, " - %*s %ms", &source) != 1)
		goto out;

	unescape(point);
	unescape(source);
	/* btrfs shows another device number here, but the right device node. */
	if (!search_matches(search, S_IFBLK, makedev(maj, min)) &&
	    !search_matches_node(search, source))
		goto out;
	/* A mount that is propagated to other namespaces counts once. */
	if (seen_first(&search->mount_points, point))
		search_user(search, "mounted on %s", point);

out:
	free(point);
	free(source);
}

static void find_mounts(struct search *search, const char *pid)
{
	char path[PATH_MAX], ns[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	if (readlink(path, ns, sizeof(ns) - 1) < 0 || seen_has(&search->namespaces, ns))
		return;
	snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	/* Once for each namespace, with the first process whose mountinfo can be read. */
	seen_first(&search->namespaces, ns);
	for_each_line(search, file, mount_line);
	fclose(file);
}

static void find_swap(struct search *search)
{
	FILE *file = fopen("/proc/swaps", "re");

	if (!file)
		return;
	for_each_line(search, file, swap_line);
	fclose(file);
}

/* The open file is the node, or a file on the device: a lazy umount hides only the mount. */
static bool is_on_device(const struct search *search, const struct statx *stx)
{
	dev_t node = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
	dev_t fs = makedev(stx->stx_dev_major, stx->stx_dev_minor);

	return search_matches(search, stx->stx_mode, node) || search_matches(search, S_IFBLK, fs);
}

/*
 * statx() of the link examines the open inode, even if its path has changed. AT_STATX_DONT_SYNC
 * does not ask the server of a network file system.
 */
static bool process_has_open(const struct search *search, DIR *fds)
{
	struct dirent *entry;
	struct statx stx;

	while ((entry = readdir(fds))) {
		if (entry->d_name[0] == '.')
			continue;
		if (statx(dirfd(fds), entry->d_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
			  STATX_TYPE, &stx) == 0 &&
		    is_on_device(search, &stx))
			return true;
	}
	return false;
}

static void find_opener(struct search *search, const char *pid)
{
	char path[PATH_MAX], comm[64];
	DIR *fds;

	if (!isdigit((unsigned char)pid[0]) || atol(pid) == getpid())
		return;
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return;
	if (process_has_open(search, fds)) {
		snprintf(path, sizeof(path), "/proc/%s/comm", pid);
		if (read_line(path, comm, sizeof(comm)) < 0)
			strcpy(comm, "?");
		search_user(search, "opened by %s (pid %s)", comm, pid);
	}
	closedir(fds);
}

static void find_block_users(struct search *search)
{
	char path[BLOCK_PATH_MAX];
	size_t n;

	block_path(path, search->devs[0], "");
	for_each_entry(search, path, partition_add);
	for_each_entry(search, "/proc", find_mounts);
	find_swap(search);
	for (n = 0; n < search->num_devs; n++) {
		block_path(path, search->devs[n], "/holders");
		for_each_entry(search, path, holder_found);
	}
}

static int search_init(struct search *search, const char *node, char *text, size_t size)
{
	struct stat st;
	int err = 0;

	if (stat(node, &st) < 0)
		err = -errno;
	else if (!S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode))
		err = -ENODEV;
	if (err) {
		log_err("cannot look for the users of %s: %s", node, strerror(-err));
		return err;
	}
	*search = (struct search){
		.type = st.st_mode & S_IFMT,
		.devs = { st.st_rdev },
		.num_devs = 1,
		.text = text,
		.size = size,
	};
	if (size)
		text[0] = '\0';
	return 0;
}

int node_users_find(const char *node, char *text, size_t size)
{
	struct search search;
	int err;

	err = search_init(&search, node, text, size);
	if (err)
		return err;

	if (search.type == S_IFBLK)
		find_block_users(&search);
	err = for_each_entry(&search, "/proc", find_opener);
	if (err)
		log_err("cannot look for the users of %s in /proc: %s", node, strerror(-err));
	if (search.users > NAMED_MAX)
		text_append(&search, "; and %d more", search.users - NAMED_MAX);

	seen_exit(&search.namespaces);
	seen_exit(&search.mount_points);
	return err ? err : search.users;
}
