// SPDX-License-Identifier: GPL-2.0-or-later
#include "iotlb_fixture.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "test_log.h"

struct tl_source tl_source;
struct iotlb tl_tlb;
struct iotlb_view tl_view;
uint8_t tl_memory[1 << 20];

static int source_fill(void *ctx, uint64_t iova, struct iotlb_region *region)
{
	struct tl_source *s = ctx;
	int error = s->error;

	s->error = 0;
	if (error)
		return error;
	for (unsigned int i = 0; i < s->count; i++) {
		const struct iotlb_region *r = &s->entries[i].region;

		if (s->lie >= 0 ? (int)i != s->lie
				: s->entries[i].hidden || iova < r->start || iova > r->last)
			continue;
		s->misuses += s->entries[i].live++;
		s->fills++;
		*region = *r;
		return 0;
	}
	return -EFAULT;
}

static void source_release(void *ctx, const struct iotlb_region *region)
{
	struct tl_source *s = ctx;

	s->releases++;
	for (unsigned int i = 0; i < s->count; i++)
		if (!memcmp(&s->entries[i].region, region, sizeof(*region)) && s->entries[i].live) {
			s->entries[i].live--;
			return;
		}
	s->misuses++;
}

static const struct iotlb_ops source_ops = { .fill = source_fill, .release = source_release };

int tl_source_add_at(uint64_t start, uint64_t last, int prot, uint8_t *addr)
{
	struct iotlb_region *r = &tl_source.entries[tl_source.count].region;

	ck_assert_uint_lt(tl_source.count, TL_SOURCE_MAX);
	memset(r, 0, sizeof(*r));
	r->start = start;
	r->last = last;
	r->addr = addr;
	r->prot = prot;
	return (int)tl_source.count++;
}

/* Memory of neighbours in IOVA is not adjacent: a gap of one byte lies between. */
uint8_t *tl_source_add(uint64_t start, uint64_t last, int prot)
{
	static size_t next;
	uint8_t *addr = &tl_memory[next];

	next += last - start + 2;
	ck_assert_uint_le(next, sizeof(tl_memory));
	tl_source_add_at(start, last, prot, addr);
	return addr;
}

uint8_t *tl_source_addr(int entry, uint64_t iova)
{
	const struct iotlb_region *r = &tl_source.entries[entry].region;

	return r->addr + (iova - r->start);
}

void tl_setup(void)
{
	test_log_begin();
	tl_source.lie = -1;
	iotlb_init(&tl_tlb, &source_ops, &tl_source);
	iotlb_view_init(&tl_view, &tl_tlb);
}

/* Whatever a test did: each fill is released exactly once. */
void tl_teardown(void)
{
	iotlb_view_exit(&tl_view);
	iotlb_exit(&tl_tlb);
	ck_assert_uint_eq(tl_source.fills, tl_source.releases);
	ck_assert_uint_eq(tl_source.misuses, 0);
	test_log_end();
}

void tl_expect_map(uint64_t iova, size_t len, int prot, const void *addr, size_t got)
{
	void *at = NULL;

	ck_assert_int_eq(iotlb_map(&tl_view, iova, &len, prot, &at), 0);
	ck_assert_ptr_eq(at, addr);
	ck_assert_uint_eq(len, got);
}

void tl_expect_fail(uint64_t iova, size_t len, int prot, int err)
{
	size_t left = len;
	void *at = &tl_source;

	ck_assert_int_eq(iotlb_map(&tl_view, iova, &left, prot, &at), err);
	ck_assert_ptr_eq(at, &tl_source); /* untouched */
	ck_assert_uint_eq(left, len);
}

/* Makes the next map go past the hint, but not past the table. */
void tl_forget_hint(void)
{
	tl_view.hint = (struct iotlb_region){ .start = 1, .last = 0 };
}
