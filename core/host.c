/* SPDX-License-Identifier: Apache-2.0 */
/* The host services that plugins are given, as one table. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/call_internal.h"
#include "core/log.h"
#include "core/text.h"

#define TOKEN_MAX 1000u
#define TEXT_MAX  (1u << 20)

static void host_log(struct hactl_call *call, enum hactl_log_level level, const char *format, ...)
{
    char speaker[200];
    va_list arguments;

    snprintf(speaker, sizeof speaker, "%s: %s",
             call->instance != NULL && call->instance->conf != NULL ? call->instance->conf->instance : "plugin",
             call->what);
    va_start(arguments, format);
    ha_log_of(level, speaker, format, arguments);
    va_end(arguments);
}

static int host_fail(struct hactl_call *call, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    code = ha_call_fail_of(call, code, format, arguments);
    va_end(arguments);
    return code;
}

static void host_retry_after(struct hactl_call *call, uint32_t ms)
{
    call->retry_after_ms = ms;
}

static int64_t host_ms_left(struct hactl_call *call)
{
    return call->deadline_ms - ha_now_ms();
}

static int host_cancelled(struct hactl_call *call)
{
    /* The first interrupt lets the current steps come to their end: a request
     * that was cut off may have been obeyed. The looks that see them done have a
     * second for it, and do not wait for a zone that is away. */
    enum { LOOK_ON_MS = 1000 };
    return (call->interruptible && ha_cancelled()) || (call->looks && ha_cancelled_for_ms() > LOOK_ON_MS);
}

/* ---- settings */

/* Asking for what was not declared is a defect of the plugin; saying so beats
 * a crash in the middle of an operation. */
static const struct ha_setting *setting_of(const struct hactl_conf *conf, const char *key, enum hactl_key_type type,
                                           enum hactl_key_type other_type)
{
    for (size_t i = 0; i < conf->setting_count; i++) {
        const struct ha_setting *setting = &conf->settings[i];

        if (strcmp(setting->key->name, key) != 0)
            continue;
        if (setting->key->type == type || setting->key->type == other_type)
            return setting;
        ha_log(HACTL_LOG_ERROR, "plugin %s reads its setting \"%s\" as another type than it declared", conf->plugin,
               key);
        return NULL;
    }
    ha_log(HACTL_LOG_ERROR, "plugin %s reads a setting \"%s\" that it did not declare", conf->plugin, key);
    return NULL;
}

/* NULL and not "": an API must not take an empty request id for one. */
static const char *host_intent(struct hactl_call *call)
{
    return call->intent[0] != '\0' ? call->intent : NULL;
}

static const char *host_conf_string(const struct hactl_conf *conf, const char *key)
{
    const struct ha_setting *setting = setting_of(conf, key, HACTL_KEY_STRING, HACTL_KEY_PATH);

    return setting == NULL ? NULL : setting->string;
}

static const struct hactl_conf *host_conf_of(const struct hactl_conf *conf, const char *key)
{
    const struct ha_setting *setting = setting_of(conf, key, HACTL_KEY_INSTANCE, HACTL_KEY_INSTANCE);

    return setting == NULL ? NULL : setting->instance;
}

static int64_t host_conf_integer(const struct hactl_conf *conf, const char *key)
{
    const struct ha_setting *setting = setting_of(conf, key, HACTL_KEY_INTEGER, HACTL_KEY_INTEGER);

    return setting == NULL ? 0 : setting->integer;
}

static int host_conf_boolean(const struct hactl_conf *conf, const char *key)
{
    const struct ha_setting *setting = setting_of(conf, key, HACTL_KEY_BOOLEAN, HACTL_KEY_BOOLEAN);

    return setting != NULL && setting->integer != 0;
}

static const char *host_conf_list(const struct hactl_conf *conf, const char *key, size_t index)
{
    const struct ha_setting *setting = setting_of(conf, key, HACTL_KEY_STRING_LIST, HACTL_KEY_STRING_LIST);

    if (setting == NULL || setting->list == NULL)
        return NULL;
    for (size_t i = 0; setting->list[i] != NULL; i++)
        if (i == index)
            return setting->list[i];
    return NULL;
}

static const char *host_conf_instance(const struct hactl_conf *conf)
{
    return conf->instance;
}

static const char *host_conf_cluster(const struct hactl_conf *conf)
{
    return conf->cluster;
}

static const char *host_conf_directory(const struct hactl_conf *conf)
{
    return conf->directory;
}

/* ---- results */

static int keep_string(struct hactl_call *call, char **kept, const char *string, size_t limit, const char *name)
{
    char *copy;

    if (string == NULL || strlen(string) > limit)
        return ha_call_refuse(call, "the plugin emitted %s that is %s", name, string == NULL ? "NULL" : "too long");
    copy = strdup(string);
    if (copy == NULL)
        return ha_call_refuse(call, "out of memory");
    free(*kept);
    *kept = copy;
    return HACTL_OK;
}

/* It goes into the journal, and from there to any later instance. */
static int emit_token(struct hactl_call *call, const char *token)
{
    if (call->token != NULL)
        return ha_call_refuse(call, "the plugin emitted a second token");
    if (token != NULL && !ha_text_is_plain(token))
        return ha_call_refuse(call, "the plugin emitted a token that is not printable");
    return keep_string(call, &call->token, token, TOKEN_MAX, "a token");
}

static int emit_text(struct hactl_call *call, const char *text)
{
    int result = keep_string(call, &call->emitted_text, text, TEXT_MAX, "a text");

    /* A process may have written anything. */
    if (result == HACTL_OK)
        ha_text_repair_lines(call->emitted_text);
    return result;
}

/* The only two rules between members: a credential has content, and a file
 * has it or says which credential it is. */
static int emit_credential(struct hactl_call *call, const struct hactl_credential *credential)
{
    int result = ha_call_emit(call, HA_RECORD_CREDENTIAL, credential);

    if (result == HACTL_OK && credential->content == NULL && credential->path == NULL)
        return ha_call_refuse(call, "the plugin emitted a credential without content and path");
    return result;
}

static int emit_file(struct hactl_call *call, const struct hactl_file *file)
{
    int result = ha_call_emit(call, HA_RECORD_FILE, file);

    if (result == HACTL_OK && file->content == NULL && (file->purpose == NULL || file->part == NULL))
        return ha_call_refuse(call, "the plugin emitted file %s without content, purpose and part", file->path);
    return result;
}

#define EMIT(type, record)                                                           \
    static int emit_##type(struct hactl_call *call, const struct hactl_##type *type) \
    {                                                                                \
        return ha_call_emit(call, record, type);                                     \
    }

EMIT(zone, HA_RECORD_ZONE)
EMIT(instance, HA_RECORD_INSTANCE)
EMIT(delivery, HA_RECORD_DELIVERY)
EMIT(address, HA_RECORD_ADDRESS)
EMIT(reach, HA_RECORD_REACH)
EMIT(certificate, HA_RECORD_CERTIFICATE)
EMIT(group, HA_RECORD_GROUP)
EMIT(member, HA_RECORD_MEMBER)
EMIT(balancer, HA_RECORD_BALANCER)
EMIT(backend, HA_RECORD_BACKEND)
EMIT(unit, HA_RECORD_UNIT)
EMIT(port, HA_RECORD_PORT)
EMIT(request, HA_RECORD_REQUEST)
EMIT(firewall, HA_RECORD_FIREWALL)

const struct hactl_host ha_host = {
    .struct_size = sizeof(struct hactl_host),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .log = host_log,
    .fail = host_fail,
    .retry_after = host_retry_after,
    .ms_left = host_ms_left,
    .cancelled = host_cancelled,
    .intent = host_intent,
    .conf_string = host_conf_string,
    .conf_integer = host_conf_integer,
    .conf_boolean = host_conf_boolean,
    .conf_list = host_conf_list,
    .conf_instance = host_conf_instance,
    .conf_cluster = host_conf_cluster,
    .conf_directory = host_conf_directory,
    .conf_of = host_conf_of,
    .emit_token = emit_token,
    .emit_text = emit_text,
    .emit_zone = emit_zone,
    .emit_instance = emit_instance,
    .emit_delivery = emit_delivery,
    .emit_address = emit_address,
    .emit_reach = emit_reach,
    .emit_certificate = emit_certificate,
    .emit_credential = emit_credential,
    .emit_group = emit_group,
    .emit_member = emit_member,
    .emit_balancer = emit_balancer,
    .emit_backend = emit_backend,
    .emit_file = emit_file,
    .emit_unit = emit_unit,
    .emit_port = emit_port,
    .emit_request = emit_request,
    .emit_firewall = emit_firewall,
    .emit_unread = ha_call_emit_unread,
};
