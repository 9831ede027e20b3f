// SPDX-License-Identifier: GPL-2.0-or-later
#include "bytes.h"

#include <inttypes.h>
#include <stdio.h>

const char *bytes_print(uint64_t bytes, char text[BYTES_TEXT_MAX])
{
	static const char units[] = " KMGTPE";
	uint64_t whole = bytes, rest = 0;
	unsigned int unit = 0;

	for (; whole >= 1024; whole /= 1024, unit++)
		rest = whole % 1024;
	if (!unit)
		snprintf(text, BYTES_TEXT_MAX, "%" PRIu64, whole);
	else if (!(bytes & ((1ull << (10 * unit)) - 1)))
		snprintf(text, BYTES_TEXT_MAX, "%" PRIu64 "%c", whole, units[unit]);
	else
		snprintf(text, BYTES_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%c", whole, rest * 10 / 1024,
			 units[unit]);
	return text;
}
