/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a configuration file: the line of each section and key.
 *
 * iniparser reports no line numbers, keeps the last of two equal keys, merges sections, and its
 * versions 4.1 and 4.2 read some lines differently. So the scan reads the text first. It reports
 * ambiguous and duplicate lines as errors, and removes them from the text. All versions of iniparser
 * read the rest alike.
 */
#ifndef VDUSE_BLK_CONFIG_SCAN_H
#define VDUSE_BLK_CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "compiler.h"
#include "config_keys.h"

struct config_section {
	char *name; /* lower case, as iniparser has it */
	unsigned int line;
	unsigned int key_line[CONFIG_KEYS_MAX]; /* by row of the key's table; 0: not in the file */
	bool unclear; /* a line was removed: a key that is missing may have been in it */
};

#define CONFIG_ERRORS_MAX 100 /* that are shown */

struct config_error {
	unsigned int line; /* 0: the file as a whole */
	char *text;
};

struct config;

struct config_scan {
	const char *file; /* for messages; the caller's */
	char *text;	  /* what iniparser may read; each line of it ends in a newline */
	size_t text_len;
	struct config_section global;	/* line 0: not in the file */
	struct config_section *devices; /* in the file's order, names checked and different */
	size_t device_count;
	struct config_error kept[CONFIG_ERRORS_MAX]; /* in the order of their lines */
	unsigned int errors;			     /* may be more than are kept */
};

/**
 * config_scan() - read a file and find its sections and keys
 * @file: its path, for messages; must outlive @out
 * @from: the text
 * @out:  set on success, for config_scan_exit(). Unchanged on failure
 *
 * Errors in the file are kept and counted in @out, and are no failure. Of values only the quotes are
 * checked.
 *
 * Return: 0; -EINVAL: too large; other -errno: it cannot be read. Failures are logged
 */
int __must_check config_scan(const char *file, FILE *from, struct config_scan *out);

/** config_scan_exit() - free what config_scan() allocated */
void config_scan_exit(struct config_scan *scan);

/**
 * config_error() - keep and count an error in a line
 * @line: 0: the file as a whole
 *
 * After CONFIG_ERRORS_MAX errors only counts them.
 */
void config_error(struct config_scan *scan, unsigned int line, const char *fmt, ...) __printf(3, 4);

/** config_check() - in config_check.c: checks that need more than one key; errors are counted */
void config_check(struct config_scan *scan, const struct config *config);

/** config_errors_log() - log "FILE:LINE: ..." for each error, and a line if there are more */
void config_errors_log(const struct config_scan *scan);

#endif
