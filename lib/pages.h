/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for what may be needed, most of which never is.
 *
 * Each idle device has room for a ring full of requests. From malloc() it would cost what it is
 * large: glibc zeroes what it takes from its heap, and transparent huge pages make 2 MiB of each
 * page that is touched.
 */
#ifndef LIB_PAGES_H
#define LIB_PAGES_H

#include <stddef.h>

#include "compiler.h"

/**
 * pages_alloc() - zeroed memory, of which only the (small) pages that are touched exist
 * @size: bytes, above 0
 *
 * A system call. Return: page aligned; NULL: there is none
 */
void *__must_check pages_alloc(size_t size);

/** pages_free() - @addr and @size as with pages_alloc(); NULL: no effect */
void pages_free(void *addr, size_t size);

#endif
