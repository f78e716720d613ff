/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which /24 of 127/8 belongs to this cluster, and who has which address in it.
 *
 * The registry holds one symbolic link per network, from "127.80.1" to the
 * state directory of the cluster that has it: symlink(2) is atomic and
 * exclusive, so two clusters cannot take one network, and the link says who
 * did. Clusters of other users have other registries; they are noticed by
 * their listening sockets.
 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"
#include "lib/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND_LOWEST    64
#define SECOND_COUNT     187
#define NETWORK_COUNT    (SECOND_COUNT * 256u)
#define CANDIDATE_LIMIT  200
#define REGISTRY_TRIES   20
#define EXTERNAL_LOWEST  1
#define INTERNAL_LOWEST  11
#define INTERNAL_HIGHEST 254

int local_network_parse(const char *text, char out[16])
{
    unsigned second, third;
    int end = 0;

    if (sscanf(text, "127.%3u.%3u%n", &second, &third, &end) != 2 || second > 255 || third > 255)
        return -EINVAL;
    if (text[end] != '\0' && strcmp(text + end, ".0/24") != 0)
        return -EINVAL;
    snprintf(out, 16, "127.%u.%u", second & 255, third & 255);
    return 0;
}

/* FNV-1a: the same name begins at the same place on every machine. */
static void candidate(const char *cluster, unsigned number, char out[16])
{
    uint64_t hash = 14695981039346656037u;
    unsigned index;

    for (; *cluster; cluster++)
        hash = (hash ^ (unsigned char)*cluster) * 1099511628211u;
    index = (unsigned)((hash % NETWORK_COUNT + number) % NETWORK_COUNT);
    snprintf(out, 16, "127.%u.%u", (SECOND_LOWEST + index / 256) & 255, index & 255);
}

/* ---- who has a network ----------------------------------------------------- */

static bool directory_uses(const char *directory, const char *network)
{
    char path[PATH_MAX];
    json_t *addresses;
    bool uses;

    if ((size_t)snprintf(path, sizeof(path), "%s/addresses.json", directory) >= sizeof(path))
        return true;
    addresses = local_json_read(path);
    uses = addresses ? strcmp(local_json_text(addresses, "network"), network) == 0 : access(path, F_OK) == 0;
    json_decref(addresses);
    return uses;
}

/* A socket that listens anywhere in the network: "etcd (pid 1, user x) on
 * 127.80.1.11:2379"; caller frees. */
static char *find_stranger(const char *network)
{
    FILE *rows = fopen("/proc/net/tcp", "re");
    char row[512], *who, *text = NULL;
    struct in_addr wanted, mask, local;
    unsigned address, port, state;

    mask.s_addr = htonl(0xFFFFFF00);
    snprintf(row, sizeof(row), "%s.0", network);
    if (inet_pton(AF_INET, row, &wanted) != 1)
        wanted.s_addr = 0;
    while (rows && !text && fgets(row, sizeof(row), rows)) {
        if (sscanf(row, " %*d: %8X:%4X %*[0-9A-F]:%*X %2X", &address, &port, &state) != 3 || state != 0x0A)
            continue;
        local.s_addr = address;
        if ((local.s_addr & mask.s_addr) != wanted.s_addr)
            continue;
        char shown[INET_ADDRSTRLEN] = "";
        inet_ntop(AF_INET, &local, shown, sizeof(shown));
        who = ha_listener_describe(shown, (uint16_t)port);
        if (asprintf(&text, "%s listens on %s:%u", who ? who : "a process", shown, port) < 0)
            text = NULL;
        free(who);
    }
    if (rows)
        fclose(rows);
    return text;
}

static int read_holder(const char *entry, char out[PATH_MAX])
{
    ssize_t length = readlink(entry, out, PATH_MAX - 1);

    if (length < 0)
        return -errno;
    out[length] = '\0';
    return 0;
}

/* A cluster whose directory was deleted by hand has left its link behind. */
static int take_over(const struct local *local, const char *entry)
{
    char scratch[PATH_MAX], holder[PATH_MAX];
    int rc;

    if ((size_t)snprintf(scratch, sizeof(scratch), "%s.%d", entry, (int)getpid()) >= sizeof(scratch))
        return -ENAMETOOLONG;
    unlink(scratch);
    if (symlink(local->directory, scratch) < 0 || rename(scratch, entry) < 0)
        return -errno;
    rc = read_holder(entry, holder);
    return rc < 0 ? rc : strcmp(holder, local->directory) == 0 ? 0 : -EEXIST;
}

/* Whoever goes as the last one takes the registry with it, perhaps after it was seen to be there. */
static int enter(const struct local *local, const char *entry)
{
    int rc = -ENOENT;

    for (int i = 0; rc == -ENOENT && i < REGISTRY_TRIES; i++) {
        rc = ha_directory_make(local->registry, 0700);
        if (rc == 0 && symlink(local->directory, entry) < 0)
            rc = -errno;
    }
    return rc;
}

/* 0: the network is ours. -EEXIST: `*holder` says whose it is. */
static int network_take(struct local *local, const char *network, char **holder)
{
    char entry[PATH_MAX], found[PATH_MAX];
    int rc;

    *holder = NULL;
    if ((size_t)snprintf(entry, sizeof(entry), "%s/%s", local->registry, network) >= sizeof(entry))
        return -ENAMETOOLONG;
    rc = read_holder(entry, found);
    if (rc == 0 && strcmp(found, local->directory) == 0)
        return 0;
    if (rc == 0 && directory_uses(found, network)) {
        if (asprintf(holder, "the cluster in %s has it", found) < 0)
            *holder = NULL;
        return -EEXIST;
    }
    if ((*holder = find_stranger(network)))
        return -EEXIST;
    if (rc == 0)
        return take_over(local, entry);
    return enter(local, entry);
}

/* ---- addresses.json -------------------------------------------------------- */

static json_t *addresses_read(struct local *local)
{
    char path[PATH_MAX];

    return local_json_read(local_path(local, path, "addresses.json"));
}

static int addresses_write(struct local *local, struct hactl_call *call, const json_t *addresses)
{
    char path[PATH_MAX];
    int rc = local_json_write(local_path(local, path, "addresses.json"), addresses, true);

    return rc < 0 ? local_error(local, call, rc, "%s", path) : HACTL_OK;
}

static int network_record(struct local *local, struct hactl_call *call, const char *network)
{
    json_t *addresses = json_pack("{s:s, s:s, s:[]}", "cluster", local->cluster, "network", network, "addresses");
    int rc = addresses ? addresses_write(local, call, addresses) : local_error(local, call, -ENOMEM, "addresses");

    json_decref(addresses);
    return rc;
}

static int network_choose(struct local *local, struct hactl_call *call)
{
    unsigned limit = local->network[0] ? 1 : CANDIDATE_LIMIT;
    char network[16] = "", *holder = NULL;
    int rc = -EEXIST;

    for (unsigned i = 0; rc == -EEXIST && i < limit; i++) {
        if (local->network[0])
            memcpy(network, local->network, sizeof(network));
        else
            candidate(local->cluster, i, network);
        free(holder);
        rc = network_take(local, network, &holder);
        if (rc == -EEXIST && limit > 1)
            local->host->log(call, HACTL_LOG_WARNING, "network %s.0/24 is passed over for the next: %s", network,
                             holder ? holder : "it is taken");
    }
    if (rc == -EEXIST && local->network[0])
        rc = local->host->fail(call, HACTL_E_CONFLICT,
                               "network %s.0/24 is taken: %s; set another `network`, or none "
                               "to have one chosen",
                               network, holder ? holder : "another cluster was quicker");
    else if (rc == -EEXIST)
        rc = local->host->fail(call, HACTL_E_CONFLICT,
                               "no free network in %u tries; the last was %s.0/24: %s; set "
                               "`network`",
                               limit, network, holder ? holder : "it is taken");
    else if (rc < 0)
        rc = local_error(local, call, rc, "registry of networks %s", local->registry);
    else
        rc = network_record(local, call, network);
    free(holder);
    return rc;
}

int local_network_ensure(struct local *local, struct hactl_call *call)
{
    char path[PATH_MAX];
    json_t *addresses = addresses_read(local);
    const char *network = local_json_text(addresses, "network");
    int rc = HACTL_OK;

    if (addresses && local->network[0] && strcmp(network, local->network) != 0)
        rc = local->host->fail(call, HACTL_E_CONFLICT,
                               "the cluster lives in network %s.0/24, and network = %s.0/24 is "
                               "set: an existing cluster cannot move",
                               network, local->network);
    if (addresses) {
        json_decref(addresses);
        return rc;
    }
    if (access(local_path(local, path, "addresses.json"), F_OK) == 0)
        return local->host->fail(call, HACTL_E_LOST, "%s is damaged: restore it, or remove the cluster", path);
    rc = ha_directory_make(local->directory, 0700);
    if (rc < 0)
        return local_error(local, call, rc, "state directory %s", local->directory);
    return network_choose(local, call);
}

int local_network_forget(struct local *local, struct hactl_call *call)
{
    char entry[PATH_MAX], holder[PATH_MAX], **names;
    size_t count;
    int rc = local_names(local->registry, &names, &count);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if ((size_t)snprintf(entry, sizeof(entry), "%s/%s", local->registry, names[i]) >= sizeof(entry))
            continue;
        if (read_holder(entry, holder) == 0 && strcmp(holder, local->directory) == 0 && unlink(entry) < 0)
            rc = -errno;
    }
    local_names_free(names, count);
    if (rc < 0)
        return local_error(local, call, rc, "registry of networks %s", local->registry);
    rmdir(local->registry); /* unless another cluster is in it */
    return HACTL_OK;
}

int local_network_check(struct local *local, struct hactl_call *call)
{
    json_t *addresses = addresses_read(local);
    char network[16], address[24];
    int fd, rc = HACTL_OK;

    if (local->network[0])
        memcpy(network, local->network, sizeof(network));
    else
        candidate(local->cluster, 0, network);
    snprintf(address, sizeof(address), "%.15s.1", addresses ? local_json_text(addresses, "network") : network);
    json_decref(addresses);
    fd = local_listen(address, 0);
    if (fd < 0)
        rc = local->host->fail(call, HACTL_E_UNSUPPORTED,
                               "address %s cannot be used: %s; the local cloud needs all of "
                               "127.0.0.0/8 on the loopback interface",
                               address, strerror(errno));
    else
        close(fd);
    return rc;
}

/* ---- addresses -------------------------------------------------------------- */

static const char *kind_name(enum hactl_address_kind kind)
{
    return kind == HACTL_ADDRESS_EXTERNAL ? "external" : "internal";
}

static json_t *address_find(const json_t *addresses, const char *key, const char *value, const char *kind)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(addresses, "addresses"), index,
                       entry) if (strcmp(local_json_text(entry, key), value) == 0 &&
                                  strcmp(local_json_text(entry, "kind"), kind) == 0) return entry;
    return NULL;
}

static bool address_used(struct local *local, const json_t *addresses, const char *address)
{
    char path[PATH_MAX], **names;
    size_t count;
    bool used = address_find(addresses, "address", address, "internal") ||
                address_find(addresses, "address", address, "external");

    /* An instance keeps its address though the reservation was given up first. */
    if (local_names(local_path(local, path, "instances"), &names, &count) < 0)
        return true;
    for (size_t i = 0; !used && i < count; i++) {
        struct local_instance instance;
        used = local_instance_read(local, names[i], &instance) == 0 && strcmp(instance.address, address) == 0;
        local_instance_clear(&instance);
    }
    local_names_free(names, count);
    return used;
}

/* "demo-3" is given .13 where it can be: the same again after every rebuild. */
static unsigned preferred_host(const char *instance)
{
    const char *digits = instance + strlen(instance);
    unsigned long number;

    while (digits > instance && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    number = strtoul(digits, NULL, 10);
    return number >= 1 && number <= INTERNAL_HIGHEST - INTERNAL_LOWEST + 1 ? INTERNAL_LOWEST - 1 + (unsigned)number : 0;
}

static int address_pick(struct local *local, const json_t *addresses, enum hactl_address_kind kind,
                        const char *instance, char out[24])
{
    const char *network = local_json_text(addresses, "network");
    unsigned lowest = kind == HACTL_ADDRESS_EXTERNAL ? EXTERNAL_LOWEST : INTERNAL_LOWEST;
    unsigned highest = kind == HACTL_ADDRESS_EXTERNAL ? INTERNAL_LOWEST - 1 : INTERNAL_HIGHEST;
    unsigned preferred = kind == HACTL_ADDRESS_EXTERNAL ? 0 : preferred_host(instance);

    if (preferred) {
        snprintf(out, 24, "%.15s.%u", network, preferred);
        if (!address_used(local, addresses, out))
            return 0;
    }
    for (unsigned host = lowest; host <= highest; host++) {
        snprintf(out, 24, "%.15s.%u", network, host);
        if (!address_used(local, addresses, out))
            return 0;
    }
    return -EADDRNOTAVAIL;
}

static int address_reserve(struct local *local, struct hactl_call *call, json_t *addresses, const char *name,
                           enum hactl_address_kind kind, const char *instance)
{
    struct local_instance existing;
    char address[24] = "";
    json_t *entry;

    if (kind == HACTL_ADDRESS_INTERNAL && local_instance_read(local, instance, &existing) == 0) {
        snprintf(address, sizeof(address), "%.23s", existing.address);
        local_instance_clear(&existing);
    } else if (address_pick(local, addresses, kind, instance, address) < 0) {
        return local->host->fail(call, HACTL_E_QUOTA, "network %s.0/24 has no free %s address left",
                                 local_json_text(addresses, "network"), kind_name(kind));
    }
    entry = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "kind", kind_name(kind), "address", address, "instance",
                      instance);
    if (json_array_append_new(json_object_get(addresses, "addresses"), entry) < 0)
        return local_error(local, call, -ENOMEM, "address %s", name);
    return addresses_write(local, call, addresses);
}

static int emit_address(struct local *local, struct hactl_call *call, const json_t *entry)
{
    struct hactl_address address = {.struct_size = sizeof(address)};
    char path[PATH_MAX], *owner = NULL;
    int rc;

    address.name = local_json_text(entry, "name");
    address.address = local_json_text(entry, "address");
    if (strcmp(local_json_text(entry, "kind"), "external") == 0) {
        address.kind = HACTL_ADDRESS_EXTERNAL;
        address.instance = owner = local_relay_owner(local, address.address);
    } else {
        const char *instance = local_json_text(entry, "instance");
        address.kind = HACTL_ADDRESS_INTERNAL;
        if (access(local_path(local, path, "instances/%s", instance), F_OK) == 0)
            address.instance = instance;
    }
    rc = local->host->emit_address(call, &address);
    free(owner);
    return rc;
}

int local_address_ensure(struct local *local, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                         const char *instance)
{
    json_t *addresses, *entry;
    int rc = local_name_check(local, call, "address", name);

    if (rc == HACTL_OK && kind == HACTL_ADDRESS_INTERNAL)
        rc = instance ? local_name_check(local, call, "replica", instance)
                      : local->host->fail(call, HACTL_E_INVALID, "internal address %s: for which replica?", name);
    if (rc == HACTL_OK)
        rc = local_network_ensure(local, call);
    if (rc != HACTL_OK)
        return rc;
    addresses = addresses_read(local);
    entry = address_find(addresses, "name", name, kind_name(kind));
    if (!entry) {
        rc = address_reserve(local, call, addresses, name, kind, kind == HACTL_ADDRESS_INTERNAL ? instance : "");
        entry = address_find(addresses, "name", name, kind_name(kind));
    } else if (kind == HACTL_ADDRESS_INTERNAL && strcmp(local_json_text(entry, "instance"), instance) != 0) {
        rc = local->host->fail(call, HACTL_E_CONFLICT, "address %s is replica %s's, not %s's", name,
                               local_json_text(entry, "instance"), instance);
    }
    if (rc == HACTL_OK)
        rc = emit_address(local, call, entry);
    json_decref(addresses);
    return rc;
}

int local_address_destroy(struct local *local, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    json_t *addresses = addresses_read(local), *list = json_object_get(addresses, "addresses"), *entry;
    char *owner = NULL;
    size_t index;
    int rc = HACTL_OK;

    json_array_foreach(list, index, entry)
    {
        if (strcmp(local_json_text(entry, "name"), name) != 0 ||
            strcmp(local_json_text(entry, "kind"), kind_name(kind)) != 0)
            continue;
        if (kind == HACTL_ADDRESS_EXTERNAL && (owner = local_relay_owner(local, local_json_text(entry, "address")))) {
            rc = local->host->fail(call, HACTL_E_CONFLICT, "address %s is still held by replica %s", name, owner);
            break;
        }
        json_array_remove(list, index);
        rc = addresses_write(local, call, addresses);
        break;
    }
    free(owner);
    json_decref(addresses);
    return rc;
}

int local_addresses_list(struct local *local, struct hactl_call *call)
{
    json_t *addresses = addresses_read(local), *entry;
    char path[PATH_MAX];
    size_t index;
    int rc = HACTL_OK;

    if (!addresses && access(local_path(local, path, "addresses.json"), F_OK) == 0)
        return local->host->fail(call, HACTL_E_LOST, "%s is damaged: restore it, or remove the cluster", path);
    json_array_foreach(json_object_get(addresses, "addresses"), index, entry)
    {
        rc = emit_address(local, call, entry);
        if (rc < 0)
            break;
    }
    json_decref(addresses);
    return rc;
}

char *local_address_of(struct local *local, const char *instance)
{
    json_t *addresses = addresses_read(local);
    json_t *entry = address_find(addresses, "instance", instance, "internal");
    char *address = entry ? strdup(local_json_text(entry, "address")) : NULL;

    json_decref(addresses);
    return address;
}

char *local_address_named(struct local *local, const char *name)
{
    json_t *addresses = addresses_read(local);
    json_t *entry = address_find(addresses, "name", name, "external");
    char *address = NULL;

    if (!entry)
        entry = address_find(addresses, "address", name, "external");
    if (entry)
        address = strdup(local_json_text(entry, "address"));
    json_decref(addresses);
    return address;
}
