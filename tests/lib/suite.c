// SPDX-License-Identifier: GPL-2.0-or-later
#include "suite.h"

#include <stdlib.h>

/* Ends a test that hangs. No test may come near it, with any sanitizer on a machine that is busy. */
#define TIMEOUT_SECONDS 600

TCase *suite_case(Suite *suite, const char *name, void (*setup)(void), void (*teardown)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TIMEOUT_SECONDS);
	suite_add_tcase(suite, tc);
	return tc;
}

int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
