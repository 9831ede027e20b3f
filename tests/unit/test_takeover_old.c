// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/takeover/takeover_old.c: what the old server sends, and what it does with the messages of a
 * new server, which the test writes. test_takeover_new.c is the counterpart; test_takeover.c connects
 * both.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"
#include "takeover_fixture.h"

START_TEST(second_new_server_is_refused)
{
	char *text;
	bool error;
	int fd;

	tf_new_server_asks();
	text = tf_ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(error);
	ck_assert_ptr_nonnull(strstr(
		text, "another takeover from it is under way, by the server with process id"));
	ck_assert_ptr_null(strchr(text, '\n')); /* the reason, and no tf_names */
	free(text);
	close(fd);
	tf_run();
	tf_expect_all(RELEASED); /* the first one goes on */
	for (size_t i = 0; i < tf.count; i++)
		tf_new_server_serves(i);
	ck_assert(takeover_new_complete(&tf.new));
	tf_run();
	tf_expect_all(FORGOTTEN);
}
END_TEST

START_TEST(list_without_a_disk_of_ours_is_refused)
{
	char *text;
	bool error;
	int fd;

	text = tf_ask("a\nc\nd\nx\n", &fd, &error);
	ck_assert(error);
	ck_assert_ptr_nonnull(strstr(text, "it serves bb too"));
	ck_assert_ptr_nonnull(strstr(text, "[bb]"));
	ck_assert_ptr_nonnull(strstr(text, "kill -TERM"));
	free(text);
	close(fd);
	tf.state[1] = ENDED;
	text = tf_ask("a\nc\nd\nx\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "a\nc\nd\n");
	free(text);
	close(fd);
	tf_run();
	ck_assert_uint_eq(test_log_count("before it requested a disk"), 1);
}
END_TEST

START_TEST(server_that_is_not_concerned_says_nothing)
{
	char *text;
	bool error;
	int fd;

	text = tf_ask("x\ny\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "");
	free(text);
	ck_assert(!tf.old.active);
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

	text = tf_ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(!error);
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ck_assert_int_gt(send(fd, lines[i], strlen(lines[i]), 0), 0);
	memset(line, 'y', sizeof(line));
	ck_assert_int_gt(send(fd, line, sizeof(line), 0), 0);
	line[10] = ' ';
	ck_assert_int_gt(send(fd, line, sizeof(line), 0), 0);
	tf_run();
	tf_expect_all(SERVED);
	ck_assert_int_gt(send(fd, "release a\nrelease a\nserving bb\n", 30, 0), 0);
	tf_run();
	ck_assert_int_eq(tf.state[0], RELEASED);
	ck_assert_int_eq(tf.state[1], SERVED);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	tf_run();
	tf_expect_all(SERVED);
}
END_TEST

static int begin_by_hand(void)
{
	bool error;
	char *text;
	int fd;

	text = tf_ask("a\nbb\nc\nd\n", &fd, &error);
	ck_assert(!error);
	ck_assert_str_eq(text, "a\nbb\nc\nd\n");
	free(text);
	return fd;
}

START_TEST(release_is_reported_once)
{
	int fd = begin_by_hand();

	tf_say(fd, "release a\nrelease a\nrelease c\n");
	ck_assert_str_eq(tf_messages(fd, NULL), "released a\nreleased c\n");
	tf_say(fd, "release a\nrelease d\n");
	ck_assert_str_eq(tf_messages(fd, NULL), "released d\n");
	ck_assert(!tf.old.retry_send.active);
	test_log_expect(LOG_LEVEL_WARNING, "serves 3 disks again");
	close(fd);
	tf_run();
	tf_expect_all(SERVED);
}
END_TEST

START_TEST(long_name_is_reported_in_full)
{
	static char long_name[256];
	char wanted[300], *text;
	bool error;
	int fd;

	memset(long_name, 'n', sizeof(long_name) - 1);
	tf.names[0] = long_name;
	text = tf_ask(long_name, &fd, &error);
	free(text);
	ck_assert(error); /* it has three others */
	close(fd);
	tf.count = 1;
	text = tf_ask(long_name, &fd, &error);
	ck_assert(!error);
	free(text);
	snprintf(wanted, sizeof(wanted), "release %s\n", long_name);
	tf_say(fd, wanted);
	snprintf(wanted, sizeof(wanted), "released %s\n", long_name);
	ck_assert_str_eq(tf_messages(fd, NULL), wanted);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	tf_run();
}
END_TEST

START_TEST(busy_disk_is_reported_and_may_be_asked_for_again)
{
	int fd = begin_by_hand();

	tf.closing[1] = true;
	tf_say(fd, "release bb\n");
	tf_say(fd, "release bb\n");
	ck_assert_str_eq(tf_messages(fd, NULL), "busy bb\nbusy bb\n");
	ck_assert_uint_eq(test_log_count("cannot send"), 0);
	tf.closing[1] = false;
	tf_say(fd, "release bb\n");
	ck_assert_str_eq(tf_messages(fd, NULL), "released bb\n");
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	tf_run();
}
END_TEST

/* The new server reads nothing, as one whose process is stopped, and the socket is full. */
static int begin_with_full_socket(void)
{
	int fd = begin_by_hand();
	char lines[10 * 1000 + 1] = "";

	for (int i = 0; i < 1000; i++)
		memcpy(lines + i * 10, "release d\n", 11);
	tf.closing[3] = true;
	while (!test_log_count("d: cannot send \"busy\""))
		tf_say(fd, lines);
	while (tf.old.retry_send.active)
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
	tf_say(fd, "release a\nrelease bb\n");
	ck_assert(tf.old.retry_send.active);
	return fd;
}

START_TEST(release_is_reported_when_the_socket_has_room)
{
	int fd = begin_with_full_socket();

	ck_assert_str_eq(tf_messages(fd, "busy d"), "");
	while (tf.old.retry_send.active)
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
	ck_assert_str_eq(tf_messages(fd, NULL), "released a\nreleased bb\n");
	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	tf_run();
}
END_TEST

START_TEST(nothing_is_reported_after_the_end)
{
	int fd = begin_with_full_socket();

	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	tf_run();
	tf_expect_all(SERVED);
	while (tf.old.retry_send.active)
		ck_assert_int_eq(ring_run(&tf.ring, true), 0);
}
END_TEST

/* Its file may be gone, or it is detached while its requests in flight complete. */
START_TEST(disk_that_ends_meanwhile_is_not_taken_back)
{
	int fd = begin_by_hand();
	char gone[96];

	tf.stalls[1] = tf.stalls[2] = true;
	tf_say(fd, "release bb\nrelease c\n");
	tf.state[0] = tf.state[1] = tf.state[2] = ENDED;
	tf.command[1]->done(tf.command[1], 0);
	tf.command[2]->done(tf.command[2], -EIO);
	tf_say(fd, "release nosuch\nrelease a\n");
	ck_assert_uint_eq(test_log_count("ignored 'release nosuch'"), 1);
	ck_assert_str_eq(tf_messages(fd, NULL), "released bb\nbusy c\nreleased a\n");
	close(fd);
	tf_run();
	snprintf(
		gone, sizeof(gone),
		"the takeover by the server with process id %d has ended before it requested a disk",
		(int)getpid());
	ck_assert_uint_eq(test_log_count(gone), 1);
	ck_assert_uint_eq(tf.taken_back[1] + tf.taken_back[2], 0);
}
END_TEST

/* A word of a later version does not mean that the disk is served. */
START_TEST(unknown_message_changes_nothing)
{
	int fd = begin_by_hand();

	tf_say(fd, "release a\nhello a\ncomplete\n");
	ck_assert_int_eq(tf.state[0], RELEASED);
	test_log_expect(LOG_LEVEL_WARNING, "serves 1 disks again");
	close(fd);
	tf_run();
	tf_expect_all(SERVED);
}
END_TEST

/* After a takeover that was complete, but for a disk, the next one begins as the first did. */
START_TEST(next_takeover_begins_anew)
{
	int fd = begin_by_hand();

	tf_say(fd, "release a\nserving a\ncomplete\n");
	ck_assert_int_eq(tf.state[0], FORGOTTEN);
	ck_assert_uint_eq(test_log_count("has taken over; 3 disks follow"), 1);
	tf_say(fd, "complete\nserving a\n"); /* it has no disk "a" any more */
	close(fd);
	tf_run();
	ck_assert_uint_eq(test_log_count("has ended before it requested"), 0);

	tf.state[0] = SERVED;
	fd = begin_by_hand();
	tf_say(fd, "release a\nrelease bb\nserving a\n");
	ck_assert_int_eq(tf.state[0], RELEASED); /* it is not complete */
	test_log_expect(LOG_LEVEL_WARNING, "serves 2 disks again");
	close(fd);
	tf_run();
	tf_expect_all(SERVED);
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
	Suite *suite = suite_create("takeover_old");
	TCase *tc = suite_case(suite, "takeover_old", tf_setup, tf_teardown);

	tcase_add_test(tc, second_new_server_is_refused);
	tcase_add_test(tc, list_without_a_disk_of_ours_is_refused);
	tcase_add_test(tc, server_that_is_not_concerned_says_nothing);
	tcase_add_test(tc, nonsense_is_survived);
	tcase_add_test(tc, release_is_reported_once);
	tcase_add_test(tc, long_name_is_reported_in_full);
	tcase_add_test(tc, busy_disk_is_reported_and_may_be_asked_for_again);
	tcase_add_test(tc, release_is_reported_when_the_socket_has_room);
	tcase_add_test(tc, nothing_is_reported_after_the_end);
	tcase_add_test(tc, disk_that_ends_meanwhile_is_not_taken_back);
	tcase_add_test(tc, unknown_message_changes_nothing);
	tcase_add_test(tc, next_takeover_begins_anew);
	tcase_add_test(tc, lines_are_taken_apart);
	return suite_run(suite);
}
