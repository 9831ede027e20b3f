// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_old.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "process/notify.h"
#include "takeover.h"

#define RETRY_TELL_US 10000

enum yield_state {
	YIELD_NOT,	 /* the new server has not asked for it */
	YIELD_ASKED,	 /* this server waits for its requests in flight */
	YIELD_RELEASED,	 /* the new server may adopt it */
	YIELD_SERVED,	 /* the new server has adopted it */
	YIELD_FORGOTTEN, /* the same, after "complete": this server cannot take it back */
};

struct yielded {
	struct takeover_old *old;
	struct handover handover;
	enum yield_state state;
	bool told; /* "released" was sent */
};

static size_t number_of(const struct yielded *disk)
{
	return (size_t)(disk - disk->old->disks);
}

static void release_done(struct handover *handover, int err);

/* ---- messages to the new server ---- */

static void tell_released(struct takeover_old *old);

static void retry_tell(struct ring_timer *timer)
{
	struct takeover_old *old = container_of(timer, struct takeover_old, retry_tell);

	if (old->active)
		tell_released(old);
}

/* Return: was the message sent? After a full socket tell_released() is called again */
static bool tell(struct takeover_old *old, const char *word, const char *name)
{
	char line[TAKEOVER_WORD_MAX + TAKEOVER_NAME_MAX + 2];
	int err;

	snprintf(line, sizeof(line), "%s %s\n", word, name);
	err = control_session_say(&old->session, line);
	if (err == -EAGAIN)
		ring_timer_start(old->ring, &old->retry_tell, RETRY_TELL_US, retry_tell);
	return !err; /* any other error is the end of the session: session_gone() is called */
}

static void tell_released(struct takeover_old *old)
{
	for (size_t i = 0; i < old->disk_count; i++) {
		struct yielded *disk = &old->disks[i];
		const char *name = old->ops->name(old, i);

		if (disk->state != YIELD_RELEASED || disk->told || !name)
			continue;
		disk->told = tell(old, TAKEOVER_RELEASED, name);
		if (!disk->told)
			return;
	}
}

/* ---- messages from the new server ---- */

static void release_done(struct handover *handover, int err)
{
	struct yielded *disk = container_of(handover, struct yielded, handover);
	struct takeover_old *old = disk->old;
	const char *name = old->ops->name(old, number_of(disk));

	if (err) {
		disk->state = YIELD_NOT;
		if (name && !tell(old, TAKEOVER_BUSY, name))
			log_debug("%s: cannot send \"busy\" to the new server", name);
		return;
	}
	disk->state = YIELD_RELEASED;
	tell_released(old);
}

static void release(struct takeover_old *old, size_t i)
{
	struct yielded *disk = &old->disks[i];

	if (disk->state != YIELD_NOT)
		return;
	disk->state = YIELD_ASKED;
	disk->told = false;
	disk->handover.done = release_done;
	old->ops->release(old, i, &disk->handover);
}

static void forget(struct takeover_old *old, size_t i)
{
	old->disks[i].state = YIELD_FORGOTTEN;
	old->ops->forget(old, i);
}

static void served(struct takeover_old *old, size_t i)
{
	if (old->disks[i].state != YIELD_RELEASED)
		return;
	if (old->complete)
		forget(old, i);
	else
		old->disks[i].state = YIELD_SERVED;
}

static void completed(struct takeover_old *old)
{
	char who[CONTROL_PEER_NAME_MAX];
	size_t left = 0;

	control_peer_name(old->session.peer.pid, who);
	old->complete = true;
	for (size_t i = 0; i < old->disk_count; i++) {
		if (old->disks[i].state == YIELD_SERVED)
			forget(old, i);
		left += old->disks[i].state != YIELD_FORGOTTEN && old->ops->name(old, i);
	}
	if (left)
		log_info("%s has taken over; %zu disks follow when their requests in flight have "
			 "completed",
			 who, left);
	else
		log_info("%s has taken over", who);
}

static void obey(struct takeover_old *old, const struct takeover_line *line)
{
	size_t i = 0;

	if (!strcmp(line->word, TAKEOVER_COMPLETE)) {
		completed(old);
		return;
	}
	while (i < old->disk_count &&
	       (!old->ops->name(old, i) || strcmp(old->ops->name(old, i), line->name)))
		i++;
	if (i == old->disk_count)
		log_debug("takeover: there is no disk for '%s %s'", line->word, line->name);
	else if (!strcmp(line->word, TAKEOVER_RELEASE))
		release(old, i);
	else if (!strcmp(line->word, TAKEOVER_SERVING))
		served(old, i);
}

static void session_said(struct control_session *session, const char *text)
{
	struct takeover_old *old = container_of(session, struct takeover_old, session);
	struct takeover_line line;

	while (old->active && takeover_next(&text, &line))
		obey(old, &line);
}

/* ---- the session ---- */

static size_t take_back(struct takeover_old *old)
{
	size_t count = 0;

	for (size_t i = 0; i < old->disk_count; i++) {
		enum yield_state state = old->disks[i].state;

		if (state == YIELD_NOT || state == YIELD_FORGOTTEN || !old->ops->name(old, i))
			continue;
		old->ops->take_back(old, i);
		count++;
	}
	return count;
}

static bool has_disks(struct takeover_old *old)
{
	for (size_t i = 0; i < old->disk_count; i++)
		if (old->ops->name(old, i))
			return true;
	return false;
}

static void session_gone(struct control_session *session)
{
	struct takeover_old *old = container_of(session, struct takeover_old, session);
	size_t count = take_back(old);
	char who[CONTROL_PEER_NAME_MAX];

	control_peer_name(session->peer.pid, who);
	if (count)
		log_warn("%s, which was taking over, has given up or ended: this server goes on, "
			 "and serves %zu disks again",
			 who, count);
	else if (!old->complete)
		log_info("%s has given up or ended before it took over a disk", who);
	if (old->complete && has_disks(old))
		notify_main_pid();
	free(old->disks);
	old->disks = NULL;
	old->active = old->complete = false;
}

/* Return: how many of our disks are in @names. *@foreign: one that is not; NULL: none */
static size_t compare(struct takeover_old *old, const char *names, const char **foreign)
{
	size_t ours = 0;

	*foreign = NULL;
	for (size_t i = 0; i < old->disk_count; i++) {
		const char *name = old->ops->name(old, i);

		if (name && takeover_names(names, name))
			ours++;
		else if (name)
			*foreign = name;
	}
	return ours;
}

/* Return: may the session begin? If not, the reason is in @to */
static bool may_begin(const struct takeover_old *old, const char *foreign, FILE *to)
{
	char who[CONTROL_PEER_NAME_MAX];

	if (old->active)
		fprintf(to, "another takeover from it is under way, by %s",
			control_peer_name(old->session.peer.pid, who));
	else if (foreign)
		fprintf(to,
			"it serves %s too, which the configuration file does not have: keep the "
			"section [%s], or end that server first, which detaches its disks "
			"(kill -TERM %d)",
			foreign, foreign, (int)getpid());
	else
		return true;
	return false;
}

static bool start(struct takeover_old *old, struct control_client *client)
{
	char who[CONTROL_PEER_NAME_MAX];

	old->disks = calloc(old->disk_count, sizeof(*old->disks));
	if (!old->disks)
		return false;
	for (size_t i = 0; i < old->disk_count; i++)
		old->disks[i].old = old;
	old->active = true;
	old->session.said = session_said;
	old->session.gone = session_gone;
	control_session(client, &old->session);
	log_info("%s begins to take over", control_peer_name(old->session.peer.pid, who));
	return true;
}

bool takeover_old_begin(struct takeover_old *old, struct control_client *client,
			const char *question, FILE *to, bool *ok)
{
	const char *foreign, *names = question + strlen(TAKEOVER_BEGIN);

	if (strncmp(question, TAKEOVER_BEGIN, strlen(TAKEOVER_BEGIN)))
		return false;
	*ok = true;
	if (!compare(old, names, &foreign))
		return true; /* @names has none of our disks: an empty response */
	*ok = may_begin(old, foreign, to);
	if (*ok && !start(old, client)) {
		fputs("it is out of memory", to);
		*ok = false;
	}
	for (size_t i = 0; *ok && i < old->disk_count; i++)
		if (old->ops->name(old, i))
			fprintf(to, "%s\n", old->ops->name(old, i));
	return true;
}
