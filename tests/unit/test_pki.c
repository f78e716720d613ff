/* SPDX-License-Identifier: Apache-2.0 */
/* The pki plugin in good order: the tree, its names, drift. */
#include "tests/unit/pki_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tests: the good way ---- */

static void test_tree(void **state)
{
    (void)state;
    list_all();
    assert_int_equal(call->certificate_count, CERTIFICATE_COUNT);
    for (size_t i = 0; i < call->certificate_count; i++) {
        assert_int_equal(call->certificates[i].ready, HACTL_NO);
        assert_string_equal(call->certificates[i].reason, "missing");
    }
    assert_false(there(""));
    make_all();
    assert_all_ready();
    judge_all();
    assert_int_equal(mode_of(""), 0700);
    assert_int_equal(mode_of("replicas/demo-1"), 0700);
    assert_int_equal(mode_of("ca.key"), 0600);
    assert_int_equal(mode_of("ca.crt"), 0644);
    assert_int_equal(mode_of("replicas/demo-1/pki/etcd/peer.key"), 0600);
    assert_false(there("ca.key.new"));
    assert_int_equal(hactl_plugin.check(self, fresh_call()), HACTL_OK);
}

/* The judges must be able to say no. */
static void test_judges_bite(void **state)
{
    (void)state;
    make_all();
    assert_int_not_equal(openssl_says("etcd/ca", "replicas/demo-2/pki/etcd/peer", "sslserver", NULL), 0);
    assert_int_not_equal(openssl_says("etcd/ca", "replicas/demo-2/pki/etcd/server", "sslserver", "198.51.100.7"), 0);
    assert_int_not_equal(openssl_says("etcd/peer-ca", "replicas/demo-2/pki/etcd/peer", "sslserver", EXTERNAL), 0);
    assert_int_not_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", "127.81.1.2"), 0);
}

static void test_repeat_changes_nothing(void **state)
{
    (void)state;
    make_all();
    print_tree(0);
    make_all();
    assert_string_equal(print_tree(1), prints[0]);
}

/* There an RSA key takes a quarter of a minute, and nothing is learnt by it. */
static size_t under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void test_key_types(void **state)
{
    static const char *const types[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};

    (void)state;
    inventory.replica_count = 2;
    for (size_t i = 0; i < sizeof types / sizeof types[0] - under_valgrind(); i++) {
        const struct fake_setting settings[] = {{"key_type", types[i]}, {NULL, NULL}};
        char path[256];
        const char *const key[] = {"openssl", "pkey", "-check", "-in", path, NULL};
        snprintf(path, sizeof path, "%s/replicas/demo-2/pki/apiserver.key", directory);
        open_with(settings);
        make_all();
        assert_all_ready();
        judge_all();
        assert_int_equal(run_program(key), 0);
        assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
        assert_false(there(""));
    }
}

/* Authorities stay, leaves get the new kind of key. */
static void test_key_type_changed(void **state)
{
    const struct fake_setting settings[] = {{"key_type", "ecdsa-p384"}, {NULL, NULL}};
    char *old;

    (void)state;
    make_all();
    old = slurp(path_of("ca.crt"));
    open_with(settings);
    assert_not_ready("etcd-server", "demo-1", "its key is not ecdsa-p384");
    make_all();
    assert_all_ready();
    judge_all();
    assert_string_equal(slurp(path_of("ca.crt")), old);
}

static void test_credentials(void **state)
{
    const struct hactl_issuer_ops *issuer = hactl_plugin.issuer;

    (void)state;
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-client", "key"), HACTL_E_NOT_FOUND);
    make_all();
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-client", "key"), HACTL_OK);
    assert_int_equal(call->credential_count, 1);
    assert_non_null(strstr(call->credentials[0].content, "BEGIN PRIVATE KEY"));
    assert_string_equal(call->credentials[0].path, path_of("operator/etcd-client.key"));
    assert_int_equal(issuer->credential(self, fresh_call(), "demo-1", "etcd-peer", "authority"), HACTL_OK);
    assert_string_equal(call->credentials[0].content, slurp(path_of("etcd/peer-ca.crt")));
    assert_int_equal(issuer->credential(self, fresh_call(), "demo-1", "etcd-peer", "certificate"), HACTL_OK);
    assert_string_equal(call->credentials[0].content, slurp(path_of("replicas/demo-1/pki/etcd/peer.crt")));
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-ca", "certificate"), HACTL_OK);
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-ca", "key"), HACTL_E_DENIED);
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-peer", "key"), HACTL_E_INVALID);
    assert_int_equal(issuer->credential(self, fresh_call(), "../..", "etcd-peer", "key"), HACTL_E_INVALID);
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "no-such", "key"), HACTL_E_INVALID);
    assert_int_equal(issuer->credential(self, fresh_call(), NULL, "etcd-client", "colour"), HACTL_E_INVALID);
}

/* ---- tests: names ---- */

static void test_names(void **state)
{
    static const struct {
        const char *text, *canonical;
        bool address;
    } names[] = {
        {"Demo-1.Example.COM", "demo-1.example.com", false},
        {"*.example.com", "*.example.com", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"FD00:0::1", "fd00::1", true},
        {"::ffff:10.0.0.1", NULL, false},
        {"fe80::1%eth0", NULL, false},
        {"10.0.0.300", NULL, false},
        {"", NULL, false},
        {"a,b", NULL, false},
        {"a b", NULL, false},
        {"-a", NULL, false},
        {"a-", NULL, false},
        {"a..b", NULL, false},
        {"a.", NULL, false},
        {"under_score", NULL, false},
        {"..", NULL, false},
        {"a/b", NULL, false},
        {"0x7f.1", NULL, false},
        {"b\xc3\xbc", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct pki_name name;
        assert_int_equal(pki_name_parse(names[i].text, &name), names[i].canonical != NULL);
        if (names[i].canonical == NULL)
            continue;
        assert_string_equal(name.text, names[i].canonical);
        assert_int_equal(name.is_address, names[i].address);
    }
}

static void test_extra_names(void **state)
{
    static const struct {
        const char *name;
        int result;
    } extras[] = {
        {"api.example.com", HACTL_OK},
        {"192.168.7.7", HACTL_OK},
        {"172.31.255.255", HACTL_OK},
        {"100.64.0.1", HACTL_OK},
        {"169.254.1.1", HACTL_OK},
        {"fd12::1", HACTL_OK},
        {"fe80::1", HACTL_OK},
        {EXTERNAL, HACTL_OK},
        {"198.51.100.7", HACTL_E_INVALID},
        {"172.32.0.1", HACTL_E_INVALID},
        {"100.128.0.1", HACTL_E_INVALID},
        {"8.8.8.8", HACTL_E_INVALID},
        {"2001:db8::1", HACTL_E_INVALID},
        {"0.0.0.0", HACTL_E_INVALID},
        {"224.0.0.1", HACTL_E_INVALID},
        {"::", HACTL_E_INVALID},
        {"not a name", HACTL_E_INVALID},
    };

    (void)state;
    inventory.replica_count = 1;
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        extra_names[0] = extras[i].name;
        assert_int_equal(authorities(), extras[i].result);
        assert_int_equal(issue("demo-1"), extras[i].result);
        if (extras[i].result == HACTL_OK) {
            assert_non_null(strstr(listed("kube-apiserver", "demo-1")->names, extras[i].name));
            continue;
        }
        assert_said(extras[i].name);
        assert_said("cluster.names: ");
        assert_int_equal(hactl_plugin.issuer->list(self, fresh_call(), &inventory), HACTL_E_INVALID);
    }
    cluster.external_address = "198.51.100.7"; /* a static external address may be public, of course */
    extra_names[0] = "198.51.100.7";
    assert_int_equal(issue("demo-1"), HACTL_OK);
}

static void test_inventory_refused(void **state)
{
    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(issue("demo-9"), HACTL_E_INVALID);
    assert_said("demo-9");
    replicas[1].internal_address = NULL;
    assert_int_equal(issue("demo-2"), HACTL_E_INVALID);
    assert_said("demo-2");
    replicas[1].internal_address = "10.0.0.x";
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_said("10.0.0.x");
    replicas[1].internal_address = "10.0.0.2";
    replicas[1].name = "../etc";
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "../etc"), HACTL_E_INVALID);
    replicas[1].name = "demo-2";
    const struct hactl_request request = {.struct_size = sizeof request, .content = "a request"}, *one = &request;
    assert_int_equal(hactl_plugin.issuer->issue(self, fresh_call(), &inventory, "demo-2", &one, 1),
                     HACTL_E_UNSUPPORTED);
}

/* The address comes later than the certificate: the key stays. */
static void test_drift(void **state)
{
    char *key;

    (void)state;
    cluster.external_address = NULL;
    make_all();
    assert_all_ready();
    key = slurp(path_of("replicas/demo-1/pki/etcd/server.key"));
    cluster.external_address = EXTERNAL;
    assert_not_ready("etcd-server", "demo-1", "address " EXTERNAL " is not in it");
    assert_int_equal(listed("etcd-peer", "demo-1")->ready, HACTL_YES);
    make_all();
    assert_all_ready();
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.key")), key);
    replicas[0].internal_address = "127.81.9.9";
    assert_not_ready("etcd-peer", "demo-1", "address 127.81.9.9 is not in it");
    assert_not_ready("etcd-peer", "demo-1", "address 127.81.1.1 is in it but not wanted");
    make_all();
    assert_all_ready();
}

static void test_settings(void **state)
{
    const struct fake_setting bad[] = {{"renew_days", "365"}, {NULL, NULL}};
    struct hactl_conf *other = fake_conf_new(hactl_plugin.keys, bad, "pki", "demo", directory);
    void *instance = NULL;

    (void)state;
    assert_int_equal(hactl_plugin.open(&fake_host, other, fresh_call(), &instance), HACTL_E_INVALID);
    assert_said("renew_days");
    fake_conf_free(other);
    hactl_plugin.close(NULL);
}

/* The directory that makes room for another may be the one above that. */
static void test_many_directories(void **state)
{
    char base[32];
    struct pki_store store;
    struct pki_blob blob;

    (void)state;
    make_all();
    for (int between = 0; between <= PKI_PARENTS; between++) {
        assert_int_equal(pki_store_open(self, fresh_call(), true, &store), HACTL_OK);
        assert_int_equal(pki_store_stat(&store, "replicas/demo-1/admin", ".conf", &blob), 0);
        for (int i = 0; i < between; i++) {
            snprintf(base, sizeof base, "none-%d/x", i);
            assert_int_equal(pki_store_stat(&store, base, ".crt", &blob), -ENOENT);
        }
        assert_int_equal(pki_store_stat(&store, "replicas/demo-1/pki/apiserver", ".crt", &blob), 0);
        pki_store_close(&store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_directories),
        TEST(test_tree),
        TEST(test_judges_bite),
        TEST(test_repeat_changes_nothing),
        TEST(test_key_types),
        TEST(test_key_type_changed),
        TEST(test_credentials),
        TEST(test_names),
        TEST(test_extra_names),
        TEST(test_inventory_refused),
        TEST(test_drift),
        TEST(test_settings),
    };

    return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}
