/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate requests: what strangers send. */
#include "tests/fuzz/fuzz.h"

#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

static const struct pki_crypto *crypto(void)
{
    static struct pki_crypto library;

    if (library.library == NULL && pki_crypto_open(&library) != 0)
        abort();
    return &library;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    X509_REQ *request = pki_request_read(crypto(), (const char *)data, size);
    struct pki_names names;
    EVP_PKEY *key;
    bool strange;

    if (request == NULL) {
        pki_crypto_error();
        return 0;
    }
    key = pki_request_key(crypto(), request);
    if (key != NULL && pki_key_type(key) != NULL)
        X509_REQ_verify(request, key);
    EVP_PKEY_free(key);
    free(pki_name_text(X509_REQ_get_subject_name(request)));
    if (pki_request_names(request, &names, &strange) == 0)
        pki_names_free(&names);
    X509_REQ_free(request);
    pki_crypto_error();
    return 0;
}

char *fuzz_seed(unsigned number, size_t *size)
{
    static const char *const types[] = {"ecdsa-p256", "rsa-2048"};
    struct pki_names names = {0};
    struct pki_maker maker;
    X509_REQ *request;
    EVP_PKEY *key;
    char *pem = NULL;

    if (number >= 2)
        return NULL;
    pki_maker_open(&maker, crypto());
    key = pki_key_generate(&maker, types[number]);
    pki_names_add(&names, "demo-1", "");
    pki_names_add(&names, "10.0.0.11", "");
    request = pki_request_make(&maker, key, "system:node:demo-1", "system:nodes", &names);
    pki_request_write(request, &pem, size);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    pki_names_free(&names);
    pki_maker_close(&maker);
    return pem;
}
