/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server of the control protocol: a thread with a ring and a socket, until the request "end". */
#ifndef TESTS_LIB_CONTROL_FIXTURE_H
#define TESTS_LIB_CONTROL_FIXTURE_H

#include <stdbool.h>
#include <stdio.h>

#include "control/control.h"

typedef bool control_fixture_answer(struct control *control, const char *question, FILE *to);

/* What the caller may set; control_fixture_end() zeroes it. */
struct control_fixture_options {
	unsigned int idle_ms;
	/** @begin: called first. Return: it responds, now or later; false: @answer does */
	bool (*begin)(struct control *control, struct control_call *call);
};
extern struct control_fixture_options control_fixture;

/** control_fixture_start() - @answer runs on the server's thread. Return: the path of its socket */
const char *control_fixture_start(char *directory, control_fixture_answer *answer);

/** control_fixture_end() - asks it to end, and waits for that */
void control_fixture_end(void);

#endif
