// SPDX-License-Identifier: GPL-2.0-or-later
#include "closed_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store_type.h"

static void closed_close(struct backend *backend)
{
	free(backend);
}

static const struct backend_ops closed_ops = { .close = closed_close };

int closed_store_new(const struct device_config *config, struct backend **out)
{
	struct backend *backend = calloc(1, sizeof(*backend));
	int err;

	if (!backend)
		return -ENOMEM;
	backend->ops = &closed_ops;
	err = store_type_of(config)->examine(config, false, backend);
	if (err)
		free(backend);
	else
		*out = backend;
	return err;
}

int closed_store_check(const struct device_config *config, const struct backend *closed,
		       const struct backend *open)
{
	const char *again =
		"stop the disk and start it again, with the server or by serve --takeover";

	if (strcmp(closed->identity, open->identity)) {
		log_err("%s: %s is another file or disk than at the start of the server; %s",
			config->name, config->path, again);
	} else if (open->limits.size < closed->limits.size) {
		log_err("%s: %s has shrunk from %" PRIu64 " to %" PRIu64 " bytes; %s", config->name,
			config->path, closed->limits.size, open->limits.size, again);
	} else if (open->limits.logical_block != closed->limits.logical_block) {
		log_err("%s: %s has blocks of %u bytes now, and had blocks of %u bytes; %s",
			config->name, config->path, open->limits.logical_block,
			closed->limits.logical_block, again);
	} else {
		return 0;
	}
	return -EINVAL;
}
