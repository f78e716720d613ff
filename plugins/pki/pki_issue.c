/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making pairs as one batch: every file of it is staged beside its final
 * name, one syncfs(2) makes them durable, then they take their names. A key
 * that is sound stays, so that renewing is one rename. Where the key changes,
 * the old certificate goes first: what a crash leaves is a pair that lacks its
 * certificate, which the next run makes, and never one that does not match.
 */
#include "plugins/pki/pki.h"

#include "lib/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pair {
    char base[PKI_PATH_SIZE];
    const char *purpose;
    const char *replica;
    bool new_key;
    bool authority;
    char reason[PKI_REASON_SIZE];
};

struct batch {
    const struct pki *pki;
    struct hactl_call *call;
    struct pki_store *store;
    struct pair *pairs;
    size_t count;
    bool placing; /* from here on what is staged is for the next run to finish */
};

static int batch_open(struct batch *batch, const struct pki *pki, struct hactl_call *call, struct pki_store *store,
                      size_t limit)
{
    *batch = (struct batch){.pki = pki, .call = call, .store = store, .pairs = calloc(limit, sizeof *batch->pairs)};
    return batch->pairs != NULL ? HACTL_OK : pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
}

static void batch_discard(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        pki_store_overwrite(batch->store, batch->pairs[i].base, ".key" PKI_STAGED);
        pki_store_remove(batch->store, batch->pairs[i].base, ".key" PKI_STAGED);
        pki_store_remove(batch->store, batch->pairs[i].base, ".crt" PKI_STAGED);
    }
}

static int batch_stage(struct batch *batch, const struct pair *pair, EVP_PKEY *key, X509 *certificate)
{
    char *pem = NULL;
    size_t size = 0;
    int error = 0;

    batch->pairs[batch->count++] = *pair;
    if (pair->new_key) {
        if (pki_key_write(key, &pem, &size) != 0)
            return batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "%s: %s", pair->base, pki_crypto_error());
        error = pki_store_stage(batch->store, pair->base, ".key", pem, size, 0600);
        ha_secret_free(pem, size);
        if (error != 0)
            return pki_store_fail(batch->pki, batch->call, error, pair->base, ".key");
        pem = NULL;
    }
    if (pki_certificate_write(certificate, &pem, &size) != 0)
        return batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "%s: %s", pair->base, pki_crypto_error());
    error = pki_store_stage(batch->store, pair->base, ".crt", pem, size, 0644);
    free(pem);
    return error == 0 ? HACTL_OK : pki_store_fail(batch->pki, batch->call, error, pair->base, ".crt");
}

static int place_pair(struct batch *batch, const struct pair *pair)
{
    int error = 0;

    if (pair->new_key && !pair->authority)
        error = pki_store_remove(batch->store, pair->base, ".crt");
    if (error == 0 && pair->new_key)
        error = pki_store_place(batch->store, pair->base, ".key", pair->authority);
    if (error == 0)
        error = pki_store_place(batch->store, pair->base, ".crt", pair->authority);
    return error == 0 ? HACTL_OK : pki_store_fail(batch->pki, batch->call, error, pair->base, "");
}

static bool same_directory(const char *one, const char *other)
{
    const char *slash = strrchr(one, '/');
    size_t length = slash != NULL ? (size_t)(slash - one) + 1 : 0;

    return strncmp(one, other, length) == 0 && strchr(other + length, '/') == NULL;
}

/* Each directory once: a file that has its name only in memory is lost in a
 * power cut. The directory above one that was made is synced by syncfs. */
static int sync_directories(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        bool done = false;
        int error;
        for (size_t j = 0; j < i && !done; j++)
            done = same_directory(batch->pairs[j].base, batch->pairs[i].base);
        error = done ? 0 : pki_store_sync_directory(batch->store, batch->pairs[i].base);
        if (error != 0)
            return pki_store_fail(batch->pki, batch->call, error, batch->pairs[i].base, "");
    }
    return HACTL_OK;
}

static int batch_commit(struct batch *batch)
{
    int error, result = HACTL_OK;

    if (batch->count == 0)
        return HACTL_OK;
    error = pki_store_sync(batch->store);
    if (error != 0)
        return pki_store_fail(batch->pki, batch->call, error, "", "");
    batch->placing = true;
    for (size_t i = 0; result == HACTL_OK && i < batch->count; i++)
        result = place_pair(batch, &batch->pairs[i]);
    if (result == HACTL_OK)
        result = sync_directories(batch);
    for (size_t i = 0; result == HACTL_OK && i < batch->count; i++)
        batch->pki->host->log(batch->call, HACTL_LOG_INFO, "certificate %s%s%s made (%s): %s/%s.crt",
                              batch->pairs[i].purpose, batch->pairs[i].replica != NULL ? " of " : "",
                              batch->pairs[i].replica != NULL ? batch->pairs[i].replica : "", batch->pairs[i].reason,
                              batch->pki->directory, batch->pairs[i].base);
    return result;
}

static int batch_close(struct batch *batch, int result)
{
    if (result == HACTL_OK)
        result = batch_commit(batch);
    if (result != HACTL_OK && !batch->placing)
        batch_discard(batch);
    free(batch->pairs);
    return result;
}

/* ---- authorities ---- */

static bool staged_certificate_fits(const struct pki_store *store, const char *base, EVP_PKEY *key)
{
    struct pki_blob blob;
    X509 *certificate;
    bool fits = false;

    if (pki_store_read(store, base, ".crt" PKI_STAGED, &blob) != 0)
        return false;
    certificate = pki_certificate_read(blob.content, blob.size);
    if (certificate != NULL)
        fits = X509_check_private_key(certificate, key) == 1;
    X509_free(certificate);
    pki_blob_free(&blob);
    pki_crypto_error();
    return fits;
}

/* A crash between the two renames of a new authority leaves its key in place
 * and its certificate, durable, beside it. Nothing can be signed by it yet. */
static int finish_authority(const struct pki *pki, struct hactl_call *call, struct pki_store *store,
                            const struct pki_authority_profile *profile, struct pki_state *state)
{
    int error;

    if (state->has_certificate || state->key == NULL || !staged_certificate_fits(store, profile->file, state->key))
        return HACTL_OK;
    error = pki_store_place(store, profile->file, ".crt", true);
    if (error == 0)
        error = pki_store_sync_directory(store, profile->file);
    if (error != 0)
        return pki_store_fail(pki, call, error, profile->file, ".crt");
    pki->host->log(call, HACTL_LOG_INFO, "authority %s: an interrupted run was finished", profile->purpose);
    pki_state_free(state);
    pki_authority_check(store, profile, state);
    return HACTL_OK;
}

static int restrict_authority(const struct pki *pki, struct hactl_call *call, struct pki_store *store,
                              const struct pki_authority_profile *profile, struct pki_state *state)
{
    int error;

    if (state->key == NULL || !state->exposed)
        return HACTL_OK;
    error = pki_store_restrict(store, profile->file, ".key");
    if (error != 0)
        return pki_store_fail(pki, call, error, profile->file, ".key");
    pki->host->log(call, HACTL_LOG_WARNING,
                   "%s/%s.key could be read by others; its mode is 0600 now, but who has read it can sign as %s",
                   pki->directory, profile->file, profile->purpose);
    pki_state_free(state);
    pki_authority_check(store, profile, state);
    return HACTL_OK;
}

static int refuse_authority(const struct pki *pki, struct hactl_call *call, const struct pki_authority_profile *profile,
                            const struct pki_state *state)
{
    if (state->error != 0)
        return pki->host->fail(call, state->ready == HACTL_UNKNOWN ? HACTL_E_DENIED : HACTL_E_CONFLICT, "%s/%s",
                               pki->directory, state->reason);
    if (!state->has_key || !state->has_certificate)
        return pki->host->fail(call, HACTL_E_LOST,
                               "authority %s: %s/%s.%s is there without its %s; hactl never replaces an authority: put "
                               "the other half back from a copy, or move this one away to start anew",
                               profile->purpose, pki->directory, profile->file, state->has_key ? "key" : "crt",
                               state->has_key ? "certificate" : "key");
    return pki->host->fail(call, HACTL_E_CONFLICT,
                           "authority %s in %s/%s.crt cannot be used: %s; hactl never replaces an authority: put the "
                           "right pair back, or move this one away to start anew",
                           profile->purpose, pki->directory, profile->file, state->reason);
}

/* A new authority in the place of one that is gone would make strangers of
 * everybody who holds a certificate of the old one. */
static int refuse_if_used(struct batch *batch, const struct pki_authority_profile *authority,
                          const struct hactl_inventory *inventory)
{
    for (size_t i = 0; i < pki_profile_count; i++) {
        size_t count = pki_profiles[i].scope == PKI_REPLICA ? inventory->replica_count : 1;
        if (strcmp(pki_profiles[i].authority, authority->purpose) != 0)
            continue;
        for (size_t j = 0; j < count; j++) {
            char base[PKI_PATH_SIZE];
            struct pki_blob blob;
            const char *replica = pki_profiles[i].scope == PKI_REPLICA ? inventory->replicas[j]->name : NULL;
            if (pki_base(&pki_profiles[i], replica, base) != HACTL_OK ||
                pki_store_read(batch->store, base, ".crt", &blob) != 0)
                continue;
            pki_blob_free(&blob);
            return batch->pki->host->fail(batch->call, HACTL_E_LOST,
                                          "authority %s is gone from %s/%s.crt and .key, and %s.crt was signed by it: "
                                          "put both back from a copy; a new one would not be trusted by what runs",
                                          authority->purpose, batch->pki->directory, authority->file, base);
        }
    }
    return HACTL_OK;
}

static int make_authority(struct batch *batch, const struct pki_authority_profile *profile,
                          const struct pki_state *state)
{
    int64_t now_s = (int64_t)time(NULL);
    struct pki_request request = {.common_name = profile->common_name,
                                  .authority = true,
                                  .not_before_s = now_s - PKI_BACKDATE_S,
                                  .not_after_s = now_s + batch->pki->authority_s};
    struct pair pair = {.purpose = profile->purpose, .new_key = true, .authority = true};
    EVP_PKEY *key = pki_key_generate(batch->pki->key_type);
    X509 *certificate = key != NULL ? pki_certificate_make(key, &request, NULL, key) : NULL;
    int result;

    snprintf(pair.base, sizeof pair.base, "%s", profile->file);
    memcpy(pair.reason, state->reason, sizeof pair.reason);
    if (certificate != NULL)
        result = batch_stage(batch, &pair, key, certificate);
    else
        result = batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "authority %s: %s", profile->purpose,
                                        pki_crypto_error());
    X509_free(certificate);
    EVP_PKEY_free(key);
    return result;
}

static int ensure_authority(struct batch *batch, const struct pki_authority_profile *profile,
                            const struct hactl_inventory *inventory)
{
    struct pki_state state;
    int result;

    pki_authority_check(batch->store, profile, &state);
    result = finish_authority(batch->pki, batch->call, batch->store, profile, &state);
    if (result == HACTL_OK)
        result = restrict_authority(batch->pki, batch->call, batch->store, profile, &state);
    if (result == HACTL_OK && state.ready != HACTL_YES) {
        if (state.has_certificate || state.has_key || state.error != 0)
            result = refuse_authority(batch->pki, batch->call, profile, &state);
        else if ((result = refuse_if_used(batch, profile, inventory)) == HACTL_OK)
            result = make_authority(batch, profile, &state);
    }
    pki_state_free(&state);
    return result;
}

int pki_authority_ensure(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    const struct pki *pki = self;
    struct pki_store store;
    struct batch batch;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    result = batch_open(&batch, pki, call, &store, pki_authority_count);
    for (size_t i = 0; result == HACTL_OK && i < pki_authority_count; i++)
        result = ensure_authority(&batch, &pki_authorities[i], inventory);
    result = batch_close(&batch, result);
    pki_store_close(&store);
    return result;
}

/* ---- leaves ---- */

static int authority_usable(struct batch *batch, const struct pki_authority *authority)
{
    const struct pki_state *state = &authority->state;
    const struct pki *pki = batch->pki;

    if (state->ready == HACTL_YES)
        return HACTL_OK;
    if (state->exposed)
        return pki->host->fail(batch->call, HACTL_E_DENIED, "authority %s in %s/%s.key: %s; chmod 600 it",
                               authority->profile->purpose, pki->directory, authority->profile->file, state->reason);
    if (!state->has_certificate && !state->has_key && state->error == 0)
        return pki->host->fail(batch->call, HACTL_E_NOT_FOUND,
                               "authority %s is not there yet (%s/%s.crt); authorities are made before certificates",
                               authority->profile->purpose, pki->directory, authority->profile->file);
    return refuse_authority(pki, batch->call, authority->profile, state);
}

static int make_leaf(struct batch *batch, const struct pki_want *want, const struct pki_authority *authority,
                     struct pki_state *state)
{
    int64_t now_s = (int64_t)time(NULL), end_s = now_s + batch->pki->leaf_s;
    bool keep_key = state->key != NULL && !state->exposed && pki_key_has_type(state->key, batch->pki->key_type);
    struct pair pair = {.purpose = want->profile->purpose, .replica = want->replica, .new_key = !keep_key};
    EVP_PKEY *key = keep_key ? state->key : pki_key_generate(batch->pki->key_type);
    struct pki_request request = {.common_name = want->common_name,
                                  .organization = want->profile->organization,
                                  .names = &want->names,
                                  .usage = want->profile->usage,
                                  .not_before_s = now_s - PKI_BACKDATE_S,
                                  .not_after_s = end_s};
    X509 *certificate = NULL;
    int result;

    if (authority->state.not_after_s < end_s) {
        request.not_after_s = authority->state.not_after_s;
        batch->pki->host->log(
            batch->call, HACTL_LOG_WARNING, "certificate %s: lives only as long as its authority %s, another %.1f days",
            want->profile->purpose, authority->profile->purpose, (double)(request.not_after_s - now_s) / PKI_DAY_S);
    }
    memcpy(pair.base, want->base, sizeof pair.base);
    memcpy(pair.reason, state->reason, sizeof pair.reason);
    if (key != NULL)
        certificate = pki_certificate_make(key, &request, authority->state.certificate, authority->state.key);
    if (certificate != NULL)
        result = batch_stage(batch, &pair, key, certificate);
    else
        result = batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "%s: %s", want->base, pki_crypto_error());
    X509_free(certificate);
    if (!keep_key)
        EVP_PKEY_free(key);
    return result;
}

static int issue_one(struct batch *batch, struct pki_authority *authorities, const struct hactl_inventory *inventory,
                     const struct pki_profile *profile, const struct hactl_replica *replica)
{
    const struct pki *pki = batch->pki;
    struct pki_authority *authority;
    struct pki_state state;
    struct pki_want want;
    int result = pki_want_make(pki, batch->call, inventory, profile, replica, &want);

    if (result != HACTL_OK)
        return result;
    authority = pki_authority_load(batch->store, authorities, profile->authority);
    pki_leaf_check(pki, batch->store, &want, &authority->state, &state);
    if (state.error != 0)
        result = pki->host->fail(batch->call, state.ready == HACTL_UNKNOWN ? HACTL_E_DENIED : HACTL_E_CONFLICT, "%s/%s",
                                 pki->directory, state.reason);
    else if (state.ready != HACTL_YES) {
        result = authority_usable(batch, authority);
        if (result == HACTL_OK)
            result = make_leaf(batch, &want, authority, &state);
    }
    pki_state_free(&state);
    pki_want_free(&want);
    return result;
}

/* What a killed process staged and nobody will place. */
static void remove_leftovers(const struct pki_store *store, enum pki_scope scope, const char *replica)
{
    static const char *const endings[] = {".key" PKI_STAGED, ".crt" PKI_STAGED};
    char base[PKI_PATH_SIZE];

    for (size_t i = 0; i < pki_profile_count; i++) {
        if (pki_profiles[i].scope != scope || pki_base(&pki_profiles[i], replica, base) != HACTL_OK)
            continue;
        for (size_t j = 0; j < 2; j++)
            pki_store_remove(store, base, endings[j]);
    }
}

static int find_replica(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                        const char *name, const struct hactl_replica **out)
{
    *out = NULL;
    if (name == NULL)
        return HACTL_OK;
    *out = pki_replica_find(inventory, name);
    if (*out == NULL)
        return pki->host->fail(call, HACTL_E_INVALID, "replica %s is not in the inventory", name);
    if ((*out)->internal_address == NULL)
        return pki->host->fail(call, HACTL_E_INVALID,
                               "replica %s has no internal address yet, and its certificates must carry it", name);
    return HACTL_OK;
}

int pki_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
              const struct hactl_request *const *requests, size_t request_count)
{
    const struct pki *pki = self;
    enum pki_scope scope = replica != NULL ? PKI_REPLICA : PKI_CLUSTER;
    struct pki_authority *authorities = NULL;
    const struct hactl_replica *subject;
    struct pki_store store;
    struct batch batch;
    int result;

    (void)requests;
    if (request_count > 0)
        return pki->host->fail(call, HACTL_E_UNSUPPORTED,
                               "certificate requests are not signed; hactl makes the keys here (keys = \"operator\")");
    result = pki_inventory_check(pki, call, inventory);
    if (result == HACTL_OK)
        result = find_replica(pki, call, inventory, replica, &subject);
    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    result = batch_open(&batch, pki, call, &store, pki_profile_count);
    if (result == HACTL_OK && (authorities = pki_authorities_new()) == NULL)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    if (result == HACTL_OK)
        remove_leftovers(&store, scope, replica);
    for (size_t i = 0; result == HACTL_OK && i < pki_profile_count; i++)
        if (pki_profiles[i].scope == scope)
            result = issue_one(&batch, authorities, inventory, &pki_profiles[i], subject);
    result = batch_close(&batch, result);
    pki_authorities_free(authorities);
    pki_store_close(&store);
    return result;
}
