// SPDX-License-Identifier: GPL-2.0-or-later
#include "leave.h"

#include "control/control_request.h"

bool leave_respond(struct disks *disks, const char *names, bool now, FILE *to)
{
	const char *foreign = NULL;
	size_t ours = 0;

	disks_for_each (disk, disks) {
		if (!device_exists(&disk->device))
			continue;
		if (control_names_has(names, disk->config->name))
			ours++;
		else
			foreign = disk->config->name;
	}
	if (ours && foreign) {
		fprintf(to, "it serves %s too, which the configuration file does not have",
			foreign);
		return false;
	}
	if (ours && now) {
		fputs(CONTROL_LEAVING, to);
		disks_leave(disks);
	}
	return true;
}
