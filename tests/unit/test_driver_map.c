// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/driver_map.c: memory of a driver is mapped within limits, and without harm to the process. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver_map.h"
#include "sigbus.h"
#include "suite.h"
#include "temp_dir.h"

#define PAGE 4096ul

static struct driver_maps maps;
static int fd;
static void *addr;

static void setup(void)
{
	fd = memfd_create("driver", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 4 * PAGE), 0);
	ck_assert_int_eq(pwrite(fd, "second", 6, PAGE), 6);
	addr = NULL;
}

static void teardown(void)
{
	ck_assert_uint_eq(mappings_total(), 0);
	ck_assert_uint_eq(maps.mappings.held, 0);
	ck_assert_uint_eq(maps.bytes, 0);
	close(fd);
}

static bool is_mapped(void)
{
	return !msync(addr, PAGE, MS_ASYNC) || errno != ENOMEM;
}

/* Is @flag in the line VmFlags of the mapping at @addr? */
static bool has_flag(const char *flag)
{
	FILE *from = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool here = false, found = false;
	char line[512];

	ck_assert_ptr_nonnull(from);
	while (fgets(line, sizeof(line), from)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (uintptr_t)addr;
		if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag) != NULL;
	}
	fclose(from);
	return found;
}

START_TEST(mapping_is_shared_and_counted)
{
	char bytes[6];
	void *second;

	ck_assert_int_eq(driver_map(&maps, fd, PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, &addr), 0);
	ck_assert_mem_eq(addr, "second", 6);
	memcpy(addr, "SECOND", 6);
	ck_assert_int_eq(pread(fd, bytes, 6, PAGE), 6);
	ck_assert_mem_eq(bytes, "SECOND", 6);
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &second), 0);
	ck_assert_uint_eq(maps.bytes, 3 * PAGE);
	ck_assert_uint_eq(mappings_total(), 2);
	driver_unmap(&maps, second);
	ck_assert_uint_eq(maps.bytes, 2 * PAGE);
	ck_assert_uint_eq(mappings_total(), 1);
	driver_unmap(&maps, addr);
	ck_assert(!is_mapped());
}
END_TEST

START_TEST(not_in_core_dumps_and_not_locked)
{
	/* Where the limit of this process permits it, all memory is locked from now on. */
	bool locks = !mlockall(MCL_FUTURE);

	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &addr), 0);
	ck_assert(has_flag(" dd"));
	ck_assert(!locks || !has_flag(" lo"));
	driver_unmap(&maps, addr);
	munlockall();
}
END_TEST

START_TEST(size_is_limited)
{
	ck_assert_int_eq(driver_map(&maps, fd, 0, 0, PROT_READ, &addr), -EFBIG);
	ck_assert_int_eq(driver_map(&maps, fd, 0, DRIVER_MAP_MAX + 1, PROT_READ, &addr), -EFBIG);
	ck_assert_int_eq(driver_map(&maps, fd, 0, UINT64_MAX, PROT_READ, &addr), -EFBIG);
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &addr), 0);
	maps.bytes = DRIVER_MAP_MAX;
	ck_assert_int_eq(driver_map(&maps, fd, 0, 1, PROT_READ, &(void *){ NULL }), -EFBIG);
	maps.bytes = DRIVER_MAP_MAX - PAGE;
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE + 1, PROT_READ, &(void *){ NULL }), -EFBIG);
	driver_unmap(&maps, addr);
	ck_assert_int_eq(driver_map(&maps, fd, 0, 2 * PAGE, PROT_READ, &addr), 0);
	driver_unmap(&maps, addr);
	maps.bytes = 0;
}
END_TEST

START_TEST(number_is_limited)
{
	const char *real = mappings_limit_path;
	char *path = temp_path("limit");
	FILE *to = fopen(path, "we");

	fputs("1\n", to);
	fclose(to);
	mappings_limit_path = path;
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &addr), 0);
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &(void *){ NULL }), -ENOSPC);
	ck_assert_uint_eq(maps.bytes, PAGE);
	driver_unmap(&maps, addr);
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &addr), 0);
	driver_unmap(&maps, addr);
	mappings_limit_path = real;
	unlink(path);
}
END_TEST

START_TEST(file_cannot_be_mapped)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(driver_map(&maps, null, 0, PAGE, PROT_READ, &addr), -ENODEV);
	close(null);
	ck_assert_int_eq(driver_map(&maps, -1, 0, PAGE, PROT_READ, &addr), -EBADF);
}
END_TEST

/* The kernel maps whole pages: also what begins and ends within one is unmapped as a whole. */
static void map_a_part(uint64_t page)
{
	uint64_t size = 8000;
	uint8_t *part;

	ck_assert_int_eq(driver_map(&maps, fd, page + 4000, size, PROT_READ | PROT_WRITE, &addr),
			 0);
	part = addr;
	memcpy(part, "part", 4);
	part[size - 1] = 1;
	ck_assert_uint_eq(maps.bytes, ROUND_UP(4000 + size, page));
	driver_unmap(&maps, addr);
	addr = (void *)((uintptr_t)addr & ~(page - 1));
	ck_assert(!is_mapped());
	ck_assert_int_eq(driver_map(&maps, fd, page, page, PROT_READ, &addr), 0);
	ck_assert_mem_eq((uint8_t *)addr + 4000, "part", 4);
	driver_unmap(&maps, addr);
}

START_TEST(part_of_a_page)
{
	map_a_part(PAGE);
}
END_TEST

#define HUGE_PAGES "/proc/sys/vm/nr_hugepages"

static long set_huge_pages(long count)
{
	FILE *file = fopen(HUGE_PAGES, "r+e");
	long was = -1;

	if (file && fscanf(file, "%ld", &was) == 1) {
		rewind(file);
		fprintf(file, "%ld\n", count);
	}
	if (file)
		fclose(file);
	return was;
}

/* Only where this process may reserve huge pages. */
START_TEST(part_of_a_huge_page)
{
	const uint64_t huge = 2 << 20;
	long was = set_huge_pages(16);

	close(fd);
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB | MFD_ALLOW_SEALING);
	if (was >= 0 && fd >= 0 && !ftruncate(fd, 3 * (off_t)huge) &&
	    !fallocate(fd, 0, 0, 3 * (off_t)huge))
		map_a_part(huge);
	if (was >= 0)
		set_huge_pages(was);
}
END_TEST

/* It takes several slices. */
START_TEST(large_mapping)
{
	const uint64_t size = (200ull << 20) + PAGE;

	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	ck_assert_int_eq(driver_map(&maps, fd, 0, size, PROT_READ | PROT_WRITE, &addr), 0);
	for (uint64_t at = 0; at < size; at += 1 << 20)
		((volatile uint8_t *)addr)[at] = 1;
	driver_unmap(&maps, addr);
	for (uint64_t at = 0; at < size; at += 1 << 20) {
		ck_assert(!is_mapped());
		addr = (uint8_t *)addr + (1 << 20);
	}
}
END_TEST

START_TEST(no_range_is_left_for_the_guard)
{
	unsigned int max = sigbus_ranges_max;

	sigbus_ranges_max = 0;
	ck_assert_int_eq(driver_map(&maps, fd, 0, PAGE, PROT_READ, &addr), -ENOSPC);
	ck_assert(!is_mapped());
	sigbus_ranges_max = max;
}
END_TEST

START_TEST(owner_truncates_it)
{
	ck_assert_int_eq(sigbus_guard_install(), 0);
	sigbus_guard_thread();
	ck_assert_int_eq(driver_map(&maps, fd, 0, 2 * PAGE, PROT_READ, &addr), 0);
	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	ck_assert_int_eq(((volatile char *)addr)[PAGE], 0);
	ck_assert(sigbus_seen());
	ck_assert(sigbus_any_lost());
	driver_unmap(&maps, addr);
	ck_assert(!sigbus_any_lost()); /* it is not registered any more */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("driver_map");
	TCase *tc = suite_case(s, "driver_map", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, mapping_is_shared_and_counted);
	tcase_add_test(tc, not_in_core_dumps_and_not_locked);
	tcase_add_test(tc, size_is_limited);
	tcase_add_test(tc, number_is_limited);
	tcase_add_test(tc, file_cannot_be_mapped);
	tcase_add_test(tc, part_of_a_page);
	tcase_add_test(tc, part_of_a_huge_page);
	tcase_add_test(tc, large_mapping);
	tcase_add_test(tc, no_range_is_left_for_the_guard);
	tcase_add_test(tc, owner_truncates_it);
	return suite_run(s);
}
