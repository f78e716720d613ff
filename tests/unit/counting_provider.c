/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider of OpenSSL's for tests: all of the default provider's algorithms,
 * done by it, but under "provider=counting". Of one algorithm of each operation
 * it counts how often it is begun; tests read the numbers with dlsym(3).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

#define EXPORT __attribute__((visibility("default")))
#define THEIRS "provider=default"
#define OURS   "provider=counting"

static OSSL_LIB_CTX *inner; /* where the default provider is that does it */
static OSSL_PROVIDER *theirs;
static OSSL_ALGORITHM *offered[OSSL_OP__HIGHEST + 1];

/* ---- what is counted ---- */

/* NAME, which is exported as counted_NAME: calls of that function of that algorithm. */
#define COUNTED(name, result, parameters, arguments)         \
    EXPORT atomic_uint counted_##name;                       \
    static void (*next_##name)(void);                        \
    static result count_##name parameters                    \
    {                                                        \
        atomic_fetch_add(&counted_##name, 1);                \
        return ((result(*) parameters)next_##name)arguments; \
    }

COUNTED(digest, void *, (void *provider), (provider))
COUNTED(key, void *, (void *context, OSSL_CALLBACK *tell, void *data), (context, tell, data))
COUNTED(signature, void *, (void *provider, const char *properties), (provider, properties))
COUNTED(random, void *, (void *provider, void *parent, const OSSL_DISPATCH *parents), (provider, parent, parents))
COUNTED(cipher, void *, (void *provider), (provider))
COUNTED(derivation, void *, (void *provider), (provider))
COUNTED(exchange, void *, (void *provider), (provider))
COUNTED(decoder, void *, (void *provider), (provider))
COUNTED(encoder, void *, (void *provider), (provider))

#define IS(name) (void (*)(void)) count_##name, &next_##name
static const struct {
    int operation;
    const char *algorithm; /* its first name */
    const char *which;     /* in its properties; NULL: there is one only */
    int function;
    void (*ours)(void);
    void (**next)(void);
} wrapped[] = {
    {OSSL_OP_DIGEST, "SHA2-256", NULL, OSSL_FUNC_DIGEST_NEWCTX, IS(digest)},
    {OSSL_OP_KEYMGMT, "EC", NULL, OSSL_FUNC_KEYMGMT_GEN, IS(key)},
    {OSSL_OP_SIGNATURE, "ECDSA", NULL, OSSL_FUNC_SIGNATURE_NEWCTX, IS(signature)},
    {OSSL_OP_RAND, "HASH-DRBG", NULL, OSSL_FUNC_RAND_NEWCTX, IS(random)},
    {OSSL_OP_CIPHER, "AES-256-CBC", NULL, OSSL_FUNC_CIPHER_NEWCTX, IS(cipher)},
    {OSSL_OP_KDF, "PBKDF2", NULL, OSSL_FUNC_KDF_NEWCTX, IS(derivation)},
    {OSSL_OP_KEYEXCH, "ECDH", NULL, OSSL_FUNC_KEYEXCH_NEWCTX, IS(exchange)},
    {OSSL_OP_DECODER, "EC", "structure=SubjectPublicKeyInfo", OSSL_FUNC_DECODER_NEWCTX, IS(decoder)},
    {OSSL_OP_ENCODER, "EC", "structure=SubjectPublicKeyInfo", OSSL_FUNC_ENCODER_NEWCTX, IS(encoder)},
};

static bool is_called(const char *names, const char *name)
{
    size_t length = strlen(name);

    return strncmp(names, name, length) == 0 && (names[length] == '\0' || names[length] == ':');
}

static const OSSL_DISPATCH *wrap(const OSSL_DISPATCH *functions, int function, void (*ours)(void), void (**next)(void))
{
    size_t count = 0;
    OSSL_DISPATCH *copy;

    while (functions[count].function_id != 0)
        count++;
    copy = malloc((count + 1) * sizeof *copy);
    if (copy == NULL)
        abort();
    memcpy(copy, functions, (count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        if (copy[i].function_id == function) {
            *next = copy[i].function;
            copy[i].function = ours;
        }
    return copy;
}

/* ---- what is offered ---- */

static void offer(int operation, const OSSL_ALGORITHM *their, OSSL_ALGORITHM *our)
{
    const char *rest = their->property_definition + strlen(THEIRS);
    size_t size = sizeof OURS + strlen(rest);
    char *properties = malloc(size);

    if (properties == NULL || strncmp(their->property_definition, THEIRS, strlen(THEIRS)) != 0)
        abort();
    snprintf(properties, size, OURS "%s", rest);
    *our = *their;
    our->property_definition = properties;
    for (size_t i = 0; i < sizeof wrapped / sizeof wrapped[0]; i++)
        if (wrapped[i].operation == operation && is_called(their->algorithm_names, wrapped[i].algorithm) &&
            (wrapped[i].which == NULL || strstr(rest, wrapped[i].which) != NULL) && *wrapped[i].next == NULL)
            our->implementation = wrap(their->implementation, wrapped[i].function, wrapped[i].ours, wrapped[i].next);
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    const OSSL_ALGORITHM *their = OSSL_PROVIDER_query_operation(theirs, operation, no_cache);
    size_t count = 0;

    (void)provider;
    if (their == NULL || offered[operation] != NULL)
        return their == NULL ? NULL : offered[operation];
    while (their[count].algorithm_names != NULL)
        count++;
    offered[operation] = calloc(count + 1, sizeof(OSSL_ALGORITHM));
    if (offered[operation] == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        offer(operation, &their[i], &offered[operation][i]);
    return offered[operation];
}

static void teardown(void *provider)
{
    (void)provider;
    OSSL_PROVIDER_unload(theirs);
    OSSL_LIB_CTX_free(inner);
    theirs = NULL;
    inner = NULL;
}

/* In one library context at a time. Counts are of the process: what was offered stays. */
EXPORT OSSL_provider_init_fn OSSL_provider_init;
int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provider)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {0, NULL},
    };

    (void)handle;
    (void)in;
    inner = OSSL_LIB_CTX_new();
    theirs = inner != NULL ? OSSL_PROVIDER_load(inner, "default") : NULL;
    if (theirs == NULL)
        return 0;
    *out = functions;
    *provider = OSSL_PROVIDER_get0_provider_ctx(theirs);
    return 1;
}
