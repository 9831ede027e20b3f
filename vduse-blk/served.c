// SPDX-License-Identifier: GPL-2.0-or-later
#include "served.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "patience.h"
#include "vduse_dev.h"

/* How long a server that was killed, or is just ending, may take to let go of its device. */
#define END_WAIT_MS 5000

struct who {
	const char *name; /* of the device */
	pid_t pid;	  /* of the server that has it; 0: none */
	char state[16];	  /* as it lists it */
};

/* The lines of "list": name, node, driver, state, ... */
static void look_for_name(pid_t pid, bool error, const char *text, void *ctx)
{
	struct who *who = ctx;
	size_t len = strlen(who->name);
	const char *line = error ? NULL : text;

	while (line && (strncmp(line, who->name, len) || line[len] != ' ')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	/* A server that is opening it, this one for example, has not got it yet. */
	if (!line || sscanf(line, "%*s %*s %*s %15s", who->state) != 1)
		return;
	if (strcmp(who->state, "opening") && strcmp(who->state, "waiting") &&
	    strcmp(who->state, "failed"))
		who->pid = pid;
}

static struct who ask_who(const char *name, const char *runtime_dir)
{
	struct who who = { .name = name };

	if (control_ask(runtime_dir, "list", look_for_name, &who) < 0)
		who.pid = 0; /* it was said why */
	return who;
}

static int refuse(const char *name, pid_t pid)
{
	if (pid)
		log_err("%s: another process serves a device of that name: the server with process "
			"id %d",
			name, (int)pid);
	else
		log_err("%s: another process serves a device of that name", name);
	return -EBUSY;
}

int served_refuse(const char *name, const char *runtime_dir)
{
	struct who who;

	if (vduse_dev_is_served(name) != 1)
		return 0;
	who = ask_who(name, runtime_dir);
	/* In any other state it is on its way: up, and may fail; or down, and will let go of it. */
	return who.pid && !strcmp(who.state, "attached") ? refuse(name, who.pid) : 0;
}

/* Until nobody serves it. Return: 0, also where there is no such device; -errno, logged */
static int wait_for_end(const char *name, const char *runtime_dir)
{
	unsigned int wait_ms = END_WAIT_MS;
	int served;

	do {
		served = vduse_dev_is_served(name);
	} while (served == 1 && wait_a_little(&wait_ms));
	if (served == 1)
		return refuse(name, ask_who(name, runtime_dir).pid);
	if (served < 0 && served != -ENOENT) {
		log_err("%s: cannot open /dev/vduse/%s: %s", name, name, strerror(-served));
		return served;
	}
	return 0;
}

int served_wait(const char *name, const char *runtime_dir)
{
	int err = served_refuse(name, runtime_dir);

	return err ? err : wait_for_end(name, runtime_dir);
}

int served_by_other(const char *name, const char *runtime_dir)
{
	if (vduse_dev_is_served(name) != 1 || ask_who(name, runtime_dir).pid)
		return 0;
	return wait_for_end(name, runtime_dir);
}
