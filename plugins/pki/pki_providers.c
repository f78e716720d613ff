/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's providers: which of them are loaded into this plugin's own library
 * context, and which of their algorithms are used. The settings alone decide:
 * neither the machine's openssl.cnf nor OPENSSL_CONF nor OPENSSL_MODULES is asked.
 */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

/* ---- settings ---- */

int pki_providers_take(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       struct pki_providers *wanted)
{
    const char *name;

    *wanted = (struct pki_providers){.properties = host->conf_string(conf, "properties"),
                                     .configuration = host->conf_string(conf, "openssl_configuration"),
                                     .key_type = host->conf_string(conf, "key_type")};
    if (wanted->properties != NULL && wanted->properties[0] == '\0')
        wanted->properties = NULL;
    while ((name = host->conf_list(conf, "providers", wanted->count)) != NULL) {
        if (wanted->count == PKI_PROVIDERS_MAX)
            return host->fail(call, HACTL_E_INVALID, "providers: %d can be named, and there are more",
                              PKI_PROVIDERS_MAX);
        wanted->names[wanted->count++] = name;
    }
    return wanted->count > 0 ? HACTL_OK
                             : host->fail(call, HACTL_E_INVALID,
                                          "providers: none is named, so there are no algorithms: name \"default\"");
}

bool pki_providers_are_default(const struct pki_providers *wanted)
{
    return wanted->count == 1 && strcmp(wanted->names[0], "default") == 0 && wanted->properties == NULL &&
           wanted->configuration == NULL;
}

static bool names(const struct pki_providers *wanted, const char *name)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->names[i], name) == 0)
            return true;
    return false;
}

/* The text begins with a key, so that the host can say where it is set. */
static int __attribute__((format(printf, 2, 3))) complain(struct pki_providers *wanted, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(wanted->why, sizeof wanted->why, format, arguments);
    va_end(arguments);
    pki_crypto_error();
    return -1;
}

/* ---- loading ---- */

/* It names code that this process runs, so it is trusted as far as the program itself. */
static int judge_configuration(struct pki_providers *wanted)
{
    struct stat status;

    if (stat(wanted->configuration, &status) != 0)
        return complain(wanted, "openssl_configuration: %s: %s", wanted->configuration, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return complain(wanted, "openssl_configuration: %s is no file", wanted->configuration);
    if ((status.st_mode & 0022) != 0 || (status.st_uid != 0 && status.st_uid != geteuid()))
        return complain(wanted,
                        "openssl_configuration: %s can be changed by others (mode %04o, owner %u), and names programs "
                        "that are run here: chown it to yourself and chmod go-w it",
                        wanted->configuration, (unsigned)status.st_mode & 07777, (unsigned)status.st_uid);
    return 0;
}

/* OpenSSL 3 passes over a provider that a file activates and that cannot be, without a word. So nothing is activated by
 * the file: what is loaded is said by the settings alone, and what cannot be is said there. */
struct passive {
    STACK_OF(CONF_VALUE) * section[PKI_PROVIDERS_MAX * 2];
    CONF_VALUE *activate[PKI_PROVIDERS_MAX * 2];
    size_t count;
};

static bool is_named(const CONF_VALUE *value, const char *name)
{
    const char *dot = strchr(value->name, '.'); /* "1.activate" is one, too */

    return strcmp(dot != NULL ? dot + 1 : value->name, name) == 0;
}

static bool make_passive(struct passive *passive, STACK_OF(CONF_VALUE) * section)
{
    for (int i = sk_CONF_VALUE_num(section) - 1; i >= 0; i--) {
        if (!is_named(sk_CONF_VALUE_value(section, i), "activate"))
            continue;
        if (passive->count == sizeof passive->section / sizeof passive->section[0])
            return false;
        passive->section[passive->count] = section;
        passive->activate[passive->count++] = sk_CONF_VALUE_delete(section, i);
    }
    return true;
}

static bool make_all_passive(struct passive *passive, const CONF *file, const char *start)
{
    STACK_OF(CONF_VALUE) *modules = NCONF_get_section(file, start), *providers, *section;

    for (int i = 0; i < sk_CONF_VALUE_num(modules); i++) {
        const CONF_VALUE *module = sk_CONF_VALUE_value(modules, i);
        if (strcmp(module->name, "providers") != 0 && strncmp(module->name, "providers.", 10) != 0)
            continue;
        providers = NCONF_get_section(file, module->value);
        for (int p = 0; p < sk_CONF_VALUE_num(providers); p++) {
            section = NCONF_get_section(file, sk_CONF_VALUE_value(providers, p)->value);
            if (section != NULL && !make_passive(passive, section))
                return false;
        }
    }
    return true;
}

/* Back where NCONF_free looks for them. */
static bool put_back(struct passive *passive)
{
    bool good = true;

    while (passive->count > 0) {
        passive->count--;
        good &= sk_CONF_VALUE_push(passive->section[passive->count], passive->activate[passive->count]) > 0;
    }
    return good;
}

static int use_configuration(const CONF *file, struct pki_providers *wanted)
{
    struct passive passive = {.count = 0};
    const char *start = NCONF_get_string(file, NULL, "openssl_conf");
    bool few, good;

    if (start == NULL)
        return complain(wanted,
                        "openssl_configuration: %s has no openssl_conf = SECTION before its first section, so OpenSSL "
                        "would take nothing from it",
                        wanted->configuration);
    few = make_all_passive(&passive, file, start);
    good = few && CONF_modules_load(file, NULL, 0) == 1;
    good &= put_back(&passive);
    if (!few)
        return complain(wanted, "openssl_configuration: %s: more providers than can be", wanted->configuration);
    if (!good)
        return complain(wanted, "openssl_configuration: %s: OpenSSL says: %s", wanted->configuration,
                        pki_crypto_error());
    return 0;
}

static int load_configuration(OSSL_LIB_CTX *library, struct pki_providers *wanted)
{
    CONF *file = NULL;
    int result;

    if (judge_configuration(wanted) != 0)
        return -1;
    file = NCONF_new_ex(library, NULL);
    if (file != NULL && NCONF_load(file, wanted->configuration, NULL) == 1)
        result = use_configuration(file, wanted);
    else
        result =
            complain(wanted, "openssl_configuration: %s: OpenSSL says: %s", wanted->configuration, pki_crypto_error());
    NCONF_free(file);
    return result;
}

static int load_one(struct pki_crypto *crypto, struct pki_providers *wanted, const char *name)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(crypto->library, name);

    if (provider == NULL)
        return complain(wanted, "providers: \"%.60s\" cannot be loaded: OpenSSL says: %s; %s", name, pki_crypto_error(),
                        strcmp(name, "fips") == 0
                            ? "openssl_configuration is to tell what \"openssl fipsinstall\" wrote, and where the "
                              "module is: hactl-pki(8), Providers"
                            : "a module that is not in OpenSSL's own directory is found by its path in "
                              "openssl_configuration: hactl-pki(8), Providers");
    crypto->providers[crypto->provider_count++] = provider;
    return 0;
}

/* ---- what has come of it ---- */

/* "fips, base" */
static const char *loaded_text(const struct pki_crypto *crypto, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < crypto->provider_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.40s", i > 0 ? ", " : "",
                                 OSSL_PROVIDER_get0_name(crypto->providers[i]));
    return text;
}

#define FINDS(type)                                                                           \
    static bool finds_##type(OSSL_LIB_CTX *library, const char *algorithm, const char *which) \
    {                                                                                         \
        type *found = type##_fetch(library, algorithm, which);                                \
        type##_free(found);                                                                   \
        return found != NULL;                                                                 \
    }
FINDS(EVP_MD)
FINDS(EVP_KEYMGMT)
FINDS(EVP_SIGNATURE)
FINDS(OSSL_DECODER)
FINDS(OSSL_ENCODER)

/* What no certificate can be made or read without. NULL: all of it is there. */
static const char *missing(OSSL_LIB_CTX *library, const char *key_type)
{
    const bool rsa = strncmp(key_type, "rsa", 3) == 0;
    const char *kind = rsa ? "RSA" : "EC";
    const struct {
        bool (*finds)(OSSL_LIB_CTX *library, const char *algorithm, const char *which);
        const char *algorithm, *which, *called;
    } needs[] = {
        {finds_EVP_MD, "SHA2-256", NULL, "SHA2-256"},
        {finds_EVP_MD, "SHA2-384", NULL, "SHA2-384"},
        {finds_EVP_KEYMGMT, kind, NULL, rsa ? "keys for RSA" : "keys for ECDSA"},
        {finds_EVP_SIGNATURE, rsa ? "RSA" : "ECDSA", NULL, rsa ? "signatures with RSA" : "signatures with ECDSA"},
        {finds_OSSL_DECODER, kind, "input=der,structure=SubjectPublicKeyInfo", "what reads public keys"},
        {finds_OSSL_DECODER, kind, "input=der,structure=PrivateKeyInfo", "what reads private keys"},
        {finds_OSSL_ENCODER, kind, "output=der,structure=SubjectPublicKeyInfo", "what writes public keys"},
        {finds_OSSL_ENCODER, kind, "output=der,structure=PrivateKeyInfo", "what writes private keys"},
    };

    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (!needs[i].finds(library, needs[i].algorithm, needs[i].which))
            return needs[i].called;
    return RAND_get0_primary(library) == NULL ? "a generator of random numbers" : NULL;
}

static int judge_loaded(const struct pki_crypto *crypto, struct pki_providers *wanted)
{
    const char *lacks = missing(crypto->library, wanted->key_type);
    char loaded[200];

    if (lacks == NULL)
        return 0;
    loaded_text(crypto, loaded, sizeof loaded);
    if (wanted->properties != NULL)
        return complain(wanted,
                        "properties: with \"%.100s\" no provider that is loaded (%s) has %s: name one that has among "
                        "providers, or ask for something else",
                        wanted->properties, loaded, lacks);
    return complain(
        wanted, "providers: none that is loaded (%s) has %s%s: name one that has; \"default\" has all that is needed",
        loaded, lacks,
        wanted->configuration != NULL ? " (or openssl_configuration asks for properties that it lacks)" : "");
}

int pki_providers_load(struct pki_crypto *crypto, struct pki_providers *wanted)
{
    OSSL_LIB_CTX *library = crypto->library;

    if (pki_providers_are_default(wanted))
        return load_one(crypto, wanted, "default");
    /* Said even where it is the usual one: OPENSSL_MODULES would be asked otherwise. */
    if (OSSL_PROVIDER_set_default_search_path(library, OPENSSL_info(OPENSSL_INFO_MODULES_DIR)) != 1)
        return complain(wanted, "providers: OpenSSL says: %s", pki_crypto_error());
    if (wanted->configuration != NULL && load_configuration(library, wanted) != 0)
        return -1;
    for (size_t i = 0; i < wanted->count; i++)
        if (load_one(crypto, wanted, wanted->names[i]) != 0)
            return -1;
    /* What reads and writes files of keys, which modules such as fips leave to it. */
    if (!names(wanted, "default") && !names(wanted, "base") && load_one(crypto, wanted, "base") != 0)
        return -1;
    if (wanted->properties != NULL && EVP_set_default_properties(library, wanted->properties) != 1)
        return complain(wanted, "properties: \"%.100s\" cannot be read: OpenSSL says: %s", wanted->properties,
                        pki_crypto_error());
    return judge_loaded(crypto, wanted);
}

void pki_providers_unload(struct pki_crypto *crypto)
{
    while (crypto->provider_count > 0)
        OSSL_PROVIDER_unload(crypto->providers[--crypto->provider_count]);
}
