/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of stores: a table with a row for each scheme of the key path (config_path.h). Who opens
 * or examines a store does it through its row; once a store is open, backend.h has its operations.
 *
 * The functions may block for ever, so a task calls them. They log failures with the device's name
 * and path.
 */
#ifndef VDUSE_BLK_STORE_TYPE_H
#define VDUSE_BLK_STORE_TYPE_H

#include <stdbool.h>

#include "backend.h"
#include "compiler.h"
#include "config/config.h"

struct store_type {
	/**
	 * @open: open, claim and lock the store
	 * @wait_ms: how long to wait for another process that has it: I/O of a killed server may
	 *           still be under way
	 *
	 * Return: 0; -EBUSY: used by another process; -EINVAL: it does not suit the configuration;
	 *         other -errno
	 */
	int (*open)(const struct device_config *config, unsigned int wait_ms, struct backend **out);

	/**
	 * @examine: could it be opened? Works for a store that a running server has
	 * @try_lock: no server should have it: look for other users, too
	 * @out:      its limits, offset and identity are set; nothing is open
	 *
	 * Return: as @open
	 */
	int (*examine)(const struct device_config *config, bool try_lock, struct backend *out);

	/**
	 * @check_use: after @examine, for "check --stores": has another program claimed it? Also
	 * logs warnings
	 * @shared: a server has the same store for another disk: look for no claim
	 *
	 * Return: 0; -EBUSY; other -errno. NULL: nothing to check
	 */
	int (*check_use)(const struct device_config *config, bool shared);

	/**
	 * @identify: the identity that the store would have when it is open, without opening it
	 *
	 * "": there is no such store. NULL: the store keeps no bytes, and has no identity.
	 */
	void (*identify)(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX]);
};

extern const struct store_type store_type_file, store_type_null, store_type_error, store_type_fault;

/** store_type_of() - the row of the store of a disk */
const struct store_type *store_type_of(const struct device_config *config);

/**
 * store_identify() - which bytes would the disk have?
 * @identity: out: equal texts only for the same file, disk or other place of bytes; "": no bytes
 */
void store_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX]);

#endif
