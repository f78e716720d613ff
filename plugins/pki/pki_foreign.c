/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and authorities of others: signing requests that somebody else made,
 * making requests for an authority that is elsewhere, and taking in what it
 * has signed. A request is asked for its key alone: what a certificate says
 * comes from the profile and the inventory, and a request that wants more is
 * refused by the name of what it wants.
 */
#include "plugins/pki/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/pem.h>

/* ---- what is asked for ---- */

static int find_profile(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                        const char *purpose, const char *replica, const struct pki_profile **profile,
                        const struct hactl_replica **of)
{
    size_t which = pki_profile_find(pki, purpose);

    if (which == pki->profile_count)
        return pki->host->fail(call, HACTL_E_INVALID, "there is no certificate \"%.60s\"; hactl pki list shows them",
                               purpose);
    *profile = &pki->profiles[which];
    if ((*profile)->scope == PKI_CLUSTER)
        return replica == NULL
                   ? HACTL_OK
                   : pki->host->fail(call, HACTL_E_INVALID, "certificate %s is of no single replica", purpose);
    if (replica == NULL)
        return pki->host->fail(call, HACTL_E_INVALID, "certificate %s is a replica's: name it", purpose);
    return pki_replica_ready(pki, call, inventory, replica, of);
}

static int check_subject(const struct pki *pki, struct hactl_call *call, const struct pki_want *want, X509_REQ *request)
{
    X509_NAME *asked = X509_REQ_get_subject_name(request), *wanted = X509_NAME_new();
    char *text = pki_name_text(asked);
    int result = HACTL_OK;

    if (wanted == NULL || !pki_subject_set(wanted, want->common_name, want->profile->organization))
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    else if (X509_NAME_entry_count(asked) > 0 && X509_NAME_cmp(asked, wanted) != 0)
        result = pki->host->fail(
            call, HACTL_E_INVALID, "the request is for \"%.150s\"; certificate %s is for %s%s%sCN=%s and nobody else",
            text != NULL ? text : "?", want->profile->purpose, want->profile->organization != NULL ? "O=" : "",
            want->profile->organization != NULL ? want->profile->organization : "",
            want->profile->organization != NULL ? "," : "", want->common_name);
    free(text);
    X509_NAME_free(wanted);
    return result;
}

static int check_names(const struct pki *pki, struct hactl_call *call, const struct pki_want *want, X509_REQ *request)
{
    struct pki_names asked;
    bool strange = false;
    int result = HACTL_OK;

    if (pki_request_names(request, &asked, &strange) != 0)
        return pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    if (strange)
        result = pki->host->fail(call, HACTL_E_INVALID,
                                 "the request has an alternative name that is neither a DNS name nor an address as "
                                 "certificates carry them");
    for (size_t i = 0; result == HACTL_OK && i < asked.count; i++)
        if (!pki_names_have(&want->names, &asked.list[i]))
            result =
                pki->host->fail(call, HACTL_E_INVALID, "the request asks for %s, which certificate %s is not to have",
                                asked.list[i].text, want->profile->purpose);
    pki_names_free(&asked);
    return result;
}

int pki_request_judge(const struct pki *pki, struct hactl_call *call, const struct pki_want *want, X509_REQ *request,
                      EVP_PKEY **out)
{
    EVP_PKEY *key;
    int result;

    if (request == NULL)
        return pki->host->fail(call, HACTL_E_INVALID, "this is not a PEM certificate request: %s", pki_crypto_error());
    key = pki_request_key(pki_crypto(pki), request);
    if (key == NULL || pki_key_type(key) == NULL)
        result = pki->host->fail(call, HACTL_E_INVALID, "the request's key is none of %s", PKI_KEY_TYPES);
    else if (X509_REQ_verify(request, key) != 1)
        result =
            pki->host->fail(call, HACTL_E_INVALID,
                            "the request's signature is not by its own key: whoever sent it may not have that key");
    else
        result = check_subject(pki, call, want, request);
    if (result == HACTL_OK)
        result = check_names(pki, call, want, request);
    if (result == HACTL_OK)
        *out = key;
    else
        EVP_PKEY_free(key);
    pki_crypto_error();
    return result;
}

/* ---- signing ---- */

static int emit_signed(struct pki *pki, struct hactl_call *call, const struct pki_authority *authority,
                       const unsigned char *der, size_t der_size)
{
    struct hactl_credential record = {.struct_size = sizeof record};
    char *text = pki_pem("CERTIFICATE", der, der_size, &record.content_size), *longer;
    int count = sk_X509_num(authority->state.chain) - 1, result;

    for (int i = 0; text != NULL && i < count; i++) {
        char *one = NULL;
        size_t size = 0;
        if (pki_certificate_write(sk_X509_value(authority->state.chain, i), &one, &size) == 0 &&
            (longer = realloc(text, record.content_size + size + 1)) != NULL) {
            text = longer;
            memcpy(text + record.content_size, one, size + 1);
            record.content_size += size;
        }
        free(one);
    }
    record.content = text;
    result = text != NULL ? pki->host->emit_credential(call, &record)
                          : pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    free(text);
    return result;
}

/* Durable before anybody has the certificate. */
static int audit_signed(struct pki *pki, struct hactl_call *call, struct pki_store *store, const struct pki_want *want,
                        X509 *certificate)
{
    struct pki_audit audit;
    int error;

    pki_audit_begin(&audit, pki, call);
    pki_audit_add(&audit, "sign", want->profile->purpose, want->replica, certificate);
    error = pki_audit_write(store, &audit);
    if (error == 0)
        error = pki_store_sync(store);
    pki_audit_end(&audit);
    return error == 0 ? HACTL_OK : pki_store_fail(pki, call, error, PKI_AUDIT_FILE, "");
}

static int sign_want(struct pki *pki, struct hactl_call *call, struct pki_store *store, const struct pki_want *want,
                     const struct pki_authority *authority, EVP_PKEY *key)
{
    int64_t now_s = (int64_t)time(NULL);
    struct pki_issuance issuance = {.common_name = want->common_name,
                                    .organization = want->profile->organization,
                                    .names = &want->names,
                                    .usage = want->profile->usage,
                                    .not_before_s = now_s - pki->backdate_s,
                                    .not_after_s = now_s + pki_profile_life_s(pki, want->profile)};
    struct pki_maker maker;
    unsigned char *der;
    size_t size;
    X509 *certificate;
    int result;

    if (issuance.not_after_s > authority->state.not_after_s)
        issuance.not_after_s = authority->state.not_after_s;
    pki_maker_open(&maker, pki_crypto(pki));
    der = pki_certificate_make(&maker, key, &issuance, authority->state.certificate, authority->state.key, &size);
    pki_maker_close(&maker);
    certificate = der != NULL ? pki_certificate_parse(pki_crypto(pki), der, size) : NULL;
    if (certificate == NULL || X509_verify(certificate, authority->state.key) != 1)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "%s: %s", want->profile->purpose, pki_crypto_error());
    else if (!pki_chain_allows(authority->state.chain, certificate))
        result = pki->host->fail(call, HACTL_E_INVALID,
                                 "%s: one of its names is outside of the name constraints of %s, or of an authority "
                                 "above it",
                                 want->profile->purpose, want->profile->authority);
    else if ((result = audit_signed(pki, call, store, want, certificate)) == HACTL_OK)
        result = emit_signed(pki, call, authority, der, size);
    X509_free(certificate);
    free(der);
    return result;
}

int pki_sign(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
             const char *purpose, const char *request)
{
    struct pki *pki = self;
    const struct pki_profile *profile = NULL;
    const struct hactl_replica *of = NULL;
    struct pki_authority *authorities = pki_authorities_new(), *authority;
    X509_REQ *asked = NULL;
    EVP_PKEY *key = NULL;
    struct pki_want want = {.profile = NULL};
    struct pki_store store = {.root = -1, .lock = -1};
    int result = authorities != NULL ? pki_inventory_check(pki, call, inventory) : HACTL_E_INTERNAL;

    if (result == HACTL_OK)
        result = find_profile(pki, call, inventory, purpose, replica, &profile, &of);
    if (result == HACTL_OK)
        result = pki_want_make(pki, call, inventory, profile, of, &want);
    if (result == HACTL_OK)
        result = pki_want_refuse_nameless(pki, call, &want);
    if (result != HACTL_OK)
        goto out;
    asked = pki_request_read(pki_crypto(pki), request, strlen(request));
    result = pki_request_judge(pki, call, &want, asked, &key);
    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        goto out;
    authority = pki_authority_load(pki, &store, authorities, profile->authority);
    result = pki_authority_usable(pki, call, &store, authority);
    if (result == HACTL_OK)
        result = pki_authority_horizon(pki, call, authority, profile);
    if (result == HACTL_OK)
        result = sign_want(pki, call, &store, &want, authority, key);
    pki_store_close(&store);
out:
    pki_want_free(&want);
    EVP_PKEY_free(key);
    X509_REQ_free(asked);
    pki_authorities_free(authorities);
    return result;
}

/* ---- requests for an authority that is elsewhere ---- */

struct asking {
    struct pki_batch batch;
    struct pki_maker maker;
    struct pki_authority *authorities;
    const struct hactl_inventory *inventory;
    size_t made;
};

/* As a key of the item that comes with it, or as a file of its own. */
static int stage_key(struct pki_batch *batch, const struct pki_item *item, EVP_PKEY *key, bool alone)
{
    char *pem = NULL;
    size_t size = 0;
    int error, result = HACTL_OK;

    if (pki_key_write(pki_crypto(batch->pki), key, NULL, &pem, &size) != 0)
        return batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "%s: %s", item->base, pki_crypto_error());
    if (alone)
        result = pki_batch_file(batch, item, pem, size, 0600);
    else if ((error = pki_store_stage(batch->store, item->base, ".key", pem, size, 0600)) != 0)
        result = pki_store_fail(batch->pki, batch->call, error, item->base, ".key");
    pki_secret_free(pem, size);
    return result;
}

/* A key that waits for its certificate is used again: asked twice, the second request is for the same key. */
static EVP_PKEY *waiting_key(struct asking *asking, const struct pki_want *want, const struct pki_state *state)
{
    struct pki_remembered *file = NULL;
    const char *key_type = pki_profile_key_type(asking->batch.pki, want->profile);
    EVP_PKEY *key = state->exposed ? NULL : state->key;

    if (pki_recall(asking->batch.pki, asking->batch.store, want->base,
                   want->form == PKI_KUBECONFIG ? ".key" : PKI_WAITING_KEY, &file) == 0 &&
        (file->mode & 0077) == 0 && file->key != NULL)
        key = file->key;
    return key != NULL && pki_key_has_type(key, key_type) ? key : NULL;
}

static int ask(struct asking *asking, const struct pki_want *want, const struct pki_state *state)
{
    struct pki *pki = asking->batch.pki;
    struct pki_item item = {.ending = ".csr", .purpose = want->profile->purpose, .replica = want->replica};
    EVP_PKEY *waiting = waiting_key(asking, want, state), *key = waiting;
    X509_REQ *request = NULL;
    char *pem = NULL, path[4096 + PKI_PATH_SIZE];
    struct hactl_credential record = {.struct_size = sizeof record, .path = path};
    bool in_use = want->form == PKI_PAIR && state->has_certificate && state->has_key;
    int result = HACTL_OK;

    memcpy(item.base, want->base, sizeof item.base);
    snprintf(item.reason, sizeof item.reason, "request");
    /* The key of a pair that is in use stays until there is a certificate for the new one. */
    item.new_key = key == NULL && !in_use;
    if (key == NULL)
        key = pki_key_generate(&asking->maker, pki_profile_key_type(pki, want->profile));
    if (key != NULL)
        request = pki_request_make(&asking->maker, key, want->common_name, want->profile->organization, &want->names);
    if (request == NULL || pki_request_write(request, &pem, &record.content_size) != 0)
        result = pki->host->fail(asking->batch.call, HACTL_E_INTERNAL, "%s: %s", want->base, pki_crypto_error());
    if (result == HACTL_OK)
        result = pki_batch_file(&asking->batch, &item, pem, record.content_size, 0644);
    if (result == HACTL_OK && waiting == NULL && in_use) {
        item.ending = PKI_WAITING_KEY;
        item.secret = true;
    }
    if (result == HACTL_OK && waiting == NULL)
        result = stage_key(&asking->batch, &item, key, in_use);
    snprintf(path, sizeof path, "%s/%s.csr", pki->directory, want->base);
    record.content = pem;
    if (result == HACTL_OK)
        result = pki->host->emit_credential(asking->batch.call, &record);
    asking->made++;
    free(pem);
    X509_REQ_free(request);
    if (waiting == NULL)
        EVP_PKEY_free(key);
    return result;
}

static int consider(struct asking *asking, const struct pki_profile *profile, const struct hactl_replica *replica)
{
    struct pki *pki = asking->batch.pki;
    struct pki_authority *authority =
        pki_authority_load(pki, asking->batch.store, asking->authorities, profile->authority);
    struct pki_state state;
    struct pki_want want;
    int result;

    if (!authority->external || profile->form == PKI_SIGN_ONLY)
        return HACTL_OK;
    result = pki_want_make(pki, asking->batch.call, asking->inventory, profile, replica, &want);
    if (result != HACTL_OK)
        return result;
    pki_leaf_check(pki, asking->batch.store, &want, authority, &state);
    if (state.error != 0)
        result = pki->host->fail(asking->batch.call, HACTL_E_CONFLICT, "%s/%s", pki->directory, state.reason);
    else if (state.ready != HACTL_YES &&
             (result = pki_want_refuse_nameless(pki, asking->batch.call, &want)) == HACTL_OK)
        result = ask(asking, &want, &state);
    pki_state_free(&state);
    pki_want_free(&want);
    return result;
}

static int consider_all(struct asking *asking, const char *replica)
{
    const struct pki *pki = asking->batch.pki;
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < pki->profile_count; i++) {
        const struct pki_profile *profile = &pki->profiles[i];
        if (profile->scope == PKI_CLUSTER && replica == NULL)
            result = consider(asking, profile, NULL);
        for (size_t j = 0; result == HACTL_OK && profile->scope == PKI_REPLICA && j < asking->inventory->replica_count;
             j++) {
            const struct hactl_replica *one = asking->inventory->replicas[j];
            if (one->internal_address != NULL && (replica == NULL || strcmp(one->name, replica) == 0))
                result = consider(asking, profile, one);
        }
    }
    return result;
}

int pki_request(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica)
{
    struct pki *pki = self;
    struct asking asking = {.inventory = inventory};
    const struct hactl_replica *of;
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK && pki->external == 0)
        result = pki->host->fail(call, HACTL_E_INVALID,
                                 "no authority is external; the setting `external` names those that are");
    if (result == HACTL_OK && replica != NULL)
        result = pki_replica_ready(pki, call, inventory, replica, &of);
    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    pki_batch_open(&asking.batch, pki, call, &store);
    pki_maker_open(&asking.maker, pki_crypto(pki));
    asking.authorities = pki_authorities_new();
    result = asking.authorities != NULL ? consider_all(&asking, replica)
                                        : pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    result = pki_batch_close(&asking.batch, result);
    pki_batch_free(&asking.batch);
    pki_maker_close(&asking.maker);
    pki_authorities_free(asking.authorities);
    pki_store_close(&store);
    return result;
}

/* ---- taking in ---- */

struct importing {
    struct pki_batch batch;
    struct pki_authority *authorities;
    const struct hactl_inventory *inventory;
    STACK_OF(X509) * chain;
    char *pem; /* of the chain, and of nothing else that was in the file */
    bool taken;
};

/* NULL: out of memory; caller frees. */
static char *chain_text(STACK_OF(X509) * chain)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    size_t size;
    bool good = bio != NULL;

    for (int i = 0; good && i < sk_X509_num(chain); i++)
        good = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
    if (good)
        pki_bio_take(bio, &text, &size);
    BIO_free(bio);
    return text;
}

/* Judged by the same eyes as what is on disk, as if it were there already. */
static int judge(struct importing *importing, const struct pki_want *want, struct pki_authority *authority,
                 EVP_PKEY *key)
{
    struct pki *pki = importing->batch.pki;
    struct pki_state state;
    int result = HACTL_OK;

    pki_foreign_check(pki, want, authority, importing->chain, key, &state);
    if (state.ready != HACTL_YES)
        result = pki->host->fail(importing->batch.call, HACTL_E_INVALID, "%s%s%s: %s; nothing was taken in",
                                 want->profile->purpose, want->replica != NULL ? " of " : "",
                                 want->replica != NULL ? want->replica : "", state.reason);
    pki_state_free(&state);
    return result;
}

static int take_kubeconfig(struct importing *importing, const struct pki_want *want, const struct pki_item *item,
                           EVP_PKEY *key)
{
    struct pki *pki = importing->batch.pki;
    char *key_pem = NULL, *text = NULL;
    size_t key_size = 0, size = 0;
    struct pki_blob trust;
    int error = pki_trust_read(pki, importing->batch.store, want->profile->authority, &trust), result;

    if (error != 0)
        return pki_store_fail(pki, importing->batch.call, error, want->profile->authority, "");
    if (pki_key_write(pki_crypto(pki), key, NULL, &key_pem, &key_size) != 0 ||
        pki_kubeconfig_write(want->cluster, want->common_name, want->server, trust.content, importing->pem, key_pem,
                             &text, &size) != 0)
        result = pki->host->fail(importing->batch.call, HACTL_E_INTERNAL, "%s: %s", want->base, pki_crypto_error());
    else
        result = pki_batch_file(&importing->batch, item, text, size, 0600);
    pki_secret_free(key_pem, key_size);
    pki_secret_free(text, size);
    pki_blob_free(&trust);
    return result;
}

/* Durable with the batch. */
static int audit_import(struct importing *importing, const struct pki_want *want)
{
    struct pki *pki = importing->batch.pki;
    struct pki_audit audit;
    int error;

    pki_audit_begin(&audit, pki, importing->batch.call);
    pki_audit_add(&audit, "import", want->profile->purpose, want->replica, sk_X509_value(importing->chain, 0));
    error = pki_audit_write(importing->batch.store, &audit);
    pki_audit_end(&audit);
    return error == 0 ? HACTL_OK : pki_store_fail(pki, importing->batch.call, error, PKI_AUDIT_FILE, "");
}

static int take(struct importing *importing, const struct pki_want *want, EVP_PKEY *key, bool new_key)
{
    struct pki_item item = {.ending = pki_ending(want->form),
                            .purpose = want->profile->purpose,
                            .replica = want->replica,
                            .reason = "taken in",
                            .new_key = new_key,
                            .replaces = new_key,
                            .secret = want->form == PKI_KUBECONFIG};
    int result;

    memcpy(item.base, want->base, sizeof item.base);
    importing->taken = true;
    result = audit_import(importing, want);
    if (result != HACTL_OK)
        return result;
    if (want->form == PKI_KUBECONFIG)
        return take_kubeconfig(importing, want, &item, key);
    result = pki_batch_file(&importing->batch, &item, importing->pem, strlen(importing->pem), 0644);
    return result == HACTL_OK && new_key ? stage_key(&importing->batch, &item, key, false) : result;
}

/* The key that a certificate is for: that of the pair, or one that waits for it. */
static EVP_PKEY *key_for(struct importing *importing, const char *base, const char *ending)
{
    struct pki_remembered *file = NULL;
    bool fits = pki_recall(importing->batch.pki, importing->batch.store, base, ending, &file) == 0 &&
                file->key != NULL && X509_check_private_key(sk_X509_value(importing->chain, 0), file->key) == 1;

    pki_crypto_error();
    return fits ? file->key : NULL;
}

static int try_one(struct importing *importing, const struct pki_profile *profile, const struct hactl_replica *replica)
{
    struct pki *pki = importing->batch.pki;
    struct pki_authority *authority =
        pki_authority_load(pki, importing->batch.store, importing->authorities, profile->authority);
    struct pki_want want;
    char base[PKI_PATH_SIZE];
    EVP_PKEY *key, *waiting = NULL;
    int result = HACTL_OK;

    if (profile->form == PKI_SIGN_ONLY || !pki_base(profile, replica != NULL ? replica->name : NULL, base))
        return HACTL_OK;
    key = key_for(importing, base, ".key");
    if (key == NULL)
        key = waiting = key_for(importing, base, PKI_WAITING_KEY);
    if (key == NULL)
        return HACTL_OK;
    result = pki_want_make(pki, importing->batch.call, importing->inventory, profile, replica, &want);
    if (result != HACTL_OK)
        return result;
    result = pki_want_refuse_nameless(pki, importing->batch.call, &want);
    if (result == HACTL_OK)
        result = judge(importing, &want, authority, key);
    if (result == HACTL_OK)
        result = take(importing, &want, key, waiting != NULL);
    pki_want_free(&want);
    return result;
}

static int try_all(struct importing *importing)
{
    const struct pki *pki = importing->batch.pki;
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && !importing->taken && i < pki->profile_count; i++) {
        const struct pki_profile *profile = &pki->profiles[i];
        size_t count = profile->scope == PKI_REPLICA ? importing->inventory->replica_count : 1;
        for (size_t j = 0; result == HACTL_OK && !importing->taken && j < count; j++)
            result =
                try_one(importing, profile, profile->scope == PKI_REPLICA ? importing->inventory->replicas[j] : NULL);
    }
    if (result == HACTL_OK && !importing->taken)
        result = pki->host->fail(importing->batch.call, HACTL_E_NOT_FOUND,
                                 "no key in %s belongs to this certificate; hactl pki request makes keys and requests",
                                 pki->directory);
    return result;
}

/* A request that was answered, and the key that stands in the kubeconfig now. */
static void remove_answered(struct pki_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        pki_store_remove(batch->store, batch->items[i].base, ".csr");
        pki_store_overwrite(batch->store, batch->items[i].base, PKI_WAITING_KEY);
        pki_store_remove(batch->store, batch->items[i].base, PKI_WAITING_KEY);
        if (!batch->items[i].secret)
            continue;
        pki_store_overwrite(batch->store, batch->items[i].base, ".key");
        pki_store_remove(batch->store, batch->items[i].base, ".key");
    }
}

int pki_import(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *certificate)
{
    struct pki *pki = self;
    struct importing importing = {.inventory = inventory};
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    pki_batch_open(&importing.batch, pki, call, &store);
    importing.authorities = pki_authorities_new();
    importing.chain = pki_chain_read(pki_crypto(pki), certificate, strlen(certificate));
    if (importing.authorities == NULL)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    else if (importing.chain == NULL)
        result = pki->host->fail(call, HACTL_E_INVALID, "this is not a PEM certificate: %s", pki_crypto_error());
    else if ((importing.pem = chain_text(importing.chain)) == NULL)
        result = pki_batch_out_of_memory(&importing.batch);
    else
        result = try_all(&importing);
    result = pki_batch_close(&importing.batch, result);
    if (result == HACTL_OK)
        remove_answered(&importing.batch);
    pki_batch_free(&importing.batch);
    free(importing.pem);
    sk_X509_pop_free(importing.chain, X509_free);
    pki_authorities_free(importing.authorities);
    pki_store_close(&store);
    return result;
}
