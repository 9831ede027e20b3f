/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory for one test binary. Use as an unchecked fixture, or around the runner: what a test
 * that failed leaves in it goes as well.
 */
#ifndef TESTS_TEMP_DIR_H
#define TESTS_TEMP_DIR_H

#include <sys/types.h>

#include "compiler.h"

extern char temp_dir[256];

/** temp_dir_make() - below TMPDIR, else in /var/tmp, where O_DIRECT and holes can be had */
void temp_dir_make(void);

/** temp_dir_remove() - with all that is in it, but not what is mounted there */
void temp_dir_remove(void);

/** temp_path() - of a name in it, printed. Return: memory that stays until the process ends */
char *temp_path(const char *fmt, ...) __printf(1, 2);

/** temp_image() - a file of @size zeroes at @path; what was there is lost */
void temp_image(const char *path, off_t size);

#endif
