/* SPDX-License-Identifier: Apache-2.0 */
#include "core/delivery.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/session_internal.h"
#include "core/wants.h"

struct hactl_call *ha_delivery_begin(struct ha_session *session, const struct ha_step *step,
                                     struct ha_delivery_work *work, int64_t timeout_ms)
{
    memset(work, 0, sizeof *work);
    work->payload = step->group;
    work->replica = step->replica;
    work->keep_running = step->kind == HA_STEP_CERTIFICATE_DELIVER;
    return ha_ask_render(session, work->payload, work->replica, timeout_ms);
}

/* Each part with its length before it: no two renderings have the same bytes.
 * Keys are in it as well; what comes out tells nothing of them. */
static bool mix(EVP_MD_CTX *digest, const void *bytes, size_t size)
{
    uint64_t length = htole64(size);
    return EVP_DigestUpdate(digest, &length, sizeof length) == 1 && EVP_DigestUpdate(digest, bytes, size) == 1;
}

static bool mix_text(EVP_MD_CTX *digest, const char *text)
{
    return mix(digest, text ? text : "", text ? strlen(text) : 0);
}

static bool mix_number(EVP_MD_CTX *digest, uint32_t number)
{
    number = htole32(number);
    return mix(digest, &number, sizeof number);
}

static bool mix_content(EVP_MD_CTX *digest, const struct hactl_file *file)
{
    return mix(digest, file->content ? file->content : "", file->content_size);
}

static bool is_key(const struct hactl_file *file)
{
    return file->part && strcmp(file->part, "key") == 0;
}

static bool mix_files(EVP_MD_CTX *digest, const struct hactl_call *rendered)
{
    bool ok = mix_number(digest, (uint32_t)rendered->file_count);
    for (size_t i = 0; ok && i < rendered->file_count; i++) {
        const struct hactl_file *file = &rendered->files[i];
        ok = mix_text(digest, file->path) && mix_number(digest, file->mode) && mix_number(digest, file->reread != 0) &&
             (file->reread || mix_content(digest, file));
    }
    return ok;
}

static bool mix_some(EVP_MD_CTX *digest, const struct hactl_call *rendered, bool keys)
{
    bool ok = true;
    for (size_t i = 0; ok && i < rendered->file_count; i++)
        ok = !rendered->files[i].reread || is_key(&rendered->files[i]) != keys ||
             mix_content(digest, &rendered->files[i]);
    return ok;
}

static bool mix_reread(EVP_MD_CTX *digest, const struct hactl_call *rendered)
{
    return mix_some(digest, rendered, false);
}

static bool mix_keys(EVP_MD_CTX *digest, const struct hactl_call *rendered)
{
    return mix_some(digest, rendered, true);
}

static bool mix_unit(EVP_MD_CTX *digest, const struct hactl_unit *unit)
{
    uint32_t words = 0;
    while (unit->argv[words])
        words++;
    bool ok = mix_text(digest, unit->name) && mix_number(digest, (uint32_t)unit->restart) &&
              mix_number(digest, unit->stop_timeout_ms) && mix_number(digest, words);
    for (uint32_t i = 0; ok && i < words; i++)
        ok = mix_text(digest, unit->argv[i]);
    return ok;
}

static bool mix_how(EVP_MD_CTX *digest, const struct hactl_call *rendered)
{
    bool ok = mix_number(digest, (uint32_t)rendered->unit_count);
    for (size_t i = 0; ok && i < rendered->unit_count; i++)
        ok = mix_unit(digest, &rendered->units[i]);
    ok = ok && mix_number(digest, (uint32_t)rendered->port_count);
    for (size_t i = 0; ok && i < rendered->port_count; i++)
        ok = mix_text(digest, rendered->ports[i].name) && mix_number(digest, rendered->ports[i].port) &&
             mix_number(digest, rendered->ports[i].flags);
    return ok;
}

static bool part(const struct hactl_call *rendered, bool (*mix_part)(EVP_MD_CTX *, const struct hactl_call *),
                 char out[HA_DIGEST_PART + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 && mix_part(digest, rendered) &&
              EVP_DigestFinal_ex(digest, sum, NULL) == 1;
    EVP_MD_CTX_free(digest);
    for (size_t i = 0; ok && i < HA_DIGEST_PART / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
    return ok;
}

bool ha_delivery_digest(const struct hactl_call *rendered, char out[HA_DIGEST])
{
    static bool (*const parts[HA_DIGEST_PARTS])(EVP_MD_CTX *, const struct hactl_call *) = {
        [HA_DIGEST_FILES] = mix_files,
        [HA_DIGEST_REREAD] = mix_reread,
        [HA_DIGEST_KEYS] = mix_keys,
        [HA_DIGEST_HOW] = mix_how,
    };
    bool ok = true;
    for (size_t i = 0; ok && i < HA_DIGEST_PARTS; i++)
        ok = part(rendered, parts[i], out + i * HA_DIGEST_PART);
    return ok;
}

void ha_delivery_make_partial(char digest[HA_DIGEST])
{
    memset(digest + HA_DIGEST_PART, '-', HA_DIGEST - 1 - HA_DIGEST_PART);
}

bool ha_delivery_is_partial(const char *digest)
{
    return strlen(digest) == HA_DIGEST - 1 && digest[HA_DIGEST_PART] == '-';
}

bool ha_delivery_same(const char *digest, const char *other, int which)
{
    size_t before = (size_t)which * HA_DIGEST_PART;
    return strlen(digest) == HA_DIGEST - 1 && strlen(other) == HA_DIGEST - 1 &&
           memcmp(digest + before, other + before, HA_DIGEST_PART) == 0;
}

/* A key that is not the replica's own is shared by all. One that its issuer knows nothing of is refused by it. */
enum ha_file_source ha_file_source(const struct ha_session *session, const struct hactl_file *file)
{
    const struct ha_observation *observed = &session->observed;
    bool key = file->part && strcmp(file->part, "key") == 0;
    bool secret = key || (file->part && strcmp(file->part, "kubeconfig") == 0);
    if (file->content || !file->purpose)
        return HA_FILE_GIVEN;
    if (!observed->model.replica_keys || !secret)
        return HA_FILE_CREDENTIAL;
    for (size_t i = 0; i < observed->certificate_count; i++)
        if (strcmp(observed->certificates[i].purpose, file->purpose) == 0 && !observed->certificates[i].replica[0])
            return HA_FILE_SHARED;
    return key ? HA_FILE_MACHINE : HA_FILE_CREDENTIAL;
}

static bool declares(const struct ha_session *session, int payload, const char *purpose)
{
    const char *const *declared = ha_payload_key_purposes(session, payload);
    while (declared && *declared)
        if (strcmp(*declared++, purpose) == 0)
            return true;
    return false;
}

static struct hactl_call *give_up(struct ha_delivery_work *work, const char *why)
{
    work->why = why;
    return NULL;
}

/* What is sealed is sealed to a key of this payload's own; to any of the
 * replica's, if it has none. */
static bool choose_recipient(const struct ha_session *session, struct ha_delivery_work *work)
{
    struct ha_arena *arena = ha_arena_new();
    const char *const *used = ha_key_purposes(arena, session);
    const char *chosen = used ? used[0] : NULL;
    for (size_t i = work->rendered->file_count; i-- > 0;)
        if (ha_file_source(session, &work->rendered->files[i]) == HA_FILE_MACHINE)
            chosen = work->rendered->files[i].purpose;
    snprintf(work->recipient, sizeof work->recipient, "%s", chosen ? chosen : "");
    ha_arena_free(arena);
    return work->recipient[0] != '\0';
}

static bool take_credential(struct ha_delivery_work *work, struct hactl_call *finished)
{
    struct hactl_file *file = &work->rendered->files[work->file];
    if (finished->credential_count == 0 || !finished->credentials[0].content)
        return false;
    if (work->sealing) {
        explicit_bzero((char *)(uintptr_t)file->content, file->content_size);
        free((char *)(uintptr_t)file->content);
        work->file++;
    }
    /* The content moves from one call to the other, and is zeroized with it. */
    file->content = finished->credentials[0].content;
    file->content_size = finished->credentials[0].content_size;
    finished->credentials[0].content = NULL;
    finished->credentials[0].content_size = 0;
    return true;
}

/* The next file that lacks its content. */
static struct hactl_call *next_credential(struct ha_session *session, struct ha_delivery_work *work)
{
    const char *replica = session->observed.model.replicas[work->replica].name;
    for (; work->file < work->rendered->file_count; work->file++) {
        const struct hactl_file *file = &work->rendered->files[work->file];
        enum ha_file_source source = ha_file_source(session, file);
        if (source == HA_FILE_MACHINE && !declares(session, work->payload, file->purpose))
            return give_up(work, "the payload names a key that its plugin does not declare (key_purposes)");
        if (source == HA_FILE_SHARED && !choose_recipient(session, work))
            return give_up(work, "the payload names a key that replicas share, and the replica has none to seal it to");
        if (source == HA_FILE_SHARED && !(work->rendered->files[work->file].sealed_to = strdup(work->recipient)))
            abort();
        if (source == HA_FILE_CREDENTIAL || source == HA_FILE_SHARED)
            return ha_ask_credential(session, replica, file->purpose, file->part);
    }
    return NULL;
}

/* The next file that is sealed, and has its open content still. */
static struct hactl_call *next_seal(struct ha_session *session, struct ha_delivery_work *work)
{
    const char *replica = session->observed.model.replicas[work->replica].name;
    for (; work->file < work->rendered->file_count; work->file++) {
        struct hactl_file *file = &work->rendered->files[work->file];
        if (!file->sealed_to)
            continue;
        struct hactl_call *call = ha_ask_seal(session, file->purpose, file->part, replica, file->sealed_to);
        return call ? call : give_up(work, "the payload names a key that replicas share, and the issuer seals nothing");
    }
    return NULL;
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
            return give_up(work, "the issuer gave no content for a credential that the payload names");
    }
    struct hactl_call *next = work->sealing ? NULL : next_credential(session, work);
    if (!next && !work->why && !work->sealing) {
        work->sealing = true;
        work->file = 0;
        if (!ha_delivery_digest(work->rendered, work->digest))
            return give_up(work, "it has no digest");
    }
    if (!next && !work->why)
        next = next_seal(session, work);
    if (next || work->why)
        return next;
    *last = true;
    return ha_ask_deliver(session, work, timeout_ms);
}

void ha_delivery_end(struct ha_delivery_work *work)
{
    ha_call_free(work->rendered);
    work->rendered = NULL;
}
