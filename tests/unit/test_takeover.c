// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/takeover/takeover_old.c and takeover_new.c, connected by a real socket, with disks of the test:
 * which server has which disk after failures, and after the end of either server at any time.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"
#include "fds.h"
#include "suite.h"
#include "takeover/takeover.h"
#include "takeover/takeover_new.h"
#include "takeover/takeover_old.h"
#include "temp_dir.h"
#include "test_log.h"

#define DISKS  4 /* most tests have them pause together */
#define MANY   12
#define ROUNDS 20

static const char *const names[MANY] = {
	"a", "bb", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"
};

/* A disk of the old server. */
enum has { HAS_IT, QUIESCES, RELEASED, FORGOT, ENDED };

static struct {
	struct ring ring;
	struct control control;
	bool control_runs;
	struct takeover_old old;
	const char *names[MANY];
	enum has has[MANY];
	bool stalls[MANY]; /* has requests in flight that do not end */
	bool closing[MANY];
	struct disk_command *command[MANY];
	unsigned int taken_back[MANY];

	size_t count; /* of disks */
	unsigned int at_a_time;
	uint64_t tick_us;
	struct device_config devices[MANY];
	struct config config;
	struct takeover_new new;
	bool new_runs;
	int session; /* the new server's descriptor */
	unsigned int released[MANY];
	unsigned int gave_up;
	unsigned int fds_before;
} t;

/* ---- the old server's disks ---- */

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < MANY; i++)
		if (!strcmp(t.names[i], name))
			return i;
	ck_abort_msg("no disk %s", name);
	return 0;
}

static bool old_has(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	ck_assert_ptr_eq(old, &t.old);
	return t.has[i] != FORGOT && t.has[i] != ENDED;
}

static char *old_names(struct takeover_old *old)
{
	char *text = calloc(MANY, 260);

	for (size_t i = 0; i < t.count; i++)
		if (old_has(old, t.names[i]))
			sprintf(text + strlen(text), "%s\n", t.names[i]);
	return text;
}

static void old_release(struct takeover_old *old, const char *name, struct disk_command *command)
{
	size_t i = index_of(name);

	(void)old;
	ck_assert_int_eq(t.has[i], HAS_IT);
	if (t.closing[i]) {
		command->done(command, -EBUSY);
		return;
	}
	t.has[i] = t.stalls[i] ? QUIESCES : RELEASED;
	t.command[i] = command;
	if (!t.stalls[i])
		command->done(command, 0);
}

static void old_take_back(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	(void)old;
	ck_assert(t.has[i] == QUIESCES || t.has[i] == RELEASED);
	t.has[i] = HAS_IT;
	t.taken_back[i]++;
}

static void old_forget(struct takeover_old *old, const char *name)
{
	size_t i = index_of(name);

	if (!old_has(old, name))
		return;
	ck_assert_int_eq(t.has[i], RELEASED);
	t.has[i] = FORGOT;
}

static const struct takeover_old_ops old_ops = {
	.names = old_names,
	.has = old_has,
	.release = old_release,
	.take_back = old_take_back,
	.forget = old_forget,
};

static void thaws(size_t i)
{
	ck_assert_int_eq(t.has[i], QUIESCES);
	t.has[i] = RELEASED;
	t.command[i]->done(t.command[i], 0);
}

static void requested(struct control *control, struct control_call *call)
{
	struct control_request request;

	(void)control;
	ck_assert(control_request_parse(call->text, &request));
	ck_assert_int_eq(request.verb, CONTROL_TAKE_OVER);
	takeover_old_begin(&t.old, call, request.names);
}

/* ---- the new server's ---- */

static void new_released(struct takeover_new *takeover, const char *name)
{
	ck_assert_ptr_eq(takeover, &t.new);
	t.released[index_of(name)]++;
}

static void new_gave_up(struct takeover_new *takeover)
{
	(void)takeover;
	t.gave_up++;
}

static const struct takeover_new_ops new_ops = {
	.released = new_released,
	.gave_up = new_gave_up,
};

/* All that happens in one thread has its effect in some rounds. */
static void run(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(ring_run(&t.ring, false), 0);
}

/* Asks the old server for a session. Return: its answer, to be freed */
static char *ask(const char *wanted, int *fd, bool *error)
{
	char question[400], *text;
	struct pollfd come;

	*fd = control_connect(t.control.path);
	ck_assert_int_ge(*fd, 0);
	snprintf(question, sizeof(question), "take-over\n%s", wanted);
	ck_assert_int_gt(send(*fd, question, strlen(question), 0), 0);
	run();
	come = (struct pollfd){ .fd = *fd, .events = POLLIN };
	ck_assert_int_eq(poll(&come, 1, -1), 1);
	text = control_receive(*fd, error);
	ck_assert_ptr_nonnull(text);
	return text;
}

static void new_server(void)
{
	struct takeover_agreed *agreed = calloc(1, sizeof(*agreed));
	struct takeover_agreement agreement = { .servers = agreed, .count = 1 };
	bool error;

	agreed->pid = getpid();
	agreed->names = ask("a\nbb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n", &agreed->fd, &error);
	ck_assert_msg(!error, "%s", agreed->names);
	t.session = agreed->fd;
	t.new = (struct takeover_new){
		.ops = &new_ops,
		.at_a_time = t.at_a_time,
		.tick_us = t.tick_us,
	};
	ck_assert_int_eq(takeover_new_init(&t.new, &t.ring, &t.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	t.new_runs = true;
	memset(t.released, 0, sizeof(t.released));
}

static void new_server_asks(void)
{
	new_server();
	takeover_new_start(&t.new);
	for (size_t i = 0; i < t.count; i++) {
		ck_assert(takeover_new_holds(&t.new, names[i]));
		takeover_new_ask(&t.new, names[i]);
	}
	run();
}

/* As if killed: its descriptors are closed, and it does nothing any more. */
static void new_server_dies(void)
{
	t.new.given_up = true;
	ck_assert_int_eq(shutdown(t.session, SHUT_RDWR), 0);
	run();
	takeover_new_exit(&t.new);
	t.new_runs = false;
}

static void new_server_serves(size_t i)
{
	ck_assert_uint_eq(t.released[i], 1);
	takeover_new_serving(&t.new, names[i]);
	run();
}

static void expect_all(enum has has)
{
	for (size_t i = 0; i < t.count; i++)
		ck_assert_msg(t.has[i] == has, "%s: %d, not %d", names[i], t.has[i], has);
}

static void control_stopped(struct control *control)
{
	(void)control;
	t.control_runs = false;
}

static void old_server_ends(void)
{
	control_stop(&t.control, control_stopped);
	while (t.control_runs)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
}

static void setup(void)
{
	test_log_begin();
	temp_dir_make();
	memset(&t, 0, sizeof(t));
	t.fds_before = fds_open();
	t.count = t.config.device_count = DISKS;
	t.at_a_time = DISKS;
	t.config.devices = t.devices;
	for (size_t i = 0; i < MANY; i++) {
		t.devices[i].name = (char *)names[i];
		t.names[i] = names[i];
	}
	t.old = (struct takeover_old){ .ops = &old_ops, .ring = &t.ring };
	t.control = (struct control){ .requested = requested };
	ck_assert_int_eq(ring_init(&t.ring, 16), 0);
	ck_assert_int_eq(control_start(&t.control, &t.ring, temp_dir), 0);
	t.control_runs = true;
}

static void teardown(void)
{
	if (t.control_runs)
		old_server_ends();
	run(); /* what closes descriptors */
	if (t.new_runs)
		takeover_new_exit(&t.new);
	takeover_old_exit(&t.old);
	ring_exit(&t.ring);
	ck_assert_uint_eq(fds_open(), t.fds_before);
	temp_dir_remove();
	test_log_end();
}

/* ---- tests ---- */

START_TEST(all_disks_change_over)
{
	char done[80];

	new_server_asks();
	expect_all(RELEASED);
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	expect_all(RELEASED); /* it can go back until all is complete */
	ck_assert(takeover_new_complete(&t.new));
	run();
	expect_all(FORGOT);
	snprintf(done, sizeof(done), "the server with process id %d begins to take over",
		 (int)getpid());
	ck_assert_uint_eq(test_log_count(done), 1);
	snprintf(done, sizeof(done), "the server with process id %d has taken over", (int)getpid());
	ck_assert_uint_eq(test_log_count(done), 1);
	ck_assert_uint_eq(test_log_count("follow"), 0);
	ck_assert_uint_eq(test_log_count("there is no disk"), 0);
	ck_assert(takeover_new_complete(&t.new)); /* and stays so */
	old_server_ends();
	run();
	for (size_t i = 0; i < t.count; i++)
		ck_assert_uint_eq(t.released[i], 1);
	ck_assert_uint_eq(t.gave_up, 0);
}
END_TEST

/* A start without --takeover goes the same way, with nothing to take. */
START_TEST(without_a_takeover_there_is_nothing_to_wait_for)
{
	struct takeover_new none = { .ops = &new_ops };

	ck_assert(!takeover_new_holds(&none, names[0]));
	takeover_new_ask(&none, names[0]);
	takeover_new_serving(&none, names[0]);
	takeover_new_failed(&none, names[0]);
	ck_assert(takeover_new_complete(&none));
	ck_assert_uint_eq(t.gave_up, 0);
}
END_TEST

#ifdef HAVE_LIBSYSTEMD

static int manager_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/notify", temp_dir);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	return manager;
}

/* Was the manager told that this process is the service's main one? */
static bool told_main_pid(int manager)
{
	char text[256] = "", want[64];

	snprintf(want, sizeof(want), "MAINPID=%d\n", (int)getpid());
	return recv(manager, text, sizeof(text) - 1, 0) > 0 && strstr(text, want) == text;
}

/* Or systemd ends the service when the old process ends. */
START_TEST(service_manager_is_told_of_the_new_process)
{
	int manager = manager_listen();

	new_server_asks();
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(!told_main_pid(manager));
	ck_assert(takeover_new_complete(&t.new));
	ck_assert(told_main_pid(manager)); /* before the old process can know */
	run();
	expect_all(FORGOT);
	close(manager);
}
END_TEST

/* It ends before the old one, which may still have a disk: that is the service again. */
START_TEST(service_manager_is_told_when_the_new_process_ends)
{
	bool keeps_one = _i;
	int manager = manager_listen();

	t.stalls[1] = keeps_one;
	new_server_asks();
	for (size_t i = 0; i < t.count; i++)
		if (!t.stalls[i])
			new_server_serves(i);
	test_log_allow(LOG_LEVEL_WARNING, "bb: is not taken over yet");
	test_log_allow(LOG_LEVEL_WARNING, "this server goes on, and serves 1 disks again");
	ck_assert(takeover_new_complete(&t.new));
	run();
	ck_assert(told_main_pid(manager));
	new_server_dies();
	ck_assert_int_eq(told_main_pid(manager), keeps_one);
	close(manager);
}
END_TEST

#endif

START_TEST(new_server_that_ends_at_once_leaves_no_session)
{
	new_server();
	takeover_new_exit(&t.new);
	t.new_runs = false;
	run();
	expect_all(HAS_IT);
}
END_TEST

/* It read nothing of what was sent: the kernel says so (ECONNRESET). */
START_TEST(old_server_may_be_killed_before_it_reads)
{
	struct takeover_agreed *agreed = calloc(1, sizeof(*agreed));
	struct takeover_agreement agreement = { .servers = agreed, .count = 1 };
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	agreed->pid = getpid();
	agreed->fd = ends[0];
	agreed->names = strdup("a\nbb\nc\nd\n");
	t.new = (struct takeover_new){ .ops = &new_ops };
	ck_assert_int_eq(takeover_new_init(&t.new, &t.ring, &t.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	t.new_runs = true;
	takeover_new_start(&t.new);
	for (size_t i = 0; i < t.count; i++)
		takeover_new_ask(&t.new, names[i]);
	run();
	close(ends[1]);
	test_log_expect(LOG_LEVEL_WARNING, "its remaining 4 disks are adopted");
	run();
	for (size_t i = 0; i < t.count; i++)
		ck_assert_uint_eq(t.released[i], 1);
	ck_assert(takeover_new_complete(&t.new));
}
END_TEST

START_TEST(stalled_disk_follows)
{
	t.stalls[1] = true;
	new_server_asks();
	ck_assert_uint_eq(t.released[1], 0);
	ck_assert_int_eq(t.has[1], QUIESCES);
	new_server_serves(0);
	new_server_serves(2);
	new_server_serves(3);
	test_log_expect(LOG_LEVEL_WARNING, "bb: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&t.new));
	run();
	ck_assert_int_eq(t.has[0], FORGOT);
	ck_assert_int_eq(t.has[2], FORGOT);
	ck_assert_int_eq(t.has[1], QUIESCES);
	thaws(1);
	run();
	ck_assert_uint_eq(t.released[1], 1);
	ck_assert_int_eq(t.has[1], RELEASED);
	new_server_serves(1);
	expect_all(FORGOT);
	ck_assert_uint_eq(test_log_count("has taken over; 1 disks follow"), 1);
}
END_TEST

/* It dies before "complete": all comes back, also what it served already, and what is stalled. */
START_TEST(new_server_that_dies_has_taken_nothing)
{
	t.stalls[1] = true;
	new_server_asks();
	new_server_serves(0);
	new_server_serves(2);
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on, and serves 4 disks again");
	new_server_dies();
	expect_all(HAS_IT);
	for (size_t i = 0; i < t.count; i++)
		ck_assert_uint_eq(t.taken_back[i], 1);
	ck_assert(!t.old.active);

	t.stalls[1] = false; /* and the next one can take over */
	new_server_asks();
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	run();
	expect_all(FORGOT);
}
END_TEST

START_TEST(new_server_that_dies_later_leaves_the_stalled_disk)
{
	t.stalls[3] = true;
	new_server_asks();
	for (size_t i = 0; i < 3; i++)
		new_server_serves(i);
	test_log_expect(LOG_LEVEL_WARNING, "d: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&t.new));
	run();
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on, and serves 1 disks again");
	new_server_dies();
	ck_assert_int_eq(t.has[3], HAS_IT);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(t.has[i], FORGOT);
}
END_TEST

/* A signal ends it when the takeover is complete: nobody else would serve the disk that stalls. */
START_TEST(new_server_that_ends_leaves_the_stalled_disk)
{
	t.stalls[3] = true;
	new_server_asks();
	for (size_t i = 0; i < 3; i++)
		new_server_serves(i);
	test_log_expect(LOG_LEVEL_WARNING, "d: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&t.new));
	run();
	ck_assert(!takeover_new_give_up(&t.new, "Terminated"));
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on, and serves 1 disks again");
	takeover_new_end(&t.new);
	run();
	ck_assert_int_eq(t.has[3], HAS_IT);
	ck_assert_uint_eq(t.released[3], 0);
	ck_assert_uint_eq(t.gave_up, 0);
}
END_TEST

START_TEST(disk_that_cannot_be_adopted_ends_the_takeover)
{
	new_server_asks();
	new_server_serves(0);
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is given up: disk bb cannot be adopted");
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on");
	takeover_new_failed(&t.new, names[1]);
	ck_assert_uint_eq(t.gave_up, 1);
	run();
	expect_all(HAS_IT);
	ck_assert(!takeover_new_complete(&t.new));
	takeover_new_failed(&t.new, names[2]); /* as its disks are left one after the other */
	ck_assert(!takeover_new_give_up(&t.new, "a signal"));
	ck_assert_uint_eq(t.gave_up, 1);
}
END_TEST

START_TEST(signal_gives_it_up)
{
	new_server_asks();
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is given up: Terminated; ");
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on");
	ck_assert(takeover_new_give_up(&t.new, "Terminated"));
	run();
	expect_all(HAS_IT);
}
END_TEST

START_TEST(nothing_is_given_up_when_it_is_complete)
{
	new_server_asks();
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	ck_assert(!takeover_new_give_up(&t.new, "Terminated"));
	takeover_new_failed(&t.new, names[0]);
	run();
	expect_all(FORGOT);
	ck_assert_uint_eq(t.gave_up, 0);
}
END_TEST

/* A stopped server, or one whose disks all stall: there is nothing that the new one could serve. */
START_TEST(old_server_that_releases_nothing_goes_on)
{
	for (size_t i = 0; i < t.count; i++)
		t.stalls[i] = true;
	new_server_asks();
	test_log_expect(LOG_LEVEL_ERROR,
			"the takeover is given up: the old server has released no disk");
	test_log_expect(LOG_LEVEL_WARNING, "this server goes on");
	ck_assert(!takeover_new_complete(&t.new));
	run();
	ck_assert_uint_eq(t.gave_up, 1);
	expect_all(HAS_IT);
}
END_TEST

/* The old server is killed: what it had is adopted as after a crash. */
START_TEST(end_of_the_old_server_releases_everything)
{
	t.stalls[1] = true;
	new_server();
	takeover_new_start(&t.new);
	takeover_new_ask(&t.new, names[0]); /* c and d are examined still */
	takeover_new_ask(&t.new, names[1]);
	run();
	for (size_t i = 0; i < t.count; i++) /* what its death does to its disks */
		t.has[i] = ENDED;
	test_log_expect(LOG_LEVEL_WARNING, "its remaining 3 disks are adopted");
	old_server_ends();
	run();
	for (size_t i = 0; i < t.count; i++)
		ck_assert_uint_eq(t.released[i], 1);
	for (size_t i = 0; i < t.count; i++)
		takeover_new_serving(&t.new, names[i]);
	ck_assert(takeover_new_complete(&t.new));
	ck_assert_uint_eq(t.gave_up, 0);
}
END_TEST

START_TEST(disk_that_is_busy_is_asked_for_again)
{
	t.closing[2] = true;
	new_server_asks();
	ck_assert_uint_eq(t.released[2], 0);
	ck_assert_int_eq(t.has[2], HAS_IT);
	t.closing[2] = false;
	while (!t.released[2])
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	run();
	expect_all(FORGOT);
}
END_TEST

static void have_many(void)
{
	t.count = t.config.device_count = MANY;
}

/* So the pause of each does not depend on how many there are. */
START_TEST(few_disks_pause_at_a_time)
{
	size_t pause = _i ? (size_t)_i : 1;

	have_many();
	t.at_a_time = (unsigned int)_i;
	t.tick_us = 3600ull * 1000000;
	new_server_asks();
	for (size_t i = 0; i < MANY; i++) {
		for (size_t later = i; later < MANY; later++)
			ck_assert_int_eq(t.has[later], later < i + pause ? RELEASED : HAS_IT);
		new_server_serves(i);
	}
	ck_assert(takeover_new_complete(&t.new));
	run();
	expect_all(FORGOT);
}
END_TEST

START_TEST(disks_that_stall_keep_no_other_from_its_turn)
{
	size_t served = 0;

	have_many();
	t.at_a_time = 0;
	t.tick_us = 1000;
	for (size_t i = 0; i < 4; i++)
		t.stalls[i] = true;
	new_server_asks();
	while (served < MANY - 4) {
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
		if (t.released[4 + served])
			new_server_serves(4 + served++);
	}
	for (size_t i = 0; i < 4; i++)
		test_log_expect(LOG_LEVEL_WARNING, "is not taken over yet");
	ck_assert(takeover_new_complete(&t.new));
	run();
	for (size_t i = 0; i < MANY; i++)
		ck_assert_int_eq(t.has[i], i < 4 ? QUIESCES : FORGOT);
	for (size_t i = 0; i < 4; i++) {
		thaws(i);
		run();
		new_server_serves(i);
	}
	expect_all(FORGOT);
}
END_TEST

/* It is detached by a signal or a command while the session lasts: the new server need not wait. */
START_TEST(disk_that_has_ended_counts_as_released)
{
	bool gives_up = _i;

	new_server();
	takeover_new_start(&t.new);
	t.has[1] = ENDED;
	for (size_t i = 0; i < t.count; i++)
		takeover_new_ask(&t.new, names[i]);
	run();
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	if (gives_up) {
		test_log_expect(LOG_LEVEL_WARNING, "serves 3 disks again");
		new_server_dies();
	} else {
		ck_assert(takeover_new_complete(&t.new));
		run();
	}
	for (size_t i = 0; i < t.count; i++)
		ck_assert_int_eq(t.has[i], i == 1 ? ENDED : gives_up ? HAS_IT : FORGOT);
}
END_TEST

/* It closes when it is asked for, so the new server asks again. Then it has ended. */
START_TEST(disk_that_was_busy_and_ends_is_released)
{
	t.closing[2] = true;
	new_server_asks();
	ck_assert_uint_eq(t.released[2], 0);
	t.has[2] = ENDED;
	while (!t.released[2])
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	run();
	ck_assert_int_eq(t.has[2], ENDED);
}
END_TEST

/* A disk that the old server began to serve after the session began is no part of the takeover. */
START_TEST(disk_that_is_made_meanwhile_stays)
{
	t.has[3] = ENDED;
	new_server();
	takeover_new_start(&t.new);
	ck_assert(!takeover_new_holds(&t.new, names[3]));
	t.has[3] = HAS_IT;
	for (size_t i = 0; i < t.count; i++)
		takeover_new_ask(&t.new, names[i]);
	run();
	for (size_t i = 0; i < 3; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	run();
	ck_assert_int_eq(t.has[3], HAS_IT);
	new_server_dies();
	ck_assert_int_eq(t.has[3], HAS_IT);
	ck_assert_uint_eq(t.taken_back[3], 0);
}
END_TEST

/* Or one whose configuration differs, or that lies: only disks of both are taken over. */
START_TEST(names_that_were_not_asked_for_are_ignored)
{
	struct takeover_agreed *agreed = calloc(1, sizeof(*agreed));
	struct takeover_agreement agreement = { .servers = agreed, .count = 1 };
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	agreed->fd = ends[0];
	agreed->names = strdup("x\nbb\nbb\n\n");
	ck_assert_int_eq(takeover_new_init(&t.new, &t.ring, &t.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	t.new_runs = true;
	ck_assert(takeover_new_holds(&t.new, "bb"));
	ck_assert(!takeover_new_holds(&t.new, "x"));
	ck_assert(!takeover_new_holds(&t.new, "a"));
	close(ends[1]);
}
END_TEST

START_TEST(second_new_server_is_refused)
{
	char *text;
	bool error;
	int fd;

	new_server_asks();
	text = ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(error);
	ck_assert_ptr_nonnull(strstr(
		text, "another takeover from it is under way, by the server with process id"));
	ck_assert_ptr_null(strchr(text, '\n')); /* the reason, and no names */
	free(text);
	close(fd);
	run();
	expect_all(RELEASED); /* the first one goes on */
	for (size_t i = 0; i < t.count; i++)
		new_server_serves(i);
	ck_assert(takeover_new_complete(&t.new));
	run();
	expect_all(FORGOT);
}
END_TEST

START_TEST(list_without_a_disk_of_ours_is_refused)
{
	char *text;
	bool error;
	int fd;

	text = ask("a\nc\nd\nx\n", &fd, &error);
	ck_assert(error);
	ck_assert_ptr_nonnull(strstr(text, "it serves bb too"));
	ck_assert_ptr_nonnull(strstr(text, "[bb]"));
	ck_assert_ptr_nonnull(strstr(text, "kill -TERM"));
	free(text);
	close(fd);
	t.has[1] = ENDED;
	text = ask("a\nc\nd\nx\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "a\nc\nd\n");
	free(text);
	close(fd);
	run();
	ck_assert_uint_eq(test_log_count("before it took over a disk"), 1);
}
END_TEST

START_TEST(server_that_is_not_concerned_says_nothing)
{
	char *text;
	bool error;
	int fd;

	text = ask("x\ny\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "");
	free(text);
	ck_assert(!t.old.active);
	close(fd);
}
END_TEST

/* Whatever a client says, in whatever order: no disk changes hands without having been released. */
START_TEST(nonsense_is_survived)
{
	static const char *const lines[] = {
		"serving a\n",	    "serving nosuch\n", "release\n", "release \n",
		"release nosuch\n", "releasea\n",	"\n\n\n",    " a\n",
		"busy a\n",	    "released a\n",	"x",
	};
	char *text, line[1000];
	bool error;
	int fd;

	text = ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(!error);
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ck_assert_int_gt(send(fd, lines[i], strlen(lines[i]), 0), 0);
	memset(line, 'y', sizeof(line));
	ck_assert_int_gt(send(fd, line, sizeof(line), 0), 0);
	line[10] = ' ';
	ck_assert_int_gt(send(fd, line, sizeof(line), 0), 0);
	run();
	expect_all(HAS_IT);
	ck_assert_int_gt(send(fd, "release a\nrelease a\nserving bb\n", 30, 0), 0);
	run();
	ck_assert_int_eq(t.has[0], RELEASED);
	ck_assert_int_eq(t.has[1], HAS_IT);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	run();
	expect_all(HAS_IT);
}
END_TEST

/* ---- an old server, and a new one that the test plays ---- */

static int begin_by_hand(void)
{
	bool error;
	char *text;
	int fd;

	text = ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "a\nbb\nc\nd\n");
	free(text);
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0), strlen(text));
	run();
}

/* All messages that have come to the new server, but for those that begin like @skip. */
static const char *messages(int fd, const char *skip)
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

START_TEST(release_is_told_once)
{
	int fd = begin_by_hand();

	say(fd, "release a\nrelease a\nrelease c\n");
	ck_assert_str_eq(messages(fd, NULL), "released a\nreleased c\n");
	say(fd, "release a\nrelease d\n");
	ck_assert_str_eq(messages(fd, NULL), "released d\n");
	ck_assert(!t.old.retry_tell.active);
	test_log_expect(LOG_LEVEL_WARNING, "serves 3 disks again");
	close(fd);
	run();
	expect_all(HAS_IT);
}
END_TEST

START_TEST(long_name_is_told_in_full)
{
	static char long_name[256];
	char wanted[300], *text;
	bool error;
	int fd;

	memset(long_name, 'n', sizeof(long_name) - 1);
	t.names[0] = long_name;
	text = ask(long_name, &fd, &error);
	free(text);
	ck_assert(error); /* it has three others */
	close(fd);
	t.count = 1;
	text = ask(long_name, &fd, &error);
	ck_assert(!error);
	free(text);
	snprintf(wanted, sizeof(wanted), "release %s\n", long_name);
	say(fd, wanted);
	snprintf(wanted, sizeof(wanted), "released %s\n", long_name);
	ck_assert_str_eq(messages(fd, NULL), wanted);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	run();
}
END_TEST

START_TEST(busy_disk_is_told_and_may_be_asked_for_again)
{
	int fd = begin_by_hand();

	t.closing[1] = true;
	say(fd, "release bb\n");
	say(fd, "release bb\n");
	ck_assert_str_eq(messages(fd, NULL), "busy bb\nbusy bb\n");
	ck_assert_uint_eq(test_log_count("cannot send"), 0);
	t.closing[1] = false;
	say(fd, "release bb\n");
	ck_assert_str_eq(messages(fd, NULL), "released bb\n");
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	run();
}
END_TEST

/* The new server reads nothing, as one whose process is stopped, and the socket is full. */
static int begin_with_full_socket(void)
{
	int fd = begin_by_hand();
	char lines[10 * 1000 + 1] = "";

	for (int i = 0; i < 1000; i++)
		memcpy(lines + i * 10, "release d\n", 11);
	t.closing[3] = true;
	while (!test_log_count("d: cannot send \"busy\""))
		say(fd, lines);
	while (t.old.retry_tell.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	say(fd, "release a\nrelease bb\n");
	ck_assert(t.old.retry_tell.active);
	return fd;
}

START_TEST(release_is_told_when_there_is_room)
{
	int fd = begin_with_full_socket();

	ck_assert_str_eq(messages(fd, "busy d"), "");
	while (t.old.retry_tell.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	ck_assert_str_eq(messages(fd, NULL), "released a\nreleased bb\n");
	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	run();
}
END_TEST

START_TEST(nothing_is_told_after_the_end)
{
	int fd = begin_with_full_socket();

	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	run();
	expect_all(HAS_IT);
	while (t.old.retry_tell.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
}
END_TEST

/* Its file may be gone, or it is detached while its requests in flight complete. */
START_TEST(disk_that_ends_meanwhile_is_not_taken_back)
{
	int fd = begin_by_hand();
	char gone[96];

	t.stalls[1] = t.stalls[2] = true;
	say(fd, "release bb\nrelease c\n");
	t.has[0] = t.has[1] = t.has[2] = ENDED;
	t.command[1]->done(t.command[1], 0);
	t.command[2]->done(t.command[2], -EIO);
	say(fd, "release nosuch\nrelease a\n");
	ck_assert_uint_eq(test_log_count("there is no disk for 'release nosuch'"), 1);
	ck_assert_str_eq(messages(fd, NULL), "released bb\nbusy c\nreleased a\n");
	close(fd);
	run();
	snprintf(gone, sizeof(gone),
		 "the server with process id %d has given up or ended before it took over a disk",
		 (int)getpid());
	ck_assert_uint_eq(test_log_count(gone), 1);
	ck_assert_uint_eq(t.taken_back[1] + t.taken_back[2], 0);
}
END_TEST

/* A word of a later version does not mean that the disk is served. */
START_TEST(unknown_message_changes_nothing)
{
	int fd = begin_by_hand();

	say(fd, "release a\nhello a\ncomplete\n");
	ck_assert_int_eq(t.has[0], RELEASED);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	run();
	expect_all(HAS_IT);
}
END_TEST

/* After a takeover that was complete, but for a disk, the next one begins as the first did. */
START_TEST(next_takeover_begins_anew)
{
	int fd = begin_by_hand();

	say(fd, "release a\nserving a\ncomplete\n");
	ck_assert_int_eq(t.has[0], FORGOT);
	ck_assert_uint_eq(test_log_count("has taken over; 3 disks follow"), 1);
	say(fd, "complete\nserving a\n"); /* it has no disk "a" any more */
	close(fd);
	run();
	ck_assert_uint_eq(test_log_count("given up or ended"), 0);

	t.has[0] = HAS_IT;
	fd = begin_by_hand();
	say(fd, "release a\nrelease bb\nserving a\n");
	ck_assert_int_eq(t.has[0], RELEASED); /* it is not complete */
	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	run();
	expect_all(HAS_IT);
}
END_TEST

START_TEST(lines_are_taken_apart)
{
	const char *text = "release a b\n\ncomplete\nserving bb";
	struct takeover_line line;

	ck_assert(takeover_next(&text, &line));
	ck_assert_str_eq(line.word, "release");
	ck_assert_str_eq(line.name, "a b");
	ck_assert(takeover_next(&text, &line));
	ck_assert_str_eq(line.word, "");
	ck_assert_str_eq(line.name, "");
	ck_assert(takeover_next(&text, &line));
	ck_assert_str_eq(line.word, "complete");
	ck_assert_str_eq(line.name, "");
	ck_assert(takeover_next(&text, &line));
	ck_assert_str_eq(line.word, "serving");
	ck_assert_str_eq(line.name, "bb");
	ck_assert(!takeover_next(&text, &line));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("takeover");
	TCase *tc = suite_case(suite, "takeover", setup, teardown);

	tcase_add_test(tc, all_disks_change_over);
	tcase_add_test(tc, without_a_takeover_there_is_nothing_to_wait_for);
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_is_told_of_the_new_process);
	tcase_add_loop_test(tc, service_manager_is_told_when_the_new_process_ends, 0, 2);
#endif
	tcase_add_test(tc, new_server_that_ends_at_once_leaves_no_session);
	tcase_add_test(tc, old_server_may_be_killed_before_it_reads);
	tcase_add_test(tc, stalled_disk_follows);
	tcase_add_test(tc, new_server_that_dies_has_taken_nothing);
	tcase_add_test(tc, new_server_that_dies_later_leaves_the_stalled_disk);
	tcase_add_test(tc, new_server_that_ends_leaves_the_stalled_disk);
	tcase_add_test(tc, disk_that_cannot_be_adopted_ends_the_takeover);
	tcase_add_test(tc, signal_gives_it_up);
	tcase_add_test(tc, nothing_is_given_up_when_it_is_complete);
	tcase_add_test(tc, old_server_that_releases_nothing_goes_on);
	tcase_add_test(tc, end_of_the_old_server_releases_everything);
	tcase_add_test(tc, disk_that_is_busy_is_asked_for_again);
	tcase_add_loop_test(tc, few_disks_pause_at_a_time, 0, 5);
	tcase_add_test(tc, disks_that_stall_keep_no_other_from_its_turn);
	tcase_add_loop_test(tc, disk_that_has_ended_counts_as_released, 0, 2);
	tcase_add_test(tc, disk_that_was_busy_and_ends_is_released);
	tcase_add_test(tc, disk_that_is_made_meanwhile_stays);
	tcase_add_test(tc, names_that_were_not_asked_for_are_ignored);
	tcase_add_test(tc, second_new_server_is_refused);
	tcase_add_test(tc, list_without_a_disk_of_ours_is_refused);
	tcase_add_test(tc, server_that_is_not_concerned_says_nothing);
	tcase_add_test(tc, nonsense_is_survived);
	tcase_add_test(tc, release_is_told_once);
	tcase_add_test(tc, long_name_is_told_in_full);
	tcase_add_test(tc, busy_disk_is_told_and_may_be_asked_for_again);
	tcase_add_test(tc, release_is_told_when_there_is_room);
	tcase_add_test(tc, nothing_is_told_after_the_end);
	tcase_add_test(tc, disk_that_ends_meanwhile_is_not_taken_back);
	tcase_add_test(tc, unknown_message_changes_nothing);
	tcase_add_test(tc, next_takeover_begins_anew);
	tcase_add_test(tc, lines_are_taken_apart);
	return suite_run(suite);
}
