// SPDX-License-Identifier: GPL-2.0-or-later
#include "iov.h"

size_t __cold iov_to_buf_slow(const struct iovec *iov, uint32_t count, void *buf, size_t len)
{
	size_t done = 0;

	for (uint32_t i = 0; i < count && done < len; i++) {
		size_t piece = MIN(iov[i].iov_len, len - done);

		memcpy((uint8_t *)buf + done, iov[i].iov_base, piece);
		done += piece;
	}
	return done;
}

bool __cold iov_is_lost_slow(const struct iovec *iov, uint32_t count, size_t len)
{
	for (uint32_t i = 0; i < count && len; i++) {
		size_t piece = MIN(len, iov[i].iov_len);

		if (sigbus_is_lost(iov[i].iov_base, piece))
			return true;
		len -= piece;
	}
	return false;
}

size_t iov_from_buf(const struct iovec *iov, uint32_t count, const void *buf, size_t len)
{
	size_t done = 0;

	for (uint32_t i = 0; i < count && done < len; i++) {
		size_t piece = MIN(iov[i].iov_len, len - done);

		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, piece);
		done += piece;
	}
	return done;
}

void iov_skip(struct iovec **iov, uint32_t *count, size_t len)
{
	while (*count && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count && len) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
}

uint32_t iov_join(const struct iovec *iov, uint32_t count, struct iovec *to)
{
	uint32_t joined = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct iovec *last = joined ? &to[joined - 1] : NULL;

		if (last && (uint8_t *)last->iov_base + last->iov_len == iov[i].iov_base)
			last->iov_len += iov[i].iov_len;
		else
			to[joined++] = iov[i];
	}
	return joined;
}

uint32_t iov_truncate(struct iovec *iov, uint32_t count, size_t len)
{
	uint32_t i;

	for (i = 0; i < count && len; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, len);
		len -= iov[i].iov_len;
	}
	return i;
}

int iov_is_aligned(const struct iovec *iov, uint32_t count, size_t addr_mask, size_t len_mask)
{
	uintptr_t addr_bits = 0;
	size_t len_bits = 0;

	for (uint32_t i = 0; i < count; i++) {
		addr_bits |= (uintptr_t)iov[i].iov_base;
		len_bits |= iov[i].iov_len;
	}
	return !(addr_bits & addr_mask) && !(len_bits & len_mask);
}
