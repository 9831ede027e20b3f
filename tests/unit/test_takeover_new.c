// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/takeover/takeover_new.c: the messages of a new server, with old servers that the test
 * plays. test_takeover.c connects both sides.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "suite.h"
#include "takeover_fixture.h"
#include "test_log.h"

#define DISKS  5
#define OLD    2 /* servers */
#define ROUNDS 20

static char long_name[256];
static char *const names[DISKS] = { "a", "bb", "c", "d", long_name };

static struct {
	struct ring ring;
	struct device_config devices[DISKS];
	struct config config;
	struct takeover_new new;
	bool exited;
	int session[OLD]; /* the new server's ends of the connections */
	int fd[OLD];	  /* the old servers' ends; -1: closed */
	unsigned int released[DISKS], cancelled;
	unsigned int fds_before;
} t;

static void released(struct takeover_new *takeover, const char *name)
{
	int i = 0;

	ck_assert_ptr_eq(takeover, &t.new);
	while (i < DISKS && strcmp(names[i], name))
		i++;
	ck_assert_int_lt(i, DISKS);
	t.released[i]++;
}

static void cancelled(struct takeover_new *takeover)
{
	ck_assert_ptr_eq(takeover, &t.new);
	t.cancelled++;
}

static const struct takeover_new_ops ops = { .released = released, .cancelled = cancelled };

static void run(void)
{
	for (int i = 0; i < ROUNDS; i++)
		ck_assert_int_eq(ring_run(&t.ring, false), 0);
}

/* Old servers that have these disks; NULL: no such server. */
static void init(const char *first, const char *second)
{
	const char *const theirs[OLD] = { first, second };
	struct takeover_agreement agreement = { .servers = calloc(OLD,
								  sizeof(struct takeover_agreed)) };

	for (size_t i = 0; i < OLD && theirs[i]; i++) {
		int ends[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
		agreement.servers[agreement.count++] = (struct takeover_agreed){
			.fd = ends[0],
			.pid = getpid(),
			.names = strdup(theirs[i]),
		};
		t.session[i] = ends[0];
		t.fd[i] = ends[1];
	}
	ck_assert_int_eq(takeover_new_init(&t.new, &t.ring, &t.config, &agreement), 0);
	takeover_agreement_free(&agreement);
}

static void begin(const char *first, const char *second)
{
	init(first, second);
	takeover_new_start(&t.new);
}

static void expect(int old, const char *wanted)
{
	run();
	ck_assert_str_eq(tf_messages(t.fd[old], NULL), wanted);
}

static void say(int old, const char *text)
{
	ck_assert_int_eq(send(t.fd[old], text, strlen(text), 0), strlen(text));
	run();
}

/* Has the new server closed the connection? */
static bool is_left(int old)
{
	char byte;

	return recv(t.fd[old], &byte, 1, MSG_DONTWAIT) == 0;
}

static void old_ends(int old)
{
	close(t.fd[old]);
	t.fd[old] = -1;
	run();
}

static void new_exits(void)
{
	takeover_new_exit(&t.new);
	t.exited = true;
}

static void setup(void)
{
	test_log_begin();
	memset(&t, 0, sizeof(t));
	memset(long_name, 'n', sizeof(long_name) - 1);
	t.fds_before = fds_open();
	for (int i = 0; i < DISKS; i++)
		t.devices[i].name = names[i];
	t.config = (struct config){ .devices = t.devices, .device_count = DISKS };
	t.new = (struct takeover_new){ .ops = &ops, .at_a_time = DISKS };
	for (int i = 0; i < OLD; i++)
		t.fd[i] = -1;
	ck_assert_int_eq(ring_init(&t.ring, 16), 0);
}

static void teardown(void)
{
	if (!t.exited) {
		run(); /* what closes descriptors */
		takeover_new_exit(&t.new);
	}
	for (int i = 0; i < OLD; i++)
		if (t.fd[i] >= 0)
			close(t.fd[i]);
	ring_exit(&t.ring);
	ck_assert_uint_eq(fds_open(), t.fds_before);
	test_log_end();
}

/* ---- messages ---- */

START_TEST(each_message_is_sent_once)
{
	begin("a\nbb\n", NULL);
	takeover_new_serving(&t.new, names[0]); /* it is not released */
	expect(0, "");
	takeover_new_ask(&t.new, names[0]);
	takeover_new_ask(&t.new, names[1]);
	expect(0, "release a\nrelease bb\n");
	say(0, "released a\n");
	say(0, "released a\n");
	ck_assert_uint_eq(t.released[0], 1);
	ck_assert_uint_eq(t.released[1], 0);
	takeover_new_serving(&t.new, names[0]);
	expect(0, "serving a\n");
	say(0, "released bb\n");
	takeover_new_serving(&t.new, names[1]);
	expect(0, "serving bb\n");
	ck_assert(takeover_new_complete(&t.new));
	ck_assert(takeover_new_complete(&t.new));
	expect(0, "complete\n");
}
END_TEST

/* The longest name that a VDUSE device can have; and one whose log line this test can look at. */
START_TEST(name_may_be_long)
{
	static const int lengths[] = { 255, 205 };
	char wanted[300];

	long_name[lengths[_i]] = '\0';
	snprintf(wanted, sizeof(wanted), "release %s\n", long_name);
	begin(long_name, NULL);
	takeover_new_ask(&t.new, names[4]);
	expect(0, wanted);
	snprintf(wanted, sizeof(wanted), "released %s\n", long_name);
	say(0, wanted);
	ck_assert_uint_eq(t.released[4], 1);
	snprintf(wanted, sizeof(wanted), "disk %s%s", long_name, _i ? " cannot be adopted" : "");
	wanted[230] = '\0';
	test_log_expect(LOG_LEVEL_ERROR, wanted);
	takeover_new_failed(&t.new, names[4]);
}
END_TEST

/* The rest of a longer packet, ignored when it came, does not belong to a shorter one. */
START_TEST(packet_ends_where_it_ends)
{
	begin("a\nbb\n", NULL);
	say(0, "xxxxxxxxx\nreleased bb\n");
	takeover_new_ask(&t.new, names[1]);
	expect(0, "release bb\n");
	say(0, "xxxxxxx\n");
	ck_assert_uint_eq(t.released[1], 0);
	say(0, "released bb\n");
	ck_assert_uint_eq(t.released[1], 1);
}
END_TEST

/* As of a later version, or of a server in trouble. */
START_TEST(messages_that_make_no_sense_are_ignored)
{
	static char huge[10000];

	begin("a\nbb\n", "c\n");
	takeover_new_ask(&t.new, names[0]);
	expect(0, "release a\n");
	say(0, "released bb\n"); /* nobody asked for it */
	say(1, "released a\n");	 /* another server has it */
	say(0, "released nosuch\n");
	say(0, "hello a\n");
	memset(huge, 'x', sizeof(huge) - 1);
	say(0, huge);
	for (int i = 0; i < DISKS; i++)
		ck_assert_uint_eq(t.released[i], 0);
	ck_assert(!t.new.retry.active);
	expect(0, "");
	say(0, "xxxxxxx released a\n");
	say(0, "released a\n");
	ck_assert_uint_eq(t.released[0], 1);
}
END_TEST

/* The old server reads nothing, as one whose process is stopped. */
static void fill(int old)
{
	while (send(t.session[old], "x\n", 2, MSG_DONTWAIT) == 2)
		;
}

/* It goes on: what it reads first is of fill(). */
static void drain(int old)
{
	char byte[2];

	while (recv(t.fd[old], byte, sizeof(byte), MSG_DONTWAIT) == 2 && byte[0] == 'x')
		;
	while (t.new.retry.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
}

START_TEST(messages_wait_for_room_in_the_socket)
{
	begin("a\nbb\n", NULL);
	fill(0);
	takeover_new_ask(&t.new, names[0]);
	takeover_new_ask(&t.new, names[1]);
	drain(0);
	expect(0, "release a\nrelease bb\n");
	say(0, "released a\n");
	ck_assert_uint_eq(t.released[0], 1);
}
END_TEST

/* The old server forgets at "complete" what it knows to be served: "serving" comes before it. */
START_TEST(completion_is_sent_after_all_that_is_served)
{
	bool other = _i; /* has nothing to wait for */

	begin(other ? "c\n" : "a\nbb\n", other ? "a\nbb\n" : "c\n");
	for (size_t i = 0; i < 3; i++)
		takeover_new_ask(&t.new, names[i]);
	run();
	tf_messages(t.fd[0], NULL);
	tf_messages(t.fd[1], NULL);
	say(other, "released a\nreleased bb\n");
	say(!other, "released c\n");
	takeover_new_serving(&t.new, names[2]);
	fill(other);
	takeover_new_serving(&t.new, names[0]);
	takeover_new_serving(&t.new, names[1]);
	ck_assert(takeover_new_complete(&t.new));
	expect(!other, "serving c\ncomplete\n");
	drain(other);
	expect(other, "serving a\nserving bb\ncomplete\n");
	expect(!other, "");
}
END_TEST

START_TEST(busy_disk_is_asked_for_once_more)
{
	begin("a\nbb\n", NULL);
	takeover_new_ask(&t.new, names[0]);
	takeover_new_ask(&t.new, names[1]);
	expect(0, "release a\nrelease bb\n");
	say(0, "busy bb\n");
	while (t.new.retry.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	expect(0, "release bb\n");
}
END_TEST

/* ---- one disk after the other ---- */

static void tick(void)
{
	ck_assert(t.new.tick.active);
	ring_timer_expire_now(&t.ring, &t.new.tick);
	run();
}

/* Each gets its two ticks, and the next one's begin when it is asked for. */
START_TEST(disk_that_stalls_counts_for_two_ticks)
{
	t.new.at_a_time = 0;
	t.new.tick_us = 3600ull * 1000000;
	begin("a\nbb\nc\n", NULL);
	for (size_t i = 0; i < 3; i++)
		takeover_new_ask(&t.new, names[i]);
	expect(0, "release a\n");
	for (int i = 1; i < 3; i++) {
		tick();
		expect(0, "");
		tick();
		expect(0, i == 1 ? "release bb\n" : "release c\n");
	}
	ck_assert(!t.new.tick.active); /* nobody waits any more */
}
END_TEST

START_TEST(tick_is_a_quarter_of_a_second)
{
	t.new.at_a_time = 0;
	t.new.tick_us = _i ? 7000 : 0;
	begin("a\nbb\n", NULL);
	takeover_new_ask(&t.new, names[0]);
	ck_assert(!t.new.tick.active);
	takeover_new_ask(&t.new, names[1]);
	ck_assert_int_eq(t.new.tick.ts.tv_sec, 0);
	ck_assert_int_eq(t.new.tick.ts.tv_nsec, _i ? 7000000 : 250000000);
}
END_TEST

START_TEST(nothing_runs_after_a_takeover_was_given_up)
{
	t.new.at_a_time = 0;
	t.new.tick_us = 1000;
	begin("a\nbb\n", NULL);
	takeover_new_ask(&t.new, names[0]);
	takeover_new_ask(&t.new, names[1]);
	expect(0, "release a\n");
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is cancelled: a signal");
	ck_assert(takeover_new_cancel(&t.new, "a signal"));
	ck_assert_uint_eq(t.cancelled, 1);
	while (t.new.tick.active || t.new.retry.active)
		ck_assert_int_eq(ring_run(&t.ring, true), 0);
	ck_assert_str_eq(tf_messages(t.fd[0], NULL), "");
	ck_assert(!takeover_new_cancel(&t.new, "another signal"));
	ck_assert_uint_eq(t.cancelled, 1);
}
END_TEST

/* ---- two old servers ---- */

START_TEST(disks_of_two_servers_are_taken_from_both)
{
	begin("a\nbb\n", "c\nd\n");
	ck_assert(takeover_new_holds(&t.new, names[0]) && takeover_new_holds(&t.new, names[3]));
	ck_assert(!takeover_new_holds(&t.new, names[4])); /* a new one */
	for (size_t i = 0; i < DISKS; i++)
		takeover_new_ask(&t.new, names[i]);
	expect(0, "release a\nrelease bb\n");
	expect(1, "release c\nrelease d\n");
	say(1, "released c\n");
	takeover_new_serving(&t.new, names[2]);
	expect(0, "");
	expect(1, "serving c\n");
	for (size_t i = 0; i < DISKS; i++)
		ck_assert_uint_eq(t.released[i], i == 2);
}
END_TEST

START_TEST(end_of_one_server_releases_its_disks_only)
{
	int ends = _i;

	begin("a\nbb\n", "c\nd\n");
	test_log_expect(LOG_LEVEL_WARNING,
			"this server adopts its remaining 2 disks as after a crash");
	old_ends(ends);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(t.released[i], i / 2 == ends);
	takeover_new_failed(&t.new, names[2 * ends]); /* it is tried again, as after a crash */
	ck_assert_uint_eq(t.cancelled, 0);
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is cancelled");
	ck_assert(takeover_new_cancel(&t.new, "a signal")); /* the other one takes its disks back */
	ck_assert(is_left(!ends));
}
END_TEST

START_TEST(nothing_is_given_up_without_a_server_that_takes_back)
{
	begin("a\nbb\n", NULL);
	test_log_expect(LOG_LEVEL_WARNING,
			"this server adopts its remaining 2 disks as after a crash");
	old_ends(0);
	ck_assert(!takeover_new_cancel(&t.new, "a signal"));
	takeover_new_failed(&t.new, names[0]);
	ck_assert_uint_eq(t.cancelled, 0);
	ck_assert(takeover_new_complete(&t.new));
}
END_TEST

START_TEST(old_servers_learn_of_the_end_at_once)
{
	bool exits = _i;

	begin("a\nbb\n", "c\nd\n");
	run();
	if (exits)
		new_exits();
	else
		takeover_new_end(&t.new);
	ck_assert(is_left(0) && is_left(1)); /* the ring has not run in between */
}
END_TEST

/* Before the sessions are read. */
START_TEST(end_may_come_before_the_beginning)
{
	init("a\n", "bb\n");
	takeover_new_end(&t.new);
	ck_assert(is_left(0) && is_left(1));
}
END_TEST

/* A number that was closed may be that of another file by then. */
START_TEST(sessions_are_closed_once)
{
	int other[OLD];

	begin("a\n", "bb\n");
	run();
	takeover_new_end(&t.new);
	run();
	for (int i = 0; i < OLD; i++)
		other[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	takeover_new_end(&t.new);
	run();
	new_exits();
	for (int i = 0; i < OLD; i++)
		ck_assert_int_eq(close(other[i]), 0);
}
END_TEST

/* ---- the end of the start ---- */

START_TEST(one_released_disk_is_enough)
{
	begin("a\nbb\n", NULL);
	takeover_new_ask(&t.new, names[_i]);
	run();
	say(0, _i ? "released bb\n" : "released a\n");
	test_log_expect(LOG_LEVEL_WARNING,
			_i ? "a: is not taken over yet" : "bb: is not taken over yet");
	ck_assert(takeover_new_complete(&t.new));
}
END_TEST

/* What the new server has besides does not count. */
START_TEST(takeover_of_no_disk_at_all_is_given_up)
{
	begin("a\nbb\n", NULL);
	test_log_expect(LOG_LEVEL_ERROR, "the old server has released no disk");
	ck_assert(!takeover_new_complete(&t.new));
	ck_assert(is_left(0));
	ck_assert(!takeover_new_complete(&t.new));
	ck_assert_uint_eq(t.cancelled, 1);
}
END_TEST

START_TEST(takeover_without_old_servers_is_complete)
{
	begin(NULL, NULL);
	ck_assert(!takeover_new_holds(&t.new, names[0]));
	ck_assert(takeover_new_complete(&t.new));
	ck_assert_uint_eq(t.cancelled, 0);
}
END_TEST

/* A disk that is not of the takeover fails like any other, and is tried again. */
START_TEST(only_disks_of_old_servers_give_a_takeover_up)
{
	begin("a\nbb\n", NULL);
	takeover_new_ask(&t.new, names[0]);
	takeover_new_failed(&t.new, names[4]); /* a new disk */
	takeover_new_failed(&t.new, names[0]); /* not released yet */
	takeover_new_serving(&t.new, names[4]);
	expect(0, "release a\n");
	ck_assert_uint_eq(t.cancelled, 0);
	say(0, "released a\n");
	test_log_expect(LOG_LEVEL_ERROR, "disk a cannot be adopted");
	takeover_new_failed(&t.new, names[0]);
	ck_assert_uint_eq(t.cancelled, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("takeover_new");
	TCase *tc = suite_case(suite, "takeover_new", setup, teardown);

	tcase_add_test(tc, each_message_is_sent_once);
	tcase_add_loop_test(tc, name_may_be_long, 0, 2);
	tcase_add_test(tc, packet_ends_where_it_ends);
	tcase_add_test(tc, messages_that_make_no_sense_are_ignored);
	tcase_add_test(tc, messages_wait_for_room_in_the_socket);
	tcase_add_loop_test(tc, completion_is_sent_after_all_that_is_served, 0, 2);
	tcase_add_test(tc, busy_disk_is_asked_for_once_more);
	tcase_add_test(tc, disk_that_stalls_counts_for_two_ticks);
	tcase_add_loop_test(tc, tick_is_a_quarter_of_a_second, 0, 2);
	tcase_add_test(tc, nothing_runs_after_a_takeover_was_given_up);
	tcase_add_test(tc, disks_of_two_servers_are_taken_from_both);
	tcase_add_loop_test(tc, end_of_one_server_releases_its_disks_only, 0, 2);
	tcase_add_test(tc, nothing_is_given_up_without_a_server_that_takes_back);
	tcase_add_loop_test(tc, old_servers_learn_of_the_end_at_once, 0, 2);
	tcase_add_test(tc, end_may_come_before_the_beginning);
	tcase_add_test(tc, sessions_are_closed_once);
	tcase_add_loop_test(tc, one_released_disk_is_enough, 0, 2);
	tcase_add_test(tc, takeover_of_no_disk_at_all_is_given_up);
	tcase_add_test(tc, takeover_without_old_servers_is_complete);
	tcase_add_test(tc, only_disks_of_old_servers_give_a_takeover_up);
	return suite_run(suite);
}
