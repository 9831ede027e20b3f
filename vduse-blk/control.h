/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a running server is asked things: a socket per server, RUNTIME_DIR/PID.control.
 *
 * One packet with the question, one with the answer: its first word "ok" or "error", and the text as
 * an unlinked memory file, so that no answer is too long and nobody who reads slowly holds up the
 * thread that answers control messages of the kernel. Whoever can enter the directory (root) may ask.
 */
#ifndef VDUSE_BLK_CONTROL_H
#define VDUSE_BLK_CONTROL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "compiler.h"
#include "ring.h"

#define CONTROL_QUESTION_MAX 65536 /* bytes; the names of 1024 devices fit into it */

struct control {
	struct ring *ring;
	int fd; /* listens; -1 where nobody can ask */
	char path[128];
	struct ring_poll accepts;
	unsigned int clients; /* whose question has not come yet */
	bool stopping;
	void (*stopped)(struct control *control);

	/* Set by the caller. Writes the answer; false: it is an error. */
	bool (*answer)(struct control *control, const char *question, FILE *to);
};

/**
 * control_start() - listen in @directory; main thread, like everything of the server's here
 *
 * What servers left there that were killed is removed. Return: 0; -errno, logged
 */
int __must_check control_start(struct control *control, struct ring *ring, const char *directory);

/** control_stop() - @stopped is called when the ring does not use @control any more */
void control_stop(struct control *control, void (*stopped)(struct control *control));

/**
 * control_ask() - ask every server that listens in @directory; from another process
 * @answer: called for each one's answer: who, whether it was an error, its text
 *
 * Return: how many answered; -errno: the directory cannot be read, logged
 */
int __must_check control_ask(const char *directory, const char *question,
			     void (*answer)(pid_t pid, bool error, const char *text, void *ctx),
			     void *ctx);

#endif
