/* SPDX-License-Identifier: Apache-2.0 */
/* A test that breaks the contract dies at once with the reason: a test that
 * goes on after such a thing proves nothing. FAKE_HOST_LOG=1 shows the log. */
#include "tests/support/fake_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void broken(const char *format, ...) HACTL_FORMAT(1, 2) __attribute__((noreturn));

static void broken(const char *format, ...)
{
    va_list arguments;

    fputs("fake host: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

static void *must(void *memory)
{
    if (memory == NULL)
        broken("out of memory");
    return memory;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- settings ---- */

struct hactl_conf {
    const struct hactl_key *keys; /* as declared, those with a `*` for each name given; own */
    char **values;                /* one for each key; NULL: not set */
    char ***items;                /* of lists; end with NULL */
    char *instance, *cluster, *directory;
    const struct hactl_conf *other; /* borrowed */
};

static size_t count_keys(const struct hactl_key *keys)
{
    size_t count = 0;

    while (keys != NULL && keys[count].name != NULL)
        count++;
    return count;
}

static size_t find_key(const struct hactl_key *keys, const char *name)
{
    size_t count = count_keys(keys);

    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return i;
    broken("key \"%s\" is not declared", name);
}

static char **split(const char *text)
{
    char **items = must(calloc(strlen(text) / 2 + 2, sizeof *items));
    size_t count = 0;

    for (const char *at = text + strspn(text, " "); *at != '\0'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        items[count++] = must(strndup(at, length));
        at += length;
    }
    return items;
}

/* ---- keys with a `*`: "profiles.web.days" is given, "profiles.*.days" declared ---- */

struct growing {
    struct hactl_key *keys;
    size_t count;
    char *names; /* given, separated by spaces */
};

static void add_key(struct growing *growing, const struct hactl_key *like, const char *name)
{
    growing->keys = must(realloc(growing->keys, (growing->count + 2) * sizeof *growing->keys));
    growing->keys[growing->count] = *like;
    growing->keys[growing->count].name = must(strdup(name));
    memset(&growing->keys[++growing->count], 0, sizeof *growing->keys);
}

static void collect_names(struct growing *growing, const struct fake_setting *settings, const char *prefix)
{
    size_t length = strlen(prefix);
    char *names = must(strdup(""));

    for (; settings != NULL && settings->key != NULL; settings++) {
        const char *name = settings->key + length + 1;
        char word[100], *longer;
        if (strncmp(settings->key, prefix, length) != 0 || settings->key[length] != '.')
            continue;
        snprintf(word, sizeof word, "%.*s ", (int)strcspn(name, "."), name);
        if (strstr(names, word) != NULL)
            continue;
        if (asprintf(&longer, "%s%s", names, word) < 0)
            broken("out of memory");
        free(names);
        names = longer;
    }
    growing->names = names;
}

static void expand_star(struct growing *growing, const struct hactl_key *keys, const struct fake_setting *settings,
                        const char *prefix)
{
    const struct hactl_key list = {.type = HACTL_KEY_STRING_LIST};
    size_t length = strlen(prefix);
    char name[200];

    collect_names(growing, settings, prefix);
    snprintf(name, sizeof name, "%s.*", prefix);
    add_key(growing, &list, name);
    growing->keys[growing->count - 1].default_value = growing->names;
    for (const char *at = growing->names; *at != '\0'; at += strcspn(at, " ") + 1)
        for (const struct hactl_key *key = keys; key->name != NULL; key++)
            if (strncmp(key->name, prefix, length) == 0 && strncmp(key->name + length, ".*.", 3) == 0) {
                snprintf(name, sizeof name, "%s.%.*s.%s", prefix, (int)strcspn(at, " "), at, key->name + length + 3);
                add_key(growing, key, name);
            }
}

static const struct hactl_key *expand(const struct hactl_key *keys, const struct fake_setting *settings)
{
    struct growing growing = {.keys = must(calloc(1, sizeof *growing.keys))};
    char last[100] = "", prefix[100];

    for (const struct hactl_key *key = keys; key != NULL && key->name != NULL; key++) {
        const char *star = strstr(key->name, ".*.");
        if (star == NULL) {
            add_key(&growing, key, key->name);
            continue;
        }
        snprintf(prefix, sizeof prefix, "%.*s", (int)(star - key->name), key->name);
        if (strcmp(prefix, last) != 0)
            expand_star(&growing, keys, settings, prefix);
        memcpy(last, prefix, sizeof last);
    }
    return growing.keys;
}

static void keys_free(const struct hactl_key *keys)
{
    for (const struct hactl_key *key = keys; key->name != NULL; key++) {
        size_t length = strlen(key->name);
        if (length > 2 && strcmp(key->name + length - 2, ".*") == 0)
            free((char *)(uintptr_t)key->default_value);
        free((char *)(uintptr_t)key->name);
    }
    free((void *)(uintptr_t)keys);
}

struct hactl_conf *fake_conf_new(const struct hactl_key *declared, const struct fake_setting *settings,
                                 const char *instance, const char *cluster, const char *directory)
{
    struct hactl_conf *conf = must(calloc(1, sizeof *conf));
    const struct hactl_key *keys = expand(declared, settings);
    size_t count = count_keys(keys);

    conf->keys = keys;
    conf->values = must(calloc(count + 1, sizeof *conf->values));
    conf->items = must(calloc(count + 1, sizeof *conf->items));
    conf->instance = must(strdup(instance));
    conf->cluster = must(strdup(cluster));
    conf->directory = must(strdup(directory));
    for (size_t i = 0; i < count; i++)
        if (keys[i].default_value != NULL)
            conf->values[i] = must(strdup(keys[i].default_value));
    for (; settings != NULL && settings->key != NULL; settings++) {
        size_t i = find_key(keys, settings->key);
        free(conf->values[i]);
        conf->values[i] = must(strdup(settings->value));
    }
    for (size_t i = 0; i < count; i++) {
        if (conf->values[i] == NULL && (keys[i].flags & HACTL_KEY_REQUIRED) != 0)
            broken("key \"%s\" is required", keys[i].name);
        if (keys[i].type == HACTL_KEY_STRING_LIST)
            conf->items[i] = split(conf->values[i] != NULL ? conf->values[i] : "");
    }
    return conf;
}

void fake_conf_free(struct hactl_conf *conf)
{
    if (conf == NULL)
        return;
    for (size_t i = 0; i < count_keys(conf->keys); i++) {
        for (size_t j = 0; conf->items[i] != NULL && conf->items[i][j] != NULL; j++)
            free(conf->items[i][j]);
        free(conf->items[i]);
        free(conf->values[i]);
    }
    keys_free(conf->keys);
    free(conf->items);
    free(conf->values);
    free(conf->instance);
    free(conf->cluster);
    free(conf->directory);
    free(conf);
}

static size_t typed_key(const struct hactl_conf *conf, const char *name, enum hactl_key_type one,
                        enum hactl_key_type other)
{
    size_t i = find_key(conf->keys, name);

    if (conf->keys[i].type != one && conf->keys[i].type != other)
        broken("key \"%s\" is read as another type than it is declared as", name);
    return i;
}

static const char *conf_string(const struct hactl_conf *conf, const char *key)
{
    return conf->values[typed_key(conf, key, HACTL_KEY_STRING, HACTL_KEY_PATH)];
}

void fake_conf_link(struct hactl_conf *conf, const struct hactl_conf *other)
{
    conf->other = other;
}

static const struct hactl_conf *conf_of(const struct hactl_conf *conf, const char *key)
{
    return conf->values[typed_key(conf, key, HACTL_KEY_INSTANCE, HACTL_KEY_INSTANCE)] != NULL ? conf->other : NULL;
}

static int64_t conf_integer(const struct hactl_conf *conf, const char *key)
{
    const char *value = conf->values[typed_key(conf, key, HACTL_KEY_INTEGER, HACTL_KEY_INTEGER)];

    return value != NULL ? strtoll(value, NULL, 0) : 0;
}

static int conf_boolean(const struct hactl_conf *conf, const char *key)
{
    const char *value = conf->values[typed_key(conf, key, HACTL_KEY_BOOLEAN, HACTL_KEY_BOOLEAN)];

    return value != NULL && strcmp(value, "true") == 0;
}

static const char *conf_list(const struct hactl_conf *conf, const char *key, size_t index)
{
    char **items = conf->items[typed_key(conf, key, HACTL_KEY_STRING_LIST, HACTL_KEY_STRING_LIST)];

    for (size_t i = 0; items[i] != NULL; i++)
        if (i == index)
            return items[i];
    return NULL;
}

static const char *conf_instance(const struct hactl_conf *conf)
{
    return conf->instance;
}

static const char *conf_cluster(const struct hactl_conf *conf)
{
    return conf->cluster;
}

static const char *conf_directory(const struct hactl_conf *conf)
{
    return conf->directory;
}

/* ---- speaking ---- */

static void host_log(struct hactl_call *call, enum hactl_log_level level, const char *format, ...)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    char text[1024];
    va_list arguments;

    (void)call;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (level < HACTL_LOG_ERROR || level > HACTL_LOG_DEBUG)
        broken("log level %d does not exist", (int)level);
    if (strchr(text, '\n') != NULL)
        broken("a log text has more than one line: %s", text);
    if (getenv("FAKE_HOST_LOG") != NULL)
        fprintf(stderr, "%s: %s\n", levels[level], text);
}

static int host_fail(struct hactl_call *call, int code, const char *format, ...)
{
    char text[sizeof call->text];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (code < HACTL_E_ENDED || code > HACTL_E_INVALID)
        broken("fail() with code %d, which is no error: %s", code, text);
    if (text[0] == '\0' || strchr(text, '\n') != NULL)
        broken("fail() wants one line: \"%s\"", text);
    if (getenv("FAKE_HOST_LOG") != NULL)
        fprintf(stderr, "fail %d: %s\n", code, text);
    if (call->code == HACTL_OK) {
        call->code = code;
        memcpy(call->text, text, sizeof text);
    }
    return code;
}

static void host_retry_after(struct hactl_call *call, uint32_t ms)
{
    call->retry_after_ms = ms;
}

static int64_t host_ms_left(struct hactl_call *call)
{
    return call->deadline_ms - now_ms();
}

static int host_cancelled(struct hactl_call *call)
{
    return call->cancelled;
}

static const char *host_intent(struct hactl_call *call)
{
    return call->intent[0] != '\0' ? call->intent : NULL;
}

/* ---- what is emitted: one table of members for each record ---- */

enum member_kind { END, TEXT, OPTIONAL_TEXT, BYTES, ARGV };

struct member {
    enum member_kind kind;
    size_t offset;
    size_t size_offset; /* of BYTES */
    const char *name;
};

#define M(type, kind, member)                                                      \
    {                                                                              \
        kind, offsetof(struct hactl_##type, member), 0, "hactl_" #type "." #member \
    }
#define M_BYTES(type, member)                                                                       \
    {                                                                                               \
        BYTES, offsetof(struct hactl_##type, member), offsetof(struct hactl_##type, member##_size), \
            "hactl_" #type "." #member                                                              \
    }
#define M_END           \
    {                   \
        END, 0, 0, NULL \
    }

static const struct member zone_members[] = {M(zone, TEXT, name), M(zone, TEXT, region), M_END};
static const struct member instance_members[] = {M(instance, TEXT, name), M(instance, TEXT, zone),
                                                 M(instance, OPTIONAL_TEXT, internal_address),
                                                 M(instance, OPTIONAL_TEXT, detail), M_END};
static const struct member delivery_members[] = {M(delivery, TEXT, instance), M(delivery, TEXT, payload),
                                                 M(delivery, OPTIONAL_TEXT, digest), M(delivery, OPTIONAL_TEXT, detail),
                                                 M_END};
static const struct member address_members[] = {M(address, TEXT, name), M(address, TEXT, address),
                                                M(address, OPTIONAL_TEXT, instance), M(address, OPTIONAL_TEXT, holder),
                                                M_END};
static const struct member reach_members[] = {M(reach, TEXT, host), M(reach, TEXT, verify), M_END};
static const struct member certificate_members[] = {
    M(certificate, TEXT, purpose),         M(certificate, OPTIONAL_TEXT, replica),
    M(certificate, OPTIONAL_TEXT, reason), M(certificate, TEXT, subject),
    M(certificate, TEXT, names),           M(certificate, OPTIONAL_TEXT, path),
    M(certificate, OPTIONAL_TEXT, wanted), M(certificate, OPTIONAL_TEXT, authority),
    M_END};
static const struct member credential_members[] = {M_BYTES(credential, content), M(credential, OPTIONAL_TEXT, path),
                                                   M_END};
static const struct member group_members[] = {M(group, OPTIONAL_TEXT, cluster_id), M(group, OPTIONAL_TEXT, version),
                                              M(group, OPTIONAL_TEXT, alarm), M(group, OPTIONAL_TEXT, detail), M_END};
static const struct member member_members[] = {M(member, TEXT, id), M(member, OPTIONAL_TEXT, name),
                                               M(member, TEXT, address), M(member, TEXT, peer_url), M_END};
static const struct member balancer_members[] = {M(balancer, TEXT, name), M(balancer, OPTIONAL_TEXT, address),
                                                 M(balancer, OPTIONAL_TEXT, trial_host),
                                                 M(balancer, OPTIONAL_TEXT, detail), M_END};
static const struct member backend_members[] = {M(backend, TEXT, name), M(backend, OPTIONAL_TEXT, detail), M_END};
static const struct member file_members[] = {M(file, TEXT, path), M_BYTES(file, content),
                                             M(file, OPTIONAL_TEXT, purpose), M(file, OPTIONAL_TEXT, part), M_END};
static const struct member unit_members[] = {M(unit, TEXT, name), M(unit, ARGV, argv), M(unit, OPTIONAL_TEXT, package),
                                             M_END};
static const struct member port_members[] = {M(port, TEXT, name), M_END};
static const struct member request_members[] = {M(request, TEXT, instance), M(request, TEXT, purpose),
                                                M(request, TEXT, content), M_END};
static const struct member firewall_members[] = {M(firewall, OPTIONAL_TEXT, digest), M_END};

static char **copy_argv(const char *const *argv, const char *name)
{
    size_t count = 0;
    char **copy;

    while (argv[count] != NULL)
        count++;
    if (count == 0)
        broken("%s is empty", name);
    copy = must(calloc(count + 1, sizeof *copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = must(strdup(argv[i]));
    return copy;
}

static void copy_member(char *record, const struct member *member)
{
    const void *value;
    void *copy;
    size_t size;

    memcpy(&value, record + member->offset, sizeof value);
    if (value == NULL) {
        if (member->kind == TEXT || member->kind == ARGV)
            broken("%s is NULL", member->name);
        return;
    }
    if (member->kind == ARGV) {
        copy = copy_argv(value, member->name);
    } else if (member->kind == BYTES) {
        memcpy(&size, record + member->size_offset, sizeof size);
        copy = must(malloc(size + 1));
        memcpy(copy, value, size);
        ((char *)copy)[size] = '\0';
    } else {
        copy = must(strdup(value));
    }
    memcpy(record + member->offset, &copy, sizeof copy);
}

static void free_records(void *array, size_t count, size_t size, const struct member *members)
{
    for (size_t i = 0; i < count; i++)
        for (const struct member *member = members; member->kind != END; member++) {
            void *value;
            memcpy(&value, (char *)array + i * size + member->offset, sizeof value);
            if (member->kind == ARGV)
                for (char **text = value; *text != NULL; text++)
                    free(*text);
            free(value);
        }
    free(array);
}

static void *append(void *array, size_t count, size_t size, const void *record, uint32_t struct_size,
                    const struct member *members)
{
    char *added;

    if (struct_size != size)
        broken("a record with %s has struct_size %u, not %zu", members->name, struct_size, size);
    array = must(realloc(array, (count + 1) * size));
    added = (char *)array + count * size;
    memcpy(added, record, size);
    for (; members->kind != END; members++)
        copy_member(added, members);
    return array;
}

#define EMIT(type, plural)                                                                                         \
    static int emit_##type(struct hactl_call *call, const struct hactl_##type *record)                             \
    {                                                                                                              \
        call->plural =                                                                                             \
            append(call->plural, call->type##_count, sizeof *record, record, record->struct_size, type##_members); \
        call->type##_count++;                                                                                      \
        return HACTL_OK;                                                                                           \
    }

EMIT(zone, zones)
EMIT(instance, instances)
EMIT(delivery, deliveries)
EMIT(address, addresses)
EMIT(reach, reaches)
EMIT(certificate, certificates)
EMIT(credential, credentials)
EMIT(group, groups)
EMIT(member, members)
EMIT(balancer, balancers)
EMIT(backend, backends)
EMIT(file, files)
EMIT(unit, units)
EMIT(port, ports)
EMIT(request, requests)
EMIT(firewall, firewalls)

static int emit_token(struct hactl_call *call, const char *token)
{
    free(call->token);
    call->token = must(strdup(token));
    return HACTL_OK;
}

static int emit_text(struct hactl_call *call, const char *text)
{
    free(call->emitted_text);
    call->emitted_text = must(strdup(text));
    return HACTL_OK;
}

static int emit_unread(struct hactl_call *call, const char *zone, const char *why)
{
    struct fake_unread *unread;

    if (why == NULL || why[0] == '\0')
        broken("emit_unread() without a reason");
    call->unread = must(realloc(call->unread, (call->unread_count + 1) * sizeof *call->unread));
    unread = &call->unread[call->unread_count++];
    unread->zone = zone == NULL ? NULL : must(strdup(zone));
    unread->why = must(strdup(why));
    return HACTL_OK;
}

/* ---- calls ---- */

struct hactl_call *fake_call_new(int64_t timeout_ms)
{
    struct hactl_call *call = must(calloc(1, sizeof *call));

    call->deadline_ms = now_ms() + timeout_ms;
    return call;
}

#define FREE(type, plural) free_records(call->plural, call->type##_count, sizeof *call->plural, type##_members)

void fake_call_free(struct hactl_call *call)
{
    if (call == NULL)
        return;
    FREE(zone, zones);
    FREE(instance, instances);
    FREE(delivery, deliveries);
    FREE(address, addresses);
    FREE(reach, reaches);
    FREE(certificate, certificates);
    FREE(credential, credentials);
    FREE(group, groups);
    FREE(member, members);
    FREE(balancer, balancers);
    FREE(backend, backends);
    FREE(file, files);
    FREE(unit, units);
    FREE(port, ports);
    FREE(request, requests);
    FREE(firewall, firewalls);
    for (size_t i = 0; i < call->unread_count; i++) {
        free(call->unread[i].zone);
        free(call->unread[i].why);
    }
    free(call->unread);
    free(call->token);
    free(call->emitted_text);
    free(call);
}

const struct hactl_host fake_host = {
    .struct_size = sizeof fake_host,
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .log = host_log,
    .fail = host_fail,
    .retry_after = host_retry_after,
    .ms_left = host_ms_left,
    .cancelled = host_cancelled,
    .intent = host_intent,
    .conf_string = conf_string,
    .conf_integer = conf_integer,
    .conf_boolean = conf_boolean,
    .conf_list = conf_list,
    .conf_instance = conf_instance,
    .conf_cluster = conf_cluster,
    .conf_directory = conf_directory,
    .conf_of = conf_of,
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
    .emit_unread = emit_unread,
};
