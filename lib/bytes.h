/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of bytes, for people. */
#ifndef LIB_BYTES_H
#define LIB_BYTES_H

#include <stdint.h>

#define BYTES_TEXT_MAX 24

/**
 * bytes_print() - a number of bytes with a unit of 1024: 512, 64M, 1.5G
 *
 * With a digit behind the point, rounded down, where it is no multiple of the unit. Return: @text
 */
const char *bytes_print(uint64_t bytes, char text[BYTES_TEXT_MAX]);

#endif
