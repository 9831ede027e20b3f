// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/takeover/takeover_old.c and takeover_new.c, connected by a real socket: which server has
 * which disk after failures, and after the end of either server at any time.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager_fixture.h"
#include "suite.h"
#include "takeover_fixture.h"

START_TEST(all_disks_change_over)
{
	char done[80];

	tf_new_server_asks();
	tf_expect_all(RELEASED);
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	tf_expect_all(RELEASED); /* it can go back until all is complete */
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	tf_expect_all(FORGOTTEN);
	snprintf(done, sizeof(done), "the server with process id %d begins to take over",
		 (int)getpid());
	ck_assert_uint_eq(test_log_count(done), 1);
	snprintf(done, sizeof(done), "the server with process id %d has taken over", (int)getpid());
	ck_assert_uint_eq(test_log_count(done), 1);
	ck_assert_uint_eq(test_log_count("follow"), 0);
	ck_assert_uint_eq(test_log_count("there is no disk"), 0);
	ck_assert(takeover_new_complete(&tf.new)); /* and stays so */
	tf_old_server_ends();
	tf_run();
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_uint_eq(tf.released[i], 1);
	ck_assert_uint_eq(tf.cancelled, 0);
}
END_TEST

/* A start without --takeover goes the same way, with nothing to take. */
START_TEST(without_a_takeover_there_is_nothing_to_wait_for)
{
	struct takeover_new none = { .ops = &tf_new_ops };

	ck_assert(!takeover_new_holds(&none, tf_names[0]));
	takeover_new_ask(&none, tf_names[0]);
	takeover_new_serving(&none, tf_names[0]);
	takeover_new_failed(&none, tf_names[0]);
	ck_assert(takeover_new_complete(&none));
	ck_assert_uint_eq(tf.cancelled, 0);
}
END_TEST

#ifdef HAVE_LIBSYSTEMD

/* Was the manager told that this process is the service's main one? */
static bool told_main_pid(int manager)
{
	char want[64];

	snprintf(want, sizeof(want), "MAINPID=%d\n", (int)getpid());
	return manager_has(manager, want);
}

/* Or systemd ends the service when the old process ends. */
START_TEST(service_manager_is_notified_of_the_new_process)
{
	int manager = manager_listen();

	tf_new_server_asks();
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(!told_main_pid(manager));
	ck_assert(takeover_new_complete(&tf.new));
	ck_assert(told_main_pid(manager)); /* before the old process can know */
	tf_run();
	tf_expect_all(FORGOTTEN);
	close(manager);
}
END_TEST

/* It ends before the old one, which may still have a disk: that is the service again. */
START_TEST(service_manager_is_notified_when_the_new_process_ends)
{
	bool keeps_one = _i;
	int manager = manager_listen();

	tf.stalls[1] = keeps_one;
	tf_new_server_asks();
	for (size_t i = 0; i < tf.count; i++)
		if (!tf.stalls[i])
			tf_new_server_serves(i);
	test_log_allow(LOG_LEVEL_WARNING, "bb: is not taken over yet");
	test_log_allow(LOG_LEVEL_WARNING, "this server serves 1 disks again");
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	ck_assert(told_main_pid(manager));
	tf_new_server_dies();
	ck_assert_int_eq(told_main_pid(manager), keeps_one);
	close(manager);
}
END_TEST

#endif

START_TEST(new_server_that_ends_at_once_leaves_no_session)
{
	tf_new_server();
	takeover_new_exit(&tf.new);
	tf.new_runs = false;
	tf_run();
	tf_expect_all(SERVED);
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
	tf.new = (struct takeover_new){ .ops = &tf_new_ops };
	ck_assert_int_eq(takeover_new_init(&tf.new, &tf.ring, &tf.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	tf.new_runs = true;
	takeover_new_start(&tf.new);
	for (size_t i = 0; i < tf.count; i++)
		takeover_new_ask(&tf.new, tf_names[i]);
	tf_run();
	close(ends[1]);
	test_log_expect(LOG_LEVEL_WARNING, "this server adopts its remaining 4 disks");
	tf_run();
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_uint_eq(tf.released[i], 1);
	ck_assert(takeover_new_complete(&tf.new));
}
END_TEST

/* A connection is passed before "released", where the new server accepts connections. */
START_TEST(connections_of_front_ends_are_passed)
{
	ck_assert_int_eq(pipe2(tf.ends, O_CLOEXEC), 0);
	tf.with_connections = _i;
	tf.connected[0] = tf.connected[2] = true;
	tf_new_server_asks();
	for (size_t i = 0; i < tf.count; i++) {
		ck_assert_uint_eq(tf.released[i], 1);
		ck_assert_int_eq(tf.keeps[i], _i);
		ck_assert_uint_eq(tf.passed[i], _i && i % 2 == 0);
		tf_new_server_serves(i);
	}
	ck_assert_uint_eq(tf.kept[0], 0);
	ck_assert(takeover_new_complete(&tf.new));
	ck_assert_uint_eq(tf.kept[0], _i);
	tf_run();
	tf_expect_all(FORGOTTEN);
	close(tf.ends[0]);
	close(tf.ends[1]);
}
END_TEST

/* Nobody can take a disk back from then on, and nothing cancels the takeover. */
START_TEST(old_server_dies_and_a_disk_fails)
{
	ck_assert_int_eq(pipe2(tf.ends, O_CLOEXEC), 0);
	tf.with_connections = true;
	tf_new_server_asks();
	tf_new_server_serves(0);
	ck_assert_uint_eq(tf.kept[0], 0);
	for (size_t i = 0; i < tf.count; i++)
		tf.state[i] = ENDED;
	tf_old_server_ends();
	tf_run();
	ck_assert_uint_eq(tf.kept[0], 1);
	takeover_new_failed(&tf.new, tf.names[1]);
	ck_assert_uint_eq(tf.cancelled, 0);
	close(tf.ends[0]);
	close(tf.ends[1]);
}
END_TEST

/* Each takeover says anew whether the new server accepts connections. */
START_TEST(connections_are_offered_again)
{
	ck_assert_int_eq(pipe2(tf.ends, O_CLOEXEC), 0);
	tf.with_connections = true;
	tf.connected[0] = tf.connected[1] = true;
	tf_new_server_asks();
	tf_new_server_serves(0);
	test_log_expect(LOG_LEVEL_WARNING, "has ended early: this server serves 4 disks again");
	tf_new_server_dies();
	tf_expect_all(SERVED);
	ck_assert(tf.keeps[0] && tf.keeps[1]);

	tf.with_connections = false;
	tf_new_server_asks();
	ck_assert(!tf.keeps[0] && !tf.keeps[1]);
	test_log_expect(LOG_LEVEL_WARNING, "has ended early: this server serves 4 disks again");
	tf_new_server_dies();
	close(tf.ends[0]);
	close(tf.ends[1]);
}
END_TEST

START_TEST(stalled_disk_follows)
{
	tf.stalls[1] = true;
	tf_new_server_asks();
	ck_assert_uint_eq(tf.released[1], 0);
	ck_assert_int_eq(tf.state[1], QUIESCES);
	tf_new_server_serves(0);
	tf_new_server_serves(2);
	tf_new_server_serves(3);
	test_log_expect(LOG_LEVEL_WARNING, "bb: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	ck_assert_int_eq(tf.state[0], FORGOTTEN);
	ck_assert_int_eq(tf.state[2], FORGOTTEN);
	ck_assert_int_eq(tf.state[1], QUIESCES);
	tf_requests_complete(1);
	tf_run();
	ck_assert_uint_eq(tf.released[1], 1);
	ck_assert_int_eq(tf.state[1], RELEASED);
	tf_new_server_serves(1);
	tf_expect_all(FORGOTTEN);
	ck_assert_uint_eq(test_log_count("has taken over; 1 disks follow"), 1);
}
END_TEST

/* It dies before "complete": all comes back, also what it served already, and what is stalled. */
START_TEST(new_server_that_dies_has_taken_nothing)
{
	tf.stalls[1] = true;
	tf_new_server_asks();
	tf_new_server_serves(0);
	tf_new_server_serves(2);
	test_log_expect(LOG_LEVEL_WARNING, "this server serves 4 disks again");
	tf_new_server_dies();
	tf_expect_all(SERVED);
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_uint_eq(tf.taken_back[i], 1);
	ck_assert(!tf.old.active);

	tf.stalls[1] = false; /* and the next one can take over */
	tf_new_server_asks();
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	tf_expect_all(FORGOTTEN);
}
END_TEST

START_TEST(new_server_that_dies_later_leaves_the_stalled_disk)
{
	tf.stalls[3] = true;
	tf_new_server_asks();
	for (size_t i = 0; i < 3; i++)
		tf_new_server_serves(i);
	test_log_expect(LOG_LEVEL_WARNING, "d: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	test_log_expect(LOG_LEVEL_WARNING, "this server serves 1 disks again");
	tf_new_server_dies();
	ck_assert_int_eq(tf.state[3], SERVED);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(tf.state[i], FORGOTTEN);
}
END_TEST

/* A signal ends it when the takeover is complete: nobody else would serve the disk that stalls. */
START_TEST(new_server_that_ends_leaves_the_stalled_disk)
{
	tf.stalls[3] = true;
	tf_new_server_asks();
	for (size_t i = 0; i < 3; i++)
		tf_new_server_serves(i);
	test_log_expect(LOG_LEVEL_WARNING, "d: is not taken over yet: the server with process id");
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	ck_assert(!takeover_new_cancel(&tf.new, "Terminated"));
	test_log_expect(LOG_LEVEL_WARNING, "this server serves 1 disks again");
	takeover_new_end(&tf.new);
	tf_run();
	ck_assert_int_eq(tf.state[3], SERVED);
	ck_assert_uint_eq(tf.released[3], 0);
	ck_assert_uint_eq(tf.cancelled, 0);
}
END_TEST

START_TEST(disk_that_cannot_be_adopted_ends_the_takeover)
{
	tf_new_server_asks();
	tf_new_server_serves(0);
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is cancelled: disk bb cannot be adopted");
	test_log_expect(LOG_LEVEL_WARNING, "this server serves");
	takeover_new_failed(&tf.new, tf_names[1]);
	ck_assert_uint_eq(tf.cancelled, 1);
	tf_run();
	tf_expect_all(SERVED);
	ck_assert(!takeover_new_complete(&tf.new));
	takeover_new_failed(&tf.new, tf_names[2]); /* as its disks are left one after the other */
	ck_assert(!takeover_new_cancel(&tf.new, "a signal"));
	ck_assert_uint_eq(tf.cancelled, 1);
}
END_TEST

START_TEST(signal_gives_it_up)
{
	tf_new_server_asks();
	test_log_expect(LOG_LEVEL_ERROR, "the takeover is cancelled: Terminated; ");
	test_log_expect(LOG_LEVEL_WARNING, "this server serves");
	ck_assert(takeover_new_cancel(&tf.new, "Terminated"));
	tf_run();
	tf_expect_all(SERVED);
}
END_TEST

START_TEST(nothing_is_given_up_when_it_is_complete)
{
	tf_new_server_asks();
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	ck_assert(!takeover_new_cancel(&tf.new, "Terminated"));
	takeover_new_failed(&tf.new, tf_names[0]);
	tf_run();
	tf_expect_all(FORGOTTEN);
	ck_assert_uint_eq(tf.cancelled, 0);
}
END_TEST

/* A stopped server, or one whose disks all stall: there is nothing that the new one could serve. */
START_TEST(old_server_that_releases_nothing_goes_on)
{
	for (size_t i = 0; i < tf.count; i++)
		tf.stalls[i] = true;
	tf_new_server_asks();
	test_log_expect(LOG_LEVEL_ERROR,
			"the takeover is cancelled: the old server has released no disk");
	test_log_expect(LOG_LEVEL_WARNING, "this server serves");
	ck_assert(!takeover_new_complete(&tf.new));
	tf_run();
	ck_assert_uint_eq(tf.cancelled, 1);
	tf_expect_all(SERVED);
}
END_TEST

/* The old server is killed: what it had is adopted as after a crash. */
START_TEST(end_of_the_old_server_releases_everything)
{
	tf.stalls[1] = true;
	tf_new_server();
	takeover_new_start(&tf.new);
	takeover_new_ask(&tf.new, tf_names[0]); /* c and d are examined still */
	takeover_new_ask(&tf.new, tf_names[1]);
	tf_run();
	for (size_t i = 0; i < tf.count; i++) /* what its death does to its disks */
		tf.state[i] = ENDED;
	test_log_expect(LOG_LEVEL_WARNING, "this server adopts its remaining 3 disks");
	tf_old_server_ends();
	tf_run();
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_uint_eq(tf.released[i], 1);
	for (size_t i = 0; i < tf.count; i++)
		takeover_new_serving(&tf.new, tf_names[i]);
	ck_assert(takeover_new_complete(&tf.new));
	ck_assert_uint_eq(tf.cancelled, 0);
}
END_TEST

START_TEST(disk_that_is_busy_is_asked_for_again)
{
	tf.closing[2] = true;
	tf_new_server_asks();
	ck_assert_uint_eq(tf.released[2], 0);
	ck_assert_int_eq(tf.state[2], SERVED);
	tf.closing[2] = false;
	while (!tf.released[2])
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	tf_expect_all(FORGOTTEN);
}
END_TEST

static void have_many(void)
{
	tf.count = tf.config.device_count = TF_MANY;
}

/* So the pause of each does not depend on how many there are. */
START_TEST(few_disks_pause_at_a_time)
{
	size_t pause = _i ? (size_t)_i : 1;

	have_many();
	tf.at_a_time = (unsigned int)_i;
	tf.tick_us = 3600ull * 1000000;
	tf_new_server_asks();
	for (size_t i = 0; i < TF_MANY; i++) {
		for (size_t later = i; later < TF_MANY; later++)
			ck_assert_int_eq(tf.state[later], later < i + pause ? RELEASED : SERVED);
		tf_new_server_serves(i);
	}
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	tf_expect_all(FORGOTTEN);
}
END_TEST

START_TEST(disks_that_stall_keep_no_other_from_its_turn)
{
	size_t served = 0;

	have_many();
	tf.at_a_time = 0;
	tf.tick_us = 1000;
	for (size_t i = 0; i < 4; i++)
		tf.stalls[i] = true;
	tf_new_server_asks();
	while (served < TF_MANY - 4) {
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
		if (tf.released[4 + served])
			tf_new_server_serves(4 + served++);
	}
	for (size_t i = 0; i < 4; i++)
		test_log_expect(LOG_LEVEL_WARNING, "is not taken over yet");
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	for (size_t i = 0; i < TF_MANY; i++)
		ck_assert_int_eq(tf.state[i], i < 4 ? QUIESCES : FORGOTTEN);
	for (size_t i = 0; i < 4; i++) {
		tf_requests_complete(i);
		tf_run();
		tf_new_server_serves(i);
	}
	tf_expect_all(FORGOTTEN);
}
END_TEST

/* It is detached by a signal or a command while the session lasts: the new server need not wait. */
START_TEST(disk_that_has_ended_counts_as_released)
{
	bool gives_up = _i;

	tf_new_server();
	takeover_new_start(&tf.new);
	tf.state[1] = ENDED;
	for (size_t i = 0; i < tf.count; i++)
		takeover_new_ask(&tf.new, tf_names[i]);
	tf_run();
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	if (gives_up) {
		test_log_expect(LOG_LEVEL_WARNING, "serves 3 disks again");
		tf_new_server_dies();
	} else {
		ck_assert(takeover_new_complete(&tf.new));
		tf_run();
	}
	for (size_t i = 0; i < tf.count; i++)
		ck_assert_int_eq(tf.state[i], i == 1 ? ENDED : gives_up ? SERVED : FORGOTTEN);
}
END_TEST

/* It closes when it is asked for, so the new server asks again. Then it has ended. */
START_TEST(disk_that_was_busy_and_ends_is_released)
{
	tf.closing[2] = true;
	tf_new_server_asks();
	ck_assert_uint_eq(tf.released[2], 0);
	tf.state[2] = ENDED;
	while (!tf.released[2])
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	ck_assert_int_eq(tf.state[2], ENDED);
}
END_TEST

/* A disk that the old server began to serve after the session began is no part of the takeover. */
START_TEST(disk_that_is_made_meanwhile_stays)
{
	tf.state[3] = ENDED;
	tf_new_server();
	takeover_new_start(&tf.new);
	ck_assert(!takeover_new_holds(&tf.new, tf_names[3]));
	tf.state[3] = SERVED;
	for (size_t i = 0; i < tf.count; i++)
		takeover_new_ask(&tf.new, tf_names[i]);
	tf_run();
	for (size_t i = 0; i < 3; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	ck_assert_int_eq(tf.state[3], SERVED);
	tf_new_server_dies();
	ck_assert_int_eq(tf.state[3], SERVED);
	ck_assert_uint_eq(tf.taken_back[3], 0);
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
	ck_assert_int_eq(takeover_new_init(&tf.new, &tf.ring, &tf.config, &agreement), 0);
	takeover_agreement_free(&agreement);
	tf.new_runs = true;
	ck_assert(takeover_new_holds(&tf.new, "bb"));
	ck_assert(!takeover_new_holds(&tf.new, "x"));
	ck_assert(!takeover_new_holds(&tf.new, "a"));
	close(ends[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("takeover");
	TCase *tc = suite_case(suite, "takeover", tf_setup, tf_teardown);

	tcase_add_test(tc, all_disks_change_over);
	tcase_add_test(tc, without_a_takeover_there_is_nothing_to_wait_for);
	tcase_add_test(tc, new_server_that_ends_at_once_leaves_no_session);
	tcase_add_test(tc, old_server_may_be_killed_before_it_reads);
	tcase_add_loop_test(tc, connections_of_front_ends_are_passed, 0, 2);
	tcase_add_test(tc, connections_are_offered_again);
	tcase_add_test(tc, old_server_dies_and_a_disk_fails);
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
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_is_notified_of_the_new_process);
	tcase_add_loop_test(tc, service_manager_is_notified_when_the_new_process_ends, 0, 2);
#endif
	return suite_run(suite);
}
