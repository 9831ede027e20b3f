// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In the place of backend_file.c: the same store, opened, locked and described as ever, and never
 * read or written. What is left is the cost of everything else. For scripts/bench; a disk that
 * forgets is of no use to anybody else, so the daemon itself has no such store.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/backend.h"
#include "store/store.h"
#include "store/store_type.h"

struct null_backend {
	struct backend base;
	struct store store;
};

static void null_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	(void)backend;
	(void)ring;
	io->done(io, 0);
}

static void null_close(struct backend *backend)
{
	struct null_backend *null = container_of(backend, struct null_backend, base);

	store_close(&null->store);
	free(null);
}

static const struct backend_ops null_ops = {
	.submit = null_submit,
	.close = null_close,
};

static int null_open(const struct device_config *config, unsigned int wait_ms, struct backend **out)
{
	struct null_backend *null = calloc(1, sizeof(*null));
	int err;

	if (!null)
		return -ENOMEM;
	err = store_open(config, wait_ms, &null->store);
	if (err) {
		free(null);
		return err;
	}
	null->base.ops = &null_ops;
	null->base.limits = null->store.limits;
	*out = &null->base;
	return 0;
}

const struct store_type store_type_file = { .open = null_open };
