// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/control/ownership.c, with a server that responds; startup_wait.c: a signal ends the wait. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "control_fixture.h"
#include "fake_kern.h"
#include "process/startup_wait.h"
#include "control/ownership.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vduse_fixture.h"

#define OTHER "another process serves a device of that name"

/* What the other server lists; what it is asked for, NULL: it is of an earlier version. */
static const char *listed, *word;
static unsigned int lists;

static bool respond(struct control *control, const char *question, FILE *to)
{
	bool is_list = !strcmp(question, "list");

	(void)control;
	if (!word && !is_list) {
		fputs("it does not understand the question", to);
		return false;
	}
	if (!is_list && strcmp(question, "end") != 0)
		ck_assert_str_eq(question, "owner\n" VD_NAME);
	lists += is_list;
	fputs(is_list ? listed : word, to);
	return true;
}

static struct fake_dev *other;

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
	other = fake_kern_orphan(VD_NAME);

	listed = "";
	word = NULL;
	lists = 0;
	control_fixture_start(temp_dir, respond);
}

static void teardown(void)
{
	control_fixture_end();
	fake_kern_reset();
	test_log_end();
}

START_TEST(who_says_that_it_serves_the_name_is_named_at_once)
{
	if (_i)
		word = "keeps";
	else
		listed = "a /dev/vda virtio_vdpa attached 512 /a\n" VD_NAME
			 " /dev/vdb virtio_vdpa attached 512 /b\n";
	other->open_elsewhere = 3; /* so no wait */
	test_log_expect(LOG_LEVEL_ERROR, OTHER ": the server with process id");
	ck_assert_int_eq(ownership_wait(VD_NAME, temp_dir), -EBUSY);
	test_log_expect(LOG_LEVEL_ERROR, OTHER ": the server with process id");
	ck_assert_int_eq(ownership_refuse(VD_NAME, temp_dir), -EBUSY);
	ck_assert_uint_eq(other->open_elsewhere, 1);
	ck_assert_int_eq(ownership_by_other(VD_NAME, temp_dir), 0);
	ck_assert_uint_eq(lists, _i ? 0 : 3);
}
END_TEST

/* On its way down, or another name: it will let go of it, or somebody else does. */
START_TEST(end_of_the_others_is_waited_for)
{
	static const struct {
		const char *word, *list;
		bool has; /* it can be asked for a takeover */
	} responses[] = {
		{ "has", "", true },
		{ "lends", "", true }, /* of a later version */
		{ "none", VD_NAME " /dev/vda virtio_vdpa attached 512 /a\n", false },
		{ NULL, VD_NAME " /dev/vda virtio_vdpa closing 512 /a\n", true },
		{ NULL, VD_NAME " - virtio_vdpa opening 512 /a\n", false },
		{ NULL, VD_NAME " - virtio_vdpa waiting 512 /a\n", false },
		{ NULL, VD_NAME " - virtio_vdpa failed 512 /a\n", false },
		{ NULL, VD_NAME " - virtio_vdpa released 512 /a\n", false },
		{ NULL, VD_NAME "2 /dev/vda virtio_vdpa attached 512 /a\n", false },
		{ NULL, "a /dev/vda virtio_vdpa attached 512 " VD_NAME " \n", false },
		{ NULL, VD_NAME " \n", false },
		{ NULL, "", false },
	};

	listed = responses[_i].list;
	word = responses[_i].word;
	other->open_elsewhere = 20;
	ck_assert_int_eq(ownership_wait(VD_NAME, temp_dir), 0);
	ck_assert_uint_eq(other->open_elsewhere, 0);
	other->open_elsewhere = 20;
	ck_assert_int_eq(ownership_by_other(VD_NAME, temp_dir), 0);
	ck_assert_uint_eq(other->open_elsewhere, responses[_i].has ? 19 : 0);
}
END_TEST

START_TEST(signal_ends_the_wait)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1 };
	unsigned int wait_ms = 60000; /* longer than the test may take */
	sigset_t set;

	stop_signals(&set);
	ck_assert(!stop_pending());
	ck_assert(startup_wait(&wait_ms));
	ck_assert_uint_lt(wait_ms, 60000);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(signals[_i]);
	ck_assert(stop_pending());
	ck_assert(!startup_wait(&wait_ms));
	other->open_elsewhere = 3;
	test_log_expect(LOG_LEVEL_ERROR, OTHER);
	ck_assert_int_eq(ownership_wait(VD_NAME, temp_dir), -EBUSY);
	ck_assert_uint_eq(other->open_elsewhere, 1);
	sigwaitinfo(&set, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
END_TEST

START_TEST(device_that_is_not_there_is_served_by_nobody)
{
	ck_assert_int_eq(ownership_wait("nosuch", temp_dir), 0);
	ck_assert_int_eq(ownership_refuse("nosuch", temp_dir), 0);
	ck_assert_int_eq(ownership_by_other("nosuch", temp_dir), 0);
	ck_assert_int_eq(ownership_wait(VD_NAME, temp_dir), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ownership");
	TCase *tc = suite_case(suite, "ownership", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, who_says_that_it_serves_the_name_is_named_at_once, 0, 2);
	tcase_add_loop_test(tc, end_of_the_others_is_waited_for, 0, 12);
	tcase_add_loop_test(tc, signal_ends_the_wait, 0, 3);
	tcase_add_test(tc, device_that_is_not_there_is_served_by_nobody);
	return suite_run(suite);
}
