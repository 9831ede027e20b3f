/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places for a store other than the file system of temp_dir. Mounts and block devices need root:
 * without root, tests that need them do nothing.
 */
#ifndef TESTS_PLACES_H
#define TESTS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/** can_direct() - can this file or device be opened with O_DIRECT? */
bool can_direct(const char *path);

/** mounts_enter() - a private mount namespace for this test's process. Return: did it succeed? */
bool mounts_enter(void);

/** mount_private() - mount @type over temp_dir, for this process. Return: did it succeed? */
bool mount_private(const char *type, const char *options);

/**
 * loop_make() - make a file a block device, loop_name, with blocks of @block bytes (0: any)
 *
 * Return: a descriptor, whose close removes the device; -1: no permission
 */
int loop_make(const char *image, uint32_t block);
int loop_make_mode(const char *image, uint32_t block, bool readonly);
extern char loop_name[32];

#endif
