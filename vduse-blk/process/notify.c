// SPDX-License-Identifier: GPL-2.0-or-later
#include "notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "logger.h"
#include "outbox.h"
#include "time_ns.h"

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else
#define sd_notify(unset, text) ((void)(text), 0)
#endif

#define WAIT_NS (1000ull * 1000 * 1000)

/* May block for ever: the socket of a service manager that is stuck is full. */
static int deliver(const char *text)
{
	int err;

	/* The nodes are printed before READY=1, unless the reader of standard output is stuck. */
	logger_flush_output(time_now_ns() + WAIT_NS);
	err = sd_notify(0, text);
	return err < 0 ? err : 0;
}

static int lost(unsigned int count)
{
	log_warn("%u notifications were dropped: the service manager was stuck", count);
	return 0;
}

static char queue[1024];

static struct outbox box = {
	OUTBOX_INIT,	       .name = "notify",   .queue = queue,
	.size = sizeof(queue), .deliver = deliver, .lost = lost,
};

static void notify(const char *text)
{
	if (getenv("NOTIFY_SOCKET"))
		outbox_put(&box, text);
}

void notify_ready(size_t devices)
{
	char text[64];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=Serving %zu devices", devices);
	notify(text);
}

void notify_stopping(void)
{
	notify("STOPPING=1\nSTATUS=Detaching");
}

void notify_main_pid(void)
{
	char text[64];

	snprintf(text, sizeof(text), "MAINPID=%d\nSTATUS=Taking over", (int)getpid());
	notify(text);
	notify_flush(time_now_ns() + WAIT_NS);
}

void notify_flush(uint64_t deadline_ns)
{
	outbox_flush(&box, deadline_ns);
}
