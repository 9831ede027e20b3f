// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vhost_user_memory.c: which regions are accepted, and where their bytes are. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fds.h"
#include "sigbus.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_memory.h"

#define PAGE 4096ull
#define GPA  0x100000000ull
#define USER 0x700000000000ull

static struct vhost_user_memory memory;
static struct iotlb_view view;
static unsigned int fds_before;
static const char *why;

/* ---- a file system whose pages are as large as the test says ---- */

static blksize_t fake_page; /* 0: the real one */
static bool fstat_fails;

int fstat(int fd, struct stat *st)
{
	if (fstat_fails) {
		errno = EIO;
		return -1;
	}
	if (syscall(SYS_fstat, fd, st))
		return -1;
	if (fake_page)
		st->st_blksize = fake_page;
	return 0;
}

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	ck_assert_int_eq(vhost_user_memory_init(&memory), 0);
	iotlb_view_init(&view, &memory.tlb);
}

static void teardown(void)
{
	iotlb_view_exit(&view);
	vhost_user_memory_exit(&memory);
	ck_assert_uint_eq(memory.count, 0);
	ck_assert_uint_eq(memory.maps.bytes, 0);
	ck_assert_uint_eq(mappings_total(), 0);
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

/* A file of @pages, each of which begins with its number, counted from 1. */
static int file_of(unsigned int pages)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(pages * PAGE)), 0);
	for (uint8_t i = 0; i < pages; i++)
		ck_assert_int_eq(pwrite(fd, &(uint8_t){ (uint8_t)(i + 1) }, 1, i * (off_t)PAGE), 1);
	return fd;
}

static int add_fd(struct vhost_user_region region, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), err;

	ck_assert_int_ge(copy, 0);
	err = vhost_user_memory_add(&memory, &region, copy, &why);
	if (err)
		close(copy);
	return err;
}

static int add(struct vhost_user_region region)
{
	int fd = file_of(8), err = add_fd(region, fd);

	close(fd);
	return err;
}

static void expect_refusal(struct vhost_user_region region, const char *part)
{
	unsigned int count = memory.count;

	ck_assert_int_eq(add(region), -EINVAL);
	ck_assert_msg(strstr(why, part) != NULL, "%s", why);
	ck_assert_uint_eq(memory.count, count);
}

/* What is at a guest address; -1: nothing. @len: out, bytes that follow */
static int byte_at(uint64_t guest_addr, size_t *len)
{
	void *addr;

	if (iotlb_map(&view, guest_addr, len, PROT_READ | PROT_WRITE, &addr))
		return -1;
	return *(uint8_t *)addr;
}

static void expect_byte(uint64_t guest_addr, int byte)
{
	size_t len = 1;

	ck_assert_int_eq(byte_at(guest_addr, &len), byte);
}

START_TEST(region_has_three_addresses)
{
	uint64_t addr = 7;
	size_t len = 16 * PAGE;

	ck_assert_int_eq(add((struct vhost_user_region){ GPA, 4 * PAGE, USER, 2 * PAGE }), 0);
	ck_assert_int_eq(byte_at(GPA, &len), 3);
	ck_assert_uint_eq(len, 4 * PAGE);
	len = 16 * PAGE;
	ck_assert_int_eq(byte_at(GPA + 3 * PAGE, &len), 6);
	ck_assert_uint_eq(len, PAGE);
	expect_byte(GPA + 4 * PAGE - 1, 0);
	expect_byte(GPA + 4 * PAGE, -1);
	expect_byte(GPA - 1, -1);
	ck_assert_int_eq(vhost_user_memory_guest_addr(&memory, USER, &addr), 0);
	ck_assert_uint_eq(addr, GPA);
	ck_assert_int_eq(vhost_user_memory_guest_addr(&memory, USER + 4 * PAGE - 1, &addr), 0);
	ck_assert_uint_eq(addr, GPA + 4 * PAGE - 1);
	ck_assert_int_eq(vhost_user_memory_guest_addr(&memory, USER + 4 * PAGE, &addr), -EFAULT);
	ck_assert_int_eq(vhost_user_memory_guest_addr(&memory, USER - 1, &addr), -EFAULT);
	ck_assert_uint_eq(addr, GPA + 4 * PAGE - 1);
	ck_assert_uint_eq(memory.maps.bytes, 4 * PAGE);
}
END_TEST

/* Guest addresses in the order opposite to that of user addresses. */
START_TEST(second_region_is_found_too)
{
	uint64_t addr;

	ck_assert_int_eq(add((struct vhost_user_region){ GPA + 2 * PAGE, PAGE, USER, 0 }), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, PAGE, USER + PAGE, PAGE }), 0);
	expect_byte(GPA + 2 * PAGE, 1);
	expect_byte(GPA, 2);
	expect_byte(GPA + PAGE, -1);
	ck_assert_int_eq(vhost_user_memory_guest_addr(&memory, USER + PAGE, &addr), 0);
	ck_assert_uint_eq(addr, GPA);
}
END_TEST

/* What is written there is in the file. */
START_TEST(mapping_is_shared)
{
	int fd = file_of(2);
	size_t len = 4;
	uint8_t byte;
	void *addr;

	ck_assert_int_eq(add_fd((struct vhost_user_region){ GPA, PAGE, USER, PAGE }, fd), 0);
	ck_assert_int_eq(iotlb_map(&view, GPA + 5, &len, PROT_WRITE, &addr), 0);
	*(uint8_t *)addr = 77;
	ck_assert_int_eq(pread(fd, &byte, 1, PAGE + 5), 1);
	ck_assert_uint_eq(byte, 77);
	close(fd);
}
END_TEST

START_TEST(empty_or_wrapping_region)
{
	expect_refusal((struct vhost_user_region){ GPA, 0, USER, 0 }, "is empty");
	expect_refusal((struct vhost_user_region){ UINT64_MAX - PAGE + 2, PAGE, USER, 0 },
		       "ends behind the last address");
	expect_refusal((struct vhost_user_region){ GPA, PAGE, UINT64_MAX - PAGE + 2, 0 },
		       "ends behind the last address");
	expect_refusal((struct vhost_user_region){ GPA, PAGE, USER, UINT64_MAX - PAGE + 2 },
		       "ends behind the last address");
	expect_refusal((struct vhost_user_region){ GPA, UINT64_MAX, USER, 0 },
		       "ends behind the last address");
	expect_refusal((struct vhost_user_region){ 0, UINT64_MAX, 0, 0 }, "larger than its file");
}
END_TEST

/* The last byte of it is the one before the last address of all. */
START_TEST(region_ends_with_the_address_space)
{
	uint64_t last = UINT64_MAX - PAGE;

	ck_assert_int_eq(add((struct vhost_user_region){ last, PAGE, last, 0 }), 0);
	expect_byte(last, 1);
	expect_byte(UINT64_MAX - 1, 0);
	expect_byte(UINT64_MAX, -1);
}
END_TEST

START_TEST(larger_than_its_file)
{
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, 8 * PAGE, USER, 0 }), 0);
	vhost_user_memory_clear(&memory);
	expect_refusal((struct vhost_user_region){ GPA, 8 * PAGE + 1, USER, 0 },
		       "larger than its file");
	expect_refusal((struct vhost_user_region){ GPA, 8 * PAGE, USER, PAGE },
		       "larger than its file");
	expect_refusal((struct vhost_user_region){ GPA, PAGE, USER, 8 * PAGE },
		       "larger than its file");
}
END_TEST

/* clang-format off */
static const struct {
	uint64_t guest, user, size;
	bool overlaps; /* with the region of 4 pages at GPA, USER */
} neighbours[] = {
	{ GPA - 2 * PAGE, USER + 8 * PAGE, 2 * PAGE, false },
	{ GPA - 2 * PAGE, USER + 8 * PAGE, 2 * PAGE + 1, true },
	{ GPA + 4 * PAGE, USER + 8 * PAGE, PAGE, false },
	{ GPA + 4 * PAGE - 1, USER + 8 * PAGE, PAGE, true },
	{ GPA + PAGE, USER + 8 * PAGE, PAGE, true },
	{ GPA - PAGE, USER + 8 * PAGE, 8 * PAGE, true },
	{ GPA + 8 * PAGE, USER - 2 * PAGE, 2 * PAGE, false },
	{ GPA + 8 * PAGE, USER - 2 * PAGE, 2 * PAGE + 1, true },
	{ GPA + 8 * PAGE, USER + 4 * PAGE, PAGE, false },
	{ GPA + 8 * PAGE, USER + 4 * PAGE - 1, PAGE, true },
	{ GPA + 8 * PAGE, USER + PAGE, PAGE, true },
	{ GPA + 8 * PAGE, USER - PAGE, 8 * PAGE, true },
	{ GPA, USER, 4 * PAGE, true },
};
/* clang-format on */

START_TEST(overlap_in_either_address_space)
{
	struct vhost_user_region region = { neighbours[_i].guest, neighbours[_i].size,
					    neighbours[_i].user, 0 };

	ck_assert_int_eq(
		add((struct vhost_user_region){ GPA + 64 * PAGE, PAGE, USER + 64 * PAGE, 0 }), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, 4 * PAGE, USER, 0 }), 0);
	if (neighbours[_i].overlaps)
		expect_refusal(region, "overlaps another one");
	else
		ck_assert_int_eq(add(region), 0);
}
END_TEST

START_TEST(file_is_not_shared_memory)
{
	struct vhost_user_region region = { GPA, PAGE, USER, 0 };
	char *path = temp_path("disk");
	int fds[2];

	temp_image(path, 8 * PAGE);
	fds[0] = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(add_fd(region, fds[0]), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "is not shared memory"));
	close(fds[0]);
	unlink(path);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(add_fd(region, fds[0]), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "is not shared memory"));
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(file_cannot_be_examined_or_mapped)
{
	struct vhost_user_region region = { GPA, PAGE, USER, 0 };
	int fd = file_of(1);

	fstat_fails = true;
	ck_assert_int_eq(add_fd(region, fd), -EINVAL);
	ck_assert_str_eq(why, strerror(EIO));
	fstat_fails = false;
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_int_eq(add_fd(region, fd), -EPERM);
	ck_assert_str_eq(why, strerror(EPERM));
	ck_assert_uint_eq(memory.count, 0);
	close(fd);
}
END_TEST

START_TEST(no_mapping_is_left)
{
	const char *real = mappings_limit_path;
	char *path = temp_path("limit");
	FILE *to = fopen(path, "we");

	fputs("1\n", to);
	fclose(to);
	mappings_limit_path = path;
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, PAGE, USER, 0 }), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ GPA + PAGE, PAGE, USER + PAGE, 0 }),
			 -ENOSPC);
	ck_assert_ptr_nonnull(strstr(why, "vm.max_map_count"));
	ck_assert_uint_eq(memory.count, 1);
	mappings_limit_path = real;
	unlink(path);
}
END_TEST

/* A part of a file of large pages: the mapping has whole ones. */
START_TEST(pages_are_large)
{
	const struct vhost_user_region region = { GPA, 2 * PAGE, USER, 5 * PAGE };

	fake_page = 4 * PAGE;
	ck_assert_int_eq(add(region), 0);
	ck_assert_uint_eq(memory.maps.bytes, 4 * PAGE);
	expect_byte(GPA, 6);
	expect_byte(GPA + PAGE, 7);
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &region), 0);
	ck_assert_uint_eq(memory.maps.bytes, 0);

	/* over the border of two large pages */
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, 2 * PAGE, USER, 3 * PAGE }), 0);
	ck_assert_uint_eq(memory.maps.bytes, 8 * PAGE);
	expect_byte(GPA + PAGE, 5);

	/* a size that is none is not used */
	fake_page = 3 * PAGE;
	ck_assert_int_eq(
		add((struct vhost_user_region){ GPA + 8 * PAGE, PAGE, USER + 8 * PAGE, 4 * PAGE }),
		0);
	expect_byte(GPA + 8 * PAGE, 5);
}
END_TEST

START_TEST(slots_are_full)
{
	int fd = file_of(1);

	for (uint64_t i = 0; i < VHOST_USER_SLOTS_MAX; i++)
		ck_assert_int_eq(add_fd((struct vhost_user_region){ GPA + i * PAGE, PAGE,
								    USER + i * PAGE, 0 },
					fd),
				 0);
	expect_refusal((struct vhost_user_region){ 0, PAGE, 0, 0 }, "one more than");
	ck_assert_int_eq(vhost_user_memory_remove(
				 &memory, &(struct vhost_user_region){ GPA, PAGE, USER, 0 }),
			 0);
	ck_assert_int_eq(add((struct vhost_user_region){ 0, PAGE, 0, 0 }), 0);
	expect_byte(GPA + (VHOST_USER_SLOTS_MAX - 1) * PAGE, 1);
	close(fd);
}
END_TEST

START_TEST(region_is_removed_by_addresses_and_size)
{
	const struct vhost_user_region region = { GPA, 2 * PAGE, USER, PAGE };
	struct vhost_user_region other = region;

	ck_assert_int_eq(add(region), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ 0, PAGE, 0, 3 * PAGE }), 0);
	expect_byte(GPA, 2);
	other.guest_addr += PAGE;
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &other), -ENOENT);
	other = region;
	other.user_addr += PAGE;
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &other), -ENOENT);
	other = region;
	other.size -= PAGE;
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &other), -ENOENT);
	other = region;
	other.mmap_offset = 0; /* no front end needs to remember it */
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &other), 0);
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &other), -ENOENT);
	expect_byte(GPA, -1);
	expect_byte(0, 4);
	ck_assert_uint_eq(memory.count, 1);
	ck_assert_int_eq(add(region), 0); /* its addresses are free again */
}
END_TEST

START_TEST(all_regions_are_removed)
{
	ck_assert_int_eq(add((struct vhost_user_region){ GPA, PAGE, USER, 0 }), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ 0, PAGE, 0, 0 }), 0);
	expect_byte(GPA, 1);
	expect_byte(PAGE - 1, 0);
	vhost_user_memory_clear(&memory);
	expect_byte(GPA, -1);
	expect_byte(0, -1);
	ck_assert_uint_eq(memory.count, 0);
}
END_TEST

/* munmap() takes long. Until it is called, the process has the mappings, and the device does not. */
START_TEST(removed_regions_are_unmapped_later)
{
	struct vhost_user_region region = { GPA, PAGE, USER, 0 };
	const struct driver_mapping *unused;
	uint8_t *addr;

	ck_assert_int_eq(add(region), 0);
	ck_assert_int_eq(add((struct vhost_user_region){ 0, PAGE, 0, 0 }), 0);
	addr = memory.regions[0].addr;
	ck_assert_uint_eq(vhost_user_memory_take_unused(&memory, &unused), 0);
	ck_assert_int_eq(vhost_user_memory_remove(&memory, &region), 0);
	expect_byte(GPA, -1);
	vhost_user_memory_clear(&memory);
	ck_assert_uint_eq(memory.maps.bytes, 0);
	ck_assert_uint_eq(memory.maps.mappings.held, 0);
	ck_assert_uint_eq(mappings_total(), 2);
	ck_assert_uint_eq(*addr, 1);
	ck_assert_uint_eq(vhost_user_memory_take_unused(&memory, &unused), 2);
	for (unsigned int i = 0; i < 2; i++)
		driver_release(&unused[i]);
	ck_assert_uint_eq(mappings_total(), 0);
	ck_assert(msync(addr, PAGE, MS_ASYNC) && errno == ENOMEM);
	ck_assert_uint_eq(vhost_user_memory_take_unused(&memory, &unused), 0);

	/* if nobody takes them */
	for (unsigned int i = 0; i < 2 * VHOST_USER_SLOTS_MAX; i++) {
		ck_assert_int_eq(add(region), 0);
		ck_assert_int_eq(vhost_user_memory_remove(&memory, &region), 0);
	}
	ck_assert_uint_eq(mappings_total(), VHOST_USER_SLOTS_MAX + 1);
}
END_TEST

START_TEST(file_shrinks)
{
	int fd = file_of(8);
	size_t len = 1;
	void *addr;

	ck_assert_int_eq(sigbus_guard_install(), 0);
	sigbus_guard_thread();
	ck_assert_int_eq(add_fd((struct vhost_user_region){ GPA, 8 * PAGE, USER, 0 }, fd), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(iotlb_map(&view, GPA + 7 * PAGE, &len, PROT_READ, &addr), 0);
	ck_assert_int_eq(*(volatile uint8_t *)addr, 0);
	ck_assert(sigbus_seen());
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_memory");
	TCase *tc = suite_case(s, "vhost_user_memory", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, region_has_three_addresses);
	tcase_add_test(tc, second_region_is_found_too);
	tcase_add_test(tc, mapping_is_shared);
	tcase_add_test(tc, empty_or_wrapping_region);
	tcase_add_test(tc, region_ends_with_the_address_space);
	tcase_add_test(tc, larger_than_its_file);
	tcase_add_loop_test(tc, overlap_in_either_address_space, 0, ARRAY_SIZE(neighbours));
	tcase_add_test(tc, file_is_not_shared_memory);
	tcase_add_test(tc, file_cannot_be_examined_or_mapped);
	tcase_add_test(tc, no_mapping_is_left);
	tcase_add_test(tc, pages_are_large);
	tcase_add_test(tc, slots_are_full);
	tcase_add_test(tc, region_is_removed_by_addresses_and_size);
	tcase_add_test(tc, all_regions_are_removed);
	tcase_add_test(tc, removed_regions_are_unmapped_later);
	tcase_add_test(tc, file_shrinks);
	return suite_run(s);
}
