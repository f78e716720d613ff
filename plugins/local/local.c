/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"
#include "lib/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_LIMIT 64

/* ---- small things that every file here uses ------------------------------ */

int local_error(const struct local *local, struct hactl_call *call, int error, const char *format, ...)
{
    char text[1024], reason[128];
    va_list arguments;
    int code = HACTL_E_INTERNAL;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (error == -EACCES || error == -EPERM || error == -EROFS)
        code = HACTL_E_DENIED;
    else if (error == -ENOSPC || error == -EDQUOT || error == -EMFILE || error == -ENOMEM || error == -EAGAIN)
        code = HACTL_E_QUOTA;
    else if (error == -EBUSY)
        code = HACTL_E_BUSY;
    return local->host->fail(call, code, "%s: %s", text, strerror_r(-error, reason, sizeof(reason)));
}

const char *local_path(const struct local *local, char out[PATH_MAX], const char *format, ...)
{
    size_t used = strlen(local->directory);
    va_list arguments;
    int length;

    memcpy(out, local->directory, used);
    out[used++] = '/';
    va_start(arguments, format);
    length = vsnprintf(out + used, PATH_MAX - used, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= PATH_MAX - used)
        out[0] = '\0';
    return out;
}

bool local_name_valid(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_LIMIT || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return true;
}

int local_name_check(const struct local *local, struct hactl_call *call, const char *kind, const char *name)
{
    if (local_name_valid(name))
        return HACTL_OK;
    return local->host->fail(call, HACTL_E_INVALID,
                             "%s name \"%.80s\" cannot be used: letters, digits, '-', '_' and '.', at most %d, the "
                             "first a letter or digit",
                             kind, name, NAME_LIMIT);
}

int64_t local_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

json_t *local_json_read(const char *path)
{
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);

    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

int local_json_write(const char *path, const json_t *json, bool durable)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
    int rc;

    if (!text)
        return -ENOMEM;
    rc = ha_file_replace(path, text, strlen(text), 0600, durable);
    free(text);
    return rc;
}

const char *local_json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

void local_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int local_names(const char *path, char ***out, size_t *count)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    *out = NULL;
    *count = 0;
    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    while ((entry = readdir(directory))) {
        char **more;
        if (entry->d_name[0] == '.')
            continue;
        more = realloc(*out, (*count + 1) * sizeof(**out));
        if (more)
            *out = more;
        if (!more || !(more[*count] = strdup(entry->d_name))) {
            closedir(directory);
            local_names_free(*out, *count);
            *out = NULL;
            *count = 0;
            return -ENOMEM;
        }
        ++*count;
    }
    closedir(directory);
    if (*count)
        qsort(*out, *count, sizeof(**out), compare_names);
    return 0;
}

/* ---- settings -------------------------------------------------------------- */

static const struct hactl_key local_keys[] = {
    {"zones", HACTL_KEY_STRING_LIST, 0, "a b c", 0, 0, NULL,
     "Names of the zones; on one machine they are labels only."},
    {"region", HACTL_KEY_STRING, 0, "local", 0, 0, NULL, "The region that the zones are said to be in."},
    {"network", HACTL_KEY_STRING, 0, NULL, 0, 0, NULL,
     "The loopback network of the cluster, such as 127.80.1.0/24; derived from the cluster's name when not set."},
    {"registry", HACTL_KEY_PATH, 0, NULL, 0, 0, NULL,
     "Directory in which the clusters of this user record their networks; "
     "$XDG_STATE_HOME/hactl/local-networks or ~/.local/state/hactl/local-networks when not set."},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

static int set_absolute(char out[PATH_MAX], const char *path)
{
    char here[PATH_MAX];
    int length;

    if (path[0] == '/')
        length = snprintf(out, PATH_MAX, "%s", path);
    else if (!getcwd(here, sizeof(here)))
        return -errno;
    else
        length = snprintf(out, PATH_MAX, "%s/%s", here, path);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int set_registry(struct local *local)
{
    const char *configured = local->host->conf_string(local->conf, "registry");
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int length;

    if (configured)
        return set_absolute(local->registry, configured);
    if (state && state[0] == '/')
        length = snprintf(local->registry, PATH_MAX, "%s/hactl/local-networks", state);
    else
        length = snprintf(local->registry, PATH_MAX, "%s/.local/state/hactl/local-networks", home ? home : "");
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int local_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                      void **self)
{
    const char *network = host->conf_string(conf, "network");
    struct local *local = calloc(1, sizeof(*local));
    int rc = HACTL_OK;

    if (!local)
        return host->fail(call, HACTL_E_QUOTA, "out of memory");
    local->host = host;
    local->conf = conf;
    local->cluster = host->conf_cluster(conf);
    if (set_absolute(local->directory, host->conf_directory(conf)) < 0 || set_registry(local) < 0)
        rc = host->fail(call, HACTL_E_INVALID, "state directory %s: its path is too long", host->conf_directory(conf));
    else if (network && local_network_parse(network, local->network) < 0)
        rc = host->fail(call, HACTL_E_INVALID,
                        "network = \"%s\" is not a loopback network of 256 addresses, such as 127.80.1.0/24", network);
    else if (!host->conf_list(conf, "zones", 0))
        rc = host->fail(call, HACTL_E_INVALID, "zones is empty: name at least one");
    if (rc == HACTL_OK)
        *self = local;
    else
        free(local);
    return rc;
}

static void local_close(void *self)
{
    free(self);
}

/* ---- operations ------------------------------------------------------------- */

static int local_check(void *self, struct hactl_call *call)
{
    struct local *local = self;
    char *haproxy = NULL;
    int rc = ha_program_find("haproxy", &haproxy);

    free(haproxy);
    if (rc < 0)
        return local->host->fail(call, HACTL_E_UNSUPPORTED, "haproxy is not installed: apt-get install haproxy");
    rc = local_network_check(local, call);
    return rc < 0 ? rc : local_disk_check(local, call);
}

static int local_zones(void *self, struct hactl_call *call)
{
    struct local *local = self;
    struct hactl_zone zone = {.struct_size = sizeof(zone), .up = HACTL_YES};
    int rc = HACTL_OK;

    zone.region = local->host->conf_string(local->conf, "region");
    for (size_t i = 0; rc == HACTL_OK && (zone.name = local->host->conf_list(local->conf, "zones", i)); i++)
        rc = local->host->emit_zone(call, &zone);
    return rc;
}

static int local_list(void *self, struct hactl_call *call)
{
    int rc = local_instances_list(self, call);

    return rc < 0 ? rc : local_addresses_list(self, call);
}

static int op_address_ensure(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                             const char *instance, const char *zone)
{
    (void)zone;
    return local_address_ensure(self, call, name, kind, instance);
}

static int op_address_destroy(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    return local_address_destroy(self, call, name, kind);
}

static int op_instance_ensure(void *self, struct hactl_call *call, const struct hactl_instance_want *want)
{
    return local_instance_ensure(self, call, want->replica);
}

static int op_instance_destroy(void *self, struct hactl_call *call, const char *name)
{
    return local_instance_destroy(self, call, name);
}

static int op_deliver(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload)
{
    return local_deliver(self, call, instance, payload);
}

static int op_claim(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                    uint16_t instance_port)
{
    return local_claim(self, call, address, instance, port, instance_port);
}

static int op_release(void *self, struct hactl_call *call, const char *address, const char *instance)
{
    return local_release(self, call, address, instance);
}

static int local_reach(void *self, struct hactl_call *call, const char *instance, uint16_t port)
{
    struct local *local = self;
    struct local_instance found;
    struct hactl_reach reach = {.struct_size = sizeof(reach), .port = port};
    int rc = local_instance_need(local, call, instance, &found);

    if (rc == HACTL_OK) {
        reach.host = reach.verify = found.address;
        rc = local->host->emit_reach(call, &reach);
    }
    local_instance_clear(&found);
    return rc;
}

static int op_unit_log(void *self, struct hactl_call *call, const char *instance, const char *unit)
{
    return local_unit_log(self, call, instance, unit);
}

/* Replicas are processes of this machine: what it has not, they have not. */
static int local_can_run(void *self, struct hactl_call *call, const struct hactl_unit *const *units, size_t unit_count)
{
    struct local *local = self;

    for (size_t i = 0; i < unit_count; i++) {
        const char *name = units[i]->argv[0], *package = units[i]->package;
        char *program = NULL;
        int rc = ha_program_find(name, &program);

        free(program);
        if (rc == -ENOENT && package)
            return local->host->fail(call, HACTL_E_UNSUPPORTED, "%s is not installed: apt-get install %s", name,
                                     package);
        if (rc == -ENOENT)
            return local->host->fail(call, HACTL_E_UNSUPPORTED, "%s is not installed", name);
        if (rc < 0)
            return local_error(local, call, rc, "%s", name);
    }
    return HACTL_OK;
}

static int op_forget(void *self, struct hactl_call *call)
{
    struct local *local = self;
    char path[PATH_MAX], **names;
    size_t count;
    int rc = local_names(local_path(local, path, "instances"), &names, &count);

    if (rc == 0 && count > 0)
        rc = local->host->fail(call, HACTL_E_CONFLICT, "replica %s is still there", names[0]);
    else if (rc == 0 && (rc = ha_tree_remove(local->directory)) == 0)
        rc = local_network_forget(local, call);
    else
        rc = local_error(local, call, rc, "state directory %s", local->directory);
    local_names_free(names, count);
    return rc;
}

static const struct hactl_cloud_ops local_cloud = {
    .struct_size = sizeof(local_cloud),
    .zones = local_zones,
    .list = local_list,
    .address_ensure = op_address_ensure,
    .address_destroy = op_address_destroy,
    .instance_ensure = op_instance_ensure,
    .instance_destroy = op_instance_destroy,
    .deliver = op_deliver,
    .claim = op_claim,
    .release = op_release,
    .reach = local_reach,
    .unit_log = op_unit_log,
    .forget = op_forget,
    .can_run = local_can_run,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "local",
    .version = "0.1.0",
    .summary = "Replicas as processes on loopback addresses of this machine; no root, no container",
    .keys = local_keys,
    .open = local_open,
    .close = local_close,
    .check = local_check,
    .cloud = &local_cloud,
};
