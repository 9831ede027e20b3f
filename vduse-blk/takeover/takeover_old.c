// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_old.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "process/notify.h"
#include "takeover.h"

#define RETRY_SEND_US 10000

enum release_state {
	RELEASE_NONE,	 /* the new server has not requested its release */
	RELEASE_PENDING, /* its release is under way: requests in flight complete */
	RELEASE_DONE,	 /* the new server may adopt it */
	RELEASE_ADOPTED, /* the new server has adopted it; forgotten after "complete" */
};

struct session_disk {
	struct list_node node;
	struct takeover_old *old;
	char *name;
	struct disk_command command;
	enum release_state state;
	bool sent; /* "released" was sent */
};

/* ---- messages to the new server ---- */

static void send_released(struct takeover_old *old);

static void retry_send(struct ring_timer *timer)
{
	struct takeover_old *old = container_of(timer, struct takeover_old, retry_send);

	if (old->active)
		send_released(old);
}

/* Return: was the message sent? If the socket is full, a timer calls send_released() */
static bool send_with(struct takeover_old *old, const char *word, const char *name, const int *fds,
		      unsigned int count)
{
	char line[TAKEOVER_WORD_MAX + CONTROL_NAME_MAX + 2];
	int err;

	snprintf(line, sizeof(line), "%s %s\n", word, name);
	err = control_session_send_fds(&old->session, line, fds, count);
	if (err == -EAGAIN)
		ring_timer_start(old->ring, &old->retry_send, RETRY_SEND_US, retry_send);
	return !err; /* any other error ends the session: session_ended() is called */
}

static bool send_message(struct takeover_old *old, const char *word, const char *name)
{
	return send_with(old, word, name, NULL, 0);
}

/* With the connection of its front end, if it has one. */
static bool send_disk(struct takeover_old *old, const char *name)
{
	int fds[TAKEOVER_FDS];
	bool sent;

	if (!old->connections || old->ops->connection(old, name, fds))
		return send_message(old, TAKEOVER_RELEASED, name);
	sent = send_with(old, TAKEOVER_RELEASED, name, fds, TAKEOVER_FDS);
	close(fds[1]);
	return sent;
}

static void send_released(struct takeover_old *old)
{
	list_for_each_entry (disk, &old->disks, struct session_disk, node)
		if (disk->state == RELEASE_DONE && !disk->sent)
			disk->sent = send_disk(old, disk->name);
}

/* ---- messages from the new server ---- */

static void release_done(struct disk_command *command, int err)
{
	struct session_disk *disk = container_of(command, struct session_disk, command);

	if (err) {
		disk->state = RELEASE_NONE;
		if (!send_message(disk->old, TAKEOVER_BUSY, disk->name))
			log_debug("%s: cannot send \"busy\" to the new server", disk->name);
		return;
	}
	disk->state = RELEASE_DONE;
	send_released(disk->old);
}

/* A disk that has ended since the session began counts as released. */
static void release(struct takeover_old *old, struct session_disk *disk)
{
	if (disk->state != RELEASE_NONE)
		return;
	disk->state = RELEASE_PENDING;
	disk->command = (struct disk_command){
		.verb = DISK_RELEASE,
		.connections = old->connections,
		.done = release_done,
	};
	if (old->ops->has(old, disk->name))
		old->ops->release(old, disk->name, &disk->command);
	else
		release_done(&disk->command, 0);
}

static void served(struct takeover_old *old, struct session_disk *disk)
{
	if (disk->state != RELEASE_DONE)
		return;
	if (old->complete)
		old->ops->forget(old, disk->name);
	else
		disk->state = RELEASE_ADOPTED;
}

static void completed(struct takeover_old *old)
{
	char who[CONTROL_PEER_NAME_MAX];
	size_t left = 0;

	control_peer_name(old->session.peer.pid, who);
	old->complete = true;
	list_for_each_entry (disk, &old->disks, struct session_disk, node) {
		if (disk->state == RELEASE_ADOPTED)
			old->ops->forget(old, disk->name);
		left += old->ops->has(old, disk->name);
	}
	if (left)
		log_info("%s has taken over; %zu disks follow when their requests in flight have "
			 "completed",
			 who, left);
	else
		log_info("%s has taken over", who);
}

static struct session_disk *find_disk(const struct takeover_old *old, const char *name)
{
	list_for_each_entry (disk, &old->disks, struct session_disk, node)
		if (!strcmp(disk->name, name))
			return disk;
	return NULL;
}

static void handle_message(struct takeover_old *old, const struct takeover_line *line)
{
	struct session_disk *disk = find_disk(old, line->name);

	if (!strcmp(line->word, TAKEOVER_COMPLETE))
		completed(old);
	else if (!strcmp(line->word, TAKEOVER_CONNECTIONS))
		old->connections = true;
	else if (!disk)
		log_debug("takeover: ignored '%s %s': the session has no such disk", line->word,
			  line->name);
	else if (!strcmp(line->word, TAKEOVER_RELEASE))
		release(old, disk);
	else if (!strcmp(line->word, TAKEOVER_SERVING))
		served(old, disk);
}

static void session_received(struct control_session *session, const char *text)
{
	struct takeover_old *old = container_of(session, struct takeover_old, session);
	struct takeover_line line;

	while (takeover_next(&text, &line))
		handle_message(old, &line);
}

/* ---- the session ---- */

static size_t take_back(struct takeover_old *old)
{
	size_t count = 0;

	list_for_each_entry (disk, &old->disks, struct session_disk, node) {
		if (disk->state == RELEASE_NONE || !old->ops->has(old, disk->name))
			continue;
		old->ops->take_back(old, disk->name);
		count++;
	}
	return count;
}

static bool has_disks(struct takeover_old *old)
{
	char *names = old->ops->names(old);
	bool has = !names || names[0];

	free(names);
	return has;
}

static void free_disks(struct takeover_old *old)
{
	struct list_node *node;

	while ((node = list_take(&old->disks))) {
		struct session_disk *disk = container_of(node, struct session_disk, node);

		free(disk->name);
		free(disk);
	}
}

static void session_ended(struct control_session *session)
{
	struct takeover_old *old = container_of(session, struct takeover_old, session);
	size_t count = take_back(old);
	char who[CONTROL_PEER_NAME_MAX];

	control_peer_name(session->peer.pid, who);
	if (count)
		log_warn("the takeover by %s has ended early: this server serves %zu disks again",
			 who, count);
	else if (!old->complete)
		log_info("the takeover by %s has ended before it requested a disk", who);
	if (old->complete && has_disks(old))
		notify_main_pid();
	free_disks(old);
	old->active = old->complete = old->connections = false;
}

/* Return: do the lists have a name in common? @foreign: set to one of @ours not in @theirs; "": none */
static bool compare(const char *ours, const char *theirs, char foreign[CONTROL_NAME_MAX])
{
	char name[CONTROL_NAME_MAX];
	bool common = false;

	foreign[0] = '\0';
	while (control_next_name(&ours, name)) {
		if (control_names_has(theirs, name))
			common = true;
		else
			strcpy(foreign, name);
	}
	return common;
}

/* Return: may the session begin? If not, writes the reason to @to */
static bool may_begin(const struct takeover_old *old, const char *foreign, FILE *to)
{
	char who[CONTROL_PEER_NAME_MAX];

	if (old->active)
		fprintf(to, "another takeover from it is under way, by %s",
			control_peer_name(old->session.peer.pid, who));
	else if (foreign[0])
		fprintf(to,
			"it serves %s too, which the configuration file does not have: keep the "
			"section [%s], or end that server first, which detaches its disks "
			"(kill -TERM %d)",
			foreign, foreign, (int)getpid());
	else
		return true;
	return false;
}

/* Return: 0; -ENOMEM */
static int add_disk(struct takeover_old *old, const char *name)
{
	struct session_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return -ENOMEM;
	disk->old = old;
	disk->name = strdup(name);
	list_add(&old->disks, &disk->node);
	return disk->name ? 0 : -ENOMEM;
}

static int start(struct takeover_old *old, struct control_call *call, const char *names)
{
	char who[CONTROL_PEER_NAME_MAX], name[CONTROL_NAME_MAX];
	int err = 0;

	list_init(&old->disks);
	while (!err && control_next_name(&names, name))
		err = add_disk(old, name);
	if (err) {
		free_disks(old);
		return err;
	}
	old->active = true;
	old->session.received = session_received;
	old->session.ended = session_ended;
	control_session(call, &old->session);
	log_info("%s begins to take over", control_peer_name(old->session.peer.pid, who));
	return 0;
}

/* @ours: the names of the disks of this server; NULL: no memory. Return: @ok for control_respond() */
static bool begin(struct takeover_old *old, struct control_call *call, const char *ours,
		  const char *theirs)
{
	char foreign[CONTROL_NAME_MAX];

	if (ours && !compare(ours, theirs, foreign))
		return true; /* @theirs has no disk of this server: the response is empty */
	if (ours && !may_begin(old, foreign, call->to))
		return false;
	if (!ours || start(old, call, ours)) {
		fputs("it is out of memory", call->to);
		return false;
	}
	fputs(ours, call->to);
	return true;
}

void takeover_old_begin(struct takeover_old *old, struct control_call *call, const char *names)
{
	char *ours = old->ops->names(old);

	control_respond(call, begin(old, call, ours, names));
	free(ours);
}

void takeover_old_exit(struct takeover_old *old)
{
	if (old->active)
		free_disks(old);
}
