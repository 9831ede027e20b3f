/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of the configuration file as rows, and the types of their values.
 *
 * Only config*.c include this. A new key is a new row in config_keys.c and a new member in config.h.
 * The parser, the dump and the help use the rows. Add the key to the manual page and to
 * conf/vduse-blk.conf by hand.
 */
#ifndef VDUSE_BLK_CONFIG_KEYS_H
#define VDUSE_BLK_CONFIG_KEYS_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "compiler.h"

#define CONFIG_KEYS_MAX 24 /* rows of the longest table */

/* A word that stands for a value. The first word of a value is the one that is printed. */
struct config_word {
	const char *text; /* NULL ends the list */
	uint64_t value;
};

struct config_key;

struct config_type {
	/* Return: 0; -EINVAL: @member is unchanged; -ENOMEM. Frees the former value of @member. */
	int (*parse)(const struct config_key *key, const char *text, void *member);
	void (*print)(const struct config_key *key, const void *member, FILE *to);
	void (*print_json)(const struct config_key *key, const void *member, FILE *to);
	bool suffixes;	   /* of numbers: K, M, G and T are accepted */
	bool power_of_two; /* of numbers: only powers of two are accepted */
};

extern const struct config_type config_type_word, config_type_bool, config_type_switch,
	config_type_count, config_type_power, config_type_retry, config_type_size, config_type_path,
	config_type_directory, config_type_serial, config_type_socket, config_type_group,
	config_type_mode;

struct config_key {
	const char *name; /* lower case */
	const struct config_type *type;
	size_t offset; /* of the member in struct config or struct device_config */
	size_t width;  /* of the member, bytes */
	const struct config_word *words; /* accepted instead of a number, or NULL */
	uint64_t min, max, step;	 /* of numbers */
	const char *default_text;	 /* as in a file; NULL: none */
	const char *accepts;		 /* for error messages and help */
	const char *help;
};

/** config_text_print() - write a text so that it can be read again from a file, with quotes if needed */
void config_text_print(const char *text, FILE *to);

struct config_table {
	const char *section; /* its name in the help: "global", "DEVICE" */
	const struct config_key *keys;
	size_t count;
};

extern const struct config_table config_global_keys;
extern const struct config_table config_device_keys;

/** config_key_find() - the row of a name, in any case. Return: its index; -1: there is none */
int config_key_find(const struct config_table *table, const char *name);

/** config_key_member() - the member of @object, a struct config or device_config, of this key */
void *config_key_member(const struct config_key *key, void *object);

/** config_word_text() - the word for a value; NULL: none */
const char *config_word_text(const struct config_word *words, uint64_t value);

/**
 * config_value_check() - do all versions of iniparser read this value alike?
 * @value: the text after the '=', with quotes and comment, without blanks around it
 *
 * Return: NULL; otherwise the error, as a phrase that follows the value
 */
const char *config_value_check(const char *value);

/**
 * config_default_serial() - the serial number of a device without the key
 * @serial: out: the name; of a name that is too long its first 11 bytes, '-' and a hash of all of it
 */
void config_default_serial(const char *name, char serial[VIRTIO_BLK_ID_BYTES + 1]);

#endif
