/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this process has open: equal before and after, or something leaks. */
#ifndef TESTS_FDS_H
#define TESTS_FDS_H

unsigned int fds_open(void);

#endif
