/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The types of stores: a table with a row for each scheme of the key path (config_path.h). A row has the
 * functions that open and examine a store. backend.h has the operations of an open store.
 *
 * The functions may block for ever: call them in a task. They log failures with the device's name
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
	 * @wait_ms: how long to wait for another process that uses it: I/O of a killed server may
	 *           still be under way
	 *
	 * Return: 0; -EBUSY: used by another process; -EINVAL: the configuration does not fit;
	 *         other -errno
	 */
	int (*open)(const struct device_config *config, unsigned int wait_ms, struct backend **out);

	/**
	 * @examine: could it be opened?
	 * @try_lock: also look for other users; no server may have the store
	 * @out:      its limits, offset and identity are set; nothing is open
	 *
	 * Return: as @open
	 */
	int (*examine)(const struct device_config *config, bool try_lock, struct backend *out);

	/**
	 * @check_use: after @examine, for "check --stores": has another program claimed it? Also
	 * logs warnings
	 * @shared: a server has the store for another disk: do not check for a claim
	 *
	 * Return: 0; -EBUSY; other -errno. NULL: nothing to check
	 */
	int (*check_use)(const struct device_config *config, bool shared);

	/**
	 * @identify: the identity of the store, without opening it
	 *
	 * "": there is no such store. NULL: the store keeps no bytes, and has no identity.
	 */
	void (*identify)(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX]);
};

extern const struct store_type store_type_file, store_type_null, store_type_error, store_type_fault;

/** store_type_of() - the type of the store of a disk */
const struct store_type *store_type_of(const struct device_config *config);

/**
 * store_identify() - the identity of the store of a disk (backend.h), without opening it
 */
void store_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX]);

#endif
