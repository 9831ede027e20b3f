/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_HOSTILE_RESETS_H
#define TESTS_HOSTILE_RESETS_H

#include <stdint.h>

/**
 * resets_run() - reset a device with 128 requests in flight, again and again
 * @node:     with 2 queues of at least 384
 * @inflight: the file of its slow store in sysfs which says how many requests that has
 *
 * Ends the process where something is wrong. Prints how often all 128 requests were at the store.
 * Return: exit status
 */
int resets_run(const char *node, const char *inflight, uint64_t count);

#endif
