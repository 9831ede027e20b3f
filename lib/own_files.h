/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files that stores of this process have open, or are opening or closing. Any thread.
 *
 * /proc does not show all of them: a task has a private descriptor table, and a descriptor that is
 * being transferred to the process is in no table.
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

/** own_file_add() - call it before open(). @own must not move until own_file_remove() */
void own_file_add(struct own_file *own, const struct stat *st);

/** own_file_remove() - call it after all descriptors are closed; no effect if it is not listed */
void own_file_remove(struct own_file *own);

/** own_files_have() - is this file in the list? */
bool own_files_have(const struct stat *st);

#endif
