// SPDX-License-Identifier: GPL-2.0-or-later
#include "suite.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

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

static pid_t runner_pid;

/*
 * Children of the tests are not meant: not in their own processes, and not where this process is the
 * first one of a PID namespace and gets them after check has killed them.
 */
static void test_ended(int sig, siginfo_t *info, void *context)
{
	bool killed = info->si_code != CLD_EXITED;

	(void)sig;
	(void)context;
	if (getpid() == runner_pid && info->si_status && !(killed && info->si_status == SIGKILL))
		_exit(EXIT_FAILURE);
}

/* For tests/mutants, to which one failure says as much as many. */
static void stop_at_first_failure(void)
{
	struct sigaction action = { .sa_sigaction = test_ended,
				    .sa_flags = SA_SIGINFO | SA_NOCLDSTOP | SA_RESTART };

	runner_pid = getpid();
	sigaction(SIGCHLD, &action, NULL);
}

int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	if (getenv("UNIT_STOP"))
		stop_at_first_failure();
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
