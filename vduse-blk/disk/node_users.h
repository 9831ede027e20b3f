/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who uses a device node: asked before a disk is taken away. */
#ifndef VDUSE_BLK_NODE_USERS_H
#define VDUSE_BLK_NODE_USERS_H

#include <stddef.h>

#include "compiler.h"

/**
 * node_users_find() - who uses a block device or character device
 * @node: "/dev/vdb" (its partitions count too) or "/dev/vhost-vdpa-0"
 * @text: out: who, for people: "mounted on /mnt; held by dm-0; opened by fio (pid 812)"; at most
 *        the first few are named, then their number; "" where there are none
 * @size: bytes in @text
 *
 * Looks at mounts of every mount namespace, swap, holders (device mapper, md), and open
 * descriptors of every process except our own. Reads /proc and /sys only, never opens the node:
 * safe while the device is stuck. Processes that it may not look into are passed over.
 *
 * Return: how many users were found; -errno where @node itself cannot be examined
 */
int __must_check node_users_find(const char *node, char *text, size_t size);

#endif
