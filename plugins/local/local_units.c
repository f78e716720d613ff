/* SPDX-License-Identifier: Apache-2.0 */
/* Units as processes: started, looked at, stopped, by pid files that cannot
 * mean a stranger's process (lib/process.h). */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"
#include "lib/log_line.h"
#include "lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_TAIL_BYTES  4096
#define LOG_TAIL_LINES  20
#define LOG_LIMIT_BYTES (16 << 20)
#define DEFAULT_STOP_MS 5000

static const char *run_path(struct local *local, char out[PATH_MAX], const char *instance, const char *unit,
                            const char *suffix)
{
    return local_path(local, out, "instances/%s/run/%s.%s", instance, unit, suffix);
}

/* ---- what a unit wrote --------------------------------------------------------- */

/* The last lines of a log, at most 4 KB; caller frees; NULL when there are none. */
static char *log_tail(struct local *local, const char *instance, const char *unit, unsigned lines)
{
    char path[PATH_MAX], text[LOG_TAIL_BYTES + 1], *start;
    struct stat info;
    ssize_t got;
    int fd;

    local_path(local, path, "instances/%s/log/%s.log", instance, unit);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    got = fstat(fd, &info) < 0
              ? -1
              : pread(fd, text, LOG_TAIL_BYTES, info.st_size > LOG_TAIL_BYTES ? info.st_size - LOG_TAIL_BYTES : 0);
    close(fd);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == ' '))
        got--;
    if (got <= 0)
        return NULL;
    text[got] = '\0';
    for (start = text + got; start > text; start--)
        if (start[-1] == '\n' && --lines == 0)
            break;
    /* What is left of a line would be taken for another; of one alone the end is better than nothing. */
    if (start == text && info.st_size > LOG_TAIL_BYTES && strchr(text, '\n'))
        start = strchr(text, '\n') + 1;
    return strdup(start);
}

int local_unit_log(struct local *local, struct hactl_call *call, const char *instance, const char *unit)
{
    char *text;
    int rc;

    if (!local_name_valid(instance) || !local_name_valid(unit))
        return local->host->fail(call, HACTL_E_NOT_FOUND, "replica %.80s has no unit %.80s", instance, unit);
    text = log_tail(local, instance, unit, LOG_TAIL_LINES);
    rc = local->host->emit_text(call, text ? text : "");
    free(text);
    return rc;
}

/* One file of earlier output is kept: etcd may write for months. */
static void log_rotate(const char *path)
{
    char old[PATH_MAX + 4];
    struct stat info;

    snprintf(old, sizeof(old), "%s.1", path);
    if (stat(path, &info) == 0 && info.st_size > LOG_LIMIT_BYTES)
        rename(path, old);
}

/* ---- start ------------------------------------------------------------------------ */

static bool started_with(struct local *local, const char *instance, const char *unit, const char *fingerprint)
{
    char path[PATH_MAX], *content = NULL;
    size_t size = 0;
    bool same = ha_file_read(run_path(local, path, instance, unit, "started"), 256, &content, &size) == 0 &&
                strcmp(content, fingerprint) == 0;

    free(content);
    return same;
}

/* A unit as lib/process.h knows it; its paths live as long as this does. */
struct unit_daemon {
    struct ha_daemon daemon;
    char directory[PATH_MAX], log_path[PATH_MAX], pid_path[PATH_MAX];
};

static int unit_daemon(struct local *local, const char *instance, const char *payload, const json_t *unit,
                       struct unit_daemon *out)
{
    const char *name = local_json_text(unit, "name");
    const json_t *argv = json_object_get(unit, "argv");
    const char **arguments = calloc(json_array_size(argv) + 1, sizeof(*arguments));

    out->daemon = (struct ha_daemon){arguments, out->directory, out->log_path, out->pid_path};
    if (!arguments || json_array_size(argv) == 0)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(argv); i++)
        arguments[i] = json_string_value(json_array_get(argv, i));
    local_path(local, out->directory, "instances/%s/payloads/%s", instance, payload);
    local_path(local, out->log_path, "instances/%s/log/%s.log", instance, name);
    run_path(local, out->pid_path, instance, name, "pid");
    return 0;
}

static void unit_daemon_clear(struct unit_daemon *daemon)
{
    free((void *)daemon->daemon.argv);
}

/* One that was started and whose pid file is lost may run all the same. */
static bool is_strayed(struct local *local, const char *instance, const char *payload, const json_t *unit,
                       int (*search)(const struct ha_daemon *, pid_t *))
{
    char started[PATH_MAX];
    struct unit_daemon daemon;
    pid_t pid = 0;
    bool found = access(run_path(local, started, instance, local_json_text(unit, "name"), "started"), F_OK) == 0;

    if (!found)
        return false;
    found = unit_daemon(local, instance, payload, unit, &daemon) == 0 && search(&daemon.daemon, &pid) == 0;
    unit_daemon_clear(&daemon);
    return found;
}

static bool is_running(struct local *local, const char *instance, const char *payload, const json_t *unit)
{
    char path[PATH_MAX];
    pid_t pid;

    if (ha_daemon_state(run_path(local, path, instance, local_json_text(unit, "name"), "pid"), &pid) != HA_PROCESS_GONE)
        return true;
    return pid == 0 && is_strayed(local, instance, payload, unit, ha_daemon_find);
}

/* Before anything is started or stopped: their pid files are there again. */
static void adopt_units(struct local *local, struct hactl_call *call, const char *instance, const json_t *record)
{
    size_t index;
    json_t *unit;

    json_array_foreach(json_object_get(record, "units"), index, unit)
    {
        char path[PATH_MAX];
        const char *name = local_json_text(unit, "name");
        pid_t pid;

        if (ha_daemon_state(run_path(local, path, instance, name, "pid"), &pid) == HA_PROCESS_GONE && pid == 0 &&
            is_strayed(local, instance, local_json_text(record, "payload"), unit, ha_daemon_adopt))
            local->host->log(call, HACTL_LOG_WARNING, "%s of replica %s runs and had lost its file %s", name, instance,
                             path);
    }
}

/* Before anything of a payload runs its ports must be free; once something
 * does, they are its own. */
static int check_ports(struct local *local, struct hactl_call *call, const struct local_instance *instance,
                       const json_t *record)
{
    const char *payload = local_json_text(record, "payload");
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(record, "units"), index, entry)
    {
        if (is_running(local, instance->name, payload, entry))
            return HACTL_OK;
    }
    json_array_foreach(json_object_get(record, "ports"), index, entry)
    {
        uint16_t port = (uint16_t)json_integer_value(json_object_get(entry, "port"));
        int fd = local_listen(instance->address, port);
        if (fd >= 0) {
            close(fd);
            continue;
        }
        if (errno != EADDRINUSE)
            return local_error(local, call, -errno, "%s:%u", instance->address, port);
        if (ha_listener_ending(instance->address, port))
            return local->host->fail(call, HACTL_E_BUSY, "port %s:%u (%s of replica %s): who had it is just ending",
                                     instance->address, port, local_json_text(entry, "name"), instance->name);
        char *who = ha_listener_describe(instance->address, port);
        int rc =
            local->host->fail(call, HACTL_E_CONFLICT, "port %s:%u (%s of replica %s) is taken by %s", instance->address,
                              port, local_json_text(entry, "name"), instance->name, who ? who : "another process");
        free(who);
        return rc;
    }
    return HACTL_OK;
}

static int report_start(struct local *local, struct hactl_call *call, const char *instance, const json_t *unit,
                        const char *program, int error)
{
    const char *package = local_json_text(unit, "package");

    if (error == -ENOENT && package[0])
        return local->host->fail(call, HACTL_E_UNSUPPORTED, "%s is not installed: apt-get install %s", program,
                                 package);
    return local_error(local, call, error, "%s (%s of replica %s)", program, local_json_text(unit, "name"), instance);
}

static int unit_start(struct local *local, struct hactl_call *call, const char *instance, const char *payload,
                      const json_t *unit, const char *fingerprint)
{
    const char *name = local_json_text(unit, "name");
    char started[PATH_MAX];
    struct unit_daemon daemon;
    pid_t pid = 0;
    int rc = unit_daemon(local, instance, payload, unit, &daemon);

    if (rc < 0) {
        unit_daemon_clear(&daemon);
        return local_error(local, call, rc, "unit %s of replica %s", name, instance);
    }
    log_rotate(daemon.log_path);
    rc = ha_file_replace(run_path(local, started, instance, name, "started"), fingerprint, strlen(fingerprint), 0600,
                         false);
    if (rc == 0)
        rc = ha_daemon_start(&daemon.daemon, &pid);
    if (rc == -EALREADY)
        rc = 0;
    if (rc == 0)
        local->host->log(call, HACTL_LOG_INFO, "%s of replica %s runs as process %d", name, instance, (int)pid);
    else
        rc = report_start(local, call, instance, unit, daemon.daemon.argv[0], rc);
    unit_daemon_clear(&daemon);
    return rc;
}

int local_units_start(struct local *local, struct hactl_call *call, const struct local_instance *instance,
                      const char *payload, const json_t *record, bool keep_running)
{
    const char *fingerprint = local_json_text(record, "fingerprint");
    const json_t *units = json_object_get(record, "units");
    size_t index;
    json_t *unit;
    int rc;

    adopt_units(local, call, instance->name, record);
    json_array_foreach(units, index, unit)
    {
        const char *name = local_json_text(unit, "name");
        if (keep_running || !is_running(local, instance->name, payload, unit) ||
            started_with(local, instance->name, name, fingerprint))
            continue;
        rc = local_unit_stop(local, instance->name, name,
                             (unsigned)json_integer_value(json_object_get(unit, "stop_timeout_ms")), LOCAL_STEP_MS);
        if (rc == -EINPROGRESS) {
            local->host->retry_after(call, 100);
            return local->host->fail(call, HACTL_E_BUSY, "%s of replica %s is still stopping", name, instance->name);
        }
        if (rc < 0)
            return local_error(local, call, rc, "%s of replica %s does not stop", name, instance->name);
    }
    rc = check_ports(local, call, instance, record);
    json_array_foreach(units, index, unit)
    {
        if (rc != HACTL_OK)
            break;
        if (!is_running(local, instance->name, payload, unit))
            rc = unit_start(local, call, instance->name, payload, unit, fingerprint);
    }
    return rc;
}

/* ---- stop -------------------------------------------------------------------------- */

/* Asks it to end, once; later calls know since when it was asked. */
static int stop_ask(struct local *local, const char *instance, const char *unit, int64_t *since_ms)
{
    char pid_path[PATH_MAX], stopping[PATH_MAX], text[64], *content = NULL;
    int64_t asked_ms = 0;
    size_t size;
    pid_t pid;
    int asked_pid = 0, rc;

    *since_ms = local_now_ms();
    if (ha_daemon_state(run_path(local, pid_path, instance, unit, "pid"), &pid) == HA_PROCESS_GONE)
        return 0;
    run_path(local, stopping, instance, unit, "stopping");
    if (ha_file_read(stopping, 64, &content, &size) == 0 &&
        sscanf(content, "%d %" SCNd64, &asked_pid, &asked_ms) == 2 && asked_pid == pid && asked_ms <= *since_ms) {
        *since_ms = asked_ms;
    } else {
        snprintf(text, sizeof(text), "%d %" PRId64 "\n", (int)pid, *since_ms);
        rc = ha_file_replace(stopping, text, strlen(text), 0600, false);
        if (rc < 0 && rc != -ENOENT) {
            free(content);
            return rc;
        }
    }
    free(content);
    rc = ha_daemon_signal(pid_path, SIGTERM);
    if (rc == 0)
        rc = ha_daemon_signal(pid_path, SIGCONT);
    return rc == -ESRCH ? 0 : rc;
}

/* -EINPROGRESS: it has been asked and has time left. */
static int stop_finish(struct local *local, const char *instance, const char *unit, int64_t since_ms,
                       unsigned timeout_ms, int64_t until_ms)
{
    char pid_path[PATH_MAX], stopping[PATH_MAX];
    int64_t now_ms = local_now_ms(), end_ms = since_ms + (timeout_ms ? timeout_ms : DEFAULT_STOP_MS);
    int64_t wait_ms = (end_ms < until_ms ? end_ms : until_ms) - now_ms;
    int rc = ha_daemon_wait(run_path(local, pid_path, instance, unit, "pid"), wait_ms > 0 ? (unsigned)wait_ms : 0);

    if (rc == -ETIMEDOUT && local_now_ms() < end_ms)
        return -EINPROGRESS;
    if (rc < 0 && rc != -ETIMEDOUT)
        return rc;
    rc = ha_daemon_stop(pid_path, 0);
    if (rc == 0)
        unlink(run_path(local, stopping, instance, unit, "stopping"));
    return rc;
}

int local_unit_stop(struct local *local, const char *instance, const char *unit, unsigned timeout_ms, unsigned wait_ms)
{
    int64_t since_ms;
    int rc = stop_ask(local, instance, unit, &since_ms);

    return rc < 0 ? rc : stop_finish(local, instance, unit, since_ms, timeout_ms, local_now_ms() + wait_ms);
}

static int ending_add(char ***list, size_t *count, const char *unit, size_t length)
{
    char **more;

    for (size_t i = 0; i < *count; i++)
        if (strlen((*list)[i]) == length && strncmp((*list)[i], unit, length) == 0)
            return 0;
    more = realloc(*list, (*count + 1) * sizeof(**list));
    if (!more)
        return -ENOMEM;
    *list = more;
    more[*count] = strndup(unit, length);
    return more[*count] ? (++*count, 0) : -ENOMEM;
}

/* Every unit that a record names, running or not: a start whose caller was
 * killed may be about to record itself, and ha_daemon_stop waits for that.
 * Then every pid file, which adds relays that still drain. */
static int endings_find(struct local *local, struct hactl_call *call, const char *instance, char ***list, size_t *count)
{
    char path[PATH_MAX], **names;
    size_t name_count, index;
    json_t *unit;
    int rc = local_names(local_path(local, path, "instances/%s/delivered", instance), &names, &name_count);

    for (size_t i = 0; rc == 0 && i < name_count; i++) {
        json_t *record = local_json_read(local_path(local, path, "instances/%s/delivered/%s", instance, names[i]));
        adopt_units(local, call, instance, record);
        json_array_foreach(json_object_get(record, "units"), index, unit)
        {
            const char *name = local_json_text(unit, "name");
            if (rc == 0)
                rc = ending_add(list, count, name, strlen(name));
        }
        json_decref(record);
    }
    local_names_free(names, name_count);
    local_relay_adopt(local, call, instance);
    if (rc == 0)
        rc = ending_add(list, count, LOCAL_RELAY, strlen(LOCAL_RELAY));
    if (rc == 0)
        rc = local_names(local_path(local, path, "instances/%s/run", instance), &names, &name_count);
    else
        return rc;
    for (size_t i = 0; rc == 0 && i < name_count; i++) {
        size_t length = strlen(names[i]);
        if (length > 4 && strcmp(names[i] + length - 4, ".pid") == 0)
            rc = ending_add(list, count, names[i], length - 4);
    }
    local_names_free(names, name_count);
    return rc;
}

/* As when a machine is deleted: the power goes off. Its data goes with it, and
 * an etcd that is asked to end politely spends seconds on handing over to
 * members that are going too. */
int local_units_kill(struct local *local, struct hactl_call *call, const char *instance)
{
    char path[PATH_MAX], **list = NULL;
    size_t count = 0;
    int rc = endings_find(local, call, instance, &list, &count);
    const char *unit = "";

    for (size_t i = 0; rc == 0 && i < count; i++) {
        unit = list[i];
        ha_daemon_signal(run_path(local, path, instance, unit, "pid"), SIGKILL);
        rc = ha_daemon_stop(path, 0);
    }
    if (rc < 0)
        rc = local_error(local, call, rc, "stopping %s of replica %s", unit, instance);
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
    return rc;
}

/* ---- list ---------------------------------------------------------------------------- */

/* The last line that can be the reason: much in a log, such as the checks of a
 * balancer, was no reason to end. */
static char *last_words(struct local *local, const char *instance, const char *unit)
{
    char *tail = log_tail(local, instance, unit, LOG_TAIL_LINES), *line, *words = NULL;

    while (tail && !words) {
        line = strrchr(tail, '\n');
        if (ha_log_weight_of(line ? line + 1 : tail) == HA_LOG_REASON)
            words = strdup(line ? line + 1 : tail);
        if (!line)
            break;
        *line = '\0';
    }
    free(tail);
    return words;
}

static char *dead_detail(struct local *local, const char *instance, const char *unit)
{
    char *line = last_words(local, instance, unit), *text = NULL;

    if (asprintf(&text, "%s does not run%s%s", unit, line ? "; its last words: " : "", line ? line : "") < 0)
        text = NULL;
    free(line);
    return text;
}

/* It exists, and does nothing: a hang that nobody would find out from outside. */
static char *stopped_detail(struct local *local, const char *instance, const char *unit)
{
    char path[PATH_MAX], *text = NULL;
    pid_t pid;

    if (ha_daemon_state(run_path(local, path, instance, unit, "pid"), &pid) == HA_PROCESS_STOPPED_BY_SIGNAL &&
        asprintf(&text, "%s (process %d) is stopped by a signal; kill -CONT %d lets it go on", unit, (int)pid,
                 (int)pid) < 0)
        text = NULL;
    return text;
}

static int delivery_list(struct local *local, struct hactl_call *call, const char *instance, const json_t *record,
                         size_t *units, size_t *running)
{
    struct hactl_delivery delivery = {.struct_size = sizeof(delivery), .running = HACTL_YES};
    const char *fingerprint = local_json_text(record, "fingerprint"), *digest = local_json_text(record, "digest");
    bool current = digest[0] != '\0';
    char *detail = NULL;
    size_t index;
    json_t *unit;
    int rc;

    delivery.instance = instance;
    delivery.payload = local_json_text(record, "payload");
    json_array_foreach(json_object_get(record, "units"), index, unit)
    {
        const char *name = local_json_text(unit, "name");
        ++*units;
        /* Written, but not what runs: an interrupted delivery. */
        current = current && started_with(local, instance, name, fingerprint);
        if (is_running(local, instance, delivery.payload, unit)) {
            ++*running;
            if (!detail)
                detail = stopped_detail(local, instance, name);
            continue;
        }
        if (delivery.running == HACTL_YES) {
            free(detail);
            detail = dead_detail(local, instance, name);
        }
        delivery.running = HACTL_NO;
    }
    delivery.detail = detail;
    delivery.digest = current ? digest : NULL;
    rc = local->host->emit_delivery(call, &delivery);
    free(detail);
    return rc;
}

int local_deliveries_list(struct local *local, struct hactl_call *call, const char *instance, size_t *units,
                          size_t *running)
{
    char path[PATH_MAX], **names;
    size_t count;
    int rc = local_names(local_path(local, path, "instances/%s/delivered", instance), &names, &count);

    if (rc < 0)
        return local_error(local, call, rc, "%s", path);
    for (size_t i = 0; rc == HACTL_OK && i < count; i++) {
        json_t *record = local_json_read(local_path(local, path, "instances/%s/delivered/%s", instance, names[i]));
        if (record)
            rc = delivery_list(local, call, instance, record, units, running);
        json_decref(record);
    }
    local_names_free(names, count);
    return rc;
}
