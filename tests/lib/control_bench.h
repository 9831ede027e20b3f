/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A control server of its own: a thread with a ring and a socket, until it is asked "end". */
#ifndef TESTS_LIB_CONTROL_BENCH_H
#define TESTS_LIB_CONTROL_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include "control.h"

typedef bool control_bench_answer(struct control *control, const char *question, FILE *to);

/* What control.h lets the caller set; zeroed by control_bench_end(). */
struct control_bench_options {
	unsigned int idle_ms;
	bool (*begin)(struct control *control, struct control_client *client, const char *question,
		      FILE *to, bool *ok);
};
extern struct control_bench_options control_bench;

/** control_bench_start() - @answer runs on the server's thread. Return: the path of its socket */
const char *control_bench_start(char *directory, control_bench_answer *answer);

/** control_bench_end() - asks it to end, and waits for that */
void control_bench_end(void);

#endif
