/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk against what is wanted. Findings add up to one reason, so
 * that the plan can say all of why a certificate is made anew. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509v3.h>

static void note(struct pki_state *state, const char *format, ...) HACTL_FORMAT(2, 3);
static void finding(struct pki_state *state, const char *format, ...) HACTL_FORMAT(2, 3);

static void add_reason(struct pki_state *state, const char *format, va_list arguments)
{
    size_t used = strlen(state->reason);

    if (used > 0 && used + 2 < sizeof state->reason) {
        memcpy(state->reason + used, "; ", 3);
        used += 2;
    }
    vsnprintf(state->reason + used, sizeof state->reason - used, format, arguments);
}

/* Worth saying, but nothing that issuing anew would mend. */
static void note(struct pki_state *state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_reason(state, format, arguments);
    va_end(arguments);
}

static void finding(struct pki_state *state, const char *format, ...)
{
    va_list arguments;

    if (state->ready == HACTL_YES)
        state->ready = HACTL_NO;
    va_start(arguments, format);
    add_reason(state, format, arguments);
    va_end(arguments);
}

static const char *date_text(int64_t time_s, char text[32])
{
    time_t when = (time_t)time_s;
    struct tm parts;

    if (gmtime_r(&when, &parts) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0)
        snprintf(text, 32, "an unknown time");
    return text;
}

/* ---- the pair of files ---- */

static bool read_part(const struct pki_store *store, const char *base, const char *ending, struct pki_state *state,
                      struct pki_blob *blob, bool *there)
{
    int error = pki_store_read(store, base, ending, blob);

    *there = error != -ENOENT;
    if (error == 0 || error == -ENOENT)
        return error == 0;
    if (state->error == 0)
        state->error = error;
    finding(state, "%s%s %s", base, ending, pki_store_error(error));
    if (error != -ELOOP && error != -EMEDIUMTYPE && error != -EFBIG)
        state->ready = HACTL_UNKNOWN;
    return false;
}

static void check_key_file(const struct pki_store *store, const struct pki_blob *blob, struct pki_state *state)
{
    struct stat directory;

    if ((blob->mode & 0077) != 0) {
        finding(state, "its key can be read by others (mode %04o)", (unsigned)blob->mode);
        state->exposed = true;
    }
    if (blob->owner != geteuid() && fstat(store->root, &directory) == 0 && blob->owner != directory.st_uid) {
        finding(state, "its key belongs to user %u", (unsigned)blob->owner);
        state->exposed = true;
    }
}

static void check_match(struct pki_state *state)
{
    if (state->certificate == NULL || state->key == NULL)
        return;
    if (X509_check_private_key(state->certificate, state->key) == 1)
        return;
    finding(state, "its key is not the one that it was issued for");
    EVP_PKEY_free(state->key);
    state->key = NULL;
}

static void load_pair(const struct pki_store *store, const char *base, struct pki_state *state)
{
    struct pki_blob certificate, key;
    bool read_certificate, read_key;

    memset(state, 0, sizeof *state);
    state->ready = HACTL_YES;
    read_certificate = read_part(store, base, ".crt", state, &certificate, &state->has_certificate);
    read_key = read_part(store, base, ".key", state, &key, &state->has_key);
    if (!state->has_certificate && !state->has_key)
        finding(state, "missing");
    else if (!state->has_certificate)
        finding(state, "missing, though its key is there");
    else if (!state->has_key)
        finding(state, "its key is missing");
    if (read_certificate && (state->certificate = pki_certificate_read(certificate.content, certificate.size)) == NULL)
        finding(state, "damaged: %s.crt is not a PEM certificate (%s)", base, pki_crypto_error());
    if (read_key && (state->key = pki_key_read(key.content, key.size)) == NULL)
        finding(state, "damaged: %s.key is not a PEM private key (%s)", base, pki_crypto_error());
    if (read_key)
        check_key_file(store, &key, state);
    check_match(state);
    if (state->certificate != NULL) {
        state->not_before_s = pki_time_s(X509_get0_notBefore(state->certificate));
        state->not_after_s = pki_time_s(X509_get0_notAfter(state->certificate));
    }
    pki_blob_free(&certificate);
    pki_blob_free(&key);
    pki_crypto_error();
}

static void check_validity(struct pki_state *state, int64_t now_s)
{
    char date[32];

    if (now_s < state->not_before_s)
        finding(state, "not valid before %s", date_text(state->not_before_s, date));
    if (now_s >= state->not_after_s)
        finding(state, "expired on %s", date_text(state->not_after_s, date));
}

void pki_state_free(struct pki_state *state)
{
    X509_free(state->certificate);
    EVP_PKEY_free(state->key);
    state->certificate = NULL;
    state->key = NULL;
}

/* ---- authorities ---- */

void pki_authority_check(const struct pki_store *store, const struct pki_authority_profile *profile,
                         struct pki_state *state)
{
    int64_t now_s = (int64_t)time(NULL);
    X509 *certificate;

    load_pair(store, profile->file, state);
    certificate = state->certificate;
    if (certificate == NULL)
        return;
    check_validity(state, now_s);
    if (X509_check_ca(certificate) != 1)
        finding(state, "it is not an authority (basicConstraints)");
    else if ((X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0)
        finding(state, "it may not sign certificates (keyUsage)");
    if (X509_check_issued(certificate, certificate) != X509_V_OK)
        finding(state, "it is not self-signed; intermediate authorities are not supported");
}

struct pki_authority *pki_authorities_new(void)
{
    struct pki_authority *authorities = calloc(pki_authority_count, sizeof *authorities);

    for (size_t i = 0; authorities != NULL && i < pki_authority_count; i++)
        authorities[i].profile = &pki_authorities[i];
    return authorities;
}

struct pki_authority *pki_authority_load(const struct pki_store *store, struct pki_authority *authorities,
                                         const char *purpose)
{
    struct pki_authority *authority = &authorities[pki_authority_find(purpose)];

    if (!authority->loaded)
        pki_authority_check(store, authority->profile, &authority->state);
    authority->loaded = true;
    return authority;
}

void pki_authorities_free(struct pki_authority *authorities)
{
    for (size_t i = 0; authorities != NULL && i < pki_authority_count; i++)
        pki_state_free(&authorities[i].state);
    free(authorities);
}

/* ---- leaves ---- */

static void check_issuer(const struct pki_want *want, const struct pki_state *authority, struct pki_state *state)
{
    EVP_PKEY *key;

    if (authority->certificate == NULL) {
        finding(state, "its authority %s is not there", want->profile->authority);
        return;
    }
    key = X509_get0_pubkey(authority->certificate);
    if (X509_check_issued(authority->certificate, state->certificate) != X509_V_OK || key == NULL ||
        X509_verify(state->certificate, key) != 1)
        finding(state, "it was not signed by %s as it is now", want->profile->authority);
}

static int64_t minimum(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* A leaf that was shortened to its authority's end gains nothing from being
 * issued again, so that is said but asked of nobody. */
static void check_lifetime(const struct pki *pki, const struct pki_state *authority, struct pki_state *state,
                           int64_t now_s)
{
    int64_t end_s = authority->certificate != NULL ? authority->not_after_s : INT64_MAX;
    int64_t wanted_s = minimum(state->not_before_s + PKI_BACKDATE_S + pki->leaf_s, end_s);
    int64_t difference_s = state->not_after_s - wanted_s;
    char date[32];

    check_validity(state, now_s);
    if (now_s >= state->not_after_s)
        return;
    if (difference_s > 3600 || difference_s < -3600)
        finding(state, "its lifetime is %.1f days, not %.1f",
                (double)(state->not_after_s - state->not_before_s) / PKI_DAY_S,
                (double)(wanted_s - state->not_before_s) / PKI_DAY_S);
    if (state->not_after_s - now_s >= pki->renew_s)
        return;
    if (minimum(now_s + pki->leaf_s, end_s) > state->not_after_s)
        finding(state, "expires on %s, in less than %.0f days", date_text(state->not_after_s, date),
                (double)pki->renew_s / PKI_DAY_S);
    else
        note(state, "expires on %s together with its authority", date_text(state->not_after_s, date));
}

static void check_subject(const struct pki_want *want, struct pki_state *state)
{
    X509_NAME *name = X509_NAME_new();

    if (name == NULL || !pki_subject_set(name, want->common_name, want->profile->organization) ||
        X509_NAME_cmp(name, X509_get_subject_name(state->certificate)) != 0)
        finding(state, "its subject is not %s%s%sCN=%s", want->profile->organization != NULL ? "O=" : "",
                want->profile->organization != NULL ? want->profile->organization : "",
                want->profile->organization != NULL ? "," : "", want->common_name);
    X509_NAME_free(name);
}

static void check_usage(const struct pki_want *want, struct pki_state *state)
{
    uint32_t extended = ((want->profile->usage & PKI_SERVER) != 0 ? XKU_SSL_SERVER : 0) |
                        ((want->profile->usage & PKI_CLIENT) != 0 ? XKU_SSL_CLIENT : 0);
    uint32_t usage = KU_DIGITAL_SIGNATURE;

    if (state->key != NULL && EVP_PKEY_get_base_id(state->key) == EVP_PKEY_RSA)
        usage |= KU_KEY_ENCIPHERMENT;
    if (X509_get_extended_key_usage(state->certificate) != extended)
        finding(state, "its extended key usage is not the one of %s", want->profile->purpose);
    if (state->key != NULL && X509_get_key_usage(state->certificate) != usage)
        finding(state, "its key usage is not the one of its kind of key");
    if (X509_check_ca(state->certificate) != 0)
        finding(state, "it is an authority");
}

static void check_names(const struct pki_want *want, struct pki_state *state)
{
    struct pki_names have;
    bool strange;

    if (pki_certificate_names(state->certificate, &have, &strange) != 0) {
        finding(state, "its names cannot be read");
        return;
    }
    for (size_t i = 0; i < want->names.count; i++)
        if (!pki_names_have(&have, &want->names.list[i]))
            finding(state, "%s %s is not in it", want->names.list[i].is_address ? "address" : "name",
                    want->names.list[i].text);
    for (size_t i = 0; i < have.count; i++)
        if (!pki_names_have(&want->names, &have.list[i]))
            finding(state, "%s %s is in it but not wanted", have.list[i].is_address ? "address" : "name",
                    have.list[i].text);
    if (strange)
        finding(state, "it has alternative names of another kind");
    pki_names_free(&have);
}

void pki_leaf_check(const struct pki *pki, const struct pki_store *store, const struct pki_want *want,
                    const struct pki_state *authority, struct pki_state *state)
{
    load_pair(store, want->base, state);
    if (state->key != NULL && !pki_key_has_type(state->key, pki->key_type))
        finding(state, "its key is not %s", pki->key_type);
    if (state->certificate == NULL)
        return;
    check_issuer(want, authority, state);
    check_lifetime(pki, authority, state, (int64_t)time(NULL));
    check_subject(want, state);
    check_usage(want, state);
    check_names(want, state);
    pki_crypto_error();
}
