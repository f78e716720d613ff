/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into hactl: counts how often it calls those functions of libcrypto
 * that are slow, and appends "NAME COUNT" for each to the file that
 * HACTL_COUNT_CRYPTO names. What libcrypto asks of itself is not counted.
 * With HACTL_HEAP_FIRST=BYTES it makes libcrypto's secure heap before hactl can.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static bool is_ours(void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) == 0 || info.dli_fname == NULL || strstr(info.dli_fname, "libcrypto") == NULL;
}

#define COUNTED(result, name, parameters, arguments)                              \
    static atomic_uint count_of_##name;                                           \
    __attribute__((visibility("default"))) result name parameters                 \
    {                                                                             \
        result(*next) parameters;                                                 \
        *(void **)(&next) = dlsym(RTLD_NEXT, #name);                              \
        atomic_fetch_add(&count_of_##name, is_ours(__builtin_return_address(0))); \
        return next arguments;                                                    \
    }

COUNTED(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX * library, const char *algorithm, const char *properties),
        (library, algorithm, properties))
COUNTED(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_name, (OSSL_LIB_CTX * library, const char *name, const char *properties),
        (library, name, properties))
COUNTED(int, EVP_PKEY_generate, (EVP_PKEY_CTX * context, EVP_PKEY **key), (context, key))
COUNTED(int, X509_set_pubkey, (X509 * certificate, EVP_PKEY *key), (certificate, key))
COUNTED(int, PEM_write_bio_PKCS8PrivateKey,
        (BIO * bio, const EVP_PKEY *key, const EVP_CIPHER *cipher, const char *pass, int size, pem_password_cb *ask,
         void *data),
        (bio, key, cipher, pass, size, ask, data))
COUNTED(EVP_PKEY *, PEM_read_bio_PrivateKey_ex,
        (BIO * bio, EVP_PKEY **key, pem_password_cb *ask, void *data, OSSL_LIB_CTX *library, const char *properties),
        (bio, key, ask, data, library, properties))
/* What asks for a digest or an algorithm by the way, every time. */
COUNTED(const EVP_MD *, EVP_sha256, (void), ())
COUNTED(const EVP_MD *, EVP_sha384, (void), ())
COUNTED(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_id, (int id, ENGINE *engine), (id, engine))
COUNTED(int, EVP_DigestSignInit_ex,
        (EVP_MD_CTX * context, EVP_PKEY_CTX **inner, const char *digest, OSSL_LIB_CTX *library, const char *properties,
         EVP_PKEY *key, const OSSL_PARAM parameters[]),
        (context, inner, digest, library, properties, key, parameters))
COUNTED(EVP_PKEY *, PEM_read_bio_PrivateKey, (BIO * bio, EVP_PKEY **key, pem_password_cb *ask, void *data),
        (bio, key, ask, data))
COUNTED(X509 *, PEM_read_bio_X509, (BIO * bio, X509 **certificate, pem_password_cb *ask, void *data),
        (bio, certificate, ask, data))
COUNTED(X509 *, d2i_X509, (X509 * *certificate, const unsigned char **der, long size), (certificate, der, size))

__attribute__((constructor)) static void come_first(void)
{
    const char *bytes = getenv("HACTL_HEAP_FIRST");

    if (bytes && CRYPTO_secure_malloc_init((size_t)atol(bytes), 64) == 0)
        abort();
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("HACTL_COUNT_CRYPTO");
    FILE *out = path ? fopen(path, "a") : NULL;

    if (!out)
        return;
#define TELL(name) fprintf(out, #name " %u\n", atomic_load(&count_of_##name))
    TELL(EVP_MD_fetch);
    TELL(EVP_PKEY_CTX_new_from_name);
    TELL(EVP_PKEY_generate);
    TELL(X509_set_pubkey);
    TELL(PEM_write_bio_PKCS8PrivateKey);
    TELL(PEM_read_bio_PrivateKey_ex);
    TELL(EVP_sha256);
    TELL(EVP_sha384);
    TELL(EVP_PKEY_CTX_new_id);
    TELL(EVP_DigestSignInit_ex);
    TELL(PEM_read_bio_PrivateKey);
    TELL(PEM_read_bio_X509);
    TELL(d2i_X509);
    fclose(out);
}
