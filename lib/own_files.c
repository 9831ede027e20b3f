// SPDX-License-Identifier: GPL-2.0-or-later
#include "own_files.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct own_file *files; /* protected by @lock */

void own_file_add(struct own_file *own, const struct stat *st)
{
	pthread_mutex_lock(&lock);
	own->dev = st->st_dev;
	own->ino = st->st_ino;
	own->listed = true;
	own->next = files;
	files = own;
	pthread_mutex_unlock(&lock);
}

void own_file_remove(struct own_file *own)
{
	struct own_file **link = &files;

	if (!own->listed)
		return;
	pthread_mutex_lock(&lock);
	while (*link != own)
		link = &(*link)->next;
	*link = own->next;
	pthread_mutex_unlock(&lock);
	own->listed = false;
}

bool own_files_have(const struct stat *st)
{
	const struct own_file *own;

	pthread_mutex_lock(&lock);
	for (own = files; own; own = own->next)
		if (own->dev == st->st_dev && own->ino == st->st_ino)
			break;
	pthread_mutex_unlock(&lock);
	return own;
}
