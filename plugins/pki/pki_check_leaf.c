/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate, kubeconfig or key on disk against what is wanted. */
#include "plugins/pki/pki_check_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

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
    int64_t wanted_s = pki_minimum(state->not_before_s + pki->backdate_s + life_s, end_s);
    int64_t difference_s = state->not_after_s - wanted_s;
    char date[32];

    pki_check_validity(state, now_s);
    if (now_s >= state->not_after_s)
        return;
    /* How long what others sign lives is theirs to say. */
    if (!foreign && (difference_s > 3600 || difference_s < -3600))
        finding(state, "its lifetime is %.1f days, not %.1f",
                (double)(state->not_after_s - state->not_before_s) / PKI_DAY_S,
                (double)(wanted_s - state->not_before_s) / PKI_DAY_S);
    if (foreign)
        renew_s = pki_minimum(renew_s, (state->not_after_s - state->not_before_s) / 3);
    if (state->not_after_s - now_s >= renew_s)
        return;
    if (pki_minimum(now_s + life_s, end_s) > state->not_after_s && !want->renews)
        note(state, "expires on %s; not among what is renewed now", pki_date_text(state->not_after_s, date));
    else if (pki_minimum(now_s + life_s, end_s) > state->not_after_s)
        finding(state, "expires on %s, in less than %.0f days", pki_date_text(state->not_after_s, date),
                (double)renew_s / PKI_DAY_S);
    else
        note(state, "expires on %s together with its authority", pki_date_text(state->not_after_s, date));
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
               ? pki_load_kubeconfig(pki, store, want->base, state)
               : pki_load_pair(pki, store, want->base, want->base, want->keyless ? KEY_ELSEWHERE : KEY_HERE, state);
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
        pki_authority_parse(pki, store, authority);
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
    pki_check_validity(state, (int64_t)time(NULL));
    X509_free(file.verified_by);
    pki_crypto_error();
}
