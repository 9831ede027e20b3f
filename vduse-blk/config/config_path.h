/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of the key path: the path of a file, or SCHEME:REST for another kind of store.
 *
 * The text before the first colon is a scheme, unless it contains a slash or begins with a dot. So
 * the path of a file whose name has a colon begins with / or ./. In struct device_config the text has
 * no "file:".
 */
#ifndef VDUSE_BLK_CONFIG_PATH_H
#define VDUSE_BLK_CONFIG_PATH_H

#include "compiler.h"

enum config_scheme {
	SCHEME_FILE,
	SCHEME_NULL,
	SCHEME_ERROR,
	SCHEME_FAULT, /* fault_options.h */
};

/**
 * config_path_read() - check a value, and convert it into the form of struct device_config
 * @out: allocated; unchanged on failure
 *
 * The options of the scheme fault are not checked. Return: 0; -EINVAL: an unknown scheme, or no path;
 * -ENOMEM
 */
int __must_check config_path_read(const char *text, char **out);

/** config_path_scheme() - the scheme of a path that config_path_read() made */
enum config_scheme config_path_scheme(const char *path);

/** config_path_file() - the path of the file that has the bytes; NULL: the store keeps no bytes */
const char *config_path_file(const char *path);

#endif
