/* SPDX-License-Identifier: Apache-2.0 */
/* The pki plugin with keys and authorities of others: requests both ways,
 * authorities elsewhere and above, replicas that make their keys themselves. */
#include "tests/unit/pki_stranger.h"

#include "lib/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void test_sign(void **state)
{
    static const char *const types[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};
    const char *const names[] = {"demo-1", "127.81.1.1", NULL};

    (void)state;
    make_all();
    for (size_t i = 0; i < 3; i++) {
        struct stranger stranger;
        char *request;
        X509 *certificate;
        stranger_open(&stranger, types[i]);
        request = request_text(&stranger, "demo-1", NULL, names, NULL);
        assert_int_equal(sign("demo-1", "etcd-server", request), HACTL_OK);
        assert_int_equal(call->credential_count, 1);
        spill(path_of("signed.crt"), call->credentials[0].content, 0644);
        certificate = pki_certificate_read(stranger.maker.crypto, call->credentials[0].content,
                                           call->credentials[0].content_size);
        assert_int_equal(X509_check_private_key(certificate, stranger.key), 1);
        /* It has all the names that it is to have, whatever was asked for. */
        assert_int_equal(openssl_says("etcd/ca", "signed", "sslserver", EXTERNAL), 0);
        X509_free(certificate);
        free(request);
        stranger_close(&stranger);
    }
    assert_all_ready();
}

/* Rule 2: no more than its authority, whoever asks; and nothing is begun under one that is about to end. */
static void test_signed_ends_with_its_authority(void **state)
{
    static const struct fake_setting short_lived[] = {{"authority_days", "200"}, {NULL, NULL}};
    static const struct fake_setting ending[] = {{"authority_days", "10"}, {"leaf_days", "9"}, {NULL, NULL}};
    struct stranger stranger;
    X509 *certificate;
    char *request;

    (void)state;
    open_with(short_lived);
    assert_int_equal(authorities(), HACTL_OK);
    stranger_open(&stranger, "ecdsa-p256");
    request = request_text(&stranger, "demo-1", NULL, NULL, NULL);
    assert_int_equal(sign("demo-1", "etcd-server", request), HACTL_OK);
    certificate =
        pki_certificate_read(stranger.maker.crypto, call->credentials[0].content, call->credentials[0].content_size);
    assert_true(pki_time_s(X509_get0_notAfter(certificate)) == listed("etcd-ca", NULL)->not_after_s);
    X509_free(certificate);
    stranger_close(&stranger);
    assert_int_equal(ha_tree_remove(directory), 0);
    open_with(ending);
    assert_int_equal(authorities(), HACTL_OK);
    open_with(NULL);
    assert_int_equal(sign("demo-1", "etcd-server", request), HACTL_E_LOST);
    assert_said("less than 121.7 are left");
    assert_int_equal(call->credential_count, 0);
    free(request);
}

static void test_sign_refuses(void **state)
{
    const char *const evil[] = {"evil.example.com", NULL}, *const public[] = {"198.51.100.7", NULL};
    struct stranger stranger, other;
    const struct {
        const char *common_name, *organization;
        const char *const *names;
        bool stolen;
        const char *replica, *purpose, *said;
    } cases[] = {
        {"root", "system:masters", NULL, false, "demo-1", "kubelet", "and nobody else"},
        {"demo-1", NULL, evil, false, "demo-1", "etcd-server", "evil.example.com"},
        {"demo-1", NULL, public, false, "demo-1", "etcd-server", "198.51.100.7"},
        {"demo-1", NULL, NULL, true, "demo-1", "etcd-server", "not by its own key"},
        {"demo-1", NULL, NULL, false, NULL, "etcd-server", "name it"},
        {"demo-1", NULL, NULL, false, "demo-9", "etcd-server", "not in the inventory"},
        {"demo-1", NULL, NULL, false, "demo-1", "no-such", "no certificate \"no-such\""},
        {"hactl-operator", NULL, NULL, false, "demo-1", "etcd-client", "no single replica"},
    };

    (void)state;
    make_all();
    stranger_open(&stranger, "ecdsa-p256");
    stranger_open(&other, "ecdsa-p256");
    print_tree(0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *request = request_text(&stranger, cases[i].common_name, cases[i].organization, cases[i].names,
                                     cases[i].stolen ? other.key : NULL);
        assert_int_equal(sign(cases[i].replica, cases[i].purpose, request), HACTL_E_INVALID);
        assert_said(cases[i].said);
        assert_int_equal(call->credential_count, 0);
        free(request);
    }
    assert_int_equal(sign("demo-1", "etcd-server", "rubbish"), HACTL_E_INVALID);
    assert_string_equal(print_tree(1), prints[0]);
    stranger_close(&stranger);
    stranger_close(&other);
}

/* "demo-1" to whoever reads to the NUL, another name to whoever reads on. */
static char *request_with_nul(struct stranger *stranger)
{
    static const char name[] = "demo-1\0.example.com";
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *one = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    X509_REQ *request = pki_request_make(&stranger->maker, stranger->key, "demo-1", NULL, &(struct pki_names){0});
    char *pem = NULL;
    size_t size;

    assert_true(names && one && text && request);
    assert_int_equal(ASN1_STRING_set(text, name, sizeof name - 1), 1);
    GENERAL_NAME_set0_value(one, GEN_DNS, text);
    assert_true(sk_GENERAL_NAME_push(names, one) > 0);
    assert_int_equal(X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
    assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
    assert_true(X509_REQ_sign(request, stranger->key, EVP_sha256()) > 0);
    assert_int_equal(pki_request_write(request, &pem, &size), 0);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    X509_REQ_free(request);
    return pem;
}

static void test_sign_refuses_names_with_nul(void **state)
{
    struct stranger stranger;
    char *request;

    (void)state;
    make_all();
    stranger_open(&stranger, "ecdsa-p256");
    print_tree(0);
    request = request_with_nul(&stranger);
    assert_int_equal(sign("demo-1", "etcd-server", request), HACTL_E_INVALID);
    assert_int_equal(call->credential_count, 0);
    assert_string_equal(print_tree(1), prints[0]);
    free(request);
    stranger_close(&stranger);
}

static void test_sign_refuses_weak_keys(void **state)
{
    const char *const make[] = {"openssl",  "req",
                                "-new",     "-newkey",
                                "rsa:1024", "-nodes",
                                "-keyout",  path_of("weak.key"),
                                "-out",     path_of("weak.csr"),
                                "-subj",    "/CN=demo-1",
                                NULL};

    (void)state;
    make_all();
    assert_int_equal(run_program(make), 0);
    assert_int_equal(sign("demo-1", "etcd-server", slurp(path_of("weak.csr"))), HACTL_E_INVALID);
    assert_said("is none of");
}

static void test_a_replica_without_address_is_refused_everywhere(void **state)
{
    static const struct fake_setting elsewhere[] = {{"external", "etcd-ca"}, {NULL, NULL}};
    struct stranger stranger;
    char *request;

    (void)state;
    open_with(elsewhere);
    assert_int_equal(ha_directory_make(directory, 0700), 0);
    stranger_open(&stranger, "ecdsa-p256");
    request = request_text(&stranger, "demo-1", NULL, NULL, NULL);
    replicas[0].internal_address = NULL;
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_said("replica demo-1 has no internal address yet");
    assert_int_equal(sign("demo-1", "etcd-server", request), HACTL_E_INVALID);
    assert_said("replica demo-1 has no internal address yet");
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, "demo-1"), HACTL_E_INVALID);
    assert_said("replica demo-1 has no internal address yet");
    free(request);
    stranger_close(&stranger);
}

/* ---- an authority elsewhere ---- */

static const struct fake_setting external[] = {{"external", "etcd-ca"}, {NULL, NULL}};

/* The etcd authority's key leaves. */
static EVP_PKEY *send_away(void)
{
    char *pem = slurp(path_of("etcd/ca.key"));
    EVP_PKEY *key;

    assert_int_equal(unlink(path_of("etcd/ca.key")), 0);
    open_with(external);
    key = pki_key_read(pki_crypto(self), pem, strlen(pem), NULL);
    assert_non_null(key);
    return key;
}

static char *answer(const char *base, EVP_PKEY *authority_key, bool server)
{
    struct pki *pki = self;
    char relative[128];
    struct pki_issuance issuance = {.usage = PKI_CLIENT | (server ? PKI_SERVER : 0),
                                    .not_before_s = (int64_t)time(NULL) - 60,
                                    .not_after_s = (int64_t)time(NULL) + 90 * (int64_t)PKI_DAY_S};
    struct pki_maker maker;
    struct pki_names names;
    X509_REQ *request;
    X509 *authority;
    unsigned char *der;
    char *pem, common_name[65];
    size_t size;
    bool strange;

    snprintf(relative, sizeof relative, "%s.csr", base);
    pem = slurp(path_of(relative));
    request = pki_request_read(pki_crypto(pki), pem, strlen(pem));
    assert_non_null(request);
    assert_int_equal(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)), 1);
    assert_int_equal(pki_request_names(request, &names, &strange), 0);
    X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, common_name, sizeof common_name);
    pem = slurp(path_of("etcd/ca.crt"));
    authority = pki_certificate_read(pki_crypto(pki), pem, strlen(pem));
    issuance.common_name = common_name;
    issuance.names = &names;
    pki_maker_open(&maker, pki_crypto(pki));
    der = pki_certificate_make(&maker, X509_REQ_get0_pubkey(request), &issuance, authority, authority_key, &size);
    assert_non_null(der);
    pem = pki_pem("CERTIFICATE", der, size, &size);
    free(der);
    pki_maker_close(&maker);
    pki_names_free(&names);
    X509_REQ_free(request);
    X509_free(authority);
    return pem;
}

static int import(const char *certificate)
{
    return hactl_plugin.issuer->import(self, fresh_call(), &inventory, certificate);
}

static void test_external_authority(void **state)
{
    static const char *const due[] = {"operator/etcd-client", "replicas/demo-1/pki/etcd/server",
                                      "replicas/demo-1/pki/etcd/healthcheck-client",
                                      "replicas/demo-1/pki/apiserver-etcd-client"};
    EVP_PKEY *key;
    char *first, *wrong;

    (void)state;
    inventory.replica_count = 1;
    assert_int_equal(authorities(), HACTL_OK);
    key = send_away();
    assert_int_equal(listed("etcd-ca", NULL)->ready, HACTL_YES);
    assert_int_equal(authorities(), HACTL_OK);
    /* Others are issued all the same; then it says what is left to do. */
    assert_int_equal(issue("demo-1"), HACTL_E_UNSUPPORTED);
    assert_said("hactl pki request");
    assert_int_equal(listed("kube-apiserver", "demo-1")->ready, HACTL_YES);
    assert_not_ready("etcd-server", "demo-1", "external");
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, NULL), HACTL_OK);
    assert_int_equal(call->credential_count, 4);
    /* Asked again, it is for the same key. */
    first = slurp(path_of("replicas/demo-1/pki/etcd/server.key"));
    assert_int_equal(mode_of("replicas/demo-1/pki/etcd/server.key"), 0600);
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, "demo-1"), HACTL_OK);
    assert_int_equal(call->credential_count, 3);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.key")), first);
    /* An answer that is not what was asked for. */
    wrong = answer("replicas/demo-1/pki/etcd/server", key, false);
    assert_int_equal(import(wrong), HACTL_E_INVALID);
    assert_said("extended key usage");
    free(wrong);
    assert_int_equal(import("rubbish"), HACTL_E_INVALID);
    assert_int_equal(import(slurp(path_of("ca.crt"))), HACTL_E_NOT_FOUND);
    for (size_t i = 0; i < 4; i++) {
        char *certificate = answer(due[i], key, i == 1);
        assert_int_equal(import(certificate), HACTL_OK);
        free(certificate);
    }
    assert_all_ready();
    assert_false(there("replicas/demo-1/pki/etcd/server.csr"));
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", "127.81.1.1"), 0);
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, NULL), HACTL_OK);
    assert_int_equal(call->credential_count, 0);
    EVP_PKEY_free(key);
}

static void test_request_needs_an_external_authority(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, NULL), HACTL_E_INVALID);
    assert_said("external");
}

/* ---- intermediate authorities ---- */

/* Certificates of kubernetes-ca's are signed by CN=issuing, under CN=root. */
static void put_intermediate(void)
{
    const char *const script[] = {
        "sh",
        "-c",
        "set -e; cd \"$1\"; chmod 700 .\n"
        "key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
        "openssl req -x509 $key -keyout root.key -out root.crt -days 3650 -subj /CN=root"
        " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign\n"
        "openssl req -x509 -CA root.crt -CAkey root.key $key -keyout ca.key -out issuing.crt -days 3600 -subj "
        "/CN=issuing"
        " -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign\n"
        "cat issuing.crt root.crt >ca.crt; chmod 600 ca.key root.key",
        "sh",
        directory,
        NULL};

    assert_int_equal(ha_directory_make(directory, 0700), 0);
    assert_int_equal(run_program(script), 0);
}

static void test_intermediate_authority(void **state)
{
    char *text;

    (void)state;
    inventory.replica_count = 1;
    put_intermediate();
    make_all();
    assert_all_ready();
    text = slurp(path_of("replicas/demo-1/pki/apiserver.crt"));
    /* The leaf first, the issuing authority after it, no root. */
    text = strstr(text + 1, "-----BEGIN CERTIFICATE-----");
    assert_non_null(text);
    assert_string_equal(text, slurp(path_of("issuing.crt")));
    {
        const char *const verify[] = {"openssl",
                                      "verify",
                                      "-x509_strict",
                                      "-purpose",
                                      "sslserver",
                                      "-CAfile",
                                      path_of("root.crt"),
                                      "-untrusted",
                                      path_of("replicas/demo-1/pki/apiserver.crt"),
                                      path_of("replicas/demo-1/pki/apiserver.crt"),
                                      NULL};
        assert_int_equal(run_program(verify), 0);
    }
    /* The order matters, and so does the root. */
    spill(path_of("ca.crt"), slurp(path_of("issuing.crt")), 0644);
    assert_not_ready("kubernetes-ca", NULL, "does not end with the root above it");
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
}

/* The same root, of the same key, with other times and perhaps one extension more. */
static void change_root(int64_t not_before_s, int64_t not_after_s, int nid, const char *value)
{
    char *pem = slurp(path_of("root.crt")), *key_pem = slurp(path_of("root.key")), *text = NULL, *both = NULL;
    X509 *root = pki_certificate_read(pki_crypto(self), pem, strlen(pem));
    EVP_PKEY *key = pki_key_read(pki_crypto(self), key_pem, strlen(key_pem), NULL);
    X509_EXTENSION *added = value != NULL ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;
    size_t size;

    assert_true(root != NULL && key != NULL && (value == NULL || added != NULL));
    ASN1_TIME_set(X509_getm_notBefore(root), (time_t)not_before_s);
    ASN1_TIME_set(X509_getm_notAfter(root), (time_t)not_after_s);
    if (value != NULL && X509_get_ext_by_NID(root, nid, -1) >= 0)
        X509_EXTENSION_free(X509_delete_ext(root, X509_get_ext_by_NID(root, nid, -1)));
    if (value != NULL)
        assert_int_equal(X509_add_ext(root, added, -1), 1);
    assert_true(X509_sign(root, key, EVP_sha256()) > 0);
    assert_int_equal(pki_certificate_write(root, &text, &size), 0);
    assert_true(asprintf(&both, "%s%s", slurp(path_of("issuing.crt")), text) > 0);
    spill(path_of("ca.crt"), both, 0644);
    X509_EXTENSION_free(added);
    X509_free(root);
    EVP_PKEY_free(key);
    free(text);
    free(both);
}

static void test_the_authority_above_is_judged_too(void **state)
{
    int64_t now_s = (int64_t)time(NULL), year_s = 365 * (int64_t)PKI_DAY_S;
    static const struct fake_setting short_lives[] = {{"leaf_days", "30"}, {"renew_days", "10"}, {NULL, NULL}};

    (void)state;
    inventory.replica_count = 1;
    put_intermediate();
    make_all();
    assert_all_ready();
    change_root(now_s - year_s, now_s - 50 * PKI_DAY_S, 0, NULL);
    assert_not_ready("kubernetes-ca", NULL, "certificate 2 of its file, CN=root, expired on");
    assert_not_ready("kube-apiserver", "demo-1", "its lifetime is 365.0 days, not ");
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("certificate 2 of its file, CN=root, expired on");
    change_root(now_s + PKI_DAY_S, now_s + year_s, 0, NULL);
    assert_not_ready("kubernetes-ca", NULL, "certificate 2 of its file, CN=root, is not valid before");
    /* What it signs ends with the first of those above it. */
    change_root(now_s - year_s, now_s + 20 * PKI_DAY_S, 0, NULL);
    assert_not_ready("kube-apiserver", "demo-1", "its lifetime is 365.0 days, not 20.0");
    open_with(short_lives);
    make_all();
    assert_all_ready();
    assert_int_equal(listed("kubernetes-ca", NULL)->not_after_s, now_s + 20 * PKI_DAY_S);
    assert_int_equal(listed("kube-apiserver", "demo-1")->not_after_s, now_s + 20 * PKI_DAY_S);
    /* No authority of others between, where it says so. */
    change_root(now_s - year_s, now_s + year_s, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    assert_not_ready("kubernetes-ca", NULL, "certificate 2 of its file, CN=root, may not vouch for authorities");
    change_root(now_s - year_s, now_s + year_s, NID_key_usage, "critical,cRLSign");
    assert_not_ready("kubernetes-ca", NULL, "certificate 2 of its file, CN=root, may not sign certificates");
}

static void test_the_authority_above_constrains_names(void **state)
{
    int64_t now_s = (int64_t)time(NULL), year_s = 365 * (int64_t)PKI_DAY_S;

    (void)state;
    inventory.replica_count = 1;
    put_intermediate();
    make_all();
    change_root(now_s - year_s, now_s + 2 * year_s, NID_name_constraints,
                "critical,permitted;IP:192.168.0.0/255.255.0.0");
    assert_int_equal(listed("kubernetes-ca", NULL)->ready, HACTL_YES);
    assert_not_ready("kube-apiserver", "demo-1", "outside of the name constraints of kubernetes-ca");
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    assert_said("outside of the name constraints");
    assert_int_equal(listed("scheduler", "demo-1")->ready, HACTL_NO); /* the authority in it is another */
    change_root(now_s - year_s, now_s + 2 * year_s, NID_name_constraints, "critical,permitted;IP:0.0.0.0/0.0.0.0");
    assert_int_equal(issue("demo-1"), HACTL_E_INVALID); /* of version 6 none, and ::1 is in it */
    assert_int_equal(listed("etcd-server", "demo-1")->ready, HACTL_YES);
}

/* ---- replicas that make their keys themselves ---- */

static int issue_requests(const char *replica, const struct hactl_request *requests, size_t count)
{
    const struct hactl_request *list[16];

    for (size_t i = 0; i < count; i++)
        list[i] = &requests[i];
    return hactl_plugin.issuer->issue(self, fresh_call(), &inventory, replica, list, count);
}

static void test_keys_of_replicas(void **state)
{
    struct hactl_request requests[16] = {{0}};
    struct stranger stranger;
    size_t count = 0;
    char *first;

    (void)state;
    inventory.replica_count = 1;
    inventory.replica_keys = 1;
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(issue(NULL), HACTL_OK);
    assert_int_equal(issue("demo-1"), HACTL_OK); /* it has not asked yet */
    assert_false(there("replicas/demo-1/pki/etcd/server.crt"));
    stranger_open(&stranger, "ecdsa-p256");
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++) {
        const struct hactl_certificate *one = &call->certificates[i];
        const char *common_name;
        char name[65], organization[65] = "";
        if (one->replica == NULL)
            continue;
        common_name = strstr(one->subject, "CN=") + 3;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(common_name, ","), common_name);
        if (strstr(one->subject, "O=") != NULL)
            snprintf(organization, sizeof organization, "%s", strstr(one->subject, "O=") + 2);
        requests[count++] = (struct hactl_request){
            .struct_size = sizeof requests[0],
            .instance = "demo-1",
            .purpose = strdup(one->purpose),
            .content = request_text(&stranger, name, organization[0] != '\0' ? organization : NULL, NULL, NULL)};
    }
    assert_int_equal(count, 10); /* not those of people */
    assert_int_equal(issue_requests("demo-1", requests, count), HACTL_OK);
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++)
        assert_int_equal(call->certificates[i].ready, HACTL_YES);
    assert_false(there("replicas/demo-1/pki/etcd/server.key"));
    assert_false(there("replicas/demo-1/admin.conf"));
    assert_int_equal(openssl_says("etcd/ca", "replicas/demo-1/pki/etcd/server", "sslserver", "127.81.1.1"), 0);
    /* Asked the same, nothing changes; with another key it is issued anew. */
    first = slurp(path_of("replicas/demo-1/pki/etcd/server.crt"));
    assert_int_equal(issue_requests("demo-1", requests, count), HACTL_OK);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.crt")), first);
    EVP_PKEY_free(stranger.key);
    stranger.key = pki_key_generate(&stranger.maker, "ecdsa-p256");
    free((char *)(uintptr_t)requests[0].content);
    assert_string_equal(requests[0].purpose, "etcd-server");
    requests[0].content = request_text(&stranger, "demo-1", NULL, NULL, NULL);
    assert_int_equal(issue_requests("demo-1", requests, count), HACTL_OK);
    assert_string_not_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.crt")), first);
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    assert_false(there("replicas/demo-1"));
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)requests[i].purpose);
        free((char *)(uintptr_t)requests[i].content);
    }
    stranger_close(&stranger);
}

/* People's keys are made on no replica; those of the cluster are made here, as ever. */
static void test_kubeconfigs_of_people_where_replicas_make_their_keys(void **state)
{
    const struct fake_setting settings[] = {
        {"profiles.admin.scope", "cluster"}, {"profiles.super-admin.scope", "cluster"}, {NULL, NULL}};
    const struct hactl_certificate *one;
    char *kubeconfig;

    (void)state;
    inventory.replica_keys = 1;
    open_with(settings);
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(issue(NULL), HACTL_OK);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    for (const char *const *purpose = (const char *const[]){"admin", "super-admin", NULL}; *purpose != NULL;
         purpose++) {
        one = listed(*purpose, NULL);
        assert_int_equal(one->ready, HACTL_YES);
        assert_int_equal(one->carries_trust, 1); /* so a rotation waits for it */
        assert_int_equal(one->not_after_s - one->not_before_s - 300,
                         (strcmp(*purpose, "admin") == 0 ? 365 : 30) * PKI_DAY_S);
    }
    kubeconfig = slurp(path_of("admin.conf"));
    assert_int_equal(mode_of("admin.conf"), 0600);
    assert_non_null(strstr(kubeconfig, "server: https://" EXTERNAL ":2379\n"));
    assert_non_null(strstr(kubeconfig, "client-key-data: "));
    assert_false(there("replicas/demo-1/admin.conf") || there("replicas/demo-1/super-admin.conf"));
    assert_int_equal(issue(NULL), HACTL_OK);
    assert_string_equal(slurp(path_of("admin.conf")), kubeconfig);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_false(there(""));
}

static void test_everything_at_once(void **state)
{
    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    assert_int_equal(issue(HACTL_EVERYTHING), HACTL_OK);
    assert_all_ready();
    judge_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sign),
        TEST(test_signed_ends_with_its_authority),
        TEST(test_sign_refuses),
        TEST(test_sign_refuses_weak_keys),
        TEST(test_sign_refuses_names_with_nul),
        TEST(test_a_replica_without_address_is_refused_everywhere),
        TEST(test_external_authority),
        TEST(test_request_needs_an_external_authority),
        TEST(test_intermediate_authority),
        TEST(test_the_authority_above_is_judged_too),
        TEST(test_the_authority_above_constrains_names),
        TEST(test_keys_of_replicas),
        TEST(test_kubeconfigs_of_people_where_replicas_make_their_keys),
        TEST(test_everything_at_once),
    };

    return cmocka_run_group_tests_name("pki_foreign", tests, NULL, NULL);
}
