// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int takeover_session_send(struct takeover_session *session, const char *word, const char *name)
{
	char line[TAKEOVER_WORD_MAX + CONTROL_NAME_MAX + 2];

	snprintf(line, sizeof(line), "%s%s%s\n", word, name ? " " : "", name ? name : "");
	return control_send_packet(session->fd, line, NULL, 0);
}

static void closed(struct ring_poll *poll)
{
	close(poll->fd);
}

void takeover_session_end(struct takeover_session *session)
{
	if (session->fd < 0)
		return;
	shutdown(session->fd, SHUT_RDWR); /* the old server sees the end at once */
	if (session->poll.ring)
		ring_poll_stop(&session->poll, closed);
	else
		close(session->fd);
	session->fd = -1;
}

static void close_unused(struct takeover_session *session)
{
	for (unsigned int i = 0; i < CONTROL_FDS_MAX; i++)
		if (session->fds[i] >= 0)
			close(session->fds[i]);
}

static void ready(struct ring_poll *poll)
{
	struct takeover_session *session = container_of(poll, struct takeover_session, poll);
	char text[8192 + 1];
	const char *at;
	struct takeover_line line;
	ssize_t len;

	while (session->fd >= 0) {
		len = control_receive_packet(session->fd, text, sizeof(text) - 1, session->fds);
		if (len == -EAGAIN || len == -EINTR)
			return;
		if (len <= 0) {
			takeover_session_end(session);
			session->ended(session);
			return;
		}
		text[len] = 0;
		at = text;
		while (session->fd >= 0 && takeover_next(&at, &line))
			session->received(session, &line);
		close_unused(session);
	}
}

void takeover_session_start(struct takeover_session *session, struct ring *ring)
{
	ring_poll_start(ring, &session->poll, session->fd, ready);
}

void takeover_session_exit(struct takeover_session *session)
{
	if (session->fd < 0)
		return;
	shutdown(session->fd, SHUT_RDWR); /* the ring may still hold the file */
	close(session->fd);
}
