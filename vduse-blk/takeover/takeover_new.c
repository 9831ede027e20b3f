// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_new.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/control_socket.h"
#include "log.h"
#include "process/notify.h"
#include "takeover.h"
#include "takeover_session.h"

#define RETRY_US 100000 /* after a full socket, or for a disk that was busy */

/*
 * A disk pauses from its release until it is adopted, and disks that pause together compete for the
 * CPUs. So the new server requests one disk after the other: the pause of a disk does not depend on
 * the number of disks. If a disk is not served after two ticks, its store may stall: then the new server
 * requests the next disk without waiting longer.
 */
#define AT_A_TIME  1u
#define TICKS_LATE 2u
#define TICK_US	   250000

struct old_server {
	struct takeover_new *takeover;
	struct takeover_session session;
	bool sent_complete;
};

struct old_disk {
	struct list_node node;
	char *name;
	struct old_server *from; /* the server that has or had the disk */
	bool ready;		 /* this server is ready to adopt it */
	bool asked;		 /* "release" was sent */
	unsigned int ticks;	 /* since @asked */
	bool released;		 /* "released" came, or the old server has ended */
	bool serving;		 /* this server has adopted the disk */
	bool sent_serving;	 /* "serving" was sent */
};

/* Return: the disk of that name; NULL: no old server has or had it */
static struct old_disk *find_disk(const struct takeover_new *takeover, const char *name)
{
	if (!takeover->ring)
		return NULL;
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		if (!strcmp(disk->name, name))
			return disk;
	return NULL;
}

/* ---- messages to the old servers ---- */

static void send_all(struct takeover_new *takeover);

static void retry_expired(struct ring_timer *timer)
{
	send_all(container_of(timer, struct takeover_new, retry));
}

static void retry_later(struct takeover_new *takeover)
{
	ring_timer_start(takeover->ring, &takeover->retry, RETRY_US, retry_expired);
}

/* Return: false: the message was not sent; a timer retries, unless the session has ended */
static bool send_message(struct old_server *server, const char *word, const char *name)
{
	int err = takeover_session_send(&server->session, word, name);

	if (err == -EAGAIN)
		retry_later(server->takeover);
	return !err;
}

static unsigned int count_under_way(const struct takeover_new *takeover)
{
	unsigned int count = 0;

	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		count += disk->asked && !disk->serving && disk->ticks < TICKS_LATE;
	return count;
}

static void tick_expired(struct ring_timer *timer)
{
	struct takeover_new *takeover = container_of(timer, struct takeover_new, tick);

	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		disk->ticks++;
	send_all(takeover);
}

static void ask_for(struct takeover_new *takeover, struct old_disk *disk)
{
	if (count_under_way(takeover) >= (takeover->at_a_time ? takeover->at_a_time : AT_A_TIME)) {
		ring_timer_start(takeover->ring, &takeover->tick,
				 takeover->tick_us ? takeover->tick_us : TICK_US, tick_expired);
		return;
	}
	disk->ticks = 0;
	disk->asked = send_message(disk->from, TAKEOVER_RELEASE, disk->name);
}

static void send_for_disk(struct takeover_new *takeover, struct old_disk *disk)
{
	if (disk->ready && !disk->asked && !disk->released)
		ask_for(takeover, disk);
	if (disk->serving && !disk->sent_serving)
		disk->sent_serving = send_message(disk->from, TAKEOVER_SERVING, disk->name);
}

/* "complete" is sent after "serving" of each of the server's disks. */
static bool has_unsent(const struct takeover_new *takeover, const struct old_server *server)
{
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		if (disk->from == server && disk->serving && !disk->sent_serving)
			return true;
	return false;
}

static void send_all(struct takeover_new *takeover)
{
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		send_for_disk(takeover, disk);
	for (size_t i = 0; i < takeover->server_count && takeover->complete; i++) {
		struct old_server *server = &takeover->servers[i];

		if (!server->sent_complete && !has_unsent(takeover, server))
			server->sent_complete = send_message(server, TAKEOVER_COMPLETE, NULL);
	}
}

/* ---- messages from the old servers ---- */

static void released(struct takeover_new *takeover, struct old_disk *disk)
{
	if (disk->released || takeover->cancelled)
		return;
	disk->released = true;
	takeover->ops->released(takeover, disk->name);
}

static void take_connection(struct old_server *server, const struct old_disk *disk)
{
	struct takeover_new *takeover = server->takeover;
	int *fds = server->session.fds;

	if (disk->released || takeover->cancelled || fds[0] < 0 || fds[1] < 0 ||
	    !takeover->ops->connection)
		return;
	if (takeover->ops->connection(takeover, disk->name, fds))
		fds[0] = fds[1] = -1;
}

static void keep(struct takeover_new *takeover, const struct old_disk *disk)
{
	if (takeover->ops->kept && !takeover->cancelled)
		takeover->ops->kept(takeover, disk->name);
}

static void server_received(struct takeover_session *session, const struct takeover_line *line)
{
	struct old_server *server = container_of(session, struct old_server, session);
	struct old_disk *disk = find_disk(server->takeover, line->name);

	if (!disk || disk->from != server || !disk->asked)
		return;
	if (!strcmp(line->word, TAKEOVER_RELEASED)) {
		take_connection(server, disk);
		released(server->takeover, disk);
	} else if (!strcmp(line->word, TAKEOVER_BUSY)) {
		disk->asked = false;
		retry_later(server->takeover);
	}
}

/* The connection is closed. If the old process has ended, its disks can be adopted as after a crash. */
static void server_ended(struct takeover_session *session)
{
	struct old_server *server = container_of(session, struct old_server, session);
	struct takeover_new *takeover = server->takeover;
	char who[CONTROL_PEER_NAME_MAX];
	size_t left = 0;

	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		left += disk->from == server && !disk->released;
	if (left && !takeover->cancelled)
		log_warn("%s has ended during the takeover: this server adopts its remaining %zu "
			 "disks as after a crash",
			 control_peer_name(session->pid, who), left);
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node) {
		if (disk->from != server)
			continue;
		keep(takeover, disk);
		released(takeover, disk);
	}
}

/* ---- states of the disks ---- */

bool takeover_new_holds(const struct takeover_new *takeover, const char *name)
{
	const struct old_disk *disk = find_disk(takeover, name);

	return disk && !disk->released;
}

void takeover_new_ask(struct takeover_new *takeover, const char *name)
{
	struct old_disk *disk = find_disk(takeover, name);

	if (!disk || disk->released)
		return;
	disk->ready = true;
	send_for_disk(takeover, disk);
}

void takeover_new_serving(struct takeover_new *takeover, const char *name)
{
	struct old_disk *disk = find_disk(takeover, name);

	if (!disk || !disk->released)
		return;
	disk->serving = true;
	send_all(takeover); /* also requests the next disk */
}

void takeover_new_failed(struct takeover_new *takeover, const char *name)
{
	const struct old_disk *disk = find_disk(takeover, name);
	char why[CONTROL_NAME_MAX + 32];

	if (!disk || !disk->released || disk->from->session.fd < 0)
		return; /* without an old server that could take it back, it is tried again */
	snprintf(why, sizeof(why), "disk %s cannot be adopted", name);
	takeover_new_cancel(takeover, why);
}

static bool has_session(const struct takeover_new *takeover)
{
	for (size_t i = 0; i < takeover->server_count; i++)
		if (takeover->servers[i].session.fd >= 0)
			return true;
	return false;
}

bool takeover_new_cancel(struct takeover_new *takeover, const char *why)
{
	if (takeover->complete || takeover->cancelled || !has_session(takeover))
		return false;
	log_err("the takeover is cancelled: %s; the old server continues to serve its disks", why);
	takeover->cancelled = true;
	takeover->ops->cancelled(takeover);
	takeover_new_end(takeover);
	return true;
}

void takeover_new_end(struct takeover_new *takeover)
{
	for (size_t i = 0; i < takeover->server_count; i++)
		takeover_session_end(&takeover->servers[i].session);
}

static void log_late(const struct takeover_new *takeover)
{
	char who[CONTROL_PEER_NAME_MAX];

	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		if (!disk->released)
			log_warn("%s: is not taken over yet: %s waits for its requests in flight, "
				 "perhaps because the store stalls, and releases it when they have "
				 "completed",
				 disk->name, control_peer_name(disk->from->session.pid, who));
}

/* Return: was at least one disk released, or had the old servers none? */
static bool any_released(const struct takeover_new *takeover)
{
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		if (disk->released)
			return true;
	return list_is_empty(&takeover->disks);
}

bool takeover_new_complete(struct takeover_new *takeover)
{
	if (!takeover->ring || takeover->complete)
		return true;
	if (takeover->cancelled)
		return false;
	if (!any_released(takeover)) {
		takeover_new_cancel(takeover, "the old server has released no disk");
		return false;
	}
	log_late(takeover);
	takeover->complete = true;
	if (takeover->server_count)
		notify_main_pid(); /* before the old main process may end */
	list_for_each_entry (disk, &takeover->disks, struct old_disk, node)
		keep(takeover, disk);
	send_all(takeover);
	return true;
}

/* ---- init and exit ---- */

static int add_disk(struct takeover_new *takeover, struct old_server *server, const char *name)
{
	struct old_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return -ENOMEM;
	disk->name = strdup(name);
	if (!disk->name) {
		free(disk);
		return -ENOMEM;
	}
	disk->from = server;
	list_add(&takeover->disks, &disk->node);
	return 0;
}

/* If two servers report the same disk, the first one counts. */
static int add_disks(struct takeover_new *takeover, struct old_server *server,
		     const struct config *config, const char *names)
{
	int err = 0;

	for (size_t i = 0; i < config->device_count && !err; i++) {
		const char *name = config->devices[i].name;

		if (control_names_has(names, name) && !find_disk(takeover, name))
			err = add_disk(takeover, server, name);
	}
	return err;
}

int takeover_new_init(struct takeover_new *takeover, struct ring *ring, const struct config *config,
		      struct takeover_agreement *agreement)
{
	int err = 0;

	takeover->ring = ring;
	list_init(&takeover->disks);
	takeover->servers = calloc(agreement->count, sizeof(*takeover->servers));
	if (!takeover->servers)
		return -ENOMEM;
	for (size_t s = 0; s < agreement->count && !err; s++) {
		struct takeover_agreed *agreed = &agreement->servers[s];
		struct old_server *server = &takeover->servers[takeover->server_count++];

		*server = (struct old_server){
			.takeover = takeover,
			.session = {
				.fd = agreed->fd,
				.pid = agreed->pid,
				.received = server_received,
				.ended = server_ended,
			},
		};
		agreed->fd = -1;
		err = add_disks(takeover, server, config, agreed->names);
	}
	return err;
}

void takeover_new_start(struct takeover_new *takeover)
{
	for (size_t i = 0; i < takeover->server_count; i++) {
		struct old_server *server = &takeover->servers[i];

		/* Where it cannot be sent, the old server closes the connections. */
		if (takeover->ops->connection && !send_message(server, TAKEOVER_CONNECTIONS, NULL))
			log_debug("takeover: cannot send \"connections\"");
		takeover_session_start(&server->session, takeover->ring);
	}
}

void takeover_new_exit(struct takeover_new *takeover)
{
	for (size_t i = 0; i < takeover->server_count; i++)
		takeover_session_exit(&takeover->servers[i].session);
	while (takeover->ring && !list_is_empty(&takeover->disks)) {
		struct old_disk *disk =
			container_of(list_take(&takeover->disks), struct old_disk, node);

		free(disk->name);
		free(disk);
	}
	free(takeover->servers);
}
