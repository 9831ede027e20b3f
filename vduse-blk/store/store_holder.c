// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_holder.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"
#include "store_threads.h"

struct store_holder {
	struct thread_starter starter;
	int fds[STORE_HOLDER_MAX];
	unsigned int count;
};

static struct store_holder *holder_of(struct thread_starter *starter)
{
	return container_of(starter, struct store_holder, starter);
}

static void close_all(const struct store_holder *holder)
{
	for (unsigned int i = 0; i < holder->count; i++)
		close(holder->fds[i]);
}

static int enter(struct thread_starter *starter)
{
	struct store_holder *holder = holder_of(starter);

	return descriptors_isolate(holder->fds, holder->count);
}

static void leave(struct thread_starter *starter)
{
	close_all(holder_of(starter));
}

int store_holder_new(int *const *fds, unsigned int count, struct store_holder **out)
{
	struct store_holder *holder;
	int err;

	assert(count <= STORE_HOLDER_MAX);
	if (!descriptors_isolated() || !store_threads_apart())
		return -ENOTSUP;
	holder = calloc(1, sizeof(*holder));
	if (!holder)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		if (*fds[i] >= 0)
			holder->fds[holder->count++] = *fds[i];
	holder->starter.name = "store-holder";
	holder->starter.enter = enter;
	holder->starter.leave = leave;
	err = thread_starter_start(&holder->starter);
	if (err) {
		free(holder);
		return err;
	}
	close_all(holder); /* in the table of the caller */
	*out = holder;
	return 0;
}

void store_holder_free(struct store_holder *holder)
{
	thread_starter_stop(&holder->starter);
	free(holder);
}

struct thread_starter *store_holder_starter(struct store_holder *holder)
{
	return &holder->starter;
}
