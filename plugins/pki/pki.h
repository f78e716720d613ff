/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the pki plugin.
 *
 *   pki_profiles    what certificates there are: two tables, and the user's own
 *   pki_names       names, addresses and the address policy
 *   pki_inventory   what each certificate must say, and why, from the inventory
 *   pki_crypto      libcrypto, made ready while hactl looks at what there is
 *   pki_secret      memory for private keys
 *   pki_key         keys: making, reading, writing, encrypted ones
 *   pki_der         certificates: writing their DER
 *   pki_certificate certificates: reading, and what they say
 *   pki_readback    what was just made, read back and verified
 *   pki_request     certificate requests: making, reading
 *   pki_kubeconfig  kubeconfigs: writing, reading
 *   pki_memory      what was read before and has not changed since
 *   pki_check       what is on disk against what is wanted, with the reason
 *   pki_tree        what else a replica's tree holds: trust, service-account keys
 *   pki_authority   authorities: made once, never replaced
 *   pki_batch       making a number of files durable and giving them their names
 *   pki_exchange    keys and certificates that are replaced in one instant
 *   pki_fresh       directories that are made whole
 *   pki_job         keys and certificates made on every processor
 *   pki_issue       making what is missing or not as wanted
 *   pki_foreign     requests of others, and certificates by others
 *   pki_renew       when a certificate is due
 *   pki_rotate      an authority's way to its successor, phase by phase
 *   pki_crl         what was revoked
 *   pki_audit       the log of all that was made
 *   pki_retire      removing
 *   pki_store       the directory: descriptors, lock, staging, placing
 */
#ifndef HACTL_PLUGINS_PKI_H
#define HACTL_PLUGINS_PKI_H

#include <hactl/plugin.h>

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define PKI_DAY_S 86400
/* Nothing in Kubernetes can revoke a certificate: what is stolen is good until its end. */
#define PKI_LEAF_DAYS_MAX 365
#define PKI_FILE_LIMIT    (256 * 1024)
#define PKI_PATH_SIZE     320 /* relative: "replicas/" and a DNS name and a file */
#define PKI_REASON_SIZE   512
#define PKI_CHAIN_LIMIT   8

/* libcrypto with a context of its own: nothing of /etc/ssl/openssl.cnf, and
 * algorithms that are fetched once. */
struct pki_crypto {
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *provider;
    EVP_MD *sha256, *sha384;
};

/* ---- memory for private keys ---- */

enum pki_secret_memory {
    PKI_SECRET_NOT_ASKED,
    PKI_SECRET_NONE, /* it cannot be had: keys are where all else is */
    PKI_SECRET_NOT_LOCKED,
    PKI_SECRET_LOCKED,
    PKI_SECRET_OF_OTHERS, /* somebody else in this process made it */
};

/* With room for keys of that kind. Overlaps nothing else that uses libcrypto. */
enum pki_secret_memory pki_secret_open(const char *key_type);
/* For texts with keys in them; NULL: out of memory. */
char *pki_secret_new(size_t size);
/* Clears that many bytes at least. Takes NULL. */
void pki_secret_free(char *secret, size_t size);

struct pki {
    const struct hactl_host *host;
    struct pki_starting *starting;
    char *directory;
    char *key_type;
    int64_t leaf_s, authority_s, renew_s, backdate_s;
    int64_t crl_s;   /* from one list of revocations to the next at most */
    int64_t token_s; /* how long a service account's token lives at most */
    uint16_t api_port;
    unsigned threads; /* 0: one for each processor */
    bool single_etcd; /* kubeadm's one authority for etcd */
    bool constrain;
    unsigned external;     /* authorities whose keys are elsewhere: a bit for each of the table */
    char *passphrase_file; /* of authorities' keys; NULL: they are not encrypted */
    int passphrase_fd;     /* -1: none */
    char *passphrase;      /* once it was read */
    struct pki_profile *profiles;
    size_t profile_count;
    struct pki_memory *memory;
    X509 *verified[8]; /* authorities a signature of which was checked by this process; one for each of the table */
};

/* ---- profiles ---- */

enum pki_scope { PKI_CLUSTER, PKI_REPLICA };
enum pki_form { PKI_PAIR, PKI_KUBECONFIG, PKI_SIGN_ONLY }; /* the last is made of requests only */
enum pki_server { PKI_SERVER_ENDPOINT, PKI_SERVER_LOCAL }; /* whom a kubeconfig names */

#define PKI_SERVER        1u
#define PKI_CLIENT        2u

#define PKI_NAME_REPLICA  1u  /* the replica's name */
#define PKI_NAME_INTERNAL 2u  /* its internal address */
#define PKI_NAME_EXTERNAL 4u  /* the cluster's one external address */
#define PKI_NAME_LOOPBACK 8u  /* localhost, 127.0.0.1, ::1 */
#define PKI_NAME_SERVICE  16u /* kubernetes, ..., and the service address */
#define PKI_NAME_EXTRA    32u /* extra_names of the cluster */

struct pki_authority_profile {
    const char *purpose;
    const char *file; /* relative, without .crt or .key */
    const char *common_name;
};

struct pki_profile {
    const char *purpose;
    const char *authority; /* purpose of the one that signs it */
    enum pki_scope scope;
    enum pki_form form;
    const char *file;         /* relative to the scope's directory, without ending */
    const char *common_name;  /* NULL: the replica's name; "%s" in it stands for that name */
    const char *organization; /* NULL: none */
    unsigned usage;
    unsigned names;
    enum pki_server server;
    bool of_people;       /* its key is the operator's: it is made on no replica, and sent to none */
    const char *key_type; /* NULL: the instance's */
    int64_t life_s;       /* 0: the instance's */
    char **more_names;    /* of its own; NULL: none; ends with NULL */
    char *owned[6];       /* strings of a user's profile */
};

extern const struct pki_authority_profile pki_authorities[];
extern const size_t pki_authority_count;

/* Indexes into the tables, or the count when there is none. */
size_t pki_authority_find(const char *purpose);
size_t pki_profile_find(const struct pki *pki, const char *purpose);
/* False for etcd's second authority where there is only one. */
bool pki_authority_used(const struct pki *pki, const struct pki_authority_profile *authority);
int pki_profiles_load(struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call);
void pki_profiles_free(struct pki *pki);
const char *pki_profile_key_type(const struct pki *pki, const struct pki_profile *profile);
int64_t pki_profile_life_s(const struct pki *pki, const struct pki_profile *profile);
/* Less than this much left: it is due. */
int64_t pki_profile_renew_s(const struct pki *pki, const struct pki_profile *profile);
/* The same, moved a little for each replica, so that not all are due at once. */
int64_t pki_renew_s(const struct pki *pki, const struct pki_profile *profile, const char *replica);
/* When an authority should be rotated: from then on it shortens what it signs. */
int64_t pki_authority_due_s(const struct pki *pki, int64_t not_before_s, int64_t not_after_s);
/* Is it among those that the inventory names? */
bool pki_renews(const struct hactl_inventory *inventory, const struct pki_profile *profile, const char *replica);

/* ---- names ---- */

#define PKI_WHY_SIZE 96

struct pki_name {
    bool is_address;
    unsigned char octets[16];
    size_t octet_count;
    char text[256];         /* canonical */
    char why[PKI_WHY_SIZE]; /* "internal address of demo-1"; "" when read from a certificate */
};

struct pki_names {
    struct pki_name *list;
    size_t count;
};

#define PKI_SHOWN_SIZE 101

/* The beginning of a text for an error, on one line whatever is in it. */
const char *pki_shown(const char *text, char out[PKI_SHOWN_SIZE]);
bool pki_replica_name_valid(const char *name);
/* False: not a DNS name and not an address that a certificate may carry. */
bool pki_name_parse(const char *text, struct pki_name *name);
int pki_names_add(struct pki_names *names, const char *text, const char *why); /* HACTL_OK or a code */
bool pki_names_have(const struct pki_names *names, const struct pki_name *name);
char *pki_names_text(const struct pki_names *names);    /* comma-separated; caller frees */
char *pki_names_explain(const struct pki_names *names); /* "10.0.0.1 (internal address of demo-1), ..." */
void pki_names_free(struct pki_names *names);
/* Refuses what no certificate of this cluster may carry, by name. */
int pki_inventory_check(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory);
/* The policy alone: is that address one that certificates of this cluster may carry? */
bool pki_address_allowed(const struct hactl_inventory *inventory, const struct pki_name *name);
/* What a constrained authority may vouch for. */
NAME_CONSTRAINTS *pki_constraints_make(const struct hactl_inventory *inventory);

/* ---- inventory ---- */

struct pki_want {
    const struct pki_profile *profile;
    const char *replica; /* NULL: of the cluster */
    enum pki_form form;  /* the profile's, unless: */
    bool keyless;        /* its key is made by the replica and stays there, so it is a certificate alone */
    char base[PKI_PATH_SIZE];
    char common_name[65];
    struct pki_names names;
    bool renews;         /* when it is due; false: others were named */
    char server[300];    /* of a kubeconfig: "https://10.0.0.1:6443" */
    const char *cluster; /* of a kubeconfig */
};

/* Where replicas make their keys, of those only what payloads use, and never what is of people. */
bool pki_called_for(const struct hactl_inventory *inventory, const struct pki_profile *profile);
const struct hactl_replica *pki_replica_find(const struct hactl_inventory *inventory, const char *name);
/* False when it does not fit. */
bool pki_base(const struct pki_profile *profile, const char *replica, char base[PKI_PATH_SIZE]);
/* ".crt", or ".conf" of a kubeconfig */
const char *pki_ending(enum pki_form form);
/* `replica` NULL for a profile of the cluster. Free with pki_want_free. */
int pki_want_make(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const struct pki_profile *profile, const struct hactl_replica *replica, struct pki_want *out);
void pki_want_free(struct pki_want *want);

/* ---- store ---- */

#define PKI_PARENTS 32

/* A directory that was used, as it often comes again. */
struct pki_parent {
    bool used;
    int fd; /* or -ENOENT */
    size_t length;
    char path[PKI_PATH_SIZE];
};

struct pki_rotation {
    enum hactl_rotation phase;
    int64_t since_s;
};

#define PKI_ROTATION ".rotation" /* the ending of the file that tells the phase */
#define PKI_PHASES   8

/* One that was read. */
struct pki_phase {
    char file[32];
    struct pki_rotation rotation;
};

/* A directory that is being made, see pki_fresh.c. */
struct pki_fresh {
    int fd;
    size_t length;
    char path[PKI_PATH_SIZE]; /* that it will have */
    char aside[24];           /* its name until then */
    bool filled;
};

struct pki_store {
    const char *directory;
    int root;          /* -1: there is no directory, and the store was opened to read */
    uid_t user;        /* who works on it */
    bool umask_is_022; /* or looser: what others may read is made so that they can */
    int lock;
    bool reads_only;
    struct pki_parent parents[PKI_PARENTS];
    unsigned next_parent;
    struct pki_phase phases[PKI_PHASES];
    size_t phase_count;
    struct pki_fresh *fresh;
    size_t fresh_count;
};

struct pki_identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct pki_blob {
    char *content;
    size_t size;
    mode_t mode;
    uid_t owner;
    struct pki_identity identity;
};

/* To write: makes the directory if need be and locks others out. To read:
 * keeps writers out, makes nothing. HACTL_E_BUSY while another holds it. */
int pki_store_open(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store);
void pki_store_close(struct pki_store *store);
/* As long as nobody else makes directories, those that are not there need not be looked for again. */
void pki_store_looking(struct pki_store *store, bool looking);
/* What was read of a rotation, until it is written anew. False: not known. */
bool pki_store_phase(const struct pki_store *store, const char *file, struct pki_rotation *out);
void pki_store_note_phase(struct pki_store *store, const char *file, const struct pki_rotation *rotation);
/* For a second thread: the same directory, under the same lock. */
struct pki_store pki_store_share(const struct pki_store *store);
void pki_store_unshare(struct pki_store *store);

/* These take base and ending ("etcd/ca", ".crt"), follow no symbolic link at
 * any level below the directory, and return 0 or a negative errno. */
int pki_store_read(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob);
void pki_blob_free(struct pki_blob *blob);
int pki_store_stat(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob);
/* Writes beside the final name, exclusively, a leftover removed first. */
int pki_store_stage(struct pki_store *store, const char *base, const char *ending, const char *content, size_t size,
                    mode_t mode);
int pki_store_sync(struct pki_store *store);
/* The staged file takes its name; `keep_old`: -EEXIST when that is taken. */
int pki_store_place(struct pki_store *store, const char *base, const char *ending, bool keep_old);
/* The reverse: what has its name is staged again, as what nobody is to find. */
int pki_store_unplace(struct pki_store *store, const char *base, const char *ending);
int pki_store_sync_directory(struct pki_store *store, const char *base);
int pki_store_remove(struct pki_store *store, const char *base, const char *ending);
int pki_store_restrict(struct pki_store *store, const char *base, const char *ending);
/* What was staged is not wanted after all. */
void pki_store_discard(struct pki_store *store, const char *base, const char *ending, bool secret);
/* Best effort: the bytes of a key, before it is removed. */
void pki_store_overwrite(struct pki_store *store, const char *base, const char *ending);
/* For the caller to close; "" is the top. */
int pki_store_open_directory(struct pki_store *store, const char *path);
/* Is the name free, in a directory that is there, or was made for it? */
bool pki_store_has_room(struct pki_store *store, const char *path);
/* What is called `name` in the directory `from` gets a path that is not taken. */
int pki_store_take(struct pki_store *store, int from, const char *name, const char *path);
/* Directories that were used may be others by now. */
void pki_store_forget(struct pki_store *store);
/* Removes the directory when it is empty. */
int pki_store_remove_directory(struct pki_store *store, const char *path);
/* Calls `each` with the names of directories in `path`. */
int pki_store_each_directory(struct pki_store *store, const char *path, int (*each)(void *data, const char *name),
                             void *data);
const char *pki_store_error(int error);
/* One line about an errno, with the code that fits. */
int pki_store_fail(const struct pki *pki, struct hactl_call *call, int error, const char *base, const char *ending);

/* To another name, which is not taken; the directory is made if need be. */
int pki_store_move(struct pki_store *store, const char *from, const char *to, const char *ending);
/* Appends in one write; a line that a crash cut short is ended first. Durable after pki_store_sync. */
int pki_store_append(struct pki_store *store, const char *name, const char *content, size_t size);

#define PKI_STAGED ".new" /* after the ending */

/* ---- crypto ---- */

int pki_crypto_open(struct pki_crypto *crypto); /* 0 or -1 */
void pki_crypto_close(struct pki_crypto *crypto);
/* The instance's, which is made ready meanwhile. NULL: out of memory. */
struct pki_starting *pki_crypto_start(void);
void pki_crypto_end(struct pki *pki);
/* Waits until it is ready. Where that has failed it has no context of its own, and nothing is to be made with it. */
const struct pki_crypto *pki_crypto(const struct pki *pki);
bool pki_crypto_usable(const struct pki *pki);
/* The callback of PEM readers that libcrypto would otherwise ask at the terminal. */
int pki_no_passphrase(char *buffer, int size, int writing, void *data);
const char *pki_crypto_error(void); /* libcrypto's own words; clears this thread's queue */

#define PKI_SECURITY_BITS  112 /* of RSA-2048, the least that there is here */
#define PKI_KEY_TYPES      "ecdsa-p256|ecdsa-p384|rsa-2048|rsa-3072|rsa-4096"

#define PKI_POINT_MAX      97   /* uncompressed, on P-384 */
#define PKI_PUBLIC_KEY_MAX 1024 /* RSA-4096 has 550 */

/* A key's public half, as it is asked for several times: each time the point alone costs a third of making it. */
struct pki_public {
    EVP_PKEY *key;                 /* whose; NULL: nobody's yet */
    const struct pki_curve *curve; /* NULL: it is on none that is used here */
    unsigned char point[PKI_POINT_MAX];
    size_t point_size;
};

#define PKI_SIGNERS 4 /* authorities take turns when a tree is made */

/* What one thread makes keys and signatures with; contexts that are used again. */
struct pki_maker {
    const struct pki_crypto *crypto;
    EVP_PKEY_CTX *generate;
    const char *generates; /* the key type of that */
    struct pki_public subject;
    struct pki_signer {
        EVP_PKEY *key; /* NULL: of none yet */
        const struct pki_curve *curve;
        EVP_MD_CTX *context; /* begun anew for each signature, which costs less than a new one */
    } signers[PKI_SIGNERS];
    unsigned next_signer;
};

void pki_maker_open(struct pki_maker *maker, const struct pki_crypto *crypto);
void pki_maker_close(struct pki_maker *maker);
EVP_PKEY *pki_key_generate(struct pki_maker *maker, const char *key_type);
const char *pki_key_type(EVP_PKEY *key); /* NULL: of none that is used here */
bool pki_key_has_type(EVP_PKEY *key, const char *key_type);
bool pki_key_is_sealed(const char *pem); /* it takes a pass phrase to read it */
/* `passphrase` NULL: an encrypted one cannot be read. */
EVP_PKEY *pki_key_read(const struct pki_crypto *crypto, const char *pem, size_t size, const char *passphrase);
/* PEM of PKCS#8, encrypted (PBES2) when there is a pass phrase; free with ha_secret_free. */
/* These two give what pki_secret_free takes. */
int pki_key_write(const struct pki_crypto *crypto, EVP_PKEY *key, const char *passphrase, char **pem, size_t *size);
int pki_bio_take(BIO *bio, char **text, size_t *size); /* a copy of what was written; caller frees */
/* The same, of the key that the maker made last: its public half is known. */
int pki_maker_key_write(const struct pki_maker *maker, EVP_PKEY *key, const char *passphrase, char **pem, size_t *size);
/* Takes a reference; the same key again costs nothing. False: it cannot be asked. */
bool pki_public_take(struct pki_public *half, EVP_PKEY *key);
/* What stands before the point in its SubjectPublicKeyInfo; NULL: it is not elliptic. */
const unsigned char *pki_public_head(const struct pki_public *half, size_t *size);
const struct pki_curve *pki_key_curve(EVP_PKEY *key);
const EVP_MD *pki_curve_digest(const struct pki_crypto *crypto, const struct pki_curve *curve);
const EVP_MD *pki_digest_for(const struct pki_crypto *crypto, EVP_PKEY *key); /* for its signatures */
int pki_public_key_write(EVP_PKEY *key, char **pem, size_t *size);            /* "PUBLIC KEY"; caller frees */
EVP_PKEY *pki_public_key_read(const struct pki_crypto *crypto, const char *pem, size_t size);
/* Of authorities' keys. HACTL_OK with `*out` NULL when there is none. */
int pki_passphrase(struct pki *pki, struct hactl_call *call, const char **out);

struct pki_issuance {
    const char *common_name;
    const char *organization;      /* NULL: none */
    const struct pki_names *names; /* NULL: none */
    unsigned usage;
    bool authority;
    const NAME_CONSTRAINTS *constraints; /* of an authority; NULL: none */
    int64_t not_before_s, not_after_s;
};

/* What a certificate takes over from that of its authority. */
struct pki_issuer {
    const unsigned char *name; /* the very bytes of the authority's subject */
    size_t name_size;
    const ASN1_OCTET_STRING *key_id; /* NULL: it has none */
};

/* DER; caller frees. `issuer` NULL: self-signed. */
unsigned char *pki_certificate_make(struct pki_maker *maker, EVP_PKEY *key, const struct pki_issuance *issuance,
                                    X509 *issuer, EVP_PKEY *issuer_key, size_t *size);
unsigned char *pki_certificate_make_under(struct pki_maker *maker, EVP_PKEY *key, const struct pki_issuance *issuance,
                                          const struct pki_issuer *issuer, EVP_PKEY *issuer_key, size_t *size);

/* ---- reading back ---- */

/* A certificate that this process made and verified; counted references, which one thread changes. */
struct pki_readback;

/* Of the key that the maker made or wrote last. NULL: it cannot be read, is of another key, or its signature is wrong.
 */
struct pki_readback *pki_readback_make(const struct pki_maker *maker, const unsigned char *der, size_t size,
                                       EVP_PKEY *signer);
struct pki_readback *pki_readback_keep(struct pki_readback *readback);
void pki_readback_free(struct pki_readback *readback);
/* Borrowed from it. */
bool pki_readback_issuer(const struct pki_readback *readback, struct pki_issuer *issuer);
X509 *pki_certificate_parse(const struct pki_crypto *crypto, const unsigned char *der, size_t size);
char *pki_pem(const char *what, const unsigned char *der, size_t der_size, size_t *size);        /* caller frees */
char *pki_secret_pem(const char *what, const unsigned char *der, size_t der_size, size_t *size); /* pki_secret_free */
X509 *pki_certificate_read(const struct pki_crypto *crypto, const char *pem, size_t size);       /* the first one */
/* All of them, in order; NULL unless there is at least one. */
STACK_OF(X509) * pki_chain_read(const struct pki_crypto *crypto, const char *pem, size_t size);
int pki_certificate_write(X509 *certificate, char **pem, size_t *size);
int64_t pki_time_s(const ASN1_TIME *time); /* 0 when it cannot be read */
int pki_subject_set(X509_NAME *name, const char *common_name, const char *organization);
char *pki_name_text(const X509_NAME *name); /* caller frees */
char *pki_subject(X509 *certificate);       /* caller frees */
/* Of its own key; `issuer`: of the one that it was signed with. NULL: it does not say. Caller frees. */
ASN1_OCTET_STRING *pki_key_id(X509 *certificate, bool issuer);
/* `*strange`: it has names of other kinds, or unreadable ones. */
int pki_certificate_names(X509 *certificate, struct pki_names *names, bool *strange);
GENERAL_NAMES *pki_general_names(const struct pki_names *names);
int pki_general_names_read(const GENERAL_NAMES *list, struct pki_names *names, bool *strange);
/* Names of it, and of what is wanted of it, that its authority's constraints forbid: 0 none. */
bool pki_constraints_allow(X509 *authority, X509 *certificate);

/* ---- requests ---- */

X509_REQ *pki_request_make(struct pki_maker *maker, EVP_PKEY *key, const char *common_name, const char *organization,
                           const struct pki_names *names);
X509_REQ *pki_request_read(const struct pki_crypto *crypto, const char *pem, size_t size);
int pki_request_write(X509_REQ *request, char **pem, size_t *size);
int pki_request_names(X509_REQ *request, struct pki_names *names, bool *strange);

/* ---- kubeconfigs ---- */

struct pki_kubeconfig {
    char *server;
    char *authority, *certificate, *key; /* PEM; NULL: it does not say, or not so that it can be read */
    size_t authority_size, certificate_size, key_size;
};

/* Free with ha_secret_free. */
int pki_kubeconfig_write(const char *cluster, const char *user, const char *server, const char *authority,
                         const char *certificate, const char *key, char **text, size_t *size);
void pki_kubeconfig_read(const char *text, size_t size, struct pki_kubeconfig *out);
void pki_kubeconfig_free(struct pki_kubeconfig *kubeconfig);

/* ---- memory ---- */

/* One file as it was read: what it says is known as long as it is the same file. */
struct pki_remembered {
    char *name; /* base and ending */
    struct pki_identity identity;
    mode_t mode;
    uid_t owner;
    STACK_OF(X509) * chain;    /* NULL: it is no certificate, or: */
    bool holds_key;            /* a certificate's file that has a private key in it as well */
    bool unparsed;             /* this process wrote it as it was wanted and has not read it since; what it says is: */
    struct pki_readback *made; /* of an authority */
    char *subject, *names;
    int64_t not_before_s, not_after_s;
    EVP_PKEY *key; /* NULL: it is no key, or sealed */
    bool sealed;
    struct pki_kubeconfig *kubeconfig; /* NULL: it is none; less its key, which is above */
    X509 *verified_by;                 /* the authority whose signature on it was found right */
    EVP_PKEY *matches;                 /* the key that was found to be the certificate's */
    uint64_t good_for;                 /* what is wanted of it, as a digest, when it was found to be so; 0: never */
    struct pki_identity copy_of;       /* the file whose content it was found to have */
    struct pki_remembered *next;
};

bool pki_identity_same(const struct pki_identity *one, const struct pki_identity *other);
struct pki_memory *pki_memory_new(void);
void pki_memory_free(struct pki_memory *memory);
/* NULL unless that very file was read. */
struct pki_remembered *pki_memory_find(struct pki_memory *memory, const char *base, const char *ending,
                                       const struct pki_blob *now);
void pki_memory_forget(struct pki_memory *memory, struct pki_remembered *one);
/* Empty, instead of what was known under this name. NULL: out of memory. */
struct pki_remembered *pki_memory_add(struct pki_memory *memory, const char *base, const char *ending,
                                      const struct pki_blob *now);

/* ---- check ---- */

struct pki_state {
    enum hactl_tristate ready;
    char reason[PKI_REASON_SIZE];  /* empty: none */
    int error;                     /* not 0: what keeps it from being read, and so from being healed */
    bool has_certificate, has_key; /* something has that name */
    bool exposed;                  /* others can read the key, or own it */
    bool sealed;                   /* the key is there, encrypted, and was not read */
    X509 *certificate;             /* NULL: it is not there, damaged, or was made by this very process, see below */
    STACK_OF(X509) * chain;        /* the certificate and what comes after it in its file */
    const char *subject, *names;   /* of one made by this very process, borrowed; else NULL */
    struct pki_readback *made;     /* of an authority made by this very process, in the place of `certificate` */
    EVP_PKEY *key;                 /* matches the certificate or stands alone; NULL when damaged */
    int64_t not_before_s, not_after_s;
    uint64_t trust; /* of an authority: of the file of what is to be trusted */
};

/* An authority as it is on disk, checked once and kept for a call. */
struct pki_authority {
    const struct pki_authority_profile *profile;
    bool loaded;
    bool external; /* its key is elsewhere, and that is as it should be */
    X509_CRL *crl; /* NULL: it never revoked anything */
    struct pki_state state;
};

/* What a file says, read anew unless it is known. 0 or a negative errno. */
int pki_recall(struct pki *pki, struct pki_store *store, const char *base, const char *ending,
               struct pki_remembered **out);
void pki_state_note(struct pki_state *state, const char *format, ...) HACTL_FORMAT(2, 3);    /* worth saying */
void pki_state_finding(struct pki_state *state, const char *format, ...) HACTL_FORMAT(2, 3); /* to be healed */
void pki_authority_check(struct pki *pki, struct pki_store *store, const struct pki_authority_profile *profile,
                         struct pki_state *state);
/* The same, but one that this very process made is not parsed: `made` stands in the place of `certificate`. */
void pki_authority_glance(struct pki *pki, struct pki_store *store, const struct pki_authority_profile *profile,
                          struct pki_state *state);
/* All that makes a certificate what is wanted, but for its times, as one number. */
uint64_t pki_want_digest(const struct pki *pki, const struct pki_want *want, const struct pki_state *authority);
void pki_leaf_check(struct pki *pki, struct pki_store *store, const struct pki_want *want,
                    struct pki_authority *authority, struct pki_state *state);
/* The same judgement of a certificate that is not on disk yet. */
void pki_foreign_check(struct pki *pki, const struct pki_want *want, const struct pki_authority *authority,
                       STACK_OF(X509) * chain, EVP_PKEY *key, struct pki_state *state);
/* Issued anew it would have the same key; `rekey`: a new one is asked for. */
bool pki_key_is_kept(const struct pki *pki, const struct pki_want *want, const struct pki_state *state, bool rekey);
void pki_state_free(struct pki_state *state);
struct pki_authority *pki_authority_load(struct pki *pki, struct pki_store *store, struct pki_authority *authorities,
                                         const char *purpose);
/* As far as pki_authority_glance does; pki_authority_load can still follow. */
struct pki_authority *pki_authority_see(struct pki *pki, struct pki_store *store, struct pki_authority *authorities,
                                        const char *purpose);
void pki_authorities_free(struct pki_authority *authorities);
struct pki_authority *pki_authorities_new(void);
/* What relying parties are to trust for that authority, in PEM; 0 or a negative errno. */
int pki_trust_read(const struct pki *pki, struct pki_store *store, const char *purpose, struct pki_blob *blob);

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
    STACK_OF(X509) * issuer_chain;        /* what is sent along, less the root; NULL: nothing */
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

/* ---- revocation ---- */

/* NULL and a negative errno, -ENOENT when there is none. */
X509_CRL *pki_crl_read(const struct pki *pki, struct pki_store *store, const char *file, int *error);
bool pki_crl_has(X509_CRL *crl, X509 *certificate);
int pki_crl_list(struct pki *pki, struct hactl_call *call, const struct pki_authority *authority);
/* Makes lists anew that are due or were signed by another. */
int pki_crl_ensure(struct pki_batch *batch, struct pki_authority *authorities);
int pki_revoke(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *certificate);

/* ---- rotation ---- */

/* What can be rotated: authorities, and the service accounts' key. */
struct pki_rotating {
    const char *purpose;
    const char *file;
    const char *public_ending;
};

size_t pki_rotating_count(void);
struct pki_rotating pki_rotating_at(size_t i);
const char *pki_phase_word(enum hactl_rotation phase);
int pki_rotation_read(struct pki_store *store, const char *file, struct pki_rotation *out);
/* Where the one that signs is, and what is to be trusted: the same while nothing is rotated. */
void pki_signer_base(struct pki_store *store, const char *file, const char *ending, char out[PKI_PATH_SIZE]);
void pki_trust_base(struct pki_store *store, const char *file, const char *ending, char out[PKI_PATH_SIZE]);
int pki_rotation_finish(const struct pki *pki, struct hactl_call *call, struct pki_store *store);
int pki_rotate(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *authority,
               enum hactl_rotation phase);
/* Overwrites the keys; not `keys_only`: removes all of it. */
int pki_rotation_clear(struct pki_store *store, bool keys_only);

/* ---- authorities ---- */

/* Ready to sign: its key is there, and decrypted if need be. */
int pki_authority_usable(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                         struct pki_authority *authority);
/* Refuses to sign under one that ends before what it signs would be renewed. */
int pki_authority_horizon(const struct pki *pki, struct hactl_call *call, const struct pki_authority *authority,
                          const struct pki_profile *profile);
int pki_authority_ensure(void *self, struct hactl_call *call, const struct hactl_inventory *inventory);

/* ---- issue ---- */

int pki_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
              const struct hactl_request *const *requests, size_t request_count);

/* ---- foreign ---- */

/* A new key of a pair that is in use, until there is a certificate for it. */
#define PKI_WAITING_KEY ".next.key"

/* Refuses a request that is broken, or wants more than the certificate is to say. */
int pki_request_judge(const struct pki *pki, struct hactl_call *call, const struct pki_want *want, X509_REQ *request);

int pki_sign(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
             const char *purpose, const char *request);
int pki_request(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica);
int pki_import(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *certificate);

/* ---- credentials ---- */

/* Of `replica`, or (NULL) of the cluster, read into `blob` (pki_blob_free); `path` is where it is kept. */
int pki_credential_read(const struct pki *pki, struct hactl_call *call, const char *replica, const char *purpose,
                        const char *part, struct pki_blob *blob, char path[4096 + PKI_PATH_SIZE]);
int pki_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose, const char *part);
int pki_seal(void *self, struct hactl_call *call, const char *purpose, const char *part, const char *replica,
             const char *recipient);
/* A CMS message in PEM that only the key of `certificate` opens. 0, or -1 with libcrypto's error; free with free(). */
int pki_seal_text(const struct pki_crypto *crypto, X509 *certificate, const char *content, size_t size, char **sealed,
                  size_t *sealed_size);

/* ---- retire ---- */

int pki_retire(void *self, struct hactl_call *call, const char *replica);
int pki_destroy(void *self, struct hactl_call *call);

#endif
