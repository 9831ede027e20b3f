/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places for a store other than the file system of temp_dir. Those that are mounted and block
 * devices need root: where nobody lets us, a test of theirs does nothing.
 */
#ifndef TESTS_PLACES_H
#define TESTS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/** can_direct() - can this file or device be opened with O_DIRECT? */
bool can_direct(const char *path);

/** mounts_enter() - from here on this test's process mounts for itself. Return: may it? */
bool mounts_enter(void);

/** mount_private() - mount @type over temp_dir, for this process. Return: did it succeed? */
bool mount_private(const char *type, const char *options);

/**
 * loop_make() - make a file a block device, loop_name, with blocks of @block bytes (0: any)
 *
 * Return: a descriptor, whose close ends it; -1: nobody lets us
 */
int loop_make(const char *image, uint32_t block);
int loop_make_mode(const char *image, uint32_t block, bool readonly);
extern char loop_name[32];

#endif
