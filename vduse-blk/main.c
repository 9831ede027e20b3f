// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend_program.h"
#include "check_stores.h"
#include "process/background.h"
#include "config/config.h"
#include "config/config_disk.h"
#include "log.h"
#include "process/logger.h"
#include "rescue.h"
#include "control/ownership.h"
#include "server.h"
#include "show.h"

struct arguments {
	const char *config_path; /* NULL: no option -c */
	bool json;
	bool takeover;
	bool background;
	bool dry_run;
	bool stores;
	const char *socket; /* of --vhost-user; NULL: none */
	char given[9];	    /* the letters of the options on the command line */
	const char *name;   /* of a device; for the verb rescue */
	char **rest;	    /* the arguments after the verb */
};

struct verb {
	const char *name;
	const char *options; /* the letters of the options that it accepts, as in long_options */
	bool needs_config;
	bool needs_name;
	const char *help;
	/* @config: NULL: no option -c */
	enum exit_status (*run)(const struct config *config, const struct arguments *args);
};

static enum exit_status verb_serve(const struct config *config, const struct arguments *args)
{
	struct server_options options = {
		.mode = args->takeover ? SERVER_TAKEOVER : SERVER_START,
		.ready_fd = -1,
	};
	enum exit_status status;

	if (args->background && background_start(&options.ready_fd, &status))
		return status;
	return server_run(config, &options);
}

static enum exit_status verb_check(const struct config *config, const struct arguments *args)
{
	if (args->stores && !check_stores(config))
		return EXIT_RUNTIME;
	printf("%s: correct%s\n", args->config_path, args->stores ? ", and its stores too" : "");
	return EXIT_OK;
}

static enum exit_status verb_dump(const struct config *config, const struct arguments *args)
{
	if (args->json)
		config_dump_json(config, stdout);
	else
		config_dump(config, stdout);
	return EXIT_OK;
}

static const char *runtime_dir(const struct config *config)
{
	static char user[CONFIG_RUNTIME_DIR_MAX];

	return config ? config->runtime_dir : config_user_runtime_dir(user);
}

static enum exit_status verb_list(const struct config *config, const struct arguments *args)
{
	return show(runtime_dir(config), args->json ? CONTROL_JSON : CONTROL_LIST);
}

static enum exit_status verb_stats(const struct config *config, const struct arguments *args)
{
	return show(runtime_dir(config), args->json ? CONTROL_JSON : CONTROL_STATS);
}

static enum exit_status verb_resize(const struct config *config, const struct arguments *args)
{
	return show_resize(runtime_dir(config), args->name);
}

static enum exit_status verb_rescue(const struct config *config, const struct arguments *args)
{
	if (ownership_refuse(args->name, runtime_dir(config)))
		return EXIT_RUNTIME;
	return rescue_device(args->name, runtime_dir(config));
}

static enum exit_status verb_gc(const struct config *config, const struct arguments *args)
{
	(void)config;
	return rescue_collect(args->dry_run);
}

static const struct verb verbs[] = {
	{ "serve", "ctbu", true, false, "serve the devices of FILE until a signal (--takeover)",
	  verb_serve },
	{ "check", "cs", true, false, "check FILE; its stores too (--stores); do nothing else",
	  verb_check },
	{ "dump", "cj", true, false, "print the effective configuration of FILE (--json: as JSON)",
	  verb_dump },
	{ "list", "cj", false, false, "list the disks of running servers (--json)", verb_list },
	{ "stats", "cj", false, false, "print counters and states of running servers (--json)",
	  verb_stats },
	{ "resize", "c", false, true, "use the size that the store of vhost-user disk NAME has now",
	  verb_resize },
	{ "rescue", "c", false, true,
	  "complete the requests of device NAME, which has no server, with errors; remove it",
	  verb_rescue },
	{ "gc", "n", false, false, "remove devices without a server and a driver (--dry-run)",
	  verb_gc },
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "help-keys", no_argument, NULL, 'k' },
	{ "version", no_argument, NULL, 'V' },
	{ "takeover", no_argument, NULL, 't' },
	{ "background", no_argument, NULL, 'b' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "stores", no_argument, NULL, 's' },
	{ "vhost-user", required_argument, NULL, 'u' },
	{ 0 },
};

static void usage(FILE *to)
{
	fprintf(to, "Usage: vduse-blk VERB [NAME] [-c FILE] [OPTION]...\n"
		    "       vduse-blk --help | --help-keys | --version\n\n"
		    "Serves files and disks as vDPA block devices through VDUSE.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-7s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to,
		"\nserve --vhost-user SOCKET PATH [KEY=VALUE]... serves one disk without a file.\n"
		"serve --takeover replaces a running server while its disks are in use.\n"
		"serve --background exits when the server is ready, or has failed.\n"
		"--help-keys lists the keys of the configuration file; "
		"see vduse-blk(8) and vduse-blk.conf(5).\n");
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static const char *option_name(int letter)
{
	const struct option *option = long_options;

	while (option->val != letter)
		option++;
	return option->name;
}

/* Stores the option. Return: false: it is given twice, logged */
static bool take_option(struct arguments *args, int letter)
{
	if (strchr(args->given, letter)) {
		log_err("--%s is given twice", option_name(letter));
		return false;
	}
	args->given[strlen(args->given)] = (char)letter;
	if (letter == 'c')
		args->config_path = optarg;
	if (letter == 'u')
		args->socket = optarg;
	args->json |= letter == 'j';
	args->dry_run |= letter == 'n';
	args->takeover |= letter == 't';
	args->background |= letter == 'b';
	args->stores |= letter == 's';
	return true;
}

/* Return: false: exit with *@status */
static bool parse_options(int argc, char **argv, struct arguments *args, enum exit_status *status)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:hnV", long_options, NULL)) != -1) {
		*status = EXIT_OK;
		switch (option) {
		case 'h':
			usage(stdout);
			return false;
		case 'k':
			config_help(stdout);
			return false;
		case 'V':
			printf("vduse-blk %s\n", VERSION);
			return false;
		case '?':
			*status = EXIT_USAGE; /* getopt has printed the error */
			return false;
		default:
			*status = EXIT_USAGE;
			if (!take_option(args, option))
				return false;
		}
	}
	return true;
}

/* @rest: the arguments after the verb. Return: false: one is missing or unexpected, logged */
static bool check_arguments(const struct verb *verb, const struct arguments *args, char **rest)
{
	size_t known = strspn(args->given, verb->options);

	if (verb->needs_name && !*rest)
		log_err("%s needs the NAME of a device", verb->name);
	else if (args->given[known])
		log_err("%s does not take --%s; see vduse-blk --help", verb->name,
			option_name(args->given[known]));
	else if (args->socket && args->config_path)
		log_err("--vhost-user serves one disk without a file: -c is not accepted too");
	else if (args->socket && !*rest)
		log_err("--vhost-user needs the PATH of a file or block device after the socket");
	else if (!args->socket && rest[verb->needs_name])
		log_err("unexpected argument '%s' after %s", rest[verb->needs_name], verb->name);
	else if (verb->needs_config && !args->config_path && !args->socket)
		log_err("%s needs -c FILE", verb->name);
	else
		return true;
	return false;
}

/* Return: the verb; NULL: exit with *@status */
static const struct verb *parse_arguments(int argc, char **argv, struct arguments *args,
					  enum exit_status *status)
{
	const struct verb *verb;

	if (!parse_options(argc, argv, args, status))
		return NULL;
	*status = EXIT_USAGE;
	if (optind >= argc) {
		log_err("a verb is needed; see vduse-blk --help");
		return NULL;
	}
	verb = find_verb(argv[optind]);
	if (!verb) {
		log_err("unknown verb '%s'; see vduse-blk --help", argv[optind]);
		return NULL;
	}
	args->name = argv[optind + 1];
	args->rest = argv + optind + 1;
	return check_arguments(verb, args, argv + optind + 1) ? verb : NULL;
}

/* Opens descriptors 0 to 2: otherwise an image could get one of them, and log lines would go into it. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/*
 * A missing file is a wrong usage, as a wrong key is: a restart does not help
 * (conf/vduse-blk.service: RestartPreventExitStatus=). After a lack of resources a restart may help.
 */
static enum exit_status config_status(int err)
{
	switch (-err) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EINTR:
	case EIO:
		return EXIT_RUNTIME;
	}
	return EXIT_USAGE;
}

static int load_config(const struct arguments *args, struct config *config)
{
	struct config_disk disk = { .socket = args->socket };

	if (!args->socket)
		return config_load(args->config_path, config);
	disk.path = args->rest[0];
	disk.pairs = args->rest + 1;
	return config_disk_load(&disk, config);
}

int main(int argc, char **argv)
{
	struct arguments args = { 0 };
	enum exit_status status;
	const struct verb *verb;
	struct config config;
	int err;

	open_standard_fds();
	log_init(logger_print, LOG_LEVEL_INFO);
	if (backend_program_is_meant(argv))
		return (int)backend_program(argc, argv);
	verb = parse_arguments(argc, argv, &args, &status);
	if (!verb)
		return (int)status;

	if (!args.config_path && !args.socket)
		return (int)verb->run(NULL, &args);
	err = load_config(&args, &config);
	if (err)
		return (int)config_status(err);
	log_init(logger_print, config.log_level);
	status = verb->run(&config, &args);
	config_exit(&config);
	return (int)status;
}
