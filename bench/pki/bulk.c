/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many leaves a second the pki plugin's engine makes, and what bounds it.
 *
 *   bulk floor COUNT                     keys and signatures, nothing else
 *   bulk make DIRECTORY COUNT THREADS    as one batch, keys and certificates as files
 *   bulk each DIRECTORY COUNT THREADS    the same, every file made durable by itself
 *
 * THREADS is 1 where it is missing; 0: as many as by default. Prints leaves per second.
 */
#include "plugins/pki/pki.h"
#include "tests/support/fake_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "bulk: %s\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the floor ---- */

static double run_floor(size_t count)
{
    struct pki_crypto crypto;
    struct pki_maker maker;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char message[500] = {1}, signature[128];
    EVP_PKEY *signer;
    double began_s;

    if (pki_crypto_open(&crypto) != 0)
        fail("no libcrypto");
    pki_maker_open(&maker, &crypto);
    signer = pki_key_generate(&maker, "ecdsa-p256");
    began_s = now_s();
    for (size_t i = 0; i < count; i++) {
        EVP_PKEY *key = pki_key_generate(&maker, "ecdsa-p256");
        size_t size = sizeof signature;
        if (key == NULL || EVP_DigestSignInit_ex(context, NULL, "SHA2-256", crypto.library, NULL, signer, NULL) != 1 ||
            EVP_DigestSign(context, signature, &size, message, sizeof message) != 1)
            fail("no signature");
        EVP_PKEY_free(key);
    }
    began_s = now_s() - began_s;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(signer);
    pki_maker_close(&maker);
    pki_crypto_close(&crypto);
    return (double)count / began_s;
}

/* ---- the engine ---- */

static const char *const leaf_names[] = {
    "bench-1",   "kubernetes",   "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    "10.0.0.11", "203.0.113.10", "10.96.0.1",
};

struct bench {
    struct hactl_conf *conf;
    struct hactl_call *call;
    struct pki *pki;
    struct pki_store store;
    EVP_PKEY *authority_key;
    X509 *authority;
    struct pki_names names;
};

static void open_bench(struct bench *bench, const char *directory, const char *threads)
{
    const struct fake_setting settings[] = {{"directory", directory}, {"threads", threads}, {NULL, NULL}};
    struct pki_issuance issuance = {.common_name = "kubernetes",
                                    .authority = true,
                                    .not_before_s = (int64_t)time(NULL),
                                    .not_after_s = (int64_t)time(NULL) + 3650 * (int64_t)PKI_DAY_S};
    struct pki_maker maker;
    unsigned char *der;
    size_t size;
    void *self = NULL;

    bench->call = fake_call_new(600000);
    bench->conf = fake_conf_new(hactl_plugin.keys, settings, "pki", "bench", directory);
    if (hactl_plugin.open(&fake_host, bench->conf, bench->call, &self) != HACTL_OK)
        fail(bench->call->text);
    bench->pki = self;
    if (pki_store_open(bench->pki, bench->call, true, &bench->store) != HACTL_OK)
        fail(bench->call->text);
    pki_maker_open(&maker, pki_crypto(bench->pki));
    bench->authority_key = pki_key_generate(&maker, "ecdsa-p256");
    der = pki_certificate_make(&maker, bench->authority_key, &issuance, NULL, bench->authority_key, &size);
    bench->authority = der != NULL ? pki_certificate_parse(pki_crypto(bench->pki), der, size) : NULL;
    if (bench->authority == NULL)
        fail("no authority");
    free(der);
    pki_maker_close(&maker);
    for (size_t i = 0; i < sizeof leaf_names / sizeof leaf_names[0]; i++)
        pki_names_add(&bench->names, leaf_names[i], "bench");
}

static void add_leaf(struct bench *bench, struct pki_batch *batch, struct pki_jobs *jobs, size_t number)
{
    struct pki_item item = {.ending = ".crt", .purpose = "kube-apiserver", .new_key = true, .reason = "bench"};
    struct pki_job *job = pki_jobs_add(jobs);

    /* As many directories as a large inventory has. */
    snprintf(item.base, sizeof item.base, "replicas/r-%zu/leaf-%zu", number / 64, number);
    if (job == NULL || pki_batch_add(batch, &item) == NULL)
        fail("out of memory");
    job->item = batch->count - 1;
    job->key_type = "ecdsa-p256";
    job->issuer = bench->authority;
    job->issuer_key = bench->authority_key;
    job->issuance = (struct pki_issuance){.common_name = "kube-apiserver",
                                          .usage = PKI_SERVER,
                                          .names = &bench->names,
                                          .not_before_s = (int64_t)time(NULL),
                                          .not_after_s = (int64_t)time(NULL) + 365 * (int64_t)PKI_DAY_S};
}

static void run_batch(struct bench *bench, size_t from, size_t count)
{
    struct pki_jobs jobs = {.list = NULL};
    struct pki_batch batch;
    int result;

    pki_batch_open(&batch, bench->pki, bench->call, &bench->store);
    for (size_t i = 0; i < count; i++)
        add_leaf(bench, &batch, &jobs, from + i);
    result = pki_jobs_run(&batch, &jobs);
    if (pki_batch_close(&batch, result) != HACTL_OK)
        fail(bench->call->text);
    pki_jobs_free(&jobs);
    pki_batch_free(&batch);
}

static void sync_file(const struct bench *bench, size_t number, const char *ending)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/replicas/r-%zu/leaf-%zu%s", bench->pki->directory, number / 64, number, ending);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        fail("fsync");
    close(fd);
    snprintf(path, sizeof path, "%s/replicas/r-%zu", bench->pki->directory, number / 64);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        fail("fsync of a directory");
    close(fd);
}

static void make_directories(const struct bench *bench, size_t count)
{
    char path[512];

    snprintf(path, sizeof path, "%s/replicas", bench->pki->directory);
    mkdir(path, 0700);
    for (size_t i = 0; i < count; i += 64) {
        snprintf(path, sizeof path, "%s/replicas/r-%zu", bench->pki->directory, i / 64);
        if (mkdir(path, 0700) != 0)
            fail("mkdir");
    }
}

/* What tools do that know no batch: write, fsync, rename, fsync the
 * directory, for each file. The keys and certificates are made by the same code. */
static void run_each(struct bench *bench, size_t count)
{
    struct pki_jobs jobs = {.list = NULL};
    struct pki_batch batch;

    make_directories(bench, count);
    pki_batch_open(&batch, bench->pki, bench->call, &bench->store);
    for (size_t i = 0; i < count; i++)
        add_leaf(bench, &batch, &jobs, i);
    if (pki_jobs_run(&batch, &jobs) != HACTL_OK)
        fail(bench->call->text);
    for (size_t i = 0; i < count; i++) {
        static const char *const endings[] = {".key", ".crt"};
        for (size_t j = 0; j < 2; j++) {
            if (pki_store_place(&bench->store, batch.items[i].base, endings[j], false) != 0)
                fail("rename");
            sync_file(bench, i, endings[j]);
        }
    }
    pki_jobs_free(&jobs);
    pki_batch_free(&batch);
}

static void close_bench(struct bench *bench)
{
    pki_store_close(&bench->store);
    pki_names_free(&bench->names);
    X509_free(bench->authority);
    EVP_PKEY_free(bench->authority_key);
    hactl_plugin.close(bench->pki);
    fake_conf_free(bench->conf);
    fake_call_free(bench->call);
}

int main(int argc, char **argv)
{
    struct bench bench = {.conf = NULL};
    size_t count = argc > 2 ? strtoul(argv[argc == 3 ? 2 : 3], NULL, 10) : 0;
    double began_s;

    if (argc == 3 && strcmp(argv[1], "floor") == 0) {
        printf("%.0f\n", run_floor(count));
        return 0;
    }
    if (argc < 4 || count == 0)
        fail("floor COUNT | make DIRECTORY COUNT THREADS | each DIRECTORY COUNT THREADS");
    open_bench(&bench, argv[2], argc > 4 ? argv[4] : "1");
    began_s = now_s();
    if (strcmp(argv[1], "each") == 0)
        run_each(&bench, count);
    else
        run_batch(&bench, 0, count);
    printf("%.0f\n", (double)count / (now_s() - began_s));
    close_bench(&bench);
    return 0;
}
