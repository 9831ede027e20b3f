/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A doubly linked list whose links lie in its entries: to add and to remove need no memory.
 *
 * An entry finds its struct by container_of(). A zeroed node is in no list. One thread at a time.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"

struct list_node {
	struct list_node *next, *prev; /* NULL: in no list */
};

struct list {
	struct list_node head; /* before the first entry and behind the last */
};

/** list_init() - an empty list */
static inline void list_init(struct list *list)
{
	list->head.next = list->head.prev = &list->head;
}

/** list_is_empty() - has the list no entry? */
static inline bool list_is_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

/** list_has() - is @node in a list? */
static inline bool list_has(const struct list_node *node)
{
	return node->next;
}

/** list_add() - add @node, which is in no list, at the end */
static inline void list_add(struct list *list, struct list_node *node)
{
	node->next = &list->head;
	node->prev = list->head.prev;
	list->head.prev->next = node;
	list->head.prev = node;
}

/** list_remove() - remove @node from its list; no effect if it is in none */
static inline void list_remove(struct list_node *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}

/** list_take() - remove the first entry. Return: the entry; NULL: the list is empty */
static inline struct list_node *list_take(struct list *list)
{
	struct list_node *first = list->head.next;

	if (first == &list->head)
		return NULL;
	list_remove(first);
	return first;
}

/** list_move() - move all entries of @from to the end of @to, in their order */
static inline void list_move(struct list *from, struct list *to)
{
	if (list_is_empty(from))
		return;
	from->head.next->prev = to->head.prev;
	to->head.prev->next = from->head.next;
	from->head.prev->next = &to->head;
	to->head.prev = from->head.prev;
	list_init(from);
}

/** list_for_each() - @node: each entry of @list; the loop must not remove it */
#define list_for_each(node, list)                                                                  \
	for (struct list_node * (node) = (list)->head.next; (node) != &(list)->head;               \
	     (node) = (node)->next)

/** list_for_each_safe() - as list_for_each(); the loop may remove @node, and no other entry */
#define list_for_each_safe(node, list)                                                             \
	for (struct list_node * (node) = (list)->head.next, *node##_next = (node)->next;           \
	     (node) != &(list)->head; (node) = node##_next, node##_next = node##_next->next)

/** list_for_each_entry() - @entry: the struct @type of each node, its @member; as list_for_each() */
#define list_for_each_entry(entry, list, type, member)                                             \
	for (type * (entry) = container_of((list)->head.next, type, member);                       \
	     &(entry)->member != &(list)->head;                                                    \
	     (entry) = container_of((entry)->member.next, type, member))

#endif
