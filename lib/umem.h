/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for VDUSE_IOTLB_REG_UMEM, in huge pages if possible.
 *
 * To make it resident takes long (200 ms for 64 MiB on an emulated CPU), so a caller can reserve it
 * before it is needed. Any thread.
 */
#ifndef LIB_UMEM_H
#define LIB_UMEM_H

#include <stddef.h>

#include "compiler.h"

/** umem_reserve() - make @size bytes resident for a later umem_alloc(); may fail silently */
void umem_reserve(size_t size);

/** umem_unreserve() - free all reserved memory that was not allocated */
void umem_unreserve(void);

/** umem_alloc() - reserved memory of this @size; if there is none, new memory. Zeroed. Or NULL */
void *__must_check umem_alloc(size_t size);
void umem_free(void *addr, size_t size);

#endif
