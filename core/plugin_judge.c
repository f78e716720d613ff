/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges a descriptor before any of its functions is called: what it claims
 * to serve it must serve whole. What is mandatory is data, by offset, and
 * nothing beyond a table's own struct_size is looked at.
 */
#include <stdio.h>
#include <string.h>

#include "core/plugins.h"

#define KEYS_MAX 500u

struct operation {
    const char *name;
    size_t offset;
};

struct kind {
    const char *name;
    size_t offset; /* of the table's pointer in the descriptor */
    const struct operation *mandatory;
    size_t mandatory_count;
};

#define OPERATION(kind, operation)                                 \
    {                                                              \
#operation, offsetof(struct hactl_##kind##_ops, operation) \
    }

static const struct operation cloud_operations[] = {
    OPERATION(cloud, zones),           OPERATION(cloud, list),
    OPERATION(cloud, address_ensure),  OPERATION(cloud, address_destroy),
    OPERATION(cloud, instance_ensure), OPERATION(cloud, instance_destroy),
    OPERATION(cloud, deliver),         OPERATION(cloud, claim),
    OPERATION(cloud, release),         OPERATION(cloud, reach),
};
static const struct operation member_operations[] = {
    OPERATION(member, list),        OPERATION(member, add),    OPERATION(member, promote),
    OPERATION(member, move_leader), OPERATION(member, remove),
};
static const struct operation payload_operations[] = {
    OPERATION(payload, ports),
    OPERATION(payload, render),
    OPERATION(payload, probe),
};
static const struct operation issuer_operations[] = {
    OPERATION(issuer, list),   OPERATION(issuer, authority_ensure), OPERATION(issuer, issue),
    OPERATION(issuer, retire), OPERATION(issuer, credential),       OPERATION(issuer, destroy),
};
static const struct operation balancer_operations[] = {
    OPERATION(balancer, list),           OPERATION(balancer, ensure),
    OPERATION(balancer, backend_ensure), OPERATION(balancer, backend_destroy),
    OPERATION(balancer, claim),          OPERATION(balancer, release),
    OPERATION(balancer, destroy),
};
static const struct operation plugin_operations[] = {
    {"open", offsetof(struct hactl_plugin, open)},
    {"close", offsetof(struct hactl_plugin, close)},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KIND(kind)                                                                              \
    {                                                                                           \
#kind, offsetof(struct hactl_plugin, kind), kind##_operations, COUNT(kind##_operations) \
    }

static const struct kind kinds[HA_KINDS] = {
    [HA_KIND_CLOUD] = KIND(cloud),   [HA_KIND_MEMBER] = KIND(member),     [HA_KIND_PAYLOAD] = KIND(payload),
    [HA_KIND_ISSUER] = KIND(issuer), [HA_KIND_BALANCER] = KIND(balancer),
};

/* What a descriptor of the oldest accepted version has. */
#define DESCRIPTOR_SIZE (offsetof(struct hactl_plugin, balancer) + sizeof(void *))

/* Who is judged, for the messages. */
struct judged {
    const char *path;
    char where[300];
    struct ha_error *error;
};

const char *ha_kind_name(enum ha_kind kind)
{
    return kind < HA_KINDS ? kinds[kind].name : "unknown";
}

static const void *table_of(const struct hactl_plugin *descriptor, const struct kind *kind)
{
    const void *table = NULL;

    if (kind->offset + sizeof table <= descriptor->struct_size)
        memcpy(&table, (const char *)descriptor + kind->offset, sizeof table);
    return table;
}

bool ha_plugin_serves(const struct ha_plugin *plugin, enum ha_kind kind)
{
    return kind < HA_KINDS && table_of(plugin->descriptor, &kinds[kind]) != NULL;
}

static bool is_there(const void *table, uint32_t struct_size, size_t offset)
{
    static const char nothing[sizeof(void (*)(void))];

    return offset + sizeof nothing <= struct_size && memcmp((const char *)table + offset, nothing, sizeof nothing) != 0;
}

static int judge_version(const struct hactl_plugin *descriptor, struct judged *judged)
{
    const char *age = NULL;

    if (descriptor->abi_major != HACTL_ABI_MAJOR)
        age = descriptor->abi_major > HACTL_ABI_MAJOR ? "newer" : "older";
    else if (descriptor->abi_minor > HACTL_ABI_MINOR)
        age = "newer";
    else if (HACTL_ABI_MAJOR == 0 && descriptor->abi_minor != HACTL_ABI_MINOR)
        age = "older";
    if (age == NULL)
        return 0;
    ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s was built for plugin ABI %u.%u; this hactl has %d.%d",
            judged->where, judged->path, descriptor->abi_major, descriptor->abi_minor, HACTL_ABI_MAJOR,
            HACTL_ABI_MINOR);
    ha_advise(judged->error, "the plugin is %s than this hactl: install the one of the same release, or build it again",
              age);
    return -1;
}

static int judge_size(const struct hactl_plugin *descriptor, size_t symbol_size, struct judged *judged)
{
    size_t size = descriptor->struct_size;

    if (size < DESCRIPTOR_SIZE)
        return ha_fail(judged->error, HA_EXIT_PLUGIN,
                       "%splugin %s: its descriptor says struct_size %zu; plugin ABI %u.%u has %zu", judged->where,
                       judged->path, size, descriptor->abi_major, descriptor->abi_minor, DESCRIPTOR_SIZE);
    if (symbol_size != 0 && symbol_size < size)
        return ha_fail(judged->error, HA_EXIT_PLUGIN,
                       "%splugin %s: its descriptor says struct_size %zu but is an object of %zu bytes", judged->where,
                       judged->path, size, symbol_size);
    return 0;
}

static int judge_texts(const struct hactl_plugin *descriptor, struct judged *judged)
{
    const char *missing = NULL;

    if (descriptor->name == NULL || descriptor->name[0] == '\0')
        missing = "name";
    else if (descriptor->version == NULL)
        missing = "version";
    else if (descriptor->summary == NULL)
        missing = "summary";
    if (missing != NULL)
        return ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s: its descriptor has no %s", judged->where,
                       judged->path, missing);
    return 0;
}

static int judge_keys(const struct hactl_plugin *descriptor, struct judged *judged)
{
    const struct hactl_key *keys = descriptor->keys;

    for (size_t i = 0; keys != NULL && keys[i].name != NULL; i++) {
        if (i == KEYS_MAX)
            return ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s: its table of settings has no end",
                           judged->where, judged->path);
        if (keys[i].type < HACTL_KEY_STRING || keys[i].type > HACTL_KEY_INSTANCE || strcmp(keys[i].name, "plugin") == 0)
            return ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s declares its setting \"%s\" wrongly: %s",
                           judged->where, judged->path, keys[i].name,
                           strcmp(keys[i].name, "plugin") == 0 ? "the name is hactl's own" : "unknown type");
        for (size_t j = 0; j < i; j++)
            if (strcmp(keys[i].name, keys[j].name) == 0)
                return ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s declares its setting \"%s\" twice",
                               judged->where, judged->path, keys[i].name);
    }
    return 0;
}

static int judge_operations(const void *table, const char *of, const struct operation *operations, size_t count,
                            struct judged *judged)
{
    uint32_t struct_size;
    char missing[256] = "";
    size_t used = 0;

    memcpy(&struct_size, table, sizeof struct_size);
    for (size_t i = 0; i < count; i++)
        if (!is_there(table, struct_size, operations[i].offset) && used < sizeof missing)
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s", used == 0 ? "" : ", ",
                                     operations[i].name);
    if (used == 0)
        return 0;
    return ha_fail(judged->error, HA_EXIT_PLUGIN, "%splugin %s lacks what is mandatory in %s: %s", judged->where,
                   judged->path, of, missing);
}

static int judge_kinds(const struct hactl_plugin *descriptor, struct judged *judged)
{
    size_t served = 0;

    for (size_t i = 0; i < HA_KINDS; i++) {
        const void *table = table_of(descriptor, &kinds[i]);
        char of[64];

        if (table == NULL)
            continue;
        served++;
        snprintf(of, sizeof of, "the kind %s that it claims to serve", kinds[i].name);
        if (judge_operations(table, of, kinds[i].mandatory, kinds[i].mandatory_count, judged) != 0)
            return -1;
    }
    if (descriptor->member != NULL && descriptor->payload == NULL)
        return ha_fail(judged->error, HA_EXIT_PLUGIN,
                       "%splugin %s serves the kind member without the kind payload: nothing says what its members run",
                       judged->where, judged->path);
    if (served == 0)
        return ha_fail(judged->error, HA_EXIT_PLUGIN,
                       "%splugin %s serves no kind (cloud, member, payload, issuer or balancer)", judged->where,
                       judged->path);
    return 0;
}

int ha_plugin_judge(const struct hactl_plugin *descriptor, size_t size, const char *path, struct ha_source source,
                    struct ha_error *error)
{
    struct judged judged = {.path = path, .error = error};

    ha_source_text(source, judged.where, sizeof judged.where);
    /* The version first: in another major the rest may stand elsewhere. */
    if (judge_version(descriptor, &judged) != 0 || judge_size(descriptor, size, &judged) != 0 ||
        judge_texts(descriptor, &judged) != 0 || judge_keys(descriptor, &judged) != 0 ||
        judge_operations(descriptor, "every plugin", plugin_operations, COUNT(plugin_operations), &judged) != 0)
        return -1;
    return judge_kinds(descriptor, &judged);
}
