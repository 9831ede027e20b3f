// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plugin of QEMU's that counts the instructions a virtual machine executes, one by one: where they
 * are, and in whose time.
 *
 *	-plugin FILE,out=PATH,kworker=START-END,idle=START-END
 *
 * Counting begins and ends where the guest executes a certain NOP (mark.c). Lines of the output:
 * ADDRESS OWNER COUNT. An owner is what ran last on that CPU: "kworker", "idle", or a part of user
 * space, as the upper bits of its addresses. A task that wakes up in the kernel is not seen before it
 * gets back to user space: until then its instructions count for whoever ran before it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of qemu-plugin.h, which Debian has in no package; as in QEMU 10.0. */
#define EXPORT __attribute__((visibility("default")))
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*exec_cb)(unsigned int vcpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags,
					    void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 4;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

#define OWNERS	   48
#define USER_SHIFT 32
#define TABLE	   (1u << 22)
#define VCPUS	   8
#define UNKNOWN	   (-1)
#define ANYBODY	   (-2)

struct place {
	uint64_t vaddr;
	int owner; /* whose code it is */
	uint64_t counts[OWNERS];
};

struct range {
	uint64_t start, end;
};

static struct range ranges[2]; /* owners 0 and 1 */
static uint64_t regions[OWNERS];
static int region_count = 2;
static struct place **table;
static unsigned int places;
static int owners[VCPUS];
static bool counting;
static const char *out;

static int owner_of(uint64_t vaddr)
{
	for (int i = 0; i < 2; i++)
		if (vaddr >= ranges[i].start && vaddr < ranges[i].end)
			return i;
	if (vaddr >> 63)
		return ANYBODY;
	for (int i = 2; i < region_count; i++)
		if (regions[i] == vaddr >> USER_SHIFT)
			return i;
	if (region_count == OWNERS)
		return OWNERS - 1;
	regions[region_count] = vaddr >> USER_SHIFT;
	return region_count++;
}

static void execute(unsigned int vcpu, void *data)
{
	struct place *place = data;

	if (!counting)
		return;
	if (place->owner == UNKNOWN) /* not before: there is no room for all that ever ran */
		place->owner = owner_of(place->vaddr);
	if (place->owner != ANYBODY)
		owners[vcpu] = place->owner;
	place->counts[owners[vcpu]]++;
}

static void begin(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	counting = true;
}

static void end(unsigned int vcpu, void *data)
{
	FILE *to = fopen(out, "w");

	(void)vcpu;
	(void)data;
	counting = false;
	if (!to)
		return;
	for (unsigned int i = 0; i < TABLE; i++)
		for (int j = 0; table[i] && j < OWNERS; j++)
			if (table[i]->counts[j])
				fprintf(to,
					j < 2 ? "%" PRIx64 " %s %" PRIu64 "\n"
					      : "%" PRIx64 " %s%" PRIx64 " %" PRIu64 "\n",
					table[i]->vaddr,
					j == 0	 ? "kworker"
					: j == 1 ? "idle"
						 : "",
					j < 2 ? table[i]->counts[j] : regions[j],
					table[i]->counts[j]);
	fclose(to);
}

static struct place *find(uint64_t vaddr)
{
	uint32_t at = (uint32_t)((vaddr * 0x9e3779b97f4a7c15ull) >> 42);

	while (table[at] && table[at]->vaddr != vaddr)
		at = (at + 1) % TABLE;
	if (!table[at]) {
		table[at] = calloc(1, sizeof(**table));
		if (!table[at] || ++places == TABLE / 2)
			abort();
		table[at]->vaddr = vaddr;
		table[at]->owner = UNKNOWN;
	}
	return table[at];
}

static void translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	static const uint8_t marks[2][7] = { { 0x0f, 0x1f, 0x80, 0xbe, 0xba, 0xfe, 0xca },
					     { 0x0f, 0x1f, 0x80, 0xef, 0xbe, 0xad, 0xde } };

	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint8_t bytes[15];
		size_t len = qemu_plugin_insn_data(insn, bytes, sizeof(bytes));

		qemu_plugin_register_vcpu_insn_exec_cb(insn, execute, 0,
						       find(qemu_plugin_insn_vaddr(insn)));
		for (int j = 0; j < 2; j++)
			if (len == sizeof(marks[j]) && !memcmp(bytes, marks[j], len))
				qemu_plugin_register_vcpu_insn_exec_cb(insn, j ? end : begin, 0,
								       NULL);
	}
}

static void parse_range(const char *text, struct range *range)
{
	char *rest;

	range->start = strtoull(text, &rest, 16);
	range->end = *rest == '-' ? strtoull(rest + 1, NULL, 16) : 0;
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "kworker=", 8))
			parse_range(argv[i] + 8, &ranges[0]);
		else if (!strncmp(argv[i], "idle=", 5))
			parse_range(argv[i] + 5, &ranges[1]);
		else
			return -1;
	}
	table = calloc(TABLE, sizeof(struct place *));
	if (!out || !table)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
