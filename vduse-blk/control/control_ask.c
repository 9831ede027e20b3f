// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_ask.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

unsigned int control_ask_seconds = 5;

/* A server to which the request was sent. */
struct asked {
	struct control_peer peer;
	int fd;
	char name[64]; /* of its socket */
	char *text;
	bool error;
};

/* All servers of a directory. */
struct round {
	struct asked *asked;
	struct pollfd *polls; /* one for each server; fd < 0: it has responded or ended */
	size_t count;
};

static void log_silent(const char *name)
{
	log_err("the server that listens at %s does not respond: its process may be stopped or "
		"stuck",
		name);
}

/* Return: 0; -ENOMEM */
static int round_grow(struct round *round)
{
	struct pollfd *polls;
	struct asked *asked;

	asked = realloc(round->asked, (round->count + 1) * sizeof(*asked));
	if (!asked)
		return -ENOMEM;
	round->asked = asked;
	polls = realloc(round->polls, (round->count + 1) * sizeof(*polls));
	if (!polls)
		return -ENOMEM;
	round->polls = polls;
	return 0;
}

static void ask_one(struct round *round, const char *directory, const char *name,
		    const char *question)
{
	struct asked *asked;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = control_connect(path);
	if (fd == -EAGAIN)
		log_silent(name);
	if (fd < 0)
		return; /* other errors: the server has just ended */
	if (send(fd, question, strlen(question), MSG_NOSIGNAL) < 0 || round_grow(round)) {
		close(fd);
		return;
	}
	asked = &round->asked[round->count];
	*asked = (struct asked){ .fd = fd };
	snprintf(asked->name, sizeof(asked->name), "%.63s", name);
	control_peer_get(fd, &asked->peer);
	round->polls[round->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static int ms_until(const struct timespec *deadline)
{
	struct timespec now;
	long long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (deadline->tv_sec - now.tv_sec) * 1000LL + (deadline->tv_nsec - now.tv_nsec) / 1000000;
	return ms < 0 ? 0 : (int)ms;
}

static void take_text(struct round *round, size_t i)
{
	round->asked[i].text = control_receive(round->polls[i].fd, &round->asked[i].error);
	round->polls[i].fd = -1;
}

static void wait_for_responses(struct round *round)
{
	size_t missing = round->count;
	struct timespec deadline;
	int ready;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += control_ask_seconds;
	while (missing) {
		ready = poll(round->polls, round->count, ms_until(&deadline));
		if (!ready || (ready < 0 && errno != EINTR))
			return;
		for (size_t i = 0; ready > 0 && i < round->count; i++) {
			if (round->polls[i].fd < 0 || !round->polls[i].revents)
				continue;
			take_text(round, i);
			missing--;
		}
	}
}

/* Return: how many responses there are */
static int hand_out(struct round *round,
		    void (*take)(const struct control_response *response, void *ctx), void *ctx)
{
	int count = 0;

	for (size_t i = 0; i < round->count; i++) {
		struct asked *asked = &round->asked[i];
		const struct control_response response = {
			.from = &asked->peer,
			.error = asked->error,
			.unknown = asked->error && asked->text &&
				   !strcmp(asked->text, CONTROL_UNKNOWN),
			.text = asked->text,
			.connection = &asked->fd,
		};

		if (asked->text) {
			take(&response, ctx);
			count++;
		} else {
			log_silent(asked->name);
		}
		if (asked->fd >= 0)
			close(asked->fd);
		free(asked->text);
		control_peer_put(&asked->peer);
	}
	free(round->asked);
	free(round->polls);
	return count;
}

int control_ask_text(const char *directory, const char *question,
		     void (*take)(const struct control_response *response, void *ctx), void *ctx)
{
	DIR *dir = opendir(directory);
	struct round round = { 0 };
	struct dirent *entry;
	int err;

	if (!dir && errno != ENOENT) {
		err = -errno;
		log_err("cannot read %s, the directory of the control sockets: %s", directory,
			strerror(-err));
		return err;
	}
	while (dir && (entry = readdir(dir))) {
		enum control_name name = control_name_of(entry->d_name);

		if (name == CONTROL_NAME_UNIQUE || name == CONTROL_NAME_PLAIN)
			ask_one(&round, directory, entry->d_name, question);
	}
	if (dir)
		closedir(dir);
	wait_for_responses(&round);
	return hand_out(&round, take, ctx);
}

int control_ask(const char *directory, enum control_verb verb, const char *names,
		void (*take)(const struct control_response *response, void *ctx), void *ctx)
{
	char *question = control_request_print(verb, names);
	int count;

	if (!question)
		return -ENOMEM;
	count = control_ask_text(directory, question, take, ctx);
	free(question);
	return count;
}
