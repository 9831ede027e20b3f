// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/list.h and lib/pool.c. */
#include <check.h>
#include <stdalign.h>
#include <string.h>

#include "list.h"
#include "pool.h"
#include "suite.h"
#include "test_log.h"

#define ENTRIES 5

struct entry {
	int number;
	struct list_node node;
};

static struct entry entries[ENTRIES];
static struct list list;

static void setup(void)
{
	test_log_begin();
	memset(entries, 0, sizeof(entries));
	list_init(&list);
	for (int i = 0; i < ENTRIES; i++)
		entries[i].number = i;
}

static void add_all(void)
{
	for (int i = 0; i < ENTRIES; i++)
		list_add(&list, &entries[i].node);
}

/* Both directions, since a link may be wrong in one of them only. */
static void expect(struct list *in, const char *numbers)
{
	char text[2 * ENTRIES + 1] = "", back[2 * ENTRIES + 1] = "";
	size_t len = 0, at;

	list_for_each (node, in)
		text[len++] = (char)('0' + container_of(node, struct entry, node)->number);
	at = len;
	for (struct list_node *node = in->head.prev; node != &in->head; node = node->prev)
		back[--at] = (char)('0' + container_of(node, struct entry, node)->number);
	ck_assert_str_eq(text, numbers);
	ck_assert_str_eq(back, numbers);
	ck_assert_int_eq(list_is_empty(in), !numbers[0]);
}

START_TEST(entries_are_in_the_order_of_addition)
{
	expect(&list, "");
	add_all();
	expect(&list, "01234");
}
END_TEST

START_TEST(any_entry_can_be_removed)
{
	char rest[ENTRIES + 1] = "01234";

	add_all();
	ck_assert(list_has(&entries[_i].node));
	list_remove(&entries[_i].node);
	ck_assert(!list_has(&entries[_i].node));
	memmove(&rest[_i], &rest[_i + 1], strlen(&rest[_i]));
	expect(&list, rest);
	list_remove(&entries[_i].node);
	expect(&list, rest);
}
END_TEST

START_TEST(entries_are_taken_from_the_front)
{
	add_all();
	for (int i = 0; i < ENTRIES; i++) {
		ck_assert_ptr_eq(list_take(&list), &entries[i].node);
		ck_assert(!list_has(&entries[i].node));
	}
	ck_assert_ptr_null(list_take(&list));
	expect(&list, "");
}
END_TEST

START_TEST(entries_move_behind_those_of_the_other_list)
{
	struct list other;

	list_init(&other);
	list_move(&list, &other);
	expect(&other, "");
	list_add(&other, &entries[3].node);
	for (int i = 0; i < 3; i++)
		list_add(&list, &entries[i].node);
	list_move(&list, &other);
	expect(&list, "");
	expect(&other, "3012");
	list_add(&list, &entries[4].node);
	expect(&list, "4");
}
END_TEST

START_TEST(loop_gives_the_entries_themselves)
{
	unsigned int next = 0;

	list_for_each_entry (entry, &list, struct entry, node)
		ck_abort_msg("the list is empty");
	add_all();
	list_for_each_entry (entry, &list, struct entry, node)
		ck_assert_int_eq(entry->number, next++);
	ck_assert_uint_eq(next, 5);
}
END_TEST

START_TEST(loop_may_remove_its_entry)
{
	add_all();
	list_for_each_safe (node, &list)
		if (container_of(node, struct entry, node)->number % 2)
			list_remove(node);
	expect(&list, "024");
	list_for_each_safe (node, &list)
		list_remove(node);
	expect(&list, "");
}
END_TEST

struct item {
	alignas(void *) char bytes[24];
};

START_TEST(pool_gives_each_item_once)
{
	struct pool pool;
	struct item *items[4];

	pool_init(&pool, 4, sizeof(struct item));
	if (_i)
		ck_assert_int_eq(pool_map(&pool), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert(pool_has(&pool));
		items[i] = pool_get(&pool);
		ck_assert_ptr_nonnull(items[i]);
		memset(items[i], i, sizeof(*items[i]));
	}
	ck_assert(!pool_has(&pool));
	ck_assert_ptr_null(pool_get(&pool));
	for (int i = 0; i < 4; i++)
		for (size_t at = 0; at < sizeof(*items[i]); at++)
			ck_assert_int_eq(items[i]->bytes[at], i);
	pool_put(&pool, items[2]);
	ck_assert(pool_has(&pool));
	ck_assert_ptr_eq(pool_get(&pool), items[2]);
	ck_assert_ptr_null(pool_get(&pool));
	pool_exit(&pool);
}
END_TEST

START_TEST(pool_touches_as_many_items_as_were_out_together)
{
	struct pool pool;

	pool_init(&pool, 4, sizeof(struct item));
	for (int i = 0; i < 10; i++) {
		void *first = pool_get(&pool), *second = pool_get(&pool);

		pool_put(&pool, first);
		pool_put(&pool, second);
	}
	ck_assert_uint_eq(pool.touched, 2);
	pool_exit(&pool);
	ck_assert_ptr_null(pool.items);
	ck_assert(pool_has(&pool));
	ck_assert_ptr_nonnull(pool_get(&pool));
	pool_exit(&pool);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("list");
	TCase *tc = suite_case(suite, "list", setup, test_log_end);

	tcase_add_test(tc, entries_are_in_the_order_of_addition);
	tcase_add_loop_test(tc, any_entry_can_be_removed, 0, ENTRIES);
	tcase_add_test(tc, entries_are_taken_from_the_front);
	tcase_add_test(tc, entries_move_behind_those_of_the_other_list);
	tcase_add_test(tc, loop_gives_the_entries_themselves);
	tcase_add_test(tc, loop_may_remove_its_entry);
	tcase_add_loop_test(tc, pool_gives_each_item_once, 0, 2);
	tcase_add_test(tc, pool_touches_as_many_items_as_were_out_together);
	return suite_run(suite);
}
