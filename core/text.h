/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that come from elsewhere: plugins, remotes, processes. */
#ifndef HACTL_CORE_TEXT_H
#define HACTL_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

bool ha_text_is_utf8(const char *text);
/* UTF-8 without control characters: what a name may be made of. */
bool ha_text_is_plain(const char *text);
/* Makes a line for people of it, in place: control characters become spaces,
 * bytes that are no UTF-8 become question marks. */
void ha_text_repair(char *text);
/* The same, but line ends stay. */
void ha_text_repair_lines(char *text);
/* A copy that fits into `out`, cut in front of the character that would be
 * split; NULL counts as "". */
void ha_text_copy(char *out, size_t size, const char *text);

#endif
