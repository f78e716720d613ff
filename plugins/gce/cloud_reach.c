/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to a replica's port: its internal address, its external one, or a
 * tunnel, which is a process that listens on a port of this machine. Whatever
 * the way, certificates are held against the internal address.
 *
 * A tunnel belongs to this instance and ends with it. One that a killed hactl
 * left is known by its pid file and used again, for the port is in the name
 * of its directory: tunnels/REPLICA-PORT-LOCALPORT/.
 */
#include "plugins/gce/cloud.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/process.h"

enum { ARGUMENTS = 64, STOP_MS = 2000, AGAIN_S = 3 };
#define LOG_LIMIT ((size_t)1 << 20)

/* ---- the command ------------------------------------------------------------------------- */

struct tunnel {
    const char *instance, *zone, *address, *project;
    uint16_t port, local_port;
    char directory[PATH_MAX];
};

static void put(FILE *out, const struct tunnel *tunnel, const char **at)
{
    static const char *const names[] = {"{instance}", "{zone}", "{address}", "{project}", "{port}", "{local_port}"};
    const char *texts[] = {tunnel->instance, tunnel->zone, tunnel->address, tunnel->project};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(*at, names[i], strlen(names[i])) != 0)
            continue;
        *at += strlen(names[i]);
        if (i < 4)
            fputs(texts[i], out);
        else
            fprintf(out, "%u", i == 4 ? tunnel->port : tunnel->local_port);
        return;
    }
    fputc(*(*at)++, out);
}

static char *expand(const struct tunnel *tunnel, const char *argument)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    while (*argument)
        put(out, tunnel, &argument);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static int start(struct cloud *cloud, struct hactl_call *call, const struct tunnel *tunnel)
{
    char *argv[ARGUMENTS + 1] = {NULL}, log[PATH_MAX + 8], pid_path[PATH_MAX + 8];
    struct ha_daemon daemon = {
        .argv = (const char *const *)argv, .directory = "/", .log_path = log, .pid_path = pid_path};
    const char *argument;
    size_t count = 0;
    pid_t pid;
    int rc;

    snprintf(log, sizeof(log), "%s/log", tunnel->directory);
    snprintf(pid_path, sizeof(pid_path), "%s/pid", tunnel->directory);
    while (count < ARGUMENTS && (argument = cloud->host->conf_list(cloud->conf, "tunnel_command", count)))
        argv[count++] = expand(tunnel, argument);
    rc = ha_directory_make(tunnel->directory, 0700);
    if (rc == 0)
        rc = ha_daemon_start(&daemon, &pid);
    if (rc < 0 && rc != -EALREADY)
        rc = cloud->host->fail(call, HACTL_E_FAILED, "tunnel_command \"%.100s\": %s", argv[0] ? argv[0] : "",
                               strerror(-rc));
    else
        rc = HACTL_OK;
    for (size_t i = 0; i < count; i++)
        free(argv[i]);
    return rc;
}

/* ---- local ports ---------------------------------------------------------------------------- */

static int local_socket(uint16_t port, bool listening, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd >= 0 && listening && bind(fd, (struct sockaddr *)address, sizeof(*address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fd = local_socket(0, true, &address);
    uint16_t port = 0;

    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static bool answers(uint16_t port)
{
    struct sockaddr_in address;
    int fd = local_socket(port, false, &address);
    bool connected = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0)
        close(fd);
    return connected;
}

/* ---- which tunnels there are ------------------------------------------------------------------- */

static bool tunnels_path(const struct cloud *cloud, char out[PATH_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/tunnels", cloud->host->conf_directory(cloud->conf));

    return length > 0 && length < PATH_MAX - 128;
}

/* REPLICA-PORT-LOCALPORT; the replica's name may hold '-' itself. */
static bool parse_name(const char *name, char instance[GCE_NAME], unsigned *port, unsigned *local_port)
{
    const char *last = strrchr(name, '-'), *middle = last;

    while (middle && middle > name && *--middle != '-')
        ;
    if (!last || !middle || middle == name || (size_t)(middle - name) >= GCE_NAME)
        return false;
    snprintf(instance, GCE_NAME, "%.*s", (int)(middle - name), name);
    return sscanf(middle, "-%5u-%5u", port, local_port) == 2 && *port < 65536 && *local_port < 65536;
}

static void end(const char *directory)
{
    char pid_path[PATH_MAX + 8];

    snprintf(pid_path, sizeof(pid_path), "%s/pid", directory);
    ha_daemon_stop(pid_path, STOP_MS);
    ha_tree_remove(directory);
}

/* One that ended as soon as it was started is not started again at once. */
static bool is_young(const char *pid_path)
{
    struct stat about;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return stat(pid_path, &about) == 0 && now.tv_sec - about.st_mtime >= 0 && now.tv_sec - about.st_mtime < AGAIN_S;
}

/* Looks through the tunnels to that port, any if 0; with `stop` ends them all.
 * True: `found` is one that runs, or, with `ended`, one that has just ended. */
static bool each(const struct cloud *cloud, const char *instance, unsigned port, bool stop, struct tunnel *found,
                 bool *ended)
{
    char path[PATH_MAX], one[PATH_MAX + 300], name[GCE_NAME], pid_path[PATH_MAX + 310];
    DIR *directory = tunnels_path(cloud, path) ? opendir(path) : NULL;
    struct dirent *entry;
    unsigned its_port, local_port;
    bool kept = false;

    while (directory && !kept && (entry = readdir(directory))) {
        pid_t pid;

        if (!parse_name(entry->d_name, name, &its_port, &local_port) || (instance && strcmp(instance, name) != 0) ||
            (port && port != its_port))
            continue;
        snprintf(one, sizeof(one), "%s/%s", path, entry->d_name);
        snprintf(pid_path, sizeof(pid_path), "%s/pid", one);
        kept = !stop && (ha_daemon_state(pid_path, &pid) == HA_PROCESS_RUNNING || (*ended = is_young(pid_path)));
        if (!kept) {
            end(one);
        } else {
            found->local_port = (uint16_t)local_port;
            snprintf(found->directory, sizeof(found->directory), "%.*s", PATH_MAX - 1, one);
        }
    }
    if (directory)
        closedir(directory);
    return kept;
}

/* What it wrote last, for the error. */
static void last_words(const struct tunnel *tunnel, char *out, size_t size)
{
    char path[PATH_MAX + 8], *text = NULL, *line;
    size_t length = 0;

    snprintf(path, sizeof(path), "%s/log", tunnel->directory);
    snprintf(out, size, "it wrote nothing");
    if (ha_file_read(path, LOG_LIMIT, &text, &length) < 0)
        return;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = '\0';
    line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    if (line[0])
        snprintf(out, size, "%s", line);
    free(text);
}

void cloud_tunnels_stop(struct cloud *cloud, const char *instance)
{
    char path[PATH_MAX];

    if (cloud->reach != CLOUD_REACH_TUNNEL)
        return;
    each(cloud, instance, 0, true, NULL, NULL);
    if (tunnels_path(cloud, path))
        rmdir(path); /* if it is empty */
}

/* Whoever waits for the replica is not told why it is not reached: so it is said here, once. */
static int say_ended(struct cloud *cloud, struct hactl_call *call, const struct tunnel *tunnel)
{
    char words[200], text[sizeof(cloud->tunnel_said)];

    last_words(tunnel, words, sizeof(words));
    snprintf(text, sizeof(text), "the tunnel to replica %s port %u has ended: %s", tunnel->instance, tunnel->port,
             words);
    if (strcmp(text, cloud->tunnel_said) != 0)
        cloud->host->log(call, HACTL_LOG_WARNING, "%s", text);
    snprintf(cloud->tunnel_said, sizeof(cloud->tunnel_said), "%s", text);
    return cloud->host->fail(call, HACTL_E_UNAVAILABLE, "%s", text);
}

static int reach_by_tunnel(struct cloud *cloud, struct hactl_call *call, struct tunnel *tunnel)
{
    char path[PATH_MAX];
    bool ended = false;
    int rc = gce_project(cloud->gce, call, &tunnel->project);

    if (rc != HACTL_OK)
        return rc;
    if (each(cloud, tunnel->instance, tunnel->port, false, tunnel, &ended)) {
        if (ended)
            return say_ended(cloud, call, tunnel);
    } else {
        tunnel->local_port = free_port();
        if (!tunnels_path(cloud, path) ||
            (size_t)snprintf(tunnel->directory, sizeof(tunnel->directory), "%.*s/%s-%u-%u", PATH_MAX - 128, path,
                             tunnel->instance, tunnel->port, tunnel->local_port) >= sizeof(tunnel->directory))
            return cloud->host->fail(call, HACTL_E_INVALID, "the state directory's path is too long");
        rc = start(cloud, call, tunnel);
    }
    if (rc == HACTL_OK && !answers(tunnel->local_port))
        rc = cloud->host->fail(call, HACTL_E_BUSY, "the tunnel to replica %s port %u does not listen on port %u yet",
                               tunnel->instance, tunnel->port, tunnel->local_port);
    return rc;
}

/* ---- reach ----------------------------------------------------------------------------------------- */

/* From the last look, so that a look costs no request per port. */
static int find(struct cloud *cloud, struct hactl_call *call, const char *name, const json_t **instance)
{
    char zone[GCE_NAME];
    int rc = cloud->seen.valid && cloud_seen_named(cloud, name) ? HACTL_OK : cloud_zone_of(cloud, call, name, zone);

    *instance = cloud_seen_named(cloud, name);
    if (rc == HACTL_E_NOT_FOUND || (rc == HACTL_OK && !*instance))
        return cloud->host->fail(call, HACTL_E_NOT_FOUND, "replica %s does not exist", name);
    if (rc == HACTL_OK && !cloud_internal_address(*instance)[0])
        rc = cloud->host->fail(call, HACTL_E_UNAVAILABLE, "replica %s has no address yet", name);
    return rc;
}

int cloud_reach(struct cloud *cloud, struct hactl_call *call, const char *instance, uint16_t port)
{
    struct hactl_reach reach = {.struct_size = sizeof(reach), .port = port};
    const json_t *found = NULL;
    int rc = find(cloud, call, instance, &found);

    if (rc != HACTL_OK)
        return rc;
    reach.host = reach.verify = cloud_internal_address(found);
    if (cloud->reach == CLOUD_REACH_EXTERNAL) {
        reach.host = cloud_external_address(found);
        if (!reach.host[0])
            rc = cloud->host->fail(call, HACTL_E_UNAVAILABLE, "replica %s has no external address at the moment",
                                   instance);
    } else if (cloud->reach == CLOUD_REACH_TUNNEL) {
        struct tunnel tunnel = {.instance = instance, .address = reach.verify, .port = port};

        tunnel.zone = gce_link_name(cloud_text(found, "zone"));
        rc = reach_by_tunnel(cloud, call, &tunnel);
        reach.host = "127.0.0.1";
        reach.port = tunnel.local_port;
    }
    return rc == HACTL_OK ? cloud->host->emit_reach(call, &reach) : rc;
}
