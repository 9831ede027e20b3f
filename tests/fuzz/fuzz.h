/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share: the input as a stream of numbers, and an assertion that ends the
 * process, which libFuzzer takes for a finding.
 *
 * A stream that has run dry gives zeroes, so every input means something, and a longer one begins
 * as its prefix does: libFuzzer's cuts and insertions stay local.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (unlikely(!(cond))) {                                                           \
			fprintf(stderr, "%s:%d: %s: must be: %s\n", __FILE__, __LINE__, __func__,  \
				#cond);                                                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct input {
	const uint8_t *data;
	size_t left;
};

/** input_bytes() - the next @len bytes, zeroes where there are no more */
static inline void input_bytes(struct input *in, void *to, size_t len)
{
	size_t got = MIN(len, in->left);

	memset(to, 0, len);
	if (got)
		memcpy(to, in->data, got);
	in->data += got;
	in->left -= got;
}

static inline uint8_t input_u8(struct input *in)
{
	uint8_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint16_t input_u16(struct input *in)
{
	uint16_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint32_t input_u32(struct input *in)
{
	uint32_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint64_t input_u64(struct input *in)
{
	uint64_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

/* libFuzzer's door; it never looks at what is returned but for 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
