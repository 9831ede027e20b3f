// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/control/control.c: requests and responses over a real socket; control_request.c: what they mean. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control_ask.h"
#include "control_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define LONG_ANSWER (3u << 20) /* far more than any socket buffer */

static const char *socket_path;
static unsigned int questions;

/* The responses that control_ask() got. */
static struct {
	unsigned int count;
	pid_t pid;
	bool error;
	size_t len;
	char text[64];
} got;

static bool answer(struct control *control, const char *question, FILE *to)
{
	(void)control;
	questions++;
	if (!strcmp(question, "long"))
		for (unsigned int i = 0; i < LONG_ANSWER; i++)
			fputc('x', to);
	else
		fprintf(to, "you said %s", question);
	return strcmp(question, "wrong") != 0;
}

static void take(const struct control_response *answered, void *ctx)
{
	ck_assert_ptr_eq(ctx, &got);
	got.count++;
	got.pid = answered->from->pid;
	got.error = answered->error;
	got.len = strlen(answered->text);
	snprintf(got.text, sizeof(got.text), "%s", answered->text);
}

static int ask(const char *question)
{
	memset(&got, 0, sizeof(got));
	return control_ask_text(temp_dir, question, take, &got);
}

static void setup(void)
{
	test_log_begin();
	control_ask_seconds = 3600;
	questions = 0;
	socket_path = control_fixture_start(temp_dir, answer);
}

static void teardown(void)
{
	control_fixture_end();
	ck_assert_int_eq(access(socket_path, F_OK), -1);
	ck_assert_int_eq(ask("anybody?"), 0);
	test_log_end();
}

static int connect_by_hand(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	strcpy(address.sun_path, socket_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

START_TEST(request_gets_a_response)
{
	ck_assert_int_eq(ask("how?"), 1);
	ck_assert_int_eq(got.pid, getpid());
	ck_assert(!got.error);
	ck_assert_str_eq(got.text, "you said how?");
	ck_assert_int_eq(ask("wrong"), 1);
	ck_assert(got.error);
	ck_assert_str_eq(got.text, "you said wrong");
	ck_assert_int_eq(ask("long"), 1);
	ck_assert_uint_eq(got.len, LONG_ANSWER);
}
END_TEST

/* Who says nothing, or goes away, or does not take the answer, holds up nobody. */
START_TEST(bad_clients_are_survived)
{
	int silent = connect_by_hand(), deaf = connect_by_hand(), gone = connect_by_hand();

	ck_assert_int_eq(send(deaf, "long", 4, 0), 4);
	ck_assert_int_eq(send(gone, "long", 4, 0), 4);
	close(gone);
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(ask("how?"), 1);
		close(connect_by_hand());
	}
	close(silent);
	close(deaf);
}
END_TEST

START_TEST(no_directory_is_no_server)
{
	memset(&got, 0, sizeof(got));
	ck_assert_int_eq(control_ask_text("/nowhere/at/all", "how?", take, &got), 0);
	ck_assert_uint_eq(got.count, 0);
}
END_TEST

START_TEST(names_are_told_apart)
{
	ck_assert(control_names_has("a\nbc\n", "a"));
	ck_assert(control_names_has("a\nbc\n", "bc"));
	ck_assert(control_names_has("a\nbc", "bc"));
	ck_assert(!control_names_has("a\nbc\n", "b"));
	ck_assert(!control_names_has("a\nbc\n", "c"));
	ck_assert(!control_names_has("ab\n", "a"));
	ck_assert(!control_names_has("", "a"));
}
END_TEST

START_TEST(names_are_taken_one_by_one)
{
	char name[CONTROL_NAME_MAX], long_name[2 * CONTROL_NAME_MAX];
	const char *names = "a\n\nb c", *at = long_name;

	ck_assert(control_next_name(&names, name));
	ck_assert_str_eq(name, "a");
	ck_assert(control_next_name(&names, name));
	ck_assert_str_eq(name, "");
	ck_assert(control_next_name(&names, name));
	ck_assert_str_eq(name, "b c");
	ck_assert(!control_next_name(&names, name));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	ck_assert(control_next_name(&at, name));
	ck_assert_uint_eq(strlen(name), CONTROL_NAME_MAX - 1);
	ck_assert(!control_next_name(&at, name));
}
END_TEST

/* Servers and clients of other versions rely on these texts. */
static const struct {
	const char *text;
	enum control_verb verb;
	const char *names;
} texts[] = {
	{ "list", CONTROL_LIST, "" },
	{ "stats", CONTROL_STATS, "" },
	{ "json", CONTROL_JSON, "" },
	{ "owner\na", CONTROL_OWNER, "a" },
	{ "take-over\na\nbb\n", CONTROL_TAKE_OVER, "a\nbb\n" },
	{ "may-leave\na\n", CONTROL_MAY_LEAVE, "a\n" },
	{ "leave\na\n", CONTROL_LEAVE, "a\n" },
};

START_TEST(request_is_what_was_printed)
{
	char *text = control_request_print(texts[_i].verb, texts[_i].names);
	struct control_request request;

	ck_assert_str_eq(text, texts[_i].text);
	ck_assert(control_request_parse(text, &request));
	ck_assert_int_eq(request.verb, texts[_i].verb);
	ck_assert_str_eq(request.names, texts[_i].names);
	free(text);
}
END_TEST

static const char *const no_requests[] = { "",		"\n",	    "lis",   "list ",
					   "list\n",	"listx",    "owner", "stop",
					   "take-over", "\nlist\n", "LIST",  "stats\na" };

START_TEST(other_text_is_not_understood)
{
	struct control_request request;

	ck_assert(!control_request_parse(no_requests[_i], &request));
	ck_assert_int_eq(request.verb, CONTROL_NONE);
}
END_TEST

/* A word of a later version: the safe answer is that the server has the device. */
START_TEST(owner_is_told_by_a_word)
{
	for (enum control_owner owner = CONTROL_OWNER_NONE; owner <= CONTROL_OWNER_KEEPS; owner++)
		ck_assert_int_eq(control_owner_parse(control_owner_name(owner)), owner);
	ck_assert_int_eq(control_owner_parse("lends"), CONTROL_OWNER_HAS);
	ck_assert_int_eq(control_owner_parse(""), CONTROL_OWNER_HAS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tc = suite_case(suite, "server", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, request_gets_a_response);
	tcase_add_test(tc, bad_clients_are_survived);
	tc = suite_case(suite, "plain", test_log_begin, test_log_end);
	tcase_add_test(tc, no_directory_is_no_server);
	tcase_add_test(tc, names_are_told_apart);
	tcase_add_test(tc, names_are_taken_one_by_one);
	tcase_add_loop_test(tc, request_is_what_was_printed, 0, ARRAY_SIZE(texts));
	tcase_add_loop_test(tc, other_text_is_not_understood, 0, ARRAY_SIZE(no_requests));
	tcase_add_test(tc, owner_is_told_by_a_word);
	return suite_run(suite);
}
