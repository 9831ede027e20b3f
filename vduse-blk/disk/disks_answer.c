// SPDX-License-Identifier: GPL-2.0-or-later
/* Responses about the disks of a server: status, and the takeover of version 0.1.0. */
#include <string.h>

#include "control/control_ask.h"
#include "disks.h"
#include "status.h"
#include "takeover/takeover.h"

static bool answer_status(struct disks *disks, FILE *to,
			  void (*print)(const struct disk *disk, FILE *to))
{
	disks_for_each (disk, disks) {
		if (disk->state == DISK_GONE || disk->state == DISK_RELEASED)
			continue;
		if (print == status_json && ftell(to) > 0)
			fputs(",\n", to);
		print(disk, to);
	}
	return true;
}

/* @names: the disks of the new server, one a line. @now: leave; false: only check for reasons */
static bool answer_leave(struct disks *disks, const char *names, bool now, FILE *to)
{
	const char *foreign = NULL;
	size_t ours = 0;

	disks_for_each (disk, disks) {
		if (!disk->device.dev)
			continue;
		if (takeover_names(names, disk->config->name))
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
		fputs(TAKEOVER_LEAVING, to);
		disks_leave(disks);
	}
	return true;
}

bool disks_answer(struct disks *disks, const char *question, FILE *to)
{
	if (!strcmp(question, "list"))
		return answer_status(disks, to, status_list);
	if (!strcmp(question, "stats"))
		return answer_status(disks, to, status_stats);
	if (!strcmp(question, "json"))
		return answer_status(disks, to, status_json);
	if (!strncmp(question, TAKEOVER_ASK, strlen(TAKEOVER_ASK)))
		return answer_leave(disks, question + strlen(TAKEOVER_ASK), false, to);
	if (!strncmp(question, TAKEOVER_LEAVE, strlen(TAKEOVER_LEAVE)))
		return answer_leave(disks, question + strlen(TAKEOVER_LEAVE), true, to);
	fputs(CONTROL_UNKNOWN, to);
	return false;
}
