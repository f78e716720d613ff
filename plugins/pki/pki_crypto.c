/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcrypto, with a context of its own. To make that ready takes a tenth of the
 * time that a whole tree takes, so it is done on a thread of its own while
 * hactl looks at what there is; the first to need it waits for that.
 */
#include "plugins/pki/pki.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

static int open_with(struct pki_crypto *crypto, struct pki_providers *wanted)
{
    memset(crypto, 0, sizeof *crypto);
    /* Otherwise libcrypto reads openssl.cnf for its default context, which is not used here. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    crypto->library = OSSL_LIB_CTX_new();
    if (crypto->library == NULL)
        return -1;
    /* The usual generator is made of a cipher, and for the first cipher libcrypto learns all of them. */
    if (RAND_set_DRBG_type(crypto->library, "HASH-DRBG", NULL, NULL, "SHA2-256") != 1 ||
        pki_providers_load(crypto, wanted) != 0) {
        pki_crypto_close(crypto);
        return -1;
    }
    crypto->sha256 = EVP_MD_fetch(crypto->library, "SHA2-256", NULL);
    crypto->sha384 = EVP_MD_fetch(crypto->library, "SHA2-384", NULL);
    if (crypto->sha256 != NULL && crypto->sha384 != NULL)
        return 0;
    pki_crypto_close(crypto);
    return -1;
}

int pki_crypto_open(struct pki_crypto *crypto)
{
    struct pki_providers usual = {.names = {"default"}, .count = 1};

    return open_with(crypto, &usual);
}

void pki_crypto_close(struct pki_crypto *crypto)
{
    EVP_MD_free(crypto->sha256);
    EVP_MD_free(crypto->sha384);
    pki_providers_unload(crypto);
    OSSL_LIB_CTX_free(crypto->library);
    memset(crypto, 0, sizeof *crypto);
}

/* ---- meanwhile ---- */

struct pki_starting {
    pthread_t thread;
    pthread_mutex_t mutex;
    bool running; /* and nobody has waited for it yet */
    struct pki_crypto crypto;
    struct pki_providers wanted;
};

static void *start(void *argument)
{
    struct pki_starting *starting = argument;

    pki_crypto_error(); /* libcrypto loads its texts for that, once for all threads */
    if (open_with(&starting->crypto, &starting->wanted) != 0)
        return NULL;
    /* What else the first key and the first signature would have to wait for. */
    RAND_get0_primary(starting->crypto.library);
    EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(starting->crypto.library, "EC", NULL));
    EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(starting->crypto.library, "ECDSA", NULL));
    pki_crypto_error();
    return NULL;
}

struct pki_starting *pki_crypto_start(const struct pki_providers *wanted)
{
    struct pki_starting *starting = calloc(1, sizeof *starting);

    if (starting == NULL)
        return NULL;
    starting->wanted = *wanted;
    pthread_mutex_init(&starting->mutex, NULL);
    if (!pki_providers_are_default(wanted)) {
        start(starting);
        return starting;
    }
    starting->running = pki_thread_create(&starting->thread, start, starting) == 0;
    if (!starting->running)
        start(starting);
    return starting;
}

const struct pki_crypto *pki_crypto(const struct pki *pki)
{
    struct pki_starting *starting = pki->starting;

    pthread_mutex_lock(&starting->mutex);
    if (starting->running)
        pthread_join(starting->thread, NULL);
    starting->running = false;
    pthread_mutex_unlock(&starting->mutex);
    return &starting->crypto;
}

bool pki_crypto_usable(const struct pki *pki)
{
    return pki_crypto(pki)->library != NULL;
}

const char *pki_crypto_why(const struct pki *pki)
{
    pki_crypto(pki);
    return pki->starting->wanted.why[0] != '\0' ? pki->starting->wanted.why : "memory is short";
}

void pki_crypto_end(struct pki *pki)
{
    if (pki->starting == NULL)
        return;
    pki_crypto(pki);
    pki_crypto_close(&pki->starting->crypto);
    pthread_mutex_destroy(&pki->starting->mutex);
    free(pki->starting);
    pki->starting = NULL;
}

/* ---- errors ---- */

const char *pki_crypto_error(void)
{
    static _Thread_local char said[400];
    const char *data = NULL, *text;
    int flags = 0;
    unsigned long code = ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);

    if (code == 0)
        return "libcrypto gives no reason";
    text = ERR_reason_error_string(code);
    /* Which algorithm is not to be had, which file cannot be opened. */
    snprintf(said, sizeof said, "%s%s%s", text != NULL ? text : "error", data != NULL && data[0] != '\0' ? ": " : "",
             (flags & ERR_TXT_STRING) != 0 && data != NULL ? data : "");
    ERR_clear_error();
    return said;
}

int pki_no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}
