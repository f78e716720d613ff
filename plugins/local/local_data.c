/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data that was lost must be noticed before anything is started over it: a
 * member with an empty directory would come back as one that forgot its votes.
 * A random token stands in the delivery's record and again inside the data
 * directory; the record is written after the directory, so "in the record but
 * not in the directory" can only mean that the directory is another one.
 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TOKEN_LENGTH 32

static int token_read(struct local *local, const char *instance, const char *payload, char out[33])
{
    char path[PATH_MAX], *content = NULL;
    size_t size = 0;
    int rc = ha_file_read(local_path(local, path, "instances/%s/data/%s/.hactl-data", instance, payload), 128, &content,
                          &size);

    out[0] = '\0';
    if (rc == 0 && size == TOKEN_LENGTH + 1 && content[TOKEN_LENGTH] == '\n')
        snprintf(out, 33, "%.32s", content);
    free(content);
    return rc < 0 ? rc : out[0] ? 0 : -EBADMSG;
}

static int token_make(struct local *local, const char *instance, const char *payload, char out[33])
{
    char path[PATH_MAX], line[TOKEN_LENGTH + 2];
    unsigned char random[TOKEN_LENGTH / 2];
    int rc;

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
    rc = ha_directory_make(local_path(local, path, "instances/%s/data/%s", instance, payload), 0700);
    if (rc < 0)
        return rc;
    snprintf(line, sizeof(line), "%s\n", out);
    return ha_file_replace(local_path(local, path, "instances/%s/data/%s/.hactl-data", instance, payload), line,
                           TOKEN_LENGTH + 1, 0600, true);
}

static json_t *record_read(struct local *local, const char *instance, const char *payload)
{
    char path[PATH_MAX];

    return local_json_read(local_path(local, path, "instances/%s/delivered/%s.json", instance, payload));
}

static bool is_lost(struct local *local, const char *instance, const char *payload, const char *recorded)
{
    char token[33];

    return recorded[0] && (token_read(local, instance, payload, token) < 0 || strcmp(token, recorded) != 0);
}

/* The first payload of the instance whose data is gone; caller frees. */
static char *find_lost(struct local *local, const char *instance)
{
    char path[PATH_MAX], **names, *lost = NULL;
    size_t count;

    if (local_names(local_path(local, path, "instances/%s/delivered", instance), &names, &count) < 0)
        return NULL;
    for (size_t i = 0; !lost && i < count; i++) {
        json_t *record = local_json_read(local_path(local, path, "instances/%s/delivered/%s", instance, names[i]));
        const char *payload = local_json_text(record, "payload");
        if (record && is_lost(local, instance, payload, local_json_text(record, "data")))
            lost = strdup(payload);
        json_decref(record);
    }
    local_names_free(names, count);
    return lost;
}

enum hactl_tristate local_data_state(struct local *local, const char *instance)
{
    char *lost = find_lost(local, instance);
    enum hactl_tristate state = lost ? HACTL_NO : HACTL_YES;

    free(lost);
    return state;
}

static int fail_lost(struct local *local, struct hactl_call *call, const char *instance, const char *payload)
{
    return local->host->fail(call, HACTL_E_LOST,
                             "the data of %s on replica %s is gone or not the data it had: "
                             "hactl replica replace %s",
                             payload, instance, instance);
}

int local_data_need(struct local *local, struct hactl_call *call, const char *instance)
{
    char *lost = find_lost(local, instance);
    int rc = lost ? fail_lost(local, call, instance, lost) : HACTL_OK;

    free(lost);
    return rc;
}

int local_data_ensure(struct local *local, struct hactl_call *call, const char *instance, const char *payload,
                      char token[33])
{
    json_t *record = record_read(local, instance, payload);
    char recorded[33];
    int rc;

    snprintf(recorded, sizeof(recorded), "%s", local_json_text(record, "data"));
    json_decref(record);
    if (recorded[0]) {
        memcpy(token, recorded, 33);
        return is_lost(local, instance, payload, recorded) ? fail_lost(local, call, instance, payload) : HACTL_OK;
    }
    rc = token_read(local, instance, payload, token);
    if (rc < 0)
        rc = token_make(local, instance, payload, token);
    return rc < 0 ? local_error(local, call, rc, "data directory of %s on replica %s", payload, instance) : HACTL_OK;
}
