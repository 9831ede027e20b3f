/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An old server of the takeover protocol, with its control socket, and a new one, on one ring. The test
 * implements the disks of both.
 */
#ifndef TESTS_TAKEOVER_FIXTURE_H
#define TESTS_TAKEOVER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/control.h"
#include "takeover/takeover.h"
#include "takeover/takeover_new.h"
#include "takeover/takeover_old.h"
#include "temp_dir.h"
#include "test_log.h"

#define TF_DISKS 4 /* as many as are released at a time in most tests */
#define TF_MANY	 12

/* A disk of the old server. */
enum tf_state { SERVED, QUIESCES, RELEASED, FORGOTTEN, ENDED };

extern struct takeover_fixture {
	struct ring ring;

	/* The old server. */
	struct control control;
	bool control_runs;
	struct takeover_old old;
	const char *names[TF_MANY];
	enum tf_state state[TF_MANY];
	bool stalls[TF_MANY];  /* has requests in flight that do not complete */
	bool closing[TF_MANY]; /* a release is answered with -EBUSY */
	struct disk_command *command[TF_MANY];
	unsigned int taken_back[TF_MANY];
	bool connected[TF_MANY]; /* has a connection of a front end, */
	int ends[2];		 /* for which these descriptors are passed */
	bool keeps[TF_MANY];	 /* the release was to keep the connection */

	/* The new server. */
	size_t count; /* of disks */
	unsigned int at_a_time;
	uint64_t tick_us;
	struct device_config devices[TF_MANY];
	struct config config;
	struct takeover_new new;
	bool new_runs;
	int session;	       /* its end of the connection */
	bool with_connections; /* it accepts connections of front ends */
	unsigned int passed[TF_MANY];
	unsigned int kept[TF_MANY];
	unsigned int released[TF_MANY];
	unsigned int cancelled;
	unsigned int fds_before;
} tf;

extern const char *const tf_names[TF_MANY]; /* a, bb, c, d, e, ... */
extern const struct takeover_new_ops tf_new_ops, tf_new_ops_with_connections;

/* Checked fixture, with temp_dir. */
void tf_setup(void);
void tf_teardown(void);

/** tf_run() - all that happens on the ring's thread has its effect */
void tf_run(void);

/** tf_ask() - ask the old server for a session. Return: its response, to be freed */
char *tf_ask(const char *wanted, int *fd, bool *error);

/** tf_say() - send this to the old server, and let it act */
void tf_say(int fd, const char *text);

/** tf_messages() - all messages that have come, except those that begin with @skip (or NULL) */
const char *tf_messages(int fd, const char *skip);

/** tf_new_server() - begin a session; tf_new_server_asks() for all disks */
void tf_new_server(void);
void tf_new_server_asks(void);

/** tf_new_server_dies() - as if killed: its descriptors are closed, and it does nothing more */
void tf_new_server_dies(void);

/** tf_new_server_serves() - it has adopted a disk */
void tf_new_server_serves(size_t i);

/** tf_old_server_ends() - as if killed: its sockets are closed */
void tf_old_server_ends(void);

/** tf_requests_complete() - of a disk that stalled, which then is released */
void tf_requests_complete(size_t i);

/** tf_expect_all() - each disk of the old server is in this state */
void tf_expect_all(enum tf_state state);

#endif
