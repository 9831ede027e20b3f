/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock for durations. */
#ifndef LIB_TIME_NS_H
#define LIB_TIME_NS_H

#include <stdint.h>
#include <time.h>

/** time_now_ns() - nanoseconds of CLOCK_MONOTONIC */
static inline uint64_t time_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
