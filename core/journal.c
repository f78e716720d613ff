/* SPDX-License-Identifier: Apache-2.0 */
#include "core/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/log.h"
#include "core/store_internal.h"
#include "lib/file.h"

enum { JOURNAL_LIMIT = 64 << 20 };

struct ha_journal {
    int fd;
    char path[PATH_MAX], directory[PATH_MAX];
    unsigned syncs;
};

bool ha_operation_name_is_fit(const char *name)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return length > 0 && length < sizeof((struct ha_operation *)NULL)->id && name[length] == '\0' && name[0] != '.';
}

static int journal_path(struct ha_store *store, const char *operation, char out[PATH_MAX], struct ha_error *error)
{
    char name[96];
    if (!ha_operation_name_is_fit(operation))
        return ha_fail(error, HA_EXIT_USAGE, "there is no operation \"%s\"", operation);
    snprintf(name, sizeof name, "operations/%s.ndjson", operation);
    return ha_store_path(store, name, out, error);
}

/* Length of the whole lines; what follows was torn by a crash. */
static size_t whole_lines(const char *content, size_t size)
{
    while (size > 0 && content[size - 1] != '\n')
        size--;
    return size;
}

static int cut_torn_line(struct ha_journal *journal, struct ha_error *error)
{
    char *content = NULL;
    size_t size = 0;
    int rc = ha_file_read(journal->path, JOURNAL_LIMIT, &content, &size);
    if (rc < 0)
        return ha_fail_errno(error, HA_EXIT_FAILED, -rc, "%s", journal->path);
    size_t whole = whole_lines(content, size);
    free(content);
    if (whole < size && ftruncate(journal->fd, (off_t)whole))
        return ha_fail_errno(error, HA_EXIT_FAILED, errno, "%s", journal->path);
    return 0;
}

int ha_journal_open(struct ha_store *store, const char *operation, struct ha_journal **out, struct ha_error *error)
{
    struct ha_journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    journal->fd = -1;
    if (ha_store_path(store, "operations", journal->directory, error) ||
        journal_path(store, operation, journal->path, error))
        goto fail;
    int rc = ha_directory_make(journal->directory, 0700);
    if (rc < 0) {
        ha_store_fail(error, -rc, journal->directory);
        goto fail;
    }
    struct stat there;
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (journal->fd < 0) {
        ha_store_fail(error, errno, journal->path);
        goto fail;
    }
    /* An empty one may be new, or left by a crash before its directory was synced. */
    bool is_empty = fstat(journal->fd, &there) == 0 && there.st_size == 0;
    if (is_empty && (rc = ha_directory_sync(journal->directory)) < 0) {
        ha_store_fail(error, -rc, journal->directory);
        goto fail;
    }
    if (cut_torn_line(journal, error))
        goto fail;
    *out = journal;
    return 0;
fail:
    ha_journal_close(journal);
    return -1;
}

void ha_journal_close(struct ha_journal *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal);
}

void ha_journal_discard(struct ha_journal *journal)
{
    if (journal)
        unlink(journal->path);
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        text += written;
        size -= (size_t)written;
    }
    return 0;
}

static int cannot_write(const struct ha_journal *journal, int code, struct ha_error *error)
{
    ha_fail_errno(error, HA_EXIT_FAILED, code, "%s", journal->path);
    ha_store_advise_room(error, code, journal->directory);
    ha_advise(error, "nothing was started that is not in the journal; see what is wrong with that file");
    return -1;
}

/* What was written of a line is taken back, so that the next is not glued to it; a
 * journal in which there is nothing yet is none. */
static void take_back(const struct ha_journal *journal, off_t whole)
{
    if (whole == 0)
        unlink(journal->path);
    else if (whole > 0 && ftruncate(journal->fd, whole))
        return; /* whoever opens it next cuts the torn line */
}

int ha_journal_append(struct ha_journal *journal, json_t *record, bool sync, struct ha_error *error)
{
    if (record && !json_object_get(record, "at"))
        json_object_set_new(record, "at", json_integer((json_int_t)time(NULL)));
    char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    if (!text)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    size_t size = strlen(text);
    text[size] = '\n'; /* in place of the NUL: one write, so that a line is torn only by a crash */
    off_t whole = lseek(journal->fd, 0, SEEK_END);
    int code = write_all(journal->fd, text, size + 1) ? errno : 0;
    free(text);
    if (code) {
        take_back(journal, whole);
        return cannot_write(journal, code, error);
    }
    if (sync && ha_journal_sync(journal, error))
        return -1;
    ha_fault_point("journal");
    return 0;
}

int ha_journal_sync(struct ha_journal *journal, struct ha_error *error)
{
    journal->syncs++;
    return fdatasync(journal->fd) ? cannot_write(journal, errno, error) : 0;
}

unsigned ha_journal_syncs(const struct ha_journal *journal)
{
    return journal ? journal->syncs : 0;
}

/* `damaged`: how many whole lines are no records, and are left out. */
static int read_records(struct ha_store *store, const char *operation, json_t **out, int *damaged,
                        struct ha_error *error)
{
    char path[PATH_MAX], *content = NULL;
    size_t size = 0;
    if (journal_path(store, operation, path, error))
        return -1;
    int rc = ha_file_read(path, JOURNAL_LIMIT, &content, &size);
    if (rc == -ENOENT)
        return ha_fail(error, HA_EXIT_USAGE, "there is no operation %s", operation);
    if (rc < 0)
        return ha_fail_errno(error, HA_EXIT_FAILED, -rc, "%s", path);
    json_t *records = json_array();
    size_t whole = whole_lines(content, size);
    *damaged = 0;
    for (char *line = content, *end; line < content + whole; line = end + 1) {
        end = memchr(line, '\n', (size_t)(content + whole - line));
        json_t *record = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (record)
            json_array_append_new(records, record);
        else
            ++*damaged;
    }
    free(content);
    *out = records;
    return 0;
}

void ha_journal_warn(const char *operation, int damaged)
{
    if (damaged > 0)
        ha_log(HACTL_LOG_WARNING, "operation %s: %d line%s of its journal %s damaged and left out", operation, damaged,
               damaged == 1 ? "" : "s", damaged == 1 ? "is" : "are");
}

int ha_journal_read(struct ha_store *store, const char *operation, json_t **out, struct ha_error *error)
{
    int damaged = 0;
    int rc = read_records(store, operation, out, &damaged, error);
    ha_journal_warn(operation, damaged);
    return rc;
}

static enum ha_way_back way_back(const json_t *begin)
{
    const char *request = json_string_value(json_object_get(begin, "request"));
    bool known = json_array_size(json_object_get(json_object_get(begin, "previous"), "replicas")) > 0;
    bool is_down = request && strcmp(request, "down") == 0;

    if (known)
        return is_down ? HA_BACK_BY_ABORT_PERHAPS : HA_BACK_BY_ABORT;
    return is_down || json_is_true(json_object_get(begin, "found")) ? HA_BACK_BY_NOTHING : HA_BACK_BY_DOWN;
}

static void take_begin(const json_t *record, struct ha_operation *out)
{
    const char *request = "";
    json_int_t generation = 0, at = 0;
    json_unpack((json_t *)record, "{s?s s?I s?I}", "request", &request, "generation", &generation, "at", &at);
    snprintf(out->request, sizeof out->request, "%s", request);
    out->generation = (uint64_t)generation;
    out->begun_s = (time_t)at;
    out->way_back = way_back(record);
}

/* The report counts the steps that only wait as well; of a run that was killed
 * there is none, and the results of what it changed are counted. */
static void take_end(const json_t *record, struct ha_operation *out, int *results)
{
    const json_t *steps = json_object_get(json_object_get(record, "report"), "steps");
    const char *text = "";
    json_int_t at = 0;
    out->steps_done += steps ? (int)json_integer_value(steps) : *results;
    *results = 0;
    out->taken_over = json_is_true(json_object_get(record, "taken_over"));
    json_unpack((json_t *)record, "{s?i s?s s?I}", "status", &out->status, "text", &text, "at", &at);
    snprintf(out->text, sizeof out->text, "%s", text);
    out->ended_s = (time_t)at;
}

int ha_operation_read(struct ha_store *store, const char *id, struct ha_operation *out, struct ha_error *error)
{
    json_t *records = NULL, *record;
    size_t index;
    int results = 0; /* since the last count of a run that came to an end */
    memset(out, 0, sizeof *out);
    if (read_records(store, id, &records, &out->damaged_lines, error))
        return -1;
    /* Left by one that was killed, or found no room, before it had begun. */
    if (json_array_size(records) == 0) {
        json_decref(records);
        return ha_fail(error, HA_EXIT_USAGE, "there is no operation %s", id);
    }
    snprintf(out->id, sizeof out->id, "%s", id);
    json_array_foreach(records, index, record)
    {
        const char *type = json_string_value(json_object_get(record, "type"));
        if (!type)
            continue;
        if (strcmp(type, "begin") == 0)
            take_begin(record, out);
        else if (strcmp(type, "resume") == 0)
            out->ended_s = 0;
        else if (strcmp(type, "end") == 0)
            take_end(record, out, &results);
        else if (strcmp(type, "stop") == 0) {
            take_end(record, out, &results); /* how far it got; it is not over */
            out->ended_s = 0;
        } else if (strcmp(type, "result") == 0)
            results++;
    }
    out->steps_done += results;
    json_decref(records);
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct ha_operation *x = a, *y = b;
    if (x->begun_s != y->begun_s)
        return x->begun_s < y->begun_s ? 1 : -1;
    return strcmp(y->id, x->id);
}

int ha_operations_list(struct ha_store *store, struct ha_operation **out, size_t *count, struct ha_error *error)
{
    char path[PATH_MAX];
    *out = NULL;
    *count = 0;
    if (ha_store_path(store, "operations", path, error))
        return -1;
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 0 : ha_fail_errno(error, HA_EXIT_FAILED, errno, "%s", path);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char id[64];
        char *dot = strstr(entry->d_name, ".ndjson");
        if (!dot || dot - entry->d_name >= (ptrdiff_t)sizeof id)
            continue;
        snprintf(id, sizeof id, "%.*s", (int)(dot - entry->d_name), entry->d_name);
        struct ha_operation *grown = realloc(*out, (*count + 1) * sizeof **out);
        if (!grown)
            break;
        struct ha_error why = {0};
        *out = grown;
        if (ha_operation_read(store, id, &grown[*count], &why) == 0)
            ++*count;
        else if (why.status != HA_EXIT_USAGE) /* nothing is in it */
            ha_log(HACTL_LOG_WARNING, "operation %s is not listed: %s", id, why.what);
    }
    closedir(directory);
    if (*count)
        qsort(*out, *count, sizeof **out, newest_first);
    return 0;
}
