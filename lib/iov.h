/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small pure helpers for struct iovec arrays. */
#ifndef LIB_IOV_H
#define LIB_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "compiler.h"
#include "sigbus.h"

/* The slow path of iov_to_buf(): more than one piece. */
size_t iov_to_buf_slow(const struct iovec *iov, uint32_t count, void *buf, size_t len);

/** iov_to_buf() - copy the first @len bytes of @iov, or all of a shorter one. Return: the number */
static inline size_t iov_to_buf(const struct iovec *iov, uint32_t count, void *buf, size_t len)
{
	if (unlikely(!count || iov->iov_len < len))
		return iov_to_buf_slow(iov, count, buf, len);
	memcpy(buf, iov->iov_base, len);
	copied_to(buf);
	return len;
}

/* The slow path of iov_is_lost(). */
bool __cold iov_is_lost_slow(const struct iovec *iov, uint32_t count, size_t len);

/** iov_is_lost() - sigbus_is_lost() of the first @len bytes of @iov */
static inline bool iov_is_lost(const struct iovec *iov, uint32_t count, size_t len)
{
	return sigbus_any_lost() && iov_is_lost_slow(iov, count, len);
}

/** iov_from_buf() - copy @len bytes to the beginning of @iov. Return: bytes copied */
size_t iov_from_buf(const struct iovec *iov, uint32_t count, const void *buf, size_t len);

/** iov_skip() - remove @len bytes from the front; changes *@iov, *@count and pieces */
void iov_skip(struct iovec **iov, uint32_t *count, size_t len);

/** iov_join() - copy pieces, and join adjacent ones. Return: the number of pieces in @to */
uint32_t iov_join(const struct iovec *iov, uint32_t count, struct iovec *to);

/** iov_truncate() - keep the first @len bytes. Return: the number of remaining pieces */
uint32_t iov_truncate(struct iovec *iov, uint32_t count, size_t len);

/** iov_is_aligned() - are all addresses aligned to @addr_mask + 1, and lengths to @len_mask + 1? */
int iov_is_aligned(const struct iovec *iov, uint32_t count, size_t addr_mask, size_t len_mask);

#endif
