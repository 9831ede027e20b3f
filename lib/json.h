/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <stdio.h>

/** json_string() - write @text, which must be UTF-8, as a JSON string with its quotes */
void json_string(const char *text, FILE *to);

#endif
