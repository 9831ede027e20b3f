// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control_ask.h"
#include "log.h"
#include "notify.h"
#include "patience.h"

/* How long a server may take to end what its disks have in flight. */
#define LEAVE_WAIT_MS 60000

bool takeover_names(const char *names, const char *name)
{
	size_t len = strlen(name);
	const char *line = names;

	while (line) {
		if (!strncmp(line, name, len) && (line[len] == '\n' || !line[len]))
			return true;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

static int wait_for_end(int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0)
		return 0; /* it has ended; or the lock of each store says when */
	return poll(&end, 1, LEAVE_WAIT_MS) > 0 ? 0 : -EBUSY;
}

static void take_answer(const struct control_answer *answer, void *ctx)
{
	char server[CONTROL_PEER_NAME_MAX];
	int *result = ctx, err;

	control_peer_name(answer->from->pid, server);
	if (answer->error) {
		log_err("cannot take over from %s: %s", server, answer->text);
		*result = -EBUSY;
		return;
	}
	if (strcmp(answer->text, TAKEOVER_LEAVING))
		return; /* none of its disks is ours */
	err = wait_for_end(answer->from->pidfd);
	if (err) {
		log_err("%s does not end", server);
		*result = err;
	}
}

/* Return: @verb and all names, to be freed; NULL: no memory */
static char *make_question(const struct config *config, const char *verb)
{
	size_t len = strlen(verb) + 1, at = strlen(verb);
	char *text;

	for (size_t i = 0; i < config->device_count; i++)
		len += strlen(config->devices[i].name) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	strcpy(text, verb);
	for (size_t i = 0; i < config->device_count; i++)
		at += (size_t)sprintf(text + at, "%s\n", config->devices[i].name);
	return text;
}

static int ask_all(const struct config *config, const char *verb)
{
	char *question = make_question(config, verb);
	int result = 0, count;

	if (!question)
		return -ENOMEM;
	count = control_ask(config->runtime_dir, question, take_answer, &result);
	free(question);
	return count < 0 ? count : result;
}

int takeover(const struct config *config)
{
	int err = ask_all(config, TAKEOVER_ASK);

	if (err)
		return err;
	if (stop_pending()) {
		log_info("a signal came: nothing is taken over");
		return -EINTR;
	}
	notify_main_pid();
	return ask_all(config, TAKEOVER_LEAVE);
}
