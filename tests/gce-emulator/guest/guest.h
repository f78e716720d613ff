/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs inside an emulated machine: the root file system, process 1 with as
 * much of systemd as units of servers need, and `systemctl`. One program.
 */
#ifndef GCE_GUEST_GUEST_H
#define GCE_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define GUEST_SOCKET    "/run/gce-guest/control"
#define GUEST_PROGRAM   "/usr/lib/gce-guest/gce-guest"
#define GUEST_UNIT_DIR  "/etc/systemd/system"
#define GUEST_UNIT_DIR2 "/usr/lib/systemd/system"
#define GUEST_LOG_DIR   "/var/log/units"
#define GUEST_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- machine.c: from the emulator's side into the machine; returns when the machine has ended */
int guest_machine(const char *spec_path);

/* ---- init.c: process 1 */
int guest_init(void);
/* Ends the machine: stops all units first. */
void guest_init_shut_down(void);
/* Milliseconds, monotonic. */
int64_t guest_now_ms(void);

/* ---- systemctl.c: the client */
int guest_systemctl(int argc, char **argv);

/* ---- unit_file.c: what a unit file says */
struct guest_unit_file {
    char **start_pre, **start, **start_post, **stop; /* NULL-terminated lists of command lines */
    char **environment;                              /* "NAME=value" */
    char **environment_files;
    char *type, *user, *directory;
    enum { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS } restart;
    int64_t restart_ms, stop_ms;
    bool remain_after_exit, wanted, console; /* console: its output goes there */
};
/* NULL: there is none. */
struct guest_unit_file *guest_unit_file_read(const char *name);
struct guest_unit_file *guest_unit_file_parse(FILE *in);
void guest_unit_file_free(struct guest_unit_file *file);
/* "5", "5s", "100ms", "1min" */
int64_t guest_duration_ms(const char *text);

/* ---- units.c: units that run */
struct guest_unit;
struct guest_unit *guest_unit_find(const char *name, bool make);
const char *guest_unit_state(const struct guest_unit *unit); /* active, inactive, failed, activating, deactivating */
int guest_unit_start(struct guest_unit *unit);               /* 0, or 1 with no such file */
void guest_unit_stop(struct guest_unit *unit);
void guest_unit_restart(struct guest_unit *unit);
void guest_unit_reset_failed(struct guest_unit *unit);
pid_t guest_unit_pid(const struct guest_unit *unit);
/* A process has ended; false: it was no unit's. */
bool guest_units_child_ended(pid_t pid, int status);
/* Does what is due; milliseconds to the next thing, -1: none. */
int guest_units_tick(void);
void guest_units_stop_all(void);
bool guest_units_running(void);
void guest_units_kill_all(void);
/* Whether start or stop have come to their end. */
bool guest_unit_settled(const struct guest_unit *unit);

/* ---- control.c: who answers systemctl */
int guest_control_listen(void);
void guest_control_accept(int fd);
/* Answers those whose unit has settled. */
void guest_control_tick(void);
bool guest_unit_enabled(const char *name);

#endif
