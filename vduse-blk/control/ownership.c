// SPDX-License-Identifier: GPL-2.0-or-later
#include "ownership.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "control_ask.h"
#include "log.h"
#include "process/startup_wait.h"
#include "vduse_dev.h"

/* How long a server that was killed, or is just ending, may take to let go of its device. */
#define END_WAIT_MS 5000

struct who {
	const char *name; /* of the device */
	bool found;	  /* a server has it */
	pid_t pid;	  /* of that server; 0: in another PID namespace */
	char state[16];	  /* as that server lists it */
};

/* A server that opens a disk, as this one may do, does not have the device yet. */
static bool has_device(const char *state)
{
	return strcmp(state, "opening") && strcmp(state, "waiting") && strcmp(state, "failed") &&
	       strcmp(state, "released");
}

/* The lines of "list": name, node, driver, state, ... */
static void look_for_name(const struct control_answer *answer, void *ctx)
{
	struct who *who = ctx;
	size_t len = strlen(who->name);
	const char *line = answer->error ? NULL : answer->text;
	char state[sizeof(who->state)];

	while (line && (strncmp(line, who->name, len) || line[len] != ' ')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || sscanf(line, "%*s %*s %*s %15s", state) != 1 || !has_device(state))
		return;
	who->found = true;
	who->pid = answer->from->pid;
	strcpy(who->state, state);
}

static struct who ask_who(const char *name, const char *runtime_dir)
{
	struct who who = { .name = name };

	if (control_ask(runtime_dir, CONTROL_LIST, "", look_for_name, &who) < 0)
		who.found = false; /* the reason is logged */
	return who;
}

static int refuse(const struct who *who)
{
	char server[CONTROL_PEER_NAME_MAX];

	if (who->found)
		log_err("%s: another process serves a device of that name: %s", who->name,
			control_peer_name(who->pid, server));
	else
		log_err("%s: another process serves a device of that name", who->name);
	return -EBUSY;
}

int ownership_refuse(const char *name, const char *runtime_dir)
{
	struct who who;

	if (vduse_dev_is_served(name) != 1)
		return 0;
	who = ask_who(name, runtime_dir);
	/* In any other state it is on its way: up, and may fail; or down, and will let go of it. */
	return who.found && !strcmp(who.state, "attached") ? refuse(&who) : 0;
}

/* Until nobody serves it. Return: 0, also where there is no such device; -errno, logged */
static int wait_for_end(const char *name, const char *runtime_dir)
{
	unsigned int wait_ms = END_WAIT_MS;
	struct who who;
	int served;

	do {
		served = vduse_dev_is_served(name);
	} while (served == 1 && wait_a_little(&wait_ms));
	if (served == 1) {
		who = ask_who(name, runtime_dir);
		return refuse(&who);
	}
	if (served < 0 && served != -ENOENT) {
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, strerror(-served));
		return served;
	}
	return 0;
}

int ownership_wait(const char *name, const char *runtime_dir)
{
	int err = ownership_refuse(name, runtime_dir);

	return err ? err : wait_for_end(name, runtime_dir);
}

int ownership_by_other(const char *name, const char *runtime_dir)
{
	if (vduse_dev_is_served(name) != 1 || ask_who(name, runtime_dir).found)
		return 0;
	return wait_for_end(name, runtime_dir);
}
