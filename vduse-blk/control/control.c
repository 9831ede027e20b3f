// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* The longest time from bind() to listen(). A socket that refuses connections later has no server. */
#define SET_UP_S 10

#define TICK_MS 1000u

struct control_client {
	struct control_client *next;
	struct control *control;
	struct control_session *session;   /* NULL: none */
	struct control_call call;	   /* the request without a response; @to is NULL: none */
	struct control_deferred *deferred; /* NULL: the response to @call is not deferred */
	struct ring_poll poll;
	unsigned int idle_ms; /* until it is disconnected */
	bool closing;
};

static void maybe_stopped(struct control *control)
{
	if (control->stopping && control->closed && !control->clients && !control->idle.active)
		control->stopped(control);
}

static void client_stopped(struct ring_poll *poll)
{
	struct control_client *client = container_of(poll, struct control_client, poll);
	struct control *control = client->control;
	struct control_client **at = &control->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	close(poll->fd);
	free(client);
	if (!control->clients)
		ring_timer_expire_now(control->ring, &control->idle);
	maybe_stopped(control);
}

/* The caller ends the session of the client, if there is one. */
static void client_close(struct control_client *client)
{
	if (client->closing)
		return;
	client->closing = true;
	client->control->open--;
	ring_poll_stop(&client->poll, client_stopped);
}

static void session_leave(struct control_session *session)
{
	session->client->session = NULL;
	session->client = NULL;
}

static void session_ended(struct control_session *session)
{
	session_leave(session);
	session->ended(session);
	control_peer_put(&session->peer);
}

/* ---- requests ---- */

static void call_end(struct control_client *client)
{
	if (client->deferred) {
		client->deferred->call = NULL;
		client->deferred = NULL;
		client->control->deferred--;
	}
	fclose(client->call.to);
	client->call.to = NULL;
}

static void call_cancel(struct control_client *client)
{
	struct control_deferred *deferred = client->deferred;

	if (!client->call.to)
		return;
	call_end(client);
	if (deferred)
		deferred->cancelled(deferred);
}

/* Return: 0; -errno, logged */
static int call_begin(struct control_client *client, const char *text)
{
	int fd = memfd_create("response", MFD_CLOEXEC);

	client->call.text = text;
	client->call.to = fd < 0 ? NULL : fdopen(fd, "w");
	if (client->call.to)
		return 0;
	log_err("control socket: cannot create a memory file for a response: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -ENOMEM;
}

void control_respond(struct control_call *call, bool ok)
{
	struct control_client *client = container_of(call, struct control_client, call);
	int err = fflush(call->to) ? -errno : 0;

	if (!err)
		err = control_send(client->poll.fd, ok, fileno(call->to));
	if (err)
		log_debug("control socket: cannot send a response: %s", strerror(-err));
	call_end(client);
	if (!client->session)
		client_close(client);
}

int control_defer(struct control_call *call, struct control_deferred *deferred)
{
	struct control_client *client = container_of(call, struct control_client, call);

	if (client->control->deferred >= CONTROL_DEFERRED_MAX)
		return -EBUSY;
	client->control->deferred++;
	client->deferred = deferred;
	deferred->call = call;
	return 0;
}

static void client_received(struct control_client *client, const char *text)
{
	if (client->session)
		client->session->received(client->session, text);
	else if (client->call.to)
		log_debug(
			"control socket: ignored a request of a client that waits for a response");
	else if (call_begin(client, text))
		client_close(client);
	else
		client->control->requested(client->control, &client->call);
}

/* The client or this server ends the connection. */
static void client_disconnect(struct control_client *client)
{
	if (client->session)
		session_ended(client->session);
	call_cancel(client);
	client_close(client);
}

/* Return: was there a packet, or has the client closed the connection? */
static bool client_read(struct control_client *client)
{
	static char text[CONTROL_REQUEST_MAX + 1]; /* the main thread's */
	ssize_t len = recv(client->poll.fd, text, CONTROL_REQUEST_MAX, MSG_DONTWAIT);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len > 0) {
		text[len] = 0;
		client_received(client, text);
		return true;
	}
	client_disconnect(client);
	return true;
}

/* Reads all packets that have arrived since the last event. */
static void client_ready(struct ring_poll *poll)
{
	struct control_client *client = container_of(poll, struct control_client, poll);

	while (!client->closing && client_read(client))
		;
}

/* Return: has @client neither a session nor a request without a response? */
static bool is_idle(const struct control_client *client)
{
	return !client->session && !client->call.to && !client->closing;
}

/* A request that has arrived meanwhile gets its response first. */
static void client_end_idle(struct control_client *client)
{
	if (!client_read(client))
		client_close(client);
}

static unsigned int tick_ms(const struct control *control)
{
	return MIN(control->idle_ms, TICK_MS);
}

static void idle_expired(struct ring_timer *timer)
{
	struct control *control = container_of(timer, struct control, idle);
	unsigned int tick = tick_ms(control);

	for (struct control_client *client = control->clients; client; client = client->next) {
		if (!is_idle(client))
			continue;
		if (client->idle_ms >= tick)
			client->idle_ms -= tick;
		else
			client_end_idle(client);
	}
	if (control->clients && !control->stopping)
		ring_timer_start(control->ring, timer, tick * 1000ull, idle_expired);
	maybe_stopped(control);
}

/* Disconnects the client that has been idle for the longest time. */
static void close_oldest(struct control *control)
{
	struct control_client *oldest = NULL;

	for (struct control_client *client = control->clients; client; client = client->next)
		if (is_idle(client))
			oldest = client;
	if (oldest)
		client_end_idle(oldest);
}

static void accept_one(struct control *control, int fd)
{
	struct control_client *client;

	if (control->open >= CONTROL_CLIENTS_MAX)
		close_oldest(control);
	client = control->open < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->idle_ms = control->idle_ms;
	client->next = control->clients;
	control->clients = client;
	control->open++;
	ring_poll_start(control->ring, &client->poll, fd, client_ready);
	ring_timer_start(control->ring, &control->idle, MIN(control->idle_ms, TICK_MS) * 1000ull,
			 idle_expired);
}

static void accepts_ready(struct ring_poll *poll)
{
	struct control *control = container_of(poll, struct control, accepts);
	int fd;

	while ((fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		accept_one(control, fd);
}

/* A new socket that refuses connections may belong to a server that is starting. */
static bool is_old(const char *path)
{
	struct stat st;

	return !stat(path, &st) && time(NULL) - st.st_mtime >= SET_UP_S;
}

static void remove_if_dead(const char *path, enum control_name name)
{
	int fd = control_connect(path);

	if (fd >= 0)
		close(fd);
	else if (fd == -ECONNREFUSED && (name == CONTROL_NAME_UNIQUE || is_old(path)))
		unlink(path);
}

/* Removes the sockets of servers that were killed. */
static void remove_dead(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		enum control_name name = control_name_of(entry->d_name);

		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (name != CONTROL_NAME_OTHER)
			remove_if_dead(path, name);
	}
	if (dir)
		closedir(dir);
}

int control_start(struct control *control, struct ring *ring, const char *directory)
{
	control->ring = ring;
	if (!control->idle_ms)
		control->idle_ms = CONTROL_IDLE_MS;
	remove_dead(directory);
	control->fd = control_listen(directory, control->path);
	if (control->fd < 0) {
		log_err("cannot listen in %s for vduse-blk list, stats and serve --takeover: %s",
			directory, strerror(-control->fd));
		return control->fd;
	}
	ring_poll_start(ring, &control->accepts, control->fd, accepts_ready);
	return 0;
}

static void accepts_stopped(struct ring_poll *poll)
{
	struct control *control = container_of(poll, struct control, accepts);

	close(control->fd);
	control->closed = true;
	maybe_stopped(control);
}

void control_stop(struct control *control, void (*stopped)(struct control *control))
{
	struct control_client *client, *next;

	control->stopping = true;
	control->stopped = stopped;
	unlink(control->path);
	for (client = control->clients; client; client = next) {
		next = client->next;
		if (!client->closing)
			client_disconnect(client);
	}
	ring_timer_expire_now(control->ring, &control->idle);
	ring_poll_stop(&control->accepts, accepts_stopped);
}

void control_session(struct control_call *call, struct control_session *session)
{
	struct control_client *client = container_of(call, struct control_client, call);

	client->session = session;
	session->client = client;
	control_peer_get(client->poll.fd, &session->peer);
}

int control_session_send_fds(struct control_session *session, const char *text, const int *fds,
			     unsigned int count)
{
	if (!session->client)
		return -ENOTCONN;
	return control_send_packet(session->client->poll.fd, text, fds, count);
}

int control_session_send(struct control_session *session, const char *text)
{
	return control_session_send_fds(session, text, NULL, 0);
}

void control_session_end(struct control_session *session)
{
	struct control_client *client = session->client;

	if (!client)
		return;
	session_leave(session);
	control_peer_put(&session->peer);
	client_close(client);
}
