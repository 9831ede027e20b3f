// SPDX-License-Identifier: GPL-2.0-or-later
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

static enum exit_status wait_for_server(pid_t server, int ready)
{
	ssize_t len;
	int status;
	char byte;

	do {
		len = read(ready, &byte, 1);
	} while (len < 0 && errno == EINTR);
	close(ready);
	if (len == 1)
		return EXIT_OK;
	while (waitpid(server, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_RUNTIME;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) ? (enum exit_status)WEXITSTATUS(status) : EXIT_RUNTIME;
	log_err("the server was killed by signal %d before it was ready", WTERMSIG(status));
	return EXIT_RUNTIME;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	close(null);
}

bool background_start(int *ready_fd, enum exit_status *status)
{
	int pair[2];
	pid_t server;

	*status = EXIT_RUNTIME;
	if (pipe2(pair, O_CLOEXEC)) {
		log_err("--background: cannot create a pipe: %s", strerror(errno));
		return true;
	}
	server = fork();
	if (server < 0)
		log_err("--background: cannot start the server's process: %s", strerror(errno));
	if (server) {
		close(pair[1]);
		if (server > 0)
			*status = wait_for_server(server, pair[0]);
		else
			close(pair[0]);
		return true;
	}
	close(pair[0]);
	leave_terminal();
	*ready_fd = pair[1];
	return false;
}
