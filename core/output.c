/* SPDX-License-Identifier: Apache-2.0 */
#include "core/output.h"

#include <hactl/plugin.h>
#include <langinfo.h>
#include <libsmartcols.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    enum ha_color color;
    bool quiet, utf8;
} setup;

void ha_output_setup(enum ha_color color, bool quiet)
{
    setup.color = color;
    setup.quiet = quiet;
    setup.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool is_dumb(void)
{
    const char *term = getenv("TERM");

    return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0';
}

bool ha_output_colored(FILE *stream)
{
    if (setup.color != HA_COLOR_AUTO)
        return setup.color == HA_COLOR_ALWAYS;
    if (is_set("NO_COLOR"))
        return false;
    if (is_set("CLICOLOR_FORCE") && strcmp(getenv("CLICOLOR_FORCE"), "0") != 0)
        return true;
    return isatty(fileno(stream)) && !is_dumb();
}

bool ha_output_quiet(void)
{
    return setup.quiet;
}

bool ha_output_utf8(void)
{
    return setup.utf8;
}

bool ha_output_live(FILE *stream)
{
    return isatty(fileno(stream)) && !is_dumb();
}

bool ha_output_interactive(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool ha_output_reader_left(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

const char *ha_shade_on(FILE *stream, enum ha_shade shade)
{
    static const char *const escapes[] = {
        [HA_SHADE_NONE] = "",        [HA_SHADE_GOOD] = "\033[32m", [HA_SHADE_WARNING] = "\033[33m",
        [HA_SHADE_BAD] = "\033[31m", [HA_SHADE_FAINT] = "\033[2m", [HA_SHADE_STRONG] = "\033[1m",
    };

    return ha_output_colored(stream) ? escapes[shade] : "";
}

const char *ha_shade_off(FILE *stream)
{
    return ha_output_colored(stream) ? "\033[0m" : "";
}

void ha_say(const char *format, ...)
{
    va_list arguments;

    if (setup.quiet)
        return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- tables */

struct ha_table {
    struct libscols_table *table;
    struct libscols_line *last;
    size_t columns, wrapped; /* wrapped: which column may be broken into lines; columns: none */
    uint32_t filled;         /* bit: a column that has something in some row */
};

enum { GAP = 2, NARROWEST = 20 }; /* columns of the terminal */

struct ha_table *ha_table_new(const char *const *headings)
{
    struct ha_table *table = calloc(1, sizeof *table);

    if (table == NULL || (table->table = scols_new_table()) == NULL) {
        free(table);
        return NULL;
    }
    scols_table_set_column_separator(table->table, "  ");
    while (headings[table->columns] != NULL)
        table->columns++;
    table->wrapped = table->columns;
    for (size_t i = 0; i < table->columns; i++) {
        const char *heading = headings[i];
        bool right = heading[0] == '>', wraps = heading[0] == '~';

        scols_table_new_column(table->table, heading + (right || wraps), 0, right ? SCOLS_FL_RIGHT : 0);
        if (wraps)
            table->wrapped = i;
    }
    return table;
}

void ha_table_add(struct ha_table *table, const char *const *cells)
{
    if (table == NULL || (table->last = scols_table_new_line(table->table, NULL)) == NULL)
        return;
    for (size_t i = 0; i < table->columns; i++) {
        scols_line_set_data(table->last, i, cells[i] == NULL ? "" : cells[i]);
        if (cells[i] != NULL && cells[i][0] != '\0')
            table->filled |= UINT32_C(1) << i;
    }
}

void ha_table_shade(struct ha_table *table, size_t column, enum ha_shade shade)
{
    static const char *const names[] = {
        [HA_SHADE_NONE] = NULL, [HA_SHADE_GOOD] = "green",     [HA_SHADE_WARNING] = "brown",
        [HA_SHADE_BAD] = "red", [HA_SHADE_FAINT] = "darkgray", [HA_SHADE_STRONG] = "bold",
    };
    struct libscols_cell *cell;

    if (table == NULL || table->last == NULL || names[shade] == NULL)
        return;
    cell = scols_line_get_cell(table->last, column);
    if (cell != NULL)
        scols_cell_set_color(cell, names[shade]);
}

static bool is_hidden(const struct ha_table *table, size_t column)
{
    return (table->filled >> column & 1) == 0;
}

static size_t widest(const struct ha_table *table, size_t column)
{
    struct libscols_column *of = scols_table_get_column(table->table, column);
    size_t width = strlen(scols_cell_get_data(scols_column_get_header(of)));

    for (size_t i = 0; i < scols_table_get_nlines(table->table); i++) {
        const char *data = scols_cell_get_data(scols_line_get_cell(scols_table_get_line(table->table, i), column));

        if (data != NULL && strlen(data) > width)
            width = strlen(data);
    }
    return width;
}

/* Between words: where a line would be longer than `width`, a space becomes a line's end. */
static void break_lines(char *text, size_t width)
{
    char *line = text, *space = NULL;

    for (char *c = text; *c != '\0'; c++) {
        if (*c == ' ')
            space = c;
        if ((size_t)(c - line) >= width && space != NULL && space > line) {
            *space = '\n';
            line = space + 1;
            space = NULL;
        }
    }
}

/* smartcols breaks lines within words; so they are broken here, to the width that the other columns leave. */
static void wrap(struct ha_table *table)
{
    size_t others = 0, width, room = scols_table_get_termwidth(table->table);
    struct libscols_column *column;

    for (size_t i = 0; i < table->columns; i++)
        if (i != table->wrapped && !is_hidden(table, i))
            others += widest(table, i) + GAP;
    width = room > others + NARROWEST ? room - others : NARROWEST;
    for (size_t i = 0; i < scols_table_get_nlines(table->table); i++) {
        struct libscols_cell *cell = scols_line_get_cell(scols_table_get_line(table->table, i), table->wrapped);
        char *text = strdup(scols_cell_get_data(cell) == NULL ? "" : scols_cell_get_data(cell));

        if (text == NULL)
            return;
        break_lines(text, width);
        scols_cell_refer_data(cell, text); /* the cell frees it */
    }
    column = scols_table_get_column(table->table, table->wrapped);
    scols_column_set_flags(column, SCOLS_FL_WRAP);
    scols_column_set_safechars(column, "\n");
    scols_column_set_wrapfunc(column, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
}

void ha_table_print(struct ha_table *table, FILE *stream)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->columns; i++)
        if (is_hidden(table, i))
            scols_column_set_flags(scols_table_get_column(table->table, i), SCOLS_FL_HIDDEN);
    scols_table_set_stream(table->table, stream);
    scols_table_enable_colors(table->table, ha_output_colored(stream));
    /* A pipe gets whole lines, whatever the terminal's width. */
    if (!isatty(fileno(stream)))
        scols_table_set_termforce(table->table, SCOLS_TERMFORCE_NEVER);
    else if (table->wrapped < table->columns && !is_hidden(table, table->wrapped))
        wrap(table);
    scols_print_table(table->table);
    scols_unref_table(table->table);
    free(table);
}

/* ---- JSON */

int ha_json_print(json_t *document, struct ha_error *error)
{
    int result;

    if (document == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "cannot build the JSON document");
    result = json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(document);
    if (result != 0 && ha_output_reader_left())
        return 0;
    if (result != 0)
        return ha_fail(error, HA_EXIT_FAILED, "cannot write to standard output");
    putchar('\n');
    return 0;
}

json_t *ha_json_text_or_null(const char *text)
{
    json_t *value;
    char *plain;

    if (text == NULL || text[0] == '\0')
        return json_null();
    value = json_string(text);
    if (value != NULL || (plain = strdup(text)) == NULL)
        return value;
    /* A remote's own words need not be UTF-8. */
    for (char *c = plain; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = json_string(plain);
    free(plain);
    return value;
}

json_t *ha_json_tristate(int tristate)
{
    return tristate == HACTL_YES ? json_true() : tristate == HACTL_NO ? json_false() : json_null();
}

json_t *ha_json_time(int64_t seconds)
{
    char text[32];

    return ha_json_text_or_null(ha_time_iso(seconds, text, sizeof text));
}

static const char *exit_name(enum ha_exit status)
{
    static const char *const names[] = {
        [HA_EXIT_DONE] = "done",           [HA_EXIT_FAILED] = "failed",   [HA_EXIT_CHANGES] = "changes",
        [HA_EXIT_USAGE] = "usage",         [HA_EXIT_DENIED] = "denied",   [HA_EXIT_REFUSED] = "refused",
        [HA_EXIT_LOCKED] = "locked",       [HA_EXIT_TIMEOUT] = "timeout", [HA_EXIT_INTERRUPTED] = "interrupted",
        [HA_EXIT_UNHEALTHY] = "unhealthy", [HA_EXIT_WARNING] = "warning", [HA_EXIT_PLUGIN] = "plugin",
        [HA_EXIT_DECISION] = "decision",
    };

    return (size_t)status < sizeof names / sizeof *names ? names[status] : "internal";
}

json_t *ha_json_error(const struct ha_error *error)
{
    return json_pack("{s:s, s:i, s:s, s:o, s:o, s:o}", "schema", "hactl.error/1", "status", (int)error->status, "name",
                     exit_name(error->status), "what", ha_json_text_or_null(error->what), "next",
                     ha_json_text_or_null(error->next), "log", ha_json_text_or_null(error->log));
}

/* ---- times */

const char *ha_time_iso(int64_t seconds, char *out, size_t size)
{
    time_t when = (time_t)seconds;
    struct tm broken;

    out[0] = '\0';
    if (seconds != 0 && gmtime_r(&when, &broken) != NULL)
        strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &broken);
    return out;
}

const char *ha_ms_text(int64_t ms, char *out, size_t size)
{
    if (ms < 10000)
        snprintf(out, size, "%.2f s", (double)ms / 1000);
    else if (ms < 60000)
        snprintf(out, size, "%.1f s", (double)ms / 1000);
    else
        snprintf(out, size, "%lld min %02lld s", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
    return out;
}

const char *ha_plural(int count, const char *singular, char *out, size_t size)
{
    snprintf(out, size, "%d %s%s", count, singular, count == 1 ? "" : "s");
    return out;
}

const char *ha_time_relative(int64_t seconds, char *out, size_t size)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{2 * 86400, "day"}, {2 * 3600, "hour"}, {2 * 60, "minute"}, {0, "second"}};
    static const int64_t divisors[] = {86400, 3600, 60, 1};
    int64_t distance = seconds - (int64_t)time(NULL);
    int64_t length = distance < 0 ? -distance : distance;
    char amount[48];
    size_t i = 0;

    while (length < units[i].seconds)
        i++;
    ha_plural((int)(length / divisors[i]), units[i].name, amount, sizeof amount);
    snprintf(out, size, "%s%s%s", distance > 0 ? "in " : "", amount, distance > 0 ? "" : " ago");
    return out;
}
