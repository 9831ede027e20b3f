// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stores that keep no bytes. null: every operation succeeds at once, without an effect, which shows the
 * cost of everything but the store. error: every operation fails at once, which ends the requests of a
 * device whose store is gone.
 */
#include <errno.h>
#include <stdlib.h>

#include "store_type.h"

static void null_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	(void)backend;
	(void)ring;
	io->done(io, 0);
}

static void error_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	(void)backend;
	(void)ring;
	io->done(io, -EIO);
}

static void empty_close(struct backend *backend)
{
	free(backend);
}

static const struct backend_ops null_ops = { .submit = null_submit, .close = empty_close };
static const struct backend_ops error_ops = { .submit = error_submit, .close = empty_close };

/* A rescue has no size: it uses the largest one. */
static void set_limits(const struct device_config *config, struct backend_limits *limits)
{
	uint32_t block = config->logical_block_size ? config->logical_block_size : 512;

	*limits = (struct backend_limits){
		.size = config->size ? config->size : INT64_MAX & ~511ull,
		.logical_block = block,
		.physical_block = block,
		.discard_granularity = block,
		.discard_max = UINT32_MAX,
		.zeroes_max = UINT32_MAX,
		.volatile_cache = config->cache != CACHE_WRITETHROUGH,
	};
}

static int empty_examine(const struct device_config *config, bool try_lock, struct backend *out)
{
	(void)try_lock;
	set_limits(config, &out->limits);
	return 0;
}

static int empty_open(const struct device_config *config, const struct backend_ops *ops,
		      struct backend **out)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return -ENOMEM;
	backend->ops = ops;
	set_limits(config, &backend->limits);
	*out = backend;
	return 0;
}

static int null_open(const struct device_config *config, unsigned int wait_ms, struct backend **out)
{
	(void)wait_ms;
	return empty_open(config, &null_ops, out);
}

static int error_open(const struct device_config *config, unsigned int wait_ms,
		      struct backend **out)
{
	(void)wait_ms;
	return empty_open(config, &error_ops, out);
}

const struct store_type store_type_null = { .open = null_open, .examine = empty_examine };
const struct store_type store_type_error = { .open = error_open, .examine = empty_examine };
