/* SPDX-License-Identifier: Apache-2.0 */
/* From phase to phase of a rotation, both ways; what it looks like on disk tells pki_rotation.c. */
#include "plugins/pki/pki_rotation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct work {
    struct pki *pki;
    struct hactl_call *call;
    struct pki_store *store;
    const struct hactl_inventory *inventory;
    struct pki_rotating rotating;
    struct pki_rotation rotation;
    struct pki_audit audit;
};

static int work_fail(const struct work *work, int error, const char *what)
{
    return pki_store_fail(work->pki, work->call, error, work->rotating.file, what);
}

/* The phase is durable, and from then on what counts. */
static int enter(struct work *work, enum hactl_rotation phase)
{
    char text[64];
    int error;

    snprintf(text, sizeof text, "%s %lld\n", pki_phase_word(phase), (long long)time(NULL));
    error = pki_store_stage(work->store, work->rotating.file, PKI_ROTATION, text, strlen(text), 0600);
    if (error == 0)
        error = pki_audit_write(work->store, &work->audit);
    if (error == 0)
        error = pki_store_sync(work->store);
    if (error == 0)
        error = pki_store_place(work->store, work->rotating.file, PKI_ROTATION, false);
    if (error == 0)
        error = pki_store_sync_directory(work->store, work->rotating.file);
    if (error != 0)
        return work_fail(work, error, PKI_ROTATION);
    work->rotation.phase = phase;
    return HACTL_OK;
}

static int leave(struct work *work)
{
    int error = pki_audit_write(work->store, &work->audit);

    if (error == 0)
        error = pki_store_sync(work->store);
    if (error == 0)
        error = pki_store_remove(work->store, work->rotating.file, PKI_ROTATION);
    if (error == 0)
        error = pki_store_sync_directory(work->store, work->rotating.file);
    work->rotation.phase = HACTL_ROTATION_NONE;
    return error == 0 ? HACTL_OK : work_fail(work, error, PKI_ROTATION);
}

/* What is made to be the successor, or taken away again, has its public half under this name until it has the key
 * beside it, or once it is to go: so what a killed process left is told from what somebody put there. */
static void staged_ending(const struct work *work, char out[16])
{
    snprintf(out, 16, "%.8s" PKI_STAGED, work->rotating.public_ending);
}

static void remove_next(const struct work *work)
{
    char next[PKI_PATH_SIZE], staged[16];

    pki_rotation_side(work->rotating.file, ".next", next);
    staged_ending(work, staged);
    if (pki_rotation_is_there(work->store, next, work->rotating.public_ending))
        pki_store_unplace(work->store, next, work->rotating.public_ending);
    pki_store_overwrite(work->store, next, ".key");
    pki_store_sync(work->store);
    pki_store_remove(work->store, next, ".key");
    pki_store_remove(work->store, next, staged);
}

static int stage_pair(struct work *work, const char *next, EVP_PKEY *key, X509 *certificate)
{
    const char *passphrase = NULL;
    char *pem = NULL;
    size_t size = 0;
    int error, result = HACTL_OK;

    if (certificate != NULL)
        result = pki_passphrase(work->pki, work->call, &passphrase);
    if (result != HACTL_OK)
        return result;
    if (pki_key_write(pki_crypto(work->pki), key, passphrase, &pem, &size) != 0)
        return work->pki->host->fail(work->call, HACTL_E_INTERNAL, "%s: %s", next, pki_crypto_error());
    error = pki_store_stage(work->store, next, ".key", pem, size, 0600);
    pki_secret_free(pem, size);
    if (error != 0)
        return work_fail(work, error, ".next.key");
    pem = NULL;
    if (certificate != NULL ? pki_certificate_write(certificate, &pem, &size) != 0
                            : pki_public_key_write(key, &pem, &size) != 0)
        return work->pki->host->fail(work->call, HACTL_E_INTERNAL, "%s: %s", next, pki_crypto_error());
    error = pki_store_stage(work->store, next, work->rotating.public_ending, pem, size, 0644);
    free(pem);
    return error == 0 ? HACTL_OK : work_fail(work, error, ".next");
}

static X509 *make_successor(const struct work *work, struct pki_maker *maker, EVP_PKEY *key)
{
    size_t authority = pki_authority_find(work->rotating.purpose);
    int64_t now_s = (int64_t)time(NULL);
    NAME_CONSTRAINTS *constraints = work->pki->constrain ? pki_constraints_make(work->inventory) : NULL;
    struct pki_issuance issuance = {.common_name = pki_authorities[authority].common_name,
                                    .authority = true,
                                    .constraints = constraints,
                                    .not_before_s = now_s - work->pki->backdate_s,
                                    .not_after_s = now_s + work->pki->authority_s};
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    size_t size = 0;

    if (!work->pki->constrain || constraints != NULL)
        der = pki_certificate_make(maker, key, &issuance, NULL, key, &size);
    if (der != NULL)
        certificate = pki_certificate_parse(pki_crypto(work->pki), der, size);
    free(der);
    if (certificate != NULL && X509_verify(certificate, key) != 1) {
        X509_free(certificate);
        certificate = NULL;
    }
    NAME_CONSTRAINTS_free(constraints);
    return certificate;
}

/* Of the service accounts. */
static void check_account_pair(const struct work *work, const char *next, struct pki_state *state)
{
    struct pki_remembered *key = NULL, *half = NULL;

    *state = (struct pki_state){.ready = HACTL_YES};
    state->has_key = pki_recall(work->pki, work->store, next, ".key", &key) != -ENOENT;
    state->has_certificate = pki_recall(work->pki, work->store, next, ".pub", &half) != -ENOENT;
    if (key == NULL || half == NULL || key->key == NULL || half->key == NULL || EVP_PKEY_eq(key->key, half->key) != 1)
        pki_state_finding(state, "they are not a private key and its public half");
    else if ((key->mode & 0077) != 0)
        pki_state_finding(state, "its key can be read by others (mode %04o)", (unsigned)key->mode);
    else if (!pki_store_is_ours(work->store, key->owner))
        pki_state_finding(state, "its key belongs to user %u", (unsigned)key->owner);
    pki_crypto_error();
}

/* A pair that somebody put there beforehand is the successor; one that cannot be is left for him to put right. */
static int look_for_successor(struct work *work, const char *next, bool *found)
{
    struct pki_authority_profile profile = {work->rotating.purpose, next, work->rotating.purpose};
    struct pki_state state;
    char staged[16];
    int result = HACTL_OK;

    staged_ending(work, staged);
    if (strcmp(work->rotating.public_ending, ".crt") == 0)
        pki_authority_check(work->pki, work->store, &profile, &state);
    else
        check_account_pair(work, next, &state);
    *found = state.ready == HACTL_YES;
    if (*found)
        pki_audit_add(&work->audit, "import", work->rotating.purpose, NULL, state.certificate);
    else if (state.has_certificate || (state.has_key && !pki_rotation_is_there(work->store, next, staged)))
        result = work->pki->host->fail(work->call, HACTL_E_CONFLICT,
                                       "%s/%s%s and .key cannot succeed %s: %s; put the right pair there, or move them "
                                       "away, and hactl makes one",
                                       work->pki->directory, next, work->rotating.public_ending, work->rotating.purpose,
                                       state.reason);
    pki_state_free(&state);
    return result;
}

/* What cannot be made here: one whose key is elsewhere, or that others vouch for. */
static int check_own(const struct work *work)
{
    size_t which = pki_authority_find(work->rotating.purpose);
    struct pki_state state;
    bool above;

    if (which == pki_authority_count)
        return HACTL_OK;
    pki_authority_check(work->pki, work->store, &pki_authorities[which], &state);
    above = state.chain != NULL && sk_X509_num(state.chain) > 1;
    pki_state_free(&state);
    if (!above && (work->pki->external & 1u << which) == 0)
        return HACTL_OK;
    return work->pki->host->fail(work->call, HACTL_E_NOT_FOUND,
                                 "authority %s is %s, so hactl does not make its successor: put that into "
                                 "%s/%s.next.crt and .key first",
                                 work->rotating.purpose, above ? "vouched for by another" : "external",
                                 work->pki->directory, work->rotating.file);
}

static int make_next(struct work *work, const char *next)
{
    bool authority = strcmp(work->rotating.public_ending, ".crt") == 0;
    struct pki_maker maker;
    EVP_PKEY *key;
    X509 *certificate;
    int result;

    pki_maker_open(&maker, pki_crypto(work->pki));
    key = pki_key_generate(&maker, work->pki->key_type);
    certificate = key != NULL && authority ? make_successor(work, &maker, key) : NULL;
    if (key == NULL || (authority && certificate == NULL)) {
        result = work->pki->host->fail(work->call, HACTL_E_INTERNAL, "%s: %s", next, pki_crypto_error());
    } else {
        pki_audit_add(&work->audit, "issue", work->rotating.purpose, NULL, certificate);
        result = stage_pair(work, next, key, certificate);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    pki_maker_close(&maker);
    return result;
}

static int prepare(struct work *work)
{
    char next[PKI_PATH_SIZE];
    bool found = false;
    int error, result;

    pki_rotation_side(work->rotating.file, ".next", next);
    result = look_for_successor(work, next, &found);
    if (result == HACTL_OK && found)
        return enter(work, HACTL_ROTATION_PREPARE);
    if (result == HACTL_OK)
        result = check_own(work);
    if (result != HACTL_OK)
        return result;
    remove_next(work);
    result = make_next(work, next);
    if (result != HACTL_OK)
        return result;
    /* Durable with it: it may sign as soon as it has its name. */
    error = pki_audit_write(work->store, &work->audit);
    if (error == 0)
        error = pki_store_sync(work->store);
    if (error == 0)
        error = pki_store_place(work->store, next, ".key", true);
    if (error == 0)
        error = pki_store_place(work->store, next, work->rotating.public_ending, true);
    return error == 0 ? enter(work, HACTL_ROTATION_PREPARE) : work_fail(work, error, ".next");
}

/* Both, the one that signs first. */
static int write_bundle(const struct work *work)
{
    const char *ending = work->rotating.public_ending;
    char signer[PKI_PATH_SIZE], other[PKI_PATH_SIZE], bundle[PKI_PATH_SIZE];
    struct pki_blob first = {0}, second = {0};
    char *both = NULL;
    int error;

    pki_signer_base(work->store, work->rotating.file, ending, signer);
    pki_rotation_other(work->store, work->rotating.file, work->rotation.phase, ending, other);
    pki_rotation_side(work->rotating.file, "-bundle", bundle);
    error = pki_store_read(work->store, signer, ending, &first);
    if (error == 0)
        error = pki_store_read(work->store, other, ending, &second);
    if (error == 0 && (both = malloc(first.size + second.size + 1)) == NULL)
        error = -ENOMEM;
    if (error == 0) {
        memcpy(both, first.content, first.size);
        memcpy(both + first.size, second.content, second.size);
        error = pki_store_stage(work->store, bundle, ending, both, first.size + second.size, 0644);
    }
    if (error == 0)
        error = pki_store_sync(work->store);
    if (error == 0)
        error = pki_store_place(work->store, bundle, ending, false);
    free(both);
    pki_blob_free(&first);
    pki_blob_free(&second);
    return error == 0 ? HACTL_OK : work_fail(work, error, "-bundle");
}

static int remove_bundle(const struct work *work)
{
    char bundle[PKI_PATH_SIZE];
    int error;

    pki_rotation_side(work->rotating.file, "-bundle", bundle);
    error = pki_store_remove(work->store, bundle, work->rotating.public_ending);
    return error == 0 ? HACTL_OK : work_fail(work, error, "-bundle");
}

/* ---- fences of our own: what is on disk, whatever runs ---- */

static X509 *read_leaf(const struct work *work, enum pki_form form, const struct pki_blob *blob)
{
    struct pki_kubeconfig kubeconfig;
    X509 *certificate = NULL;

    if (form != PKI_KUBECONFIG)
        return pki_certificate_read(pki_crypto(work->pki), blob->content, blob->size);
    pki_kubeconfig_read(blob->content, blob->size, &kubeconfig);
    if (kubeconfig.certificate != NULL)
        certificate = pki_certificate_read(pki_crypto(work->pki), kubeconfig.certificate, kubeconfig.certificate_size);
    pki_kubeconfig_free(&kubeconfig);
    return certificate;
}

static int check_leaf(const struct work *work, const struct pki_profile *profile, const struct hactl_replica *replica,
                      EVP_PKEY *signer)
{
    /* Where replicas make their keys there are certificates alone. */
    enum pki_form form = work->inventory->replica_keys && replica != NULL ? PKI_PAIR : profile->form;
    char base[PKI_PATH_SIZE];
    struct pki_blob blob;
    X509 *certificate;
    int result = HACTL_OK;

    if (!pki_called_for(work->inventory, profile) || !pki_base(profile, replica != NULL ? replica->name : NULL, base) ||
        pki_store_read(work->store, base, pki_ending(form), &blob) != 0)
        return HACTL_OK;
    certificate = read_leaf(work, form, &blob);
    if (certificate != NULL && X509_verify(certificate, signer) != 1)
        result = work->pki->host->fail(work->call, HACTL_E_CONFLICT,
                                       "%s/%s%s is not signed by the %s that signs now; issue it anew first (hactl "
                                       "pki issue)",
                                       work->pki->directory, base, pki_ending(form), work->rotating.purpose);
    X509_free(certificate);
    pki_blob_free(&blob);
    pki_crypto_error();
    return result;
}

/* Nothing that is in use is left of the one that nobody is to trust any more. */
static int check_leaves(const struct work *work)
{
    struct pki_authority *authorities = pki_authorities_new();
    const struct pki_authority *authority;
    EVP_PKEY *signer;
    int result = HACTL_OK;

    if (authorities == NULL)
        return work->pki->host->fail(work->call, HACTL_E_INTERNAL, "out of memory");
    authority = pki_authority_load(work->pki, work->store, authorities, work->rotating.purpose);
    signer = authority->state.certificate != NULL ? X509_get0_pubkey(authority->state.certificate) : NULL;
    if (signer == NULL)
        result = work->pki->host->fail(work->call, HACTL_E_CONFLICT, "authority %s cannot be read: %s",
                                       work->rotating.purpose, authority->state.reason);
    for (size_t i = 0; result == HACTL_OK && i < work->pki->profile_count; i++) {
        const struct pki_profile *profile = &work->pki->profiles[i];
        bool each = profile->scope == PKI_REPLICA;

        if (strcmp(profile->authority, work->rotating.purpose) != 0)
            continue;
        for (size_t r = 0; result == HACTL_OK && r < (each ? work->inventory->replica_count : 1); r++)
            result = check_leaf(work, profile, each ? work->inventory->replicas[r] : NULL, signer);
    }
    pki_authorities_free(authorities);
    return result;
}

static int check_tokens(const struct work *work)
{
    int64_t until_s = work->rotation.since_s + work->pki->token_s, now_s = (int64_t)time(NULL);
    char date[32];
    struct tm parts;
    time_t when = (time_t)until_s;

    if (now_s >= until_s)
        return HACTL_OK;
    gmtime_r(&when, &parts);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &parts);
    return work->pki->host->fail(work->call, HACTL_E_CONFLICT,
                                 "tokens that the old service account key signed may live until %s (token_hours); "
                                 "retire it after that",
                                 date);
}

static int check_unused(const struct work *work)
{
    return strcmp(work->rotating.public_ending, ".crt") == 0 ? check_leaves(work) : check_tokens(work);
}

/* ---- from phase to phase ---- */

/* 0: its n-th has a certificate; -ENOENT: it has none, and with `*key` a key alone. Anything else keeps it from being
 * looked at, and then there is no sense in looking at the next one. */
static int look_into_archive(struct pki_store *store, const struct pki_rotating *rotating, int n,
                             char base[PKI_PATH_SIZE], bool *key)
{
    struct pki_blob blob;
    int key_error;

    snprintf(base, PKI_PATH_SIZE, "archive/%s-%d", rotating->purpose, n);
    key_error = pki_store_stat(store, base, ".key", &blob);
    *key = key_error == 0;
    return key_error != 0 && key_error != -ENOENT ? key_error
                                                  : pki_store_stat(store, base, rotating->public_ending, &blob);
}

/* The first place that has no certificate. A key alone is of an interrupted run. */
static int find_place(const struct work *work, char archived[PKI_PATH_SIZE])
{
    int error = 0;
    bool key;

    for (int n = 1; error == 0; n++)
        error = look_into_archive(work->store, &work->rotating, n, archived, &key);
    return error == -ENOENT ? HACTL_OK
                            : pki_store_fail(work->pki, work->call, error, archived, work->rotating.public_ending);
}

static int archive_old(const struct work *work)
{
    char previous[PKI_PATH_SIZE], archived[PKI_PATH_SIZE];
    const char *ending = work->rotating.public_ending;
    int error, result = find_place(work, archived);

    if (result != HACTL_OK)
        return result;
    pki_rotation_side(work->rotating.file, ".previous", previous);
    error = pki_rotation_is_there(work->store, previous, ".key")
                ? pki_store_move(work->store, previous, archived, ".key")
                : 0;
    if (error == 0 && pki_rotation_is_there(work->store, previous, ending))
        error = pki_store_move(work->store, previous, archived, ending);
    if (error == 0 && pki_rotation_is_there(work->store, archived, ending))
        error = pki_store_sync_directory(work->store, archived);
    return error == 0 ? HACTL_OK : work_fail(work, error, ".previous");
}

static int settled(const struct work *work)
{
    int error = pki_rotation_settle(work->store, &work->rotating, work->rotation.phase);

    return error == 0 ? HACTL_OK : work_fail(work, error, "");
}

static int forwards(struct work *work)
{
    int result = HACTL_OK;

    switch (work->rotation.phase) {
    case HACTL_ROTATION_NONE:
        return prepare(work);
    case HACTL_ROTATION_PREPARE:
        result = write_bundle(work);
        return result == HACTL_OK ? enter(work, HACTL_ROTATION_TRUST) : result;
    case HACTL_ROTATION_TRUST:
        result = enter(work, HACTL_ROTATION_SWITCH);
        return result == HACTL_OK ? settled(work) : result;
    case HACTL_ROTATION_SWITCH:
        result = check_unused(work);
        if (result == HACTL_OK)
            result = enter(work, HACTL_ROTATION_RETIRE);
        return result == HACTL_OK ? remove_bundle(work) : result;
    case HACTL_ROTATION_RETIRE:
        result = archive_old(work);
        return result == HACTL_OK ? leave(work) : result;
    }
    return HACTL_E_INTERNAL;
}

static int backwards(struct work *work)
{
    int result;

    switch (work->rotation.phase) {
    case HACTL_ROTATION_PREPARE:
        result = leave(work);
        if (result == HACTL_OK)
            remove_next(work);
        return result;
    case HACTL_ROTATION_TRUST:
        result = check_unused(work);
        if (result == HACTL_OK)
            result = enter(work, HACTL_ROTATION_PREPARE);
        return result == HACTL_OK ? remove_bundle(work) : result;
    case HACTL_ROTATION_SWITCH:
        result = enter(work, HACTL_ROTATION_TRUST);
        return result == HACTL_OK ? settled(work) : result;
    case HACTL_ROTATION_RETIRE:
        result = write_bundle(work);
        return result == HACTL_OK ? enter(work, HACTL_ROTATION_SWITCH) : result;
    case HACTL_ROTATION_NONE:
        break;
    }
    return HACTL_E_INTERNAL;
}

static int step(struct work *work, enum hactl_rotation phase)
{
    enum hactl_rotation from = work->rotation.phase;
    int result;

    if (phase == from)
        return HACTL_OK;
    pki_audit_phase(&work->audit, work->rotating.purpose, pki_phase_word(from), pki_phase_word(phase));
    if ((int)phase == (int)from + 1 || (from == HACTL_ROTATION_RETIRE && phase == HACTL_ROTATION_NONE))
        result = forwards(work);
    else if ((int)phase == (int)from - 1)
        result = backwards(work);
    else
        return work->pki->host->fail(work->call, HACTL_E_CONFLICT, "the rotation of %s is in phase %s; %s is not next",
                                     work->rotating.purpose, pki_phase_word(from), pki_phase_word(phase));
    if (result == HACTL_OK)
        work->pki->host->log(work->call, HACTL_LOG_INFO, "rotation of %s: from %s to %s", work->rotating.purpose,
                             pki_phase_word(from), pki_phase_word(phase));
    return result;
}

int pki_rotate(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *authority,
               enum hactl_rotation phase)
{
    struct work work = {.pki = self, .call = call, .inventory = inventory};
    struct pki_store store;
    size_t i = 0;
    int error, result;

    while (i < pki_rotating_count() && strcmp(pki_rotating_at(i).purpose, authority) != 0)
        i++;
    if (i == pki_rotating_count() || (unsigned)phase > HACTL_ROTATION_RETIRE)
        return work.pki->host->fail(call, HACTL_E_INVALID, "there is no authority \"%.100s\" to rotate", authority);
    result = pki_inventory_check(self, call, inventory);
    if (result == HACTL_OK)
        result = pki_store_open(self, call, true, &store);
    if (result != HACTL_OK)
        return result;
    work.store = &store;
    work.rotating = pki_rotating_at(i);
    pki_audit_begin(&work.audit, self, call);
    error = pki_rotation_read(&store, work.rotating.file, &work.rotation);
    if (error != 0)
        result = work_fail(&work, error, PKI_ROTATION);
    if (result == HACTL_OK)
        result = pki_rotation_finish(self, call, &store);
    if (result == HACTL_OK && !pki_rotation_is_there(&store, work.rotating.file, work.rotating.public_ending))
        result = work.pki->host->fail(call, HACTL_E_NOT_FOUND, "%s is not there yet (%s/%s%s)", authority,
                                      work.pki->directory, work.rotating.file, work.rotating.public_ending);
    if (result == HACTL_OK)
        result = step(&work, phase);
    pki_audit_end(&work.audit);
    pki_store_close(&store);
    return result;
}

/* ---- taking all of it away ---- */

static int clear_archive(struct pki_store *store, bool keys_only)
{
    char base[PKI_PATH_SIZE];
    int error = 0;

    for (size_t i = 0; error == 0 && i < pki_rotating_count(); i++) {
        struct pki_rotating rotating = pki_rotating_at(i);
        bool key;
        for (int n = 1; error == 0; n++) {
            error = look_into_archive(store, &rotating, n, base, &key);
            if (error == -ENOENT && key)
                error = 0;
            if (error == 0 && keys_only)
                pki_store_overwrite(store, base, ".key");
            if (error == 0 && !keys_only)
                error = pki_store_remove(store, base, ".key");
            if (error == 0 && !keys_only)
                error = pki_store_remove(store, base, rotating.public_ending);
        }
        error = error == -ENOENT ? 0 : error;
    }
    return error;
}

/* And what a killed process staged of it. */
static int clear_side(struct pki_store *store, const char *base, const char *ending, bool keys_only)
{
    char staged[16];
    int error = 0;

    snprintf(staged, sizeof staged, "%.9s" PKI_STAGED, ending);
    if (strcmp(ending, ".key") == 0) {
        pki_store_overwrite(store, base, ending);
        pki_store_overwrite(store, base, staged);
    }
    if (!keys_only)
        error = pki_store_remove(store, base, ending);
    if (!keys_only && error == 0)
        error = pki_store_remove(store, base, staged);
    return error;
}

int pki_rotation_clear(struct pki_store *store, bool keys_only)
{
    static const char *const sides[] = {".next", ".previous", "-bundle"};
    char base[PKI_PATH_SIZE];
    int error = 0;

    for (size_t i = 0; error == 0 && i < pki_rotating_count(); i++) {
        struct pki_rotating rotating = pki_rotating_at(i);
        for (size_t s = 0; error == 0 && s < sizeof sides / sizeof sides[0]; s++) {
            pki_rotation_side(rotating.file, sides[s], base);
            error = clear_side(store, base, ".key", keys_only);
            if (error == 0)
                error = clear_side(store, base, rotating.public_ending, keys_only);
            if (error == 0)
                error = clear_side(store, rotating.file, PKI_ROTATION, keys_only);
        }
    }
    return error == 0 ? clear_archive(store, keys_only) : error;
}
