/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vduse-blk/config*.c with the real iniparser. Tests run in temp_dir and write their configuration
 * to "t.conf"; the program is to be run at the top of the source tree.
 */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"

#define CFG_DEVICE "[vdb]\npath = /a\n"
#define CFG_MIB	   (1024ull * 1024)

extern struct config cfg; /* what was loaded last */
extern int cfg_source_fd; /* the directory that we were started in */

/* Unchecked fixture, and the checked one within. */
void cfg_begin(void);
void cfg_end(void);
void cfg_setup(void);
void cfg_teardown(void);

void cfg_write_bytes(const void *bytes, size_t len);

/** cfg_load() - config_load() of @text */
int cfg_load(const char *text);

/** cfg_load_key() - of one key in an otherwise good file, with that result */
void cfg_load_key(const char *section, const char *key, const char *value, int result);

/** cfg_refused() - exactly this line, and no other, comes of @text */
void cfg_refused(const char *text, const char *line);

/** cfg_dumped() - what config_dump*() writes, or config_help() (NULL). Free it */
char *cfg_dumped(void (*dump)(const struct config *, FILE *));

/** cfg_round_trip() - what is dumped is read back to the same */
void cfg_round_trip(void);

/* Values as a file may have them, and what they mean. */
struct cfg_good {
	const char *section, *key, *text;
	uint64_t value;
	size_t offset, width;
};
extern const struct cfg_good cfg_good_values[];
extern const int cfg_good_count;

/** cfg_defaults_check() - has @d what a device has whose keys are not given? */
void cfg_defaults_check(const struct device_config *d);

/** cfg_member_value() - what was loaded for the key of @good */
uint64_t cfg_member_value(const struct cfg_good *good);

struct cfg_path {
	const char *text, *value;
};
extern const struct cfg_path cfg_paths[];
extern const int cfg_path_count;

#endif
