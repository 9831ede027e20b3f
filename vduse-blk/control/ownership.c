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

/* How long a server that was killed, or is ending, may take to close its device. */
#define END_WAIT_MS 5000

struct who {
	const char *name; /* of the device */
	enum control_owner owner;
	pid_t pid;    /* of the server that has the device; 0: in another PID namespace */
	bool unknown; /* a server does not know the request */
};

static void take_owner(struct who *who, const struct control_response *response,
		       enum control_owner owner)
{
	if (owner <= who->owner)
		return;
	who->owner = owner;
	who->pid = response->from->pid;
}

static void look_at_word(const struct control_response *response, void *ctx)
{
	struct who *who = ctx;

	if (!response->error)
		take_owner(who, response, control_owner_parse(response->text));
	who->unknown |= response->unknown;
}

/* ---- servers of earlier versions, which do not know CONTROL_OWNER ---- */

static enum control_owner owner_of_state(const char *state)
{
	if (!strcmp(state, "opening") || !strcmp(state, "waiting") || !strcmp(state, "failed") ||
	    !strcmp(state, "released"))
		return CONTROL_OWNER_NONE;
	return strcmp(state, "attached") ? CONTROL_OWNER_HAS : CONTROL_OWNER_KEEPS;
}

/* The lines of their "list": name, node, driver, state, ... */
static void look_at_list(const struct control_response *response, void *ctx)
{
	struct who *who = ctx;
	size_t len = strlen(who->name);
	const char *line = response->error ? NULL : response->text;
	char state[16];

	while (line && (strncmp(line, who->name, len) || line[len] != ' ')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (line && sscanf(line, "%*s %*s %*s %15s", state) == 1)
		take_owner(who, response, owner_of_state(state));
}

/* ---- any server ---- */

static struct who ask_who(const char *name, const char *runtime_dir)
{
	struct who who = { .name = name };
	int count = control_ask(runtime_dir, CONTROL_OWNER, name, look_at_word, &who);

	if (count > 0 && who.unknown)
		count = control_ask(runtime_dir, CONTROL_LIST, "", look_at_list, &who);
	if (count < 0)
		who.owner = CONTROL_OWNER_NONE; /* the reason is logged */
	return who;
}

static int refuse(const struct who *who, const char *runtime_dir)
{
	char server[CONTROL_PEER_NAME_MAX];

	if (who->owner != CONTROL_OWNER_NONE)
		log_err("%s: another process serves a device of that name: %s; to replace that "
			"server: vduse-blk serve --takeover",
			who->name, control_peer_name(who->pid, server));
	else
		log_err("%s: another process serves a device of that name, and no server of %s "
			"has it; end that process first",
			who->name, runtime_dir);
	return -EBUSY;
}

int ownership_refuse(const char *name, const char *runtime_dir)
{
	struct who who;

	if (vduse_dev_is_served(name) != 1)
		return 0;
	who = ask_who(name, runtime_dir);
	return who.owner == CONTROL_OWNER_KEEPS ? refuse(&who, runtime_dir) : 0;
}

/* Return: 0: no process has the device, or it does not exist; -errno, logged */
static int wait_for_end(const char *name, const char *runtime_dir)
{
	unsigned int wait_ms = END_WAIT_MS;
	struct who who;
	int served;

	do {
		served = vduse_dev_is_served(name);
	} while (served == 1 && startup_wait(&wait_ms));
	if (served == 1) {
		who = ask_who(name, runtime_dir);
		return refuse(&who, runtime_dir);
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
	if (vduse_dev_is_served(name) != 1 ||
	    ask_who(name, runtime_dir).owner != CONTROL_OWNER_NONE)
		return 0;
	return wait_for_end(name, runtime_dir);
}

int ownership_wait_name(const char *name, const char *runtime_dir)
{
	unsigned int wait_ms = END_WAIT_MS;
	struct who who;

	do {
		who = ask_who(name, runtime_dir);
	} while (who.owner == CONTROL_OWNER_HAS && startup_wait(&wait_ms));
	return who.owner == CONTROL_OWNER_NONE ? 0 : refuse(&who, runtime_dir);
}
