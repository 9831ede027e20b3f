/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Large memory areas of which usually a small part is used.
 *
 * Each idle device has slots for a ring full of requests. With calloc() all of them could become
 * resident: glibc zeroes memory from its heap, and with transparent huge pages the first access to
 * a page makes 2 MiB resident.
 */
#ifndef LIB_PAGES_H
#define LIB_PAGES_H

#include <stddef.h>

#include "compiler.h"

/**
 * pages_alloc() - zeroed memory, of which only the (small) pages that were accessed are resident
 * @size: bytes, above 0
 *
 * Makes a system call. Return: page aligned; NULL: no memory
 */
void *__must_check pages_alloc(size_t size);

/** pages_free() - @addr and @size as with pages_alloc(); NULL: no effect */
void pages_free(void *addr, size_t size);

#endif
