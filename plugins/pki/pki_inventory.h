/* SPDX-License-Identifier: Apache-2.0 */
/* What certificates there are to be: profiles, names, the inventory; and what all of the plugin is given. */
#ifndef HACTL_PLUGINS_PKI_INVENTORY_H
#define HACTL_PLUGINS_PKI_INVENTORY_H

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

#define PKI_PROVIDERS_MAX 8

/* libcrypto with a context of its own: nothing of /etc/ssl/openssl.cnf, and
 * algorithms that are fetched once. */
struct pki_crypto {
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *providers[PKI_PROVIDERS_MAX + 1]; /* those that are named, and base */
    size_t provider_count;
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
bool pki_is_address(const char *text);
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
/* Refuses one that is not there, or has no address yet. */
int pki_replica_ready(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                      const char *name, const struct hactl_replica **out);
const struct hactl_replica *pki_replica_find(const struct hactl_inventory *inventory, const char *name);
/* False when it does not fit. */
bool pki_base(const struct pki_profile *profile, const char *replica, char base[PKI_PATH_SIZE]);
/* ".crt", or ".conf" of a kubeconfig */
const char *pki_ending(enum pki_form form);
/* `replica` NULL for a profile of the cluster. Free with pki_want_free. */
int pki_want_make(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const struct pki_profile *profile, const struct hactl_replica *replica, struct pki_want *out);
/* A server whose names have come to nothing: it may be looked at, but not made. */
bool pki_want_is_nameless(const struct pki_want *want);
int pki_want_refuse_nameless(const struct pki *pki, struct hactl_call *call, const struct pki_want *want);
void pki_want_free(struct pki_want *want);

#endif
