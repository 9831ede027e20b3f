/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the users of a device node, before its disk is detached. */
#ifndef VDUSE_BLK_NODE_USERS_H
#define VDUSE_BLK_NODE_USERS_H

#include <stddef.h>

#include "compiler.h"

/**
 * node_users_find() - find the users of a block device or character device
 * @node: "/dev/vdb" (with its partitions) or "/dev/vhost-vdpa-0"
 * @text: out: "mounted on /mnt; held by dm-0; opened by fio (pid 812)". It names the first four
 *        users, and counts the others; "" if the node has no users
 * @size: bytes in @text
 *
 * Searches the mounts of every mount namespace, swap, holders (device mapper, md), and the open
 * descriptors of every other process. Reads only /proc and /sys, and never opens the node: it does
 * not block while the device is stuck. Skips processes that this process may not examine.
 *
 * Return: the number of users; -errno: @node or /proc cannot be examined, logged
 */
int __must_check node_users_find(const char *node, char *text, size_t size);

#endif
