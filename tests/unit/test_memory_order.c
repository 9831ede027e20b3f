// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory order where two CPUs meet: ring, inflight log and IOTLB.
 *
 * The effect of a missing barrier shows once in many million runs, and on some machines never. So
 * this file compiles the code under test again, with accessors that record each access. An access
 * is recorded before it is made, and the test checks plain memory at that moment: the data that a
 * release publishes must be there already.
 */
#include <endian.h>

#include "compiler.h"

enum step_kind { BARRIER, COPIED, LOAD_RELAXED, LOAD_ACQUIRE, STORE_RELAXED, STORE_RELEASE };

static void step(enum step_kind kind, const void *addr);

#undef load_acquire
#undef load_relaxed
#undef store_release
#undef store_relaxed
#undef full_barrier
#undef copied_to
#define load_acquire(p)	    (step(LOAD_ACQUIRE, p), __atomic_load_n(p, __ATOMIC_ACQUIRE))
#define load_relaxed(p)	    (step(LOAD_RELAXED, p), __atomic_load_n(p, __ATOMIC_RELAXED))
#define store_release(p, v) (step(STORE_RELEASE, p), __atomic_store_n(p, v, __ATOMIC_RELEASE))
#define store_relaxed(p, v) (step(STORE_RELAXED, p), __atomic_store_n(p, v, __ATOMIC_RELAXED))
#define full_barrier()	    step(BARRIER, NULL)
#define copied_to(p)	    step(COPIED, NULL)

/* In this order: the headers' inline functions take the accessors above. */
#include "inflight.c"
#include "iotlb.c"
#include "virtq.c"
#include "virtq_rings.c"

#include "suite.h"
#include "virtq_fixture.h"

#define RING 8

static struct {
	enum step_kind kind;
	const void *addr;
} steps[256];
static int step_count;
static void (*look)(const void *addr); /* at memory, before each step */

static void step(enum step_kind kind, const void *addr)
{
	if (look)
		look(addr);
	if (step_count < (int)ARRAY_SIZE(steps)) {
		steps[step_count].kind = kind;
		steps[step_count].addr = addr;
	}
	step_count++;
}

static void forget_steps(void)
{
	step_count = 0;
}

/* Where is this step, at @from or later? It must be there. */
static int find_step(int from, enum step_kind kind, const void *addr)
{
	for (int i = from; i < step_count; i++)
		if (steps[i].kind == kind && steps[i].addr == addr)
			return i;
	ck_abort_msg("no step of kind %d at %p, at %d or later", kind, addr, from);
	return -1;
}

/* How many accesses of any kind are there? */
static int accesses_of(const void *addr)
{
	int count = 0;

	for (int i = 0; i < step_count; i++)
		count += steps[i].addr == addr;
	return count;
}

/* One direction of the handshake: our write, the barrier, then our look at the other side's. */
static void check_write_barrier_read(enum step_kind write, const void *written, enum step_kind read,
				     const void *looked_at)
{
	int at = find_step(0, write, written);

	ck_assert_int_eq(accesses_of(written), 1);
	ck_assert_int_eq(accesses_of(looked_at), 1);
	at = find_step(at + 1, BARRIER, NULL);
	find_step(at + 1, read, looked_at);
}

static void start(bool event_idx)
{
	g = guest_new(RING, GUEST_ONE_REGION);
	g->event_idx = event_idx;
	virtq_init(&vq, &g->tlb);
	vq_restart(65534);
	forget_steps();
}

static void setup(void)
{
	test_log_begin();
	look = NULL;
}

/* Chains whose used elements are written, and not shown yet. */
static void push_some(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_ge(guest_add(g, G_OUT(16), G_IN(1)), 0);
	guest_publish(g);
	for (int i = 0; i < count; i++) {
		ck_assert_int_eq(vq_pop(), 1);
		vq_push(chain.head, 1);
	}
}

static void *interrupt_word(void)
{
	return vq.layout.event_idx ? (void *)vq.used_event : (void *)&vq.avail->flags;
}

START_TEST(publish_moves_the_index_before_it_looks_whether_an_interrupt_is_wanted)
{
	bool wanted;

	start(_i);
	push_some(2);
	forget_steps();
	wanted = virtq_publish(&vq);
	ck_assert(wanted || _i);
	check_write_barrier_read(STORE_RELEASE, &vq.used->idx, LOAD_RELAXED, interrupt_word());
}
END_TEST

START_TEST(want_kick_asks_before_it_looks_for_more)
{
	void *asks = NULL;

	start(_i);
	asks = _i ? (void *)vq.avail_event : (void *)&vq.used->flags;
	ck_assert(!virtq_want_kick(&vq));
	check_write_barrier_read(STORE_RELAXED, asks, LOAD_ACQUIRE, &vq.avail->idx);
}
END_TEST

static void used_elements_are_there(const void *addr)
{
	if (addr != &vq.used->idx)
		return;
	for (uint16_t i = 0; i < 3; i++) {
		const struct vring_used_elem *elem = &vq.used->ring[(65534 + i) % RING];

		must(le32toh(elem->len) == 1, "element %u is shown before it is written", i);
	}
}

START_TEST(used_elements_are_written_before_the_index)
{
	start(_i);
	push_some(3);
	look = used_elements_are_there;
	forget_steps();
	vq_publish_all();
	find_step(0, STORE_RELEASE, &vq.used->idx);
}
END_TEST

/* The driver may fill an entry again once it is used: what was read before the index is nothing. */
START_TEST(avail_index_is_acquired_before_its_entries_are_read)
{
	int at;

	start(_i);
	guest_add(g, G_OUT(16));
	guest_publish(g);
	forget_steps();
	ck_assert_int_eq(vq_pop(), 1);
	at = find_step(0, LOAD_ACQUIRE, &vq.avail->idx);
	ck_assert_int_eq(accesses_of(&vq.avail->idx), 1);
	ck_assert_int_eq(accesses_of(&vq.avail->ring[65534 % RING]), 1);
	find_step(at + 1, LOAD_RELAXED, &vq.avail->ring[65534 % RING]);
}
END_TEST

/* The driver may write to a descriptor while it is read: the compiler must not read it twice. */
START_TEST(descriptor_is_copied_once)
{
	start(false);
	guest_add(g, G_OUT(16), G_OUT(5), G_IN(1));
	guest_publish(g);
	forget_steps();
	ck_assert_int_eq(vq_pop(), 1);
	find_step(find_step(find_step(0, COPIED, NULL) + 1, COPIED, NULL) + 1, COPIED, NULL);
}
END_TEST

START_TEST(blind_recovery_acquires_the_avail_index)
{
	struct inflight_vq *log = calloc(1, sizeof(*log) + RING * sizeof(log->entries[0]));
	struct virtq_layout l;
	int at;

	start(false);
	ck_assert_ptr_nonnull(log);
	guest_add(g, G_OUT(16));
	guest_publish(g);
	virtq_set_log(&vq, log);
	l = vq_layout(true);
	forget_steps();
	ck_assert_int_eq(virtq_recover_blind(&vq, &l), 1);
	at = find_step(0, LOAD_ACQUIRE, &vq.avail->idx);
	find_step(at + 1, LOAD_RELAXED, &vq.avail->ring[65534 % RING]);
	free(log);
}
END_TEST

/* A write that nobody needs would take the line from the driver's CPU. */
START_TEST(suppressed_kicks_cost_no_write_with_event_index)
{
	start(_i);
	virtq_suppress_kicks(&vq);
	ck_assert_int_eq(step_count, _i ? 0 : 1);
	if (!_i)
		ck_assert_uint_eq(le16toh(vq.used->flags), VRING_USED_F_NO_NOTIFY);
}
END_TEST

static struct inflight_vq *inflight_log;
static uint16_t published_heads[] = { 3, 5 };

static void log_is_true(const void *addr)
{
	if (addr == &inflight_log->active)
		must(!inflight_log->entries[3] && inflight_log->next_order == 1 &&
			     inflight_log->used_idx == 9 && inflight_log->ahead == 2,
		     "active before it is empty");
	if (addr == &inflight_log->used_idx)
		must(!inflight_log->entries[3] && !inflight_log->entries[5],
		     "the index says that all is free before it is");
}

/* A process that dies between two steps leaves the first ones. */
START_TEST(inflight_log_is_true_at_each_step)
{
	int at;

	inflight_log = calloc(1, sizeof(*inflight_log) + RING * sizeof(inflight_log->entries[0]));
	ck_assert_ptr_nonnull(inflight_log);
	inflight_log->entries[3] = 77;
	look = log_is_true;
	forget_steps();
	inflight_vq_start(inflight_log, RING, 9, 11);
	find_step(0, STORE_RELEASE, &inflight_log->active);
	inflight_vq_take(inflight_log, 3);
	inflight_vq_take(inflight_log, 5);
	find_step(0, STORE_RELEASE, &inflight_log->entries[3]);
	at = find_step(0, STORE_RELEASE, &inflight_log->entries[5]);
	inflight_vq_push(inflight_log, 3);
	find_step(at + 1, STORE_RELEASE, &inflight_log->entries[3]);
	inflight_vq_push(inflight_log, 5);
	inflight_vq_published(inflight_log, published_heads, 2, 11);
	at = find_step(0, STORE_RELAXED, &inflight_log->entries[3]);
	at = MAX(at, find_step(0, STORE_RELAXED, &inflight_log->entries[5]));
	at = find_step(at + 1, STORE_RELEASE, &inflight_log->used_idx);
	look = NULL;
	inflight_vq_stop(inflight_log);
	find_step(at + 1, STORE_RELEASE, &inflight_log->active);
	free(inflight_log);
}
END_TEST

static struct inflight_vq *ring_record;

/* Taken: before anything is done. Pushed: after the element, before the index. Free: after that. */
START_TEST(inflight_log_goes_along_with_the_ring)
{
	int taken, pushed, shown, head;

	ring_record = calloc(1, sizeof(*ring_record) + RING * sizeof(uint64_t));
	ck_assert_ptr_nonnull(ring_record);
	start(_i);
	virtq_set_log(&vq, ring_record);
	vq_restart(65534);
	forget_steps();
	push_some(1);
	head = chain.head;
	vq_publish_all();
	taken = find_step(0, STORE_RELEASE, &ring_record->entries[head]);
	pushed = find_step(taken + 1, STORE_RELEASE, &ring_record->entries[head]);
	shown = find_step(pushed + 1, STORE_RELEASE, &vq.used->idx);
	find_step(shown + 1, STORE_RELAXED, &ring_record->entries[head]);
	ck_assert_int_eq(accesses_of(&ring_record->entries[head]), 3);
	free(ring_record);
}
END_TEST

static size_t table_count;

static void table_has_changed(const void *addr)
{
	if (addr == &g->tlb.generation)
		table_count = g->tlb.table.count;
}

START_TEST(iotlb_changes_its_table_before_the_generation)
{
	size_t len = 1;
	void *addr;

	start(false);
	look = table_has_changed;
	forget_steps();
	table_count = 77;
	iotlb_drop(&g->tlb, 0, UINT64_MAX);
	find_step(0, STORE_RELEASE, &g->tlb.generation);
	ck_assert_uint_eq(table_count, 0);

	forget_steps();
	ck_assert_int_eq(iotlb_map(&vq.view, GUEST_DATA, &len, PROT_READ, &addr), 0);
	find_step(0, LOAD_ACQUIRE, &g->tlb.generation);
	find_step(0, STORE_RELEASE, &g->tlb.generation);
	ck_assert_uint_eq(table_count, 1);
	for (int i = 0; i < step_count; i++)
		ck_assert_int_ne(steps[i].kind, LOAD_RELAXED);
}
END_TEST

static void teardown(void)
{
	look = NULL;
	if (g)
		vq_stop();
	test_log_end();
}

int main(void)
{
	Suite *suite = suite_create("memory_order");
	TCase *tc = suite_case(suite, "order", setup, teardown);

	tcase_add_loop_test(
		tc, publish_moves_the_index_before_it_looks_whether_an_interrupt_is_wanted, 0, 2);
	tcase_add_loop_test(tc, want_kick_asks_before_it_looks_for_more, 0, 2);
	tcase_add_loop_test(tc, used_elements_are_written_before_the_index, 0, 2);
	tcase_add_loop_test(tc, avail_index_is_acquired_before_its_entries_are_read, 0, 2);
	tcase_add_test(tc, descriptor_is_copied_once);
	tcase_add_test(tc, blind_recovery_acquires_the_avail_index);
	tcase_add_loop_test(tc, suppressed_kicks_cost_no_write_with_event_index, 0, 2);
	tcase_add_test(tc, inflight_log_is_true_at_each_step);
	tcase_add_loop_test(tc, inflight_log_goes_along_with_the_ring, 0, 2);
	tcase_add_test(tc, iotlb_changes_its_table_before_the_generation);
	return suite_run(suite);
}
