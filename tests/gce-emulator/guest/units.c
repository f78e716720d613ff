/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: started, watched, started again. Each runs in a session of its own, so that stopping it ends
 * its children too. Its commands are run one after the other: ExecStartPre, ExecStart, ExecStartPost.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum state { INACTIVE, PREPARING, ACTIVE, STOPPING, FAILED, WAITING /* to be started again */ };

struct guest_unit {
    char *name;
    struct guest_unit_file *file;
    enum state state;
    pid_t pid;
    size_t step; /* of ExecStartPre, or of ExecStart of a oneshot */
    bool again;  /* start when it has stopped */
    int64_t due; /* WAITING: when to start; STOPPING: when to kill */
    struct guest_unit *next;
};

static struct guest_unit *units;

struct guest_unit *guest_unit_find(const char *name, bool make)
{
    char full[256];
    struct guest_unit *unit;

    snprintf(full, sizeof(full), "%s%s", name, strchr(name, '.') == NULL ? ".service" : "");
    for (unit = units; unit != NULL; unit = unit->next) {
        if (strcmp(unit->name, full) == 0) {
            return unit;
        }
    }
    if (!make) {
        return NULL;
    }
    unit = calloc(1, sizeof(*unit));
    if (unit == NULL) {
        abort();
    }
    unit->name = strdup(full);
    unit->next = units;
    units = unit;
    return unit;
}

const char *guest_unit_state(const struct guest_unit *unit)
{
    static const char *const names[] = {"inactive", "activating", "active", "deactivating", "failed", "activating"};

    return unit == NULL ? "inactive" : names[unit->state];
}

pid_t guest_unit_pid(const struct guest_unit *unit)
{
    return unit == NULL ? 0 : unit->pid;
}

bool guest_unit_settled(const struct guest_unit *unit)
{
    return unit->state != PREPARING && unit->state != STOPPING && !unit->again;
}

static bool oneshot(const struct guest_unit *unit)
{
    return strcmp(unit->file->type, "oneshot") == 0;
}

/* ---- in the child --------------------------------------------------------------------- */

static void read_environment_file(const char *path)
{
    bool optional = path[0] == '-';
    FILE *in = fopen(path + optional, "re");
    char line[4096];

    if (in == NULL) {
        if (!optional) {
            fprintf(stderr, "%s: %s\n", path, strerror(errno));
            _exit(1);
        }
        return;
    }
    while (fgets(line, sizeof(line), in) != NULL) {
        char *equals = strchr(line, '=');
        size_t length;

        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || equals == NULL) {
            continue;
        }
        *equals++ = '\0';
        length = strlen(equals);
        if (length >= 2 && (equals[0] == '"' || equals[0] == '\'') && equals[length - 1] == equals[0]) {
            equals[length - 1] = '\0';
            equals++;
        }
        setenv(line, equals, 1);
    }
    fclose(in);
}

/* What is for the console is left where process 1 writes. */
static void open_log(const struct guest_unit *unit, const struct guest_unit_file *file)
{
    char path[512];
    int fd;

    mkdir(GUEST_LOG_DIR, 0755);
    snprintf(path, sizeof(path), GUEST_LOG_DIR "/%s.log", unit->name);
    fd = file->console ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(fd, 0);
}

static void become(const struct guest_unit_file *file)
{
    struct passwd *user = file->user == NULL ? NULL : getpwnam(file->user);

    if (file->user == NULL) {
        return;
    }
    if (user == NULL || initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0) {
        fprintf(stderr, "there is no user %s\n", file->user);
        _exit(217); /* as systemd */
    }
    setenv("HOME", user->pw_dir, 1);
    setenv("USER", user->pw_name, 1);
}

static void run_command(const struct guest_unit *unit, const char *line)
{
    char *command;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    open_log(unit, unit->file);
    clearenv();
    setenv("PATH", GUEST_PATH, 1);
    setenv("LANG", "C.UTF-8", 1);
    for (size_t i = 0; unit->file->environment != NULL && unit->file->environment[i] != NULL; i++) {
        putenv(unit->file->environment[i]);
    }
    for (size_t i = 0; unit->file->environment_files != NULL && unit->file->environment_files[i] != NULL; i++) {
        read_environment_file(unit->file->environment_files[i]);
    }
    if (unit->file->directory != NULL && chdir(unit->file->directory) != 0) {
        fprintf(stderr, "%s: %s\n", unit->file->directory, strerror(errno));
        _exit(200);
    }
    become(unit->file);
    /* The shell's quoting and variables are near enough to systemd's. */
    if (asprintf(&command, "exec %s", line) < 0) {
        _exit(1);
    }
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(203);
}

/* ---- in process 1 ------------------------------------------------------------------------ */

/* "-" before a command: its failure does not count. */
static const char *plain(const char *line, bool *may_fail)
{
    *may_fail = false;
    while (*line != '\0' && strchr("-+!:@", *line) != NULL) {
        *may_fail = *may_fail || *line == '-';
        line++;
    }
    return line;
}

static void spawn(struct guest_unit *unit, const char *line)
{
    bool may_fail;
    const char *command = plain(line, &may_fail);

    unit->pid = fork();
    if (unit->pid == 0) {
        run_command(unit, command);
    }
    fflush(stdout);
}

static void say(const struct guest_unit *unit, const char *words)
{
    printf("systemd: %s %s\n", unit->name, words);
    fflush(stdout);
}

static size_t length(char *const *list)
{
    size_t count = 0;

    while (list != NULL && list[count] != NULL) {
        count++;
    }
    return count;
}

/* The next command of the start, or the end of it. */
static void advance(struct guest_unit *unit)
{
    size_t pre = length(unit->file->start_pre), main_count = length(unit->file->start);

    if (unit->step < pre) {
        spawn(unit, unit->file->start_pre[unit->step]);
    } else if (oneshot(unit) && unit->step < pre + main_count) {
        spawn(unit, unit->file->start[unit->step - pre]);
    } else if (oneshot(unit)) {
        unit->pid = 0;
        unit->state = unit->file->remain_after_exit ? ACTIVE : INACTIVE;
        say(unit, "finished");
    } else if (main_count > 0) {
        spawn(unit, unit->file->start[0]);
        unit->state = ACTIVE;
        say(unit, "started");
    } else {
        unit->state = FAILED;
        say(unit, "has no ExecStart");
    }
}

int guest_unit_start(struct guest_unit *unit)
{
    struct guest_unit_file *file;

    if (unit->state == ACTIVE || unit->state == PREPARING) {
        return 0;
    }
    if (unit->state == STOPPING) {
        unit->again = true;
        return 0;
    }
    file = guest_unit_file_read(unit->name);
    if (file == NULL) {
        return 1;
    }
    guest_unit_file_free(unit->file);
    unit->file = file;
    unit->state = PREPARING;
    unit->step = 0;
    unit->again = false;
    advance(unit);
    return 0;
}

void guest_unit_stop(struct guest_unit *unit)
{
    if (unit->state == STOPPING) {
        unit->again = false;
        return;
    }
    if (unit->pid > 0) {
        unit->state = STOPPING;
        unit->due = guest_now_ms() + unit->file->stop_ms;
        kill(-unit->pid, SIGTERM);
        kill(unit->pid, SIGTERM); /* perhaps not yet in its own session */
        return;
    }
    unit->state = INACTIVE;
}

void guest_unit_restart(struct guest_unit *unit)
{
    guest_unit_stop(unit);
    if (unit->state == STOPPING) {
        unit->again = true;
    } else {
        guest_unit_start(unit);
    }
}

void guest_unit_reset_failed(struct guest_unit *unit)
{
    if (unit->state == FAILED) {
        unit->state = INACTIVE;
    }
}

static void main_ended(struct guest_unit *unit, bool good)
{
    bool again = unit->file->restart == RESTART_ALWAYS || (unit->file->restart == RESTART_ON_FAILURE && !good);

    say(unit, good ? "has ended" : "has failed");
    if (again) {
        unit->state = WAITING;
        unit->due = guest_now_ms() + unit->file->restart_ms;
    } else {
        unit->state = good ? INACTIVE : FAILED;
    }
}

static void step_ended(struct guest_unit *unit, bool good)
{
    size_t pre = length(unit->file->start_pre);
    const char *line = unit->step < pre ? unit->file->start_pre[unit->step] : unit->file->start[unit->step - pre];
    bool may_fail;

    (void)plain(line, &may_fail);
    if (good || may_fail) {
        unit->step++;
        advance(unit);
        return;
    }
    main_ended(unit, false);
}

bool guest_units_child_ended(pid_t pid, int status)
{
    for (struct guest_unit *unit = units; unit != NULL; unit = unit->next) {
        if (unit->pid != pid) {
            continue;
        }
        kill(-pid, SIGKILL); /* whatever is left of its session */
        unit->pid = 0;
        if (unit->state == STOPPING) {
            unit->state = INACTIVE;
            say(unit, "stopped");
            if (unit->again) {
                unit->again = false;
                guest_unit_start(unit);
            }
        } else if (unit->state == PREPARING) {
            step_ended(unit, status == 0);
        } else {
            main_ended(unit, status == 0);
        }
        return true;
    }
    return false;
}

int guest_units_tick(void)
{
    int64_t now = guest_now_ms(), next = -1;

    for (struct guest_unit *unit = units; unit != NULL; unit = unit->next) {
        if (unit->state == WAITING && unit->due <= now) {
            unit->state = INACTIVE;
            guest_unit_start(unit);
        } else if (unit->state == STOPPING && unit->due <= now && unit->pid > 0) {
            kill(-unit->pid, SIGKILL);
            unit->due = now + 1000;
        }
        if ((unit->state == WAITING || unit->state == STOPPING) && (next < 0 || unit->due - now < next)) {
            next = unit->due - now > 0 ? unit->due - now : 0;
        }
    }
    return (int)next;
}

void guest_units_stop_all(void)
{
    for (struct guest_unit *unit = units; unit != NULL; unit = unit->next) {
        unit->again = false;
        guest_unit_stop(unit);
        unit->again = false;
    }
}

bool guest_units_running(void)
{
    for (struct guest_unit *unit = units; unit != NULL; unit = unit->next) {
        if (unit->pid > 0) {
            return true;
        }
    }
    return false;
}

void guest_units_kill_all(void)
{
    kill(-1, SIGKILL);
}
