/* SPDX-License-Identifier: Apache-2.0 */
/* What a replica's tree holds beside its own certificates: copies of what it
 * is to trust and of the service-account keys, so that its directory can be
 * copied to /etc/kubernetes as it is. No authority's key is among them. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT_FILE PKI_ACCOUNT_FILE

static const struct copy {
    const char *authority; /* NULL: the service accounts' */
    const char *base, *ending;
    mode_t mode;
} copies[] = {
    {"kubernetes-ca", "ca", ".crt", 0644}, {"front-proxy-ca", "front-proxy-ca", ".crt", 0644},
    {"etcd-ca", "etcd/ca", ".crt", 0644},  {"etcd-peer-ca", "etcd/peer-ca", ".crt", 0644},
    {NULL, ACCOUNT_FILE, ".key", 0600},    {NULL, ACCOUNT_FILE, ".pub", 0644},
};

#define COPY_COUNT (sizeof copies / sizeof copies[0])

static bool is_used(const struct pki *pki, const struct copy *copy)
{
    return copy->authority == NULL || pki_authority_used(pki, &pki_authorities[pki_authority_find(copy->authority)]);
}

static bool copy_base(const struct copy *copy, const char *replica, char base[PKI_PATH_SIZE])
{
    return snprintf(base, PKI_PATH_SIZE, "replicas/%s/pki/%s", replica, copy->base) < PKI_PATH_SIZE;
}

static void original_base(struct pki_store *store, const struct copy *copy, char base[PKI_PATH_SIZE])
{
    if (copy->authority == NULL && strcmp(copy->ending, ".key") == 0)
        pki_signer_base(store, copy->base, copy->ending, base);
    else
        pki_trust_base(store, copy->base, copy->ending, base);
}

/* Originals, each read once for all replicas of a batch. */
struct pki_originals {
    struct pki_original {
        bool looked_at, was_read;
        int error;
        struct pki_blob blob; /* its content once it was read */
    } list[COPY_COUNT];
};

struct pki_originals *pki_originals_new(void)
{
    return calloc(1, sizeof(struct pki_originals));
}

void pki_originals_free(struct pki_originals *originals)
{
    for (size_t i = 0; originals != NULL && i < COPY_COUNT; i++)
        pki_blob_free(&originals->list[i].blob);
    free(originals);
}

static struct pki_original *original_of(struct pki_originals *originals, struct pki_store *store,
                                        const struct copy *copy, bool content)
{
    struct pki_original *original = &originals->list[copy - copies];
    char base[PKI_PATH_SIZE];

    if (original->was_read || (original->looked_at && !content))
        return original;
    original_base(store, copy, base);
    original->error = content ? pki_store_read(store, base, copy->ending, &original->blob)
                              : pki_store_stat(store, base, copy->ending, &original->blob);
    original->looked_at = true;
    original->was_read = content;
    return original;
}

int pki_tree_each(const struct pki *pki, const char *replica,
                  int (*each)(void *data, const char *base, const char *ending), void *data)
{
    char base[PKI_PATH_SIZE];
    int result = 0;

    (void)pki;
    for (size_t i = 0; result == 0 && i < COPY_COUNT; i++)
        if (copy_base(&copies[i], replica, base))
            result = each(data, base, copies[i].ending);
    return result;
}

/* ---- copies ---- */

static void say(const struct pki_store *store, const struct copy *copy, const char *base, int error, bool same,
                const struct pki_blob *blob, struct pki_state *state)
{
    if (error == -ENOENT)
        pki_state_finding(state, "%s%s is missing", base, copy->ending);
    else if (error != 0)
        pki_state_finding(state, "%s%s %s", base, copy->ending, pki_store_error(error));
    else if (!same)
        pki_state_finding(state, "%s%s is not %s%s as it is now", base, copy->ending,
                          copy->authority != NULL ? copy->authority : copy->base,
                          copy->authority != NULL ? "" : copy->ending);
    else if (!pki_store_is_ours(store, blob->owner))
        pki_state_finding(state, "%s%s belongs to user %u", base, copy->ending, (unsigned)blob->owner);
    else
        pki_state_finding(state, "%s%s can be %s by others (mode %04o)", base, copy->ending,
                          (blob->mode & 0022) != 0 ? "changed" : "read", (unsigned)blob->mode);
    if (error != 0 && error != -ENOENT && state->error == 0)
        state->error = error;
}

/* Others may do more with it than they are to, or can let themselves. */
static bool is_exposed(const struct pki_store *store, const struct copy *copy, const struct pki_blob *blob)
{
    return (blob->mode & 0077 & ~copy->mode) != 0 || !pki_store_is_ours(store, blob->owner);
}

/* Says in `state` what is wrong with it. True: it is to be written. */
static bool check_copy(struct pki *pki, struct pki_store *store, const struct copy *copy, const char *base, bool absent,
                       const struct pki_blob *original, struct pki_state *state)
{
    struct pki_remembered *known;
    struct pki_blob blob = {.content = NULL};
    int error = absent ? -ENOENT : pki_store_read(store, base, copy->ending, &blob);
    bool exposed = error == 0 && is_exposed(store, copy, &blob);
    bool same = error == 0 && blob.size == original->size && memcmp(blob.content, original->content, blob.size) == 0;
    if (!same || exposed)
        say(store, copy, base, error, same, &blob, state);
    else if ((known = pki_memory_add(pki->memory, base, copy->ending, &blob)) != NULL)
        known->copy_of = original->identity;
    pki_blob_free(&blob);
    return !same || exposed;
}

/* It was compared before, and neither file has changed since. */
static bool is_known(struct pki *pki, struct pki_store *store, const struct copy *copy, const char *base,
                     const struct pki_original *original, bool *absent)
{
    struct pki_blob now;
    struct pki_remembered *known;
    int error = pki_store_stat(store, base, copy->ending, &now);

    *absent = error == -ENOENT;
    if (error != 0 || original->error != 0)
        return false;
    known = pki_memory_find(pki->memory, base, copy->ending, &now);
    return known != NULL && pki_identity_same(&known->copy_of, &original->blob.identity) &&
           !is_exposed(store, copy, &now);
}

/* One copy: looked at, and with a batch staged if need be. */
static int one_copy(struct pki *pki, struct pki_store *store, struct pki_batch *batch, struct pki_originals *originals,
                    const struct copy *copy, const char *replica, struct pki_state *state)
{
    struct pki_item item = {.ending = copy->ending,
                            .purpose = copy->authority != NULL ? PKI_TRUST : PKI_SERVICE_ACCOUNT,
                            .replica = replica,
                            .secret = strcmp(copy->ending, ".key") == 0,
                            .reason = "copy"};
    struct pki_original *original;
    int result = HACTL_OK;
    bool absent;

    if (!copy_base(copy, replica, item.base))
        return HACTL_E_INVALID;
    if (is_known(pki, store, copy, item.base, original_of(originals, store, copy, false), &absent))
        return HACTL_OK;
    original = original_of(originals, store, copy, true);
    item.copy = true;
    item.original = original->blob.identity;
    if (original->error != 0) {
        pki_state_finding(state, "%s, of which it is to have a copy, is not there",
                          copy->authority != NULL ? copy->authority : "the service accounts' key");
        return HACTL_OK;
    }
    if (check_copy(pki, store, copy, item.base, absent, &original->blob, state) && batch != NULL)
        result = state->error == 0
                     ? pki_batch_file(batch, &item, original->blob.content, original->blob.size, copy->mode)
                     : pki_store_fail(pki, batch->call, state->error, item.base, copy->ending);
    return result;
}

static bool has_none(struct pki *pki, struct pki_store *store, const char *replica)
{
    char base[PKI_PATH_SIZE];
    struct pki_blob blob;

    for (size_t i = 0; i < COPY_COUNT; i++)
        if (is_used(pki, &copies[i]) && copy_base(&copies[i], replica, base) &&
            pki_store_stat(store, base, copies[i].ending, &blob) != -ENOENT)
            return false;
    return true;
}

int pki_tree_list(struct pki *pki, struct hactl_call *call, struct pki_store *store, struct pki_originals *originals,
                  const char *replica)
{
    struct pki_state state = {.ready = HACTL_YES};
    char path[4096 + PKI_PATH_SIZE];
    struct hactl_certificate record = {.struct_size = sizeof record,
                                       .purpose = PKI_TRUST,
                                       .replica = replica,
                                       .carries_trust = 1,
                                       .subject = "copies of authorities and service-account keys",
                                       .names = "",
                                       .path = path};

    snprintf(path, sizeof path, "%s/replicas/%s/pki", pki->directory, replica);
    if (has_none(pki, store, replica))
        pki_state_finding(&state, "missing");
    for (size_t i = 0; state.ready == HACTL_YES && i < COPY_COUNT; i++)
        if (is_used(pki, &copies[i]))
            one_copy(pki, store, NULL, originals, &copies[i], replica, &state);
    record.ready = state.ready;
    record.reason = state.reason[0] != '\0' ? state.reason : NULL;
    return pki->host->emit_certificate(call, &record);
}

int pki_tree_ensure(struct pki_batch *batch, struct pki_originals *originals, const char *replica)
{
    struct pki_state state = {.ready = HACTL_YES};
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < COPY_COUNT; i++)
        if (is_used(batch->pki, &copies[i]))
            result = one_copy(batch->pki, batch->store, batch, originals, &copies[i], replica, &state);
    return result;
}

void pki_tree_remember(const struct pki_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct pki_item *item = &batch->items[i];
        struct pki_remembered *known;
        struct pki_blob now;
        if (item->copy && pki_store_stat(batch->store, item->base, item->ending, &now) == 0 &&
            (known = pki_memory_add(batch->pki->memory, item->base, item->ending, &now)) != NULL)
            known->copy_of = item->original;
    }
}

/* ---- service accounts ---- */

static void say_account(const struct pki_store *store, struct pki_state *state, int error,
                        const struct pki_remembered *file)
{
    if (error == -ENOENT)
        pki_state_finding(state, "missing");
    else if (error != 0)
        pki_state_finding(state, ACCOUNT_FILE ".key %s", pki_store_error(error));
    else if (file->key == NULL)
        pki_state_finding(
            state, "damaged: " ACCOUNT_FILE
                   ".key is not a PEM private key, its two halves do not belong together, or no provider takes it");
    else if ((file->mode & 0077) != 0)
        pki_state_finding(state, "its key can be read by others (mode %04o)", (unsigned)file->mode);
    if (file != NULL && !pki_store_is_ours(store, file->owner)) {
        pki_state_finding(state, "its key belongs to user %u", (unsigned)file->owner);
        state->foreign = true;
    }
}

/* Whoever may change the public half makes tokens of his own. */
static void say_public_half(const struct pki_store *store, struct pki_state *state, const struct pki_remembered *file)
{
    if (file != NULL && !pki_store_is_ours(store, file->owner))
        pki_state_finding(state, ACCOUNT_FILE ".pub belongs to user %u", (unsigned)file->owner);
    if (file != NULL && (file->mode & 0022) != 0)
        pki_state_finding(state, ACCOUNT_FILE ".pub can be changed by others (mode %04o)", (unsigned)file->mode);
}

/* A pair of keys without a certificate: tokens are signed with one and
 * checked with the other. Returns the key, borrowed. */
static EVP_PKEY *check_account(struct pki *pki, struct pki_store *store, struct pki_state *state)
{
    struct pki_remembered *private_part = NULL, *public_part = NULL;
    char private_base[PKI_PATH_SIZE], public_base[PKI_PATH_SIZE];
    int private_error, public_error;
    EVP_PKEY *key;

    pki_signer_base(store, ACCOUNT_FILE, ".key", private_base);
    pki_signer_base(store, ACCOUNT_FILE, ".pub", public_base);
    private_error = pki_recall(pki, store, private_base, ".key", &private_part);
    public_error = pki_recall(pki, store, public_base, ".pub", &public_part);
    key = private_part != NULL ? private_part->key : NULL;

    state->error = private_error != 0 && private_error != -ENOENT ? private_error
                   : public_error != 0 && public_error != -ENOENT ? public_error
                                                                  : 0;
    state->has_key = private_error != -ENOENT;
    state->exposed = private_part != NULL && (private_part->mode & 0077) != 0;
    say_account(store, state, private_error, private_part);
    if (key != NULL && (public_part == NULL || public_part->key == NULL ||
                        (public_part->matches != key && EVP_PKEY_eq(key, public_part->key) != 1)))
        pki_state_finding(state, ACCOUNT_FILE ".pub is not the public half of " ACCOUNT_FILE ".key");
    say_public_half(store, state, public_part);
    pki_crypto_error();
    return key;
}

int pki_service_account_list(struct pki *pki, struct hactl_call *call, struct pki_store *store)
{
    struct pki_state state = {.ready = HACTL_YES};
    struct pki_rotation rotation;
    char path[4096 + 16];
    struct hactl_certificate record = {.struct_size = sizeof record,
                                       .purpose = PKI_SERVICE_ACCOUNT,
                                       .rotates = 1,
                                       .subject = "a key pair that signs tokens",
                                       .names = "",
                                       .path = path};

    snprintf(path, sizeof path, "%s/" ACCOUNT_FILE ".key", pki->directory);
    if (pki_rotation_read(store, ACCOUNT_FILE, &rotation) != 0)
        pki_state_finding(&state, ACCOUNT_FILE ".rotation cannot be read");
    record.rotation = rotation.phase;
    record.retire_s = rotation.phase == HACTL_ROTATION_SWITCH ? rotation.since_s + pki->token_s : 0;
    check_account(pki, store, &state);
    record.ready = state.ready;
    record.reason = state.reason[0] != '\0' ? state.reason : NULL;
    return pki->host->emit_certificate(call, &record);
}

static int stage_public(struct pki_batch *batch, EVP_PKEY *key, const char *reason)
{
    struct pki_item item = {.base = ACCOUNT_FILE, .ending = ".pub", .purpose = PKI_SERVICE_ACCOUNT};
    char *pem = NULL;
    size_t size;
    int result;

    snprintf(item.reason, sizeof item.reason, "%s", reason);
    if (pki_public_key_write(key, &pem, &size) != 0)
        return batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, ACCOUNT_FILE ".pub: %s", pki_crypto_error());
    result = pki_batch_file(batch, &item, pem, size, 0644);
    free(pem);
    return result;
}

/* Like an authority it is never replaced: every token would be worth nothing. */
int pki_service_account_ensure(struct pki_batch *batch, bool *make)
{
    struct pki_state state = {.ready = HACTL_YES};
    struct pki *pki = batch->pki;
    EVP_PKEY *key = check_account(pki, batch->store, &state);
    int error, result = HACTL_OK;

    *make = false;
    if (state.error != 0)
        result = pki->host->fail(batch->call, HACTL_E_CONFLICT, "%s/%s", pki->directory, state.reason);
    else if (!state.has_key)
        *make = true;
    else if (key == NULL)
        result =
            pki->host->fail(batch->call, HACTL_E_CONFLICT,
                            "%s/" ACCOUNT_FILE ".key cannot be used: %s; hactl does not replace it, since no token "
                            "would be worth anything then: put the right one back, or move it away to start anew",
                            pki->directory, state.reason);
    else if (state.foreign)
        result =
            pki->host->fail(batch->call, HACTL_E_DENIED,
                            "%s/" ACCOUNT_FILE
                            ".key: %s, who can make tokens with it; chown it to yourself, and if that user was not to "
                            "have it rotate it then (hactl pki rotate " PKI_SERVICE_ACCOUNT ")",
                            pki->directory, state.reason);
    if (result == HACTL_OK && state.exposed) {
        error = pki_store_restrict(batch->store, ACCOUNT_FILE, ".key");
        if (error != 0)
            result = pki_store_fail(pki, batch->call, error, ACCOUNT_FILE, ".key");
        pki->host->log(batch->call, HACTL_LOG_WARNING,
                       "%s/" ACCOUNT_FILE ".key could be read by others; its mode is 0600 now, but who has read it can "
                       "make tokens",
                       pki->directory);
    }
    if (result == HACTL_OK && key != NULL && state.ready != HACTL_YES && strstr(state.reason, ACCOUNT_FILE ".pub"))
        result = stage_public(batch, key, state.reason);
    return result;
}

int pki_service_account_add(struct pki_batch *batch, struct pki_jobs *jobs)
{
    struct pki_item item = {.base = PKI_ACCOUNT_FILE,
                            .ending = ".pub",
                            .purpose = PKI_SERVICE_ACCOUNT,
                            .new_key = true,
                            .authority = true,
                            .reason = "missing"};
    struct pki_job *job;
    bool make;
    int result = pki_service_account_ensure(batch, &make);

    if (result != HACTL_OK || !make)
        return result;
    job = pki_jobs_add(jobs);
    if (job == NULL || pki_batch_add(batch, &item) == NULL)
        return pki_batch_out_of_memory(batch);
    job->kind = PKI_JOB_ACCOUNT;
    job->item = batch->count - 1;
    job->key_type = batch->pki->key_type;
    return HACTL_OK;
}
