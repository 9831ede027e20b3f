// SPDX-License-Identifier: GPL-2.0-or-later
#include "sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

__thread volatile enum sigbus_state sigbus_state;

/* A page of hugetlbfs can only be replaced as a whole; which size it is of, trying tells. */
static const size_t page_sizes[] = { 4096, 2ul << 20, 1ul << 30 };

static bool replace_page(const void *addr)
{
	for (size_t i = 0; i < ARRAY_SIZE(page_sizes); i++) {
		uintptr_t start = (uintptr_t)addr & ~(page_sizes[i] - 1);

		if (mmap((void *)start, page_sizes[i], PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) != MAP_FAILED)
			return true;
		if (errno != EINVAL)
			return false;
	}
	return false;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	(void)context;
	/* Only what a truncated file does: broken hardware must not read as zeroes. */
	if (sigbus_state == SIGBUS_FATAL || info->si_code != BUS_ADRERR ||
	    !replace_page(info->si_addr)) {
		/* Not ours: the instruction is repeated, and without a handler it is the end. */
		signal(signal_number, SIG_DFL);
		return;
	}
	sigbus_state = SIGBUS_SEEN;
	errno = saved_errno;
}

int sigbus_guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}
