/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files that stores of this process have open, or are opening or closing just now. Any thread.
 *
 * A task has a private descriptor table, and descriptors on their way to the process are in no table. So
 * /proc does not show which files this process has open for writing; this list does.
 */
#ifndef LIB_OWN_FILES_H
#define LIB_OWN_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

struct own_file {
	struct own_file *next;
	dev_t dev;
	ino_t ino;
	bool listed;
};

/** own_file_add() - before the file is opened. @own stays where it is until own_file_remove() */
void own_file_add(struct own_file *own, const struct stat *st);

/** own_file_remove() - after all descriptors are closed; no effect where it is not listed */
void own_file_remove(struct own_file *own);

/** own_files_have() - is a store of this process made of this file? */
bool own_files_have(const struct stat *st);

#endif
