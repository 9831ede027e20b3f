// SPDX-License-Identifier: GPL-2.0-or-later
/* A store that fails everything, so that a driver whose store is gone can come to an end. */
#include <errno.h>
#include <stdlib.h>

#include "backend.h"

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

int backend_error_open(struct backend **out)
{
	struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return -ENOMEM;
	backend->ops = &error_ops;
	backend->limits = (struct backend_limits){
		/* What lies behind the end is an error too, and a larger disk was never served. */
		.size = INT64_MAX & ~511ull, .logical_block = 512,	.physical_block = 512,
		.discard_granularity = 512,  .discard_max = UINT32_MAX, .zeroes_max = UINT32_MAX,
		.volatile_cache = true,
	};
	*out = backend;
	return 0;
}
