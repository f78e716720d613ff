/* SPDX-License-Identifier: Apache-2.0 */
/* What replicas share, sealed to a replica's key and opened by openssl(1), as
 * the startup script does it; and which keys a replica makes at all. */
#include "tests/unit/pki_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <openssl/cms.h> /* declares PEM_write_CMS only after pem.h */

#define PEER "replicas/demo-2/pki/etcd/peer"

static int seal(const char *purpose, const char *part, const char *replica, const char *recipient)
{
    return hactl_plugin.issuer->seal(self, fresh_call(), purpose, part, replica, recipient);
}

static void seal_account(void)
{
    assert_int_equal(seal("service-account", "key", "demo-2", "etcd-peer"), HACTL_OK);
    assert_int_equal(call->credential_count, 1);
    assert_null(call->credentials[0].path);
    assert_int_equal(call->credentials[0].content_size, strlen(call->credentials[0].content));
    spill(path_of("sealed"), call->credentials[0].content, 0600);
}

/* openssl's exit status; what it opened is in "opened". */
static int open_with_key(const char *key)
{
    char sealed[256], opened[256], path[256];
    const char *const argv[] = {"openssl", "cms",    "-decrypt", "-binary", "-inform", "PEM", "-in",
                                sealed,    "-inkey", path,       "-out",    opened,    NULL};

    snprintf(sealed, sizeof sealed, "%s", path_of("sealed"));
    snprintf(opened, sizeof opened, "%s", path_of("opened"));
    snprintf(path, sizeof path, "%s", path_of(key));
    unlink(opened);
    return run_program(argv);
}

static void test_opened_by_its_key(void **state)
{
    char *first, *key;

    (void)state;
    make_all();
    key = strdup(slurp(path_of("sa.key")));
    seal_account();
    first = strdup(slurp(path_of("sealed")));
    assert_non_null(strstr(first, "BEGIN CMS"));
    assert_null(strstr(first, "PRIVATE KEY"));
    assert_int_equal(open_with_key(PEER ".key"), 0);
    assert_string_equal(slurp(path_of("opened")), key);
    /* Another key each time. */
    seal_account();
    assert_string_not_equal(slurp(path_of("sealed")), first);
    assert_int_equal(open_with_key(PEER ".key"), 0);
    free(first);
    free(key);
}

static void test_opened_by_no_other(void **state)
{
    (void)state;
    make_all();
    seal_account();
    assert_int_not_equal(open_with_key("replicas/demo-1/pki/etcd/peer.key"), 0);
    assert_int_not_equal(open_with_key("replicas/demo-2/pki/etcd/server.key"), 0);
    assert_int_not_equal(open_with_key("etcd/peer-ca.key"), 0);
}

/* Any changed byte of what is encrypted, and of its tag, shows. */
static void test_tampered(void **state)
{
    static const int back[] = {1, 9, 16, 25, 60, 120}; /* in the tag, and before it in what is encrypted */
    CMS_ContentInfo *message;
    unsigned char *der = NULL;
    int size;
    BIO *bio;

    (void)state;
    make_all();
    seal_account();
    bio = BIO_new_mem_buf(call->credentials[0].content, -1);
    message = PEM_read_bio_CMS(bio, NULL, NULL, NULL);
    BIO_free(bio);
    size = i2d_CMS_ContentInfo(message, &der);
    CMS_ContentInfo_free(message);
    assert_true(size > 200);
    for (size_t i = 0; i < sizeof back / sizeof back[0]; i++) {
        const unsigned char *from = der;
        int at = size - back[i];
        FILE *file = fopen(path_of("sealed"), "w");

        der[at] ^= 1;
        message = d2i_CMS_ContentInfo(NULL, &from, size);
        assert_non_null(message);
        assert_int_equal(PEM_write_CMS(file, message), 1);
        fclose(file);
        CMS_ContentInfo_free(message);
        assert_int_not_equal(open_with_key(PEER ".key"), 0);
        der[at] ^= 1;
    }
    OPENSSL_free(der);
}

static void test_refused(void **state)
{
    static const struct {
        const char *purpose, *part, *replica, *recipient;
        int code;
        const char *said;
    } cases[] = {
        {"kubernetes-ca", "key", "demo-1", "etcd-peer", HACTL_E_DENIED, "given to nobody"},
        {"etcd-client", "key", "demo-1", "etcd-peer", HACTL_E_DENIED, "is the operator's, and goes to no replica"},
        {"admin", "kubeconfig", "demo-1", "etcd-peer", HACTL_E_DENIED, "is the operator's, and goes to no replica"},
        {"super-admin", "kubeconfig", "demo-1", "etcd-peer", HACTL_E_DENIED, "goes to no replica"},
        {"kube-apiserver", "key", "demo-1", "etcd-peer", HACTL_E_DENIED, "of its own, which is not shared"},
        {"no-such", "key", "demo-1", "etcd-peer", HACTL_E_INVALID, "no certificate for \"no-such\""},
        {"service-account", "certificate", "demo-1", "etcd-peer", HACTL_E_INVALID, "no \"certificate\""},
        {"service-account", "key", "demo-1", "etcd-client", HACTL_E_INVALID, "no certificate of a replica"},
        {"service-account", "key", "demo-1", "kubernetes-ca", HACTL_E_INVALID, "no certificate of a replica"},
        {"service-account", "key", "demo-9", "etcd-peer", HACTL_E_NOT_FOUND, "is missing"},
        {"service-account", "key", "../..", "etcd-peer", HACTL_E_INVALID, "none is named"},
    };

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(seal(cases[i].purpose, cases[i].part, cases[i].replica, cases[i].recipient), cases[i].code);
        assert_said(cases[i].said);
        assert_int_equal(call->credential_count, 0);
    }
}

static void test_only_elliptic(void **state)
{
    static const struct fake_setting settings[] = {{"key_type", "rsa-2048"}, {NULL, NULL}};

    (void)state;
    open_with(settings);
    inventory.replica_count = 1;
    make_all();
    assert_int_equal(seal("service-account", "key", "demo-1", "etcd-peer"), HACTL_E_UNSUPPORTED);
    assert_said("ECDSA keys only");
}

/* ---- which keys a replica makes ---- */

static size_t count_of_replicas(void)
{
    size_t count = 0;

    list_all();
    for (size_t i = 0; i < call->certificate_count; i++)
        count += call->certificates[i].replica != NULL;
    return count;
}

static void test_called_for(void **state)
{
    const char *const purposes[] = {"etcd-server", "etcd-peer", "admin", "no-such", NULL}, *const none[] = {NULL};

    (void)state;
    inventory.replica_count = 1;
    inventory.key_purposes = purposes; /* of no consequence where keys are made here: */
    assert_int_equal(count_of_replicas(), 13);
    inventory.replica_keys = 1;
    assert_int_equal(count_of_replicas(), 2);
    assert_non_null(listed("etcd-server", "demo-1"));
    assert_non_null(listed("etcd-peer", "demo-1"));
    inventory.key_purposes = none;
    assert_int_equal(count_of_replicas(), 0);
    inventory.key_purposes = NULL;
    assert_int_equal(count_of_replicas(), 10); /* all but the two of people's */
    for (size_t i = 0; i < call->certificate_count; i++)
        assert_null(strstr(call->certificates[i].purpose, "admin"));
}

/* One that asks for the administrator's certificate gets none. */
static void test_admin_is_not_for_replicas(void **state)
{
    struct hactl_request request = {.struct_size = sizeof request, .instance = "demo-1", .purpose = "admin"};
    const struct hactl_request *const requests[] = {&request};
    struct pki_maker maker;
    X509_REQ *made;
    EVP_PKEY *key;
    char *pem;
    size_t size;

    (void)state;
    inventory.replica_count = 1;
    inventory.replica_keys = 1;
    assert_int_equal(authorities(), HACTL_OK);
    pki_maker_open(&maker, pki_crypto(self));
    key = pki_key_generate(&maker, "ecdsa-p256");
    made = pki_request_make(&maker, key, "kubernetes-admin", "kubeadm:cluster-admins", NULL);
    assert_int_equal(pki_request_write(made, &pem, &size), 0);
    request.content = pem;
    assert_int_equal(hactl_plugin.issuer->issue(self, fresh_call(), &inventory, "demo-1", requests, 1), HACTL_OK);
    assert_false(there("replicas/demo-1/admin.crt"));
    assert_false(there("replicas/demo-1/admin.conf"));
    free(pem);
    X509_REQ_free(made);
    EVP_PKEY_free(key);
    pki_maker_close(&maker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_opened_by_its_key), TEST(test_opened_by_no_other),        TEST(test_tampered),   TEST(test_refused),
        TEST(test_only_elliptic),     TEST(test_admin_is_not_for_replicas), TEST(test_called_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
