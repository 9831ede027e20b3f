/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules, by libkmod. */
#ifndef LIB_MODULES_H
#define LIB_MODULES_H

#include "compiler.h"

/**
 * module_load() - load a kernel module and its dependencies, if it is not loaded or built in
 * @name: a module or an alias, as for modprobe
 *
 * Needs no privilege if the module is loaded already. Respects the blacklist and options of
 * modprobe.d. Blocks while the module initialises.
 *
 * Return: 0; -ENOENT: this kernel has no such module; -EPERM: blacklisted, or no privilege; other
 * -errno of init_module; logged
 */
int __must_check module_load(const char *name);

#endif
