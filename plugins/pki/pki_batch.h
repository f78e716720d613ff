/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are made together: keys and certificates on every processor, and their lines in the log. */
#ifndef HACTL_PLUGINS_PKI_BATCH_H
#define HACTL_PLUGINS_PKI_BATCH_H

#include "plugins/pki/pki_check.h"

/* ---- batch ---- */

/* One file, or a certificate and its key, that is staged and then placed. */
struct pki_item {
    char base[PKI_PATH_SIZE];
    const char *ending; /* of what is not a key: ".crt", ".conf", ".pub" */
    const char *purpose;
    const char *replica;
    bool new_key;   /* a ".key" comes with it */
    bool authority; /* what is there is never replaced */
    bool secret;    /* its file holds a key itself */
    bool replaces;  /* there is one of that name */
    bool skipped;   /* it was not made after all */
    bool exchanged; /* it took its name with its directory */
    bool copy;      /* of this file: */
    struct pki_identity original;
    char reason[PKI_REASON_SIZE];
};

/* A directory in which a pair is replaced, see pki_exchange.c. */
struct pki_unit {
    char path[PKI_PATH_SIZE];
    size_t length;
    size_t first, end; /* where its items stand */
    char aside[24];    /* name of the other one */
    bool ready;
};

struct pki_batch {
    struct pki *pki;
    struct hactl_call *call;
    struct pki_store *store;
    struct pki_item *items;
    size_t count, room;
    struct pki_unit *units;
    size_t unit_count;
    bool placing; /* from here on what is staged is for the next run to finish */
};

void pki_batch_open(struct pki_batch *batch, struct pki *pki, struct hactl_call *call, struct pki_store *store);
/* Takes its place in the batch before it is staged, so that it is discarded with it. NULL: out of memory. */
struct pki_item *pki_batch_add(struct pki_batch *batch, const struct pki_item *item);
int pki_batch_out_of_memory(const struct pki_batch *batch); /* HACTL_E_INTERNAL */
/* Stages one file alone, content given. */
int pki_batch_file(struct pki_batch *batch, const struct pki_item *item, const char *content, size_t size, mode_t mode);
/* Commits unless `result` is a failure; then discards. Returns how it went. */
int pki_batch_close(struct pki_batch *batch, int result);
void pki_batch_free(struct pki_batch *batch);
/* Do two files, or directories, lie in the same one? */
bool pki_same_directory(const char *one, const char *other);

/* Before the batch's sync: makes the directories that are to take the place of those in which a pair is replaced. After
 * it: they do. 0 or a negative errno; where it cannot be done, items are left to be placed one by one. */
int pki_exchange_prepare(struct pki_batch *batch);
int pki_exchange_run(struct pki_batch *batch);
/* Removes what is left of it. */
int pki_exchange_clear(struct pki_store *store);
/* Where directories are made that will get another name; for the caller to close, or a negative errno. */
int pki_exchange_aside(struct pki_store *store);
/* How much of a path is that of the replica's directory, or of one of the cluster's; 0: it is a file at the top. */
size_t pki_unit_length(const char *path);

/* From now on files of the directory that `base` lies in are staged in one that is made aside, if it is not there yet.
 */
void pki_fresh_begin(struct pki_store *store, const char *base);
/* The one that is being made and in which `path` lies; NULL: none. */
struct pki_fresh *pki_fresh_find(const struct pki_store *store, const char *path);
/* After the batch's sync: they get their names. 0 or a negative errno, and which could not. */
int pki_fresh_place(struct pki_batch *batch, const char **path);
void pki_fresh_end(struct pki_store *store);

/* ---- tree ---- */

#define PKI_SERVICE_ACCOUNT "service-account"
#define PKI_ACCOUNT_FILE    "sa"
#define PKI_TRUST           "trust"

int pki_service_account_list(struct pki *pki, struct hactl_call *call, struct pki_store *store);
/* `*make`: there is none, and one is to be made. */
int pki_service_account_ensure(struct pki_batch *batch, bool *make);
/* What the copies of every replica are made of, read once; for the length of one call. */
struct pki_originals;

struct pki_originals *pki_originals_new(void);
void pki_originals_free(struct pki_originals *originals);
int pki_tree_list(struct pki *pki, struct hactl_call *call, struct pki_store *store, struct pki_originals *originals,
                  const char *replica);
int pki_tree_ensure(struct pki_batch *batch, struct pki_originals *originals, const char *replica);
/* After the batch: copies that it wrote need not be compared. */
void pki_tree_remember(const struct pki_batch *batch);
/* Calls `each` with base and ending of every file of a replica's tree that is a copy. */
int pki_tree_each(const struct pki *pki, const char *replica,
                  int (*each)(void *data, const char *base, const char *ending), void *data);

/* ---- jobs ---- */

enum pki_job_kind { PKI_JOB_CERTIFICATE, PKI_JOB_KUBECONFIG, PKI_JOB_ACCOUNT };

/* One key with its certificate (or none) that is to be made and staged. All
 * that it points at lives until the jobs have been run. */
struct pki_job {
    enum pki_job_kind kind;
    size_t item; /* of the batch */
    const char *key_type;
    EVP_PKEY *key; /* one that is kept, or NULL; then the one that was made */
    struct pki_issuance issuance;
    X509 *issuer;                           /* NULL: one that this process made, which is: */
    const struct pki_readback *made_issuer; /* NULL too: self-signed */
    EVP_PKEY *issuer_key;
    STACK_OF(X509) * issuer_chain;        /* it and those above it; sent along less the root; NULL: nothing */
    const char *passphrase;               /* of the key's file; NULL: none */
    const char *trust, *cluster, *server; /* of a kubeconfig */
    struct pki_want want;                 /* of a leaf: what the above points into */
    uint64_t digest;                      /* of that */
    bool verify;                          /* the first of its authority is checked with its public key */
    bool constrained;                     /* its authority may not vouch for every name */
    unsigned char *der;                   /* the certificate that was made */
    size_t der_size;
    struct pki_readback *made; /* the same, of an authority */
    bool done;
    int code;
    char text[256]; /* why it could not be made */
};

struct pki_jobs {
    struct pki_job *list;
    size_t count, room;
    size_t left; /* there was no time for so many of them */
};

/* Empty, at the end of the list; NULL: out of memory. */
struct pki_job *pki_jobs_add(struct pki_jobs *jobs);
bool pki_job_issuer(const struct pki_job *job, struct pki_issuer *issuer, ASN1_OCTET_STRING **key_id);
/* Makes and stages all of them on as many threads as are worth it, which have ended when it returns. */
int pki_jobs_run(struct pki_batch *batch, struct pki_jobs *jobs);
/* After the batch: what was written need not be read again. */
void pki_jobs_remember(struct pki *pki, struct pki_store *store, const struct pki_batch *batch,
                       const struct pki_jobs *jobs);
/* All of that: runs what was collected (unless `result` is a failure), puts it in place, and frees both. */
int pki_jobs_finish(struct pki_batch *batch, struct pki_jobs *jobs, int result);
void pki_jobs_free(struct pki_jobs *jobs);
/* The service accounts' key pair, when there is none. */
int pki_service_account_add(struct pki_batch *batch, struct pki_jobs *jobs);

/* ---- audit ---- */

#define PKI_AUDIT_FILE "audit.log"

/* Lines of a batch, until they are written. */
struct pki_audit {
    const struct pki_crypto *crypto;
    FILE *stream;
    char *text;
    size_t size, written;
    char head[640]; /* of every line: time, actor, intent */
};

void pki_audit_begin(struct pki_audit *audit, const struct pki *pki, struct hactl_call *call);
void pki_audit_add(struct pki_audit *audit, const char *action, const char *purpose, const char *replica,
                   X509 *certificate);
/* From what was asked for, which costs less than reading what was made. */
void pki_audit_issued(struct pki_audit *audit, const char *purpose, const char *replica,
                      const struct pki_issuance *issuance, const ASN1_OCTET_STRING *issuer_key_id,
                      const unsigned char *der, size_t size);
void pki_audit_phase(struct pki_audit *audit, const char *purpose, const char *from, const char *to);
/* Before what it tells of takes its name; the sync between the two is the batch's own. */
int pki_audit_write(struct pki_store *store, struct pki_audit *audit);
void pki_audit_end(struct pki_audit *audit);
/* Of all that the jobs made, before the batch is committed. */
int pki_audit_jobs(struct pki_batch *batch, const struct pki_jobs *jobs);

#endif
