/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk against what is wanted. Findings add up to one reason, so
 * that the plan can say all of why a certificate is made anew. */
#include "plugins/pki/pki_check_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

const char *pki_date_text(int64_t time_s, char text[32])
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

struct pki_remembered *pki_load_pair(struct pki *pki, struct pki_store *store, const char *base, const char *key_base,
                                     enum key_place place, struct pki_state *state)
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

struct pki_remembered *pki_load_kubeconfig(struct pki *pki, struct pki_store *store, const char *base,
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

void pki_check_validity(struct pki_state *state, int64_t now_s)
{
    char date[32];

    if (now_s < state->not_before_s)
        finding(state, "not valid before %s", pki_date_text(state->not_before_s, date));
    if (now_s >= state->not_after_s)
        finding(state, "expired on %s", pki_date_text(state->not_after_s, date));
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

int64_t pki_minimum(int64_t one, int64_t other)
{
    return one < other ? one : other;
}
