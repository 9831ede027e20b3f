// SPDX-License-Identifier: GPL-2.0-or-later
#include "temp_dir.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS_MAX 64
#define PATH_SIZE 320

char temp_dir[256];
static char paths[PATHS_MAX][PATH_SIZE];
static unsigned int path_count;

void temp_dir_make(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(temp_dir, sizeof(temp_dir), "%s/vduse-blk-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(temp_dir));
	ck_assert_int_eq(chmod(temp_dir, 0755), 0); /* a test that gives up root may enter */
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

void temp_dir_remove(void)
{
	nftw(temp_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

char *temp_path(const char *fmt, ...)
{
	char *path = paths[path_count++];
	va_list args;
	int len;

	ck_assert_uint_le(path_count, PATHS_MAX);
	len = snprintf(path, PATH_SIZE, "%s/", temp_dir);
	va_start(args, fmt);
	vsnprintf(path + len, PATH_SIZE - (size_t)len, fmt, args);
	va_end(args);
	return path;
}

void temp_image(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}
