/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pki_rig.h"

#include "lib/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char top[64], directory[96];
static struct hactl_conf *conf;
struct hactl_call *call;
void *self;
static char *slurped[1024];
static size_t slurped_count;

const char *extra_names[4];
struct hactl_cluster cluster;
struct hactl_replica replicas[3];
static const struct hactl_replica *const replica_list[] = {&replicas[0], &replicas[1], &replicas[2]};
struct hactl_inventory inventory;

/* ---- asking the plugin ---- */

struct hactl_call *fresh_call(void)
{
    fake_call_free(call);
    call = fake_call_new(600000);
    return call;
}

void open_with(const struct fake_setting *settings)
{
    hactl_plugin.close(self);
    self = NULL;
    fake_conf_free(conf);
    conf = fake_conf_new(hactl_plugin.keys, settings, "pki", "demo", directory);
    if (hactl_plugin.open(&fake_host, conf, fresh_call(), &self) != HACTL_OK)
        fail_msg("%s", call->text);
}

int setup(void **state)
{
    static const char *const addresses[] = {"127.81.1.1", "127.81.1.2", "127.81.1.3"};
    static const char *const names[] = {"demo-1", "demo-2", "demo-3"};

    (void)state;
    snprintf(top, sizeof top, "/tmp/hactl-pki-XXXXXX");
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(directory, sizeof directory, "%s/pki", top);
    memset(extra_names, 0, sizeof extra_names);
    cluster = (struct hactl_cluster){.struct_size = sizeof cluster,
                                     .name = "demo",
                                     .external_address = EXTERNAL,
                                     .endpoint_port = 2379,
                                     .service_address = "10.96.0.1",
                                     .dns_domain = "cluster.local",
                                     .extra_names = extra_names};
    for (size_t i = 0; i < 3; i++)
        replicas[i] = (struct hactl_replica){
            .struct_size = sizeof replicas[i], .name = names[i], .zone = "a", .internal_address = addresses[i]};
    inventory = (struct hactl_inventory){
        .struct_size = sizeof inventory, .cluster = &cluster, .replicas = replica_list, .replica_count = 3};
    open_with(NULL);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    hactl_plugin.close(self);
    self = NULL;
    fake_conf_free(conf);
    conf = NULL;
    fake_call_free(call);
    call = NULL;
    while (slurped_count > 0)
        free(slurped[--slurped_count]);
    return ha_tree_remove(top);
}

int authorities(void)
{
    return hactl_plugin.issuer->authority_ensure(self, fresh_call(), &inventory);
}

int issue(const char *replica)
{
    return hactl_plugin.issuer->issue(self, fresh_call(), &inventory, replica, NULL, 0);
}

/* Slow keys take several calls, under valgrind many. */
static int issue_all_of(const char *replica)
{
    int rc = HACTL_E_BUSY;

    for (int calls = 0; rc == HACTL_E_BUSY && calls < 50; calls++)
        rc = issue(replica);
    return rc;
}

void make_all(void)
{
    int rc = HACTL_E_BUSY;

    for (int calls = 0; rc == HACTL_E_BUSY && calls < 50; calls++)
        rc = authorities();
    assert_int_equal(rc, HACTL_OK);
    assert_int_equal(issue_all_of(NULL), HACTL_OK);
    for (size_t i = 0; i < inventory.replica_count; i++)
        assert_int_equal(issue_all_of(replicas[i].name), HACTL_OK);
}

void list_all(void)
{
    assert_int_equal(hactl_plugin.issuer->list(self, fresh_call(), &inventory), HACTL_OK);
}

const struct hactl_certificate *listed(const char *purpose, const char *replica)
{
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++) {
        const struct hactl_certificate *one = &call->certificates[i];
        if (strcmp(one->purpose, purpose) == 0 &&
            (replica == NULL ? one->replica == NULL : one->replica != NULL && strcmp(one->replica, replica) == 0))
            return one;
    }
    fail_msg("%s of %s is not listed", purpose, replica != NULL ? replica : "the cluster");
    return NULL;
}

void assert_all_ready(void)
{
    list_all();
    for (size_t i = 0; i < call->certificate_count; i++)
        if (call->certificates[i].ready != HACTL_YES)
            fail_msg("%s: %s", call->certificates[i].path, call->certificates[i].reason);
    assert_int_equal(call->certificate_count, 6 + 13 * inventory.replica_count);
}

void assert_not_ready(const char *purpose, const char *replica, const char *reason)
{
    const struct hactl_certificate *one = listed(purpose, replica);

    assert_int_not_equal(one->ready, HACTL_YES);
    assert_non_null(one->reason);
    if (strstr(one->reason, reason) == NULL)
        fail_msg("the reason is \"%s\", not \"%s\"", one->reason, reason);
}

void assert_said(const char *words)
{
    if (strstr(call->text, words) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", call->text, words);
}

/* ---- files ---- */

const char *path_of(const char *relative)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", directory, relative);
    return path;
}

/* Freed at the end of the test. */
char *slurp(const char *path)
{
    char *content = NULL;
    size_t size;

    assert_true(slurped_count < sizeof slurped / sizeof slurped[0]);
    assert_int_equal(ha_file_read(path, 1 << 20, &content, &size), 0);
    slurped[slurped_count++] = content;
    return content;
}

void spill(const char *path, const char *content, mode_t mode)
{
    assert_int_equal(ha_file_replace(path, content, strlen(content), mode, false), 0);
}

unsigned mode_of(const char *relative)
{
    struct stat status;

    assert_int_equal(lstat(path_of(relative), &status), 0);
    return status.st_mode & 07777;
}

bool there(const char *relative)
{
    struct stat status;

    return lstat(path_of(relative), &status) == 0;
}

/* Every file of the tree with its content, so that "untouched" is one compare. */
static void fingerprint(const char *path, char *text, size_t size)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        char child[512];
        struct stat status;
        snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
        assert_int_equal(lstat(child, &status), 0);
        if (entries[i]->d_name[0] != '.' && S_ISDIR(status.st_mode)) {
            fingerprint(child, text, size);
        } else if (S_ISREG(status.st_mode)) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, "%s %lu %o %lld.%09ld\n", child, (unsigned long)status.st_ino,
                     (unsigned)status.st_mode, (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
        }
        free(entries[i]);
    }
    free(entries);
}

char prints[2][65536];

const char *print_tree(unsigned which)
{
    prints[which][0] = '\0';
    fingerprint(directory, prints[which], sizeof prints[which]);
    return prints[which];
}

/* ---- judges ---- */

int run_program(const char *const *argv)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int openssl_says(const char *authority, const char *leaf, const char *purpose, const char *address)
{
    char ca[256], crt[256];
    const char *const argv[] = {"openssl",
                                "verify",
                                "-x509_strict",
                                "-check_ss_sig",
                                "-purpose",
                                purpose,
                                "-CAfile",
                                ca,
                                address != NULL ? "-verify_ip" : "-no-CApath",
                                address != NULL ? address : "-no-CAstore",
                                crt,
                                NULL};

    snprintf(ca, sizeof ca, "%s.crt", path_of(authority));
    snprintf(crt, sizeof crt, "%s.crt", path_of(leaf));
    return run_program(argv);
}

static int certtool_says(const char *authority, const char *leaf, const char *purpose, const char *name)
{
    char ca[256], crt[256];
    const char *argv[] = {"certtool",
                          "--verify",
                          "--verify-profile",
                          "medium",
                          "--verify-purpose",
                          purpose,
                          "--load-ca-certificate",
                          ca,
                          "--infile",
                          crt,
                          name != NULL ? "--verify-hostname" : NULL,
                          name,
                          NULL};

    snprintf(ca, sizeof ca, "%s.crt", path_of(authority));
    snprintf(crt, sizeof crt, "%s.crt", path_of(leaf));
    return run_program(argv);
}

#define SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define CLIENT_AUTH "1.3.6.1.5.5.7.3.2"

static const struct {
    const char *authority, *leaf, *address;
    bool server, client;
} judged[] = {
    {"etcd/ca", "replicas/demo-2/pki/etcd/server", EXTERNAL, true, true},
    {"etcd/ca", "replicas/demo-2/pki/etcd/server", "127.81.1.2", true, true},
    {"etcd/ca", "replicas/demo-2/pki/etcd/server", "::1", true, true},
    {"etcd/peer-ca", "replicas/demo-2/pki/etcd/peer", "127.81.1.2", true, true},
    {"ca", "replicas/demo-2/pki/apiserver", EXTERNAL, true, false},
    {"ca", "replicas/demo-2/pki/apiserver", "10.96.0.1", true, false},
    {"etcd/ca", "operator/etcd-client", NULL, false, true},
    {"etcd/ca", "replicas/demo-1/pki/apiserver-etcd-client", NULL, false, true},
    {"ca", "replicas/demo-1/pki/apiserver-kubelet-client", NULL, false, true},
    {"front-proxy-ca", "replicas/demo-1/pki/front-proxy-client", NULL, false, true},
};

void judge_all(void)
{
    const char *const certtool[] = {"certtool", "--version", NULL};
    bool gnutls = run_program(certtool) == 0;

    for (size_t i = 0; i < sizeof judged / sizeof judged[0]; i++) {
        const char *authority = judged[i].authority, *leaf = judged[i].leaf, *address = judged[i].address;
        assert_int_equal(openssl_says(authority, leaf, "sslserver", address) == 0, judged[i].server);
        assert_int_equal(openssl_says(authority, leaf, "sslclient", address) == 0, judged[i].client);
        if (gnutls) {
            assert_int_equal(certtool_says(authority, leaf, SERVER_AUTH, address) == 0, judged[i].server);
            assert_int_equal(certtool_says(authority, leaf, CLIENT_AUTH, address) == 0, judged[i].client);
        }
    }
}
