// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_command.h"

#include <errno.h>

#include "disk_steps.h"

void disk_command_finish(struct disk *disk, int err)
{
	struct disk_command *command = disk->command;

	disk->command = NULL;
	if (!command)
		return;
	command->disk = NULL;
	command->done(command, err);
}

/* ---- release ---- */

void disk_released_to_other(struct disk *disk)
{
	disk_set_state(disk, DISK_RELEASED);
	disk_command_finish(disk, 0);
	if (disk->state == DISK_RELEASED && disk_goal(disk) == DISK_LEAVE)
		disk_end(disk);
}

/* While a task runs, disk_apply_requests() does it later. */
void disk_release_step(struct disk *disk)
{
	disk->reopen = false;
	if (disk_has_nothing_open(disk)) {
		disk_released_to_other(disk);
	} else if (disk_is_closable(disk)) {
		disk->device.handover = disk->command->connections ? &disk->handover : NULL;
		disk_close_and_leave(disk);
	} else if (disk->state == DISK_CLOSING || disk->state == DISK_GONE) {
		disk_command_finish(disk, -EBUSY);
	}
}

void disk_take_back(struct disk *disk)
{
	if (disk->state != DISK_RELEASED && !disk_is_releasing(disk))
		return;
	if (disk->command)
		disk->command->disk = NULL;
	disk->command = NULL;
	disk->reopen = disk->state == DISK_CLOSING;
	disk->taken_back = disk->reopen || disk->state == DISK_RELEASED;
	if (disk->state == DISK_RELEASED)
		disk_open(disk);
}

void disk_forget(struct disk *disk)
{
	if (disk->state == DISK_RELEASED)
		disk_end(disk);
}

/* ---- removal ---- */

/* Another server has a WAITING or RELEASED disk. Only the takeover can change that. */
static void begin_removal(struct disk *disk)
{
	if (disk->state == DISK_WAITING || disk->state == DISK_RELEASED ||
	    disk->state == DISK_GONE) {
		disk_command_finish(disk, -EBUSY);
		return;
	}
	disk->goal = disk->command->force ? DISK_DETACH_FORCED : DISK_DETACH;
	disk_apply_goal(disk);
}

static void cancel_removal(struct disk *disk)
{
	disk->command = NULL;
	disk->goal = DISK_SERVE;
	if (disk->state == DISK_BUSY && disk_goal(disk) == DISK_SERVE)
		disk_serve_again(disk);
	/* else: the end of a task, or a timer, continues */
}

/* ---- both ---- */

void disk_command(struct disk *disk, struct disk_command *command)
{
	if (disk->command) {
		command->disk = NULL;
		command->done(command, -EBUSY);
		return;
	}
	disk->command = command;
	command->disk = disk;
	if (command->verb == DISK_RELEASE)
		disk_release_step(disk);
	else
		begin_removal(disk);
}

void disk_command_cancel(struct disk_command *command)
{
	struct disk *disk = command->disk;

	command->disk = NULL;
	if (!disk)
		return;
	if (command->verb == DISK_RELEASE)
		disk_take_back(disk);
	else
		cancel_removal(disk);
}
