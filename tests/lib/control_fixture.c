// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_fixture.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "control/control_ask.h"
#include "ring.h"

struct control_fixture_options control_fixture;

static struct {
	pthread_t thread;
	pthread_barrier_t started;
	struct ring ring;
	struct control control;
	const char *directory;
	control_fixture_answer *answer;
	bool ending, ended;
} server;

static void requested(struct control *control, struct control_call *call)
{
	server.ending |= !strcmp(call->text, "end");
	if (!control_fixture.begin || !control_fixture.begin(control, call))
		control_respond(call, server.answer(control, call->text, call->to));
}

static void stopped(struct control *control)
{
	(void)control;
	server.ended = true;
}

static void *serve(void *unused)
{
	bool stopping = false;

	(void)unused;
	if (ring_init(&server.ring, 16))
		abort();
	server.control.requested = requested;
	server.control.idle_ms = control_fixture.idle_ms;
	if (control_start(&server.control, &server.ring, server.directory))
		abort();
	pthread_barrier_wait(&server.started);
	while (!server.ended) {
		if (ring_run(&server.ring, true))
			abort();
		if (server.ending && !stopping) {
			stopping = true;
			control_stop(&server.control, stopped);
		}
	}
	ring_exit(&server.ring);
	return NULL;
}

const char *control_fixture_start(char *directory, control_fixture_answer *answer_question)
{
	memset(&server, 0, sizeof(server));
	server.directory = directory;
	server.answer = answer_question;
	pthread_barrier_init(&server.started, NULL, 2);
	ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
	pthread_barrier_wait(&server.started);
	return server.control.path;
}

static void ignore(const struct control_response *answered, void *ctx)
{
	(void)answered;
	(void)ctx;
}

void control_fixture_end(void)
{
	int answers;

	/* With little patience it may disconnect us before we have asked. */
	do {
		answers = control_ask_text(server.directory, "end", ignore, NULL);
	} while (!answers && control_fixture.idle_ms);
	ck_assert_int_eq(answers, 1);
	pthread_join(server.thread, NULL);
	pthread_barrier_destroy(&server.started);
	control_fixture = (struct control_fixture_options){ 0 };
}
