/* SPDX-License-Identifier: Apache-2.0 */
/* The pki plugin with what is the user's to say: profiles of his own, which
 * authorities there are, and what kubeconfigs and copies follow. */
#include "tests/unit/pki_stranger.h"

#include "lib/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- profiles of the user's own ---- */

static void test_own_profiles(void **state)
{
    const struct fake_setting settings[] = {
        {"profiles.webhook.file", "pki/webhook"},
        {"profiles.webhook.usage", "server"},
        {"profiles.webhook.names", "@replica webhook.default.svc 10.1.2.3"},
        {"profiles.webhook.days", "30"},
        {"profiles.webhook.key_type", "ecdsa-p384"},
        {"profiles.ingress.scope", "cluster"},
        {"profiles.ingress.file", "ingress/tls"},
        {"profiles.ingress.usage", "server"},
        {"profiles.ingress.common_name", "ingress"},
        {"profiles.ingress.names", "@external *.example.com"},
        {"profiles.robot.form", "kubeconfig"},
        {"profiles.robot.scope", "cluster"},
        {"profiles.robot.file", "robot"},
        {"profiles.robot.common_name", "robot"},
        {"profiles.robot.organization", "robots"},
        {"profiles.robot.usage", "client"},
        {"without", "super-admin"},
        {NULL, NULL},
    };

    (void)state;
    inventory.replica_count = 1;
    open_with(settings);
    make_all();
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++) {
        assert_int_equal(call->certificates[i].ready, HACTL_YES);
        assert_string_not_equal(call->certificates[i].purpose, "super-admin");
    }
    assert_string_equal(listed("webhook", "demo-1")->names, "demo-1,webhook.default.svc,10.1.2.3");
    assert_true(listed("webhook", "demo-1")->not_after_s < time(NULL) + 31 * PKI_DAY_S);
    assert_string_equal(listed("ingress", NULL)->names, EXTERNAL ",*.example.com");
    assert_true(there("ingress/tls.key"));
    assert_true(there("robot.conf"));
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/webhook", "sslserver", "10.1.2.3"), 0);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_false(there(""));
}

static void test_bad_profiles(void **state)
{
    static const struct {
        struct fake_setting settings[4];
        const char *said;
    } cases[] = {
        {{{"profiles.x.usage", "server"}, {"profiles.x.names", "@replica"}}, "profiles.x.file"},
        {{{"profiles.x.file", "../x"}, {"profiles.x.usage", "client"}}, "profiles.x.file"},
        {{{"profiles.x.file", "pki/x"}}, "profiles.x.usage is missing"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "server"}}, "profiles.x.names is missing"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "sender"}}, "neither server nor client"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "server"}, {"profiles.x.names", "a_b"}}, "a_b"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.authority", "y"}}, "no authority"},
        {{{"profiles.x.file", "pki/apiserver"}, {"profiles.x.usage", "client"}}, "same file"},
        {{{"profiles.x.file", "pki/apiserver"}, {"profiles.x.usage", "client"}, {"profiles.x.form", "kubeconfig"}},
         "same file"},
        {{{"profiles.x.file", "pki/etcd/server.next"}, {"profiles.x.usage", "client"}}, "same file"},
        {{{"profiles.x.file", "ca.key/x"}, {"profiles.x.usage", "client"}}, "profiles.x.file"},
        {{{"profiles.x.file", "pki/ca"}, {"profiles.x.usage", "client"}}, "a file of its own at pki/ca ("},
        {{{"profiles.x.file", "pki/sa"}, {"profiles.x.usage", "client"}}, "a file of its own at pki/sa ("},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.common_name", "8.8.8.8"}},
         "profiles.x.common_name: 8.8.8.8 is an address"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.common_name", "FD00::1"}},
         "profiles.x.common_name: FD00::1 is an address"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.organization", "a\nb"}},
         "profiles.x.organization: it has 1 to 64 characters of UTF-8"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.organization", "a\xff"}},
         "profiles.x.organization: it has 1 to 64 characters of UTF-8"},
        {{{"profiles.x.file", "pki/x"}, {"profiles.x.usage", "client"}, {"profiles.x.common_name", "a\xc0\x80"}},
         "profiles.x.common_name: it is UTF-8"},
        {{{"without", "nothing"}}, "no certificate \"nothing\""},
        {{{"external", "nobody"}}, "no authority \"nobody\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hactl_conf *other = fake_conf_new(hactl_plugin.keys, cases[i].settings, "pki", "demo", directory);
        void *instance = NULL;
        assert_int_equal(hactl_plugin.open(&fake_host, other, fresh_call(), &instance), HACTL_E_INVALID);
        assert_said(cases[i].said);
        fake_conf_free(other);
    }
}

/* Rule 7: names that are listed may come to nothing, and a common name to an address. */
static void test_servers_have_names(void **state)
{
    const struct fake_setting settings[] = {{"profiles.web.file", "pki/web"},
                                            {"profiles.web.usage", "server"},
                                            {"profiles.web.names", "@extra"},
                                            {"profiles.web.form", "pair"},
                                            {NULL, NULL}};
    struct fake_setting to_sign[5];
    struct stranger stranger;
    char *request;

    (void)state;
    open_with(settings);
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_said("web of demo-1: profiles.web.names comes to nothing");
    assert_false(there("replicas/demo-1"));
    assert_not_ready("web", "demo-1", "comes to nothing");
    memcpy(to_sign, settings, sizeof to_sign);
    to_sign[3].value = "request";
    open_with(to_sign);
    stranger_open(&stranger, "ecdsa-p256");
    request = request_text(&stranger, "demo-1", NULL, NULL, NULL);
    assert_int_equal(sign("demo-1", "web", request), HACTL_E_INVALID);
    assert_said("comes to nothing");
    free(request);
    stranger_close(&stranger);
    extra_names[0] = "web.example.com";
    open_with(settings);
    make_all();
    assert_int_equal(listed("web", "demo-1")->ready, HACTL_YES);
}

static void test_no_common_name_is_an_address(void **state)
{
    const struct fake_setting settings[] = {{"profiles.x.file", "pki/x"},
                                            {"profiles.x.usage", "client"},
                                            {"profiles.x.common_name", "fd00::%s"},
                                            {NULL, NULL}};

    (void)state;
    open_with(settings);
    make_all(); /* fd00::demo-1 is none */
    replicas[1].name = "b";
    assert_int_equal(issue("b"), HACTL_E_INVALID);
    assert_said("x of b: its common name would be the address fd00::b");
}

/* Where hactl keeps a file of its own: one of the two would be overwritten, a private key among them. */
static void test_profiles_keep_off_other_files(void **state)
{
    static const char *const files[] = {"sa",
                                        "sa.next",
                                        "ca",
                                        "ca.next",
                                        "ca.previous",
                                        "ca-bundle",
                                        "etcd/ca",
                                        "etcd/peer-ca.next",
                                        "front-proxy-ca.previous",
                                        "replicas/demo-1/pki/apiserver",
                                        "replicas/demo-1/x",
                                        "archive/kubernetes-ca-1"};
    static const char *const forms[] = {"pair", "kubeconfig"};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof files / sizeof files[0]; i++) {
        const struct fake_setting settings[] = {{"profiles.x.file", files[i / 2]}, {"profiles.x.usage", "client"},
                                                {"profiles.x.scope", "cluster"},   {"profiles.x.common_name", "x"},
                                                {"profiles.x.form", forms[i % 2]}, {NULL, NULL}};
        struct hactl_conf *other = fake_conf_new(hactl_plugin.keys, settings, "pki", "demo", directory);
        void *instance = NULL;
        assert_int_equal(hactl_plugin.open(&fake_host, other, fresh_call(), &instance), HACTL_E_INVALID);
        assert_said("hactl keeps a file of its own");
        fake_conf_free(other);
    }
}

/* A public address in a profile is refused as everywhere. */
static void test_profile_address_policy(void **state)
{
    const struct fake_setting settings[] = {{"profiles.web.file", "pki/web"},
                                            {"profiles.web.usage", "server"},
                                            {"profiles.web.names", "198.51.100.7"},
                                            {NULL, NULL}};

    (void)state;
    open_with(settings);
    assert_int_equal(authorities(), HACTL_E_INVALID);
    assert_said("profiles.web.names: 198.51.100.7 is a public address");
}

/* ---- one authority for all of etcd, as kubeadm has it ---- */

static void test_single_etcd_authority(void **state)
{
    const struct fake_setting settings[] = {{"etcd_authorities", "single"}, {NULL, NULL}};

    (void)state;
    open_with(settings);
    make_all();
    assert_false(there("etcd/peer-ca.crt"));
    assert_false(there("replicas/demo-1/pki/etcd/peer-ca.crt"));
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/peer", "sslserver", "127.81.1.1"), 0);
    assert_int_equal(hactl_plugin.issuer->credential(self, fresh_call(), "demo-1", "etcd-peer", "authority"), HACTL_OK);
    assert_string_equal(call->credentials[0].content, slurp(path_of("etcd/ca.crt")));
}

/* ---- kubeconfigs and copies ---- */

static void test_kubeconfig_drift(void **state)
{
    char *text, *spoilt, *at;

    (void)state;
    make_all();
    assert_int_equal(hactl_plugin.issuer->credential(self, fresh_call(), "demo-1", "admin", "kubeconfig"), HACTL_OK);
    text = slurp(path_of("replicas/demo-1/admin.conf"));
    assert_string_equal(call->credentials[0].content, text);
    assert_non_null(strstr(text, "server: https://" EXTERNAL ":2379\n"));
    assert_non_null(strstr(slurp(path_of("replicas/demo-1/scheduler.conf")), "server: https://127.81.1.1:6443\n"));
    spoilt = strdup(text);
    at = strstr(spoilt, "server: https://127") + strlen("server: https://");
    *at = '9';
    spill(path_of("replicas/demo-1/admin.conf"), spoilt, 0600);
    assert_not_ready("admin", "demo-1", "it names the server https://927");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    spill(path_of("replicas/demo-1/admin.conf"), "apiVersion: v1\nkind: Config\n", 0600);
    assert_not_ready("admin", "demo-1", "damaged: replicas/demo-1/admin.conf");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(chmod(path_of("replicas/demo-1/admin.conf"), 0644), 0);
    assert_not_ready("admin", "demo-1", "can be read by others");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
    free(spoilt);
}

static char *replaced(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    char *out = NULL;

    assert_non_null(at);
    assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) > 0);
    return out;
}

/* What kubectl would obey, and what it would not: neither is as it was written. */
static void test_kubeconfig_with_other_lines(void **state)
{
    static const struct {
        const char *old, *new, *reason;
    } cases[] = {
        {"    server:", "    insecure-skip-tls-verify: true\n    server:", "line 5 (insecure-skip-tls-verify)"},
        {"    server:", "    proxy-url: http://127.0.0.1:1\n    server:", "line 5 (proxy-url)"},
        {"    client-key-data:", "    token: sesame\n    client-key-data:", "line 19 (token)"},
        {"current-context: \"kubernetes-admin", "current-context: \"other", "line 12 (current-context)"},
        {"    user: \"kubernetes-admin\"", "    user: \"other\"", "line 10 (user)"},
        {"apiVersion: v1", "apiVersion: v9", "line 1 (apiVersion)"},
        {"kind: Config\n", "kind: Config\n# mine\n", "line 14 on"},
        {"    server: ", "    server:  ", "line 5 (server)"},
        {"users:\n", "users:\n- name: other\n  user: {}\n", "line 16 (name)"},
    };
    char *text;

    (void)state;
    make_all();
    text = slurp(path_of("replicas/demo-1/admin.conf"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *spoilt = replaced(text, cases[i].old, cases[i].new);
        spill(path_of("replicas/demo-1/admin.conf"), spoilt, 0600);
        assert_not_ready("admin", "demo-1", cases[i].reason);
        assert_not_ready("admin", "demo-1", "what was added or laid out by hand is not kept");
        assert_null(strstr(listed("admin", "demo-1")->reason, "sesame"));
        free(spoilt);
    }
    spill(path_of("replicas/demo-1/admin.conf"), strcat(strcpy(prints[0], text), "extra: 1\n"), 0600);
    assert_not_ready("admin", "demo-1", "line 20 (extra)");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
    open_with(NULL); /* read by another process */
    assert_all_ready();
}

static void test_copies_follow(void **state)
{
    (void)state;
    make_all();
    spill(path_of("replicas/demo-2/pki/ca.crt"), slurp(path_of("front-proxy-ca.crt")), 0644);
    assert_not_ready("trust", "demo-2", "replicas/demo-2/pki/ca.crt is not kubernetes-ca as it is now");
    assert_int_equal(issue("demo-2"), HACTL_OK);
    assert_int_equal(unlink(path_of("replicas/demo-2/pki/sa.key")), 0);
    assert_not_ready("trust", "demo-2", "replicas/demo-2/pki/sa.key is missing");
    assert_int_equal(issue("demo-2"), HACTL_OK);
    assert_all_ready();
    assert_string_equal(slurp(path_of("replicas/demo-2/pki/sa.key")), slurp(path_of("sa.key")));
    assert_false(there("replicas/demo-2/pki/ca.key")); /* never */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_own_profiles),
        TEST(test_bad_profiles),
        TEST(test_profiles_keep_off_other_files),
        TEST(test_servers_have_names),
        TEST(test_no_common_name_is_an_address),
        TEST(test_profile_address_policy),
        TEST(test_single_etcd_authority),
        TEST(test_kubeconfig_drift),
        TEST(test_kubeconfig_with_other_lines),
        TEST(test_copies_follow),
    };

    return cmocka_run_group_tests_name("pki_profiles", tests, NULL, NULL);
}
