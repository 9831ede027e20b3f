// SPDX-License-Identifier: GPL-2.0-or-later
#include "notify.h"

#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else
#define sd_notifyf(unset, ...) ((void)(unset))
#endif

void notify_ready(size_t devices)
{
	sd_notifyf(0, "READY=1\nSTATUS=Serving %zu devices", devices);
}

void notify_stopping(void)
{
	sd_notifyf(0, "STOPPING=1\nSTATUS=Detaching");
}

void notify_main_pid(void)
{
	sd_notifyf(0, "MAINPID=%d\nSTATUS=Taking over", (int)getpid());
}
