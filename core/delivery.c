/* SPDX-License-Identifier: Apache-2.0 */
#include "core/delivery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hactl_call *ha_delivery_begin(struct ha_session *session, int payload, int replica,
                                     struct ha_delivery_work *work, int64_t timeout_ms)
{
    memset(work, 0, sizeof *work);
    work->payload = payload;
    work->replica = replica;
    return ha_ask_render(session, payload, replica, timeout_ms);
}

/* FNV-1a: enough to tell one rendering from another, and it is no secret. Keys
 * are left out; a new key never comes without a new certificate. */
static uint64_t mix(uint64_t hash, const void *content, size_t size)
{
    const unsigned char *bytes = content;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return mix(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

void ha_delivery_digest(const struct hactl_call *rendered, char out[HA_DIGEST])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325), files;
    for (size_t i = 0; i < rendered->file_count; i++) {
        const struct hactl_file *file = &rendered->files[i];
        hash = mix_text(hash, file->path);
        if (!file->part || strcmp(file->part, "key") != 0)
            hash = mix(hash, file->content, file->content_size);
    }
    files = hash;
    for (size_t i = 0; i < rendered->unit_count; i++) {
        hash = mix_text(hash, rendered->units[i].name);
        for (const char *const *word = rendered->units[i].argv; *word; word++)
            hash = mix_text(hash, *word);
    }
    snprintf(out, HA_DIGEST, "%016" PRIx64 "%016" PRIx64, files, hash);
}

bool ha_delivery_same_files(const char *digest, const char *other)
{
    return strncmp(digest, other, HA_DIGEST_FILES) == 0;
}

static bool take_credential(struct ha_delivery_work *work, struct hactl_call *finished)
{
    struct hactl_file *file = &work->rendered->files[work->file];
    if (finished->credential_count == 0 || !finished->credentials[0].content)
        return false;
    /* The content moves from one call to the other, and is zeroized with it. */
    file->content = finished->credentials[0].content;
    file->content_size = finished->credentials[0].content_size;
    finished->credentials[0].content = NULL;
    finished->credentials[0].content_size = 0;
    return true;
}

struct hactl_call *ha_delivery_next(struct ha_session *session, struct ha_delivery_work *work,
                                    struct hactl_call *finished, int64_t timeout_ms, bool *last)
{
    *last = false;
    if (!work->rendered) {
        work->rendered = finished;
    } else {
        bool given = take_credential(work, finished);
        ha_call_free(finished);
        if (!given)
            return NULL;
    }
    const char *replica = session->observed.model.replicas[work->replica].name;
    for (; work->file < work->rendered->file_count; work->file++) {
        const struct hactl_file *file = &work->rendered->files[work->file];
        if (!file->content && file->purpose)
            return ha_ask_credential(session, replica, file->purpose, file->part);
    }
    ha_delivery_digest(work->rendered, work->digest);
    *last = true;
    return ha_ask_deliver(session, work->payload, work->replica, work->rendered, work->digest, timeout_ms);
}

void ha_delivery_end(struct ha_delivery_work *work)
{
    ha_call_free(work->rendered);
    work->rendered = NULL;
}
