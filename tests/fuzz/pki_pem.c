/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys in PEM: what is read of a file in the tree. */
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

static void read_certificates(const char *text, size_t size)
{
    STACK_OF(X509) *chain = pki_chain_read(crypto(), text, size);
    struct pki_names names;
    bool strange;

    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        X509 *one = sk_X509_value(chain, i);
        free(pki_subject(one));
        pki_time_s(X509_get0_notAfter(one));
        X509_check_ca(one);
        pki_constraints_allow(one, one);
        if (pki_certificate_names(one, &names, &strange) == 0)
            pki_names_free(&names);
    }
    sk_X509_pop_free(chain, X509_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    EVP_PKEY *key;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    read_certificates(text, size);
    key = pki_key_read(crypto(), text, size, NULL);
    if (key != NULL)
        pki_key_type(key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(pki_public_key_read(crypto(), text, size));
    pki_key_is_sealed(text);
    pki_crypto_error();
    free(text);
    return 0;
}

char *fuzz_seed(unsigned number, size_t *size)
{
    static const char *const types[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};
    static const char *const list[] = {"demo-1", "10.0.0.11", "::1", "*.example.com"};
    struct pki_names names = {0};
    struct pki_issuance issuance = {
        .common_name = "demo-1", .usage = PKI_SERVER | PKI_CLIENT, .names = &names, .not_after_s = 4000000000};
    struct pki_maker maker;
    EVP_PKEY *key;
    char *pem = NULL;

    if (number >= 6)
        return NULL;
    pki_maker_open(&maker, crypto());
    key = pki_key_generate(&maker, types[number % 3]);
    for (size_t i = 0; i < 4; i++)
        pki_names_add(&names, list[i], "");
    if (number < 3) {
        unsigned char *der = pki_certificate_make(&maker, key, &issuance, NULL, key, size);
        pem = pki_pem("CERTIFICATE", der, *size, size);
        free(der);
    } else {
        pki_key_write(crypto(), key, NULL, &pem, size);
    }
    pki_names_free(&names);
    EVP_PKEY_free(key);
    pki_maker_close(&maker);
    return pem;
}
