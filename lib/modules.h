/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel modules, by libkmod. */
#ifndef LIB_MODULES_H
#define LIB_MODULES_H

#include "compiler.h"

/**
 * module_load() - make sure that a kernel module is there, with what it depends on
 * @name: as modprobe takes it
 *
 * Built in or loaded already is success and needs no privilege. Respects the blacklist and options
 * of modprobe.d. Logs its failure with the module's name. Blocks while the module initialises.
 *
 * Return: 0; -ENOENT: this kernel has no such module; -EPERM; other -errno of init_module
 */
int __must_check module_load(const char *name);

#endif
