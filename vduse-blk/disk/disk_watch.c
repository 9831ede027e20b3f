// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_steps.h"

#include <string.h>

#include "config/front_end.h"
#include "log.h"

/* Time from a driver's reset or start to the check of the bus; how often to look for a node. */
#define WATCH_US    300000
#define NODE_CHECKS 20

static void disk_watch(struct disk *disk);

static void was_removed(struct disk *disk)
{
	log_warn("%s: another program removed it from the vdpa bus; to attach it again: 'vdpa dev "
		 "add name %s mgmtdev vduse'",
		 disk->config->name, disk->config->name);
	disk->job.node[0] = '\0';
	disk->recreate = disk->unattached = true;
	disk_close(disk);
}

static void was_unbound(struct disk *disk)
{
	log_warn("%s: another program unbound its driver: %s is gone until a driver is bound again",
		 disk->config->name, disk->job.node);
	disk->job.node[0] = '\0';
	disk_set_state(disk, DISK_UNBOUND);
}

static void was_bound(struct disk *disk)
{
	char node[VDPA_NODE_MAX];

	if (vdpa_bus_node(disk->config->name, node)) {
		if (++disk->node_checks < NODE_CHECKS)
			disk_watch(disk);
		return;
	}
	if (disk->state == DISK_ATTACHED && !strcmp(node, disk->job.node))
		return;
	log_info("%s: another program attached it", disk->config->name);
	memcpy(disk->job.node, node, sizeof(node));
	disk_report_attached(disk);
	disk_set_state(disk, DISK_ATTACHED);
}

static void watch_expired(struct ring_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, watch);

	if (disk_goal(disk) != DISK_SERVE || disk_is_releasing(disk) ||
	    (disk->state != DISK_ATTACHED && disk->state != DISK_UNBOUND &&
	     disk->state != DISK_REMOVED))
		return;
	switch (vdpa_bus_state(disk->config->name)) {
	case VDPA_ABSENT:
		if (disk->state != DISK_REMOVED)
			was_removed(disk);
		break;
	case VDPA_REMOVING:
		disk_watch(disk);
		break;
	case VDPA_UNBOUND:
		if (disk->state == DISK_ATTACHED)
			was_unbound(disk);
		break;
	case VDPA_BOUND:
		was_bound(disk);
		break;
	}
}

static void disk_watch(struct disk *disk)
{
	ring_timer_start(disk->host->ring, &disk->watch, WATCH_US, watch_expired);
}

/* Another program may have changed the bus. The server sees that only by a reset or start of the driver. */
void disk_driver_changed(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);

	if (!front_end_of(disk->config->driver)->vdpa) {
		device_note_offer(device, disk->host->config->runtime_dir);
		return;
	}
	disk->node_checks = 0;
	disk_watch(disk);
}
