// SPDX-License-Identifier: GPL-2.0-or-later
#include "backend_program.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "config/config_disk.h"
#include "log.h"
#include "server.h"

static const struct option options[] = {
	{ "socket-path", required_argument, NULL, 's' },  { "fd", required_argument, NULL, 'f' },
	{ "blk-file", required_argument, NULL, 'b' },	  { "read-only", no_argument, NULL, 'r' },
	{ "print-capabilities", no_argument, NULL, 'c' }, { 0 },
};

/* Is @arg "--NAME" or "--NAME=..."? */
static bool is_option(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(arg, "--", 2) && !strncmp(arg + 2, name, len) &&
	       (!arg[2 + len] || arg[2 + len] == '=');
}

bool backend_program_is_meant(char **argv)
{
	for (char **arg = argv + 1; argv[0] && *arg; arg++)
		for (const struct option *option = options; option->name; option++)
			if (is_option(*arg, option->name))
				return true;
	return false;
}

static bool is_unix_stream_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM;
}

/* Return: false: it is no descriptor of a socket, logged */
static bool take_fd(const char *text, struct config_disk *disk)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (!*text || *end || fd < 3 || fd > 1 << 20 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) ||
	    fcntl((int)fd, F_SETFL, O_NONBLOCK)) {
		log_err("--fd=%s is not the number of an open descriptor above 2", text);
		return false;
	}
	if (!is_unix_stream_socket((int)fd)) {
		log_err("--fd=%s is not a Unix stream socket", text);
		return false;
	}
	disk->socket_fd = (int)fd;
	return true;
}

/* Return: false: exit with *@status */
static bool parse(int argc, char **argv, struct config_disk *disk, enum exit_status *status)
{
	int option;

	*status = EXIT_USAGE;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c') {
			puts("{ \"type\": \"block\", \"features\": [ \"read-only\", \"blk-file\" ] }");
			*status = EXIT_OK;
			return false;
		}
		if (option == '?' || (option == 'f' && !take_fd(optarg, disk)))
			return false;
		if (option == 's')
			disk->socket = optarg;
		if (option == 'b')
			disk->path = optarg;
		disk->readonly |= option == 'r';
	}
	if (optind < argc)
		log_err("unexpected argument '%s'", argv[optind]);
	else if (!disk->path)
		log_err("--blk-file=PATH is needed: the file or block device to serve");
	else if (!disk->socket == !disk->socket_fd)
		log_err("one of --socket-path=PATH and --fd=FD is needed, and only one");
	else
		return true;
	return false;
}

enum exit_status backend_program(int argc, char **argv)
{
	struct server_options server = {
		.mode = SERVER_START,
		.ready_fd = -1,
		.ends_at_once = true,
	};
	struct config_disk disk = { .socket = NULL };
	enum exit_status status;
	struct config config;

	if (!parse(argc, argv, &disk, &status))
		return status;
	if (config_disk_load(&disk, &config))
		return EXIT_USAGE;
	status = server_run(&config, &server);
	config_exit(&config);
	return status;
}
