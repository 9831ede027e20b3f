// SPDX-License-Identifier: GPL-2.0-or-later
/* A store that fails everything, so that a driver whose store is gone can come to an end. */
#include <errno.h>
#include <stdlib.h>

#include "store_type.h"

static void error_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	(void)backend;
	(void)ring;
	io->done(io, -EIO);
}

static void error_close(struct backend *backend)
{
	free(backend);
}

static const struct backend_ops error_ops = {
	.submit = error_submit,
	.close = error_close,
};

/* What lies behind the end is an error too, and a larger disk was never served. */
static const struct backend_limits limits = {
	.size = INT64_MAX & ~511ull,
	.logical_block = 512,
	.physical_block = 512,
	.discard_granularity = 512,
	.discard_max = UINT32_MAX,
	.zeroes_max = UINT32_MAX,
	.volatile_cache = true,
};

static int error_examine(const struct device_config *config, bool try_lock, struct backend *out)
{
	(void)config;
	(void)try_lock;
	*out = (struct backend){ .ops = &error_ops, .limits = limits };
	return 0;
}

static int error_open(const struct device_config *config, unsigned int wait_ms,
		      struct backend **out)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	(void)wait_ms;
	if (!backend)
		return -ENOMEM;
	*out = backend;
	return error_examine(config, false, backend);
}

const struct store_type store_type_error = {
	.open = error_open,
	.examine = error_examine,
};
