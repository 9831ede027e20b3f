/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server of the control protocol: a thread with a ring and a socket, until the request "end". */
#ifndef TESTS_LIB_CONTROL_BENCH_H
#define TESTS_LIB_CONTROL_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include "control/control.h"

typedef bool control_bench_answer(struct control *control, const char *question, FILE *to);

/* What the caller may set; control_bench_end() zeroes it. */
struct control_bench_options {
	unsigned int idle_ms;
	/** @begin: called first. Return: it responds, now or later; false: @answer does */
	bool (*begin)(struct control *control, struct control_call *call);
};
extern struct control_bench_options control_bench;

/** control_bench_start() - @answer runs on the server's thread. Return: the path of its socket */
const char *control_bench_start(char *directory, control_bench_answer *answer);

/** control_bench_end() - asks it to end, and waits for that */
void control_bench_end(void);

#endif
