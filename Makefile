# SPDX-License-Identifier: GPL-2.0-or-later
#
# make                 build vduse-blk/vduse-blk
# make demo            the main job, shown: install what is missing, build, serve, mkfs, mount, detach
# make check           every test: the unit tier here, the VM tier on a real VDUSE kernel
# make install         PREFIX=/usr/local, DESTDIR=
#
# O=DIR builds into DIR; SAN=address,undefined (or thread) builds with sanitizers; V=1 shows commands.

O       ?= .
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
CFLAGS  ?= -O2 -g
VERSION := 0.1.0

PKG_CONFIG ?= pkg-config
PKGS        = liburing libnl-genl-3.0 libkmod
ifeq ($(shell $(PKG_CONFIG) --exists libsystemd && echo yes),yes)
PKGS       += libsystemd
HAVE       += -DHAVE_LIBSYSTEMD
endif

WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
ALL_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(HAVE) -Ilib -I/usr/include/iniparser \
	       $(shell $(PKG_CONFIG) --cflags $(PKGS)) $(CPPFLAGS)
ALL_CFLAGS   = -std=gnu11 $(WARN) -pthread $(CFLAGS)
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
LDLIBS       = $(shell $(PKG_CONFIG) --libs $(PKGS)) -liniparser

Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(2)")

# The lists are the architecture: vduse-blk/ uses lib/, lib/ uses nothing of ours.
LIB    = log iov vduse_kern iotlb virtq vduse_dev vdpa_nl vdpa_bus modules
DAEMON = config config_keys config_value config_scan config_dump virtio_blk ring worker queue \
	 store backend_file device attach holders server main
UNIT   = iotlb virtq vduse_dev config virtio_blk holders backend_file

LIB_OBJS    = $(LIB:%=$(O)/lib/%.o)
DAEMON_OBJS = $(DAEMON:%=$(O)/vduse-blk/%.o)
UNIT_TESTS  = $(UNIT:%=$(O)/tests/unit/test_%)

all: $(O)/vduse-blk/vduse-blk

$(O)/vduse-blk/vduse-blk: $(DAEMON_OBJS) $(LIB_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(LIB_OBJS:.o=.d) $(DAEMON_OBJS:.o=.d)

clean:
	$(Q)rm -rf build vduse-blk/vduse-blk
	$(Q)find lib vduse-blk tests -name '*.[od]' -delete

.PHONY: all clean
