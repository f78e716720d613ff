/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of one operation: NDJSON, one record a line, appended and
 * fsynced before what it announces is done. A torn last line (a crash while
 * writing) is ignored and cut off by the next append.
 *
 *   {"type":"begin","schema":1,"operation":ID,"request":"replica add --zone b","generation":7,"previous":{desired},...}
 *   {"type":"intent","seq":3,"step":"member-add","subject":"demo-4 in etcd","intent":UUID}
 *   {"type":"token","seq":3,"instance":"cloud","token":"operation-17"}
 *   {"type":"result","seq":3,"code":"ok","ms":12}   "open":true: what came of it is not known
 *   {"type":"end","status":0,"text":"...","report":{...}}
 *
 * and in each of them "at", seconds since 1970.
 */
#ifndef HACTL_CORE_JOURNAL_H
#define HACTL_CORE_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "core/error.h"
#include "core/store.h"

struct ha_journal;

int ha_journal_open(struct ha_store *store, const char *operation, struct ha_journal **out, struct ha_error *error);
/* Takes over `record`. `sync`: durable, with all before it, when this returns. */
int ha_journal_append(struct ha_journal *journal, json_t *record, bool sync, struct ha_error *error);
int ha_journal_sync(struct ha_journal *journal, struct ha_error *error);
unsigned ha_journal_syncs(const struct ha_journal *journal);
void ha_journal_close(struct ha_journal *journal);
/* Of an operation that was not begun after all: its file is removed. */
void ha_journal_discard(struct ha_journal *journal);

/* Every whole record of an operation, as an array; caller decrefs. Lines that are no
 * records are left out with a warning: what the world is like is looked at anyway. */
int ha_journal_read(struct ha_store *store, const char *operation, json_t **out, struct ha_error *error);

/* What leads back from an unfinished operation. */
enum ha_way_back {
    HA_BACK_BY_ABORT,
    HA_BACK_BY_ABORT_PERHAPS, /* a `down`: as long as it has not deleted too much */
    HA_BACK_BY_DOWN,          /* nothing was there before it */
    HA_BACK_BY_NOTHING,       /* what was there before it is not in the store, and `down` would take it away, too */
};

struct ha_operation {
    char id[64], request[256];
    uint64_t generation;
    time_t begun_s, ended_s; /* ended 0: unfinished */
    int status;              /* of the last end record */
    char text[512];
    int steps_done;
    bool taken_over; /* its end is that of another */
    enum ha_way_back way_back;
    int damaged_lines; /* that are left out */
};

/* The name of a file: letters, digits, dots, underscores, hyphens, no dot first. */
bool ha_operation_name_is_fit(const char *name);

/* Newest first; caller frees. */
int ha_operations_list(struct ha_store *store, struct ha_operation **out, size_t *count, struct ha_error *error);
/* Says that lines were left out, if there are any. */
void ha_journal_warn(const char *operation, int damaged);
/* A file without a whole record is no operation. Does not warn. */
int ha_operation_read(struct ha_store *store, const char *id, struct ha_operation *out, struct ha_error *error);

#endif
