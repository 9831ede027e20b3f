// SPDX-License-Identifier: GPL-2.0-or-later
#include "pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __has_feature /* clang's */
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(WATCHED)

/* The sanitizer detects an overrun only of memory from its own allocator. */
void *pages_alloc(size_t size)
{
	void *addr = aligned_alloc(4096, ROUND_UP(size, 4096));

	return addr ? memset(addr, 0, size) : NULL;
}

void pages_free(void *addr, size_t size)
{
	(void)size;
	free(addr);
}

#else

void *pages_alloc(size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		return NULL;
	madvise(addr, size, MADV_NOHUGEPAGE); /* fails if the kernel has no huge pages */
	return addr;
}

void pages_free(void *addr, size_t size)
{
	if (addr)
		munmap(addr, size);
}

#endif
