/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation, revocation, the audit log and when certificates are due: rules 17
 * to 22 of those that a serious issuer follows, each by its number. */
#include "tests/unit/pki_rig.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>

static int rotate(const char *authority, enum hactl_rotation phase)
{
    return hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, authority, phase);
}

static void rotate_to(const char *authority, enum hactl_rotation phase)
{
    assert_int_equal(rotate(authority, phase), HACTL_OK);
}

static const char *credential(const char *replica, const char *purpose, const char *part)
{
    assert_int_equal(hactl_plugin.issuer->credential(self, fresh_call(), replica, purpose, part), HACTL_OK);
    return call->credentials[0].content;
}

/* Lists of revocations too, which the other tests do not have. */
static void assert_all_well(void)
{
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++)
        if (call->certificates[i].ready != HACTL_YES)
            fail_msg("%s: %s", call->certificates[i].purpose, call->certificates[i].reason);
}

static unsigned certificates_in(const char *pem)
{
    unsigned count = 0;

    for (const char *at = pem; (at = strstr(at, "BEGIN CERTIFICATE")) != NULL; at++)
        count++;
    return count;
}

/* ---- rule 17: audit ---- */

static size_t audit_lines(json_t **last)
{
    char *text = slurp(path_of("audit.log"));
    size_t count = 0;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_decref(*last);
        *last = json_loads(line, 0, NULL);
        assert_non_null(*last);
        assert_non_null(json_object_get(*last, "time"));
        assert_non_null(json_object_get(*last, "actor"));
        assert_non_null(json_object_get(*last, "action"));
        count++;
    }
    return count;
}

static void rule_17_every_issuance_is_in_the_audit_log(void **state)
{
    json_t *last = NULL;
    size_t made, again;

    (void)state;
    make_all();
    made = audit_lines(&last);
    /* Every certificate and the key pair of the service accounts; copies are none. */
    assert_int_equal(made, CERTIFICATE_COUNT - 3);
    for (const char *const *key = (const char *const[]){"serial", "subject", "issuer_key", "not_after", "sha256", NULL};
         *key != NULL; key++)
        assert_non_null(json_object_get(last, *key));
    assert_null(strstr(slurp(path_of("audit.log")), "PRIVATE"));
    assert_int_equal(mode_of("audit.log"), 0600);
    make_all();
    again = audit_lines(&last);
    assert_int_equal(again, made);
    json_decref(last);
}

/* The last one of that purpose. */
static json_t *audit_line_of(const char *purpose, const char *replica)
{
    char *text = slurp(path_of("audit.log"));
    json_t *found = NULL;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *one = json_loads(line, 0, NULL);
        const char *of = json_string_value(json_object_get(one, "replica"));
        if (strcmp(json_string_value(json_object_get(one, "purpose")), purpose) == 0 && of != NULL &&
            strcmp(of, replica) == 0) {
            json_decref(found);
            found = json_incref(one);
        }
        json_decref(one);
    }
    assert_non_null(found);
    return found;
}

static X509 *certificate_at(const char *relative)
{
    char *pem = slurp(path_of(relative));
    X509 *certificate = pki_certificate_read(pki_crypto(self), pem, strlen(pem));

    assert_non_null(certificate);
    return certificate;
}

static void assert_hex(const json_t *line, const char *key, const unsigned char *bytes, size_t size)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";

    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(json_string_value(json_object_get(line, key)), hex);
}

/* Which it was, for whom, by whom, who asked for it and until when it is good. */
static void rule_17_a_line_tells_its_certificate(void **state)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const ASN1_OCTET_STRING *issuer;
    const ASN1_INTEGER *serial;
    X509 *certificate, *authority;
    char not_after[32];
    unsigned size = 0;
    time_t end_s;
    json_t *line;

    (void)state;
    make_all();
    line = audit_line_of("kube-apiserver", "demo-2");
    certificate = certificate_at("replicas/demo-2/pki/apiserver.crt");
    authority = certificate_at("ca.crt");
    serial = X509_get0_serialNumber(certificate);
    issuer = X509_get0_subject_key_id(authority);
    assert_hex(line, "serial", ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    assert_hex(line, "issuer_key", ASN1_STRING_get0_data(issuer), (size_t)ASN1_STRING_length(issuer));
    assert_int_equal(X509_digest(certificate, pki_crypto(self)->sha256, digest, &size), 1);
    assert_hex(line, "sha256", digest, size);
    assert_string_equal(json_string_value(json_object_get(line, "action")), "issue");
    assert_string_equal(json_string_value(json_object_get(line, "subject")), "CN=kube-apiserver");
    assert_string_equal(json_string_value(json_object_get(line, "names")), listed("kube-apiserver", "demo-2")->names);
    end_s = (time_t)listed("kube-apiserver", "demo-2")->not_after_s;
    strftime(not_after, sizeof not_after, "%Y-%m-%dT%H:%M:%SZ", gmtime(&end_s));
    assert_string_equal(json_string_value(json_object_get(line, "not_after")), not_after);
    assert_non_null(strchr(json_string_value(json_object_get(line, "actor")), '@'));
    json_decref(line);
    X509_free(certificate);
    X509_free(authority);
}

/* Interrupted between getting its name and becoming the successor, which a directory in the way of the phase does. */
static void rule_17_a_successor_has_its_line_before_its_name(void **state)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned size = 0;
    X509 *successor;
    char *pem;

    (void)state;
    make_all();
    assert_int_equal(mkdir(path_of("etcd/ca.rotation.new"), 0700), 0);
    assert_true(hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, "etcd-ca", HACTL_ROTATION_PREPARE) < 0);
    assert_false(there("etcd/ca.rotation"));
    pem = slurp(path_of("etcd/ca.next.crt"));
    successor = pki_certificate_read(pki_crypto(self), pem, strlen(pem));
    assert_non_null(successor);
    assert_int_equal(X509_digest(successor, pki_crypto(self)->sha256, digest, &size), 1);
    for (unsigned i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_non_null(strstr(slurp(path_of("audit.log")), hex));
    X509_free(successor);
    assert_int_equal(rmdir(path_of("etcd/ca.rotation.new")), 0);
    assert_int_equal(hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, "etcd-ca", HACTL_ROTATION_PREPARE),
                     HACTL_OK);
    assert_string_equal(slurp(path_of("etcd/ca.next.crt")), pem);
}

static void rule_17_a_torn_line_is_ended(void **state)
{
    char *before, *after;
    FILE *file;

    (void)state;
    make_all();
    file = fopen(path_of("audit.log"), "a");
    fputs("{\"action\":\"iss", file);
    fclose(file);
    before = strdup(slurp(path_of("audit.log")));
    assert_int_equal(unlink(path_of("operator/etcd-client.crt")), 0);
    make_all();
    after = slurp(path_of("audit.log"));
    assert_int_equal(strncmp(after, before, strlen(before)), 0);
    assert_int_equal(after[strlen(before)], '\n');
    assert_int_equal(after[strlen(before) + 1], '{');
    free(before);
}

/* ---- rules 18 and 19: when, and from what ---- */

static void rule_18_a_third_is_left_with_jitter(void **state)
{
    const struct pki *pki = self;
    const struct pki_profile *profile = &pki->profiles[pki_profile_find(pki, "etcd-server")];
    int64_t plain_s = pki_renew_s(pki, profile, NULL), one_s = pki_renew_s(pki, profile, "demo-1");
    int64_t least_s = INT64_MAX, most_s = 0;

    (void)state;
    assert_int_equal(plain_s, 365 * PKI_DAY_S / 3);
    assert_int_equal(one_s, pki_renew_s(pki, profile, "demo-1"));
    for (int i = 1; i <= 200; i++) {
        char name[32];
        int64_t at_s;
        snprintf(name, sizeof name, "demo-%d", i);
        at_s = pki_renew_s(pki, profile, name);
        assert_true(at_s >= plain_s && at_s <= plain_s + plain_s / 10);
        least_s = at_s < least_s ? at_s : least_s;
        most_s = at_s > most_s ? at_s : most_s;
    }
    assert_true(most_s - least_s > plain_s / 20);
    make_all();
    assert_true(listed("etcd-server", "demo-1")->due_s == listed("etcd-server", "demo-1")->not_after_s - one_s);
    assert_true(listed("etcd-ca", NULL)->due_s < listed("etcd-ca", NULL)->not_after_s);
}

static void rule_19_renewed_from_the_inventory_key_kept_unless_asked(void **state)
{
    char *key, *other;

    (void)state;
    make_all();
    key = strdup(slurp(path_of("replicas/demo-1/pki/etcd/server.key")));
    replicas[0].internal_address = "127.81.1.9";
    make_all();
    assert_non_null(strstr(listed("etcd-server", "demo-1")->names, "127.81.1.9"));
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.key")), key);
    replicas[0].internal_address = "127.81.1.10";
    inventory.rekey = 1;
    make_all();
    other = slurp(path_of("replicas/demo-1/pki/etcd/server.key"));
    assert_string_not_equal(other, key);
    assert_all_ready();
    free(key);
}

/* ---- rule 20: rotation ---- */

static void rule_20_phases_of_an_authority(void **state)
{
    char *old;

    (void)state;
    make_all();
    old = strdup(slurp(path_of("ca.crt")));
    rotate_to("kubernetes-ca", HACTL_ROTATION_PREPARE);
    assert_all_ready();
    assert_int_equal(certificates_in(credential("demo-1", "kube-apiserver", "authority")), 1);

    rotate_to("kubernetes-ca", HACTL_ROTATION_TRUST);
    assert_string_equal(slurp(path_of("ca.crt")), old);
    assert_int_equal(certificates_in(credential("demo-1", "kube-apiserver", "authority")), 2);
    assert_not_ready("trust", "demo-1", "ca.crt is not kubernetes-ca as it is now");
    assert_not_ready("kubelet", "demo-1", "the authority in it is not kubernetes-ca as it is now");
    make_all();
    assert_all_ready();
    assert_int_equal(certificates_in(slurp(path_of("replicas/demo-1/pki/ca.crt"))), 2);

    rotate_to("kubernetes-ca", HACTL_ROTATION_SWITCH);
    assert_string_not_equal(slurp(path_of("ca.crt")), old);
    assert_not_ready("kube-apiserver", "demo-2", "it was not signed by kubernetes-ca as it is now");
    /* Not before everything is signed by the new one. */
    assert_int_equal(rotate("kubernetes-ca", HACTL_ROTATION_RETIRE), HACTL_E_CONFLICT);
    assert_said("is not signed by the kubernetes-ca that signs now");
    make_all();
    assert_all_ready();
    judge_all();

    rotate_to("kubernetes-ca", HACTL_ROTATION_RETIRE);
    make_all();
    assert_int_equal(certificates_in(credential("demo-1", "kube-apiserver", "authority")), 1);
    rotate_to("kubernetes-ca", HACTL_ROTATION_NONE);
    assert_all_ready();
    judge_all();
    assert_string_equal(slurp(path_of("archive/kubernetes-ca-1.crt")), old);
    assert_int_equal(mode_of("archive/kubernetes-ca-1.key"), 0600);
    assert_false(there("ca.next.crt") || there("ca.previous.crt") || there("ca-bundle.crt") || there("ca.rotation"));
    free(old);
}

/* kube-controller-manager's --cluster-signing-cert-file takes one and no more. */
static void rule_20_who_signs_is_always_exactly_one(void **state)
{
    static const enum hactl_rotation phases[] = {HACTL_ROTATION_PREPARE, HACTL_ROTATION_TRUST, HACTL_ROTATION_SWITCH,
                                                 HACTL_ROTATION_RETIRE, HACTL_ROTATION_NONE};

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        rotate_to("kubernetes-ca", phases[i]);
        make_all();
        assert_int_equal(certificates_in(credential(NULL, "kubernetes-ca", "certificate")), 1);
        assert_int_equal(certificates_in(slurp(path_of("ca.crt"))), 1);
    }
}

static void rule_20_every_phase_is_reversible(void **state)
{
    char *before;

    (void)state;
    make_all();
    before = strdup(slurp(path_of("etcd/ca.crt")));
    for (int furthest = HACTL_ROTATION_PREPARE; furthest <= HACTL_ROTATION_RETIRE; furthest++) {
        for (int phase = HACTL_ROTATION_PREPARE; phase <= furthest; phase++) {
            rotate_to("etcd-ca", (enum hactl_rotation)phase);
            make_all();
        }
        for (int phase = furthest == HACTL_ROTATION_RETIRE ? HACTL_ROTATION_SWITCH : furthest - 1;
             phase >= HACTL_ROTATION_NONE; phase--) {
            rotate_to("etcd-ca", (enum hactl_rotation)phase);
            make_all();
        }
        assert_all_ready();
        assert_string_equal(slurp(path_of("etcd/ca.crt")), before);
        assert_false(there("etcd/ca.next.key") || there("etcd/ca.previous.key") || there("etcd/ca-bundle.crt"));
    }
    assert_int_equal(rotate("etcd-ca", HACTL_ROTATION_SWITCH), HACTL_E_CONFLICT);
    assert_int_equal(rotate("no-such-ca", HACTL_ROTATION_PREPARE), HACTL_E_INVALID);
    free(before);
}

/* Killed while the pairs change places: whoever reads finds the one that
 * signs, whoever writes ends what was begun. */
static void rule_20_killed_while_pairs_change_places(void **state)
{
    static const char *const moves[][2] = {{"etcd/ca.key", "etcd/ca.previous.key"},
                                           {"etcd/ca.next.key", "etcd/ca.key"},
                                           {"etcd/ca.crt", "etcd/ca.previous.crt"},
                                           {"etcd/ca.next.crt", "etcd/ca.crt"}};
    char *next, from[512], to[512];

    (void)state;
    make_all();
    rotate_to("etcd-ca", HACTL_ROTATION_PREPARE);
    rotate_to("etcd-ca", HACTL_ROTATION_TRUST);
    make_all();
    for (size_t done = 0; done <= 4; done++) {
        next = strdup(slurp(path_of("etcd/ca.next.crt")));
        spill(path_of("etcd/ca.rotation"), "switch 1\n", 0600);
        for (size_t i = 0; i < done; i++) {
            snprintf(from, sizeof from, "%s", path_of(moves[i][0]));
            snprintf(to, sizeof to, "%s", path_of(moves[i][1]));
            assert_int_equal(rename(from, to), 0);
        }
        open_with(NULL);
        list_all();
        assert_int_equal(listed("etcd-ca", NULL)->ready, HACTL_YES);
        assert_not_ready("etcd-server", "demo-1", "it was not signed by etcd-ca as it is now");
        make_all();
        assert_all_ready();
        assert_string_equal(slurp(path_of("etcd/ca.crt")), next);
        assert_true(there("etcd/ca.previous.crt") && !there("etcd/ca.next.crt"));
        rotate_to("etcd-ca", HACTL_ROTATION_TRUST);
        make_all();
        assert_all_ready();
        free(next);
    }
}

/* ---- rule 21: service accounts ---- */

static unsigned keys_in(const char *pem)
{
    unsigned count = 0;

    for (const char *at = pem; (at = strstr(at, "BEGIN PUBLIC KEY")) != NULL; at++)
        count++;
    return count;
}

static void rule_21_the_old_service_account_key_is_trusted_until_tokens_are_over(void **state)
{
    const struct fake_setting none[] = {{"token_hours", "0"}, {NULL, NULL}};
    char *old;

    (void)state;
    make_all();
    old = strdup(slurp(path_of("sa.key")));
    rotate_to("service-account", HACTL_ROTATION_PREPARE);
    rotate_to("service-account", HACTL_ROTATION_TRUST);
    make_all();
    assert_int_equal(keys_in(credential(NULL, "service-account", "public")), 2);
    assert_string_equal(credential(NULL, "service-account", "key"), old);
    assert_int_equal(keys_in(slurp(path_of("replicas/demo-3/pki/sa.pub"))), 2);
    rotate_to("service-account", HACTL_ROTATION_SWITCH);
    make_all();
    assert_string_not_equal(credential(NULL, "service-account", "key"), old);
    assert_int_equal(keys_in(credential(NULL, "service-account", "public")), 2);
    assert_true(listed("service-account", NULL)->retire_s > 0);
    assert_int_equal(rotate("service-account", HACTL_ROTATION_RETIRE), HACTL_E_CONFLICT);
    assert_said("tokens that the old service account key signed may live until");
    open_with(none);
    rotate_to("service-account", HACTL_ROTATION_RETIRE);
    make_all();
    assert_int_equal(keys_in(credential(NULL, "service-account", "public")), 1);
    rotate_to("service-account", HACTL_ROTATION_NONE);
    assert_all_ready();
    assert_string_equal(slurp(path_of("archive/service-account-1.key")), old);
    free(old);
}

/* ---- rule 22: revocation ---- */

static X509_CRL *read_crl(const char *path)
{
    FILE *file = fopen(path_of(path), "r");
    X509_CRL *crl = file != NULL ? PEM_read_X509_CRL(file, NULL, NULL, NULL) : NULL;

    assert_non_null(crl);
    fclose(file);
    return crl;
}

static int64_t number_of(X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    int64_t value = 0;

    assert_int_equal(ASN1_INTEGER_get_int64(&value, number), 1);
    ASN1_INTEGER_free(number);
    return value;
}

static int put_on_list(const char *path)
{
    return hactl_plugin.issuer->revoke(self, fresh_call(), &inventory, slurp(path_of(path)));
}

static void rule_22_revocation_lists(void **state)
{
    char *key;
    X509_CRL *crl;

    (void)state;
    make_all();
    assert_int_equal(hactl_plugin.issuer->credential(self, fresh_call(), NULL, "etcd-client", "revocations"),
                     HACTL_E_NOT_FOUND);
    key = strdup(slurp(path_of("operator/etcd-client.key")));
    assert_int_equal(put_on_list("operator/etcd-client.crt"), HACTL_OK);
    crl = read_crl("etcd/ca.crl");
    assert_int_equal(X509_CRL_get_version(crl), 1);
    assert_int_equal(number_of(crl), 1);
    assert_non_null(X509_CRL_get0_nextUpdate(crl));
    assert_true(X509_CRL_get_ext_by_NID(crl, NID_authority_key_identifier, -1) >= 0);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 1);
    X509_CRL_free(crl);
    assert_true(listed("etcd-ca", NULL)->revocations);
    /* Again is once; then it is made anew, with another key. */
    assert_int_equal(put_on_list("operator/etcd-client.crt"), HACTL_OK);
    assert_not_ready("etcd-client", NULL, "it was revoked");
    make_all();
    assert_all_well();
    assert_string_not_equal(slurp(path_of("operator/etcd-client.key")), key);
    assert_int_equal(put_on_list("replicas/demo-2/pki/etcd/server.crt"), HACTL_OK);
    crl = read_crl("etcd/ca.crl");
    assert_int_equal(number_of(crl), 2);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 2);
    X509_CRL_free(crl);
    assert_non_null(strstr(credential("demo-1", "etcd-server", "revocations"), "BEGIN X509 CRL"));
    assert_int_equal(put_on_list("etcd/ca.crt"), HACTL_E_INVALID);
    assert_said("it is not revoked but rotated");
    free(key);
}

static void rule_22_a_list_follows_the_authority(void **state)
{
    X509_CRL *crl;

    (void)state;
    make_all();
    assert_int_equal(put_on_list("operator/etcd-client.crt"), HACTL_OK);
    make_all();
    rotate_to("etcd-ca", HACTL_ROTATION_PREPARE);
    rotate_to("etcd-ca", HACTL_ROTATION_TRUST);
    rotate_to("etcd-ca", HACTL_ROTATION_SWITCH);
    assert_not_ready("etcd-ca-revocations", NULL, "it was not signed by etcd-ca as it is now");
    make_all();
    assert_all_well();
    crl = read_crl("etcd/ca.crl");
    assert_int_equal(number_of(crl), 2);
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 1);
    X509_CRL_free(crl);
}

/* It is the list that has to be put right, not the authority; in this process and in another. */
static void rule_22_a_list_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *said = i < 2 ? "etcd/ca.crl, the list of what etcd-ca has revoked, is damaged"
                                 : "etcd/ca.crl, the list of what etcd-ca has revoked, is a symbolic link";
        make_all();
        if (i % 2 == 1)
            open_with(NULL);
        if (i < 2)
            spill(path_of("etcd/ca.crl"), "rubbish\n", 0644);
        else
            assert_int_equal(symlink("ca.crt", path_of("etcd/ca.crl")), 0);
        assert_not_ready("etcd-ca", NULL, "its list of revocations, etcd/ca.crl, ");
        assert_int_equal(unlink(path_of("operator/etcd-client.crt")), 0);
        assert_int_equal(issue(NULL), HACTL_E_CONFLICT);
        assert_said(said);
        assert_said("put the list back from a copy");
        assert_int_equal(unlink(path_of("etcd/ca.crl")), 0);
    }
}

/* ---- what is found ---- */

/* What was made before it was asked for is said, and rotating mends it. */
static void an_authority_without_constraints_is_named(void **state)
{
    static const struct fake_setting constrain[] = {{"constrain", "true"}, {NULL, NULL}};

    (void)state;
    make_all();
    assert_null(listed("etcd-ca", NULL)->reason);
    open_with(constrain);
    assert_all_well();
    assert_non_null(listed("etcd-ca", NULL)->reason);
    assert_non_null(strstr(listed("etcd-ca", NULL)->reason, "it has no name constraints"));
    assert_non_null(strstr(listed("etcd-ca", NULL)->reason, "hactl pki rotate etcd-ca"));
    rotate_to("etcd-ca", HACTL_ROTATION_PREPARE);
    rotate_to("etcd-ca", HACTL_ROTATION_TRUST);
    rotate_to("etcd-ca", HACTL_ROTATION_SWITCH);
    assert_null(listed("etcd-ca", NULL)->reason);
    assert_non_null(listed("kubernetes-ca", NULL)->reason);
}

static void files_that_others_may_change_are_found(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(chmod(path_of("replicas/demo-1/pki/etcd/server.crt"), 0666), 0);
    assert_not_ready("etcd-server", "demo-1", "its file can be changed by others (mode 0666)");
    make_all();
    assert_all_well();
    assert_int_equal(mode_of("replicas/demo-1/pki/etcd/server.crt"), 0644);
}

static void all_of_it_goes(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(put_on_list("operator/etcd-client.crt"), HACTL_OK);
    rotate_to("etcd-peer-ca", HACTL_ROTATION_PREPARE);
    rotate_to("etcd-peer-ca", HACTL_ROTATION_TRUST);
    make_all();
    rotate_to("etcd-peer-ca", HACTL_ROTATION_SWITCH);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_int_equal(access(directory, F_OK), -1);
}

/* Rule 28: what was signed with a key that is not the authority's, or by a broken processor, is not written. */
static void rule_28_a_list_that_does_not_verify_is_not_written(void **state)
{
    const struct fake_setting longer[] = {{"crl_days", "3650"}, {NULL, NULL}};
    struct pki_authority *authorities_now;
    struct pki_authority *etcd, *other;
    struct pki_store store;
    struct pki_batch batch;
    char *before;

    (void)state;
    make_all();
    assert_int_equal(put_on_list("operator/etcd-client.crt"), HACTL_OK);
    before = slurp(path_of("etcd/ca.crl"));
    open_with(longer); /* so the list is due */
    assert_int_equal(pki_store_open(self, fresh_call(), true, &store), HACTL_OK);
    authorities_now = pki_authorities_new();
    etcd = pki_authority_load(self, &store, authorities_now, "etcd-ca");
    other = pki_authority_load(self, &store, authorities_now, "kubernetes-ca");
    EVP_PKEY_free(etcd->state.key);
    etcd->state.key = other->state.key;
    assert_int_equal(EVP_PKEY_up_ref(etcd->state.key), 1);
    pki_batch_open(&batch, self, call, &store);
    assert_int_equal(pki_batch_close(&batch, pki_crl_ensure(&batch, authorities_now)), HACTL_E_INTERNAL);
    assert_said("revocations of etcd-ca: the list's own signature does not verify");
    pki_batch_free(&batch);
    pki_authorities_free(authorities_now);
    pki_store_close(&store);
    assert_string_equal(slurp(path_of("etcd/ca.crl")), before);
    assert_false(there("etcd/ca.crl.new"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_17_every_issuance_is_in_the_audit_log),
        TEST(rule_17_a_line_tells_its_certificate),
        TEST(rule_17_a_successor_has_its_line_before_its_name),
        TEST(rule_17_a_torn_line_is_ended),
        TEST(rule_18_a_third_is_left_with_jitter),
        TEST(rule_19_renewed_from_the_inventory_key_kept_unless_asked),
        TEST(rule_20_phases_of_an_authority),
        TEST(rule_20_who_signs_is_always_exactly_one),
        TEST(rule_20_every_phase_is_reversible),
        TEST(rule_20_killed_while_pairs_change_places),
        TEST(rule_21_the_old_service_account_key_is_trusted_until_tokens_are_over),
        TEST(rule_22_revocation_lists),
        TEST(rule_22_a_list_follows_the_authority),
        TEST(rule_22_a_list_that_cannot_be_read_is_named),
        TEST(an_authority_without_constraints_is_named),
        TEST(files_that_others_may_change_are_found),
        TEST(all_of_it_goes),
        TEST(rule_28_a_list_that_does_not_verify_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
