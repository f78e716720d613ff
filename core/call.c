/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls and the deep copies of what they emit. One table per record type says
 * which members are strings, so that judging, copying and freeing are the
 * same three loops for all of them.
 */
#include "core/call.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/call_internal.h"
#include "core/error.h"
#include "core/log.h"

#define RECORDS_MAX   100000u
#define CONTENT_MAX   (16u << 20)
#define ARGUMENTS_MAX 1000u

enum field_type {
    FIELD_STRING,
    FIELD_OPTIONAL,
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
#define STRING(type, member)                       \
    {                                              \
#member, FIELD_STRING, AT(type, member), 0 \
    }
#define OPTIONAL(type, member)                       \
    {                                                \
#member, FIELD_OPTIONAL, AT(type, member), 0 \
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
    STRING(zone, name),
    STRING(zone, region),
    TRISTATE(zone, up),
};
static const struct field instance_fields[] = {
    STRING(instance, name),
    STRING(instance, zone),
    ENUM(instance, state, HACTL_INSTANCE_UNKNOWN),
    STRING(instance, internal_address),
    TRISTATE(instance, data),
    OPTIONAL(instance, detail),
};
static const struct field delivery_fields[] = {
    STRING(delivery, instance), STRING(delivery, payload),  TRISTATE(delivery, running),
    OPTIONAL(delivery, digest), OPTIONAL(delivery, detail),
};
static const struct field address_fields[] = {
    STRING(address, name),       ENUM(address, kind, HACTL_ADDRESS_INTERNAL),
    STRING(address, address),    TRISTATE(address, held),
    OPTIONAL(address, instance), OPTIONAL(address, holder),
};
static const struct field reach_fields[] = {
    STRING(reach, host),
    STRING(reach, verify),
};
static const struct field certificate_fields[] = {
    STRING(certificate, purpose),    OPTIONAL(certificate, replica), TRISTATE(certificate, ready),
    OPTIONAL(certificate, reason),   STRING(certificate, subject),   STRING(certificate, names),
    OPTIONAL(certificate, path),     OPTIONAL(certificate, wanted),  OPTIONAL(certificate, authority),
    ENUM(certificate, rotation, HACTL_ROTATION_RETIRE),
};
static const struct field credential_fields[] = {
    CONTENT(credential, content, content_size),
    OPTIONAL(credential, path),
};
static const struct field group_fields[] = {
    TRISTATE(group, formed),  TRISTATE(group, quorum), OPTIONAL(group, cluster_id),
    OPTIONAL(group, version), OPTIONAL(group, alarm),  OPTIONAL(group, detail),
};
static const struct field member_fields[] = {
    STRING(member, id),        OPTIONAL(member, name),    STRING(member, address),     STRING(member, peer_url),
    TRISTATE(member, started), TRISTATE(member, healthy), TRISTATE(member, caught_up),
};
static const struct field balancer_fields[] = {
    STRING(balancer, name),         TRISTATE(balancer, running), OPTIONAL(balancer, address),
    OPTIONAL(balancer, trial_host), OPTIONAL(balancer, detail),
};
static const struct field backend_fields[] = {
    STRING(backend, name),
    TRISTATE(backend, healthy),
    OPTIONAL(backend, detail),
};
static const struct field file_fields[] = {
    STRING(file, path),
    CONTENT(file, content, content_size),
    OPTIONAL(file, purpose),
    OPTIONAL(file, part),
};
static const struct field unit_fields[] = {
    STRING(unit, name),
    {"argv", FIELD_ARGV, AT(unit, argv), 0},
    OPTIONAL(unit, package),
    ENUM(unit, restart, HACTL_RESTART_ON_FAILURE),
};
static const struct field port_fields[] = {
    STRING(port, name),
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
};

static atomic_bool cancel_requested;

void ha_cancel_set(bool cancelled)
{
    atomic_store(&cancel_requested, cancelled);
}

bool ha_cancelled(void)
{
    return atomic_load(&cancel_requested);
}

int64_t ha_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

static int judge_field(struct hactl_call *call, const char *type, const struct field *field, const void *record)
{
    const void *pointer = field->type == FIELD_ENUM ? NULL : pointer_at(record, field->offset);

    switch (field->type) {
    case FIELD_OPTIONAL:
        return HACTL_OK;
    case FIELD_STRING:
        if (pointer != NULL)
            return HACTL_OK;
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin emitted a record %s without %s", type, field->name);
    case FIELD_ENUM:
        if (enum_at(record, field->offset) <= field->limit)
            return HACTL_OK;
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin emitted a record %s with %s = %u, which means nothing",
                            type, field->name, enum_at(record, field->offset));
    case FIELD_CONTENT:
        if (pointer == NULL || size_at(record, field->limit) <= CONTENT_MAX)
            return HACTL_OK;
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin emitted a record %s with %zu bytes of %s", type,
                            size_at(record, field->limit), field->name);
    case FIELD_ARGV:
        if (pointer != NULL && argv_count(pointer) >= 1 && argv_count(pointer) <= ARGUMENTS_MAX)
            return HACTL_OK;
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin emitted a record %s whose %s has no program or no end",
                            type, field->name);
    }
    return HACTL_E_INTERNAL;
}

static int judge_record(struct hactl_call *call, const struct record_type *type, const void *record)
{
    uint32_t struct_size = 0;

    if (record != NULL)
        memcpy(&struct_size, record, sizeof struct_size);
    if (struct_size < type->size)
        return ha_call_fail(call, HACTL_E_INTERNAL,
                            "the plugin emitted a record %s of %u bytes where ABI %d.%d has %zu (struct_size not set?)",
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
        if (field->type == FIELD_CONTENT)
            to = content_copy(from, size_at(record, field->limit));
        else
            to = field->type == FIELD_ARGV ? (void *)argv_copy(from) : (void *)strdup(from);
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
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin emitted more than %u records %s", RECORDS_MAX,
                            type->name);
    records = records_grow(type, call);
    if (records == NULL)
        return ha_call_fail(call, HACTL_E_INTERNAL, "out of memory");
    if (record_copy(type, record, records + count * type->size) != 0) {
        record_clear(type, records + count * type->size);
        return ha_call_fail(call, HACTL_E_INTERNAL, "out of memory");
    }
    size_set(call, type->count, count + 1);
    return HACTL_OK;
}

/* ---- the call itself */

struct hactl_call *ha_call_new(struct ha_instance *instance, const char *what, int64_t timeout_ms)
{
    struct hactl_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->instance = instance;
    snprintf(call->what, sizeof call->what, "%s", what);
    call->timeout_ms = timeout_ms;
    return call;
}

void ha_call_free(struct hactl_call *call)
{
    if (call == NULL)
        return;
    for (size_t i = 0; i < HA_RECORDS_END; i++) {
        const struct record_type *type = &record_types[i];
        char *records = (char *)(uintptr_t)pointer_at(call, type->array);

        for (size_t j = 0; j < size_at(call, type->count); j++)
            record_clear(type, records + j * type->size);
        free(records);
    }
    if (call->context_free != NULL)
        call->context_free(call->context);
    free(call->token);
    free(call->emitted_text);
    free(call);
}

int ha_call_fail_of(struct hactl_call *call, int code, const char *format, va_list arguments)
{
    if (code >= HACTL_OK)
        code = HACTL_E_INTERNAL;
    if (call->text[0] != '\0')
        return code;
    vsnprintf(call->text, sizeof call->text, format, arguments);
    for (char *c = call->text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return code;
}

int ha_call_fail(struct hactl_call *call, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    code = ha_call_fail_of(call, code, format, arguments);
    va_end(arguments);
    return code;
}

/* A plugin's answer is believed only where it keeps the contract. */
static int judged_code(struct hactl_call *call, int code)
{
    if (code > HACTL_PENDING || code < HACTL_E_CANCELLED) {
        call->text[0] = '\0';
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin answered %d, which is no code of the contract", code);
    }
    if (code == HACTL_PENDING && call->token == NULL && !call->polls) {
        call->text[0] = '\0';
        return ha_call_fail(call, HACTL_E_INTERNAL, "the plugin answered \"pending\" without a token to poll");
    }
    if (code < HACTL_OK && call->text[0] == '\0')
        return ha_call_fail(call, code, "%s (the plugin gave no reason)", ha_code_name(code));
    return code;
}

void ha_call_run(struct hactl_call *call)
{
    call->started_ms = ha_now_ms();
    call->deadline_ms = call->started_ms + call->timeout_ms;
    call->code = judged_code(call, call->run(call));
    call->ended_ms = ha_now_ms();
    ha_log(HACTL_LOG_DEBUG, "%s: %s: %s after %lld ms%s%s",
           call->instance != NULL && call->instance->conf != NULL ? call->instance->conf->instance : "plugin",
           call->what, ha_code_name(call->code), (long long)(call->ended_ms - call->started_ms),
           call->code < HACTL_OK ? ": " : "", call->code < HACTL_OK ? call->text : "");
}
