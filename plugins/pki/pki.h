/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the pki plugin.
 *
 *   pki_profiles   what certificates there are: two tables, no code
 *   pki_inventory  what each must say, from the inventory; the address policy
 *   pki_crypto     keys, certificates and PEM on libcrypto
 *   pki_check      what is on disk against what is wanted, with the reason
 *   pki_issue      making what is missing or not as wanted, as one batch
 *   pki_store      the directory: descriptors, lock, staging, placing
 */
#ifndef HACTL_PLUGINS_PKI_H
#define HACTL_PLUGINS_PKI_H

#include <hactl/plugin.h>

#include <stdbool.h>
#include <sys/types.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_BACKDATE_S  300
#define PKI_DAY_S       86400
#define PKI_FILE_LIMIT  (256 * 1024)
#define PKI_PATH_SIZE   320 /* relative: "replicas/" and a DNS name and a file */
#define PKI_REASON_SIZE 512

struct pki {
    const struct hactl_host *host;
    char *directory;
    char *key_type;
    int64_t leaf_s, authority_s, renew_s;
};

/* ---- profiles ---- */

enum pki_scope { PKI_CLUSTER, PKI_REPLICA };

#define PKI_SERVER          1u
#define PKI_CLIENT          2u

#define PKI_NAME_REPLICA    1u  /* the replica's name */
#define PKI_NAME_INTERNAL   2u  /* its internal address */
#define PKI_NAME_EXTERNAL   4u  /* the cluster's one external address */
#define PKI_NAME_LOOPBACK   8u  /* localhost, 127.0.0.1 */
#define PKI_NAME_LOOPBACK_6 16u /* ::1 */
#define PKI_NAME_SERVICE    32u /* kubernetes, ..., and the service address */
#define PKI_NAME_EXTRA      64u /* extra_names of the cluster */

struct pki_authority_profile {
    const char *purpose;
    const char *file; /* relative, without .crt or .key */
    const char *common_name;
};

struct pki_profile {
    const char *purpose;
    const char *authority; /* purpose of the one that signs it */
    enum pki_scope scope;
    const char *file;         /* relative to the scope's directory */
    const char *common_name;  /* NULL: the replica's name */
    const char *organization; /* NULL: none */
    unsigned usage;
    unsigned names;
};

extern const struct pki_authority_profile pki_authorities[];
extern const size_t pki_authority_count;
extern const struct pki_profile pki_profiles[];
extern const size_t pki_profile_count;

/* Indexes into the tables, or the count when there is none. */
size_t pki_authority_find(const char *purpose);
size_t pki_profile_find(const char *purpose);

/* ---- inventory ---- */

struct pki_name {
    bool is_address;
    unsigned char octets[16];
    size_t octet_count;
    char text[256]; /* canonical */
};

struct pki_names {
    struct pki_name *list;
    size_t count;
};

struct pki_want {
    const struct pki_profile *profile;
    const char *replica; /* NULL: of the cluster */
    char base[PKI_PATH_SIZE];
    char common_name[65];
    struct pki_names names;
};

bool pki_replica_name_valid(const char *name);
/* False: not a DNS name and not an address that a certificate may carry. */
bool pki_name_parse(const char *text, struct pki_name *name);
bool pki_names_have(const struct pki_names *names, const struct pki_name *name);
char *pki_names_text(const struct pki_names *names); /* comma-separated; caller frees */
void pki_names_free(struct pki_names *names);
const struct hactl_replica *pki_replica_find(const struct hactl_inventory *inventory, const char *name);
/* Refuses what no certificate of this cluster may carry, by name. */
int pki_inventory_check(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory);
int pki_base(const struct pki_profile *profile, const char *replica, char base[PKI_PATH_SIZE]);
/* `replica` NULL for a profile of the cluster. Free with pki_want_free. */
int pki_want_make(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const struct pki_profile *profile, const struct hactl_replica *replica, struct pki_want *out);
void pki_want_free(struct pki_want *want);

/* ---- store ---- */

struct pki_store {
    char *directory;
    int root; /* -1: there is no directory, and the store was opened to read */
    int lock;
};

struct pki_blob {
    char *content;
    size_t size;
    mode_t mode;
    uid_t owner;
};

/* To write: makes the directory if need be and locks others out. To read:
 * keeps writers out, makes nothing. HACTL_E_BUSY while another holds it. */
int pki_store_open(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store);
void pki_store_close(struct pki_store *store);

/* These take base and ending ("etcd/ca", ".crt"), follow no symbolic link at
 * any level below the directory, and return 0 or a negative errno. */
int pki_store_read(const struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob);
void pki_blob_free(struct pki_blob *blob);
/* Writes beside the final name, exclusively, a leftover removed first. */
int pki_store_stage(const struct pki_store *store, const char *base, const char *ending, const char *content,
                    size_t size, mode_t mode);
int pki_store_sync(const struct pki_store *store);
/* The staged file takes its name; `keep_old`: -EEXIST when that is taken. */
int pki_store_place(const struct pki_store *store, const char *base, const char *ending, bool keep_old);
int pki_store_sync_directory(const struct pki_store *store, const char *base);
int pki_store_remove(const struct pki_store *store, const char *base, const char *ending);
int pki_store_restrict(const struct pki_store *store, const char *base, const char *ending);
/* Best effort: the bytes of a key, before it is removed. */
void pki_store_overwrite(const struct pki_store *store, const char *base, const char *ending);
/* Removes the directory when it is empty. */
int pki_store_remove_directory(const struct pki_store *store, const char *path);
/* Calls `each` with the names of directories in `path`. */
int pki_store_each_directory(const struct pki_store *store, const char *path, int (*each)(void *data, const char *name),
                             void *data);
const char *pki_store_error(int error);
/* One line about an errno, with the code that fits. */
int pki_store_fail(const struct pki *pki, struct hactl_call *call, int error, const char *base, const char *ending);

#define PKI_STAGED ".new" /* after the ending */

/* ---- crypto ---- */

struct pki_request {
    const char *common_name;
    const char *organization;
    const struct pki_names *names; /* NULL: none */
    unsigned usage;
    bool authority;
    int64_t not_before_s, not_after_s;
};

EVP_PKEY *pki_key_generate(const char *key_type);
bool pki_key_has_type(EVP_PKEY *key, const char *key_type);
EVP_PKEY *pki_key_read(const char *pem, size_t size);
/* PEM of PKCS#8; free with ha_secret_free. */
int pki_key_write(EVP_PKEY *key, char **pem, size_t *size);
/* `issuer` NULL: self-signed. */
X509 *pki_certificate_make(EVP_PKEY *key, const struct pki_request *request, X509 *issuer, EVP_PKEY *issuer_key);
X509 *pki_certificate_read(const char *pem, size_t size);
int pki_certificate_write(X509 *certificate, char **pem, size_t *size);
int64_t pki_time_s(const ASN1_TIME *time); /* 0 when it cannot be read */
int pki_subject_set(X509_NAME *name, const char *common_name, const char *organization);
char *pki_subject(X509 *certificate); /* caller frees */
/* `*strange`: it has names of other kinds, or unreadable ones. */
int pki_certificate_names(X509 *certificate, struct pki_names *names, bool *strange);
const char *pki_crypto_error(void); /* libcrypto's own words; clears its queue */

/* ---- check ---- */

struct pki_state {
    enum hactl_tristate ready;
    char reason[PKI_REASON_SIZE];  /* empty: none */
    int error;                     /* not 0: what keeps it from being read, and so from being healed */
    bool has_certificate, has_key; /* something has that name */
    bool exposed;                  /* others can read the key, or own it */
    X509 *certificate;
    EVP_PKEY *key; /* matches the certificate or stands alone; NULL when damaged */
    int64_t not_before_s, not_after_s;
};

/* An authority as it is on disk, checked once and kept for a call. */
struct pki_authority {
    const struct pki_authority_profile *profile;
    bool loaded;
    struct pki_state state;
};

void pki_authority_check(const struct pki_store *store, const struct pki_authority_profile *profile,
                         struct pki_state *state);
void pki_leaf_check(const struct pki *pki, const struct pki_store *store, const struct pki_want *want,
                    const struct pki_state *authority, struct pki_state *state);
void pki_state_free(struct pki_state *state);
struct pki_authority *pki_authority_load(const struct pki_store *store, struct pki_authority *authorities,
                                         const char *purpose);
void pki_authorities_free(struct pki_authority *authorities);
struct pki_authority *pki_authorities_new(void);

/* ---- issue ---- */

int pki_authority_ensure(void *self, struct hactl_call *call, const struct hactl_inventory *inventory);
int pki_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
              const struct hactl_request *const *requests, size_t request_count);

#endif
