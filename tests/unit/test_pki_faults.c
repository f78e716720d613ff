/* SPDX-License-Identifier: Apache-2.0 */
/* The pki plugin when pairs or authorities are damaged, false, or half there. */
#define _GNU_SOURCE
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509v3.h>

/* ---- tests: what goes wrong with pairs ---- */

static void write_certificate(const char *relative, X509 *certificate)
{
    char *pem = NULL;
    size_t size;

    assert_int_equal(pki_certificate_write(certificate, &pem, &size), 0);
    spill(path_of(relative), pem, 0644);
    free(pem);
}

static X509 *read_certificate(const char *relative)
{
    char *pem = slurp(path_of(relative));
    X509 *certificate = pki_certificate_read(pki_crypto(self), pem, strlen(pem));

    assert_non_null(certificate);
    return certificate;
}

static EVP_PKEY *read_key(const char *relative)
{
    char *pem = slurp(path_of(relative));
    EVP_PKEY *key = pki_key_read(pki_crypto(self), pem, strlen(pem), NULL);

    assert_non_null(key);
    return key;
}

enum spoil { EXPIRED, DUE, LONG, FUTURE, OTHER_SUBJECT, STRANGE_NAME, NOT_A_SERVER, BAD_SIGNATURE };

static void drop_extension(X509 *certificate, int nid)
{
    X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1)));
}

static void spoil_certificate(X509 *certificate, enum spoil how)
{
    time_t now = time(NULL);
    ASN1_TIME *start = X509_getm_notBefore(certificate), *end = X509_getm_notAfter(certificate);
    GENERAL_NAMES *names;
    X509_EXTENSION *added;

    switch (how) {
    case EXPIRED:
        ASN1_TIME_set(start, now - 366 * PKI_DAY_S);
        ASN1_TIME_set(end, now - PKI_DAY_S);
        break;
    case DUE:
        ASN1_TIME_set(start, now - 300 * PKI_DAY_S);
        ASN1_TIME_set(end, now + 65 * PKI_DAY_S);
        break;
    case LONG:
        ASN1_TIME_set(end, now + 700 * PKI_DAY_S);
        break;
    case FUTURE:
        ASN1_TIME_set(start, now + PKI_DAY_S);
        ASN1_TIME_set(end, now + 366 * PKI_DAY_S);
        break;
    case OTHER_SUBJECT:
        pki_subject_set(X509_get_subject_name(certificate), "somebody", "system:masters");
        break;
    case STRANGE_NAME:
        names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
        added = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "URI:spiffe://x/y");
        drop_extension(certificate, NID_subject_alt_name);
        X509_add_ext(certificate, added, -1);
        X509_EXTENSION_free(added);
        GENERAL_NAMES_free(names);
        break;
    case NOT_A_SERVER:
        drop_extension(certificate, NID_ext_key_usage);
        break;
    case BAD_SIGNATURE:
        break;
    }
}

static void test_spoiled_leaf(void **state)
{
    static const struct {
        enum spoil how;
        const char *reason;
        bool still_verifies;
    } cases[] = {
        {EXPIRED, "expired on ", false},
        {DUE, "in less than 128 days", true},
        {DUE, "expires on ", true},
        {LONG, "its lifetime is 700.0 days, not 365.0", true},
        {FUTURE, "not valid before ", false},
        {OTHER_SUBJECT, "its subject is not CN=demo-1", true},
        {STRANGE_NAME, "alternative names of another kind", true},
        {STRANGE_NAME, "address 127.81.1.1 is not in it", true},
        {NOT_A_SERVER, "its extended key usage is not the one of etcd-server", true},
        {BAD_SIGNATURE, "it was not signed by etcd-ca", false},
    };
    const struct fake_setting settings[] = {{"renew_days", "121"}, {NULL, NULL}};
    EVP_PKEY *authority, *other;

    (void)state;
    open_with(settings);
    make_all();
    authority = read_key("etcd/ca.key");
    other = read_key("etcd/peer-ca.key");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        X509 *certificate = read_certificate("replicas/demo-1/pki/etcd/server.crt");
        spoil_certificate(certificate, cases[i].how);
        assert_true(X509_sign(certificate, cases[i].how == BAD_SIGNATURE ? other : authority, EVP_sha256()) > 0);
        write_certificate("replicas/demo-1/pki/etcd/server.crt", certificate);
        X509_free(certificate);
        assert_not_ready("etcd-server", "demo-1", cases[i].reason);
        assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", NULL) == 0,
                         cases[i].still_verifies);
        assert_int_equal(issue("demo-1"), HACTL_OK);
        assert_all_ready();
    }
    EVP_PKEY_free(authority);
    EVP_PKEY_free(other);
    judge_all();
}

static void test_spoiled_files(void **state)
{
    static const struct {
        const char *file, *content, *reason;
        mode_t mode;
    } cases[] = {
        {"replicas/demo-1/pki/etcd/server.crt", "rubbish\n", "damaged: replicas/demo-1/pki/etcd/server.crt", 0644},
        {"replicas/demo-1/pki/etcd/server.crt", "", "damaged", 0644},
        {"replicas/demo-1/pki/etcd/server.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
         "damaged: replicas/demo-1/pki/etcd/server.key", 0600},
        {"replicas/demo-1/pki/etcd/server.key", NULL, "its key can be read by others (mode 0640)", 0640},
        {"replicas/demo-1/pki/etcd/server.key", "other", "its key is not the one that it was issued for", 0600},
    };

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = path_of(cases[i].file);
        char *own = slurp(path), *other = slurp(path_of("replicas/demo-1/pki/etcd/peer.key"));
        const char *content = cases[i].content == NULL ? own : cases[i].content;
        spill(path, strcmp(content, "other") == 0 ? other : content, cases[i].mode);
        assert_not_ready("etcd-server", "demo-1", cases[i].reason);
        assert_int_equal(issue("demo-1"), HACTL_OK);
        assert_all_ready();
        assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", "127.81.1.1"), 0);
        if (cases[i].mode == 0640) {
            char *now = slurp(path_of("replicas/demo-1/pki/etcd/server.key"));
            assert_string_not_equal(now, own);
        }
    }
    assert_int_equal(unlink(path_of("replicas/demo-1/pki/etcd/server.crt")), 0);
    assert_not_ready("etcd-server", "demo-1", "missing, though its key is there");
    assert_int_equal(unlink(path_of("replicas/demo-1/pki/etcd/peer.key")), 0);
    assert_not_ready("etcd-peer", "demo-1", "its key is missing");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
}

/* kubeadm writes SEC1 keys; libcrypto's general way reads them. */
static void test_foreign_key_format(void **state)
{
    const char *const argv[] = {"openssl", "ec", "-in", path_of("ca.key"), "-out", path_of("ca.sec1"), NULL};

    (void)state;
    make_all();
    assert_int_equal(run_program(argv), 0);
    assert_int_equal(chmod(path_of("ca.sec1"), 0600), 0);
    assert_int_equal(rename(path_of("ca.sec1"), path_of("ca.key")), 0);
    assert_all_ready();
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    make_all();
    assert_all_ready();
    judge_all();
}

/* In SEC1, as kubeadm writes it: the public half of one key, and the private value of another. */
static char *swapped_sec1(const char *relative)
{
    EVP_PKEY *key = read_key(relative), *other = read_key("etcd/peer-ca.key");
    unsigned char *der = NULL, *donor = NULL;
    int size = i2d_PrivateKey(key, &der);
    size_t pem_size;
    char *pem;

    assert_true(size > 40 && i2d_PrivateKey(other, &donor) == size);
    assert_int_equal(der[6], 32);
    memcpy(der + 7, donor + 7, 32);
    pem = pki_pem("EC PRIVATE KEY", der, (size_t)size, &pem_size);
    OPENSSL_free(der);
    OPENSSL_free(donor);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return pem;
}

static void test_halves_that_do_not_belong_together(void **state)
{
    static const struct {
        const char *file, *purpose, *replica;
    } cases[] = {{"ca.key", "kubernetes-ca", NULL},
                 {"replicas/demo-1/pki/etcd/server.key", "etcd-server", "demo-1"},
                 {"sa.key", "service-account", NULL}};

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *before = slurp(path_of(cases[i].file)), *swapped = swapped_sec1(cases[i].file);
        spill(path_of(cases[i].file), swapped, 0600);
        assert_not_ready(cases[i].purpose, cases[i].replica, "its two halves do not belong together");
        if (i == 0) {
            assert_int_equal(authorities(), HACTL_E_CONFLICT);
            assert_said("its two halves do not belong together");
        }
        spill(path_of(cases[i].file), before, 0600);
        assert_all_ready();
        free(swapped);
    }
}

/* The modulus and the exponent of one, and all else of another. */
static EVP_PKEY *swapped_rsa(struct pki_maker *maker)
{
    EVP_PKEY *key = pki_key_generate(maker, "rsa-2048"), *other = pki_key_generate(maker, "rsa-2048"), *both = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(maker->crypto->library, "RSA", NULL);
    OSSL_PARAM *mine = NULL, *its = NULL;

    assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &mine), 1);
    assert_int_equal(EVP_PKEY_todata(other, EVP_PKEY_KEYPAIR, &its), 1);
    *OSSL_PARAM_locate(its, "n") = *OSSL_PARAM_locate(mine, "n");
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &both, EVP_PKEY_KEYPAIR, its), 1);
    OSSL_PARAM_free(mine);
    OSSL_PARAM_free(its);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return both;
}

static void test_halves_of_rsa_that_do_not_belong_together(void **state)
{
    struct pki_maker maker;
    EVP_PKEY *key, *again;
    char *pem = NULL;
    size_t size = 0;

    (void)state;
    pki_maker_open(&maker, pki_crypto(self));
    for (int swapped = 0; swapped < 2; swapped++) {
        key = swapped ? swapped_rsa(&maker) : pki_key_generate(&maker, "rsa-2048");
        assert_int_equal(pki_key_write(pki_crypto(self), key, NULL, &pem, &size), 0);
        again = pki_key_read(pki_crypto(self), pem, size, NULL);
        assert_true(swapped ? again == NULL : again != NULL);
        EVP_PKEY_free(again);
        EVP_PKEY_free(key);
        pki_secret_free(pem, size);
    }
    pki_maker_close(&maker);
}

static void test_short_authority(void **state)
{
    const struct fake_setting settings[] = {{"authority_days", "200"}, {NULL, NULL}};
    int64_t end_s;

    (void)state;
    open_with(settings);
    make_all();
    assert_all_ready();
    end_s = listed("etcd-ca", NULL)->not_after_s;
    assert_true(end_s > time(NULL) + 199 * PKI_DAY_S);
    assert_int_equal(listed("etcd-server", "demo-1")->not_after_s, end_s);
    print_tree(0);
    make_all();
    assert_string_equal(print_tree(1), prints[0]);
}

/* Under an authority that is about to end nothing is begun any more; what
 * ends with it is said, and left. */
static void test_authority_ends(void **state)
{
    const struct fake_setting settings[] = {{"authority_days", "10"}, {"leaf_days", "9"}, {NULL, NULL}},
                              longer[] = {{"leaf_days", "365"}, {NULL, NULL}};

    (void)state;
    open_with(settings);
    make_all();
    assert_all_ready();
    open_with(longer);
    assert_int_equal(issue("demo-1"), HACTL_E_LOST);
    assert_said("ends in 10.0 days");
    assert_said("less than 121.7 are left");
    open_with(settings);
    assert_all_ready();
}

/* ---- tests: authorities are never replaced ---- */

static void test_half_authority(void **state)
{
    static const struct {
        const char *file, *said;
        int result;
    } cases[] = {
        {"etcd/ca.key", "without its key", HACTL_E_LOST},
        {"etcd/ca.crt", "without its certificate", HACTL_E_LOST},
    };

    (void)state;
    make_all();
    for (size_t i = 0; i < 2; i++) {
        const char *path = path_of(cases[i].file);
        char *content = slurp(path);
        assert_int_equal(unlink(path), 0);
        print_tree(0);
        assert_int_equal(listed("etcd-ca", NULL)->ready, HACTL_NO);
        assert_int_equal(authorities(), cases[i].result);
        assert_said(cases[i].said);
        assert_int_equal(issue("demo-1"), i == 0 ? HACTL_OK : HACTL_E_LOST);
        assert_string_equal(print_tree(1), prints[0]);
        spill(path, content, strstr(path, ".key") != NULL ? 0600 : 0644);
        assert_all_ready();
    }
}

static void test_wrong_authority(void **state)
{
    char *key, *other;

    (void)state;
    make_all();
    key = slurp(path_of("etcd/ca.key"));
    other = slurp(path_of("ca.key"));
    spill(path_of("etcd/ca.key"), other, 0600);
    print_tree(0);
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("its key is not the one that it was issued for");
    spill(path_of("etcd/ca.key"), "rubbish", 0600);
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    spill(path_of("etcd/ca.key"), key, 0644);
    assert_not_ready("etcd-ca", NULL, "its key can be read by others");
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(mode_of("etcd/ca.key"), 0600);
    assert_all_ready();
    /* Gone altogether while certificates of it are about: a decision for people. */
    assert_int_equal(unlink(path_of("etcd/ca.key")), 0);
    assert_int_equal(unlink(path_of("etcd/ca.crt")), 0);
    assert_int_equal(authorities(), HACTL_E_LOST);
    assert_said("is gone");
    assert_false(there("etcd/ca.crt"));
}

/* A leaf in the place of an authority, and an authority that has expired. */
static void test_false_authority(void **state)
{
    X509 *certificate;
    EVP_PKEY *key;

    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    certificate = read_certificate("etcd/ca.crt");
    key = read_key("etcd/ca.key");
    ASN1_TIME_set(X509_getm_notBefore(certificate), time(NULL) - 100 * PKI_DAY_S);
    ASN1_TIME_set(X509_getm_notAfter(certificate), time(NULL) - PKI_DAY_S);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_certificate("etcd/ca.crt", certificate);
    assert_not_ready("etcd-ca", NULL, "expired on");
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("expired on");
    assert_int_equal(issue(NULL), HACTL_E_CONFLICT);
    ASN1_TIME_set(X509_getm_notAfter(certificate), time(NULL) + PKI_DAY_S);
    drop_extension(certificate, NID_basic_constraints);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_certificate("etcd/ca.crt", certificate);
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("not an authority");
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* What is wrong with it is said, and nothing that follows from it. */
static void test_authority_that_may_not_sign(void **state)
{
    X509 *certificate;
    EVP_PKEY *key;
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "critical,digitalSignature,cRLSign");

    (void)state;
    make_all();
    certificate = read_certificate("etcd/ca.crt");
    key = read_key("etcd/ca.key");
    drop_extension(certificate, NID_key_usage);
    assert_int_equal(X509_add_ext(certificate, usage, -1), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_certificate("etcd/ca.crt", certificate);
    assert_string_equal(listed("etcd-ca", NULL)->reason,
                        "it may not sign certificates: its keyUsage lacks keyCertSign");
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("its keyUsage lacks keyCertSign");
    X509_EXTENSION_free(usage);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* ---- tests: crashes, by the states that they leave ---- */

static void move(const char *from, const char *to)
{
    assert_int_equal(rename(path_of(from), path_of(to)), 0);
}

static void test_authority_after_crash(void **state)
{
    char *certificate;

    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    certificate = slurp(path_of("etcd/ca.crt"));
    move("etcd/ca.crt", "etcd/ca.crt.new");
    assert_int_equal(authorities(), HACTL_OK);
    assert_string_equal(slurp(path_of("etcd/ca.crt")), certificate);
    move("etcd/ca.crt", "etcd/ca.crt.new");
    move("etcd/ca.key", "etcd/ca.key.new");
    assert_int_equal(authorities(), HACTL_OK);
    assert_false(there("etcd/ca.crt.new"));
    assert_false(there("etcd/ca.key.new"));
    make_all();
    assert_all_ready();
    judge_all();
}

static void test_leaf_after_crash(void **state)
{
    (void)state;
    make_all();
    /* Staged, nothing placed; old certificate removed; new key placed. */
    spill(path_of("replicas/demo-1/pki/etcd/peer.key.new"), "half a k", 0600);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_false(there("replicas/demo-1/pki/etcd/peer.key.new"));
    move("replicas/demo-1/pki/etcd/peer.crt", "replicas/demo-1/pki/etcd/peer.crt.new");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
    move("replicas/demo-1/pki/etcd/peer.crt", "replicas/demo-1/pki/etcd/peer.crt.new");
    move("replicas/demo-1/pki/etcd/server.key", "replicas/demo-1/pki/etcd/peer.key");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
    judge_all();
    assert_false(there("replicas/demo-1/pki/etcd/peer.crt.new"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_spoiled_leaf),
        TEST(test_spoiled_files),
        TEST(test_foreign_key_format),
        TEST(test_halves_that_do_not_belong_together),
        TEST(test_halves_of_rsa_that_do_not_belong_together),
        TEST(test_short_authority),
        TEST(test_authority_ends),
        TEST(test_half_authority),
        TEST(test_wrong_authority),
        TEST(test_false_authority),
        TEST(test_authority_that_may_not_sign),
        TEST(test_authority_after_crash),
        TEST(test_leaf_after_crash),
    };

    return cmocka_run_group_tests_name("pki_faults", tests, NULL, NULL);
}
