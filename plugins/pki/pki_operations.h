/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin is asked for. */
#ifndef HACTL_PLUGINS_PKI_OPERATIONS_H
#define HACTL_PLUGINS_PKI_OPERATIONS_H

#include "plugins/pki/pki_batch.h"

/* ---- revocation ---- */

/* NULL and a negative errno, -ENOENT when there is none. */
X509_CRL *pki_crl_read(const struct pki *pki, struct pki_store *store, const char *file, int *error);
const char *pki_crl_error(int error);
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
int pki_request_judge(const struct pki *pki, struct hactl_call *call, const struct pki_want *want, X509_REQ *request,
                      EVP_PKEY **key);

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
