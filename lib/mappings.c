// SPDX-License-Identifier: GPL-2.0-or-later
#include "mappings.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT_DEFAULT 65530 /* Linux: DEFAULT_MAX_MAP_COUNT */
#define OWN_SHARE     4
#define SURE_SHARE    4096

const char *mappings_limit_path = "/proc/sys/vm/max_map_count";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int total;

unsigned int mappings_limit(void)
{
	int fd = open(mappings_limit_path, O_RDONLY | O_CLOEXEC);
	char text[24];
	ssize_t len;
	int limit;

	if (fd < 0)
		return LIMIT_DEFAULT;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return LIMIT_DEFAULT;
	text[len] = '\0';
	limit = atoi(text);
	return limit > 0 ? (unsigned int)limit : LIMIT_DEFAULT;
}

static bool may_have_one_more(const struct mappings *mappings, unsigned int limit)
{
	unsigned int room = limit - limit / OWN_SHARE;

	if (mappings->held < limit / SURE_SHARE)
		return true;
	return total < room && mappings->held < room - total;
}

int mappings_reserve(struct mappings *mappings)
{
	unsigned int limit = mappings_limit();
	int err = -ENOSPC;

	pthread_mutex_lock(&lock);
	if (may_have_one_more(mappings, limit)) {
		mappings->held++;
		total++;
		err = 0;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void mappings_release(void)
{
	pthread_mutex_lock(&lock);
	total--;
	pthread_mutex_unlock(&lock);
}

unsigned int mappings_total(void)
{
	unsigned int now;

	pthread_mutex_lock(&lock);
	now = total;
	pthread_mutex_unlock(&lock);
	return now;
}
