// SPDX-License-Identifier: GPL-2.0-or-later
/* In a takeover: the connection to the front end of a vhost-user disk passes from server to server. */
#include <errno.h>
#include <string.h>

#include "closer.h"
#include "disk_steps.h"
#include "frontend/vhost_user_handover.h"
#include "log.h"

int disk_pass_connection(struct disk *disk, int fds[DEVICE_CONNECTION_FDS])
{
	int err;

	if (!disk->handover)
		return -ENOENT;
	err = vhost_user_handover_open(disk->handover, fds);
	if (err)
		log_warn(
			"%s: cannot pass the connection to the front end to the new server: %s; the "
			"front end must connect again",
			disk->config->name, strerror(-err));
	return err;
}

void disk_set_connection(struct disk *disk, const int fds[DEVICE_CONNECTION_FDS])
{
	memcpy(disk->connection, fds, sizeof(disk->connection));
}

void disk_reclaim_connection(struct disk *disk)
{
	bool reclaimed;

	if (!disk->handover)
		return;
	reclaimed = !vhost_user_handover_open(disk->handover, disk->connection);
	vhost_user_handover_drop(disk->handover, reclaimed);
	disk->handover = NULL;
}

void disk_drop_connection(struct disk *disk)
{
	const struct closer_items items = {
		.fds = disk->connection,
		.fd_count = DEVICE_CONNECTION_FDS,
	};

	if (disk->handover)
		vhost_user_handover_drop(disk->handover, false);
	disk->handover = NULL;
	if (disk->connection[0] >= 0)
		closer_start(disk->host->ring, &items, NULL, NULL);
	disk->connection[0] = disk->connection[1] = -1;
}
