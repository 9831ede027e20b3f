// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_ask.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "log.h"
#include "process/notify.h"

/* How long a server of version 0.1.0 may take to complete its requests in flight and to end. */
#define LEAVE_WAIT_MS 60000

struct asking {
	struct takeover_agreement *agreement;
	int result;
};

/* Return: the names of all disks, one on each line; the caller frees the text; NULL: no memory */
static char *names_of(const struct config *config)
{
	size_t len = 1, at = 0;
	char *names;

	for (size_t i = 0; i < config->device_count; i++)
		len += strlen(config->devices[i].name) + 1;
	names = calloc(1, len);
	for (size_t i = 0; names && i < config->device_count; i++)
		at += (size_t)sprintf(names + at, "%s\n", config->devices[i].name);
	return names;
}

static void refused(struct asking *asking, const struct control_response *response)
{
	char server[CONTROL_PEER_NAME_MAX];

	log_err("cannot take over from %s: %s", control_peer_name(response->from->pid, server),
		response->text);
	asking->result = -EBUSY;
}

/* Return: 0; -ENOMEM */
static int add_agreed(struct takeover_agreement *agreement, const struct control_response *response)
{
	struct takeover_agreed *servers;
	char *names;

	servers = realloc(agreement->servers, (agreement->count + 1) * sizeof(*agreement->servers));
	if (!servers)
		return -ENOMEM;
	agreement->servers = servers;
	names = strdup(response->text);
	if (!names)
		return -ENOMEM;
	servers[agreement->count++] = (struct takeover_agreed){
		.fd = *response->connection,
		.pid = response->from->pid,
		.names = names,
	};
	*response->connection = -1;
	return 0;
}

static void take_agreed(const struct control_response *response, void *ctx)
{
	struct asking *asking = ctx;

	if (response->unknown)
		asking->agreement->without_session = true;
	else if (response->error)
		refused(asking, response);
	else if (response->text[0] && add_agreed(asking->agreement, response))
		asking->result = -ENOMEM;
	/* else: the server has no disk of the configuration */
}

static int wait_for_end(int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0)
		return 0; /* it has ended, or will release the lock of each store when it ends */
	return poll(&end, 1, LEAVE_WAIT_MS) > 0 ? 0 : -EBUSY;
}

static void take_leaving(const struct control_response *response, void *ctx)
{
	char server[CONTROL_PEER_NAME_MAX];
	struct asking *asking = ctx;

	if (response->error) {
		refused(asking, response);
		return;
	}
	if (strcmp(response->text, CONTROL_LEAVING))
		return; /* it has no disk of the configuration, or a session with this server */
	if (wait_for_end(response->from->pidfd)) {
		log_err("cannot take over from %s: it has not ended within %d s, perhaps because a "
			"store stalls",
			control_peer_name(response->from->pid, server), LEAVE_WAIT_MS / 1000);
		asking->result = -EBUSY;
	}
}

static int ask_all(const struct config *config, enum control_verb verb, struct asking *asking,
		   void (*take)(const struct control_response *response, void *ctx))
{
	char *names = names_of(config);
	int count = names ? control_ask(config->runtime_dir, verb, names, take, asking) : -ENOMEM;

	free(names);
	return count < 0 ? count : asking->result;
}

int takeover_ask(const struct config *config, struct takeover_agreement *out)
{
	struct asking asking = { .agreement = out };
	int err = ask_all(config, CONTROL_TAKE_OVER, &asking, take_agreed);

	if (!err && out->without_session)
		err = ask_all(config, CONTROL_MAY_LEAVE, &asking, take_leaving);
	return err;
}

int takeover_without_session(const struct config *config)
{
	struct asking asking = { 0 };

	notify_main_pid();
	return ask_all(config, CONTROL_LEAVE, &asking, take_leaving);
}

void takeover_agreement_free(struct takeover_agreement *agreement)
{
	for (size_t i = 0; i < agreement->count; i++) {
		if (agreement->servers[i].fd >= 0)
			close(agreement->servers[i].fd);
		free(agreement->servers[i].names);
	}
	free(agreement->servers);
	*agreement = (struct takeover_agreement){ 0 };
}
