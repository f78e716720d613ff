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

#define ZONE_THAT_DIES "us-central1-c"

enum strike { BEFORE, AFTER, WAIT, ZONE, STRIKES };

/* Where a run is struck. */
struct point {
    int call; /* the changing call, from 1; 0: nowhere */
    enum strike how;
    int reads; /* WAIT: the process dies at this one, from 1, of the calls after it that change nothing */
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
/* Of the last run: how many changing calls it made, whether and where it was struck. */
int between_calls(void);
bool between_has_struck(void);
const char *between_struck(void);
bool between_set_zone(CURL *curl, struct reply *reply, bool down);

#endif
