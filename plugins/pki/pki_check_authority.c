/* SPDX-License-Identifier: Apache-2.0 */
/* An authority on disk against what it is to be, and those above it. */
#include "plugins/pki/pki_check_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
            say_above(state, i, "is not valid before ", pki_date_text(from_s, date));
        if (now_s >= until_s)
            say_above(state, i, "expired on ", pki_date_text(until_s, date));
        state->not_after_s = pki_minimum(state->not_after_s, until_s);
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
    file = pki_load_pair(pki, store, base, key_base, external ? KEY_MAYBE_ELSEWHERE : KEY_HERE, state);
    if (file != NULL && file->unparsed && (parsed || file->matches != state->key || state->ready != HACTL_YES)) {
        pki_state_free(state);
        pki_memory_forget(pki->memory, file);
        file = pki_load_pair(pki, store, base, key_base, external ? KEY_MAYBE_ELSEWHERE : KEY_HERE, state);
    }
    state->trust = digest_trust(store, profile);
    certificate = state->certificate;
    if (certificate == NULL && state->made == NULL)
        return;
    pki_check_validity(state, (int64_t)time(NULL));
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

void pki_authority_parse(struct pki *pki, struct pki_store *store, struct pki_authority *authority)
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

    pki_authority_parse(pki, store, authority);
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
