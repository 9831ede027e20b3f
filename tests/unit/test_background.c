// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/process/background.c: when the command ends, and its exit status. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/background.h"
#include "suite.h"
#include "test_log.h"

/* In the server. */
enum fate { STARTS, STARTS_AND_FAILS, FAILS, IS_REFUSED, ENDS_UNSTARTED, DIES };

static void __attribute__((noreturn)) serve(enum fate fate, int ready_fd, int done_fd)
{
	if (getsid(0) != getpid() || !(fcntl(ready_fd, F_GETFD) & FD_CLOEXEC))
		_exit(99);
	switch (fate) {
	case STARTS:
	case STARTS_AND_FAILS:
		if (write(ready_fd, "", 1) != 1)
			_exit(99);
		close(ready_fd);
		/* The command has come back when this can be read. */
		_exit(read(done_fd, &fate, 1) == 1 && fate == STARTS ? 0 : 1);
	case FAILS:
		_exit(EXIT_RUNTIME);
	case IS_REFUSED:
		_exit(EXIT_NO_VDUSE);
	case ENDS_UNSTARTED:
		_exit(EXIT_OK);
	case DIES:
		raise(SIGKILL);
	}
	_exit(99);
}

START_TEST(command_has_the_outcome)
{
	static const int wanted[] = { EXIT_OK,	     EXIT_OK,	   EXIT_RUNTIME,
				      EXIT_NO_VDUSE, EXIT_RUNTIME, EXIT_RUNTIME };
	enum exit_status status = 98;
	int ready_fd = -1, done[2];

	ck_assert_int_eq(pipe2(done, O_CLOEXEC), 0);
	if (_i == DIES)
		test_log_expect(LOG_LEVEL_ERROR, "killed by signal 9");
	if (!background_start(&ready_fd, &status))
		serve((enum fate)_i, ready_fd, done[0]);
	ck_assert_int_eq(status, wanted[_i]);
	ck_assert_int_eq(write(done[1], "", 1), 1);
	close(done[0]);
	close(done[1]);
	while (wait(NULL) > 0)
		;
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("background");
	TCase *tc = suite_case(suite, "background", test_log_begin, test_log_end);

	tcase_add_loop_test(tc, command_has_the_outcome, STARTS, DIES + 1);
	return suite_run(suite);
}
