/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates, requests and kubeconfigs: making and reading them. */
#ifndef HACTL_PLUGINS_PKI_CERTIFICATE_H
#define HACTL_PLUGINS_PKI_CERTIFICATE_H

#include "plugins/pki/pki_inventory.h"

#include <pthread.h>

/* ---- crypto ---- */

/* What is loaded into it; borrowed from the settings. */
struct pki_providers {
    const char *names[PKI_PROVIDERS_MAX];
    size_t count;
    const char *properties;    /* of every algorithm that is asked for; NULL: any will do */
    const char *configuration; /* a file in the form of config(5); NULL: none */
    const char *key_type;
    char why[560]; /* it could not be done; begins with the key that is to be changed */
};

int pki_providers_take(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       struct pki_providers *wanted);
bool pki_providers_are_default(const struct pki_providers *wanted);
/* 0, or -1 with the reason. */
int pki_providers_load(struct pki_crypto *crypto, struct pki_providers *wanted);
void pki_providers_unload(struct pki_crypto *crypto);

int pki_crypto_open(struct pki_crypto *crypto); /* 0 or -1 */
void pki_crypto_close(struct pki_crypto *crypto);
/* The instance's, which is made ready meanwhile, unless more than the default is wanted: then it is ready, or has
 * failed, when this returns. NULL: out of memory. */
struct pki_starting *pki_crypto_start(const struct pki_providers *wanted);
void pki_crypto_end(struct pki *pki);
/* Waits until it is ready. Where that has failed it has no context of its own, and nothing is to be made with it. */
const struct pki_crypto *pki_crypto(const struct pki *pki);
bool pki_crypto_usable(const struct pki *pki);
const char *pki_crypto_why(const struct pki *pki); /* it is not */
/* A thread that signals do not reach. 0 or a positive errno value. */
int pki_thread_create(pthread_t *thread, void *(*run)(void *argument), void *argument);
unsigned pki_processors(void); /* that the process may use */
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
/* Do that authority's name constraints, if it has any, allow all names of the certificate? */
bool pki_constraints_allow(X509 *authority, X509 *certificate);
/* The same of an authority and all those above it. NULL: none. */
bool pki_chain_constrains(const STACK_OF(X509) * chain);
bool pki_chain_allows(const STACK_OF(X509) * chain, X509 *certificate);

/* ---- requests ---- */

X509_REQ *pki_request_make(struct pki_maker *maker, EVP_PKEY *key, const char *common_name, const char *organization,
                           const struct pki_names *names);
X509_REQ *pki_request_read(const struct pki_crypto *crypto, const char *pem, size_t size);
EVP_PKEY *pki_request_key(const struct pki_crypto *crypto, X509_REQ *request); /* caller frees */
int pki_request_write(X509_REQ *request, char **pem, size_t *size);
int pki_request_names(X509_REQ *request, struct pki_names *names, bool *strange);

/* ---- kubeconfigs ---- */

struct pki_kubeconfig {
    char *server;
    char *authority, *certificate, *key; /* PEM; NULL: it does not say, or not so that it can be read */
    size_t authority_size, certificate_size, key_size;
    char *frame; /* the whole text less those three; NULL: out of memory */
    size_t frame_size;
};

/* Free with pki_secret_free. The frame is what it writes of three empty parts. */
int pki_kubeconfig_write(const char *cluster, const char *user, const char *server, const char *authority,
                         const char *certificate, const char *key, char **text, size_t *size);
void pki_kubeconfig_read(const char *text, size_t size, struct pki_kubeconfig *out);
void pki_kubeconfig_free(struct pki_kubeconfig *kubeconfig);

#endif
