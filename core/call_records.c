/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deep copies of what calls emit. One table per record type says which members
 * are strings, so that judging, copying and freeing are the same three loops
 * for all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/call_internal.h"
#include "core/model.h"
#include "core/text.h"

#define RECORDS_MAX   100000u
#define CONTENT_MAX   (16u << 20)
#define ARGUMENTS_MAX 1000u
#define ARGUMENT_MAX  (128u << 10)

/* What names mean is decided by every byte of them: the model must never know
 * an object by half its name. */
enum {
    NAME_MAX_BYTES = HA_NAME - 1,
    ADDRESS_MAX_BYTES = HA_ADDRESS - 1,
    ID_MAX_BYTES = sizeof(((struct ha_member *)NULL)->id) - 1,
    HOST_MAX_BYTES = 109,
    URL_MAX_BYTES = sizeof(((struct ha_member *)NULL)->peer_url) - 1,
    DIGEST_MAX_BYTES = 255,
    PATH_MAX_BYTES = 4095,
    LINES_MAX_BYTES = 64 << 10
};

enum field_type {
    FIELD_STRING,   /* at most `limit` bytes, as all that follow */
    FIELD_LINES,    /* a string that may have lines */
    FIELD_OPTIONAL, /* a string, or NULL */
    FIELD_PROSE,    /* for people: repaired where it is no UTF-8, and cut */
    FIELD_OPTIONAL_PROSE,
    FIELD_ENUM,    /* 0 to `limit` */
    FIELD_CONTENT, /* optional; its size stands at `limit` */
    FIELD_ARGV
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    size_t limit;
};

struct record_type {
    const char *name;
    size_t size;
    size_t array, count; /* offsets in struct hactl_call */
    const struct field *fields;
    size_t field_count;
};

#define AT(type, member) offsetof(struct hactl_##type, member)
#define STRING(type, member, limit)                    \
    {                                                  \
#member, FIELD_STRING, AT(type, member), limit \
    }
#define OPTIONAL(type, member, limit)                    \
    {                                                    \
#member, FIELD_OPTIONAL, AT(type, member), limit \
    }
#define NAME(type, member)          STRING(type, member, NAME_MAX_BYTES)
#define OPTIONAL_NAME(type, member) OPTIONAL(type, member, NAME_MAX_BYTES)
#define PROSE(type, member)                              \
    {                                                    \
#member, FIELD_PROSE, AT(type, member), TEXT_MAX \
    }
#define OPTIONAL_PROSE(type, member)                              \
    {                                                             \
#member, FIELD_OPTIONAL_PROSE, AT(type, member), TEXT_MAX \
    }
#define ENUM(type, member, limit)                    \
    {                                                \
#member, FIELD_ENUM, AT(type, member), limit \
    }
#define TRISTATE(type, member) ENUM(type, member, HACTL_UNKNOWN)
#define CONTENT(type, member, size)                              \
    {                                                            \
#member, FIELD_CONTENT, AT(type, member), AT(type, size) \
    }

static const struct field zone_fields[] = {
    NAME(zone, name),
    NAME(zone, region),
    TRISTATE(zone, up),
};
static const struct field instance_fields[] = {
    NAME(instance, name),
    NAME(instance, zone),
    ENUM(instance, state, HACTL_INSTANCE_UNKNOWN),
    OPTIONAL(instance, internal_address, ADDRESS_MAX_BYTES),
    TRISTATE(instance, data),
    OPTIONAL_PROSE(instance, detail),
    TRISTATE(instance, temporary_address),
};
static const struct field delivery_fields[] = {
    NAME(delivery, instance),         NAME(delivery, payload),
    TRISTATE(delivery, running),      OPTIONAL(delivery, digest, DIGEST_MAX_BYTES),
    OPTIONAL_PROSE(delivery, detail),
};
static const struct field address_fields[] = {
    NAME(address, name),
    ENUM(address, kind, HACTL_ADDRESS_INTERNAL),
    STRING(address, address, ADDRESS_MAX_BYTES),
    TRISTATE(address, held),
    OPTIONAL_NAME(address, instance),
    OPTIONAL_PROSE(address, holder),
};
static const struct field reach_fields[] = {
    STRING(reach, host, HOST_MAX_BYTES),
    STRING(reach, verify, ADDRESS_MAX_BYTES),
};
static const struct field certificate_fields[] = {
    NAME(certificate, purpose),
    OPTIONAL_NAME(certificate, replica),
    TRISTATE(certificate, ready),
    OPTIONAL_PROSE(certificate, reason),
    PROSE(certificate, subject),
    PROSE(certificate, names),
    OPTIONAL(certificate, path, PATH_MAX_BYTES),
    OPTIONAL_PROSE(certificate, wanted),
    OPTIONAL_NAME(certificate, authority),
    ENUM(certificate, rotation, HACTL_ROTATION_RETIRE),
};
static const struct field credential_fields[] = {
    CONTENT(credential, content, content_size),
    OPTIONAL(credential, path, PATH_MAX_BYTES),
};
static const struct field group_fields[] = {
    TRISTATE(group, formed),        TRISTATE(group, quorum),      OPTIONAL(group, cluster_id, ID_MAX_BYTES),
    OPTIONAL_PROSE(group, version), OPTIONAL_PROSE(group, alarm), OPTIONAL_PROSE(group, detail),
};
static const struct field member_fields[] = {
    STRING(member, id, ID_MAX_BYTES),
    OPTIONAL_NAME(member, name),
    STRING(member, address, ADDRESS_MAX_BYTES),
    STRING(member, peer_url, URL_MAX_BYTES),
    TRISTATE(member, started),
    TRISTATE(member, healthy),
    TRISTATE(member, caught_up),
};
static const struct field balancer_fields[] = {
    NAME(balancer, name),
    TRISTATE(balancer, running),
    OPTIONAL(balancer, address, ADDRESS_MAX_BYTES),
    OPTIONAL(balancer, trial_host, ADDRESS_MAX_BYTES),
    OPTIONAL_PROSE(balancer, detail),
};
static const struct field backend_fields[] = {
    NAME(backend, name),
    TRISTATE(backend, healthy),
    OPTIONAL_PROSE(backend, detail),
};
static const struct field file_fields[] = {
    STRING(file, path, PATH_MAX_BYTES), CONTENT(file, content, content_size), OPTIONAL_NAME(file, purpose),
    OPTIONAL_NAME(file, part),          OPTIONAL_NAME(file, sealed_to),
};
static const struct field unit_fields[] = {
    NAME(unit, name),
    {"argv", FIELD_ARGV, AT(unit, argv), ARGUMENT_MAX},
    OPTIONAL_NAME(unit, package),
    ENUM(unit, restart, HACTL_RESTART_ON_FAILURE),
};
static const struct field port_fields[] = {
    NAME(port, name),
};
static const struct field request_fields[] = {
    NAME(request, instance),
    NAME(request, purpose),
    {"content", FIELD_LINES, AT(request, content), LINES_MAX_BYTES},
};
static const struct field firewall_fields[] = {
    TRISTATE(firewall, whole),
    OPTIONAL(firewall, digest, DIGEST_MAX_BYTES),
};

#define RECORD(type, plural)                                                                                       \
    {                                                                                                              \
#type, sizeof(struct hactl_##type), offsetof(struct hactl_call, plural),                                   \
            offsetof(struct hactl_call, type##_count), type##_fields, sizeof type##_fields / sizeof *type##_fields \
    }

static const struct record_type record_types[HA_RECORDS_END] = {
    [HA_RECORD_ZONE] = RECORD(zone, zones),
    [HA_RECORD_INSTANCE] = RECORD(instance, instances),
    [HA_RECORD_DELIVERY] = RECORD(delivery, deliveries),
    [HA_RECORD_ADDRESS] = RECORD(address, addresses),
    [HA_RECORD_REACH] = RECORD(reach, reaches),
    [HA_RECORD_CERTIFICATE] = RECORD(certificate, certificates),
    [HA_RECORD_CREDENTIAL] = RECORD(credential, credentials),
    [HA_RECORD_GROUP] = RECORD(group, groups),
    [HA_RECORD_MEMBER] = RECORD(member, members),
    [HA_RECORD_BALANCER] = RECORD(balancer, balancers),
    [HA_RECORD_BACKEND] = RECORD(backend, backends),
    [HA_RECORD_FILE] = RECORD(file, files),
    [HA_RECORD_UNIT] = RECORD(unit, units),
    [HA_RECORD_PORT] = RECORD(port, ports),
    [HA_RECORD_REQUEST] = RECORD(request, requests),
    [HA_RECORD_FIREWALL] = RECORD(firewall, firewalls),
};

/* ---- members by offset; memcpy because each record has its own pointer type */

static const void *pointer_at(const void *base, size_t offset)
{
    const void *pointer;

    memcpy(&pointer, (const char *)base + offset, sizeof pointer);
    return pointer;
}

static void pointer_set(void *base, size_t offset, const void *pointer)
{
    memcpy((char *)base + offset, &pointer, sizeof pointer);
}

static size_t size_at(const void *base, size_t offset)
{
    size_t size;

    memcpy(&size, (const char *)base + offset, sizeof size);
    return size;
}

static void size_set(void *base, size_t offset, size_t size)
{
    memcpy((char *)base + offset, &size, sizeof size);
}

static unsigned enum_at(const void *base, size_t offset)
{
    unsigned value;

    memcpy(&value, (const char *)base + offset, sizeof value);
    return value;
}

/* ---- argument vectors */

static size_t argv_count(const char *const *argv)
{
    size_t count = 0;

    while (count <= ARGUMENTS_MAX && argv[count] != NULL)
        count++;
    return count;
}

static void argv_free(char **argv)
{
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
        free(argv[i]);
    free(argv);
}

static char **argv_copy(const char *const *argv)
{
    size_t count = argv_count(argv);
    char **copy = calloc(count + 1, sizeof *copy);

    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(argv[i]);
        if (copy[i] == NULL) {
            argv_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* ---- judging, copying and freeing a record */

static int judge_string(struct hactl_call *call, const char *type, const struct field *field, const char *string)
{
    if (strlen(string) > field->limit)
        return ha_call_refuse(call, "the plugin emitted a record %s whose %s has %zu bytes; %zu are the most", type,
                              field->name, strlen(string), field->limit);
    /* An argument may well have lines. */
    if (!(field->type == FIELD_ARGV || field->type == FIELD_LINES ? ha_text_is_utf8(string) : ha_text_is_plain(string)))
        return ha_call_refuse(call, "the plugin emitted a record %s whose %s is not plain UTF-8", type, field->name);
    return HACTL_OK;
}

static int judge_argv(struct hactl_call *call, const char *type, const struct field *field, const char *const *argv)
{
    if (argv == NULL || argv_count(argv) < 1 || argv_count(argv) > ARGUMENTS_MAX)
        return ha_call_refuse(call, "the plugin emitted a record %s whose %s has no program or no end", type,
                              field->name);
    for (size_t i = 0; argv[i] != NULL; i++)
        if (judge_string(call, type, field, argv[i]) != HACTL_OK)
            return HACTL_E_INTERNAL;
    return HACTL_OK;
}

static int judge_field(struct hactl_call *call, const char *type, const struct field *field, const void *record)
{
    const void *pointer = field->type == FIELD_ENUM ? NULL : pointer_at(record, field->offset);

    switch (field->type) {
    case FIELD_STRING:
    case FIELD_LINES:
    case FIELD_PROSE:
        if (pointer == NULL)
            return ha_call_refuse(call, "the plugin emitted a record %s without %s", type, field->name);
        return field->type == FIELD_PROSE ? HACTL_OK : judge_string(call, type, field, pointer);
    case FIELD_OPTIONAL:
        return pointer == NULL ? HACTL_OK : judge_string(call, type, field, pointer);
    case FIELD_OPTIONAL_PROSE:
        return HACTL_OK;
    case FIELD_ENUM:
        if (enum_at(record, field->offset) <= field->limit)
            return HACTL_OK;
        return ha_call_refuse(call, "the plugin emitted a record %s with %s = %u, which means nothing", type,
                              field->name, enum_at(record, field->offset));
    case FIELD_CONTENT:
        if (pointer == NULL || size_at(record, field->limit) <= CONTENT_MAX)
            return HACTL_OK;
        return ha_call_refuse(call, "the plugin emitted a record %s with %zu bytes of %s", type,
                              size_at(record, field->limit), field->name);
    case FIELD_ARGV:
        return judge_argv(call, type, field, pointer);
    }
    return HACTL_E_INTERNAL;
}

static int judge_record(struct hactl_call *call, const struct record_type *type, const void *record)
{
    uint32_t struct_size = 0;

    if (record != NULL)
        memcpy(&struct_size, record, sizeof struct_size);
    if (struct_size < type->size)
        return ha_call_refuse(
            call, "the plugin emitted a record %s of %u bytes where ABI %d.%d has %zu (struct_size not set?)",
            type->name, struct_size, HACTL_ABI_MAJOR, HACTL_ABI_MINOR, type->size);
    for (size_t i = 0; i < type->field_count; i++)
        if (judge_field(call, type->name, &type->fields[i], record) != HACTL_OK)
            return HACTL_E_INTERNAL;
    return HACTL_OK;
}

static void record_clear(const struct record_type *type, void *record)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        void *owned = field->type == FIELD_ENUM ? NULL : (void *)(uintptr_t)pointer_at(record, field->offset);

        if (owned == NULL)
            continue;
        if (field->type == FIELD_ARGV) {
            argv_free(owned);
            continue;
        }
        if (field->type == FIELD_CONTENT)
            explicit_bzero(owned, size_at(record, field->limit));
        free(owned);
    }
}

static void *content_copy(const void *content, size_t size)
{
    char *copy = malloc(size + 1);

    if (copy != NULL) {
        memcpy(copy, content, size);
        copy[size] = '\0';
    }
    return copy;
}

static void *prose_copy(const char *prose, size_t limit)
{
    char *copy = malloc(limit + 1);

    if (copy != NULL) {
        ha_text_copy(copy, limit + 1, prose);
        ha_text_repair(copy);
    }
    return copy;
}

static void *field_copy(const struct field *field, const void *record, const void *from)
{
    switch (field->type) {
    case FIELD_CONTENT:
        return content_copy(from, size_at(record, field->limit));
    case FIELD_ARGV:
        return argv_copy(from);
    case FIELD_PROSE:
    case FIELD_OPTIONAL_PROSE:
        return prose_copy(from, field->limit);
    case FIELD_STRING:
    case FIELD_LINES:
    case FIELD_OPTIONAL:
    case FIELD_ENUM:
        break;
    }
    return strdup(from);
}

static int record_copy(const struct record_type *type, const void *record, void *copy)
{
    uint32_t struct_size = (uint32_t)type->size;
    int result = 0;

    memcpy(copy, record, type->size);
    memcpy(copy, &struct_size, sizeof struct_size);
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        const void *from;
        void *to;

        if (field->type == FIELD_ENUM)
            continue;
        from = pointer_at(record, field->offset);
        if (from == NULL && field->type == FIELD_CONTENT)
            size_set(copy, field->limit, 0);
        if (from == NULL)
            continue;
        to = field_copy(field, record, from);
        pointer_set(copy, field->offset, to);
        if (to == NULL)
            result = -1;
    }
    return result;
}

/* Room for one more; the arrays double when their count is a power of two. */
static void *records_grow(const struct record_type *type, struct hactl_call *call)
{
    size_t count = size_at(call, type->count);
    void *records = (void *)(uintptr_t)pointer_at(call, type->array);

    if ((count & (count - 1)) != 0)
        return records;
    records = reallocarray(records, count == 0 ? 1 : count * 2, type->size);
    if (records != NULL)
        pointer_set(call, type->array, records);
    return records;
}

int ha_call_emit(struct hactl_call *call, enum ha_record record_type, const void *record)
{
    const struct record_type *type = &record_types[record_type];
    size_t count = size_at(call, type->count);
    char *records;

    if (judge_record(call, type, record) != HACTL_OK)
        return HACTL_E_INTERNAL;
    if (count >= RECORDS_MAX)
        return ha_call_refuse(call, "the plugin emitted more than %u records %s", RECORDS_MAX, type->name);
    records = records_grow(type, call);
    if (records == NULL)
        return ha_call_refuse(call, "out of memory");
    if (record_copy(type, record, records + count * type->size) != 0) {
        record_clear(type, records + count * type->size);
        return ha_call_refuse(call, "out of memory");
    }
    size_set(call, type->count, count + 1);
    return HACTL_OK;
}

static void unread_free(struct ha_unread *unread)
{
    free(unread->zone);
    free(unread->why);
}

/* An array of its own, as no record of the contract says this. */
int ha_call_emit_unread(struct hactl_call *call, const char *zone, const char *why)
{
    static const struct field zone_field = {"name", FIELD_STRING, 0, NAME_MAX_BYTES};
    struct ha_unread *grown;
    struct ha_unread added = {NULL, NULL};

    if (why == NULL)
        return ha_call_refuse(call, "the plugin says that something could not be read, and not why");
    if (zone != NULL && judge_string(call, "zone", &zone_field, zone) != HACTL_OK)
        return HACTL_E_INTERNAL;
    if (call->unread_count >= RECORDS_MAX)
        return ha_call_refuse(call, "the plugin emitted more than %u zones as unread", RECORDS_MAX);
    grown = reallocarray(call->unread, call->unread_count + 1, sizeof *grown);
    if (grown != NULL)
        call->unread = grown;
    added.zone = zone == NULL ? NULL : strdup(zone);
    added.why = prose_copy(why, TEXT_MAX);
    if (grown == NULL || (zone != NULL && added.zone == NULL) || added.why == NULL) {
        unread_free(&added);
        return ha_call_refuse(call, "out of memory");
    }
    call->unread[call->unread_count++] = added;
    return HACTL_OK;
}

void ha_call_forget_records(struct hactl_call *call)
{
    for (size_t i = 0; i < HA_RECORDS_END; i++) {
        const struct record_type *type = &record_types[i];
        char *records = (char *)(uintptr_t)pointer_at(call, type->array);

        for (size_t j = 0; j < size_at(call, type->count); j++)
            record_clear(type, records + j * type->size);
        free(records);
        pointer_set(call, type->array, NULL);
        size_set(call, type->count, 0);
    }
    for (size_t i = 0; i < call->unread_count; i++)
        unread_free(&call->unread[i]);
    free(call->unread);
    call->unread = NULL;
    call->unread_count = 0;
}
