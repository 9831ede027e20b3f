# SPDX-License-Identifier: GPL-2.0-or-later
#
# make             build vduse-blk/vduse-blk
# make demo        the main job, shown: install what is missing, build, serve, mkfs, mount, detach
# make check       every test: the unit tier and fuzz-seeds here, the native tier with real clients of
#                  vhost-user, the VM tier on a real VDUSE kernel
# make unit        the unit tier alone        make vm      the VM tier alone (TESTS="sysfs readonly")
# make fuzz        libFuzzer, FUZZ_SECONDS=60 each, TARGETS="virtq config ..."
# make fuzz-seeds  the same, for a moment: the seeds, and a few thousand inputs made from them
# make mutants     FILES="lib/virtq.c ..." changed line by line: which changes does make unit miss?
# make native      vhost-user-blk against real clients, in the Debian root, without a VM
# make stress      the VM tier's loops at full length, and a run with the thread sanitizer: hours
# make bench       next to its peers, in the virtual machine: QUICK=1 MODE=cost|wall|both|native
# make lint        format, static analysis, architecture, manuals
# make install     PREFIX=/usr/local DESTDIR=
#
# O=DIR builds into DIR. SAN=address,undefined or SAN=thread builds with sanitizers. V=1 shows
# commands.

O       ?= .
PREFIX  ?= /usr/local
DESTDIR ?=
CFLAGS  ?= -O2 -g
VERSION := 0.1.0

PKG_CONFIG ?= pkg-config
PKGS       := liburing libnl-genl-3.0 libkmod
ifeq ($(shell $(PKG_CONFIG) --exists libsystemd && echo yes),yes)
PKGS       += libsystemd
HAVE       += -DHAVE_LIBSYSTEMD
endif

WARN         = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
ALL_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(HAVE) -Ilib -Ivduse-blk -I/usr/include/iniparser \
	       $(shell $(PKG_CONFIG) --cflags $(PKGS)) $(CPPFLAGS)
ALL_CFLAGS   = -std=gnu11 $(WARN) -pthread $(CFLAGS)
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
ifeq ($(SAN),thread)
# It does not know full_barrier(). What that orders are flags; data goes by acquire and release.
ALL_CFLAGS  += -Wno-tsan
endif
LDLIBS       = $(shell $(PKG_CONFIG) --libs $(PKGS)) -liniparser

Q   = $(if $(V),,@)
COMMA := ,
say = $(if $(V),,@echo "  $(1)	$(2)")

# The architecture is the folders; scripts/lint has the arrows between them.
LIB    := $(patsubst lib/%.c,%,$(sort $(wildcard lib/*.c)))
DAEMON := $(patsubst vduse-blk/%.c,%,$(sort $(wildcard vduse-blk/*.c vduse-blk/*/*.c)))
# Their fixtures take the place of the vdpa bus, and so are linked with these suites only.
SERVER_SUITES := server server_start server_takeover
DISK_SUITES := disk_start disk_detach disk_release disk_remove disk_watch
UNIT   := $(SERVER_SUITES) $(DISK_SUITES) task list iov pages umem iotlb iotlb_many inflight node_users \
	  vduse_dev vduse_dev_messages vduse_dev_manage vduse_dev_memory \
	  virtio_blk virtio_blk_io virtio_blk_ranges \
	  config config_lines config_files config_dump \
	  file_store file_store_change file_store_many file_store_iopoll \
	  file_store_staging store_type fault_store store_pool store_threads store_holder store_health \
	  host_file store_cache store_lock store_rivals store_block \
	  virtq virtq_start virtq_hostile virtq_broken virtq_random virtq_recovery virtq_race memory_order \
	  ring worker request_path request_memory guest_memory queue queue_setup queue_cancel queue_flush queue_bounce device device_faults device_recovery \
	  control control_clients control_sockets takeover takeover_old takeover_new takeover_ask examine background ownership bounce backing_conflict adopt polling irq_cpu rescue show \
	  outbox logger store_users vdpa_bus vdpa_autoprobe mappings sigbus \
	  passed_fds vhost_user_socket vhost_user_memory vhost_user_listener vhost_user_session vhost_user_rings vhost_user_inflight vhost_user_migration vhost_user_handover vhost_user_store dirty_log virtq_dirty inflight_memory driver_map
FUZZ   := virtq blk_req config inflight control vhost_user
HOSTILE := vhost ring driver sketch cases_chain cases_request cases_ring cases_setup cases_reset \
	  cases_memory cases_race random resets main

# Clients of vhost-user sockets, and what they share.
NATIVE := front_ends hostile
NATIVE_OBJS := $(patsubst %,$(O)/tests/native/%.o,native session vmm load dirty_log) \
	       $(patsubst %,$(O)/tests/lib/%.o,vhost_user_client vhost_user_guest)
HOSTILE_FRONT_ENDS := $(patsubst %,$(O)/tests/native/hostile_%.o,messages memory rings sockets)
NATIVE_TOOLS := $(NATIVE:%=$(O)/tests/native/%)

LIB_OBJS    := $(LIB:%=$(O)/lib/%.o)
DAEMON_OBJS := $(DAEMON:%=$(O)/vduse-blk/%.o)
UNIT_TESTS  := $(UNIT:%=$(O)/tests/unit/test_%)
TARGETS     ?= $(FUZZ)
FUZZERS     := $(TARGETS:%=$(O)/tests/fuzz/fuzz_%)
FUZZ_OBJS   := $(patsubst %.c,$(O)/%.o,$(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c)))
HOSTILE_OBJS := $(HOSTILE:%=$(O)/tests/hostile/%.o)
# The time that tests move: tests/lib/test_clock.h.
UNIT_WRAP   := $(patsubst %,-Wl$(COMMA)--wrap=%,clock_gettime usleep nanosleep ring_timer_start) \
	       -Wl,-u,__wrap_clock_gettime
# tests/mutants makes it a shared one: a mutant is then linked once for all tests.
UNIT_LIB    ?= $(O)/tests/unit.a
# Fixtures that replace parts of the daemon: only the suites that need one are linked with it.
REPLACING   := disk_fixture server_fixture
# The kernel's doors are not in it: the fake ones take their places.
UNIT_OBJS   := $(filter-out %/vduse_kern.o %/store_kern.o %/vdpa_nl.o %/sysfs.o %/main.o,\
	       $(LIB_OBJS) $(DAEMON_OBJS)) \
	       $(patsubst %.c,$(O)/%.o,$(filter-out $(REPLACING:%=tests/lib/%.c),$(wildcard tests/lib/*.c)))

all: $(O)/vduse-blk/vduse-blk

# Clients that the VM tier brings along.
tools: $(O)/tests/hostile/hostile

$(O)/vduse-blk/vduse-blk: $(DAEMON_OBJS) $(LIB_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/tests/hostile/hostile: $(HOSTILE_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

# Clients that the native tier brings along.
native-tools: $(NATIVE_TOOLS)
$(NATIVE_TOOLS): $(O)/tests/native/%: $(O)/tests/native/%.o $(NATIVE_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^
$(O)/tests/native/hostile: $(HOSTILE_FRONT_ENDS)
native-tools: $(O)/tests/native/blkio_verify
$(O)/tests/native/blkio_verify: $(O)/tests/native/blkio_verify.o $(O)/tests/native/native.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs blkio)

# For scripts/bench: a client that Debian lacks.
bench-tools: $(O)/tests/bench/blkio_load

# For scripts/profile: what runs in QEMU, and what tells it when.
profile-tools: $(O)/tests/bench/profile_plugin.so $(O)/tests/bench/mark
$(O)/tests/bench/profile_plugin.so: tests/bench/profile_plugin.c
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $<
$(O)/tests/bench/mark: $(O)/tests/bench/mark.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(O)/tests/bench/blkio_load: $(O)/tests/bench/blkio_load.o
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs blkio)

$(O)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/%.o: ALL_CPPFLAGS += -Itests/lib
$(O)/tests/unit.a: $(UNIT_OBJS)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(O)/tests/libunit.so: $(UNIT_OBJS)
	$(Q)$(CC) $(ALL_CFLAGS) $(UNIT_WRAP) $(LDFLAGS) -shared -o $@ $^ $(LDLIBS) $(shell $(PKG_CONFIG) --libs check)
$(DISK_SUITES:%=$(O)/tests/unit/test_%): $(O)/tests/lib/disk_fixture.o
$(SERVER_SUITES:%=$(O)/tests/unit/test_%): $(O)/tests/lib/server_fixture.o
$(O)/tests/unit/test_%: $(O)/tests/unit/test_%.o $(UNIT_LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(UNIT_WRAP) $(LDFLAGS) -o $@ $(filter %.o,$^) $(UNIT_LIB) $(LDLIBS) \
		$(shell $(PKG_CONFIG) --libs check)
$(O)/tests/fuzz/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(FUZZ_OBJS) $(O)/tests/unit.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LDLIBS)
.SECONDARY:

-include $(patsubst %.c,$(O)/%.d,$(wildcard lib/*.c vduse-blk/*.c vduse-blk/*/*.c tests/*/*.c))

deps:
	$(Q)scripts/deps host

unit: $(UNIT_TESTS) $(O)/vduse-blk/vduse-blk
	$(Q)SAN=$(SAN) VDUSE_BLK=$(O)/vduse-blk/vduse-blk \
		tests/unit/run $(UNIT_TESTS) tests/unit/usage.sh
unit-build: $(UNIT_TESTS) $(O)/vduse-blk/vduse-blk
print-unit:
	@printf "%s\n" $(UNIT:%=test_%) usage.sh

# Does the unit tier notice small changes of FILES? See tests/mutants for JOBS, SAMPLE and others.
FILES ?= $(LIB:%=lib/%.c) $(DAEMON:%=vduse-blk/%.c)
mutants:
	$(Q)scripts/deps host
	$(Q)tests/mutants $(FILES)

# libFuzzer is clang's, and wants every object built for it.
FUZZ_SECONDS ?= 60
FUZZ_MAKE     = $(MAKE) O=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined
fuzz:
	$(Q)scripts/deps host fuzz
	$(Q)$(FUZZ_MAKE) fuzzers
	$(Q)tests/fuzz/run -max_total_time=$(FUZZ_SECONDS) $(TARGETS)
fuzz-seeds:
	$(Q)scripts/deps host fuzz
	$(Q)$(FUZZ_MAKE) fuzzers
	$(Q)tests/fuzz/run -runs=3000 -seed=1 $(TARGETS)
fuzzers: $(FUZZERS)

# Each test with one of two builds of the daemon; EVERY_BUILD=1: with both. KERNEL=next: the kernel of
# Debian forky. VMS: how many machines at a time.
VMS ?= 2
vm:
	$(Q)tests/vm/run --list $(TESTS) >/dev/null
	$(Q)scripts/deps vm
	$(Q)scripts/vm setup
	$(Q)scripts/vm chroot make -j2 O=build/vm all tools
	$(Q)scripts/vm chroot make -j2 O=build/vm-asan SAN=address,undefined all tools
	$(Q)tests/vm/machines $(VMS) "build/vm build/vm-asan" $(TESTS)

# NATIVE_JOBS=2: two tests at a time. A CPU of an emulated guest was seen to stall then.
# Those of BACKEND's: vduse-blk; qemu-storage-daemon shows that a test itself is right.
NATIVE_JOBS ?= 1
native:
	$(Q)tests/native/run --list $(TESTS) >/dev/null
	$(Q)scripts/deps vm
	$(Q)scripts/vm setup
	$(Q)scripts/vm chroot make -j2 O=build/vm all native-tools
	$(Q)scripts/vm chroot make -j2 O=build/vm-asan SAN=address,undefined all native-tools
	$(Q)scripts/vm chroot tests/native/run --jobs $(NATIVE_JOBS) --builds "build/vm build/vm-asan" $(TESTS)

stress:
	$(Q)scripts/deps vm
	$(Q)scripts/vm setup
	$(Q)scripts/vm chroot make -j2 O=build/vm all tools
	$(Q)scripts/vm chroot make -j2 O=build/vm-asan SAN=address,undefined all tools
	$(Q)scripts/vm chroot make -j2 O=build/vm-tsan SAN=thread all
	$(Q)scripts/vm chroot make -j2 O=build/vm-tsan tools # one that races on purpose
	$(Q)tests/stress $(BOOTS)

# The root of the virtual machine is made while the tests run that do not need it. make unit is the unit tier
# without a sanitizer.
check:
	$(Q)scripts/deps host fuzz vm
	$(Q)$(MAKE) -j$$(($$(nproc) + 1)) vm-root tiers-here
	$(Q)$(MAKE) native
	$(Q)$(MAKE) vm
vm-root:
	$(Q)scripts/vm setup
tiers-here:
	$(Q)$(MAKE) O=build/unit-asan SAN=address,undefined unit
	$(Q)$(MAKE) O=build/unit-tsan SAN=thread unit
	$(Q)$(MAKE) fuzz-seeds

demo: deps
	$(Q)scripts/demo

bench:
	$(Q)scripts/bench

lint:
	$(Q)scripts/deps host lint
	$(Q)scripts/lint

format:
	$(Q)clang-format -i $$(git ls-files '*.[ch]')

install: all
	install -D -m 755 $(O)/vduse-blk/vduse-blk $(DESTDIR)$(PREFIX)/sbin/vduse-blk
	install -D -m 644 vduse-blk/vduse-blk.7 $(DESTDIR)$(PREFIX)/share/man/man7/vduse-blk.7
	install -D -m 644 vduse-blk/vduse-blk.8 $(DESTDIR)$(PREFIX)/share/man/man8/vduse-blk.8
	install -D -m 644 vduse-blk/vduse-blk.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/vduse-blk.conf.5
	install -D -m 644 conf/vduse-blk.conf $(DESTDIR)$(PREFIX)/share/doc/vduse-blk/vduse-blk.conf
	install -D -m 644 conf/libvirt-guest.xml $(DESTDIR)$(PREFIX)/share/doc/vduse-blk/libvirt-guest.xml
	install -d -m 755 $(DESTDIR)$(PREFIX)/share/qemu/vhost-user
	sed 's|@PREFIX@|$(PREFIX)|g' conf/50-vduse-blk.json >$(DESTDIR)$(PREFIX)/share/qemu/vhost-user/50-vduse-blk.json
	chmod 644 $(DESTDIR)$(PREFIX)/share/qemu/vhost-user/50-vduse-blk.json
	install -d -m 755 $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|g' conf/vduse-blk.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/vduse-blk.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/vduse-blk.service

clean:
	$(Q)rm -rf build vduse-blk/vduse-blk tests/hostile/hostile tests/bench/blkio_load $(NATIVE:%=tests/native/%) tests/native/blkio_verify tests/unit.a $(UNIT:%=tests/unit/test_%)
	$(Q)find lib vduse-blk tests -name '*.[od]' -delete

.PHONY: all tools bench bench-tools deps unit unit-build print-unit mutants fuzz fuzz-seeds fuzzers vm native native-tools stress \
	vm-root tiers-here check demo lint format install clean
