/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate requests (PKCS #10). What a request asks for is compared with
 * what is wanted; it decides nothing. */
#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>

static int add_names(X509_REQ *request, const struct pki_names *names)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    GENERAL_NAMES *list;
    int result;

    if (names == NULL || names->count == 0)
        return 1;
    list = pki_general_names(names);
    result = list != NULL && X509V3_add1_i2d(&extensions, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1 &&
             X509_REQ_add_extensions(request, extensions) == 1;
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return result;
}

X509_REQ *pki_request_make(struct pki_maker *maker, EVP_PKEY *key, const char *common_name, const char *organization,
                           const struct pki_names *names)
{
    X509_REQ *request = X509_REQ_new_ex(maker->crypto->library, NULL);

    if (request != NULL && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        pki_subject_set(X509_REQ_get_subject_name(request), common_name, organization) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 && add_names(request, names) == 1 &&
        X509_REQ_sign(request, key, pki_digest_for(maker->crypto, key)) > 0)
        return request;
    X509_REQ_free(request);
    return NULL;
}

X509_REQ *pki_request_read(const struct pki_crypto *crypto, const char *pem, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    X509_REQ *request = X509_REQ_new_ex(crypto->library, NULL), *read = NULL;

    if (bio != NULL && request != NULL)
        read = PEM_read_bio_X509_REQ(bio, &request, pki_no_passphrase, NULL);
    if (read == NULL)
        X509_REQ_free(request);
    BIO_free(bio);
    return read;
}

/* OpenSSL 3.0 reads the key of a request with the program's default library context, whatever that of the request is.
 */
EVP_PKEY *pki_request_key(const struct pki_crypto *crypto, X509_REQ *request)
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &der);
    const unsigned char *at = der;
    EVP_PKEY *key = size > 0 ? d2i_PUBKEY_ex(NULL, &at, size, crypto->library, NULL) : NULL;

    OPENSSL_free(der);
    return key;
}

int pki_request_write(X509_REQ *request, char **pem, size_t *size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int result = -1;

    if (bio != NULL && PEM_write_bio_X509_REQ(bio, request) == 1)
        result = pki_bio_take(bio, pem, size);
    BIO_free(bio);
    return result;
}

int pki_request_names(X509_REQ *request, struct pki_names *names, bool *strange)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    int critical = -1, result;
    GENERAL_NAMES *list = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);

    *strange = list == NULL && critical != -1;
    result = pki_general_names_read(list, names, strange);
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return result;
}
