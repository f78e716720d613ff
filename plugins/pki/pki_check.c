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

static void add_reason(struct pki_state *state, const char *format, va_list arguments) HACTL_FORMAT(2, 0);

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
void pki_state_note(struct pki_state *state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_reason(state, format, arguments);
    va_end(arguments);
}

void pki_state_finding(struct pki_state *state, const char *format, ...)
{
    va_list arguments;

    if (state->ready == HACTL_YES)
        state->ready = HACTL_NO;
    va_start(arguments, format);
    add_reason(state, format, arguments);
    va_end(arguments);
}

#define finding pki_state_finding
#define note    pki_state_note

static const char *date_text(int64_t time_s, char text[32])
{
    time_t when = (time_t)time_s;
    struct tm parts;

    if (gmtime_r(&when, &parts) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M UTC", &parts) == 0)
        snprintf(text, 32, "an unknown time");
    return text;
}

/* ---- reading ---- */

static int parse_kubeconfig(struct pki *pki, const struct pki_blob *blob, struct pki_remembered *one)
{
    struct pki_kubeconfig *read = calloc(1, sizeof *read);

    if (read == NULL)
        return -ENOMEM;
    pki_kubeconfig_read(blob->content, blob->size, read);
    if (read->certificate != NULL)
        one->chain = pki_chain_read(pki_crypto(pki), read->certificate, read->certificate_size);
    if (read->key != NULL) {
        one->key = pki_key_read(pki_crypto(pki), read->key, read->key_size, NULL);
        pki_secret_free(read->key, read->key_size);
        read->key = NULL;
    }
    one->kubeconfig = read;
    return 0;
}

static int parse(struct pki *pki, const char *ending, const struct pki_blob *blob, struct pki_remembered *one)
{
    if (strcmp(ending, ".conf") == 0)
        return parse_kubeconfig(pki, blob, one);
    if (strcmp(ending, ".pub") == 0) {
        one->key = pki_public_key_read(pki_crypto(pki), blob->content, blob->size);
    } else if (strcmp(ending, ".key") == 0 || strcmp(ending, PKI_WAITING_KEY) == 0) {
        one->sealed = pki_key_is_sealed(blob->content);
        one->key = one->sealed ? NULL : pki_key_read(pki_crypto(pki), blob->content, blob->size, NULL);
    } else {
        one->chain = pki_chain_read(pki_crypto(pki), blob->content, blob->size);
        one->holds_key = strstr(blob->content, "PRIVATE KEY-----") != NULL;
    }
    return 0;
}

int pki_recall(struct pki *pki, struct pki_store *store, const char *base, const char *ending,
               struct pki_remembered **out)
{
    struct pki_blob blob;
    int error = pki_store_stat(store, base, ending, &blob);

    *out = error == 0 ? pki_memory_find(pki->memory, base, ending, &blob) : NULL;
    if (error != 0 || *out != NULL)
        return error;
    error = pki_store_read(store, base, ending, &blob);
    if (error != 0)
        return error;
    *out = pki_memory_add(pki->memory, base, ending, &blob);
    error = *out != NULL ? parse(pki, ending, &blob, *out) : -ENOMEM;
    pki_blob_free(&blob);
    return error;
}

/* One file of a pair; NULL when it is not there or cannot be read. */
static struct pki_remembered *read_part(struct pki *pki, struct pki_store *store, const char *base, const char *ending,
                                        struct pki_state *state, bool *there)
{
    struct pki_remembered *one = NULL;
    int error = pki_recall(pki, store, base, ending, &one);

    *there = error != -ENOENT;
    if (error == 0 || error == -ENOENT)
        return one;
    if (state->error == 0)
        state->error = error;
    finding(state, "%s%s %s", base, ending, pki_store_error(error));
    if (error != -ELOOP && error != -EMEDIUMTYPE && error != -EFBIG && error != -ENOTUNIQ)
        state->ready = HACTL_UNKNOWN;
    return NULL;
}

static void check_key_file(struct pki_store *store, const struct pki_remembered *file, struct pki_state *state)
{
    if ((file->mode & 0077) != 0) {
        finding(state, "its key can be read by others (mode %04o)", (unsigned)file->mode);
        state->exposed = true;
    }
    if (!pki_store_is_ours(store, file->owner)) {
        finding(state, "its key belongs to user %u", (unsigned)file->owner);
        state->exposed = state->foreign = true;
    }
}

static void check_match(struct pki_remembered *certificate, struct pki_state *state)
{
    if (state->certificate == NULL || state->key == NULL || certificate->matches == state->key)
        return;
    if (X509_check_private_key(state->certificate, state->key) == 1) {
        EVP_PKEY_up_ref(state->key);
        EVP_PKEY_free(certificate->matches);
        certificate->matches = state->key;
        return;
    }
    finding(state, "its key is not the one that it was issued for");
    EVP_PKEY_free(state->key);
    state->key = NULL;
}

/* Who may change it decides whom its bearer is taken for. */
static void check_public_file(struct pki_store *store, const struct pki_remembered *file, struct pki_state *state)
{
    if ((file->mode & 0022) != 0)
        finding(state, "its file can be changed by others (mode %04o)", (unsigned)file->mode);
    if (!pki_store_is_ours(store, file->owner))
        finding(state, "its file belongs to user %u", (unsigned)file->owner);
}

static void take_parsed(struct pki_store *store, struct pki_remembered *certificate, struct pki_remembered *key,
                        struct pki_state *state)
{
    if (certificate != NULL && certificate != key)
        check_public_file(store, certificate, state);
    if (certificate != NULL && certificate->chain != NULL) {
        state->chain = X509_chain_up_ref(certificate->chain);
        state->certificate = state->chain != NULL ? sk_X509_value(state->chain, 0) : NULL;
    }
    if (key != NULL && key->key != NULL && EVP_PKEY_up_ref(key->key) == 1)
        state->key = key->key;
    if (key != NULL) {
        state->sealed = key->sealed && key->key == NULL;
        check_key_file(store, key, state);
    }
    if (certificate != NULL)
        check_match(certificate, state);
    if (certificate != NULL && certificate->unparsed) {
        state->subject = certificate->subject;
        state->names = certificate->names;
        state->not_before_s = certificate->not_before_s;
        state->not_after_s = certificate->not_after_s;
        if (certificate->made != NULL)
            state->made = pki_readback_keep(certificate->made);
    }
    if (state->certificate != NULL) {
        state->not_before_s = pki_time_s(X509_get0_notBefore(state->certificate));
        state->not_after_s = pki_time_s(X509_get0_notAfter(state->certificate));
    }
    pki_crypto_error();
}

/* Where the key of a pair is. */
enum key_place { KEY_HERE, KEY_MAYBE_ELSEWHERE, KEY_ELSEWHERE };

/* The certificate's file is what is returned. `key_base`: where its key is. */
static struct pki_remembered *load_pair(struct pki *pki, struct pki_store *store, const char *base,
                                        const char *key_base, enum key_place place, struct pki_state *state)
{
    struct pki_remembered *certificate, *key = NULL;

    *state = (struct pki_state){.ready = HACTL_YES};
    certificate = read_part(pki, store, base, ".crt", state, &state->has_certificate);
    if (place != KEY_ELSEWHERE)
        key = read_part(pki, store, key_base, ".key", state, &state->has_key);
    if (!state->has_certificate && !state->has_key)
        finding(state, "missing");
    else if (!state->has_certificate)
        finding(state, "missing, though its key is there");
    else if (!state->has_key && place == KEY_HERE)
        finding(state, "its key is missing");
    if (certificate != NULL && certificate->chain == NULL && !certificate->unparsed)
        finding(state, "damaged: %s.crt is not a PEM certificate", base);
    if (certificate != NULL && certificate->holds_key)
        finding(state, "%s.crt, which everybody may read, has a private key in it", base);
    if (key != NULL && key->key == NULL && !key->sealed)
        finding(
            state,
            "damaged: %s.key is not a PEM private key, its two halves do not belong together, or no provider takes it",
            base);
    take_parsed(store, certificate, key, state);
    return certificate;
}

static struct pki_remembered *load_kubeconfig(struct pki *pki, struct pki_store *store, const char *base,
                                              struct pki_state *state)
{
    struct pki_remembered *file;

    *state = (struct pki_state){.ready = HACTL_YES};
    file = read_part(pki, store, base, ".conf", state, &state->has_certificate);
    state->has_key = state->has_certificate;
    if (!state->has_certificate)
        finding(state, "missing");
    if (file != NULL && ((file->chain == NULL && !file->unparsed) || file->key == NULL))
        finding(state, "damaged: %s.conf is not a kubeconfig with a certificate and a key in it", base);
    take_parsed(store, file, file, state);
    return file;
}

static void check_validity(struct pki_state *state, int64_t now_s)
{
    char date[32];

    if (now_s < state->not_before_s)
        finding(state, "not valid before %s", date_text(state->not_before_s, date));
    if (now_s >= state->not_after_s)
        finding(state, "expired on %s", date_text(state->not_after_s, date));
}

bool pki_key_is_kept(const struct pki *pki, const struct pki_want *want, const struct pki_state *state, bool rekey)
{
    return state->key != NULL &&
           (want->keyless ||
            (!rekey && !state->exposed && pki_key_has_type(state->key, pki_profile_key_type(pki, want->profile))));
}

void pki_state_free(struct pki_state *state)
{
    sk_X509_pop_free(state->chain, X509_free);
    EVP_PKEY_free(state->key);
    pki_readback_free(state->made);
    state->made = NULL;
    state->certificate = NULL;
    state->chain = NULL;
    state->key = NULL;
}

static int64_t minimum(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

/* ---- authorities ---- */

/* "certificate 2 of its file, CN=root", of those above the authority itself. */
static void say_above(struct pki_state *state, int which, const char *what, const char *date)
{
    char *subject = pki_subject(sk_X509_value(state->chain, which));

    finding(state, "certificate %d of its file, %.64s, %s%s", which + 1, subject != NULL ? subject : "?", what, date);
    free(subject);
}

/* An authority ends with the first of those above it, and is nothing before the last of them begins. */
static void check_times_above(struct pki_state *state, int64_t now_s)
{
    char date[32];

    for (int i = 1; state->chain != NULL && i < sk_X509_num(state->chain); i++) {
        int64_t from_s = pki_time_s(X509_get0_notBefore(sk_X509_value(state->chain, i)));
        int64_t until_s = pki_time_s(X509_get0_notAfter(sk_X509_value(state->chain, i)));
        if (now_s < from_s)
            say_above(state, i, "is not valid before ", date_text(from_s, date));
        if (now_s >= until_s)
            say_above(state, i, "expired on ", date_text(until_s, date));
        state->not_after_s = minimum(state->not_after_s, until_s);
    }
}

static bool may_sign(X509 *certificate)
{
    return (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) != 0;
}

/* Each of them vouches for those before it. */
static void check_above(struct pki_state *state)
{
    for (int i = 1; i < sk_X509_num(state->chain); i++) {
        X509 *one = sk_X509_value(state->chain, i);
        long between = X509_get_pathlen(one);
        if (X509_check_ca(one) == 0)
            say_above(state, i, "is not an authority", "");
        else if (between >= 0 && between < i)
            say_above(state, i, "may not vouch for authorities that are so far below it (pathlen)", "");
    }
}

/* An intermediate authority has the rest of its chain after it, root last. */
static void check_chain(const struct pki_remembered *file, struct pki_state *state)
{
    int last = sk_X509_num(state->chain) - 1;

    if (last == 0 && file->verified_by == state->certificate)
        return;
    for (int i = 0; i <= last; i++) {
        X509 *one = sk_X509_value(state->chain, i), *above = sk_X509_value(state->chain, i < last ? i + 1 : i);
        EVP_PKEY *key = X509_get0_pubkey(above);
        if (X509_check_issued(above, one) == X509_V_OK && key != NULL && X509_verify(one, key) == 1)
            continue;
        if (!may_sign(above))
            say_above(state, i < last ? i + 1 : i, "may not sign certificates: its keyUsage lacks keyCertSign", "");
        else if (i == last)
            finding(state, "it is not self-signed, and its file does not end with the root above it: put the issuing "
                           "authority first and the root last");
        else
            finding(state, "certificate %d of its file was not signed by the next one", i + 1);
        return;
    }
    check_above(state);
}

/* An authority that somebody brought: of a kind that can sign here, unless others sign with it, and not too weak. */
static void check_kind(X509 *certificate, bool external, struct pki_state *state)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    int bits = key != NULL ? EVP_PKEY_get_security_bits(key) : 0;

    if (key == NULL)
        finding(state, "its key is of a kind that no provider reads");
    else if (bits < PKI_SECURITY_BITS)
        finding(state, "its key is too weak: %d bits of security, not %d", bits, PKI_SECURITY_BITS);
    else if (!external && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA && pki_key_curve(key) == NULL)
        finding(state, "its key is none of " PKI_KEY_TYPES);
}

/* Of the file of what is to be trusted, as it is now. */
static uint64_t digest_trust(struct pki_store *store, const struct pki_authority_profile *profile)
{
    char base[PKI_PATH_SIZE];
    struct pki_blob blob;

    pki_trust_base(store, profile->file, ".crt", base);
    if (pki_store_stat(store, base, ".crt", &blob) != 0)
        return 0;
    return ((uint64_t)blob.identity.inode << 20 ^ (uint64_t)blob.identity.changed.tv_nsec << 1 ^
            (uint64_t)blob.identity.changed.tv_sec << 32) &
           ~UINT64_C(1);
}

static void check_authority(struct pki *pki, struct pki_store *store, const struct pki_authority_profile *profile,
                            struct pki_state *state, bool parsed)
{
    bool external = (pki->external & 1u << pki_authority_find(profile->purpose)) != 0;
    char base[PKI_PATH_SIZE], key_base[PKI_PATH_SIZE];
    struct pki_remembered *file;
    X509 *certificate;

    pki_signer_base(store, profile->file, ".crt", base);
    pki_signer_base(store, profile->file, ".key", key_base);
    file = load_pair(pki, store, base, key_base, external ? KEY_MAYBE_ELSEWHERE : KEY_HERE, state);
    if (file != NULL && file->unparsed && (parsed || file->matches != state->key || state->ready != HACTL_YES)) {
        pki_state_free(state);
        pki_memory_forget(pki->memory, file);
        file = load_pair(pki, store, base, key_base, external ? KEY_MAYBE_ELSEWHERE : KEY_HERE, state);
    }
    state->trust = digest_trust(store, profile);
    certificate = state->certificate;
    if (certificate == NULL && state->made == NULL)
        return;
    check_validity(state, (int64_t)time(NULL));
    check_times_above(state, (int64_t)time(NULL));
    if (state->sealed)
        note(state, "its key is encrypted");
    if (pki->constrain && state->certificate != NULL && !pki_chain_constrains(state->chain))
        note(state,
             "it has no name constraints, as it is older than `constrain`: hactl pki rotate %s makes one that has",
             profile->purpose);
    if (file->good_for != 0)
        return;
    check_kind(certificate, external, state);
    /* Without that usage libcrypto calls it no authority, and not self-signed either. */
    if (!may_sign(certificate)) {
        finding(state, "it may not sign certificates: its keyUsage lacks keyCertSign");
    } else {
        if (X509_check_ca(certificate) != 1)
            finding(state, "it is not an authority (basicConstraints)");
        check_chain(file, state);
    }
    file->good_for = state->ready == HACTL_YES;
    pki_crypto_error();
}

void pki_authority_check(struct pki *pki, struct pki_store *store, const struct pki_authority_profile *profile,
                         struct pki_state *state)
{
    check_authority(pki, store, profile, state, true);
}

void pki_authority_glance(struct pki *pki, struct pki_store *store, const struct pki_authority_profile *profile,
                          struct pki_state *state)
{
    check_authority(pki, store, profile, state, false);
}

struct pki_authority *pki_authorities_new(void)
{
    struct pki_authority *authorities = calloc(pki_authority_count, sizeof *authorities);

    for (size_t i = 0; authorities != NULL && i < pki_authority_count; i++)
        authorities[i].profile = &pki_authorities[i];
    return authorities;
}

static void say_revocations(struct pki_authority *authority)
{
    if (authority->crl_error != 0)
        finding(&authority->state, "its list of revocations, %s.crl, %s", authority->profile->file,
                pki_crl_error(authority->crl_error));
}

struct pki_authority *pki_authority_see(struct pki *pki, struct pki_store *store, struct pki_authority *authorities,
                                        const char *purpose)
{
    size_t i = pki_authority_find(purpose);
    struct pki_authority *authority = &authorities[i];
    int error = 0;

    if (!authority->loaded) {
        pki_authority_glance(pki, store, authority->profile, &authority->state);
        authority->crl = pki_crl_read(pki, store, authority->profile->file, &error);
        authority->crl_error = authority->crl == NULL && error != -ENOENT ? error : 0;
        say_revocations(authority);
    }
    authority->loaded = true;
    authority->external = (pki->external & 1u << i) != 0 && !authority->state.has_key;
    return authority;
}

/* What was only glanced at is parsed. */
static void parse_authority(struct pki *pki, struct pki_store *store, struct pki_authority *authority)
{
    if (authority->state.made == NULL)
        return;
    pki_state_free(&authority->state);
    pki_authority_check(pki, store, authority->profile, &authority->state);
    say_revocations(authority);
}

struct pki_authority *pki_authority_load(struct pki *pki, struct pki_store *store, struct pki_authority *authorities,
                                         const char *purpose)
{
    struct pki_authority *authority = pki_authority_see(pki, store, authorities, purpose);

    parse_authority(pki, store, authority);
    return authority;
}

void pki_authorities_free(struct pki_authority *authorities)
{
    for (size_t i = 0; authorities != NULL && i < pki_authority_count; i++) {
        pki_state_free(&authorities[i].state);
        X509_CRL_free(authorities[i].crl);
    }
    free(authorities);
}

int pki_trust_read(const struct pki *pki, struct pki_store *store, const char *purpose, struct pki_blob *blob)
{
    char base[PKI_PATH_SIZE];

    (void)pki;
    pki_trust_base(store, pki_authorities[pki_authority_find(purpose)].file, ".crt", base);
    return pki_store_read(store, base, ".crt", blob);
}

/* ---- leaves ---- */

static void check_issuer(const struct pki_want *want, const struct pki_state *authority, struct pki_remembered *file,
                         struct pki_state *state)
{
    EVP_PKEY *key;

    if (authority->certificate == NULL) {
        finding(state, "its authority %s is not there", want->profile->authority);
        return;
    }
    if (file->verified_by == authority->certificate)
        return;
    key = X509_get0_pubkey(authority->certificate);
    if (X509_check_issued(authority->certificate, state->certificate) != X509_V_OK || key == NULL ||
        X509_verify(state->certificate, key) != 1) {
        finding(state, "it was not signed by %s as it is now", want->profile->authority);
        return;
    }
    X509_up_ref(authority->certificate);
    X509_free(file->verified_by);
    file->verified_by = authority->certificate;
}

/* After the certificate come the intermediate authorities; the root is left out. */
static void check_chain_sent(const struct pki_want *want, const struct pki_state *authority, struct pki_state *state)
{
    int wanted = authority->chain != NULL ? sk_X509_num(authority->chain) - 1 : 0;
    bool same = sk_X509_num(state->chain) == wanted + 1;

    for (int i = 0; same && i < wanted; i++)
        same = X509_cmp(sk_X509_value(state->chain, i + 1), sk_X509_value(authority->chain, i)) == 0;
    if (!same && authority->chain != NULL)
        finding(state, "what follows it in its file is not the chain of %s", want->profile->authority);
}

/* A leaf that was shortened to its authority's end gains nothing from being
 * issued again, so that is said but asked of nobody. */
static void check_lifetime(const struct pki *pki, const struct pki_want *want, const struct pki_state *authority,
                           bool foreign, struct pki_state *state, int64_t now_s)
{
    int64_t end_s = authority->certificate != NULL || authority->made != NULL ? authority->not_after_s : INT64_MAX;
    int64_t life_s = pki_profile_life_s(pki, want->profile), renew_s = pki_renew_s(pki, want->profile, want->replica);
    int64_t wanted_s = minimum(state->not_before_s + pki->backdate_s + life_s, end_s);
    int64_t difference_s = state->not_after_s - wanted_s;
    char date[32];

    check_validity(state, now_s);
    if (now_s >= state->not_after_s)
        return;
    /* How long what others sign lives is theirs to say. */
    if (!foreign && (difference_s > 3600 || difference_s < -3600))
        finding(state, "its lifetime is %.1f days, not %.1f",
                (double)(state->not_after_s - state->not_before_s) / PKI_DAY_S,
                (double)(wanted_s - state->not_before_s) / PKI_DAY_S);
    if (foreign)
        renew_s = minimum(renew_s, (state->not_after_s - state->not_before_s) / 3);
    if (state->not_after_s - now_s >= renew_s)
        return;
    if (minimum(now_s + life_s, end_s) > state->not_after_s && !want->renews)
        note(state, "expires on %s; not among what is renewed now", date_text(state->not_after_s, date));
    else if (minimum(now_s + life_s, end_s) > state->not_after_s)
        finding(state, "expires on %s, in less than %.0f days", date_text(state->not_after_s, date),
                (double)renew_s / PKI_DAY_S);
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
            finding(state, "%s %s is not in it (%s)", want->names.list[i].is_address ? "address" : "name",
                    want->names.list[i].text, want->names.list[i].why);
    for (size_t i = 0; i < have.count; i++)
        if (!pki_names_have(&want->names, &have.list[i]))
            finding(state, "%s %s is in it but not wanted", have.list[i].is_address ? "address" : "name",
                    have.list[i].text);
    if (strange)
        finding(state, "it has alternative names of another kind");
    pki_names_free(&have);
}

/* What the findings below depend on, as one number; they are not looked for
 * again while it stays the same. */
uint64_t pki_want_digest(const struct pki *pki, const struct pki_want *want, const struct pki_state *authority)
{
    const char *texts[] = {want->common_name, want->profile->organization, pki_profile_key_type(pki, want->profile),
                           want->server, want->cluster};
    const void *signer = authority->made != NULL ? (const void *)authority->made : authority->certificate;
    uint64_t hash = 1469598103934665603u ^ want->profile->usage ^ (uint64_t)(uintptr_t)signer;

    if (want->form == PKI_KUBECONFIG)
        hash ^= authority->trust;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++, hash = (hash ^ 0xff) * 1099511628211u)
        for (const char *at = texts[i]; at != NULL && *at != '\0'; at++)
            hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    for (size_t i = 0; i < want->names.count; i++, hash = (hash ^ 0xfe) * 1099511628211u)
        for (const char *at = want->names.list[i].text; *at != '\0'; at++)
            hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    return hash | 1;
}

/* "insecure-skip-tls-verify" of a line that says so; never what it says of it, which may be a secret. */
static const char *key_of_line(const char *line, char key[40])
{
    size_t length;

    line += strspn(line, " -");
    length = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    if (line[length] != ':' || length >= 40)
        return "";
    snprintf(key, 40, "%.*s", (int)length, line);
    return key;
}

/* All of it but the server and what is encoded: whatever else is in it kubectl may obey. */
static void check_frame(const struct pki_want *want, const struct pki_kubeconfig *kubeconfig, struct pki_state *state)
{
    const char *server = kubeconfig->server != NULL ? kubeconfig->server : want->server, *line, *key;
    size_t size = 0, at = 0, number = 1;
    char *wanted = NULL, text[40];

    if (kubeconfig->frame == NULL ||
        pki_kubeconfig_write(want->cluster, want->common_name, server, "", "", "", &wanted, &size) != 0) {
        finding(state, "out of memory");
    } else if (size != kubeconfig->frame_size || memcmp(wanted, kubeconfig->frame, size) != 0) {
        while (wanted[at] != '\0' && wanted[at] == kubeconfig->frame[at])
            number += wanted[at++] == '\n';
        while (at > 0 && wanted[at - 1] != '\n')
            at--;
        line = kubeconfig->frame + at;
        key = key_of_line(line, text);
        finding(state,
                "from line %zu%s%s%s on it is not as hactl writes it, and what was added or laid out by hand is not "
                "kept",
                number, key[0] != '\0' ? " (" : "", key, key[0] != '\0' ? ")" : "");
    }
    pki_secret_free(wanted, size);
}

static void check_kubeconfig(struct pki *pki, struct pki_store *store, const struct pki_want *want,
                             const struct pki_remembered *file, struct pki_state *state)
{
    const struct pki_kubeconfig *kubeconfig = file->kubeconfig;
    struct pki_blob trust;

    if (kubeconfig->server == NULL || strcmp(kubeconfig->server, want->server) != 0)
        finding(state, "it names the server %.100s, not %s",
                kubeconfig->server != NULL ? kubeconfig->server : "of nobody", want->server);
    check_frame(want, kubeconfig, state);
    if (pki_trust_read(pki, store, want->profile->authority, &trust) != 0)
        return;
    if (kubeconfig->authority == NULL || strcmp(kubeconfig->authority, trust.content) != 0)
        finding(state, "the authority in it is not %s as it is now", want->profile->authority);
    pki_blob_free(&trust);
}

static void check_constraints(const struct pki_want *want, const struct pki_state *authority, struct pki_state *state)
{
    if (!pki_chain_allows(authority->chain, state->certificate))
        finding(state, "one of its names is outside of the name constraints of %s, or of an authority above it",
                want->profile->authority);
}

static void check_content(struct pki *pki, struct pki_store *store, const struct pki_want *want,
                          const struct pki_authority *authority, struct pki_remembered *file, struct pki_state *state)
{
    check_issuer(want, &authority->state, file, state);
    check_chain_sent(want, &authority->state, state);
    check_subject(want, state);
    check_usage(want, state);
    check_names(want, state);
    check_constraints(want, &authority->state, state);
    if (file->kubeconfig != NULL)
        check_kubeconfig(pki, store, want, file, state);
}

static struct pki_remembered *load_leaf(struct pki *pki, struct pki_store *store, const struct pki_want *want,
                                        struct pki_state *state)
{
    return want->form == PKI_KUBECONFIG
               ? load_kubeconfig(pki, store, want->base, state)
               : load_pair(pki, store, want->base, want->base, want->keyless ? KEY_ELSEWHERE : KEY_HERE, state);
}

void pki_leaf_check(struct pki *pki, struct pki_store *store, const struct pki_want *want,
                    struct pki_authority *authority, struct pki_state *state)
{
    uint64_t digest = pki_want_digest(pki, want, &authority->state);
    struct pki_remembered *file = load_leaf(pki, store, want, state);

    /* What is wanted has changed since it was written, or the key has: now it has to be read. */
    if (file != NULL && file->unparsed &&
        (file->good_for != digest || file->matches != state->key || state->ready != HACTL_YES ||
         authority->crl != NULL)) {
        pki_state_free(state);
        pki_memory_forget(pki->memory, file);
        file = load_leaf(pki, store, want, state);
    }
    if (file != NULL && !file->unparsed && authority->state.made != NULL) {
        parse_authority(pki, store, authority);
        digest = pki_want_digest(pki, want, &authority->state);
    }
    if (state->key != NULL && (file == NULL || file->good_for != digest) &&
        !pki_key_has_type(state->key, pki_profile_key_type(pki, want->profile)))
        finding(state, "its key is not %s", pki_profile_key_type(pki, want->profile));
    if (pki_want_is_nameless(want))
        finding(state, "profiles.%s.names comes to nothing here, and a server without names is trusted by nobody",
                want->profile->purpose);
    if (authority->external && state->ready != HACTL_YES)
        note(state, "%s is an external authority: hactl pki request", want->profile->authority);
    if (file == NULL || (state->certificate == NULL && !file->unparsed))
        return;
    if (!file->unparsed && (file->good_for != digest || state->ready != HACTL_YES))
        check_content(pki, store, want, authority, file, state);
    file->good_for = state->ready == HACTL_YES ? digest : 0;
    check_lifetime(pki, want, &authority->state, authority->external, state, (int64_t)time(NULL));
    if (pki_crl_has(authority->crl, state->certificate)) {
        finding(state, "it was revoked");
        state->exposed = true; /* so its key is not kept */
    }
    pki_crypto_error();
}

void pki_foreign_check(struct pki *pki, const struct pki_want *want, const struct pki_authority *authority,
                       STACK_OF(X509) * chain, EVP_PKEY *key, struct pki_state *state)
{
    struct pki_remembered file = {.name = NULL};

    *state = (struct pki_state){.ready = HACTL_YES, .has_certificate = true, .has_key = true};
    state->chain = X509_chain_up_ref(chain);
    state->certificate = state->chain != NULL ? sk_X509_value(state->chain, 0) : NULL;
    if (state->certificate == NULL || EVP_PKEY_up_ref(key) != 1) {
        finding(state, "out of memory");
        return;
    }
    state->key = key;
    state->not_before_s = pki_time_s(X509_get0_notBefore(state->certificate));
    state->not_after_s = pki_time_s(X509_get0_notAfter(state->certificate));
    if (!pki_key_has_type(key, pki_profile_key_type(pki, want->profile)))
        finding(state, "its key is not %s", pki_profile_key_type(pki, want->profile));
    check_issuer(want, &authority->state, &file, state);
    check_chain_sent(want, &authority->state, state);
    check_subject(want, state);
    check_usage(want, state);
    check_names(want, state);
    check_constraints(want, &authority->state, state);
    check_validity(state, (int64_t)time(NULL));
    X509_free(file.verified_by);
    pki_crypto_error();
}
