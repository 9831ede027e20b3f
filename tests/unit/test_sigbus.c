// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/sigbus.c: lost driver memory does not end the process, and is not taken for zeroes. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sigbus.h"
#include "suite.h"
#include "test_log.h"
#include "queue/virtio_blk.h"
#include "virtq_fixture.h"

#define PAGE  4096ul
#define PAGES 4ul

static uint8_t *memory;
static int memory_fd;

static void setup(void)
{
	test_log_begin();
	ck_assert_int_eq(sigbus_guard_install(), 0);
	sigbus_guard_thread();
	memory_fd = memfd_create("driver", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(memory_fd, (off_t)(PAGES * PAGE)), 0);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	memset(memory, 0x5a, PAGES * PAGE);
}

static void teardown(void)
{
	sigbus_unguard_range(memory);
	ck_assert_uint_eq(sigbus_lost_ranges, 0);
	munmap(memory, PAGES * PAGE);
	close(memory_fd);
	sigbus_state = SIGBUS_FATAL;
	test_log_end();
}

/* What the kernel does when this thread touches a page that the hardware reports as broken. */
static void raise_sigbus(int code, void *addr)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = code };

	info.si_addr = addr;
	ck_assert_int_eq(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info), 0);
}

static bool handler_is_there(void)
{
	struct sigaction action;

	sigaction(SIGBUS, NULL, &action);
	return action.sa_handler != SIG_DFL;
}

static void guard(void)
{
	ck_assert_int_eq(sigbus_guard_range(memory, PAGES * PAGE), 0);
}

START_TEST(memory_error_in_driver_memory_is_survived)
{
	guard();
	raise_sigbus(BUS_MCEERR_AR, memory + PAGE + 100);
	ck_assert(handler_is_there());
	ck_assert(sigbus_pending());
	ck_assert_uint_eq(memory[PAGE - 1], 0x5a);
	ck_assert_uint_eq(memory[PAGE], 0);
	ck_assert_uint_eq(memory[2 * PAGE - 1], 0);
	ck_assert_uint_eq(memory[2 * PAGE], 0x5a);
	ck_assert(sigbus_seen());
	ck_assert(!sigbus_seen());
}
END_TEST

START_TEST(truncated_driver_memory_is_survived)
{
	guard();
	ck_assert_int_eq(ftruncate(memory_fd, PAGE), 0);
	ck_assert_uint_eq(((volatile uint8_t *)memory)[PAGE], 0);
	ck_assert(sigbus_seen());
	ck_assert(sigbus_is_lost(memory + PAGE, 1));
}
END_TEST

/* What has been replaced by one thread is not read by another one as what the driver wrote. */
START_TEST(page_that_another_thread_has_met_is_known)
{
	guard();
	ck_assert(!sigbus_is_lost(memory, PAGES * PAGE));
	raise_sigbus(BUS_MCEERR_AR, memory + PAGE);
	ck_assert(sigbus_is_lost(memory, 1)); /* all that this thread has read is suspected */
	ck_assert(sigbus_seen());
	ck_assert(!sigbus_is_lost(memory, PAGE));
	ck_assert(sigbus_is_lost(memory, PAGE + 1));
	ck_assert(sigbus_is_lost(memory + PAGE, 1));
	ck_assert(sigbus_is_lost(memory + 2 * PAGE - 1, 1));
	ck_assert(!sigbus_is_lost(memory + 2 * PAGE, PAGE));
	raise_sigbus(BUS_MCEERR_AR, memory + 3 * PAGE);
	ck_assert(sigbus_seen());
	ck_assert(sigbus_is_lost(memory + 3 * PAGE, 1));
	ck_assert(!sigbus_is_lost(memory, PAGE));
	ck_assert_uint_eq(sigbus_lost_ranges, 1);
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(sigbus_seen());
	ck_assert(sigbus_is_lost(memory, 1));
}
END_TEST

START_TEST(memory_of_others_is_not_lost)
{
	uint8_t *other =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	guard();
	ck_assert_int_eq(sigbus_guard_range(other, PAGE), 0);
	raise_sigbus(BUS_MCEERR_AR, memory + (_i ? 0 : 3 * PAGE));
	ck_assert(sigbus_seen());
	ck_assert(!sigbus_is_lost(other, PAGE));
	ck_assert(!sigbus_is_lost(&other, sizeof(other)));
	sigbus_unguard_range(other);
	munmap(other, PAGE);
	ck_assert_uint_eq(sigbus_lost_ranges, 1);
}
END_TEST

/* The smallest range that contains all lost pages counts as lost; nothing beside it does. */
START_TEST(lost_pages_of_other_ranges_do_not_count)
{
	static const size_t first[] = { 0, 1, 4, 5 }; /* pages of three ranges */
	uint8_t *all =
		mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(all, MAP_FAILED);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(
			sigbus_guard_range(all + first[i] * PAGE, (first[i + 1] - first[i]) * PAGE),
			0);
	for (size_t i = 0; i < 5; i += 2) {
		raise_sigbus(BUS_MCEERR_AR, all + i * PAGE);
		ck_assert(sigbus_seen());
	}
	ck_assert_uint_eq(sigbus_lost_ranges, 3);
	ck_assert(!sigbus_is_lost(all + PAGE, PAGE));
	ck_assert(sigbus_is_lost(all + PAGE, PAGE + 1));
	ck_assert(sigbus_is_lost(all + 3 * PAGE - 1, PAGE));
	ck_assert(!sigbus_is_lost(all + 3 * PAGE, PAGE));
	for (size_t i = 0; i < 3; i++)
		sigbus_unguard_range(all + first[i] * PAGE);
	munmap(all, 5 * PAGE);
}
END_TEST

START_TEST(range_that_is_mapped_anew_is_not_lost)
{
	guard();
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(sigbus_seen());
	sigbus_unguard_range(memory);
	ck_assert_uint_eq(sigbus_lost_ranges, 0);
	guard();
	ck_assert(!sigbus_is_lost(memory, PAGES * PAGE));
}
END_TEST

START_TEST(error_that_nobody_has_touched_is_ignored)
{
	sigbus_state = _i ? SIGBUS_GUARDED : SIGBUS_FATAL;
	guard();
	raise_sigbus(BUS_MCEERR_AO, memory);
	ck_assert(handler_is_there());
	ck_assert(!sigbus_pending());
	ck_assert_uint_eq(memory[0], 0x5a);
	raise_sigbus(BUS_MCEERR_AO, &memory);
	ck_assert(handler_is_there());
}
END_TEST

/* With no handler the instruction, repeated, ends the process. */
START_TEST(memory_of_our_own_is_fatal)
{
	static const int codes[] = { BUS_MCEERR_AR, BUS_ADRERR, BUS_ADRALN };

	guard();
	if (_i == 2)
		raise_sigbus(codes[_i], memory); /* not even a driver's memory excuses this one */
	else
		raise_sigbus(codes[_i], &memory);
	ck_assert(!handler_is_there());
	ck_assert(!sigbus_pending());
	ck_assert_uint_eq(memory[0], 0x5a);
}
END_TEST

START_TEST(byte_beside_a_range_is_our_own)
{
	uint8_t *range = memory + PAGE;

	ck_assert_int_eq(sigbus_guard_range(range, PAGE), 0);
	raise_sigbus(BUS_MCEERR_AR, _i ? range + PAGE : range - 1);
	ck_assert(!handler_is_there());
	ck_assert_uint_eq(memory[0], 0x5a);
	ck_assert_uint_eq(memory[2 * PAGE], 0x5a);
	sigbus_unguard_range(range);
}
END_TEST

/* Also where ranges that were registered later are still there. */
START_TEST(range_that_was_removed_is_our_own)
{
	uint8_t *later = memory + PAGE;

	ck_assert_int_eq(sigbus_guard_range(memory, PAGE), 0);
	ck_assert_int_eq(sigbus_guard_range(later, PAGE), 0);
	sigbus_unguard_range(memory);
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(!handler_is_there());
	ck_assert_uint_eq(memory[0], 0x5a);
	sigbus_unguard_range(later);
}
END_TEST

START_TEST(thread_that_is_not_guarded_dies)
{
	guard();
	sigbus_state = SIGBUS_FATAL;
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(!handler_is_there());
	ck_assert_uint_eq(memory[0], 0x5a);
}
END_TEST

/* For real: a file of our own that was truncated. */
START_TEST(truncated_file_of_our_own_ends_the_process)
{
	int status;
	pid_t pid;

	ck_assert_int_eq(ftruncate(memory_fd, 0), 0);
	pid = fork();
	if (!pid) {
		((volatile uint8_t *)memory)[0];
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status)); /* a sanitizer makes it an exit */
}
END_TEST

START_TEST(ranges_come_and_go)
{
	static uint8_t *const base = (uint8_t *)(1ul << 40);
	const unsigned int max = sigbus_ranges_max;
	unsigned int count = 0;

	sigbus_ranges_max = 64;
	while (sigbus_guard_range(base + count * PAGE, PAGE) == 0)
		count++;
	ck_assert_uint_eq(count, 64);
	sigbus_unguard_range(base + 10 * PAGE);
	guard(); /* in its place */
	ck_assert_int_eq(sigbus_guard_range(base + 10 * PAGE, PAGE), -ENOSPC);
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(sigbus_seen());
	while (count--)
		if (count != 10)
			sigbus_unguard_range(base + count * PAGE);
	ck_assert(sigbus_is_lost(memory, 1));
	sigbus_ranges_max = max;
}
END_TEST

START_TEST(removed_ranges_make_room)
{
	static uint8_t *const base = (uint8_t *)(1ul << 40);
	const unsigned int max = sigbus_ranges_max;

	sigbus_ranges_max = 4;
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 4; i++)
			ck_assert_int_eq(sigbus_guard_range(base + i * PAGE, PAGE), 0);
		ck_assert_int_eq(sigbus_guard_range(base + 4 * PAGE, PAGE), -ENOSPC);
		for (unsigned int i = 0; i < 4; i++) /* from the first, from the last, mixed */
			sigbus_unguard_range(base + (round == 0	  ? i
						     : round == 1 ? 3 - i
								  : i ^ 1) *
							    PAGE);
	}
	sigbus_ranges_max = max;
}
END_TEST

/* They stay registered: to remove so many takes long, and this process ends. */
START_TEST(ranges_beyond_the_largest_number_are_refused)
{
	static uint8_t *const base = (uint8_t *)(1ul << 40);

	for (unsigned int i = 0; i < sigbus_ranges_max; i++)
		ck_assert_int_eq(sigbus_guard_range(base + i * PAGE, PAGE), 0);
	ck_assert_int_eq(sigbus_guard_range(memory, PAGE), -ENOSPC);
}
END_TEST

/* ---- pages that cannot be replaced alone ---- */

#define HUGE (2ul << 20)

/* From now on, replacing @size bytes fails with @err. A sanitizer can still map other sizes. */
static void refuse_replacement(size_t size, int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_FIXED, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)size, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Memory at the addresses of three huge pages, in small pages. Return: the second one */
static uint8_t *map_huge_pages(void)
{
	uint8_t *all =
		mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *start = (uint8_t *)(((uintptr_t)all + 2 * HUGE - 1) & ~(HUGE - 1));

	ck_assert_ptr_ne(all, MAP_FAILED);
	start[-1] = start[0] = start[HUGE - 1] = start[HUGE] = 0x5a;
	return start;
}

/* As hugetlbfs does, with EINVAL. */
START_TEST(huge_page_is_replaced_as_a_whole)
{
	uint8_t *page = map_huge_pages();

	ck_assert_int_eq(sigbus_guard_range(page - PAGE, HUGE + 2 * PAGE), 0);
	refuse_replacement(PAGE, EINVAL);
	raise_sigbus(BUS_MCEERR_AR, page + 5 * PAGE + 7);
	ck_assert(sigbus_seen());
	ck_assert_uint_eq(page[-1], 0x5a);
	ck_assert_uint_eq(page[0], 0);
	ck_assert_uint_eq(page[HUGE - 1], 0);
	ck_assert_uint_eq(page[HUGE], 0x5a);
	ck_assert(!sigbus_is_lost(page - PAGE, PAGE));
	ck_assert(sigbus_is_lost(page, 1));
	ck_assert(sigbus_is_lost(page + HUGE - 1, 1));
	ck_assert(!sigbus_is_lost(page + HUGE, PAGE));
	sigbus_unguard_range(page - PAGE);
}
END_TEST

/* There is no mapping left (ENOMEM). */
START_TEST(range_is_replaced_where_a_page_cannot_be)
{
	uint8_t *page = map_huge_pages();

	ck_assert_int_eq(sigbus_guard_range(page, 4 * PAGE), 0);
	page[4 * PAGE] = page[4 * PAGE - 1] = 0x5a;
	refuse_replacement(PAGE, ENOMEM);
	raise_sigbus(BUS_MCEERR_AR, page + PAGE);
	ck_assert(sigbus_seen());
	ck_assert_uint_eq(page[-1], 0x5a);
	ck_assert_uint_eq(page[0], 0);
	ck_assert_uint_eq(page[4 * PAGE - 1], 0);
	ck_assert_uint_eq(page[4 * PAGE], 0x5a);
	ck_assert(sigbus_is_lost(page, 1));
	ck_assert(sigbus_is_lost(page + 4 * PAGE - 1, 1));
	sigbus_unguard_range(page);
}
END_TEST

START_TEST(memory_that_cannot_be_replaced_ends_the_process)
{
	static const size_t sizes[] = { PAGE, HUGE, 512 * HUGE, PAGES * PAGE };

	guard();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		refuse_replacement(sizes[i], _i ? EINVAL : ENOMEM);
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert(!handler_is_there());
	ck_assert(!sigbus_pending());
}
END_TEST

START_TEST(handler_keeps_errno)
{
	guard();
	refuse_replacement(PAGE, ENOMEM);
	errno = ENOTTY;
	raise_sigbus(BUS_MCEERR_AR, memory);
	ck_assert_int_eq(errno, ENOTTY);
	ck_assert(sigbus_seen());
}
END_TEST

/* ---- those who read it ---- */

static uint8_t *lost_page;

/* By another thread, as far as this one knows. */
static void lose(const void *addr)
{
	lost_page = (uint8_t *)((uintptr_t)addr & ~(PAGE - 1));
	ck_assert_int_eq(sigbus_guard_range(lost_page, PAGE), 0);
	raise_sigbus(BUS_MCEERR_AR, lost_page);
	ck_assert(sigbus_seen());
}

static void ring_setup(void)
{
	setup();
	vq_start(0, 256, 0);
	lost_page = NULL;
}

static void ring_teardown(void)
{
	if (lost_page)
		sigbus_unguard_range(lost_page);
	vq_teardown(); /* judges the log */
	munmap(memory, PAGES * PAGE);
	close(memory_fd);
}

/* Head 0 was used before, and its descriptors are there still. */
static void serve_one_and_add_another(void)
{
	guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	vq_take(0);
	vq_finish(0);
	vq_publish_all();
	vq_reap(0);
	guest_add(g, G_OUT(16), G_IN(1));
	guest_publish(g);
	ck_assert(virtq_has_work(&vq));
}

START_TEST(lost_avail_ring_gives_no_old_chain)
{
	serve_one_and_add_another();
	lose(vq.avail);
	ck_assert_int_eq(virtq_pop(&vq, &chain), -EPROTO);
	ck_assert_uint_eq(vq.last_avail, 1);
	ck_assert_uint_eq(vq.in_flight, 0);
	ck_assert_int_eq(virtq_start(&vq, &vq.layout, 0), -EIO);
}
END_TEST

START_TEST(lost_descriptors_make_no_chain)
{
	serve_one_and_add_another();
	lose(vq.desc);
	if (virtq_pop(&vq, &chain) == 1) { /* the avail ring lies in another page */
		ck_assert_int_eq(chain.fault, -EFAULT);
		ck_assert_ptr_null(chain.last_in);
	}
	ck_assert_int_eq(virtq_start(&vq, &vq.layout, 0), -EIO);
}
END_TEST

START_TEST(lost_used_ring_has_no_index)
{
	struct virtq_layout layout = vq.layout;

	ck_assert_int_eq(virtq_start(&vq, &layout, 0), 0);
	lose(vq.used);
	ck_assert_int_eq(virtq_start(&vq, &layout, 0), -EIO);
}
END_TEST

START_TEST(lost_table_is_not_read)
{
	struct vring_desc desc;
	size_t len = sizeof(desc);
	void *addr;

	ck_assert_int_eq(iotlb_read(&vq.view, TABLE, &desc, sizeof(desc)), 0);
	ck_assert_int_eq(iotlb_map(&vq.view, TABLE, &len, PROT_READ, &addr), 0);
	lose(addr);
	ck_assert_int_eq(iotlb_read(&vq.view, TABLE, &desc, sizeof(desc)), -EFAULT);
}
END_TEST

/* Zeroes are a read of sector 0; of a discard they are a range. */
START_TEST(lost_header_is_no_request)
{
	const struct blk_limits limits = { .size = 1 << 20,
					   .logical_block = 512,
					   .discard_max = 1 << 20 };
	struct virtio_blk_discard_write_zeroes *range = (void *)(memory + PAGE);
	struct virtio_blk_outhdr *header = (void *)memory;
	struct blk_range ranges[BLK_MAX_RANGES];
	uint8_t status;
	struct iovec iov[3];
	struct virtq_chain request;
	struct blk_req req;

	for (int lost = 0; lost < 2; lost++) {
		if (lost)
			lose(_i ? (void *)range : (void *)header);
		*header = (struct virtio_blk_outhdr){ .type = htole32(VIRTIO_BLK_T_DISCARD) };
		*range = (struct virtio_blk_discard_write_zeroes){ .num_sectors = htole32(8) };
		iov[0] = (struct iovec){ header, sizeof(*header) };
		iov[1] = (struct iovec){ range, sizeof(*range) };
		iov[2] = (struct iovec){ &status, 1 };
		request = (struct virtq_chain){
			.iov = iov,
			.out_count = 2,
			.in_count = 1,
			.out_bytes = sizeof(*header) + sizeof(*range),
			.in_bytes = 1,
			.last_in = &status,
		};
		ck_assert_int_eq(blk_req_parse(&limits, 1ull << VIRTIO_BLK_F_DISCARD, &request,
					       ranges, &req),
				 lost ? VIRTIO_BLK_S_IOERR : 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sigbus");
	TCase *tc = suite_case(suite, "sigbus", setup, teardown);

	tcase_add_test(tc, memory_error_in_driver_memory_is_survived);
	tcase_add_test(tc, truncated_driver_memory_is_survived);
	tcase_add_test(tc, page_that_another_thread_has_met_is_known);
	tcase_add_loop_test(tc, memory_of_others_is_not_lost, 0, 2);
	tcase_add_test(tc, lost_pages_of_other_ranges_do_not_count);
	tcase_add_test(tc, range_that_is_mapped_anew_is_not_lost);
	tcase_add_loop_test(tc, error_that_nobody_has_touched_is_ignored, 0, 2);
	tcase_add_loop_test(tc, memory_of_our_own_is_fatal, 0, 3);
	tcase_add_loop_test(tc, byte_beside_a_range_is_our_own, 0, 2);
	tcase_add_test(tc, range_that_was_removed_is_our_own);
	tcase_add_test(tc, thread_that_is_not_guarded_dies);
	tcase_add_test(tc, truncated_file_of_our_own_ends_the_process);
	tcase_add_test(tc, ranges_come_and_go);
	tcase_add_test(tc, removed_ranges_make_room);
	tcase_add_test(tc, ranges_beyond_the_largest_number_are_refused);
	tcase_add_test(tc, huge_page_is_replaced_as_a_whole);
	tcase_add_test(tc, range_is_replaced_where_a_page_cannot_be);
	tcase_add_loop_test(tc, memory_that_cannot_be_replaced_ends_the_process, 0, 2);
	tcase_add_test(tc, handler_keeps_errno);
	tc = suite_case(suite, "readers", ring_setup, ring_teardown);
	tcase_add_test(tc, lost_avail_ring_gives_no_old_chain);
	tcase_add_test(tc, lost_descriptors_make_no_chain);
	tcase_add_test(tc, lost_used_ring_has_no_index);
	tcase_add_test(tc, lost_table_is_not_read);
	tcase_add_loop_test(tc, lost_header_is_no_request, 0, 2);
	return suite_run(suite);
}
