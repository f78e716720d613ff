/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk, what of it is known, and what is wrong with it. */
#ifndef HACTL_PLUGINS_PKI_CHECK_H
#define HACTL_PLUGINS_PKI_CHECK_H

#include "plugins/pki/pki_certificate.h"
#include "plugins/pki/pki_store.h"

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
    bool foreign;                  /* another user owns it */
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
    X509_CRL *crl; /* NULL: it never revoked anything, or: */
    int crl_error; /* not 0: what keeps its list from being read */
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

#endif
