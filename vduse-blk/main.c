// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "log.h"
#include "rescue.h"
#include "served.h"
#include "server.h"

#define RUNTIME_DIR "/run/vduse-blk" /* the default of the key runtime_dir */

struct arguments {
	const char *config_path; /* NULL: none was given */
	bool json;
	bool takeover;
	bool dry_run;
	const char *name; /* of a device, for a verb that needs one */
};

struct verb {
	const char *name;
	bool needs_config;
	bool needs_name;
	const char *help;
	/* @config is NULL where none was given. */
	enum exit_status (*run)(const struct config *config, const struct arguments *args);
};

static enum exit_status verb_serve(const struct config *config, const struct arguments *args)
{
	const struct server_options options = { .takeover = args->takeover };

	return server_run(config, &options);
}

static enum exit_status verb_check(const struct config *config, const struct arguments *args)
{
	(void)config;
	printf("%s: correct\n", args->config_path);
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

/* What servers answer, one after the other. */
struct answers {
	bool json;
	bool failed;
	unsigned int count;
};

static void print_answer(pid_t pid, bool error, const char *text, void *ctx)
{
	struct answers *answers = ctx;

	if (error) {
		log_err("the server with process id %d: %s", (int)pid, text);
		answers->failed = true;
	} else if (text[0]) {
		printf("%s%s", answers->json && answers->count ? ",\n" : "", text);
		answers->count++;
	}
}

static const char *runtime_dir(const struct config *config)
{
	return config ? config->runtime_dir : RUNTIME_DIR;
}

static enum exit_status ask(const struct config *config, const struct arguments *args,
			    const char *question)
{
	struct answers answers = { .json = args->json };
	int count;

	if (args->json)
		printf("[");
	count = control_ask(runtime_dir(config), args->json ? "json" : question, print_answer,
			    &answers);
	if (args->json)
		printf("]\n");
	return count < 0 || answers.failed ? EXIT_RUNTIME : EXIT_OK;
}

static enum exit_status verb_list(const struct config *config, const struct arguments *args)
{
	return ask(config, args, "list");
}

static enum exit_status verb_stats(const struct config *config, const struct arguments *args)
{
	return ask(config, args, "stats");
}

static enum exit_status verb_rescue(const struct config *config, const struct arguments *args)
{
	if (served_refuse(args->name, runtime_dir(config)))
		return EXIT_RUNTIME;
	return rescue_device(args->name, runtime_dir(config));
}

static enum exit_status verb_gc(const struct config *config, const struct arguments *args)
{
	(void)config;
	return rescue_collect(args->dry_run);
}

static const struct verb verbs[] = {
	{ "serve", true, false, "serve the devices of FILE until a signal", verb_serve },
	{ "check", true, false, "check FILE and do nothing else", verb_check },
	{ "dump", true, false, "print the effective configuration of FILE (--json: as JSON)",
	  verb_dump },
	{ "list", false, false, "list what running servers serve (--json)", verb_list },
	{ "stats", false, false, "print counters and states of running servers (--json)",
	  verb_stats },
	{ "rescue", false, true, "end what waits for device NAME, which nobody serves; remove it",
	  verb_rescue },
	{ "gc", false, false, "remove devices that no server and no driver has (--dry-run)",
	  verb_gc },
};

/* With the journal behind stderr each line carries its priority, else a word. */
static void print_line(enum log_level level, const char *text)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	static const int priorities[] = { 3, 4, 6, 7 };

	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", priorities[level], text);
	else
		fprintf(stderr, "vduse-blk: %s%s\n", words[level], text);
}

static void usage(FILE *to)
{
	fprintf(to, "Usage: vduse-blk VERB [NAME] [-c FILE] [OPTION]...\n"
		    "       vduse-blk --help | --help-keys | --version\n\n"
		    "Serves files and disks as vDPA block devices through VDUSE.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-7s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to, "\nserve --takeover takes over from a running server, under disks in use.\n"
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

/* Return: the verb; NULL with *@status set where there is nothing left to do */
static const struct verb *parse_arguments(int argc, char **argv, struct arguments *args,
					  enum exit_status *status)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },	    { "help-keys", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'V' },	    { "takeover", no_argument, NULL, 't' },
		{ "dry-run", no_argument, NULL, 'n' },	    { 0 },
	};
	const struct verb *verb;
	int option;

	*status = EXIT_OK;
	while ((option = getopt_long(argc, argv, "c:hnV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			args->config_path = optarg;
			break;
		case 'j':
			args->json = true;
			break;
		case 'n':
			args->dry_run = true;
			break;
		case 't':
			args->takeover = true;
			break;
		case 'h':
			usage(stdout);
			return NULL;
		case 'k':
			config_help(stdout);
			return NULL;
		case 'V':
			printf("vduse-blk %s\n", VERSION);
			return NULL;
		default:
			*status = EXIT_USAGE; /* getopt has said what is wrong */
			return NULL;
		}
	}

	*status = EXIT_USAGE;
	if (optind >= argc) {
		log_err("a verb is needed; see vduse-blk --help");
		return NULL;
	}
	verb = find_verb(argv[optind]);
	args->name = argv[optind + 1];
	if (!verb)
		log_err("unknown verb '%s'; see vduse-blk --help", argv[optind]);
	else if (argc - optind > 1 + verb->needs_name)
		log_err("'%s' is too much behind %s", argv[optind + 1 + verb->needs_name],
			verb->name);
	else if (verb->needs_name && !args->name)
		log_err("%s needs the NAME of a device", verb->name);
	else if (verb->needs_config && !args->config_path)
		log_err("%s needs -c FILE", verb->name);
	else
		return verb;
	return NULL;
}

/* Descriptors 0 to 2 exist, or an image might get one of them, and our words be written into it. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct arguments args = { 0 };
	enum exit_status status;
	const struct verb *verb;
	struct config config;
	int err;

	open_standard_fds();
	log_init(print_line, LOG_LEVEL_INFO);
	verb = parse_arguments(argc, argv, &args, &status);
	if (!verb)
		return (int)status;

	if (!args.config_path)
		return (int)verb->run(NULL, &args);
	err = config_load(args.config_path, &config);
	if (err)
		return err == -EINVAL ? EXIT_USAGE : EXIT_RUNTIME;
	log_init(print_line, config.log_level);
	status = verb->run(&config, &args);
	config_exit(&config);
	return (int)status;
}
