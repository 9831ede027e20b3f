// SPDX-License-Identifier: GPL-2.0-or-later
#include "sigbus.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

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

struct mapping {
	uintptr_t start;
	uintptr_t end;
};

/* One character of /proc/self/maps: "START-END ...". Return: @line has both and is complete */
static bool maps_take(struct mapping *line, int *field, char c)
{
	uintptr_t *number = *field ? &line->end : &line->start;
	uintptr_t digit = (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);

	if (c == '\n') {
		*line = (struct mapping){ 0 };
		*field = 0;
	} else if (*field < 2 && (c == '-' || c == ' ')) {
		return ++*field == 2;
	} else if (*field < 2) {
		*number = *number * 16 + digit;
	}
	return false;
}

/* By nothing but system calls: this is a signal handler. */
static bool find_mapping(uintptr_t addr, struct mapping *found)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), field = 0;
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return false;
	*found = (struct mapping){ 0 };
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (maps_take(found, &field, text[i]) && found->start <= addr &&
			    addr < found->end) {
				close(fd);
				return true;
			}
	close(fd);
	return false;
}

/*
 * A page that is replaced cuts its mapping in three, and a process may have some 65000 of them: a
 * driver that makes us touch one page in two can use them up. Then the whole mapping is replaced.
 */
static bool replace_mapping(const void *addr)
{
	struct mapping mapping;

	return find_mapping((uintptr_t)addr, &mapping) &&
	       mmap((void *)mapping.start, mapping.end - mapping.start, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	(void)context;
	/* Only what a truncated file does: broken hardware must not read as zeroes. */
	if (sigbus_state == SIGBUS_FATAL || info->si_code != BUS_ADRERR ||
	    (!replace_page(info->si_addr) && !replace_mapping(info->si_addr))) {
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
