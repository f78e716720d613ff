/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as remote APIs write it: 64-bit integers as decimal strings, zero
 * values left out, bytes in base64. A member that is missing, null or of
 * another type reads as zero, false or NULL.
 */
#ifndef HACTL_LIB_JSON_H
#define HACTL_LIB_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* NULL with one line in `error`. Duplicate names are refused. */
json_t *ha_json_parse(const char *text, size_t size, char *error, size_t error_size);
/* Compact, in the order given; caller frees. NULL: no memory. */
char *ha_json_text(const json_t *value);

/* A decimal string or a JSON number. */
uint64_t ha_json_u64(const json_t *object, const char *name);
int64_t ha_json_i64(const json_t *object, const char *name);
bool ha_json_bool(const json_t *object, const char *name);
const char *ha_json_string(const json_t *object, const char *name); /* borrowed; "" is NULL too */
/* As a decimal string. 0, or -1 without memory. */
int ha_json_set_u64(json_t *object, const char *name, uint64_t value);

/* Standard alphabet, padded, no line breaks; caller frees. */
char *ha_base64_encode(const void *bytes, size_t size);
/* Into `out`, which must hold size / 4 * 3 bytes. The length, or -1: not base64. */
ssize_t ha_base64_decode(const char *text, size_t size, unsigned char *out);

#endif
