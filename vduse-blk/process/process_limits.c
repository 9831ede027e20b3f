// SPDX-License-Identifier: GPL-2.0-or-later
#include "process_limits.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "log.h"

void process_lock_memory(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
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
