/* SPDX-License-Identifier: Apache-2.0 */
/* How things are printed: tables, JSON documents, times, colours. Data goes
 * to standard output, talk to standard error. */
#ifndef HACTL_CORE_OUTPUT_H
#define HACTL_CORE_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "core/error.h"

enum ha_color { HA_COLOR_AUTO, HA_COLOR_ALWAYS, HA_COLOR_NEVER };

/* After setlocale(). `quiet`: no talk but errors. */
void ha_output_setup(enum ha_color color, bool quiet);
bool ha_output_colored(FILE *stream);
bool ha_output_quiet(void);
bool ha_output_utf8(void);
/* A terminal that can be drawn on. */
bool ha_output_live(FILE *stream);
/* Standard input and standard error are a terminal: somebody can be asked. */
/* Whoever read standard output has enough, such as head: no failure. */
bool ha_output_reader_left(void);
bool ha_output_interactive(void);

enum ha_shade { HA_SHADE_NONE, HA_SHADE_GOOD, HA_SHADE_WARNING, HA_SHADE_BAD, HA_SHADE_FAINT, HA_SHADE_STRONG };
/* The escape that begins a shade on `stream`, and the one that ends it; "" without colour. */
const char *ha_shade_on(FILE *stream, enum ha_shade shade);
const char *ha_shade_off(FILE *stream);

/* Says something to the user on standard error, unless -q. */
void ha_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- tables */

struct ha_table;

/* Headings end with NULL; '>' before one aligns its column to the right, '~' lets it wrap. */
struct ha_table *ha_table_new(const char *const *headings);
/* One cell a column; NULL is an empty one. */
void ha_table_add(struct ha_table *table, const char *const *cells);
/* Of a cell of the row added last. */
void ha_table_shade(struct ha_table *table, size_t column, enum ha_shade shade);
/* Prints without the columns that are empty in every row, then frees. */
void ha_table_print(struct ha_table *table, FILE *stream);

#define ha_row(table, ...) ha_table_add((table), (const char *const[]){__VA_ARGS__})

/* ---- JSON */

/* Prints and releases the document; NULL is a failure to build it. */
int ha_json_print(json_t *document, struct ha_error *error);
/* The text as valid UTF-8; "" and NULL become null. */
json_t *ha_json_text_or_null(const char *text);
json_t *ha_json_tristate(int tristate); /* true, false, null: not known */
json_t *ha_json_time(int64_t seconds);  /* ISO 8601; 0: null */
/* {"schema":"hactl.error/1",...} */
json_t *ha_json_error(const struct ha_error *error);

/* ---- times */

/* "2026-11-23T10:00:00Z"; "" for 0. */
const char *ha_time_iso(int64_t seconds, char *out, size_t size);
/* "0.21 s", "12.3 s", "4 min 02 s" */
const char *ha_ms_text(int64_t ms, char *out, size_t size);
/* "in 89 days", "3 hours ago" */
const char *ha_time_relative(int64_t seconds, char *out, size_t size);
/* "1 failure", "2 failures" */
const char *ha_plural(int count, const char *singular, char *out, size_t size);

#endif
