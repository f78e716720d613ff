/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lone replica holds the external address through a relay of its own:
 * haproxy in TCP mode, from there to the replica's internal address.
 *
 * haproxy needs 20 to 50 ms to start, so it does not open the socket itself:
 * claim binds and listens, which takes microseconds, and hands the socket
 * over. Who connects meanwhile waits in the queue instead of being refused.
 * As nobody sets SO_REUSEPORT, the address cannot have two listeners.
 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"
#include "lib/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_LENGTH    1024
#define RELEASE_WAIT_MS 1000

static const char relay_format[] = "global\n"
                                   "    nbthread 1\n"
                                   "    maxconn 1000\n"
                                   "    hard-stop-after 10s\n"
                                   "defaults\n"
                                   "    mode tcp\n"
                                   "    timeout connect 5s\n"
                                   "    timeout client 24h\n"
                                   "    timeout server 24h\n"
                                   "listen relay\n"
                                   "    bind fd@3\n"
                                   "    server replica %s:%u\n";

int local_listen(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, error;

    if (fd < 0)
        return -1;
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
        errno = EINVAL;
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
             bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(fd, QUEUE_LENGTH) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static const char *relay_pid_path(struct local *local, char out[PATH_MAX], const char *instance)
{
    return local_path(local, out, "instances/%s/run/" LOCAL_RELAY ".pid", instance);
}

/* What the relay was started for: address, port, instance_port. */
static json_t *claim_read(struct local *local, const char *instance)
{
    char path[PATH_MAX];

    return local_json_read(local_path(local, path, "instances/%s/" LOCAL_RELAY "/claim.json", instance));
}

static uint16_t claim_port(const json_t *claim, const char *key)
{
    return (uint16_t)json_integer_value(json_object_get(claim, key));
}

/* The relay as lib/process.h knows it; its paths live as long as this does. */
struct relay_daemon {
    struct ha_daemon daemon;
    const char *argv[6];
    char directory[PATH_MAX], configuration[PATH_MAX], log_path[PATH_MAX], pid_path[PATH_MAX];
};

static void relay_daemon(struct local *local, const char *instance, struct relay_daemon *out)
{
    local_path(local, out->directory, "instances/%s/" LOCAL_RELAY, instance);
    local_path(local, out->configuration, "instances/%s/" LOCAL_RELAY "/haproxy.cfg", instance);
    local_path(local, out->log_path, "instances/%s/log/" LOCAL_RELAY ".log", instance);
    relay_pid_path(local, out->pid_path, instance);
    memcpy(out->argv, (const char *[]){"haproxy", "-db", "-q", "-f", out->configuration, NULL}, sizeof(out->argv));
    out->daemon = (struct ha_daemon){out->argv, out->directory, out->log_path, out->pid_path};
}

/* One whose pid file is lost is still the one that listens. */
static pid_t relay_strayed(struct local *local, const char *instance, const json_t *claim)
{
    struct relay_daemon relay;
    pid_t pid = 0;

    relay_daemon(local, instance, &relay);
    if (ha_daemon_find_listening(&relay.daemon, local_json_text(claim, "address"), claim_port(claim, "port"), &pid) < 0)
        return 0;
    return pid;
}

/* What counts is the socket: a relay that has been told to drain runs on. */
static bool relay_listens(struct local *local, const char *instance, const json_t *claim)
{
    char path[PATH_MAX];
    pid_t pid;

    if (!claim)
        return false;
    if (ha_daemon_state(relay_pid_path(local, path, instance), &pid) != HA_PROCESS_GONE)
        return ha_listener_is(pid, local_json_text(claim, "address"), claim_port(claim, "port"));
    return pid == 0 && relay_strayed(local, instance, claim) != 0;
}

void local_relay_adopt(struct local *local, struct hactl_call *call, const char *instance)
{
    json_t *claim = claim_read(local, instance);
    char path[PATH_MAX];
    pid_t pid;

    if (claim && ha_daemon_state(relay_pid_path(local, path, instance), &pid) == HA_PROCESS_GONE && pid == 0 &&
        (pid = relay_strayed(local, instance, claim)) != 0 && ha_daemon_record(path, pid) == 0)
        local->host->log(call, HACTL_LOG_WARNING, "the relay of replica %s runs and had lost its file %s", instance,
                         path);
    json_decref(claim);
}

char *local_relay_owner(struct local *local, const char *address)
{
    char path[PATH_MAX], **names, *owner = NULL;
    size_t count;

    if (local_names(local_path(local, path, "instances"), &names, &count) < 0)
        return NULL;
    for (size_t i = 0; !owner && i < count; i++) {
        json_t *claim = claim_read(local, names[i]);
        if (strcmp(local_json_text(claim, "address"), address) == 0 && relay_listens(local, names[i], claim))
            owner = strdup(names[i]);
        json_decref(claim);
    }
    local_names_free(names, count);
    return owner;
}

/* ---- release ------------------------------------------------------------------ */

static void sleep_us(long us)
{
    struct timespec pause = {0, us * 1000};

    nanosleep(&pause, NULL);
}

/* Nobody can bind beside a listener, so binding proves that it is closed. */
static bool is_closed(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool closed = fd >= 0 && inet_pton(AF_INET, address, &name.sin_addr) == 1 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                  bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0;

    if (fd >= 0)
        close(fd);
    return closed;
}

/* The relay serves what it has under another name, which instance_destroy
 * finds; draining ones that have ended are cleared away here. */
static int relay_set_aside(struct local *local, const char *instance)
{
    char path[PATH_MAX], aside[PATH_MAX], **names;
    size_t count;
    pid_t pid;
    int rc = local_names(local_path(local, path, "instances/%s/run", instance), &names, &count);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        local_path(local, path, "instances/%s/run/%s", instance, names[i]);
        if (strncmp(names[i], LOCAL_RELAY "-", sizeof(LOCAL_RELAY)) == 0 &&
            ha_daemon_state(path, NULL) == HA_PROCESS_GONE)
            unlink(path);
    }
    local_names_free(names, count);
    if (rc < 0)
        return rc;
    if (ha_daemon_state(relay_pid_path(local, path, instance), &pid) == HA_PROCESS_GONE)
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
    local_path(local, aside, "instances/%s/run/" LOCAL_RELAY "-%d.pid", instance, (int)pid);
    return rename(path, aside) < 0 ? -errno : 0;
}

/* USR1 closes the listening socket and lets connections finish; a relay that
 * does not answer to it is ended, as the address must not have two owners. */
static int relay_release(struct local *local, struct hactl_call *call, const char *instance, const json_t *claim)
{
    const char *address = local_json_text(claim, "address");
    uint16_t port = claim_port(claim, "port");
    char path[PATH_MAX];
    int64_t until_ms = local_now_ms() + RELEASE_WAIT_MS;
    int rc = ha_daemon_signal(relay_pid_path(local, path, instance), SIGUSR1);

    if (rc == 0)
        rc = ha_daemon_signal(path, SIGCONT);
    for (long us = 100; rc == 0 && !is_closed(address, port); us = us < 5000 ? us * 2 : us) {
        if (local_now_ms() >= until_ms) {
            local->host->log(call, HACTL_LOG_WARNING,
                             "the relay of replica %s did not close %s:%u in %d ms and is "
                             "killed",
                             instance, address, port, RELEASE_WAIT_MS);
            rc = ha_daemon_stop(path, 0);
            break;
        }
        sleep_us(us);
    }
    if (rc == 0 || rc == -ESRCH)
        rc = relay_set_aside(local, instance);
    if (rc == 0) /* so that nobody looks for a relay that lost its pid file */
        unlink(local_path(local, path, "instances/%s/" LOCAL_RELAY "/claim.json", instance));
    return rc < 0 ? local_error(local, call, rc, "the relay of replica %s at %s", instance, address) : HACTL_OK;
}

static int address_need(struct local *local, struct hactl_call *call, const char *name, char **out)
{
    *out = local_address_named(local, name);
    return *out ? HACTL_OK : local->host->fail(call, HACTL_E_NOT_FOUND, "external address %s is not reserved", name);
}

int local_release(struct local *local, struct hactl_call *call, const char *address, const char *instance)
{
    json_t *claim = local_name_valid(instance) ? claim_read(local, instance) : NULL;
    char *wanted = local_address_named(local, address);
    int rc = HACTL_OK;

    if (wanted && claim)
        local_relay_adopt(local, call, instance);
    if (wanted && strcmp(local_json_text(claim, "address"), wanted) == 0 && relay_listens(local, instance, claim)) {
        rc = relay_release(local, call, instance, claim);
        if (rc == HACTL_OK)
            local->host->log(call, HACTL_LOG_INFO, "replica %s has released %s", instance, wanted);
    }
    free(wanted);
    json_decref(claim);
    return rc;
}

/* ---- claim ---------------------------------------------------------------------- */

static int relay_write(struct local *local, const struct local_instance *instance, const char *address, uint16_t port,
                       uint16_t instance_port, char path[PATH_MAX])
{
    char text[sizeof(relay_format) + 64];
    json_t *claim =
        json_pack("{s:s, s:i, s:i}", "address", address, "port", (int)port, "instance_port", (int)instance_port);
    int length = snprintf(text, sizeof(text), relay_format, instance->address, (unsigned)instance_port);
    int rc =
        claim ? ha_directory_make(local_path(local, path, "instances/%s/" LOCAL_RELAY, instance->name), 0700) : -ENOMEM;

    if (rc == 0)
        rc = local_json_write(local_path(local, path, "instances/%s/" LOCAL_RELAY "/claim.json", instance->name), claim,
                              false);
    if (rc == 0)
        rc = ha_file_replace(local_path(local, path, "instances/%s/" LOCAL_RELAY "/haproxy.cfg", instance->name), text,
                             (size_t)length, 0600, false);
    json_decref(claim);
    return rc;
}

static int relay_start(struct local *local, const char *instance, int listen_fd)
{
    struct relay_daemon relay;

    relay_daemon(local, instance, &relay);
    return ha_daemon_start_listening(&relay.daemon, listen_fd, NULL);
}

static int fail_taken(struct local *local, struct hactl_call *call, const char *address, uint16_t port)
{
    char *owner = local_relay_owner(local, address), *who = ha_listener_describe(address, port);
    int rc;

    if (owner)
        rc = local->host->fail(call, HACTL_E_CONFLICT, "address %s:%u is held by replica %s", address, port, owner);
    else if (ha_listener_ending(address, port))
        rc = local->host->fail(call, HACTL_E_BUSY, "address %s:%u: who had it is just ending", address, port);
    else
        rc = local->host->fail(call, HACTL_E_CONFLICT, "address %s:%u is taken by %s", address, port,
                               who ? who : "another process");
    free(owner);
    free(who);
    return rc;
}

static int claim(struct local *local, struct hactl_call *call, const char *address,
                 const struct local_instance *instance, uint16_t port, uint16_t instance_port)
{
    char path[PATH_MAX], *program = NULL;
    int fd, rc;

    if (ha_program_find("haproxy", &program) < 0)
        return local->host->fail(call, HACTL_E_UNSUPPORTED, "haproxy is not installed: apt-get install haproxy");
    free(program);
    /* One that runs and does not listen drains: its release was interrupted. */
    rc = relay_set_aside(local, instance->name);
    if (rc == 0)
        rc = relay_write(local, instance, address, port, instance_port, path);
    if (rc < 0)
        return local_error(local, call, rc, "the relay of replica %s", instance->name);
    fd = local_listen(address, port);
    if (fd < 0 && errno == EADDRINUSE)
        return fail_taken(local, call, address, port);
    if (fd < 0)
        return local_error(local, call, -errno, "address %s:%u", address, port);
    rc = relay_start(local, instance->name, fd);
    close(fd);
    if (rc < 0)
        return local_error(local, call, rc, "haproxy as the relay of replica %s", instance->name);
    local->host->log(call, HACTL_LOG_INFO, "replica %s holds %s:%u", instance->name, address, port);
    return HACTL_OK;
}

int local_claim(struct local *local, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                uint16_t instance_port)
{
    struct local_instance found = {0};
    char *wanted = NULL;
    json_t *held = NULL;
    int rc = address_need(local, call, address, &wanted);

    if (rc == HACTL_OK)
        rc = local_instance_need(local, call, instance, &found);
    if (rc != HACTL_OK)
        goto out;
    local_relay_adopt(local, call, instance);
    held = claim_read(local, instance);
    if (relay_listens(local, instance, held)) {
        if (strcmp(local_json_text(held, "address"), wanted) == 0 && claim_port(held, "port") == port &&
            claim_port(held, "instance_port") == instance_port)
            goto out;
        rc = relay_release(local, call, instance, held);
    }
    if (rc == HACTL_OK)
        rc = claim(local, call, wanted, &found, port, instance_port);

out:
    json_decref(held);
    free(wanted);
    local_instance_clear(&found);
    return rc;
}
