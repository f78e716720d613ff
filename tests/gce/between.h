/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between hactl and the emulator of Compute Engine, so it knows each call, and kills hactl there. Also the
 * emulator's controls. A failure of these themselves ends the test: "Bail out!".
 */
#ifndef HACTL_TESTS_BETWEEN_H
#define HACTL_TESTS_BETWEEN_H

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/gce_stub.h"

enum strike { BEFORE, AFTER, WAIT, ZONE };

/* Where a run is struck. */
struct point {
    int call; /* the changing call, from 1; 0: nowhere */
    enum strike how;
    int reads;        /* WAIT: the process dies at this one, from 1, of the calls after it that change nothing */
    bool reading;     /* BEFORE and AFTER: `call` counts those that change nothing instead: reads, lists, tokens */
    const char *zone; /* ZONE: the one that dies ... */
    int patience_ms;  /* ... and how long after that at most the process is left to it */
};

struct reply {
    char *text;
    size_t size;
    long status;
};

struct reply reply_new(void);
/* One of the emulator's controls. Takes `body`. */
bool control(CURL *curl, const char *method, const char *path, json_t *body, struct reply *reply);
void bail_out(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `first` is told before each call, `passed` of each that succeeded; either may be NULL. They get the connection to the
 * emulator that is theirs. */
typedef void between_first(CURL *curl, struct reply *reply);
typedef void between_passed(CURL *curl, struct reply *reply, const struct gce_stub_request *request);
void between_start(const char *emulator, between_first *first, between_passed *passed);
uint16_t between_port(void);

/* Runs a program, its output in the file `log`; its wait status. */
int between_run(char *const argv[], const char *log, struct point point);
/* Of the last run: how many changing calls it made, and how many others, whether and where it was struck. */
int between_calls(void);
int between_reads(void);
/* Of the last run: whether that one of the calls that change nothing, from 1, was the first of its kind since the
 * changing call before it, or the second look at what that began. */
bool between_is_news(int read);
bool between_has_struck(void);
const char *between_struck(void);
/* Of a run in which a zone died: it came to its end all the same, was asked to stop while it waited, or its output
 * names the zone or what is in it; never a defect. */
bool between_is_said_well(int status, const char *log, const char *zone);
bool between_set_zone(CURL *curl, struct reply *reply, const char *zone, bool down);

#endif
