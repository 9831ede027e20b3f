// SPDX-License-Identifier: GPL-2.0-or-later
#include "process_limits.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

/*
 * With a limit, mappings of guest memory would count as locked too (MCL_FUTURE), and mmap() would fail
 * for a guest that is larger than the limit.
 */
static bool may_lock_without_limit(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur == RLIM_INFINITY)
		return true;
	return !syscall(SYS_capget, &header, data) &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

void process_lock_memory(void)
{
	if (!may_lock_without_limit())
		log_debug("the memory of the server is not locked: there is a limit (ulimit -l)");
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_debug("cannot lock the memory of the server: %s", strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_debug("cannot become an I/O flusher (PR_SET_IO_FLUSHER): %s", strerror(errno));
}

void process_forbid_core_dump(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_cur)
		return;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		log_debug("cannot forbid core dumps: %s", strerror(errno));
}

static void raise_descriptors(unsigned long wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	if (limit.rlim_max < wanted) { /* root may raise the hard limit */
		struct rlimit more = { wanted, wanted };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
		log_warn("up to %lu descriptors are needed, and %lu are allowed: disks may "
			 "fail; raise the limit (ulimit -n, LimitNOFILE=)",
			 wanted, limit.rlim_max);
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void process_raise_limits(unsigned long descriptors)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		log_debug("cannot raise the limit for locked memory: %s", strerror(errno));
	raise_descriptors(descriptors);
}
