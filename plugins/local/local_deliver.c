/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload on its way to an instance: checked, its data directory, its
 * files, its record, its units, in this order. The fingerprint of everything
 * that a unit is made of decides whether a running one is left alone; it is
 * noted per unit when the unit starts, so an interrupted delivery is finished
 * by the next whatever it had done already.
 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"
#include "lib/process.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct delivery {
    struct local *local;
    struct hactl_call *call;
    const struct local_instance *instance;
    const struct hactl_payload *payload;
    char directory[PATH_MAX], data[PATH_MAX];
    char fingerprint[65];
    char token[33];
    json_t *record, *before;
};

/* ---- checks ------------------------------------------------------------------- */

static bool climbs(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if ((length == 2 && strncmp(part, "..", 2) == 0) || (length == 1 && *part == '.') || length == 0)
            return true;
    }
    return false;
}

/* The absolute path of a file, if it is inside the payload's own directory. */
static int file_path(const struct delivery *delivery, const char *path, char out[PATH_MAX])
{
    size_t length = strlen(delivery->directory);
    int used;

    if (path[0] == '/') {
        if (strncmp(path, delivery->directory, length) != 0 || path[length] != '/')
            return -EPERM;
        path += length + 1;
    }
    if (climbs(path))
        return -EPERM;
    used = snprintf(out, PATH_MAX, "%s/%s", delivery->directory, path);
    return used < 0 || used >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int check_files(struct delivery *delivery)
{
    const struct hactl_payload *payload = delivery->payload;
    const struct hactl_host *host = delivery->local->host;
    char path[PATH_MAX];

    for (size_t i = 0; i < payload->file_count; i++) {
        const struct hactl_file *file = payload->files[i];
        if (file_path(delivery, file->path, path) < 0)
            return host->fail(delivery->call, HACTL_E_INVALID, "file \"%s\" of payload %s is outside its directory",
                              file->path, payload->name);
        if (!file->content)
            return host->fail(delivery->call, HACTL_E_INVALID, "file \"%s\" of payload %s came without content",
                              file->path, payload->name);
    }
    return HACTL_OK;
}

static int check_units(struct delivery *delivery)
{
    const struct hactl_payload *payload = delivery->payload;
    const struct hactl_host *host = delivery->local->host;
    char *program;
    int rc;

    for (size_t i = 0; i < payload->unit_count; i++) {
        const struct hactl_unit *unit = payload->units[i];
        rc = local_name_check(delivery->local, delivery->call, "unit", unit->name);
        if (rc != HACTL_OK)
            return rc;
        if (strcmp(unit->name, LOCAL_RELAY) == 0)
            return host->fail(delivery->call, HACTL_E_INVALID, "unit name \"%s\" is the local cloud's own",
                              LOCAL_RELAY);
        rc = ha_program_find(unit->argv[0], &program);
        if (rc == 0)
            free(program);
        else if (unit->package)
            return host->fail(delivery->call, HACTL_E_UNSUPPORTED, "%s is not installed: apt-get install %s",
                              unit->argv[0], unit->package);
        else
            return host->fail(delivery->call, HACTL_E_UNSUPPORTED, "%s is not installed", unit->argv[0]);
    }
    return HACTL_OK;
}

/* ---- fingerprint --------------------------------------------------------------- */

/* Length first, so that no two different lists have one fingerprint. */
static bool digest_bytes(EVP_MD_CTX *digest, const void *bytes, size_t size)
{
    uint64_t length = size;

    return EVP_DigestUpdate(digest, &length, sizeof(length)) && EVP_DigestUpdate(digest, bytes, size);
}

static bool digest_payload(EVP_MD_CTX *digest, const struct hactl_payload *payload)
{
    bool ok = EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < payload->file_count; i++) {
        const struct hactl_file *file = payload->files[i];
        ok = digest_bytes(digest, file->path, strlen(file->path)) &&
             digest_bytes(digest, &file->mode, sizeof(file->mode)) &&
             digest_bytes(digest, file->content, file->content_size);
    }
    for (size_t i = 0; ok && i < payload->unit_count; i++) {
        const struct hactl_unit *unit = payload->units[i];
        ok = digest_bytes(digest, unit->name, strlen(unit->name));
        for (const char *const *argument = unit->argv; ok && *argument; argument++)
            ok = digest_bytes(digest, *argument, strlen(*argument));
    }
    return ok;
}

static int fingerprint(struct delivery *delivery)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char bytes[32];
    bool ok = digest && digest_payload(digest, delivery->payload) && EVP_DigestFinal_ex(digest, bytes, NULL);

    EVP_MD_CTX_free(digest);
    if (!ok)
        return local_error(delivery->local, delivery->call, -ENOMEM, "payload %s", delivery->payload->name);
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(delivery->fingerprint + 2 * i, 3, "%02x", bytes[i]);
    return HACTL_OK;
}

/* ---- record --------------------------------------------------------------------- */

/* An argument with ${directory} and ${data} replaced. */
static json_t *expand(const struct delivery *delivery, const char *argument)
{
    static const char *const names[] = {"${directory}", "${data}"};
    const char *values[] = {delivery->directory, delivery->data};
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    json_t *out;

    if (!stream)
        return NULL;
    while (*argument) {
        size_t length = 0;
        for (size_t i = 0; !length && i < 2; i++)
            if (strncmp(argument, names[i], strlen(names[i])) == 0) {
                fputs(values[i], stream);
                length = strlen(names[i]);
            }
        if (!length)
            fputc(argument[length++], stream);
        argument += length;
    }
    out = fclose(stream) == 0 ? json_string(text) : NULL;
    free(text);
    return out;
}

static json_t *unit_record(const struct delivery *delivery, const struct hactl_unit *unit)
{
    json_t *argv = json_array();
    int rc = argv ? 0 : -1;

    for (const char *const *argument = unit->argv; rc == 0 && *argument; argument++)
        rc = json_array_append_new(argv, expand(delivery, *argument));
    if (rc < 0) {
        json_decref(argv);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:s, s:I}", "name", unit->name, "argv", argv, "package",
                     unit->package ? unit->package : "", "stop_timeout_ms", (json_int_t)unit->stop_timeout_ms);
}

/* What runs was started from the record before, and is to be known by it. */
static bool keep_units(struct delivery *delivery)
{
    static const char *const kept[] = {"fingerprint", "units", "ports"};
    bool ok = true;

    for (size_t i = 0; ok && delivery->before && i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(delivery->before, kept[i]);
        ok = !value || json_object_set(delivery->record, kept[i], value) == 0;
    }
    return ok;
}

static int record_make(struct delivery *delivery)
{
    const struct hactl_payload *payload = delivery->payload;
    json_t *files = json_array(), *units = json_array(), *ports = json_array();
    bool ok = files && units && ports;

    for (size_t i = 0; ok && i < payload->file_count; i++) {
        char path[PATH_MAX];
        ok = file_path(delivery, payload->files[i]->path, path) == 0 &&
             json_array_append_new(files, json_string(path)) == 0;
    }
    for (size_t i = 0; ok && i < payload->unit_count; i++)
        ok = json_array_append_new(units, unit_record(delivery, payload->units[i])) == 0;
    for (size_t i = 0; ok && i < payload->port_count; i++)
        ok = json_array_append_new(ports, json_pack("{s:s, s:i}", "name", payload->ports[i]->name, "port",
                                                    (int)payload->ports[i]->port)) == 0;
    delivery->record = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:O}", "payload", payload->name, "fingerprint",
                                 delivery->fingerprint, "digest", payload->digest ? payload->digest : "", "data",
                                 delivery->token, "files", files, "units", units, "ports", ports);
    json_decref(files);
    json_decref(units);
    json_decref(ports);
    if (ok && delivery->record && delivery->payload->keep_running)
        ok = keep_units(delivery);
    if (ok && delivery->record)
        return HACTL_OK;
    return local_error(delivery->local, delivery->call, -ENOMEM, "payload %s", payload->name);
}

/* ---- files ----------------------------------------------------------------------- */

static int find_place(const struct delivery *delivery, const struct hactl_file *file, struct local_place *out)
{
    int rc = file_path(delivery, file->path, out->path);

    if (rc < 0)
        return rc;
    snprintf(out->staged, sizeof(out->staged), "%s" LOCAL_STAGED, out->path);
    memcpy(out->parent, out->path, sizeof(out->parent));
    *strrchr(out->parent, '/') = '\0';
    return 0;
}

static bool is_same(const char *path, const struct hactl_file *file, mode_t mode)
{
    struct stat status;
    char *content = NULL;
    size_t size = 0;
    bool same = lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 07777) == mode &&
                ha_file_read(path, file->content_size + 1, &content, &size) == 0 && size == file->content_size &&
                (size == 0 || memcmp(content, file->content, size) == 0);

    ha_secret_free(content, size);
    return same;
}

static int stage_file(const struct delivery *delivery, const struct hactl_file *file, struct local_place *place)
{
    mode_t mode = file->mode ? (mode_t)file->mode : 0600;
    int rc = find_place(delivery, file, place);

    if (rc == 0)
        rc = ha_directory_make(place->parent, 0700);
    if (rc < 0)
        return rc;
    if (is_same(place->path, file, mode))
        return unlink(place->staged) < 0 && errno != ENOENT ? -errno : 0;
    rc = ha_file_replace(place->staged, file->content, file->content_size, mode, true);
    place->changes = rc == 0;
    return rc;
}

/* One by one: nothing comes between the names that files get. */
static int place_each(const struct local_placing *placing, size_t *failed)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < placing->count; i++) {
        *failed = i;
        if (placing->places[i].changes && rename(placing->places[i].staged, placing->places[i].path) < 0)
            rc = -errno;
    }
    for (size_t i = 0; rc == 0 && i < placing->count; i++) {
        *failed = i;
        if (placing->places[i].changes)
            rc = ha_directory_sync(placing->places[i].parent);
    }
    return rc;
}

/* A certificate and its key may be read at any moment, and this process may end at any. */
static int place_files(const struct local_placing *placing, size_t *failed)
{
    size_t changes = 0;

    for (size_t i = 0; i < placing->count; i++)
        changes += placing->places[i].changes;
    return changes > 1 && local_exchange(placing) ? 0 : place_each(placing, failed);
}

static int write_files(struct delivery *delivery)
{
    size_t count = delivery->payload->file_count, failed = 0;
    struct local_placing placing = {
        .directory = delivery->directory, .places = calloc(count + 1, sizeof(*placing.places)), .count = count};
    int rc = ha_directory_make(delivery->directory, 0700);

    if (rc == 0)
        rc = local_exchange_clear(delivery->directory);
    if (rc < 0 || !placing.places) {
        free(placing.places);
        return local_error(delivery->local, delivery->call, rc < 0 ? rc : -ENOMEM, "%s", delivery->directory);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        failed = i;
        rc = stage_file(delivery, delivery->payload->files[i], &placing.places[i]);
    }
    if (rc == 0)
        rc = place_files(&placing, &failed);
    free(placing.places);
    if (rc == 0)
        return HACTL_OK;
    return local_error(delivery->local, delivery->call, rc, "file %s of payload %s of replica %s",
                       delivery->payload->files[failed]->path, delivery->payload->name, delivery->instance->name);
}

static bool holds_text(const json_t *array, const char *key, const char *text)
{
    size_t index;
    json_t *entry;

    json_array_foreach(array, index, entry)
    {
        const char *found = key ? local_json_text(entry, key) : json_string_value(entry);
        if (found && strcmp(found, text) == 0)
            return true;
    }
    return false;
}

/* What the payload had before and has no more: units first, then files. */
static int drop_old(struct delivery *delivery)
{
    const json_t *units = json_object_get(delivery->record, "units"),
                 *files = json_object_get(delivery->record, "files");
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(delivery->before, "units"), index, entry)
    {
        const char *name = local_json_text(entry, "name");
        if (holds_text(units, "name", name))
            continue;
        int rc =
            local_unit_stop(delivery->local, delivery->instance->name, name,
                            (unsigned)json_integer_value(json_object_get(entry, "stop_timeout_ms")), LOCAL_STEP_MS);
        if (rc < 0)
            return local_error(delivery->local, delivery->call, rc == -EINPROGRESS ? -EBUSY : rc,
                               "%s on replica %s, which is to end", name, delivery->instance->name);
    }
    json_array_foreach(json_object_get(delivery->before, "files"), index, entry)
    {
        const char *path = json_string_value(entry);
        if (path && !holds_text(files, NULL, path) && unlink(path) < 0 && errno != ENOENT)
            return local_error(delivery->local, delivery->call, -errno, "%s", path);
    }
    return HACTL_OK;
}

/* ---- deliver ------------------------------------------------------------------------ */

static int deliver(struct delivery *delivery)
{
    struct local *local = delivery->local;
    const char *instance = delivery->instance->name, *name = delivery->payload->name;
    char path[PATH_MAX];
    int rc;

    local_path(local, delivery->directory, "instances/%s/payloads/%s", instance, name);
    local_path(local, delivery->data, "instances/%s/data/%s", instance, name);
    local_path(local, path, "instances/%s/delivered/%s.json", instance, name);
    if ((rc = check_files(delivery)) != HACTL_OK || (rc = check_units(delivery)) != HACTL_OK)
        return rc;
    if ((rc = local_data_ensure(local, delivery->call, instance, name, delivery->token)) != HACTL_OK)
        return rc;
    delivery->before = local_json_read(path);
    if ((rc = fingerprint(delivery)) != HACTL_OK || (rc = record_make(delivery)) != HACTL_OK)
        return rc;
    if (!json_equal(delivery->before, delivery->record)) {
        if ((rc = drop_old(delivery)) != HACTL_OK)
            return rc;
    }
    if ((rc = write_files(delivery)) != HACTL_OK)
        return rc;
    if (!json_equal(delivery->before, delivery->record)) {
        rc = local_json_write(path, delivery->record, true);
        if (rc < 0)
            return local_error(local, delivery->call, rc, "%s", path);
    }
    return local_units_start(local, delivery->call, delivery->instance, name, delivery->record,
                             delivery->payload->keep_running);
}

int local_deliver(struct local *local, struct hactl_call *call, const char *instance,
                  const struct hactl_payload *payload)
{
    struct local_instance found;
    struct delivery *delivery = NULL;
    int rc = local_instance_need(local, call, instance, &found);

    if (rc == HACTL_OK)
        rc = local_name_check(local, call, "payload", payload->name);
    if (rc == HACTL_OK && !(delivery = calloc(1, sizeof(*delivery))))
        rc = local_error(local, call, -ENOMEM, "payload %s", payload->name);
    if (rc == HACTL_OK) {
        delivery->local = local;
        delivery->call = call;
        delivery->instance = &found;
        delivery->payload = payload;
        rc = deliver(delivery);
        json_decref(delivery->record);
        json_decref(delivery->before);
    }
    free(delivery);
    local_instance_clear(&found);
    return rc;
}
