/* SPDX-License-Identifier: Apache-2.0 */
/* What others could read, change, lose or be asked for, where keys and authorities are kept. */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int rotate(const char *authority, enum hactl_rotation phase)
{
    return hactl_plugin.issuer->rotate(self, fresh_call(), &inventory, authority, phase);
}

static void copy(const char *from, const char *to, mode_t mode)
{
    spill(path_of(to), slurp(path_of(from)), mode);
}

static void append(const char *relative, const char *content)
{
    char *before = slurp(path_of(relative)), *both = NULL;
    unsigned mode = mode_of(relative);

    assert_true(asprintf(&both, "%s%s", before, content) > 0);
    spill(path_of(relative), both, mode);
    free(both);
}

/* ---- successors that somebody has put there ---- */

static void assert_left(const char *authority, const char *said)
{
    print_tree(0);
    assert_int_equal(rotate(authority, HACTL_ROTATION_PREPARE), HACTL_E_CONFLICT);
    assert_said("put the right pair there");
    assert_said(said);
    assert_string_equal(print_tree(1), prints[0]);
}

static void test_a_successor_that_is_not_sound_is_left(void **state)
{
    (void)state;
    make_all();
    copy("etcd/ca.crt", "ca.next.crt", 0644);
    assert_left("kubernetes-ca", "its key is missing");
    copy("ca.key", "ca.next.key", 0600);
    assert_left("kubernetes-ca", "its key is not the one that it was issued for");
    copy("etcd/ca.key", "ca.next.key", 0640);
    assert_left("kubernetes-ca", "its key can be read by others");
    assert_int_equal(unlink(path_of("ca.next.crt")), 0);
    assert_left("kubernetes-ca", "missing, though its key is there");
    copy("sa.key", "sa.next.key", 0600);
    assert_left("service-account", "not a private key and its public half");
}

static void test_a_sound_successor_is_used(void **state)
{
    char *key, *account;

    (void)state;
    make_all();
    key = slurp(path_of("etcd/ca.key"));
    copy("etcd/ca.crt", "ca.next.crt", 0644);
    copy("etcd/ca.key", "ca.next.key", 0600);
    assert_int_equal(rotate("kubernetes-ca", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_string_equal(slurp(path_of("ca.next.key")), key);
    account = slurp(path_of("sa.key"));
    copy("sa.key", "sa.next.key", 0600);
    copy("sa.pub", "sa.next.pub", 0644);
    assert_int_equal(rotate("service-account", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_string_equal(slurp(path_of("sa.next.key")), account);
}

/* Where a killed `prepare`, or a killed way back, may have left things. */
static void test_what_a_killed_process_left_of_a_successor_is_made_anew(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(rotate("etcd-ca", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_int_equal(rename(path_of("etcd/ca.next.crt"), path_of("etcd/ca.next.crt.new")), 0);
    assert_int_equal(unlink(path_of("etcd/ca.rotation")), 0);
    open_with(NULL);
    assert_int_equal(rotate("etcd-ca", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_true(there("etcd/ca.next.crt") && there("etcd/ca.next.key") && !there("etcd/ca.next.crt.new"));
    assert_int_equal(rename(path_of("etcd/ca.next.crt"), path_of("etcd/ca.next.crt.new")), 0);
    spill(path_of("etcd/ca.next.key"), "", 0600);
    assert_int_equal(unlink(path_of("etcd/ca.rotation")), 0);
    open_with(NULL);
    assert_int_equal(rotate("etcd-ca", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_int_equal(rotate("etcd-ca", HACTL_ROTATION_NONE), HACTL_OK);
    assert_false(there("etcd/ca.next.crt") || there("etcd/ca.next.key") || there("etcd/ca.next.crt.new"));
}

static void test_taking_all_away_takes_what_was_staged(void **state)
{
    static const char *const staged[] = {"ca.next.key.new",      "ca.next.crt.new", "etcd/ca-bundle.crt.new",
                                         "etcd/ca.rotation.new", "sa.next.key.new", "sa.next.pub.new"};

    (void)state;
    make_all();
    for (size_t i = 0; i < sizeof staged / sizeof staged[0]; i++)
        spill(path_of(staged[i]), "half", 0600);
    assert_int_equal(hactl_plugin.issuer->destroy(self, fresh_call()), HACTL_OK);
    assert_false(there(""));
}

/* Rules 9 and 26: an authority of one's own with a key that nobody should take, or that cannot sign here. */
static void test_an_authority_with_an_unfit_key_is_refused(void **state)
{
    static const char *const kinds[][2] = {{"rsa:1024", "its key is too weak: 80 bits"},
                                           {"ed25519", "its key is none of ecdsa-p256"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char key[256], certificate[256];
        const char *const argv[] = {"openssl",   "req",
                                    "-x509",     "-newkey",
                                    kinds[i][0], "-nodes",
                                    "-keyout",   key,
                                    "-out",      certificate,
                                    "-days",     "3650",
                                    "-subj",     "/CN=kubernetes",
                                    "-addext",   "basicConstraints=critical,CA:TRUE",
                                    "-addext",   "keyUsage=critical,keyCertSign,cRLSign",
                                    NULL};
        assert_int_equal(mkdir(directory, 0700), 0);
        snprintf(key, sizeof key, "%s", path_of("ca.key"));
        snprintf(certificate, sizeof certificate, "%s", path_of("ca.crt"));
        assert_int_equal(run_program(argv), 0);
        assert_int_equal(authorities(), HACTL_E_CONFLICT);
        assert_said(kinds[i][1]);
        assert_int_equal(ha_tree_remove(directory), 0);
        open_with(NULL);
    }
}

/* ---- keys where everybody may read ---- */

static void test_no_key_is_in_an_authority_s_certificate(void **state)
{
    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    append("ca.crt", slurp(path_of("ca.key")));
    open_with(NULL);
    assert_not_ready("kubernetes-ca", NULL, "has a private key in it");
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_int_equal(issue("demo-1"), HACTL_E_CONFLICT);
    assert_false(there("replicas/demo-1/pki/ca.crt"));
}

static void test_what_is_taken_in_is_the_certificate_alone(void **state)
{
    static const struct fake_setting external[] = {{"external", "etcd-ca"}, {NULL, NULL}};
    char *certificate, *both = NULL;

    (void)state;
    make_all();
    certificate = slurp(path_of("replicas/demo-1/pki/etcd/server.crt"));
    assert_true(asprintf(&both, "%s%s", certificate, slurp(path_of("replicas/demo-1/pki/etcd/server.key"))) > 0);
    assert_int_equal(unlink(path_of("etcd/ca.key")), 0);
    assert_int_equal(unlink(path_of("replicas/demo-1/pki/etcd/server.crt")), 0);
    open_with(external);
    assert_int_equal(hactl_plugin.issuer->import(self, fresh_call(), &inventory, both), HACTL_OK);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.crt")), certificate);
    assert_non_null(strstr(slurp(path_of("audit.log")), "{\"action\":\"import\""));
    free(both);
}

static void test_an_encrypted_key_is_named(void **state)
{
    char file[128];
    const struct fake_setting settings[] = {{"passphrase_file", file}, {NULL, NULL}};

    (void)state;
    snprintf(file, sizeof file, "%s/passphrase", top);
    spill(file, "correct horse\n", 0600);
    open_with(settings);
    make_all();
    open_with(NULL);
    cluster.external_address = "127.81.0.77";
    assert_int_equal(issue("demo-1"), HACTL_E_DENIED);
    assert_said(path_of("etcd/ca.key is encrypted"));
}

/* A request with a new key leaves the pair that is in use as it is, until the certificate for it has come. */
static void test_a_new_key_waits_beside_the_pair(void **state)
{
    static const struct fake_setting before[] = {{"external", "etcd-ca"}, {NULL, NULL}};
    static const struct fake_setting after[] = {{"external", "etcd-ca"}, {"key_type", "ecdsa-p384"}, {NULL, NULL}};
    const char *server = "replicas/demo-1/pki/etcd/server";
    char *authority_key, *old_key, request[512], *waiting;

    (void)state;
    make_all();
    authority_key = slurp(path_of("etcd/ca.key"));
    assert_int_equal(unlink(path_of("etcd/ca.key")), 0);
    open_with(before);
    old_key = slurp(path_of("replicas/demo-1/pki/etcd/server.key"));
    open_with(after);
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, "demo-1"), HACTL_OK);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.key")), old_key);
    waiting = slurp(path_of("replicas/demo-1/pki/etcd/server.next.key"));
    assert_int_equal(mode_of("replicas/demo-1/pki/etcd/server.next.key"), 0600);
    /* Asked again, it is for the same key. */
    assert_int_equal(hactl_plugin.issuer->request(self, fresh_call(), &inventory, "demo-1"), HACTL_OK);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.next.key")), waiting);
    /* The authority elsewhere signs it. */
    snprintf(request, sizeof request, "%s.csr", path_of(server));
    spill(path_of("etcd/ca.key"), authority_key, 0600);
    open_with((const struct fake_setting[]){{"key_type", "ecdsa-p384"}, {NULL, NULL}});
    assert_int_equal(hactl_plugin.issuer->sign(self, fresh_call(), &inventory, "demo-1", "etcd-server", slurp(request)),
                     HACTL_OK);
    waiting = strdup(call->credentials[0].content);
    assert_int_equal(unlink(path_of("etcd/ca.key")), 0);
    open_with(after);
    assert_int_equal(hactl_plugin.issuer->import(self, fresh_call(), &inventory, waiting), HACTL_OK);
    assert_int_equal(listed("etcd-server", "demo-1")->ready, HACTL_YES);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.crt")), waiting);
    assert_string_not_equal(slurp(path_of("replicas/demo-1/pki/etcd/server.key")), old_key);
    assert_false(there("replicas/demo-1/pki/etcd/server.next.key"));
    assert_int_equal(openssl_says("etcd/ca", server, "sslserver", "127.81.1.1"), 0);
    /* One that waits goes with its replica. */
    assert_true(there("replicas/demo-1/pki/etcd/peer.key"));
    assert_true(there("replicas/demo-1/pki/etcd/healthcheck-client.next.key"));
    assert_int_equal(hactl_plugin.issuer->retire(self, fresh_call(), "demo-1"), HACTL_OK);
    assert_false(there("replicas/demo-1"));
    free(waiting);
}

/* ---- what others may change ---- */

static void test_no_directory_on_the_way_is_for_others_to_write(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(chmod(top, 0777), 0);
    assert_int_equal(authorities(), HACTL_E_DENIED);
    assert_said("1 up");
    assert_int_equal(chmod(top, 01777), 0); /* as /tmp */
    assert_all_ready();
    assert_int_equal(chmod(top, 0700), 0);
    assert_int_equal(chmod(path_of("replicas"), 0777), 0);
    assert_not_ready("etcd-server", "demo-1", "is below a directory that others may write to");
    assert_int_equal(issue("demo-1"), HACTL_E_CONFLICT);
    assert_int_equal(chmod(path_of("replicas"), 0700), 0);
    assert_all_ready();
}

static void test_copies_are_not_for_others_to_change(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(chmod(path_of("replicas/demo-1/pki/ca.crt"), 0666), 0);
    assert_not_ready("trust", "demo-1", "can be changed by others (mode 0666)");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(mode_of("replicas/demo-1/pki/ca.crt"), 0644);
    assert_int_equal(chmod(path_of("sa.pub"), 0666), 0);
    assert_not_ready("service-account", NULL, "sa.pub can be changed by others (mode 0666)");
    assert_int_equal(issue(NULL), HACTL_OK);
    assert_int_equal(mode_of("sa.pub"), 0644);
    assert_all_ready();
}

#define STRANGER 54321

static void give(const char *relative, uid_t user)
{
    assert_int_equal(chown(path_of(relative), user, (gid_t)-1), 0);
}

static uid_t owner_of(const char *relative)
{
    struct stat status;

    assert_int_equal(lstat(path_of(relative), &status), 0);
    return status.st_uid;
}

static void skip_unless_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("# only root can give files away: whose files are is not tested\n");
    skip();
}

/* Whose it is may change it, whatever its mode says. */
static void test_files_of_other_users_are_found(void **state)
{
    static const struct {
        const char *file, *purpose, *replica, *reason;
        int issued; /* what mends it, if it can be mended here */
    } cases[] = {
        {"ca.key", "kubernetes-ca", NULL, "its key belongs to user 54321", HACTL_E_CONFLICT},
        {"ca.crt", "kubernetes-ca", NULL, "its file belongs to user 54321", HACTL_E_CONFLICT},
        {"sa.key", "service-account", NULL, "its key belongs to user 54321", HACTL_E_DENIED},
        {"sa.pub", "service-account", NULL, "sa.pub belongs to user 54321", HACTL_OK},
        {"operator/etcd-client.key", "etcd-client", NULL, "its key belongs to user 54321", HACTL_OK},
        {"replicas/demo-1/pki/etcd/server.crt", "etcd-server", "demo-1", "its file belongs to user 54321", HACTL_OK},
        {"replicas/demo-1/admin.conf", "admin", "demo-1", "its key belongs to user 54321", HACTL_OK},
        {"replicas/demo-1/pki/sa.key", "trust", "demo-1", "pki/sa.key belongs to user 54321", HACTL_OK},
        {"replicas/demo-1/pki/ca.crt", "trust", "demo-1", "pki/ca.crt belongs to user 54321", HACTL_OK},
    };

    (void)state;
    skip_unless_root();
    make_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int result;
        give(cases[i].file, STRANGER);
        assert_not_ready(cases[i].purpose, cases[i].replica, cases[i].reason);
        result = authorities();
        if (result == HACTL_OK)
            result = issue(cases[i].replica);
        assert_int_equal(result, cases[i].issued);
        if (result != HACTL_OK) {
            assert_said("belongs to user 54321");
            give(cases[i].file, 0);
        }
        assert_int_equal(owner_of(cases[i].file), 0);
        assert_all_ready();
    }
}

static void test_directories_of_other_users_are_found(void **state)
{
    static const char *const directories[] = {"replicas", "replicas/demo-1", "replicas/demo-1/pki"};

    (void)state;
    skip_unless_root();
    make_all();
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        give(directories[i], STRANGER);
        assert_not_ready("etcd-server", "demo-1", "or that is another user's");
        assert_int_equal(issue("demo-1"), HACTL_E_CONFLICT);
        give(directories[i], 0);
        assert_all_ready();
    }
    assert_int_equal(chown(top, STRANGER, (gid_t)-1), 0);
    assert_int_equal(authorities(), HACTL_E_DENIED);
    assert_said("(1 up), or own it");
    assert_int_equal(chmod(top, 01777), 0); /* a sticky directory stops all but its owner */
    assert_int_equal(authorities(), HACTL_E_DENIED);
    assert_int_equal(chown(top, 0, (gid_t)-1), 0);
    assert_all_ready();
    give("", STRANGER);
    assert_int_equal(authorities(), HACTL_E_DENIED);
    assert_said("user 54321");
    give("", 0);
}

/* ---- what asks nobody ---- */

static const char encrypted_list[] = "-----BEGIN X509 CRL-----\nProc-Type: 4,ENCRYPTED\n"
                                     "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
                                     "AAAAAAAAAAAAAAAAAAAAAA==\n-----END X509 CRL-----\n";

/* At a terminal, where libcrypto would ask for a pass phrase. */
static void test_an_encrypted_list_asks_nobody(void **state)
{
    char said[1024];
    size_t used = 0;
    ssize_t got;
    int terminal, status;
    pid_t pid;

    (void)state;
    make_all();
    spill(path_of("etcd/ca.crl"), encrypted_list, 0644);
    pid = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        list_all();
        _exit(listed("etcd-ca", NULL)->ready == HACTL_YES);
    }
    while (used < sizeof said - 1 && (got = read(terminal, said + used, sizeof said - 1 - used)) > 0) {
        used += (size_t)got;
        if (memmem(said, used, "phrase", 6) != NULL)
            break;
    }
    close(terminal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_null(memmem(said, used, "phrase", 6));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_successor_that_is_not_sound_is_left),
        TEST(test_a_sound_successor_is_used),
        TEST(test_what_a_killed_process_left_of_a_successor_is_made_anew),
        TEST(test_taking_all_away_takes_what_was_staged),
        TEST(test_an_authority_with_an_unfit_key_is_refused),
        TEST(test_no_key_is_in_an_authority_s_certificate),
        TEST(test_what_is_taken_in_is_the_certificate_alone),
        TEST(test_an_encrypted_key_is_named),
        TEST(test_a_new_key_waits_beside_the_pair),
        TEST(test_no_directory_on_the_way_is_for_others_to_write),
        TEST(test_copies_are_not_for_others_to_change),
        TEST(test_files_of_other_users_are_found),
        TEST(test_directories_of_other_users_are_found),
        TEST(test_an_encrypted_list_asks_nobody),
    };

    return cmocka_run_group_tests_name("pki_safety", tests, NULL, NULL);
}
