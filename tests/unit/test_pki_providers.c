/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who does the arithmetic: the providers that the settings name, for all that
 * the plugin does. tests/unit/counting_provider.c is one, and the program's
 * default library context has none at all.
 */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

/* Paths of this test's. */
static void *loaded; /* the module, from the first test to the last */
static char module[512], configuration[128];

/* That has the module under that name, and loads nothing. */
static void write_configuration(const char *name, const char *more)
{
    char text[1024];

    snprintf(text, sizeof text, "openssl_conf = x\n[x]\nproviders = y\n[y]\n%s = z\n[z]\nmodule = %s\n%s", name, module,
             more);
    spill(configuration, text, 0600);
}

static void find_module(void)
{
    const char *build = getenv("top_builddir");
    char *whole = realpath(build != NULL ? build : ".", NULL);

    snprintf(module, sizeof module, "%s/tests/unit/.libs/counting_provider.so", whole != NULL ? whole : "");
    free(whole);
}

static int setup_providers(void **state)
{
    if (setup(state) != 0)
        return -1;
    snprintf(configuration, sizeof configuration, "%s/openssl.cnf", top);
    find_module();
    write_configuration("counting", "");
    return 0;
}

#define TEST_PROVIDERS(name) cmocka_unit_test_setup_teardown(name, setup_providers, teardown)

static const char *const everything[] = {"digest",     "key",      "signature", "random", "cipher",
                                         "derivation", "exchange", "decoder",   "encoder"};

#define EVERYTHING (sizeof everything / sizeof everything[0])

/* Since it was asked last. */
static unsigned counted(const char *what)
{
    char name[64];
    unsigned *count, result;

    snprintf(name, sizeof name, "counted_%s", what);
    count = dlsym(loaded, name);
    assert_non_null(count);
    result = *count;
    *count = 0;
    return result;
}

static void count_anew(void)
{
    for (size_t i = 0; i < EVERYTHING; i++)
        counted(everything[i]);
}

static int rotate(const char *authority, enum hactl_rotation phase)
{
    return hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, authority, phase);
}

/* All four phases; between them, what is due is issued. */
static void rotate_all(const char *authority)
{
    static const enum hactl_rotation phases[] = {HACTL_ROTATION_PREPARE, HACTL_ROTATION_TRUST, HACTL_ROTATION_SWITCH,
                                                 HACTL_ROTATION_RETIRE, HACTL_ROTATION_NONE};

    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        if (rotate(authority, phases[i]) != HACTL_OK)
            fail_msg("%s", call->text);
        assert_int_equal(issue(HACTL_EVERYTHING), HACTL_OK);
    }
}

static void sign_a_request(void)
{
    static const char *const types[] = {"ecdsa-p256", "rsa-2048"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct pki_maker maker;
        char *pem = NULL;
        size_t size;
        EVP_PKEY *key;
        X509_REQ *request;
        pki_maker_open(&maker, pki_crypto(self));
        key = pki_key_generate(&maker, types[i]);
        request = pki_request_make(&maker, key, "demo-1", NULL, &(struct pki_names){0});
        assert_non_null(request);
        assert_int_equal(pki_request_write(request, &pem, &size), 0);
        if (hactl_plugin.issuer->sign(self, fresh_call(), &inventory, "demo-1", "etcd-server", pem) != HACTL_OK)
            fail_msg("%s", call->text);
        X509_REQ_free(request);
        EVP_PKEY_free(key);
        free(pem);
        pki_maker_close(&maker);
    }
}

static void assert_done_by(const EVP_PKEY *key, const char *name)
{
    assert_non_null(key);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), name);
}

/* Made, encrypted, and decrypted by a decoder. */
static void encrypt_a_key(const char *provider)
{
    const struct pki_crypto *crypto = pki_crypto(self);
    struct pki_maker maker;
    char *pem = NULL;
    size_t size;
    EVP_PKEY *key, *again;

    pki_maker_open(&maker, crypto);
    key = pki_key_generate(&maker, "ecdsa-p384");
    assert_done_by(key, provider);
    assert_int_equal(pki_key_write(crypto, key, "correct horse battery staple", &pem, &size), 0);
    assert_true(pki_key_is_sealed(pem));
    again = pki_key_read(crypto, pem, size, "correct horse battery staple");
    assert_done_by(again, provider);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    pki_secret_free(pem, size);
    EVP_PKEY_free(again);
    EVP_PKEY_free(key);
    pki_maker_close(&maker);
}

/* Everything that the plugin can do. */
static void do_everything(void)
{
    make_all();
    assert_all_ready();
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", EXTERNAL), 0);
    if (hactl_plugin.issuer->revoke(self, fresh_call(), &inventory,
                                    slurp(path_of("replicas/demo-1/pki/etcd/healthcheck-client.crt"))) != HACTL_OK)
        fail_msg("%s", call->text);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/healthcheck-client", "sslclient", NULL), 0);
    rotate_all("etcd-ca");
    rotate_all("service-account");
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", EXTERNAL), 0);
    sign_a_request();
    if (hactl_plugin.issuer->seal(self, fresh_call(), "service-account", "key", "demo-1", "etcd-peer") != HACTL_OK)
        fail_msg("%s", call->text);
}

static const struct fake_setting strictly[] = {{"providers", "counting"},
                                               {"properties", "provider=counting"},
                                               {"openssl_configuration", configuration},
                                               {"token_hours", "0"},
                                               {"profiles.front-proxy-client.key_type", "rsa-2048"},
                                               {NULL, NULL}};

static void test_all_is_done_by_the_one_that_is_asked_for(void **state)
{
    X509 *certificate;
    char *pem;

    (void)state;
    assert_null(EVP_MD_fetch(NULL, "SHA2-256", NULL));
    ERR_clear_error();
    inventory.replica_count = 1;
    count_anew();
    open_with(strictly);
    do_everything();
    encrypt_a_key("counting");
    for (size_t i = 0; i < EVERYTHING; i++)
        if (counted(everything[i]) == 0)
            fail_msg("%s: another provider than the one that is asked for has done it", everything[i]);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(pki_crypto(self)->sha256)), "counting");
    pem = slurp(path_of("replicas/demo-1/pki/front-proxy-client.crt"));
    certificate = pki_certificate_read(pki_crypto(self), pem, strlen(pem));
    assert_non_null(certificate);
    assert_done_by(X509_get0_pubkey(certificate), "counting");
    X509_free(certificate);
}

/* The same once more, by the default provider in a context of its own. */
static void test_nothing_needs_the_program_s_own_context(void **state)
{
    static const struct fake_setting settings[] = {{"token_hours", "0"}, {NULL, NULL}};

    (void)state;
    inventory.replica_count = 1;
    open_with(settings);
    do_everything();
}

static void test_both_are_there_and_the_query_decides(void **state)
{
    struct fake_setting settings[] = {{"providers", "default counting"},
                                      {"properties", "provider=default"},
                                      {"openssl_configuration", configuration},
                                      {NULL, NULL}};

    (void)state;
    inventory.replica_count = 1;
    count_anew();
    open_with(settings);
    make_all();
    for (size_t i = 0; i < EVERYTHING; i++)
        assert_int_equal(counted(everything[i]), 0);
    settings[1].value = "?provider=counting"; /* it rather than others */
    open_with(settings);
    cluster.external_address = "127.81.0.77";
    make_all();
    assert_int_not_equal(counted("digest"), 0);
    assert_int_not_equal(counted("signature"), 0);
    assert_all_ready();
}

/* The file may ask for properties by itself. */
static void test_properties_of_the_file(void **state)
{
    const struct fake_setting settings[] = {
        {"providers", "default counting"}, {"openssl_configuration", configuration}, {NULL, NULL}};
    char text[1024];

    (void)state;
    inventory.replica_count = 1;
    snprintf(
        text, sizeof text,
        "openssl_conf = x\n[x]\nproviders = y\nalg_section = a\n[y]\ncounting = z\n[z]\nmodule = %s\nactivate = 1\n"
        "[a]\ndefault_properties = provider=counting\n",
        module);
    spill(configuration, text, 0600);
    count_anew();
    open_with(settings);
    make_all();
    assert_int_not_equal(counted("signature"), 0);
}

/* ---- what cannot be ---- */

static void assert_refused(const struct fake_setting *settings, const char *key, const char *words)
{
    struct hactl_conf *other = fake_conf_new(hactl_plugin.keys, settings, "pki", "demo", directory);
    void *instance = NULL;
    int result = hactl_plugin.open(&fake_host, other, fresh_call(), &instance);

    if (result != HACTL_E_INVALID)
        fail_msg("%d, not refused with \"%s\"", result, words);
    assert_null(instance);
    assert_said(words);
    assert_int_equal(strncmp(call->text, key, strlen(key)), 0);
    assert_int_equal(call->text[strlen(key)], ':');
    assert_int_equal(ERR_peek_error(), 0);
    assert_false(there("."));
    fake_conf_free(other);
}

static void test_what_cannot_be_loaded_is_said(void **state)
{
    static const struct {
        struct fake_setting settings[3];
        const char *key, *words;
    } cases[] = {
        {{{"providers", "no-such"}}, "providers", "/no-such.so: cannot open shared object file: No such file"},
        {{{"providers", "default no-such"}}, "providers", "\"no-such\" cannot be loaded"},
        {{{"providers", "base"}}, "providers", "none that is loaded (base) has SHA2-256"},
        {{{"providers", "null"}}, "providers", "none that is loaded (null, base) has SHA2-256"},
        {{{"providers", ""}}, "providers", "none is named"},
        {{{"providers", "a b c d e f g h i"}}, "providers", "8 can be named"},
        {{{"properties", "fips=yes"}}, "properties", "with \"fips=yes\" no provider that is loaded (default) has"},
        {{{"properties", "provider=base"}, {"providers", "default base"}},
         "properties",
         "(default, base) has SHA2-256"},
        {{{"properties", "(("}}, "properties", "\"((\" cannot be read: OpenSSL says: not an identifier"},
        {{{"openssl_configuration", "/no/such"}}, "openssl_configuration", "/no/such: No such file or directory"},
        {{{"openssl_configuration", "/tmp"}}, "openssl_configuration", "/tmp is no file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_setting settings[] = {cases[i].settings[0], cases[i].settings[1], {NULL, NULL}};
        assert_refused(settings, cases[i].key, cases[i].words);
    }
}

static void test_a_wrong_file_is_said(void **state)
{
    struct fake_setting settings[] = {
        {"openssl_configuration", configuration}, {"providers", "default counting"}, {NULL, NULL}};

    (void)state;
    spill(configuration, "[unfinished", 0600);
    assert_refused(settings, "openssl_configuration", "missing close square bracket: line 1");
    write_configuration("counting", "");
    assert_int_equal(chmod(configuration, 0620), 0);
    assert_refused(settings, "openssl_configuration", "can be changed by others (mode 0620");
    spill(configuration, "x = y\n[y]\nproviders = z\n", 0600);
    assert_refused(settings, "openssl_configuration", "has no openssl_conf = SECTION before its first section");
    /* OpenSSL itself passes over what a file activates and what cannot be: here the reason is said. */
    snprintf(module, sizeof module, "/no/such/module.so");
    write_configuration("counting", "activate = 1\n");
    assert_refused(settings, "providers", "/no/such/module.so: cannot open shared object file");
}

/* What a file activates is not loaded by that: a file that is there for other programs may be used. */
static void test_the_settings_alone_say_what_is_loaded(void **state)
{
    struct fake_setting settings[] = {{"providers", "default"}, {"openssl_configuration", configuration}, {NULL, NULL}};

    (void)state;
    inventory.replica_count = 1;
    write_configuration("counting", "activate = 1\n1.activate = 1\n");
    open_with(settings);
    make_all();
    assert_int_equal(OSSL_PROVIDER_available(pki_crypto(self)->library, "counting"), 0);
    settings[0].value = "counting";
    open_with(settings);
    assert_int_equal(OSSL_PROVIDER_available(pki_crypto(self)->library, "default"), 0);
    count_anew();
    assert_all_ready();
    assert_int_not_equal(counted("decoder"), 0);
}

/* Where modules are is OpenSSL's own directory, or the file's to say: not the environment's. */
static void test_the_environment_is_not_asked(void **state)
{
    static const struct fake_setting settings[] = {{"providers", "default counting_provider"}, {NULL, NULL}};
    char modules[512];

    (void)state;
    snprintf(modules, sizeof modules, "%.*s", (int)(strrchr(module, '/') - module), module);
    assert_int_equal(setenv("OPENSSL_MODULES", modules, 1), 0);
    assert_refused(settings, "providers", "/counting_provider.so: cannot open shared object file");
    assert_int_equal(unsetenv("OPENSSL_MODULES"), 0);
}

/* What asks the program's own library context gets nothing. */
static OSSL_PROVIDER *none;

static int empty_default(void **state)
{
    (void)state;
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    find_module();
    loaded = dlopen(module, RTLD_NOW);
    if (loaded == NULL)
        return -1;
    none = OSSL_PROVIDER_load(NULL, "null");
    return none != NULL ? 0 : -1;
}

static int fill_default(void **state)
{
    (void)state; /* the module stays: what it offered is its own */
    return OSSL_PROVIDER_unload(none) == 1 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_PROVIDERS(test_all_is_done_by_the_one_that_is_asked_for),
        TEST_PROVIDERS(test_nothing_needs_the_program_s_own_context),
        TEST_PROVIDERS(test_both_are_there_and_the_query_decides),
        TEST_PROVIDERS(test_properties_of_the_file),
        TEST_PROVIDERS(test_what_cannot_be_loaded_is_said),
        TEST_PROVIDERS(test_a_wrong_file_is_said),
        TEST_PROVIDERS(test_the_settings_alone_say_what_is_loaded),
        TEST_PROVIDERS(test_the_environment_is_not_asked),
    };

    return cmocka_run_group_tests_name("pki_providers", tests, empty_default, fill_default);
}
