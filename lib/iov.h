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

/* iov_to_buf() where it is more than one piece. */
size_t iov_to_buf_slow(const struct iovec *iov, uint32_t count, void *buf, size_t len);

/** iov_to_buf() - copy the first @len bytes out of @iov. Return: bytes copied, less at its end */
static inline size_t iov_to_buf(const struct iovec *iov, uint32_t count, void *buf, size_t len)
{
	if (unlikely(!count || iov->iov_len < len))
		return iov_to_buf_slow(iov, count, buf, len);
	memcpy(buf, iov->iov_base, len);
	copied_to(buf);
	return len;
}

/* The slow part of iov_is_lost(). */
bool __cold iov_is_lost_slow(const struct iovec *iov, uint32_t count, size_t len);

/** iov_is_lost() - sigbus_is_lost() of the first @len bytes of @iov */
static inline bool iov_is_lost(const struct iovec *iov, uint32_t count, size_t len)
{
	return sigbus_any_lost() && iov_is_lost_slow(iov, count, len);
}

/** iov_from_buf() - copy @len bytes to the beginning of @iov. Return: bytes copied */
size_t iov_from_buf(const struct iovec *iov, uint32_t count, const void *buf, size_t len);

/** iov_skip() - drop @len bytes from the front; *@iov and *@count move on, pieces are changed */
void iov_skip(struct iovec **iov, uint32_t *count, size_t len);

/** iov_join() - copy pieces, those that lie side by side as one. Return: pieces in @to */
uint32_t iov_join(const struct iovec *iov, uint32_t count, struct iovec *to);

/** iov_truncate() - keep the first @len bytes. Return: pieces that are left */
uint32_t iov_truncate(struct iovec *iov, uint32_t count, size_t len);

/** iov_is_aligned() - do all addresses suit @addr_mask and all lengths @len_mask (2^n - 1)? */
int iov_is_aligned(const struct iovec *iov, uint32_t count, size_t addr_mask, size_t len_mask);

#endif
