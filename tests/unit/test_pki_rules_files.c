/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that a serious issuer follows, each as a test with its name: how
 * keys and files are treated, and how libcrypto is used. */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* In the place of the C library's: it counts. */
static unsigned syncs, file_syncs;

/* What is about to be durable: does this have its name yet, and how long is the log? */
static const char *watched;
static bool had_its_name;
static off_t log_size;

static off_t size_of(const char *relative)
{
    struct stat status;

    return stat(path_of(relative), &status) == 0 ? status.st_size : 0;
}

int syncfs(int fd)
{
    if (watched != NULL && syncs == 0)
        had_its_name = there(watched);
    if (watched != NULL)
        log_size = size_of("audit.log");
    syncs++;
    return (int)syscall(SYS_syncfs, fd);
}

int fsync(int fd)
{
    file_syncs++;
    return (int)syscall(SYS_fsync, fd);
}

/* The same: it looks at what is made of a name that only its owner may read, at the moment in which it is made. */
static unsigned secrets_made, secrets_shown, secrets_changed;

static bool is_secret(const char *path)
{
    const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;

    return strstr(base, ".key") != NULL || strstr(base, ".conf") != NULL;
}

int openat(int at, const char *path, int flags, ...)
{
    const int careful = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat status;
    mode_t mode = 0;
    va_list rest;
    int fd;

    va_start(rest, flags);
    if (flags & O_CREAT)
        mode = va_arg(rest, mode_t);
    va_end(rest);
    fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && flags & O_CREAT && is_secret(path)) {
        secrets_made++;
        if ((flags & careful) != careful || fstat(fd, &status) != 0 || status.st_mode & 0177)
            secrets_shown++;
    }
    return fd;
}

int fchmod(int fd, mode_t mode)
{
    char link[32], path[4096] = "";

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    secrets_changed += readlink(link, path, sizeof path - 1) > 0 && is_secret(path);
    return (int)syscall(SYS_fchmod, fd, mode);
}

/* ---- keys and files ---- */

/* PBES2 with AES-256 under what PBKDF2 makes of the pass phrase, with HMAC-SHA-256 and 600,000 rounds or more. */
static void assert_well_encrypted(const char *relative)
{
    char *text = slurp(path_of(relative));
    BIO *in = BIO_new_mem_buf(text, -1);
    X509_SIG *sealed = PEM_read_bio_PKCS8(in, NULL, NULL, NULL);
    const X509_ALGOR *outer;
    const ASN1_OBJECT *object;
    const void *parameters;
    PBE2PARAM *pbes2;
    PBKDF2PARAM *derivation;
    int type;

    assert_non_null(sealed);
    X509_SIG_get0(sealed, &outer, NULL);
    X509_ALGOR_get0(&object, &type, &parameters, outer);
    assert_int_equal(OBJ_obj2nid(object), NID_pbes2);
    assert_int_equal(type, V_ASN1_SEQUENCE);
    assert_non_null(pbes2 = ASN1_item_unpack(parameters, ASN1_ITEM_rptr(PBE2PARAM)));
    X509_ALGOR_get0(&object, NULL, NULL, pbes2->encryption);
    assert_int_equal(OBJ_obj2nid(object), NID_aes_256_cbc);
    X509_ALGOR_get0(&object, &type, &parameters, pbes2->keyfunc);
    assert_int_equal(OBJ_obj2nid(object), NID_id_pbkdf2);
    assert_int_equal(type, V_ASN1_SEQUENCE);
    assert_non_null(derivation = ASN1_item_unpack(parameters, ASN1_ITEM_rptr(PBKDF2PARAM)));
    assert_true(ASN1_INTEGER_get(derivation->iter) >= 600000);
    assert_non_null(derivation->prf);
    X509_ALGOR_get0(&object, NULL, NULL, derivation->prf);
    assert_int_equal(OBJ_obj2nid(object), NID_hmacWithSHA256);
    assert_int_equal(derivation->salt->type, V_ASN1_OCTET_STRING);
    assert_true(ASN1_STRING_length(derivation->salt->value.octet_string) >= 16);
    PBKDF2PARAM_free(derivation);
    PBE2PARAM_free(pbes2);
    X509_SIG_free(sealed);
    BIO_free(in);
}

static void test_rule_11_keys_are_pkcs8(void **state)
{
    (void)state;
    make_all();
    assert_memory_equal(slurp(path_of("ca.key")), "-----BEGIN PRIVATE KEY-----\n", 28);
    assert_memory_equal(slurp(path_of("replicas/demo-1/pki/sa.key")), "-----BEGIN PRIVATE KEY-----\n", 28);
    assert_memory_equal(slurp(path_of("replicas/demo-1/pki/sa.pub")), "-----BEGIN PUBLIC KEY-----\n", 27);
}

static void test_rule_11_authority_keys_may_be_encrypted(void **state)
{
    char file[128];
    const struct fake_setting settings[] = {{"passphrase_file", file}, {NULL, NULL}};
    const char *const check[] = {"openssl", "pkey", "-in", path_of("ca.key"), "-passin", "pass:correct horse",
                                 "-noout",  NULL};
    const char *const wrong[] = {"openssl", "pkey", "-in", path_of("ca.key"), "-passin", "pass:wrong", "-noout", NULL};

    (void)state;
    snprintf(file, sizeof file, "%s/passphrase", top);
    spill(file, "correct horse\n", 0600);
    inventory.replica_count = 1;
    open_with(settings);
    make_all();
    assert_all_ready();
    for (size_t i = 0; i < pki_authority_count; i++) {
        char name[PKI_PATH_SIZE + 8];
        snprintf(name, sizeof name, "%s.key", pki_authorities[i].file);
        assert_memory_equal(slurp(path_of(name)), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 38);
        assert_well_encrypted(name);
    }
    assert_memory_equal(slurp(path_of("replicas/demo-1/pki/apiserver.key")), "-----BEGIN PRIVATE KEY-----\n", 28);
    assert_int_equal(run_program(check), 0);
    assert_int_not_equal(run_program(wrong), 0);
    /* Another process needs the pass phrase to sign, and none to look. */
    open_with(NULL);
    assert_all_ready();
    cluster.external_address = "127.81.0.77";
    assert_int_equal(issue("demo-1"), HACTL_E_DENIED);
    assert_said("encrypted");
    spill(file, "wrong\n", 0600);
    open_with(settings);
    assert_int_equal(issue("demo-1"), HACTL_E_DENIED);
    assert_said("cannot be decrypted");
    spill(file, "correct horse\n", 0600);
    open_with(settings);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_all_ready();
}

static void test_rule_11_passphrase_from_a_descriptor(void **state)
{
    char number[16];
    const struct fake_setting settings[] = {{"passphrase_descriptor", number}, {NULL, NULL}};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "from a pipe\n", 12), 12);
    close(ends[1]);
    snprintf(number, sizeof number, "%d", ends[0]);
    inventory.replica_count = 0;
    open_with(settings);
    make_all();
    assert_memory_equal(slurp(path_of("ca.key")), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 38);
    close(ends[0]);
}

/* Under a generous umask too, and under one that forbids everything: at open, and not by a change afterwards. */
static void test_rule_12_modes_do_not_depend_on_umask(void **state)
{
    /* Of four authorities, the service accounts and the operator; of a replica seven pairs, five kubeconfigs and its
     * copy of the service accounts'. */
    enum { SECRETS = 6 + 7 + 5 + 1 };
    static const mode_t masks[] = {0, 022, 077};

    (void)state;
    inventory.replica_count = 1;
    for (size_t i = 0; i < 3; i++) {
        mode_t old = umask(masks[i]);
        secrets_made = secrets_shown = secrets_changed = 0;
        make_all();
        umask(old);
        assert_int_equal(secrets_made, SECRETS);
        assert_int_equal(secrets_shown, 0);
        assert_int_equal(secrets_changed, 0);
        assert_int_equal(mode_of("ca.key"), 0600);
        assert_int_equal(mode_of("ca.crt"), 0644);
        assert_int_equal(mode_of("sa.key"), 0600);
        assert_int_equal(mode_of("replicas/demo-1/admin.conf"), 0600);
        assert_int_equal(mode_of("replicas/demo-1/pki/etcd"), 0700);
        assert_int_equal(mode_of("replicas/demo-1/pki/sa.key"), 0600);
        assert_int_equal(ha_tree_remove(directory), 0);
    }
}

/* Renewal keeps the key, so that one rename is all; what is read in between is the old pair or the new. */
static void test_rule_13_renewal_is_one_rename(void **state)
{
    char *key;
    struct stat before, after;

    (void)state;
    make_all();
    key = slurp(path_of("replicas/demo-1/pki/apiserver.key"));
    assert_int_equal(stat(path_of("replicas/demo-1/pki/apiserver.key"), &before), 0);
    cluster.external_address = "127.81.0.77";
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_int_equal(stat(path_of("replicas/demo-1/pki/apiserver.key"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_string_equal(slurp(path_of("replicas/demo-1/pki/apiserver.key")), key);
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", "127.81.0.77"), 0);
}

/* A whole tree: one syncfs(2) for all its files, and one fsync(2) for each directory in which something gets its name:
 * of new directories that is the one above, of files that are made anew the one that they are in. */
static void test_rule_14_one_sync_for_a_batch(void **state)
{
    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    syncs = file_syncs = 0;
    assert_int_equal(issue(HACTL_EVERYTHING), HACTL_OK);
    assert_int_equal(syncs, 1);
    assert_int_equal(file_syncs, 2); /* that of operator, and that of the three replicas */
    assert_all_ready();
    assert_int_equal(issue(HACTL_EVERYTHING), HACTL_OK);
    assert_int_equal(syncs, 1);
    assert_int_equal(file_syncs, 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            unlink(path_of((const char *[]){"replicas/demo-1/pki/etcd/peer.crt", "replicas/demo-2/admin.conf",
                                            "replicas/demo-2/kubelet.conf"}[i])),
            0);
    assert_int_equal(issue(HACTL_EVERYTHING), HACTL_OK);
    assert_int_equal(syncs, 2);
    assert_int_equal(file_syncs, 2 + 2);
}

static void watch(const char *relative)
{
    watched = relative;
    syncs = 0;
    had_its_name = true;
    log_size = 0;
}

/* All of the log that there is now was durable, and what it tells of had no name before. */
static void assert_logged_first(off_t before)
{
    watched = NULL;
    assert_true(syncs > 0);
    assert_false(had_its_name);
    assert_true(log_size > before);
    assert_true(log_size == size_of("audit.log"));
}

static void test_rule_17_the_log_is_durable_first(void **state)
{
    char request[128], key[128];
    const char *const make[] = {"openssl", "req",     "-new", "-newkey", "ec",    "-pkeyopt", "ec_paramgen_curve:P-256",
                                "-nodes",  "-keyout", key,    "-out",    request, "-subj",    "/CN=demo-1",
                                NULL};
    const struct hactl_issuer_ops *issuer = hactl_plugin.issuer;
    off_t before;

    (void)state;
    snprintf(request, sizeof request, "%s/asked.csr", top);
    snprintf(key, sizeof key, "%s/asked.key", top);
    watch("ca.crt");
    assert_int_equal(authorities(), HACTL_OK);
    assert_logged_first(0);
    before = size_of("audit.log");
    watch("operator/etcd-client.crt");
    assert_int_equal(issue(NULL), HACTL_OK);
    assert_logged_first(before);
    before = size_of("audit.log");
    watch("replicas/demo-1");
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_logged_first(before);
    before = size_of("audit.log");
    watch("etcd/ca.crl");
    assert_int_equal(issuer->revoke(self, fresh_call(), &inventory, slurp(path_of("operator/etcd-client.crt"))),
                     HACTL_OK);
    assert_logged_first(before);
    before = size_of("audit.log");
    watch("etcd/ca.next.crt");
    assert_int_equal(issuer->rotate(self, fresh_call(), &inventory, "etcd-ca", HACTL_ROTATION_PREPARE), HACTL_OK);
    assert_logged_first(before);
    /* What is signed for others is in no file. */
    assert_int_equal(run_program(make), 0);
    before = size_of("audit.log");
    watch("no-file");
    assert_int_equal(issuer->sign(self, fresh_call(), &inventory, "demo-1", "etcd-server", slurp(request)), HACTL_OK);
    assert_logged_first(before);
}

/* Keys that take long: what there was time for is there, whole, and the next call goes on. */
static void test_slow_keys_are_made_in_several_calls(void **state)
{
    const struct fake_setting settings[] = {{"key_type", "rsa-2048"}, {NULL, NULL}};
    int result = HACTL_E_BUSY, calls = 0;

    (void)state;
    inventory.replica_count = 1;
    assert_int_equal(authorities(), HACTL_OK);
    open_with(settings);
    for (; result == HACTL_E_BUSY && calls < 40; calls++) {
        struct hactl_call *hasty = fake_call_new(1);
        result = hactl_plugin.issuer->issue(self, hasty, &inventory, "demo-1", NULL, 0);
        fake_call_free(hasty);
    }
    assert_int_equal(result, HACTL_OK);
    assert_true(calls > 1);
    assert_int_equal(openssl_says("ca", "replicas/demo-1/pki/apiserver", "sslserver", EXTERNAL), 0);
    assert_int_equal(listed("kubelet", "demo-1")->ready, HACTL_YES);
}

static void test_rule_15_no_authority_is_overwritten(void **state)
{
    char *key, *certificate, *account;

    (void)state;
    make_all();
    key = slurp(path_of("ca.key"));
    certificate = slurp(path_of("ca.crt"));
    account = slurp(path_of("sa.key"));
    make_all();
    assert_string_equal(slurp(path_of("ca.key")), key);
    assert_string_equal(slurp(path_of("ca.crt")), certificate);
    assert_string_equal(slurp(path_of("sa.key")), account);
    spill(path_of("sa.key"), "rubbish", 0600);
    assert_int_equal(authorities(), HACTL_E_CONFLICT);
    assert_said("sa.key cannot be used");
    assert_int_equal(unlink(path_of("sa.key")), 0);
    assert_int_equal(authorities(), HACTL_E_CONFLICT); /* sa.pub is still there: tokens are checked with it */
}

/* What a reader of logs, errors and listings could see of a key: nothing. */
static void test_rule_16_no_key_is_shown(void **state)
{
    char *key, line[65];

    (void)state;
    make_all();
    key = slurp(path_of("replicas/demo-1/pki/apiserver.key"));
    snprintf(line, sizeof line, "%.64s", strchr(key, '\n') + 1);
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++) {
        assert_null(strstr(call->certificates[i].names, line));
        assert_null(strstr(call->certificates[i].subject, line));
    }
    spill(path_of("replicas/demo-1/pki/apiserver.crt"), key, 0644); /* a key where a certificate should be */
    assert_null(strstr(listed("kube-apiserver", "demo-1")->reason, line));
}

/* Private numbers and the texts with them: where nothing is swapped or dumped, and cleared. */
static void test_rule_16_keys_are_in_the_secure_heap(void **state)
{
    struct pki_maker maker;
    EVP_PKEY *key;
    char *text = NULL;
    size_t size, before = CRYPTO_secure_used();

    (void)state;
    assert_int_equal(CRYPTO_secure_malloc_initialized(), 1);
    assert_int_equal(pki_secret_open("ecdsa-p256"), pki_secret_open("rsa-2048")); /* asked again */
    pki_maker_open(&maker, pki_crypto(self));
    for (const char *const *type = (const char *const[]){"ecdsa-p384", "rsa-2048", NULL}; *type != NULL; type++) {
        size_t used = CRYPTO_secure_used();
        key = pki_key_generate(&maker, *type);
        assert_non_null(key);
        assert_true(CRYPTO_secure_used() > used);
        assert_int_equal(pki_key_write(pki_crypto(self), key, NULL, &text, &size), 0);
        assert_int_equal(CRYPTO_secure_allocated(text), 1);
        pki_secret_free(text, size);
        EVP_PKEY_free(key);
    }
    pki_maker_close(&maker);
    text = pki_secret_new(100);
    memset(text, 'k', 100);
    pki_secret_free(text, 100);
    assert_ptr_equal(pki_secret_new(100), text); /* the next one gets it */
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(text[i], 0);
    pki_secret_free(text, 100);
    text = pki_secret_new((size_t)64 << 20); /* more than there is */
    assert_non_null(text);
    assert_int_equal(CRYPTO_secure_allocated(text), 0);
    pki_secret_free(text, 0);
    pki_secret_free(NULL, 0);
    assert_in_range(CRYPTO_secure_used(), before, before + 8192); /* the generator's seed, what is kept for texts */
}

/* More keys than a cluster has, and all at once. */
static void test_rule_16_there_is_room_for_every_key(void **state)
{
    enum { MANY = 4000 };
    static EVP_PKEY *keys[MANY];
    struct pki_maker maker;

    (void)state;
    pki_maker_open(&maker, pki_crypto(self));
    for (size_t i = 0; i < MANY; i++)
        assert_non_null(keys[i] = pki_key_generate(&maker, "ecdsa-p256"));
    for (size_t i = 0; i < MANY; i++)
        EVP_PKEY_free(keys[i]);
    pki_maker_close(&maker);
}

/* ---- libcrypto ---- */

/* A comma is no field of its own, and a NUL no end. */
static void test_rule_27_names_inject_nothing(void **state)
{
    static const char *const bad[] = {"a,DNS:evil.example.com", "a\nb", "a;b", "IP:1.2.3.4", "a\"b"};

    (void)state;
    assert_int_equal(authorities(), HACTL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        extra_names[0] = bad[i];
        assert_int_equal(issue("demo-1"), HACTL_E_INVALID);
    }
}

/* The first signature of each authority is verified with its public key. */
static void test_rule_28_output_is_verified(void **state)
{
    struct pki *pki = self;
    struct pki_state seen;
    struct pki_store store;

    (void)state;
    make_all();
    assert_int_equal(pki_store_open(pki, call, false, &store), HACTL_OK);
    for (size_t i = 0; i < pki_authority_count; i++) {
        pki_authority_glance(pki, &store, &pki_authorities[i], &seen);
        assert_non_null(seen.made); /* read back, or it would not be there */
        pki_state_free(&seen);
        pki_authority_check(pki, &store, &pki_authorities[i], &seen);
        assert_int_equal(seen.ready, HACTL_YES);
        assert_null(seen.made);
        assert_non_null(seen.certificate);
        pki_state_free(&seen);
    }
    pki_store_close(&store);
    open_with(NULL); /* as another process finds them */
    pki = self;
    cluster.external_address = "127.81.0.77";
    assert_null(pki->verified[0]);
    assert_int_equal(issue("demo-1"), HACTL_OK);
    assert_non_null(pki->verified[0]);
    ERR_clear_error();
}

static void assert_read_back(const struct pki_maker *maker, const unsigned char *der, size_t size, EVP_PKEY *signer,
                             bool right)
{
    struct pki_readback *readback = pki_readback_make(maker, der, size, signer);

    assert_int_equal(readback != NULL, right);
    pki_readback_free(readback);
    ERR_clear_error();
}

/* Whatever byte of it is wrong, it is not handed out. */
static void test_rule_28_a_wrong_output_is_found(void **state)
{
    static const char *const types[] = {"ecdsa-p256", "ecdsa-p384", "rsa-2048"};
    struct pki *pki = self;
    struct pki_issuance issuance = {
        .common_name = "x", .authority = true, .not_before_s = time(NULL), .not_after_s = time(NULL) + 3600};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct pki_maker maker;
        pki_maker_open(&maker, pki_crypto(pki));
        EVP_PKEY *other = pki_key_generate(&maker, types[i]), *key = pki_key_generate(&maker, types[i]);
        size_t size;
        unsigned char *der = pki_certificate_make(&maker, key, &issuance, NULL, key, &size);
        assert_non_null(der);
        assert_read_back(&maker, der, size, key, true);
        assert_read_back(&maker, der, size, other, false);
        assert_read_back(&maker, der, size - 1, key, false);
        for (size_t at = 0; at < size; at += 7) {
            der[at] ^= 0x20;
            assert_read_back(&maker, der, size, key, false);
            der[at] ^= 0x20;
        }
        assert_read_back(&maker, der, size, key, true);
        free(der);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
        pki_maker_close(&maker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rule_11_keys_are_pkcs8),
        TEST(test_rule_11_authority_keys_may_be_encrypted),
        TEST(test_rule_11_passphrase_from_a_descriptor),
        TEST(test_rule_12_modes_do_not_depend_on_umask),
        TEST(test_rule_13_renewal_is_one_rename),
        TEST(test_rule_14_one_sync_for_a_batch),
        TEST(test_rule_17_the_log_is_durable_first),
        TEST(test_slow_keys_are_made_in_several_calls),
        TEST(test_rule_15_no_authority_is_overwritten),
        TEST(test_rule_16_no_key_is_shown),
        TEST(test_rule_16_keys_are_in_the_secure_heap),
        TEST(test_rule_16_there_is_room_for_every_key),
        TEST(test_rule_27_names_inject_nothing),
        TEST(test_rule_28_output_is_verified),
        TEST(test_rule_28_a_wrong_output_is_found),
    };

    return cmocka_run_group_tests_name("pki_rules_files", tests, NULL, NULL);
}
