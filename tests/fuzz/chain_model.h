/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a descriptor chain means by virtio 1.3, 2.7.5: read again, with no code of lib/virtq.c. */
#ifndef TESTS_FUZZ_CHAIN_MODEL_H
#define TESTS_FUZZ_CHAIN_MODEL_H

#include "memory.h"
#include "virtq.h"

struct chain_model {
	bool well_formed; /* the walk comes to an end, and tables can be read */
	size_t out_bytes, in_bytes;
};

/** chain_model() - the chain that begins at @head; the ring's table must be mapped */
struct chain_model chain_model(const struct memory *memory, const struct virtq_layout *layout,
			       uint16_t head);

#endif
