/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/iotlb.c against a source of regions that counts, fails and lies. */
#ifndef TESTS_IOTLB_FIXTURE_H
#define TESTS_IOTLB_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iotlb.h"

#define RO PROT_READ
#define WO PROT_WRITE
#define RW (PROT_READ | PROT_WRITE)

#define LIMIT	      4096 /* regions in one table, as in lib/iotlb.c */
#define TL_SOURCE_MAX (LIMIT + 16)

/* Where regions come from. A hidden one is given only as a lie. */
struct tl_source {
	struct {
		struct iotlb_region region;
		unsigned int live;
		bool hidden;
	} entries[TL_SOURCE_MAX];
	unsigned int count;
	unsigned int fills; /* successful ones */
	unsigned int releases;
	unsigned int misuses; /* filled while filled, or released while not */
	int error;	      /* of the next fill */
	int lie;	      /* entry that every fill answers with, or -1 */
};
extern struct tl_source tl_source;
extern struct iotlb tl_tlb; /* of the source */
extern struct iotlb_view tl_view;
extern uint8_t tl_memory[1 << 20];

/* Checked fixture. At the end, whatever a test did: each fill is released exactly once. */
void tl_setup(void);
void tl_teardown(void);

/** tl_source_add_at() - one more region. Return: its index */
int tl_source_add_at(uint64_t start, uint64_t last, int prot, uint8_t *addr);

/** tl_source_add() - the same, somewhere in the memory, not adjacent to its neighbours */
uint8_t *tl_source_add(uint64_t start, uint64_t last, int prot);

/** tl_source_addr() - where @iova lies, which is in region @entry */
uint8_t *tl_source_addr(int entry, uint64_t iova);

/** tl_expect_map() - iotlb_map() of @len bytes gives @got bytes at @addr */
void tl_expect_map(uint64_t iova, size_t len, int prot, const void *addr, size_t got);

/** tl_expect_fail() - iotlb_map() fails with @err, and leaves its arguments alone */
void tl_expect_fail(uint64_t iova, size_t len, int prot, int err);

/** tl_forget_hint() - make the next map go past the hint, but not past the table */
void tl_forget_hint(void);

#endif
