/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pki_stranger.h"

#include <stdlib.h>
#include <string.h>

void stranger_open(struct stranger *stranger, const char *key_type)
{
    pki_maker_open(&stranger->maker, pki_crypto(self));
    stranger->key = pki_key_generate(&stranger->maker, key_type);
    assert_non_null(stranger->key);
}

void stranger_close(struct stranger *stranger)
{
    EVP_PKEY_free(stranger->key);
    pki_maker_close(&stranger->maker);
}

char *request_text(struct stranger *stranger, const char *common_name, const char *organization,
                   const char *const *names, EVP_PKEY *signer)
{
    struct pki_names list = {0};
    X509_REQ *request;
    char *pem = NULL;
    size_t size;

    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        assert_int_equal(pki_names_add(&list, names[i], ""), HACTL_OK);
    request = pki_request_make(&stranger->maker, stranger->key, common_name, organization, &list);
    assert_non_null(request);
    if (signer != NULL)
        assert_true(X509_REQ_sign(request, signer, EVP_sha256()) > 0);
    assert_int_equal(pki_request_write(request, &pem, &size), 0);
    X509_REQ_free(request);
    pki_names_free(&list);
    return pem;
}

int sign(const char *replica, const char *purpose, const char *request)
{
    return hactl_plugin.issuer->sign(self, fresh_call(), &inventory, replica, purpose, request);
}
