/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consensus group that is a directory, for tests in which no machine runs
 * (tests/gce/kill_calls.c): a file for each member, and a line in `log` for each
 * change that was made. Members are started once they were delivered. Without a
 * quorum of them nothing is changed.
 */
#include <hactl/plugin.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMBERS = 16, PORT = 443, PEERS = 2380 };

struct group {
    const struct hactl_host *host;
    const char *directory;
};

static const struct hactl_key keys[] = {
    {.name = "directory", .type = HACTL_KEY_PATH, .flags = HACTL_KEY_REQUIRED, .help = "Where the members are."},
    {.name = NULL}};

static int group_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                      void **self)
{
    struct group *group = calloc(1, sizeof(*group));

    if (!group)
        return host->fail(call, HACTL_E_INTERNAL, "no memory");
    group->host = host;
    group->directory = host->conf_string(conf, "directory");
    *self = group;
    return HACTL_OK;
}

static void group_close(void *self)
{
    free(self);
}

/* ---- the files ------------------------------------------------------------------------- */

static void path_of(const struct group *group, const char *name, char out[4200])
{
    snprintf(out, 4200, "%s/%s", group->directory, name);
}

static void put(const struct group *group, const char *name, const char *content, int flags)
{
    char path[4200];
    int fd;

    path_of(group, name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    if (fd < 0 || write(fd, content, strlen(content)) < 0)
        abort();
    close(fd);
}

/* One write each, so that a killed process has done all of it or nothing. */
static void note(const struct group *group, const char *what, const char *name)
{
    char line[160];

    snprintf(line, sizeof(line), "%s %s\n", what, name);
    put(group, "log", line, O_APPEND);
}

static bool holds(const struct group *group, const char *name, const char *content)
{
    char path[4200], text[64] = "";
    FILE *file;

    path_of(group, name, path);
    file = fopen(path, "re");
    if (file && !fgets(text, sizeof(text), file))
        text[0] = '\0';
    if (file)
        fclose(file);
    return file && strcmp(text, content) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Files are "member-NAME", which hold "voter" or "learner". */
static size_t members(const struct group *group, char names[MEMBERS][64])
{
    DIR *directory = opendir(group->directory);
    struct dirent *entry;
    size_t count = 0;

    while (directory && (entry = readdir(directory)) && count < MEMBERS)
        if (strncmp(entry->d_name, "member-", 7) == 0)
            snprintf(names[count++], 64, "%s", entry->d_name + 7);
    if (directory)
        closedir(directory);
    qsort(names, count, sizeof(*names), by_name);
    return count;
}

static void set_member(const struct group *group, const char *name, const char *as)
{
    char file[80];

    snprintf(file, sizeof(file), "member-%s", name);
    put(group, file, as, O_TRUNC);
}

/* ---- members --------------------------------------------------------------------------------- */

/* Ids are hexadecimal, as etcd's; a name is its own id. */
static void id_of(const char *name, char out[24])
{
    unsigned long long id = 1469598103934665603ULL;

    for (; *name; name++)
        id = (id ^ (unsigned char)*name) * 1099511628211ULL;
    snprintf(out, 24, "%llx", id);
}

static const struct hactl_endpoint *endpoint_of(const struct hactl_group_want *want, const char *name)
{
    for (size_t i = 0; i < want->endpoint_count; i++)
        if (strcmp(want->endpoints[i]->replica, name) == 0)
            return want->endpoints[i];
    return NULL;
}

/* Formed as soon as all founders are there. */
static bool is_formed(const struct group *group, const struct hactl_group_want *want)
{
    char path[4200], name[64];
    FILE *file;
    bool all = true;

    if (holds(group, "formed", "yes"))
        return true;
    path_of(group, "founders", path);
    file = fopen(path, "re");
    if (!file)
        return false;
    while (fscanf(file, "%63s", name) == 1)
        all = all && endpoint_of(want, name);
    rewind(file);
    while (all && fscanf(file, "%63s", name) == 1) {
        char address[80];

        snprintf(address, sizeof(address), "address-%s", name);
        put(group, address, endpoint_of(want, name)->reach->verify, O_TRUNC);
        set_member(group, name, "voter");
        note(group, "found", name);
    }
    if (all)
        put(group, "formed", "yes", O_TRUNC);
    fclose(file);
    return all;
}

static int emit_member(const struct group *group, struct hactl_call *call, const struct hactl_group_want *want,
                       const char *name, bool leads)
{
    char id[24], url[128], file[80], path[4200], address[64] = "";
    const struct hactl_endpoint *endpoint = endpoint_of(want, name);
    struct hactl_member member = {.struct_size = sizeof(member), .id = id, .peer_url = url, .address = address};
    FILE *kept;

    id_of(name, id);
    snprintf(file, sizeof(file), "member-%s", name);
    snprintf(path, sizeof(path), "%s/address-%s", group->directory, name);
    kept = fopen(path, "re");
    if (endpoint)
        snprintf(address, sizeof(address), "%s", endpoint->reach->verify);
    else if (!kept || fscanf(kept, "%63s", address) != 1)
        address[0] = '\0';
    if (kept)
        fclose(kept);
    snprintf(url, sizeof(url), "https://%s:%d", address, PEERS);
    member.name = endpoint ? name : NULL;
    member.voter = holds(group, file, "voter");
    member.leader = leads;
    member.started = member.healthy = member.caught_up = endpoint ? HACTL_YES : HACTL_NO;
    return group->host->emit_member(call, &member);
}

/* More than half of those that vote can be dialled. */
static bool has_quorum(const struct group *group, const struct hactl_group_want *want)
{
    char names[MEMBERS][64], file[80];
    size_t count = members(group, names), voters = 0, there = 0;

    for (size_t i = 0; i < count; i++) {
        snprintf(file, sizeof(file), "member-%s", names[i]);
        voters += holds(group, file, "voter");
        there += holds(group, file, "voter") && endpoint_of(want, names[i]);
    }
    return there * 2 > voters;
}

static int refuse_change(const struct group *group, struct hactl_call *call)
{
    return group->host->fail(call, HACTL_E_UNAVAILABLE, "the group has no quorum");
}

static int group_list(void *self, struct hactl_call *call, const struct hactl_group_want *want)
{
    struct group *group = self;
    bool formed = is_formed(group, want);
    struct hactl_group found = {.struct_size = sizeof(found),
                                .formed = formed ? HACTL_YES : HACTL_UNKNOWN,
                                .quorum = formed && has_quorum(group, want) ? HACTL_YES : HACTL_NO,
                                .cluster_id = formed ? "1" : NULL,
                                .version = "3.5.0"};
    char names[MEMBERS][64];
    size_t count = members(group, names), leader = count;
    int rc = group->host->emit_group(call, &found);

    for (size_t i = count; i-- > 0;)
        if (endpoint_of(want, names[i]) && (leader == count || !holds(group, "leader", names[leader])))
            leader = i;
    for (size_t i = 0; rc == HACTL_OK && formed && i < count; i++)
        rc = emit_member(group, call, want, names[i], i == leader);
    return rc;
}

static int group_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
                     const struct hactl_replica *replica)
{
    struct group *group = self;
    char file[80], address[80];

    if (!has_quorum(group, want))
        return refuse_change(group, call);
    snprintf(file, sizeof(file), "member-%s", replica->name);
    if (!holds(group, file, "voter") && !holds(group, file, "learner")) {
        snprintf(address, sizeof(address), "address-%s", replica->name);
        put(group, address, replica->internal_address, O_TRUNC);
        set_member(group, replica->name, "learner");
        note(group, "add", replica->name);
    }
    return emit_member(group, call, want, replica->name, false);
}

/* The name of the member with that id; false: there is none. */
static bool find(const struct group *group, const char *id, char out[64])
{
    char names[MEMBERS][64], other[24];
    size_t count = members(group, names);

    for (size_t i = 0; i < count; i++) {
        id_of(names[i], other);
        if (strcmp(other, id) == 0) {
            snprintf(out, 64, "%s", names[i]);
            return true;
        }
    }
    return false;
}

static int group_promote(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    struct group *group = self;
    char name[64], file[80];

    if (!has_quorum(group, want))
        return refuse_change(group, call);
    if (!find(group, id, name))
        return group->host->fail(call, HACTL_E_NOT_FOUND, "there is no member %s", id);
    snprintf(file, sizeof(file), "member-%s", name);
    if (!holds(group, file, "voter")) {
        set_member(group, name, "voter");
        note(group, "promote", name);
    }
    return HACTL_OK;
}

static int group_move_leader(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    struct group *group = self;
    char name[64];

    (void)want;
    if (!find(group, id, name))
        return group->host->fail(call, HACTL_E_NOT_FOUND, "there is no member %s", id);
    put(group, "leader", name, O_TRUNC);
    return HACTL_OK;
}

static int group_remove(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    struct group *group = self;
    char name[64], path[4200];

    if (!has_quorum(group, want))
        return refuse_change(group, call);
    if (find(group, id, name)) {
        snprintf(path, sizeof(path), "%s/member-%s", group->directory, name);
        if (unlink(path) == 0)
            note(group, "remove", name);
    }
    return HACTL_OK;
}

/* ---- payload ---------------------------------------------------------------------------------- */

static int group_ports(void *self, struct hactl_call *call)
{
    const struct group *group = self;
    struct hactl_port port = {
        .struct_size = sizeof(port), .name = "api", .port = PORT, .flags = HACTL_PORT_ENDPOINT | HACTL_PORT_OPERATOR};
    struct hactl_port peers = {.struct_size = sizeof(peers), .name = "peers", .port = PEERS, .flags = HACTL_PORT_PEERS};
    int rc = group->host->emit_port(call, &port);

    return rc == HACTL_OK ? group->host->emit_port(call, &peers) : rc;
}

static int group_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    static const char *const argv[] = {"/bin/true", NULL};
    const struct group *group = self;
    struct hactl_unit unit = {.struct_size = sizeof(unit), .name = "group", .argv = argv, .stop_timeout_ms = 1000};
    char founders[1024] = "";

    for (size_t i = 0; want->founding && i < want->peer_count; i++)
        snprintf(founders + strlen(founders), sizeof(founders) - strlen(founders), "%s\n", want->peers[i]->name);
    if (founders[0] && !holds(group, "formed", "yes"))
        put(group, "founders", founders, O_TRUNC);
    return group->host->emit_unit(call, &unit);
}

static int group_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    (void)self, (void)call, (void)want;
    return HACTL_OK;
}

static const struct hactl_member_ops member_ops = {.struct_size = sizeof(member_ops),
                                                   .list = group_list,
                                                   .add = group_add,
                                                   .promote = group_promote,
                                                   .move_leader = group_move_leader,
                                                   .remove = group_remove};
static const struct hactl_payload_ops payload_ops = {
    .struct_size = sizeof(payload_ops), .ports = group_ports, .render = group_render, .probe = group_probe};

const struct hactl_plugin hactl_plugin = {.struct_size = sizeof(hactl_plugin),
                                          .abi_major = HACTL_ABI_MAJOR,
                                          .abi_minor = HACTL_ABI_MINOR,
                                          .name = "group",
                                          .version = "0.1",
                                          .summary = "A group that is a directory (for tests)",
                                          .keys = keys,
                                          .open = group_open,
                                          .close = group_close,
                                          .member = &member_ops,
                                          .payload = &payload_ops};
