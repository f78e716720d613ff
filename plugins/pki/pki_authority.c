/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities: making those that are missing, finishing one that a killed
 * process began, refusing what must not be replaced; and whether one may sign. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- being there ---- */

static bool staged_certificate_fits(const struct pki *pki, struct pki_store *store, const char *base, EVP_PKEY *key)
{
    struct pki_blob blob;
    X509 *certificate;
    bool fits = false;

    if (pki_store_read(store, base, ".crt" PKI_STAGED, &blob) != 0)
        return false;
    certificate = pki_certificate_read(pki_crypto(pki), blob.content, blob.size);
    if (certificate != NULL)
        fits = X509_check_private_key(certificate, key) == 1;
    X509_free(certificate);
    pki_blob_free(&blob);
    pki_crypto_error();
    return fits;
}

/* A crash between the two renames of a new authority leaves its key in place
 * and its certificate, durable, beside it. Nothing can be signed by it yet. */
static int finish_authority(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                            const struct pki_authority_profile *profile, struct pki_state *state)
{
    int error;

    if (state->has_certificate || state->key == NULL || !staged_certificate_fits(pki, store, profile->file, state->key))
        return HACTL_OK;
    error = pki_store_place(store, profile->file, ".crt", true);
    if (error == 0)
        error = pki_store_sync_directory(store, profile->file);
    if (error != 0)
        return pki_store_fail(pki, call, error, profile->file, ".crt");
    pki->host->log(call, HACTL_LOG_INFO, "authority %s: an interrupted run was finished", profile->purpose);
    pki_state_free(state);
    pki_authority_glance(pki, store, profile, state);
    return HACTL_OK;
}

static int restrict_authority(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                              const struct pki_authority_profile *profile, struct pki_state *state)
{
    int error;

    if ((state->key == NULL && !state->sealed) || !state->exposed)
        return HACTL_OK;
    error = pki_store_restrict(store, profile->file, ".key");
    if (error != 0)
        return pki_store_fail(pki, call, error, profile->file, ".key");
    pki->host->log(call, HACTL_LOG_WARNING,
                   "%s/%s.key could be read by others; its mode is 0600 now, but who has read it can sign as %s",
                   pki->directory, profile->file, profile->purpose);
    pki_state_free(state);
    pki_authority_glance(pki, store, profile, state);
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
static int refuse_if_used(struct pki_batch *batch, const struct pki_authority_profile *authority,
                          const struct hactl_inventory *inventory)
{
    const struct pki *pki = batch->pki;

    for (size_t i = 0; i < pki->profile_count; i++) {
        const struct pki_profile *profile = &pki->profiles[i];
        size_t count = profile->scope == PKI_REPLICA ? inventory->replica_count : 1;
        if (strcmp(profile->authority, authority->purpose) != 0)
            continue;
        for (size_t j = 0; j < count; j++) {
            char base[PKI_PATH_SIZE];
            struct pki_blob blob;
            const char *replica = profile->scope == PKI_REPLICA ? inventory->replicas[j]->name : NULL;
            if (!pki_base(profile, replica, base) ||
                pki_store_stat(batch->store, base, pki_ending(profile->form), &blob) != 0)
                continue;
            return pki->host->fail(batch->call, HACTL_E_LOST,
                                   "authority %s is gone from %s/%s.crt and .key, and %s%s was signed by it: "
                                   "put both back from a copy; a new one would not be trusted by what runs",
                                   authority->purpose, pki->directory, authority->file, base,
                                   pki_ending(profile->form));
        }
    }
    return HACTL_OK;
}

static int make_authority(struct pki_batch *batch, struct pki_jobs *jobs, const struct pki_authority_profile *profile,
                          const struct pki_state *state, const NAME_CONSTRAINTS *constraints)
{
    int64_t now_s = (int64_t)time(NULL);
    struct pki_item item = {.ending = ".crt", .purpose = profile->purpose, .new_key = true, .authority = true};
    struct pki_job *job = pki_jobs_add(jobs);
    const char *passphrase;
    int result = pki_passphrase(batch->pki, batch->call, &passphrase);

    if (result != HACTL_OK)
        return result;
    snprintf(item.base, sizeof item.base, "%s", profile->file);
    memcpy(item.reason, state->reason, sizeof item.reason);
    if (job == NULL || pki_batch_add(batch, &item) == NULL)
        return pki_batch_out_of_memory(batch);
    job->item = batch->count - 1;
    job->key_type = batch->pki->key_type;
    job->passphrase = passphrase;
    job->verify = true;
    job->issuance = (struct pki_issuance){.common_name = profile->common_name,
                                          .authority = true,
                                          .constraints = constraints,
                                          .not_before_s = now_s - batch->pki->backdate_s,
                                          .not_after_s = now_s + batch->pki->authority_s};
    return HACTL_OK;
}

static int ensure_authority(struct pki_batch *batch, struct pki_jobs *jobs, const struct pki_authority_profile *profile,
                            const struct hactl_inventory *inventory, const NAME_CONSTRAINTS *constraints)
{
    struct pki *pki = batch->pki;
    struct pki_state state;
    int result;

    pki_authority_glance(pki, batch->store, profile, &state);
    result = finish_authority(pki, batch->call, batch->store, profile, &state);
    if (result == HACTL_OK)
        result = restrict_authority(pki, batch->call, batch->store, profile, &state);
    if (result == HACTL_OK && state.ready != HACTL_YES) {
        if (state.has_certificate || state.has_key || state.error != 0)
            result = refuse_authority(pki, batch->call, profile, &state);
        else if ((pki->external & 1u << pki_authority_find(profile->purpose)) != 0)
            result =
                pki->host->fail(batch->call, HACTL_E_NOT_FOUND,
                                "authority %s is external, and its certificate is not there: put it into %s/%s.crt",
                                profile->purpose, pki->directory, profile->file);
        else if ((result = refuse_if_used(batch, profile, inventory)) == HACTL_OK)
            result = make_authority(batch, jobs, profile, &state, constraints);
    }
    pki_state_free(&state);
    return result;
}

int pki_authority_ensure(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    struct pki *pki = self;
    NAME_CONSTRAINTS *constraints = NULL;
    struct pki_jobs jobs = {.list = NULL};
    struct pki_batch batch;
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    pki_batch_open(&batch, pki, call, &store);
    result = pki_rotation_finish(pki, call, &store);
    pki_store_looking(&store, true);
    if (pki->constrain && (constraints = pki_constraints_make(inventory)) == NULL)
        result = pki_batch_out_of_memory(&batch);
    for (size_t i = 0; result == HACTL_OK && i < pki_authority_count; i++)
        if (pki_authority_used(pki, &pki_authorities[i]))
            result = ensure_authority(&batch, &jobs, &pki_authorities[i], inventory, constraints);
    if (result == HACTL_OK)
        result = pki_service_account_add(&batch, &jobs);
    result = pki_jobs_finish(&batch, &jobs, result);
    NAME_CONSTRAINTS_free(constraints);
    pki_store_close(&store);
    return result;
}

/* ---- signing ---- */

/* The key of an authority is decrypted only when it is to sign. */
static int unseal(struct pki *pki, struct hactl_call *call, struct pki_store *store, struct pki_authority *authority)
{
    const char *passphrase;
    char base[PKI_PATH_SIZE];
    struct pki_remembered *one;
    struct pki_blob blob;
    EVP_PKEY *key;
    int error, result = pki_passphrase(pki, call, &passphrase);

    if (result != HACTL_OK)
        return result;
    pki_signer_base(store, authority->profile->file, ".key", base);
    if (passphrase == NULL)
        return pki->host->fail(call, HACTL_E_DENIED,
                               "authority %s: the key in %s/%s.key is encrypted; set passphrase_file or "
                               "passphrase_descriptor",
                               authority->profile->purpose, pki->directory, base);
    error = pki_store_read(store, base, ".key", &blob);
    if (error != 0)
        return pki_store_fail(pki, call, error, base, ".key");
    key = pki_key_read(pki_crypto(pki), blob.content, blob.size, passphrase);
    if (key == NULL || X509_check_private_key(authority->state.certificate, key) != 1) {
        result = pki->host->fail(
            call, HACTL_E_DENIED, "authority %s: %s/%s.key %s", authority->profile->purpose, pki->directory, base,
            key == NULL ? "cannot be decrypted with the pass phrase given" : "is not the key of its certificate");
    } else {
        authority->state.key = key;
        authority->state.sealed = false;
        one = pki_memory_find(pki->memory, base, ".key", &blob);
        if (one != NULL && one->key == NULL && EVP_PKEY_up_ref(key) == 1)
            one->key = key;
        key = NULL; /* handed over */
    }
    EVP_PKEY_free(key);
    pki_blob_free(&blob);
    pki_crypto_error();
    return result;
}

/* What is issued under an authority that ends within the time in which it
 * would be renewed would be due at once, again and again. */
int pki_authority_horizon(const struct pki *pki, struct hactl_call *call, const struct pki_authority *authority,
                          const struct pki_profile *profile)
{
    int64_t left_s = authority->state.not_after_s - (int64_t)time(NULL);
    int64_t renew_s = pki_profile_renew_s(pki, profile);

    if (left_s >= renew_s)
        return HACTL_OK;
    return pki->host->fail(call, HACTL_E_LOST,
                           "certificate %s: its authority %s ends in %.1f days, and a certificate is renewed when less "
                           "than %.1f are left: replace the authority first, or set a shorter life (leaf_days)",
                           profile->purpose, authority->profile->purpose, (double)left_s / PKI_DAY_S,
                           (double)renew_s / PKI_DAY_S);
}

int pki_authority_usable(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                         struct pki_authority *authority)
{
    const struct pki_state *state = &authority->state;

    if (authority->external)
        return pki->host->fail(
            call, HACTL_E_UNSUPPORTED,
            "authority %s is external: `hactl pki request` makes the requests for it, and `hactl pki "
            "import` takes its certificates in",
            authority->profile->purpose);
    if (authority->crl_error != 0)
        return pki->host->fail(call, HACTL_E_CONFLICT,
                               "%s/%s.crl, the list of what %s has revoked, %s; without it hactl would forget what was "
                               "revoked: put the list back from a copy, or, if nobody is to be kept out any more, move "
                               "it away",
                               pki->directory, authority->profile->file, authority->profile->purpose,
                               pki_crl_error(authority->crl_error));
    if (state->ready == HACTL_YES)
        return state->sealed ? unseal(pki, call, store, authority) : HACTL_OK;
    if (state->exposed)
        return pki->host->fail(call, HACTL_E_DENIED, "authority %s in %s/%s.key: %s; %s it",
                               authority->profile->purpose, pki->directory, authority->profile->file, state->reason,
                               state->foreign ? "chown" : "chmod 600");
    if (!state->has_certificate && !state->has_key && state->error == 0)
        return pki->host->fail(call, HACTL_E_NOT_FOUND,
                               "authority %s is not there yet (%s/%s.crt); authorities are made before certificates",
                               authority->profile->purpose, pki->directory, authority->profile->file);
    return refuse_authority(pki, call, authority->profile, state);
}
