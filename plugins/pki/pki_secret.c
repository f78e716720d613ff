/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for private keys: libcrypto's secure heap, which is locked (it is never
 * swapped), in no dump, between two pages that nobody may touch, and cleared when
 * it is freed. libcrypto keeps private numbers in it by itself; texts with keys
 * in them are put there too. A process has one, made by whoever comes first.
 */
#include "plugins/pki/pki.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

/* What does not fit is an error of libcrypto's, not put elsewhere: a private number of a P-256 or P-384 key takes one
 * piece of the smallest size, an RSA key up to 2.5 KiB. So there is room for 16,000 keys of the one kind, or for 1,800
 * of the other, in less than what a process may lock (RLIMIT_MEMLOCK: 8 MiB as kernel and systemd have it). */
#define SMALLEST      64
#define ELLIPTIC_SIZE (1 << 20)
#define RSA_SIZE      (4 << 20)

static enum pki_secret_memory memory = PKI_SECRET_NOT_ASKED;

/* libcrypto's generators are there too. LeakSanitizer does not look into memory that is mapped, and would take what
 * they own for lost. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_SANITIZER
#endif
#ifdef HAS_LEAK_SANITIZER
#include <sanitizer/lsan_interface.h>
static void show_leak_sanitizer(size_t size)
{
    char *any = OPENSSL_secure_malloc(1); /* somewhere in it; of what is not mapped nothing is looked at */

    if (any != NULL)
        __lsan_register_root_region(any - size, 2 * size);
    OPENSSL_secure_free(any);
}
#else
static void show_leak_sanitizer(size_t size)
{
    (void)size;
}
#endif

enum pki_secret_memory pki_secret_open(const char *key_type)
{
    size_t size = strncmp(key_type, "rsa", 3) == 0 ? RSA_SIZE : ELLIPTIC_SIZE;

    if (memory == PKI_SECRET_NOT_ASKED && CRYPTO_secure_malloc_initialized())
        memory = PKI_SECRET_OF_OTHERS;
    if (memory != PKI_SECRET_NOT_ASKED)
        return memory;
    switch (CRYPTO_secure_malloc_init(size, SMALLEST)) {
    case 0:
        memory = PKI_SECRET_NONE;
        ERR_clear_error();
        break;
    case 1:
        memory = PKI_SECRET_LOCKED;
        break;
    default:
        memory = PKI_SECRET_NOT_LOCKED;
        break;
    }
    show_leak_sanitizer(size);
    return memory;
}

/* A piece of that size, of which none is smaller: the text of an elliptic key fits, and dividing the heap for each of
 * them would cost as much again as all else of it. */
#define PIECE 1024

static _Atomic(char *) spare;

char *pki_secret_new(size_t size)
{
    char *secret = size <= PIECE ? atomic_exchange(&spare, NULL) : NULL;

    if (secret == NULL)
        secret = OPENSSL_secure_malloc(size > PIECE ? size : PIECE);
    if (secret != NULL)
        return secret;
    ERR_clear_error();
    return OPENSSL_malloc(size); /* a text that is too long for it */
}

void pki_secret_free(char *secret, size_t size)
{
    char *none = NULL;

    if (secret == NULL)
        return;
    OPENSSL_cleanse(secret, size);
    if (!CRYPTO_secure_allocated(secret))
        OPENSSL_free(secret);
    else if (!atomic_compare_exchange_strong(&spare, &none, secret))
        OPENSSL_secure_free(secret);
}
