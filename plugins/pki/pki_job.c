/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates, made on as many threads as are worth starting. RSA
 * keys take a hundred times as long as anything else here; for them every
 * processor is used. */
#include "plugins/pki/pki.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS_MAX 64
/* Fewer elliptic jobs than this are done before another thread is of any help. */
#define WORTH_A_THREAD 12
/* For making files durable and giving them their names. */
#define SPARE_MS 1500

struct pki_job *pki_jobs_add(struct pki_jobs *jobs)
{
    if (jobs->count == jobs->room) {
        size_t room = jobs->room != 0 ? 2 * jobs->room : 16;
        struct pki_job *list = reallocarray(jobs->list, room, sizeof *list);
        if (list == NULL)
            return NULL;
        jobs->list = list;
        jobs->room = room;
    }
    memset(&jobs->list[jobs->count], 0, sizeof *jobs->list);
    return &jobs->list[jobs->count++];
}

void pki_jobs_free(struct pki_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        free(jobs->list[i].der);
        pki_readback_free(jobs->list[i].made);
        EVP_PKEY_free(jobs->list[i].key);
        pki_want_free(&jobs->list[i].want);
    }
    free(jobs->list);
    *jobs = (struct pki_jobs){.list = NULL};
}

/* ---- one job ---- */

/* What all threads share, and what each has of its own. */
struct run {
    struct pki_batch *batch;
    struct pki_jobs *jobs;
    atomic_size_t next;
    atomic_bool stop;
};

struct worker {
    pthread_t thread;
    struct run *run;
    struct pki_store *store; /* the batch's, or: */
    struct pki_store shared;
    struct pki_maker maker;
};

static int job_fail(struct pki_job *job, int code, const char *format, ...) HACTL_FORMAT(3, 4);

static int job_fail(struct pki_job *job, int code, const char *format, ...)
{
    va_list arguments;

    job->code = code;
    va_start(arguments, format);
    vsnprintf(job->text, sizeof job->text, format, arguments);
    va_end(arguments);
    return code;
}

static int stage(struct worker *worker, struct pki_job *job, const char *ending, const char *content, size_t size,
                 mode_t mode)
{
    const struct pki_item *item = &worker->run->batch->items[job->item];
    int error = pki_store_stage(worker->store, item->base, ending, content, size, mode);

    /* The number goes into the code; the main thread makes the text of it. */
    return error == 0 ? HACTL_OK : job_fail(job, error, "%s", ending);
}

static int stage_key(struct worker *worker, struct pki_job *job)
{
    char *pem = NULL;
    size_t size = 0;
    int result;

    if (pki_maker_key_write(&worker->maker, job->key, job->passphrase, &pem, &size) != 0)
        return job_fail(job, 1, "its key cannot be written: %s", pki_crypto_error());
    result = stage(worker, job, ".key", pem, size, 0600);
    pki_secret_free(pem, size);
    return result;
}

/* The certificate and the intermediate authorities after it. */
static char *chain_text(struct pki_job *job, size_t *size)
{
    char *text = pki_pem("CERTIFICATE", job->der, job->der_size, size), *longer;
    int count = job->issuer_chain != NULL ? sk_X509_num(job->issuer_chain) - 1 : 0;

    for (int i = 0; text != NULL && i < count; i++) {
        char *one = NULL;
        size_t length = 0;
        if (pki_certificate_write(sk_X509_value(job->issuer_chain, i), &one, &length) != 0 ||
            (longer = realloc(text, *size + length + 1)) == NULL) {
            free(one);
            free(text);
            return NULL;
        }
        text = longer;
        memcpy(text + *size, one, length + 1);
        *size += length;
        free(one);
    }
    return text;
}

static int stage_certificate(struct worker *worker, struct pki_job *job)
{
    size_t size = 0;
    char *pem = chain_text(job, &size);
    int result;

    if (pem == NULL)
        return job_fail(job, 1, "its certificate cannot be written: %s", pki_crypto_error());
    result = stage(worker, job, ".crt", pem, size, 0644);
    free(pem);
    return result;
}

static int stage_kubeconfig(struct worker *worker, struct pki_job *job)
{
    size_t certificate_size = 0, key_size = 0, size = 0;
    char *certificate = chain_text(job, &certificate_size), *key = NULL, *text = NULL;
    int result;

    if (certificate == NULL || pki_maker_key_write(&worker->maker, job->key, NULL, &key, &key_size) != 0 ||
        pki_kubeconfig_write(job->cluster, job->issuance.common_name, job->server, job->trust, certificate, key, &text,
                             &size) != 0)
        result = job_fail(job, 1, "it cannot be written: %s", pki_crypto_error());
    else
        result = stage(worker, job, ".conf", text, size, 0600);
    free(certificate);
    pki_secret_free(key, key_size);
    pki_secret_free(text, size);
    return result;
}

static int stage_account(struct worker *worker, struct pki_job *job)
{
    char *pem = NULL;
    size_t size = 0;
    int result = stage_key(worker, job);

    if (result != HACTL_OK)
        return result;
    if (pki_public_key_write(job->key, &pem, &size) != 0)
        return job_fail(job, 1, "its public half cannot be written: %s", pki_crypto_error());
    result = stage(worker, job, ".pub", pem, size, 0644);
    free(pem);
    return result;
}

/* Which authority a job's certificate is of: itself, when it is one. `*key_id` is for the caller to free. */
bool pki_job_issuer(const struct pki_job *job, struct pki_issuer *issuer, ASN1_OCTET_STRING **key_id)
{
    const struct pki_readback *made = job->made_issuer != NULL ? job->made_issuer : job->made;

    *key_id = NULL;
    if (job->issuer == NULL)
        return made != NULL && pki_readback_issuer(made, issuer);
    *key_id = pki_key_id(job->issuer, false);
    issuer->key_id = *key_id;
    return X509_NAME_get0_der(X509_get_subject_name(job->issuer), &issuer->name, &issuer->name_size) == 1;
}

/* A signature made with a broken key or processor would be found by whoever
 * is shown it; the first of each authority is found here, and read back. */
static int verify(struct worker *worker, struct pki_job *job, EVP_PKEY *signer)
{
    struct pki_readback *made = pki_readback_make(&worker->maker, job->der, job->der_size, signer);

    if (made == NULL)
        return job_fail(job, 1, "its own signature does not verify: %s", pki_crypto_error());
    if (job->issuer == NULL && job->made_issuer == NULL)
        job->made = made; /* handed over */
    else
        pki_readback_free(made);
    return HACTL_OK;
}

static int check_constraints(struct worker *worker, struct pki_job *job)
{
    X509 *certificate = pki_certificate_parse(worker->maker.crypto, job->der, job->der_size);
    int result = HACTL_OK;

    if (certificate == NULL)
        result = job_fail(job, 1, "it cannot be read back: %s", pki_crypto_error());
    else if (!pki_chain_allows(job->issuer_chain, certificate))
        result =
            job_fail(job, 2,
                     "one of its names is outside of the name constraints of its authority %s, or of one above it; "
                     "an authority that was constrained to other addresses has to be replaced first",
                     job->want.profile != NULL ? job->want.profile->authority : "");
    X509_free(certificate);
    return result;
}

static int make_certificate(struct worker *worker, struct pki_job *job)
{
    EVP_PKEY *signer = job->issuer_key != NULL ? job->issuer_key : job->key;
    ASN1_OCTET_STRING *key_id;
    struct pki_issuer issuer;
    bool signed_by_other = pki_job_issuer(job, &issuer, &key_id);
    int result = HACTL_OK;

    job->der = pki_certificate_make_under(&worker->maker, job->key, &job->issuance, signed_by_other ? &issuer : NULL,
                                          signer, &job->der_size);
    ASN1_OCTET_STRING_free(key_id);
    if (job->der == NULL)
        return job_fail(job, 1, "%s", pki_crypto_error());
    if (job->verify)
        result = verify(worker, job, signer);
    return result == HACTL_OK && job->constrained ? check_constraints(worker, job) : result;
}

static int do_job(struct worker *worker, struct pki_job *job)
{
    bool new_key = job->key == NULL;
    int result = HACTL_OK;

    if (new_key)
        job->key = pki_key_generate(&worker->maker, job->key_type);
    if (job->key == NULL)
        return job_fail(job, 1, "no key of type %s can be made: %s", job->key_type, pki_crypto_error());
    if (job->kind == PKI_JOB_ACCOUNT)
        return stage_account(worker, job);
    result = make_certificate(worker, job);
    if (result != HACTL_OK)
        return result;
    if (job->kind == PKI_JOB_KUBECONFIG)
        return stage_kubeconfig(worker, job);
    if (new_key)
        result = stage_key(worker, job);
    return result == HACTL_OK ? stage_certificate(worker, job) : result;
}

/* ---- all of them ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What is left is for another call when the next job might not end in time. */
static bool is_late(const struct pki_batch *batch, int64_t job_ms)
{
    return batch->pki->host->ms_left(batch->call) < 2 * job_ms + SPARE_MS;
}

static void work(struct worker *worker, bool is_main)
{
    struct run *run = worker->run;
    const struct pki_batch *batch = run->batch;
    size_t i;

    pki_maker_open(&worker->maker, pki_crypto(batch->pki));
    worker->shared = pki_store_share(batch->store);
    worker->store = is_main ? batch->store : &worker->shared;
    while (!atomic_load(&run->stop) && (i = atomic_fetch_add(&run->next, 1)) < run->jobs->count) {
        int64_t began_ms = now_ms();
        run->jobs->list[i].done = do_job(worker, &run->jobs->list[i]) == HACTL_OK;
        /* The host is asked by the thread that it called, and by no other. */
        if (!run->jobs->list[i].done ||
            (is_main && (batch->pki->host->cancelled(batch->call) || is_late(batch, now_ms() - began_ms))))
            atomic_store(&run->stop, true);
    }
    pki_store_unshare(&worker->shared);
    pki_maker_close(&worker->maker);
}

static void *thread_main(void *argument)
{
    work(argument, false);
    pki_crypto_error();
    return NULL;
}

static unsigned threads_worth(const struct pki *pki, const struct pki_jobs *jobs)
{
    unsigned most = pki->threads != 0 ? pki->threads : pki_processors();
    size_t slow = 0, worth;

    for (size_t i = 0; i < jobs->count; i++)
        slow += jobs->list[i].key == NULL && strncmp(jobs->list[i].key_type, "rsa", 3) == 0;
    worth = slow + (jobs->count - slow) / WORTH_A_THREAD;
    if (most > THREADS_MAX)
        most = THREADS_MAX;
    return worth < 1 ? 1 : worth < most ? (unsigned)worth : most;
}

static int report(struct pki_batch *batch, const struct pki_jobs *jobs)
{
    const struct pki *pki = batch->pki;

    for (size_t i = 0; i < jobs->count; i++) {
        const struct pki_job *job = &jobs->list[i];
        const struct pki_item *item = &batch->items[job->item];
        if (job->code < 0)
            return pki_store_fail(pki, batch->call, job->code, item->base, job->text);
        if (job->code > 0)
            return pki->host->fail(batch->call, job->code == 2 ? HACTL_E_INVALID : HACTL_E_INTERNAL, "%s%s%s: %s",
                                   item->purpose, item->replica != NULL ? " of " : "",
                                   item->replica != NULL ? item->replica : "", job->text);
    }
    if (pki->host->cancelled(batch->call))
        return pki->host->fail(batch->call, HACTL_E_CANCELLED, "stopped before anything was put in place");
    return HACTL_OK;
}

static void skip_undone(struct pki_batch *batch, struct pki_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        if (!jobs->list[i].done) {
            batch->items[jobs->list[i].item].skipped = true;
            jobs->left++;
        }
}

int pki_jobs_run(struct pki_batch *batch, struct pki_jobs *jobs)
{
    struct run run = {.batch = batch, .jobs = jobs};
    unsigned wanted = threads_worth(batch->pki, jobs), started = 1;
    struct worker *workers = calloc(wanted, sizeof *workers);

    if (workers == NULL)
        return pki_batch_out_of_memory(batch);
    for (unsigned i = 0; i < wanted; i++)
        workers[i].run = &run;
    while (started < wanted && pki_thread_create(&workers[started].thread, thread_main, &workers[started]) == 0)
        started++;
    work(&workers[0], true);
    for (unsigned i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    free(workers);
    skip_undone(batch, jobs);
    return report(batch, jobs);
}

/* ---- afterwards ---- */

static void take_key(struct pki_remembered *one, const struct pki_job *job)
{
    if (EVP_PKEY_up_ref(job->key) == 1)
        one->key = job->key;
    one->sealed = job->passphrase != NULL;
}

/* Nothing that RFC 2253 would write in another way. */
static bool is_plain(const char *text)
{
    return text == NULL ||
           (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_")] == '\0' &&
            text[0] != '\0');
}

/* "CN=a,O=b", as it is printed when it was read */
static char *subject_text(const struct pki_issuance *issuance)
{
    const char *group = issuance->organization;
    X509_NAME *name;
    char *text = NULL;

    if (is_plain(issuance->common_name) && is_plain(group))
        return asprintf(&text, "CN=%s%s%s", issuance->common_name, group != NULL ? ",O=" : "",
                        group != NULL ? group : "") < 0
                   ? NULL
                   : text;
    name = X509_NAME_new();
    if (name != NULL && pki_subject_set(name, issuance->common_name, issuance->organization) == 1)
        text = pki_name_text(name);
    X509_NAME_free(name);
    return text;
}

/* A leaf is not parsed, since nobody may ask what else it says. */
static void take_leaf(struct pki_remembered *one, const struct pki_job *job)
{
    one->subject = subject_text(&job->issuance);
    one->names = pki_names_text(job->issuance.names);
    if (one->subject == NULL || one->names == NULL || EVP_PKEY_up_ref(job->key) != 1)
        return;
    one->matches = job->key;
    one->not_before_s = job->issuance.not_before_s;
    one->not_after_s = job->issuance.not_after_s;
    one->good_for = job->digest;
    one->unparsed = true;
}

/* It verifies with its own key, which was seen when it was made, and says what an authority is to say. */
static void take_authority(struct pki_remembered *one, const struct pki_job *job)
{
    one->subject = subject_text(&job->issuance);
    one->names = strdup("");
    if (one->subject == NULL || one->names == NULL || job->made == NULL || EVP_PKEY_up_ref(job->key) != 1)
        return;
    one->matches = job->key;
    one->made = pki_readback_keep(job->made);
    one->not_before_s = job->issuance.not_before_s;
    one->not_after_s = job->issuance.not_after_s;
    one->good_for = 1;
    one->unparsed = true;
}

static void take_public(struct pki_remembered *one, const struct pki_job *job)
{
    take_key(one, job);
    if (EVP_PKEY_up_ref(job->key) == 1)
        one->matches = job->key;
}

static void take_kubeconfig(struct pki_remembered *one, const struct pki_job *job)
{
    take_key(one, job);
    take_leaf(one, job);
    one->kubeconfig = calloc(1, sizeof *one->kubeconfig);
    if (one->kubeconfig == NULL)
        return;
    one->kubeconfig->server = strdup(job->server);
    one->kubeconfig->authority = OPENSSL_strdup(job->trust);
}

static void remember_one(struct pki *pki, struct pki_store *store, const struct pki_item *item, const char *ending,
                         const struct pki_job *job, void (*take)(struct pki_remembered *, const struct pki_job *))
{
    struct pki_blob blob;
    struct pki_remembered *one;

    if (pki_store_stat(store, item->base, ending, &blob) != 0 ||
        (one = pki_memory_add(pki->memory, item->base, ending, &blob)) == NULL)
        return;
    take(one, job);
}

void pki_jobs_remember(struct pki *pki, struct pki_store *store, const struct pki_batch *batch,
                       const struct pki_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        const struct pki_job *job = &jobs->list[i];
        const struct pki_item *item = &batch->items[job->item];
        if (!job->done)
            continue;
        if (job->kind == PKI_JOB_KUBECONFIG)
            remember_one(pki, store, item, ".conf", job, take_kubeconfig);
        if (job->kind == PKI_JOB_ACCOUNT)
            remember_one(pki, store, item, ".pub", job, take_public);
        if (job->kind != PKI_JOB_KUBECONFIG && item->new_key)
            remember_one(pki, store, item, ".key", job, take_key);
        if (job->kind == PKI_JOB_CERTIFICATE)
            remember_one(pki, store, item, ".crt", job, job->made == NULL ? take_leaf : take_authority);
    }
}

int pki_jobs_finish(struct pki_batch *batch, struct pki_jobs *jobs, int result)
{
    pki_store_looking(batch->store, false);
    if (result == HACTL_OK)
        result = pki_jobs_run(batch, jobs);
    if (result == HACTL_OK)
        result = pki_audit_jobs(batch, jobs);
    result = pki_batch_close(batch, result);
    if (result == HACTL_OK) {
        pki_jobs_remember(batch->pki, batch->store, batch, jobs);
        pki_tree_remember(batch);
    }
    /* What is there is there; the next call goes on with the rest. */
    if (result == HACTL_OK && jobs->left > 0) {
        batch->pki->host->retry_after(batch->call, 1);
        result = batch->pki->host->fail(batch->call, HACTL_E_BUSY, "%zu of %zu keys are still to be made", jobs->left,
                                        jobs->count);
    }
    pki_jobs_free(jobs);
    pki_batch_free(batch);
    return result;
}
