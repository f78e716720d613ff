/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON Web Token signed with RS256, as RFC 7515 and 7518 say. */
#include "lib/gce/gce_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* base64 in the URL's alphabet, without padding. */
static char *base64url(const void *bytes, size_t size)
{
    char *text = ha_base64_encode(bytes, size), *at;

    if (!text)
        return NULL;
    for (at = text; *at && *at != '='; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    *at = '\0';
    return text;
}

/* Never asks for a passphrase: there is nobody to ask. */
static int no_passphrase(char *out, int size, int writing, void *data)
{
    (void)out, (void)size, (void)writing, (void)data;
    return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    return key;
}

static unsigned char *sign(EVP_PKEY *key, const char *text, size_t *size)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char *signature = NULL;
    bool ok = digest && EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(digest, NULL, size, (const unsigned char *)text, strlen(text)) == 1 &&
              (signature = malloc(*size)) &&
              EVP_DigestSign(digest, signature, size, (const unsigned char *)text, strlen(text)) == 1;

    EVP_MD_CTX_free(digest);
    if (!ok) {
        free(signature);
        signature = NULL;
    }
    return signature;
}

static char *unsigned_part(const char *key_id, const char *claims)
{
    json_t *header = key_id ? json_pack("{s:s, s:s, s:s}", "alg", "RS256", "typ", "JWT", "kid", key_id)
                            : json_pack("{s:s, s:s}", "alg", "RS256", "typ", "JWT");
    char *header_text = header ? ha_json_text(header) : NULL;
    char *first = header_text ? base64url(header_text, strlen(header_text)) : NULL;
    char *second = base64url(claims, strlen(claims)), *text = NULL;

    if (first && second && asprintf(&text, "%s.%s", first, second) < 0)
        text = NULL;
    json_decref(header);
    free(header_text);
    free(first);
    free(second);
    return text;
}

char *gce_jwt_sign(const char *private_key, const char *key_id, const char *claims, char *error, size_t error_size)
{
    EVP_PKEY *key = read_key(private_key);
    char *text = NULL, *token = NULL, *last = NULL;
    unsigned char *signature = NULL;
    size_t size = 0;

    if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        snprintf(error, error_size, "its private_key is no RSA key in PEM");
        goto out;
    }
    text = unsigned_part(key_id, claims);
    signature = text ? sign(key, text, &size) : NULL;
    last = signature ? base64url(signature, size) : NULL;
    if (!last || asprintf(&token, "%s.%s", text, last) < 0) {
        token = NULL;
        snprintf(error, error_size, "its private_key could not sign");
    }
out:
    ERR_clear_error();
    EVP_PKEY_free(key);
    free(text);
    free(signature);
    free(last);
    return token;
}
