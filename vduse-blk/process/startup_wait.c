// SPDX-License-Identifier: GPL-2.0-or-later
#include "startup_wait.h"

#include <unistd.h>

#include "compiler.h"

#define POLL_MS 2u

void stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);
}

bool stop_pending(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1 };
	sigset_t pending;

	if (sigpending(&pending))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigismember(&pending, signals[i]))
			return true;
	return false;
}

bool startup_wait(unsigned int *wait_ms)
{
	if (!*wait_ms || stop_pending())
		return false;
	usleep(POLL_MS * 1000);
	*wait_ms -= MIN(*wait_ms, POLL_MS);
	return true;
}
