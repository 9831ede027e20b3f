// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/rescue.c: gc. What rescue itself does, only the VM tier shows. */
#include <check.h>
#include <errno.h>

#include "compiler.h"
#include "fake_kern.h"
#include "rescue.h"
#include "suite.h"
#include "test_log.h"

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
}

static const int refusals[] = { -EACCES, -EPERM };

START_TEST(gc_without_permission_says_so_and_fails)
{
	for (int dry_run = 0; dry_run < 2; dry_run++) {
		fake_kern_fail(FAKE_OPEN_CONTROL, 1, refusals[_i]);
		test_log_expect(LOG_LEVEL_ERROR, "gc needs to be root");
		ck_assert_int_eq(rescue_collect(dry_run), EXIT_RUNTIME);
	}
}
END_TEST

static const int no_vduse[] = { -ENOENT, -ENODEV };

START_TEST(gc_without_vduse_has_nothing_to_do)
{
	fake_kern_fail(FAKE_OPEN_CONTROL, 1, no_vduse[_i]);
	ck_assert_int_eq(rescue_collect(true), EXIT_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rescue");
	TCase *tc = suite_case(suite, "gc", setup, test_log_end);

	tcase_add_loop_test(tc, gc_without_permission_says_so_and_fails, 0, ARRAY_SIZE(refusals));
	tcase_add_loop_test(tc, gc_without_vduse_has_nothing_to_do, 0, ARRAY_SIZE(no_vduse));
	return suite_run(suite);
}
