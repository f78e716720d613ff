/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that a serious issuer follows, each as a test with its name: what
 * certificates say. */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static X509 *certificate_of(const char *relative)
{
    char *pem = slurp(path_of(relative));
    X509 *certificate = pki_certificate_read(pki_crypto(self), pem, strlen(pem));

    assert_non_null(certificate);
    return certificate;
}

static const char *const every_certificate[] = {
    "ca.crt",
    "etcd/ca.crt",
    "etcd/peer-ca.crt",
    "front-proxy-ca.crt",
    "operator/etcd-client.crt",
    "replicas/demo-1/pki/apiserver.crt",
    "replicas/demo-1/pki/apiserver-kubelet-client.crt",
    "replicas/demo-1/pki/apiserver-etcd-client.crt",
    "replicas/demo-1/pki/front-proxy-client.crt",
    "replicas/demo-1/pki/etcd/server.crt",
    "replicas/demo-1/pki/etcd/peer.crt",
    "replicas/demo-1/pki/etcd/healthcheck-client.crt",
};

#define EVERY       (sizeof every_certificate / sizeof every_certificate[0])
#define AUTHORITIES 4 /* of them */
#define FOR_EACH(c) for (size_t c = 0; c < EVERY; c++)
#define IS_CRITICAL(certificate, nid) \
    (X509_EXTENSION_get_critical(X509_get_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1))) == 1)

static void test_rule_01_serials_are_random_and_positive(void **state)
{
    const ASN1_INTEGER *serials[EVERY];
    X509 *kept[EVERY];

    (void)state;
    make_all();
    FOR_EACH(i)
    {
        BIGNUM *number;
        kept[i] = certificate_of(every_certificate[i]);
        serials[i] = X509_get0_serialNumber(kept[i]);
        number = ASN1_INTEGER_to_BN(serials[i], NULL);
        assert_false(BN_is_negative(number));
        assert_in_range(BN_num_bits(number), 64, 159);
        BN_free(number);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(ASN1_INTEGER_cmp(serials[i], serials[j]), 0);
    }
    FOR_EACH(i) X509_free(kept[i]);
}

static void test_rule_02_validity_is_backdated_and_bounded(void **state)
{
    int64_t before_s = (int64_t)time(NULL), authority_end_s;
    const struct fake_setting settings[] = {{"authority_days", "200"}, {"backdate_minutes", "60"}, {NULL, NULL}};

    (void)state;
    open_with(settings);
    make_all();
    authority_end_s = listed("kubernetes-ca", NULL)->not_after_s;
    for (size_t i = 0; i < call->certificate_count; i++) {
        const struct hactl_certificate *one = &call->certificates[i];
        if (one->not_after_s == 0)
            continue;
        assert_in_range(one->not_before_s, before_s - 3600, before_s - 3600 + 60);
        assert_true(one->not_after_s <= authority_end_s);
    }
}

/* Times from 2050 on are GeneralizedTime, before they are UTCTime. */
static void test_rule_02_times_have_the_form_of_their_century(void **state)
{
    static const struct {
        int64_t end_s;
        int type;
        const char *text;
    } ends[] = {
        {2524607999, V_ASN1_UTCTIME, "491231235959Z"},
        {2524608000, V_ASN1_GENERALIZEDTIME, "20500101000000Z"},
        {4102444800, V_ASN1_GENERALIZEDTIME, "21000101000000Z"},
    };
    struct pki *pki = self;
    struct pki_maker maker;

    (void)state;
    pki_maker_open(&maker, pki_crypto(pki));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct pki_issuance issuance = {.common_name = "x", .authority = true, .not_after_s = ends[i].end_s};
        EVP_PKEY *key = pki_key_generate(&maker, "ecdsa-p256");
        size_t size;
        unsigned char *der = pki_certificate_make(&maker, key, &issuance, NULL, key, &size);
        X509 *certificate = pki_certificate_parse(pki_crypto(pki), der, size);
        const ASN1_TIME *end = X509_get0_notAfter(certificate);
        assert_int_equal(ASN1_STRING_type(end), ends[i].type);
        assert_int_equal(ASN1_STRING_length(end), strlen(ends[i].text));
        assert_memory_equal(ASN1_STRING_get0_data(end), ends[i].text, strlen(ends[i].text));
        assert_true(pki_time_s(end) == ends[i].end_s);
        X509_free(certificate);
        free(der);
        EVP_PKEY_free(key);
    }
    pki_maker_close(&maker);
}

static void test_rule_03_authorities_sign_leaves_only(void **state)
{
    (void)state;
    make_all();
    FOR_EACH(i)
    {
        X509 *certificate = certificate_of(every_certificate[i]);
        assert_true(IS_CRITICAL(certificate, NID_basic_constraints));
        assert_true(IS_CRITICAL(certificate, NID_key_usage));
        assert_int_equal(X509_check_ca(certificate), i < AUTHORITIES ? 1 : 0);
        assert_int_equal(X509_get_pathlen(certificate), i < AUTHORITIES ? 0 : -1);
        assert_int_equal(X509_get_extended_key_usage(certificate) == UINT32_MAX, i < AUTHORITIES);
        if (i < AUTHORITIES)
            assert_int_equal(X509_get_key_usage(certificate), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
        else
            assert_int_equal(X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN, 0);
        X509_free(certificate);
    }
}

static void test_rule_04_key_identifiers_link_and_stay(void **state)
{
    X509 *authority, *leaf, *again;

    (void)state;
    make_all();
    authority = certificate_of("ca.crt");
    leaf = certificate_of("replicas/demo-1/pki/apiserver.crt");
    assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(authority), X509_get0_authority_key_id(leaf)), 0);
    cluster.external_address = "127.81.0.77"; /* another certificate for the same key */
    assert_int_equal(issue("demo-1"), HACTL_OK);
    again = certificate_of("replicas/demo-1/pki/apiserver.crt");
    assert_int_not_equal(X509_cmp(leaf, again), 0);
    assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(leaf), X509_get0_subject_key_id(again)), 0);
    X509_free(authority);
    X509_free(leaf);
    X509_free(again);
}

static void test_rule_05_key_usage_by_kind_of_key(void **state)
{
    static const char *const types[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};
    struct pki *pki = self;
    struct pki_maker maker;

    (void)state;
    pki_maker_open(&maker, pki_crypto(pki));
    for (size_t i = 0; i < 3; i++) {
        struct pki_issuance issuance = {.common_name = "x", .usage = PKI_SERVER, .not_after_s = 4000000000};
        EVP_PKEY *key = pki_key_generate(&maker, types[i]);
        size_t size;
        unsigned char *der = pki_certificate_make(&maker, key, &issuance, NULL, key, &size);
        X509 *certificate = pki_certificate_parse(pki_crypto(pki), der, size);
        assert_true(IS_CRITICAL(certificate, NID_key_usage));
        assert_int_equal(X509_get_key_usage(certificate),
                         i < 2 ? KU_DIGITAL_SIGNATURE : KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
        assert_int_equal(X509_verify(certificate, key), 1);
        X509_free(certificate);
        free(der);
        EVP_PKEY_free(key);
    }
    pki_maker_close(&maker);
}

static void test_rule_06_extended_key_usage_by_role(void **state)
{
    static const struct {
        const char *file;
        uint32_t usage;
    } roles[] = {
        {"operator/etcd-client.crt", XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/apiserver.crt", XKU_SSL_SERVER},
        {"replicas/demo-1/pki/etcd/server.crt", XKU_SSL_SERVER | XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/etcd/peer.crt", XKU_SSL_SERVER | XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/etcd/healthcheck-client.crt", XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/front-proxy-client.crt", XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/apiserver-etcd-client.crt", XKU_SSL_CLIENT},
        {"replicas/demo-1/pki/apiserver-kubelet-client.crt", XKU_SSL_CLIENT},
    };

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        X509 *certificate = certificate_of(roles[i].file);
        assert_int_equal(X509_get_extended_key_usage(certificate), roles[i].usage);
        X509_free(certificate);
    }
}

static void test_rule_07_names_are_canonical_and_groups_modest(void **state)
{
    const char *const subjects[][3] = {{"admin", "kubeadm:cluster-admins", "kubernetes-admin"},
                                       {"super-admin", "system:masters", "kubernetes-super-admin"},
                                       {"kubelet", "system:nodes", "system:node:demo-1"}};
    const char *names;

    (void)state;
    extra_names[0] = "API.Example.com";
    extra_names[1] = "api.example.COM";
    extra_names[2] = "127.81.1.1";
    make_all();
    names = listed("kube-apiserver", "demo-1")->names;
    assert_string_equal(names, "demo-1,localhost," EXTERNAL ",127.81.1.1,127.0.0.1,::1,kubernetes,kubernetes.default,"
                               "kubernetes.default.svc,kubernetes.default.svc.cluster.local,10.96.0.1,api.example.com");
    for (size_t i = 0; i < 3; i++) {
        char subject[200];
        snprintf(subject, sizeof subject, "CN=%s,O=%s", subjects[i][2], subjects[i][1]);
        assert_string_equal(listed(subjects[i][0], "demo-1")->subject, subject);
    }
}

static int64_t life_of(const struct hactl_certificate *one)
{
    return one->not_after_s - one->not_before_s - 300; /* less what it is backdated by */
}

/* Who has system:masters can be stopped by the end of the certificate only. */
static void test_rule_07_super_admin_lives_a_month(void **state)
{
    static const struct {
        const char *leaf_days, *days;
        int64_t lives;
    } lives[] = {{"365", "0", 30}, {"365", "90", 90}, {"20", "0", 20}, {"90", "90", 90}, {"2", "0", 2}};

    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        const struct fake_setting settings[] = {
            {"leaf_days", lives[i].leaf_days}, {"profiles.super-admin.days", lives[i].days}, {NULL, NULL}};
        const struct hactl_certificate *one;
        int64_t third_s = lives[i].lives * PKI_DAY_S / 3;
        open_with(settings);
        make_all(); /* what lives longer or less than that is issued anew */
        assert_all_ready();
        one = listed("super-admin", "demo-2");
        assert_int_equal(life_of(one), lives[i].lives * PKI_DAY_S);
        assert_in_range(one->not_after_s - one->due_s, third_s, third_s + third_s / 10);
        assert_int_equal(life_of(listed("admin", "demo-2")), strtoll(lives[i].leaf_days, NULL, 10) * PKI_DAY_S);
    }
}

static void test_rule_07_who_cannot_be_stopped_lives_no_longer_than_others(void **state)
{
    static const struct fake_setting bad[][5] = {
        {{"leaf_days", "60"}, {"profiles.super-admin.days", "61"}, {NULL, NULL}},
        {{"leaf_days", "60"},
         {"profiles.admin.days", "61"},
         {"profiles.admin.organization", "system:masters"},
         {NULL, NULL}},
    };
    static const struct fake_setting good[] = {{"leaf_days", "60"}, {"profiles.admin.days", "61"}, {NULL, NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hactl_conf *other = fake_conf_new(hactl_plugin.keys, bad[i], "pki", "demo", directory);
        void *instance = NULL;
        assert_int_equal(hactl_plugin.open(&fake_host, other, fresh_call(), &instance), HACTL_E_INVALID);
        assert_said("admin.days is 61, and leaf_days 60: who has the group system:masters");
        fake_conf_free(other);
    }
    open_with(good);
}

/* A kubeconfig of before that rule: it is found, and issued anew with its key. */
static void test_rule_07_a_longer_one_is_drift(void **state)
{
    const struct fake_setting year[] = {{"profiles.super-admin.days", "365"}, {NULL, NULL}};

    (void)state;
    open_with(year);
    make_all();
    open_with(NULL);
    assert_not_ready("super-admin", "demo-3", "its lifetime is 365.0 days, not 30.0");
    make_all();
    assert_all_ready();
}

static void test_rule_08_every_name_says_why_it_is_there(void **state)
{
    const struct hactl_certificate *one;

    (void)state;
    extra_names[0] = "api.example.com";
    one = listed("kube-apiserver", "demo-2");
    assert_non_null(one->wanted);
    assert_non_null(strstr(one->wanted, "127.81.1.2 (internal address of demo-2)"));
    assert_non_null(strstr(one->wanted, EXTERNAL " (the cluster's external address)"));
    assert_non_null(strstr(one->wanted, "10.96.0.1 (first address of the service range)"));
    assert_non_null(strstr(one->wanted, "api.example.com (cluster.names)"));
    extra_names[0] = "198.51.100.77";
    assert_int_equal(issue("demo-2"), HACTL_E_INVALID);
    assert_said("198.51.100.77 is a public address");
}

/* Whoever issues it: a constrained authority vouches for no other public address. */
static void test_rule_08_constrained_authorities(void **state)
{
    const struct fake_setting settings[] = {{"constrain", "true"}, {NULL, NULL}};
    X509 *authority;

    (void)state;
    cluster.external_address = "203.0.113.10";
    open_with(settings);
    make_all();
    assert_all_ready();
    authority = certificate_of("ca.crt");
    assert_true(IS_CRITICAL(authority, NID_name_constraints));
    X509_free(authority);
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", "203.0.113.10"), 0);
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", "127.81.1.1"), 0);
    cluster.external_address = "198.51.100.77";
    print_tree(0);
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_said("name constraints");
    assert_string_equal(print_tree(1), prints[0]);
}

static void test_rule_09_signature_by_kind_of_authority(void **state)
{
    static const struct {
        const char *type;
        int nid;
    } kinds[] = {{"ecdsa-p256", NID_ecdsa_with_SHA256},
                 {"ecdsa-p384", NID_ecdsa_with_SHA384},
                 {"rsa-2048", NID_sha256WithRSAEncryption}};

    (void)state;
    inventory.replica_count = 0;
    for (size_t i = 0; i < 3; i++) {
        const struct fake_setting settings[] = {{"key_type", kinds[i].type}, {NULL, NULL}};
        const X509_ALGOR *algorithm;
        X509 *certificate;
        int parameters;
        open_with(settings);
        make_all();
        certificate = certificate_of("operator/etcd-client.crt");
        assert_int_equal(X509_get_signature_nid(certificate), kinds[i].nid);
        X509_get0_signature(NULL, &algorithm, certificate);
        X509_ALGOR_get0(NULL, &parameters, NULL, algorithm);
        assert_int_equal(parameters, i < 2 ? V_ASN1_UNDEF : V_ASN1_NULL);
        X509_free(certificate);
        assert_int_equal(ha_tree_remove(directory), 0);
    }
}

static void test_rule_10_version_and_names_as_encoded(void **state)
{
    X509 *authority, *leaf;
    const unsigned char *one, *other;
    size_t one_size, other_size;

    (void)state;
    make_all();
    authority = certificate_of("ca.crt");
    leaf = certificate_of("replicas/demo-1/pki/apiserver.crt");
    assert_int_equal(X509_get_version(leaf), X509_VERSION_3);
    X509_NAME_get0_der(X509_get_subject_name(authority), &one, &one_size);
    X509_NAME_get0_der(X509_get_issuer_name(leaf), &other, &other_size);
    assert_int_equal(one_size, other_size);
    assert_memory_equal(one, other, one_size);
    assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(leaf), 0))),
                     V_ASN1_UTF8STRING);
    X509_free(authority);
    X509_free(leaf);
}

/* A name that another encoder would encode otherwise: in PrintableString, where hactl writes UTF8String. */
static void test_rule_10_a_foreign_authority_s_name_stays_as_encoded(void **state)
{
    char file[128];
    const char *const make[] = {"openssl",
                                "req",
                                "-x509",
                                "-config",
                                file,
                                "-newkey",
                                "ec",
                                "-pkeyopt",
                                "ec_paramgen_curve:P-256",
                                "-nodes",
                                "-days",
                                "3650",
                                "-keyout",
                                path_of("ca.key"),
                                "-out",
                                path_of("ca.crt"),
                                NULL};
    X509 *authority, *leaf;
    const unsigned char *one, *other;
    size_t one_size, other_size;

    (void)state;
    snprintf(file, sizeof file, "%s/req.cnf", top);
    spill(file,
          "[req]\ndistinguished_name = dn\nx509_extensions = ca\nstring_mask = pkix\nprompt = no\n"
          "[dn]\nO = Example\nCN = issuing\n"
          "[ca]\nbasicConstraints = critical,CA:TRUE,pathlen:0\nkeyUsage = critical,keyCertSign,cRLSign\n"
          "subjectKeyIdentifier = hash\n",
          0600);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(run_program(make), 0);
    assert_int_equal(chmod(path_of("ca.key"), 0600), 0);
    make_all();
    assert_all_ready();
    authority = certificate_of("ca.crt");
    leaf = certificate_of("replicas/demo-1/pki/apiserver.crt");
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(authority), i))),
            V_ASN1_PRINTABLESTRING);
    X509_NAME_get0_der(X509_get_subject_name(authority), &one, &one_size);
    X509_NAME_get0_der(X509_get_issuer_name(leaf), &other, &other_size);
    assert_int_equal(one_size, other_size);
    assert_memory_equal(one, other, one_size);
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", EXTERNAL), 0);
    X509_free(authority);
    X509_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rule_01_serials_are_random_and_positive),
        TEST(test_rule_02_validity_is_backdated_and_bounded),
        TEST(test_rule_02_times_have_the_form_of_their_century),
        TEST(test_rule_03_authorities_sign_leaves_only),
        TEST(test_rule_04_key_identifiers_link_and_stay),
        TEST(test_rule_05_key_usage_by_kind_of_key),
        TEST(test_rule_06_extended_key_usage_by_role),
        TEST(test_rule_07_names_are_canonical_and_groups_modest),
        TEST(test_rule_07_super_admin_lives_a_month),
        TEST(test_rule_07_who_cannot_be_stopped_lives_no_longer_than_others),
        TEST(test_rule_07_a_longer_one_is_drift),
        TEST(test_rule_08_every_name_says_why_it_is_there),
        TEST(test_rule_08_constrained_authorities),
        TEST(test_rule_09_signature_by_kind_of_authority),
        TEST(test_rule_10_version_and_names_as_encoded),
        TEST(test_rule_10_a_foreign_authority_s_name_stays_as_encoded),
    };

    return cmocka_run_group_tests_name("pki_rules", tests, NULL, NULL);
}
