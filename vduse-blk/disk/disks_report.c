// SPDX-License-Identifier: GPL-2.0-or-later
#include "disks_report.h"

#include "status.h"

/* A RELEASED disk belongs to another server. */
static bool is_shown(const struct disk *disk)
{
	return disk->state != DISK_GONE && disk->state != DISK_RELEASED;
}

static void print_each(const struct disks *disks, FILE *to,
		       void (*print)(const struct disk *disk, FILE *to))
{
	disks_for_each (disk, disks)
		if (is_shown(disk))
			print(disk, to);
}

static void print_json(const struct disks *disks, FILE *to)
{
	const char *separator = "";

	disks_for_each (disk, disks) {
		if (!is_shown(disk))
			continue;
		fputs(separator, to);
		status_json(disk, to);
		separator = ",\n";
	}
}

static void print_owner(const struct disks *disks, const char *names, FILE *to)
{
	enum control_owner owner = CONTROL_OWNER_NONE;
	char name[CONTROL_NAME_MAX];
	const struct disk *disk;

	disk = control_next_name(&names, name) ? disks_find(disks, name) : NULL;
	if (disk)
		owner = disk_owner(disk);
	fputs(control_owner_name(owner), to);
}

bool disks_report(const struct disks *disks, const struct control_request *request, FILE *to)
{
	switch (request->verb) {
	case CONTROL_LIST:
		print_each(disks, to, status_list);
		return true;
	case CONTROL_STATS:
		print_each(disks, to, status_stats);
		return true;
	case CONTROL_JSON:
		print_json(disks, to);
		return true;
	case CONTROL_OWNER:
		print_owner(disks, request->names, to);
		return true;
	default:
		return false;
	}
}
