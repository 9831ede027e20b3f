// SPDX-License-Identifier: GPL-2.0-or-later
/* In a takeover: the connection to the front end of a vhost-user disk passes from server to server. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "closer.h"
#include "disk_steps.h"
#include "frontend/vhost_user_device.h"
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

void disk_set_connection(struct disk *disk, const int fds[DEVICE_CONNECTION_FDS], bool held)
{
	memcpy(disk->connection.fds, fds, sizeof(disk->connection.fds));
	disk->connection.held = held;
}

void disk_keep_connection(struct disk *disk)
{
	disk->connection.held = false;
	vhost_user_keep_connection(&disk->device);
}

/* The handover stays until the connection is resumed: another takeover may begin before. */
void disk_reclaim_connection(struct disk *disk)
{
	int *fds = disk->connection.fds, copy;

	if (!disk->handover)
		return;
	disk->connection.held = false;
	if (fds[0] >= 0 || vhost_user_handover_open(disk->handover, fds))
		return;
	copy = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		close(fds[1]);
	fds[0] = copy;
	fds[1] = copy < 0 ? -1 : fds[1];
}

void disk_end_handover(struct disk *disk)
{
	if (disk->handover)
		vhost_user_handover_drop(disk->handover);
	disk->handover = NULL;
}

void disk_drop_connection(struct disk *disk)
{
	const struct closer_items items = {
		.fds = disk->connection.fds,
		.fd_count = DEVICE_CONNECTION_FDS,
	};

	disk_end_handover(disk);
	if (disk->connection.fds[0] >= 0)
		closer_start(disk->host->ring, &items, NULL, NULL);
	disk->connection.fds[0] = disk->connection.fds[1] = -1;
}
