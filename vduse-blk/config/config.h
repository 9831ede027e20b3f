/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file: INI in, plain structs out. Opens nothing but the file itself.
 *
 * [global] and one section per device. Each key is a row of a table: name, type, range, default
 * and help; the parser, the dump and the check of the manual page read the rows.
 */
#ifndef VDUSE_BLK_CONFIG_H
#define VDUSE_BLK_CONFIG_H

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "compiler.h"
#include "log.h"
#include "vhost_user_listener.h"
#include "front_end.h"

enum cache_mode {
	CACHE_AUTO,	    /* none where the store can do O_DIRECT, else writeback */
	CACHE_NONE,	    /* O_DIRECT; durable at a flush */
	CACHE_WRITEBACK,    /* page cache; durable at a flush */
	CACHE_WRITETHROUGH, /* page cache; every completed write is durable, no flush is offered */
	CACHE_UNSAFE,	    /* page cache; flushes are ignored */
};

enum config_switch { SWITCH_AUTO, SWITCH_YES, SWITCH_NO };

#define CONFIG_AUTO	 0 /* of the numbers below that say so */
#define CONFIG_POLL_AUTO UINT32_MAX

struct device_config {
	char *name; /* of the section, of the VDUSE device and of the vdpa device */
	char *path; /* of a file, or another store: config_path.h */
	enum driver driver;
	bool readonly;
	enum cache_mode cache;
	uint32_t queues;	     /* CONFIG_AUTO: one per CPU */
	uint32_t queue_size;	     /* descriptors, a power of two; CONFIG_AUTO */
	enum config_switch indirect; /* indirect descriptor tables */
	uint32_t logical_block_size; /* bytes; CONFIG_AUTO: the store's */
	enum config_switch discard;
	enum config_switch write_zeroes;
	uint32_t
		on_error; /* seconds of retries after an error of the store; 0: report it at once */
	char serial[VIRTIO_BLK_ID_BYTES + 1]; /* empty: made from the name, config_serial() */
	uint32_t poll_us; /* microseconds that a worker spins before it sleeps; 0: it never spins */
	bool iopoll;	  /* poll the store for completions */
	enum config_switch umem;
	bool pin_guest_memory;
	uint64_t bounce_size; /* bytes; CONFIG_AUTO: computed by bounce_size() */
	uint64_t offset;      /* bytes into the store where the disk begins */
	uint64_t size;	      /* bytes of the disk; CONFIG_AUTO: to the store's end */

	char socket[VHOST_USER_PATH_MAX]; /* of vhost-user; empty: the driver has none */
	uint32_t socket_mode;
	char socket_group[64]; /* name or number; empty: that of the process */

	int socket_fd; /* not a key: of a socket that the server has inherited; 0: none */
	bool rescue;   /* not a key: the device has no server, complete its requests with errors */
};

struct config {
	enum log_level log_level;
	char *runtime_dir;
	uint32_t workers; /* threads; CONFIG_AUTO: one per CPU, at most one per queue */
	struct device_config *devices; /* in the file's order */
	size_t device_count;
};

/**
 * config_load() - read and check a whole file
 * @path: of the file, which may be a pipe; UTF-8 text, at most 1 MiB and 1024 devices
 * @out:  set on success, for config_exit(). Unchanged on failure
 *
 * Each error is logged in one line, "FILE:LINE: the error, and the accepted values", up to 100 lines.
 * Stores are compared by the text of their paths; no store is opened. Main thread only: iniparser has
 * one error callback per process.
 *
 * Return: 0; -EINVAL: the file is wrong; other -errno: it cannot be read, logged as one line
 */
int __must_check config_load(const char *path, struct config *out);

/** config_load_text() - as config_load(), of @text, not empty; @name: for messages, instead of FILE */
int __must_check config_load_text(const char *name, const char *text, struct config *out);

/** config_device_new() - a copy of @device, for config_device_free(). Return: it; NULL: no memory */
struct device_config *config_device_new(const struct device_config *device);

/** config_device_free() - no effect if @device is NULL */
void config_device_free(struct device_config *device);

/** config_serial() - the serial number of a disk: that of the configuration, or one made from its name */
void config_serial(const struct device_config *device, char serial[VIRTIO_BLK_ID_BYTES + 1]);

/** config_serials_conflict() - would the two disks have the same link in /dev/disk/by-id? */
bool config_serials_conflict(const struct device_config *a, const struct device_config *b);

/** config_extents_conflict() - two disks of one store: do their extents overlap, is one writable? */
bool config_extents_conflict(const struct device_config *a, const struct device_config *b);

/** config_exit() - free what config_load() allocated; @config is zeroed */
void config_exit(struct config *config);

/** config_dump() - write an INI file with every key, from which config_load() makes an equal @config */
void config_dump(const struct config *config, FILE *to);

/**
 * config_dump_json() - write every key as one JSON object {"global": {...}, "devices": [{...}]}
 *
 * A device has its keys and "name". Numbers are numbers, sizes in bytes; yes, no, on and off are
 * true and false; "auto" and other words are strings.
 */
void config_dump_json(const struct config *config, FILE *to);

/**
 * config_help() - one line per key
 *
 * SECTION, KEY, ACCEPTED, DEFAULT and HELP with a tab between. SECTION is "global" or "DEVICE";
 * DEFAULT is "-" where a key has none.
 */
void config_help(FILE *to);

/** config_queue_count() - the number of queues of the device */
uint16_t config_queue_count(const struct device_config *device);

/** config_queue_size() - the number of descriptors of each queue */
uint16_t config_queue_size(const struct device_config *device);

#endif
