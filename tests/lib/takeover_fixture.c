// SPDX-License-Identifier: GPL-2.0-or-later
#include "takeover_fixture.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control_request.h"
#include "fds.h"

/* Turns of the ring after which nothing is left to do. */
#define ROUNDS 20

struct takeover_fixture tf;
const char *const tf_names[TF_MANY] = {
	"a", "bb", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"
};

/* ---- the old server's disks ---- */

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < TF_MANY; i++)
		if (!strcmp(tf.names[i], name))
			return i;
	ck_abort_msg("no disk %s", name);
	return 0;
}

static bool old_has(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	ck_assert_ptr_eq(old, &tf.old);
	return tf.state[i] != FORGOTTEN && tf.state[i] != ENDED;
}

static char *old_names(struct takeover_old *old)
{
	char *text = calloc(TF_MANY, 260);

	for (size_t i = 0; i < tf.count; i++)
		if (old_has(old, tf.names[i]))
			sprintf(text + strlen(text), "%s\n", tf.names[i]);
	return text;
}

static void old_release(struct takeover_old *old, const char *name, struct disk_command *command)
{
	size_t i = index_of(name);

	(void)old;
	ck_assert_int_eq(tf.state[i], SERVED);
	if (tf.closing[i]) {
		command->done(command, -EBUSY);
		return;
	}
	tf.keeps[i] = command->connections;
	tf.state[i] = tf.stalls[i] ? QUIESCES : RELEASED;
	tf.command[i] = command;
	if (!tf.stalls[i])
		command->done(command, 0);
}

static int old_connection(struct takeover_old *old, const char *name, int *fds)
{
	(void)old;
	if (!tf.connected[index_of(name)])
		return -ENOENT;
	fds[0] = tf.ends[0];
	fds[1] = dup(tf.ends[1]);
	return 0;
}

static void old_take_back(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	(void)old;
	ck_assert(tf.state[i] == QUIESCES || tf.state[i] == RELEASED);
	tf.state[i] = SERVED;
	tf.taken_back[i]++;
}

static void old_forget(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	if (!old_has(old, name))
		return;
	ck_assert_int_eq(tf.state[i], RELEASED);
	tf.state[i] = FORGOTTEN;
}

static const struct takeover_old_ops old_ops = {
	.names = old_names,
	.has = old_has,
	.release = old_release,
	.connection = old_connection,
	.take_back = old_take_back,
	.forget = old_forget,
};

void tf_requests_complete(size_t i)
{
	ck_assert_int_eq(tf.state[i], QUIESCES);
	tf.state[i] = RELEASED;
	tf.command[i]->done(tf.command[i], 0);
}

static void requested(struct control *control, struct control_call *call)
{
	struct control_request request;

	(void)control;
	ck_assert(control_request_parse(call->text, &request));
	ck_assert_int_eq(request.verb, CONTROL_TAKE_OVER);
	takeover_old_begin(&tf.old, call, request.names);
}

/* ---- the new server's ---- */

static void new_released(struct takeover_new *takeover, const char *name)
{
	ck_assert_ptr_eq(takeover, &tf.new);
	tf.released[index_of(name)]++;
}

static bool new_connection(struct takeover_new *takeover, const char *name, const int *fds)
{
	size_t i = index_of(name);

	ck_assert_ptr_eq(takeover, &tf.new);
	ck_assert_uint_eq(tf.released[i], 0); /* it comes before */
	tf.passed[i]++;
	close(fds[0]);
	close(fds[1]);
	return true;
}

static void new_kept(struct takeover_new *takeover, const char *name)
{
	(void)takeover;
	tf.kept[index_of(name)]++;
}

static void new_cancelled(struct takeover_new *takeover)
{
	(void)takeover;
	tf.cancelled++;
}

const struct takeover_new_ops tf_new_ops = {
	.released = new_released,
	.cancelled = new_cancelled,
};

const struct takeover_new_ops tf_new_ops_with_connections = {
	.released = new_released,
	.connection = new_connection,
	.kept = new_kept,
	.cancelled = new_cancelled,
};

void tf_run(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(ring_run(&tf.ring, false), 0);
}

char *tf_ask(const char *wanted, int *fd, bool *error)
{
	char question[400], *text;
	struct pollfd come;

	*fd = control_connect(tf.control.path);
	ck_assert_int_ge(*fd, 0);
	snprintf(question, sizeof(question), "take-over\n%s", wanted);
	ck_assert_int_gt(send(*fd, question, strlen(question), 0), 0);
	tf_run();
	come = (struct pollfd){ .fd = *fd, .events = POLLIN };
	ck_assert_int_eq(poll(&come, 1, -1), 1);
	text = control_receive(*fd, error);
	ck_assert_ptr_nonnull(text);
	return text;
}

void tf_new_server(void)
{
	struct takeover_agreed *agreed = calloc(1, sizeof(*agreed));
	struct takeover_agreement agreement = { .servers = agreed, .count = 1 };
	bool error;

	agreed->pid = getpid();
	agreed->names = tf_ask("a\nbb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n", &agreed->fd, &error);
	ck_assert_msg(!error, "%s", agreed->names);
	tf.session = agreed->fd;
	tf.new = (struct takeover_new){
		.ops = tf.with_connections ? &tf_new_ops_with_connections : &tf_new_ops,
		.at_a_time = tf.at_a_time,
		.tick_us = tf.tick_us,
	};
	ck_assert_int_eq(takeover_new_init(&tf.new, &tf.ring, &tf.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	tf.new_runs = true;
	memset(tf.released, 0, sizeof(tf.released));
	memset(tf.passed, 0, sizeof(tf.passed));
	memset(tf.kept, 0, sizeof(tf.kept));
}

void tf_new_server_asks(void)
{
	tf_new_server();
	takeover_new_start(&tf.new);
	for (size_t i = 0; i < tf.count; i++) {
		ck_assert(takeover_new_holds(&tf.new, tf_names[i]));
		takeover_new_ask(&tf.new, tf_names[i]);
	}
	tf_run();
}

void tf_new_server_dies(void)
{
	tf.new.cancelled = true;
	ck_assert_int_eq(shutdown(tf.session, SHUT_RDWR), 0);
	tf_run();
	takeover_new_exit(&tf.new);
	tf.new_runs = false;
}

void tf_new_server_serves(size_t i)
{
	ck_assert_uint_eq(tf.released[i], 1);
	takeover_new_serving(&tf.new, tf_names[i]);
	tf_run();
}

void tf_expect_all(enum tf_state state)
{
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_msg(tf.state[i] == state, "%s: %d, not %d", tf_names[i], tf.state[i],
			      state);
}

static void control_stopped(struct control *control)
{
	(void)control;
	tf.control_runs = false;
}

void tf_old_server_ends(void)
{
	control_stop(&tf.control, control_stopped);
	while (tf.control_runs)
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
}

void tf_setup(void)
{
	test_log_begin();
	temp_dir_make();
	memset(&tf, 0, sizeof(tf));
	tf.fds_before = fds_open();
	tf.count = tf.config.device_count = TF_DISKS;
	tf.at_a_time = TF_DISKS;
	tf.config.devices = tf.devices;
	for (size_t i = 0; i < TF_MANY; i++) {
		tf.devices[i].name = (char *)tf_names[i];
		tf.names[i] = tf_names[i];
	}
	tf.old = (struct takeover_old){ .ops = &old_ops, .ring = &tf.ring };
	tf.control = (struct control){ .requested = requested };
	ck_assert_int_eq(ring_init(&tf.ring, 16), 0);
	ck_assert_int_eq(control_start(&tf.control, &tf.ring, temp_dir), 0);
	tf.control_runs = true;
}

void tf_teardown(void)
{
	if (tf.control_runs)
		tf_old_server_ends();
	tf_run(); /* what closes descriptors */
	if (tf.new_runs)
		takeover_new_exit(&tf.new);
	takeover_old_exit(&tf.old);
	ring_exit(&tf.ring);
	ck_assert_uint_eq(fds_open(), tf.fds_before);
	temp_dir_remove();
	test_log_end();
}

void tf_say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0), strlen(text));
	tf_run();
}

const char *tf_messages(int fd, const char *skip)
{
	static char text[1024];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT)) > 0)
		if (!skip || strncmp(text + len, skip, strlen(skip)))
			len += (size_t)n;
	text[len] = '\0';
	return text;
}
