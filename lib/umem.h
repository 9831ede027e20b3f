/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for VDUSE_IOTLB_REG_UMEM, in huge pages where there are any.
 *
 * To make it resident takes long (seen: 200 ms for 64 MiB, on an emulated CPU), so it can be had
 * before it is needed. Any thread.
 */
#ifndef LIB_UMEM_H
#define LIB_UMEM_H

#include <stddef.h>

#include "compiler.h"

/** umem_reserve() - make @size bytes resident for a umem_alloc() to come; without memory, nothing */
void umem_reserve(size_t size);

/** umem_unreserve() - free what was reserved and not allocated */
void umem_unreserve(void);

/** umem_alloc() - zeroed; what was reserved with that @size, or pages that come when touched. Or NULL */
void *__must_check umem_alloc(size_t size);
void umem_free(void *addr, size_t size);

#endif
