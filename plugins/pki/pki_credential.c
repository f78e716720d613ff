/* SPDX-License-Identifier: Apache-2.0 */
/* What of the store is given out, and which file that is. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Which file that is, without reading it. */
static int authority_file(const struct pki *pki, struct hactl_call *call, struct pki_store *store, size_t authority,
                          const char *part, char base[PKI_PATH_SIZE])
{
    if (strcmp(part, "key") == 0)
        return pki->host->fail(call, HACTL_E_DENIED, "the key of authority %s is given to nobody",
                               pki_authorities[authority].purpose);
    if (strcmp(part, "authority") == 0)
        pki_trust_base(store, pki_authorities[authority].file, ".crt", base);
    else if (strcmp(part, "revocations") == 0)
        snprintf(base, PKI_PATH_SIZE, "%s", pki_authorities[authority].file);
    else
        pki_signer_base(store, pki_authorities[authority].file, ".crt", base);
    return HACTL_OK;
}

/* "public": whatever is to be trusted, which may be two keys. */
static int account_file(const struct pki *pki, struct hactl_call *call, struct pki_store *store, const char *part,
                        char base[PKI_PATH_SIZE], const char **ending)
{
    *ending = strcmp(part, "key") == 0 ? ".key" : ".pub";
    if (strcmp(part, "key") == 0)
        pki_signer_base(store, PKI_ACCOUNT_FILE, *ending, base);
    else
        pki_trust_base(store, PKI_ACCOUNT_FILE, *ending, base);
    return strcmp(part, "key") == 0 || strcmp(part, "public") == 0
               ? HACTL_OK
               : pki->host->fail(call, HACTL_E_INVALID, "%s has a key and a public part, no \"%s\"",
                                 PKI_SERVICE_ACCOUNT, part);
}

static bool has_part(const struct pki_profile *profile, const char *part)
{
    if (strcmp(part, "authority") == 0 || strcmp(part, "revocations") == 0)
        return true;
    /* Where replicas make their own keys there is a certificate instead. */
    if (profile != NULL && profile->form == PKI_KUBECONFIG)
        return strcmp(part, "kubeconfig") == 0 || strcmp(part, "certificate") == 0;
    return strcmp(part, "certificate") == 0 || strcmp(part, "key") == 0;
}

static int leaf_file(const struct pki *pki, struct hactl_call *call, struct pki_store *store,
                     const struct pki_profile *profile, const char *replica, const char *part, char base[PKI_PATH_SIZE],
                     const char **ending)
{
    if (strcmp(part, "authority") == 0 || strcmp(part, "revocations") == 0)
        return authority_file(pki, call, store, pki_authority_find(profile->authority), part, base);
    if (strcmp(part, "kubeconfig") == 0)
        *ending = ".conf";
    if (profile->scope == PKI_REPLICA && (replica == NULL || !pki_replica_name_valid(replica)))
        return pki->host->fail(call, HACTL_E_INVALID, "certificate %s is a replica's, and none is named",
                               profile->purpose);
    if (!pki_base(profile, replica, base))
        return pki->host->fail(call, HACTL_E_INVALID, "replica %s: its name is too long", replica);
    return HACTL_OK;
}

static int credential_file(const struct pki *pki, struct hactl_call *call, struct pki_store *store, const char *replica,
                           const char *purpose, const char *part, char base[PKI_PATH_SIZE], const char **ending)
{
    size_t leaf = pki_profile_find(pki, purpose), authority = pki_authority_find(purpose);
    const struct pki_profile *profile = leaf < pki->profile_count ? &pki->profiles[leaf] : NULL;

    if (strcmp(purpose, PKI_SERVICE_ACCOUNT) == 0)
        return account_file(pki, call, store, part, base, ending);
    if (profile == NULL && authority == pki_authority_count)
        return pki->host->fail(call, HACTL_E_INVALID, "there is no certificate for \"%s\"", purpose);
    if (!has_part(profile, part))
        return pki->host->fail(call, HACTL_E_INVALID, "a credential of %s has no part \"%s\"", purpose, part);
    *ending = strcmp(part, "key") == 0 ? ".key" : strcmp(part, "revocations") == 0 ? ".crl" : ".crt";
    return profile != NULL ? leaf_file(pki, call, store, profile, replica, part, base, ending)
                           : authority_file(pki, call, store, authority, part, base);
}

int pki_credential_read(const struct pki *pki, struct hactl_call *call, const char *replica, const char *purpose,
                        const char *part, struct pki_blob *blob, char path[4096 + PKI_PATH_SIZE])
{
    char base[PKI_PATH_SIZE];
    struct pki_store store;
    const char *ending = "";
    int error, result = pki_store_open(pki, call, false, &store);

    if (result != HACTL_OK)
        return result;
    result = credential_file(pki, call, &store, replica, purpose, part, base, &ending);
    if (result != HACTL_OK) {
        pki_store_close(&store);
        return result;
    }
    error = pki_store_read(&store, base, ending, blob);
    pki_store_close(&store);
    if (error == -ENOENT)
        return pki->host->fail(call, HACTL_E_NOT_FOUND, "%s/%s%s is missing; issuing makes it", pki->directory, base,
                               ending);
    if (error != 0)
        return pki_store_fail(pki, call, error, base, ending);
    snprintf(path, 4096 + PKI_PATH_SIZE, "%s/%s%s", pki->directory, base, ending);
    return HACTL_OK;
}

int pki_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose, const char *part)
{
    const struct pki *pki = self;
    char path[4096 + PKI_PATH_SIZE];
    struct hactl_credential record = {.struct_size = sizeof record, .path = path};
    struct pki_blob blob;
    int result = pki_credential_read(pki, call, replica, purpose, part, &blob, path);

    if (result != HACTL_OK)
        return result;
    record.content = blob.content;
    record.content_size = blob.size;
    result = pki->host->emit_credential(call, &record);
    pki_blob_free(&blob);
    return result;
}
