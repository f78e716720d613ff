/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was revoked: for each authority that ever revoked anything a list
 * beside it (X.crl, version 2), which is its own memory: the next list is the
 * one before with more in it and the next number. etcd reads such lists;
 * Kubernetes' API server does not.
 */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>

#define ENDING ".crl"

X509_CRL *pki_crl_read(const struct pki *pki, struct pki_store *store, const char *file, int *error)
{
    struct pki_blob blob;
    X509_CRL *crl = NULL, *empty = NULL;
    BIO *bio;

    *error = pki_store_read(store, file, ENDING, &blob);
    if (*error == 0 && (bio = BIO_new_mem_buf(blob.content, (int)blob.size)) != NULL) {
        empty = X509_CRL_new_ex(pki_crypto(pki)->library, NULL);
        if (empty != NULL && (crl = PEM_read_bio_X509_CRL(bio, &empty, pki_no_passphrase, NULL)) == NULL)
            X509_CRL_free(empty);
        BIO_free(bio);
    }
    if (*error == 0 && crl == NULL)
        *error = -EBADMSG;
    pki_blob_free(&blob);
    pki_crypto_error();
    return crl;
}

const char *pki_crl_error(int error)
{
    return error == -EBADMSG ? "is damaged" : pki_store_error(error);
}

bool pki_crl_has(X509_CRL *crl, X509 *certificate)
{
    X509_REVOKED *entry = NULL;

    return crl != NULL && certificate != NULL &&
           X509_CRL_get0_by_serial(crl, &entry, X509_get_serialNumber(certificate)) == 1;
}

/* ---- making ---- */

static int64_t life_s(const struct pki *pki)
{
    return pki->crl_s;
}

static bool set_times(X509_CRL *crl, int64_t now_s, int64_t end_s)
{
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)now_s), *until = ASN1_TIME_set(NULL, (time_t)end_s);
    bool done = from != NULL && until != NULL && X509_CRL_set1_lastUpdate(crl, from) == 1 &&
                X509_CRL_set1_nextUpdate(crl, until) == 1;

    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return done;
}

static bool set_key_id(X509_CRL *crl, X509 *authority)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(authority);
    AUTHORITY_KEYID *extension = AUTHORITY_KEYID_new();
    bool done = false;

    if (extension != NULL && id != NULL && (extension->keyid = ASN1_OCTET_STRING_dup(id)) != NULL)
        done = X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, extension, 0, 0) == 1;
    AUTHORITY_KEYID_free(extension);
    return done;
}

/* Greater by one than that of the list before. */
static bool set_number(X509_CRL *crl, X509_CRL *before)
{
    ASN1_INTEGER *old = before != NULL ? X509_CRL_get_ext_d2i(before, NID_crl_number, NULL, NULL) : NULL;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    int64_t last = 0;
    bool done = number != NULL && (old == NULL || ASN1_INTEGER_get_int64(&last, old) == 1) &&
                ASN1_INTEGER_set_int64(number, last + 1) == 1 &&
                X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1;

    ASN1_INTEGER_free(old);
    ASN1_INTEGER_free(number);
    return done;
}

static bool copy_entries(X509_CRL *crl, X509_CRL *before)
{
    STACK_OF(X509_REVOKED) *list = before != NULL ? X509_CRL_get_REVOKED(before) : NULL;

    for (int i = 0; i < sk_X509_REVOKED_num(list); i++) {
        X509_REVOKED *entry = X509_REVOKED_dup(sk_X509_REVOKED_value(list, i));
        if (entry == NULL || X509_CRL_add0_revoked(crl, entry) != 1) {
            X509_REVOKED_free(entry);
            return false;
        }
    }
    return true;
}

static bool add_entry(X509_CRL *crl, X509 *certificate, int64_t now_s)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)now_s);
    bool done = entry != NULL && when != NULL &&
                X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate)) == 1 &&
                X509_REVOKED_set_revocationDate(entry, when) == 1 && X509_CRL_add0_revoked(crl, entry) == 1;

    if (!done)
        X509_REVOKED_free(entry);
    ASN1_TIME_free(when);
    return done;
}

/* `revoked` NULL: the same list, made anew. */
static X509_CRL *make(const struct pki *pki, const struct pki_authority *authority, X509 *revoked)
{
    const struct pki_state *state = &authority->state;
    int64_t now_s = (int64_t)time(NULL);
    X509_CRL *crl = X509_CRL_new_ex(pki_crypto(pki)->library, NULL);

    if (crl != NULL && X509_CRL_set_version(crl, 1) == 1 &&
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(state->certificate)) == 1 &&
        set_times(crl, now_s, now_s + life_s(pki)) && copy_entries(crl, authority->crl) &&
        (revoked == NULL || add_entry(crl, revoked, now_s)) && X509_CRL_sort(crl) == 1 &&
        set_key_id(crl, state->certificate) && set_number(crl, authority->crl) &&
        X509_CRL_sign(crl, state->key, pki_digest_for(pki_crypto(pki), state->key)) > 0)
        return crl;
    X509_CRL_free(crl);
    return NULL;
}

static int stage(struct pki_batch *batch, struct pki_authority *authority, X509 *revoked, const char *reason)
{
    struct pki_item item = {.ending = ENDING, .purpose = authority->profile->purpose};
    X509_CRL *crl = make(batch->pki, authority, revoked);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    size_t size = 0;
    int result;

    snprintf(item.base, sizeof item.base, "%s", authority->profile->file);
    snprintf(item.reason, sizeof item.reason, "%s", reason);
    if (crl == NULL || bio == NULL || PEM_write_bio_X509_CRL(bio, crl) != 1 || pki_bio_take(bio, &text, &size) != 0)
        result = batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "revocations of %s: %s",
                                        authority->profile->purpose, pki_crypto_error());
    else if (X509_CRL_verify(crl, X509_get0_pubkey(authority->state.certificate)) != 1)
        result = batch->pki->host->fail(batch->call, HACTL_E_INTERNAL,
                                        "revocations of %s: the list's own signature does not verify: %s; the one "
                                        "before it was left",
                                        authority->profile->purpose, pki_crypto_error());
    else
        result = pki_batch_file(batch, &item, text, size, 0644);
    free(text);
    BIO_free(bio);
    X509_CRL_free(crl);
    return result;
}

/* ---- what there is ---- */

/* Due, like a certificate, when a third of its life is left. */
static void check(const struct pki *pki, const struct pki_authority *authority, struct pki_state *state)
{
    X509_CRL *crl = authority->crl;
    EVP_PKEY *key = authority->state.certificate != NULL ? X509_get0_pubkey(authority->state.certificate) : NULL;

    *state = (struct pki_state){.ready = HACTL_YES};
    state->not_before_s = pki_time_s(X509_CRL_get0_lastUpdate(crl));
    state->not_after_s = pki_time_s(X509_CRL_get0_nextUpdate(crl));
    if (key == NULL || X509_CRL_verify(crl, key) != 1)
        pki_state_finding(state, "it was not signed by %s as it is now", authority->profile->purpose);
    if (state->not_after_s - (int64_t)time(NULL) < life_s(pki) / 3)
        pki_state_finding(state, "the next list is due");
    pki_crypto_error();
}

int pki_crl_list(struct pki *pki, struct hactl_call *call, const struct pki_authority *authority)
{
    char purpose[96], path[4096 + PKI_PATH_SIZE];
    struct pki_state state;
    struct hactl_certificate record = {.struct_size = sizeof record,
                                       .purpose = purpose,
                                       .subject = "a list of revoked certificates",
                                       .names = "",
                                       .authority = authority->profile->purpose,
                                       .path = path};

    if (authority->crl == NULL)
        return HACTL_OK;
    check(pki, authority, &state);
    snprintf(purpose, sizeof purpose, "%s-revocations", authority->profile->purpose);
    snprintf(path, sizeof path, "%s/%s" ENDING, pki->directory, authority->profile->file);
    record.ready = state.ready;
    record.reason = state.reason[0] != '\0' ? state.reason : NULL;
    record.not_before_s = state.not_before_s;
    record.not_after_s = state.not_after_s;
    record.due_s = state.not_after_s - life_s(pki) / 3;
    return pki->host->emit_certificate(call, &record);
}

int pki_crl_ensure(struct pki_batch *batch, struct pki_authority *authorities)
{
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < pki_authority_count; i++) {
        struct pki_authority *authority =
            pki_authority_see(batch->pki, batch->store, authorities, pki_authorities[i].purpose);
        struct pki_state state;

        if (authority->crl == NULL)
            continue;
        authority = pki_authority_load(batch->pki, batch->store, authorities, pki_authorities[i].purpose);
        check(batch->pki, authority, &state);
        if (state.ready == HACTL_YES)
            continue;
        result = pki_authority_usable(batch->pki, batch->call, batch->store, authority);
        if (result == HACTL_OK)
            result = stage(batch, authority, NULL, state.reason);
    }
    return result;
}

/* ---- revoking ---- */

/* Signed by one that is trusted now, which in a rotation may be two. */
static bool is_issuer(struct pki *pki, struct pki_store *store, const struct pki_authority *authority,
                      X509 *certificate)
{
    STACK_OF(X509) * trusted;
    struct pki_blob blob;
    bool found = false;

    if (pki_trust_read(pki, store, authority->profile->purpose, &blob) != 0)
        return false;
    trusted = pki_chain_read(pki_crypto(pki), blob.content, blob.size);
    for (int i = 0; trusted != NULL && i < sk_X509_num(trusted) && !found; i++) {
        EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(trusted, i));
        found = key != NULL && X509_verify(certificate, key) == 1;
    }
    sk_X509_pop_free(trusted, X509_free);
    pki_blob_free(&blob);
    pki_crypto_error();
    return found;
}

static struct pki_authority *find_issuer(struct pki *pki, struct pki_store *store, struct pki_authority *authorities,
                                         X509 *certificate)
{
    for (size_t i = 0; i < pki_authority_count; i++) {
        struct pki_authority *authority = pki_authority_load(pki, store, authorities, pki_authorities[i].purpose);
        if (pki_authority_used(pki, authority->profile) && is_issuer(pki, store, authority, certificate))
            return authority;
    }
    return NULL;
}

static int revoke_one(struct pki_batch *batch, struct pki_authority *authorities, X509 *certificate)
{
    const struct pki *pki = batch->pki;
    struct pki_authority *authority;
    struct pki_audit audit;
    int error, result;

    if (certificate == NULL)
        return pki->host->fail(batch->call, HACTL_E_INVALID, "that is not a certificate in PEM: %s",
                               pki_crypto_error());
    if (X509_check_ca(certificate) != 0)
        return pki->host->fail(batch->call, HACTL_E_INVALID,
                               "that is the certificate of an authority: it is not revoked but rotated (hactl pki "
                               "rotate)");
    authority = find_issuer(batch->pki, batch->store, authorities, certificate);
    if (authority == NULL)
        return pki->host->fail(batch->call, HACTL_E_NOT_FOUND,
                               "that certificate was signed by none of the authorities in %s that are trusted now",
                               pki->directory);
    if (pki_crl_has(authority->crl, certificate))
        return HACTL_OK;
    result = pki_authority_usable(batch->pki, batch->call, batch->store, authority);
    if (result != HACTL_OK)
        return result;
    pki_audit_begin(&audit, pki, batch->call);
    pki_audit_add(&audit, "revoke", authority->profile->purpose, NULL, certificate);
    error = pki_audit_write(batch->store, &audit);
    pki_audit_end(&audit);
    return error == 0 ? stage(batch, authority, certificate, "a certificate was revoked")
                      : pki_store_fail(pki, batch->call, error, PKI_AUDIT_FILE, "");
}

int pki_revoke(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *certificate)
{
    struct pki *pki = self;
    X509 *revoked = pki_certificate_read(pki_crypto(pki), certificate, strlen(certificate));
    struct pki_authority *authorities = pki_authorities_new();
    struct pki_batch batch;
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK && authorities == NULL)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        goto out;
    pki_batch_open(&batch, pki, call, &store);
    result = pki_rotation_finish(pki, call, &store);
    if (result == HACTL_OK)
        result = revoke_one(&batch, authorities, revoked);
    result = pki_batch_close(&batch, result);
    pki_batch_free(&batch);
    pki_store_close(&store);
out:
    pki_authorities_free(authorities);
    X509_free(revoked);
    return result;
}
