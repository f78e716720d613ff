/* SPDX-License-Identifier: Apache-2.0 */
/* Taking certificates and keys away. Only what has a name of ours goes, and a
 * directory goes if that empties it. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Two passes over the same files: overwritten keys are of use only if their
 * zeros reach the disk before the names go. */
enum pass { PASS_OVERWRITE, PASS_REMOVE };

struct clearing {
    struct pki *pki;
    struct pki_store *store;
    enum pass pass;
    const char *at; /* what is cleared, for the error */
};

/* What lies behind a link or in the place of a directory is not ours. */
static int unless_foreign(int error)
{
    return error == -ELOOP || error == -ENOTDIR || error == -ENOTEMPTY || error == -EEXIST ? 0 : error;
}

static bool is_secret(const char *ending)
{
    return strncmp(ending, ".key", 4) == 0 || strncmp(ending, ".conf", 5) == 0 ||
           strncmp(ending, PKI_WAITING_KEY, strlen(PKI_WAITING_KEY)) == 0;
}

static int clear_files(const struct clearing *clearing, const char *base, const char *const *endings)
{
    int result = 0;

    for (size_t i = 0; endings[i] != NULL; i++) {
        int one = 0;
        if (clearing->pass == PASS_REMOVE)
            one = unless_foreign(pki_store_remove(clearing->store, base, endings[i]));
        else if (is_secret(endings[i]))
            pki_store_overwrite(clearing->store, base, endings[i]);
        if (result == 0)
            result = one;
    }
    return result;
}

static int clear_pair(const struct clearing *clearing, const char *base)
{
    static const char *const endings[] = {".crt", ".crt" PKI_STAGED, ".key",          ".key" PKI_STAGED,
                                          ".csr", ".csr" PKI_STAGED, PKI_WAITING_KEY, PKI_WAITING_KEY PKI_STAGED,
                                          NULL};

    return clear_files(clearing, base, endings);
}

static int clear_authority(const struct clearing *clearing, const char *base)
{
    static const char *const endings[] = {".crl", ".crl" PKI_STAGED, NULL};
    int result = clear_files(clearing, base, endings);

    return result == 0 ? clear_pair(clearing, base) : result;
}

static int clear_profile(const struct clearing *clearing, const struct pki_profile *profile, const char *base)
{
    static const char *const kubeconfig[] = {".conf", ".conf" PKI_STAGED, NULL};

    int result = profile->form == PKI_KUBECONFIG ? clear_files(clearing, base, kubeconfig) : 0;

    /* A kubeconfig has a pair beside it while it waits for a certificate, or where replicas make their own keys. */
    return result != 0 ? result : clear_pair(clearing, base);
}

static int clear_account(const struct clearing *clearing)
{
    static const char *const endings[] = {".key", ".key" PKI_STAGED, ".pub", ".pub" PKI_STAGED, NULL};

    return clear_files(clearing, PKI_ACCOUNT_FILE, endings);
}

static int clear_copy(void *data, const char *base, const char *ending)
{
    const char *const endings[] = {ending, NULL};
    char staged[32];
    const char *const left[] = {staged, NULL};
    int result = clear_files(data, base, endings);

    snprintf(staged, sizeof staged, "%s" PKI_STAGED, ending);
    return result != 0 ? result : clear_files(data, base, left);
}

/* The directory in which a file of a replica was, and those above it. */
static int remove_parents(const struct clearing *clearing, const char *base, const char *top)
{
    char path[PKI_PATH_SIZE];
    char *slash;
    int result = 0;

    snprintf(path, sizeof path, "%s", base);
    while (result == 0 && (slash = strrchr(path, '/')) != NULL) {
        *slash = '\0';
        if (strlen(path) <= strlen(top))
            break;
        result = unless_foreign(pki_store_remove_directory(clearing->store, path));
    }
    return result;
}

static int clear_replica(void *data, const char *name)
{
    struct clearing *clearing = data;
    const struct pki *pki = clearing->pki;
    char base[PKI_PATH_SIZE], top[PKI_PATH_SIZE];
    int result = 0;

    for (size_t i = 0; result == 0 && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == PKI_REPLICA && pki_base(&pki->profiles[i], name, base))
            result = clear_profile(clearing, &pki->profiles[i], base);
    if (result == 0)
        result = pki_tree_each(pki, name, clear_copy, clearing);
    if (result != 0 || clearing->pass == PASS_OVERWRITE)
        return result;
    snprintf(top, sizeof top, "replicas/%s", name);
    for (size_t i = 0; result == 0 && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == PKI_REPLICA && pki_base(&pki->profiles[i], name, base))
            result = remove_parents(clearing, base, top);
    /* What holds only copies, when no certificate is beside them. */
    for (size_t i = 0; result == 0 && i < 2; i++) {
        snprintf(base, sizeof base, "replicas/%s/%s", name, i == 0 ? "pki/etcd" : "pki");
        result = unless_foreign(pki_store_remove_directory(clearing->store, base));
    }
    return result != 0 ? result : unless_foreign(pki_store_remove_directory(clearing->store, top));
}

static int clear_all(struct clearing *clearing)
{
    const struct pki *pki = clearing->pki;
    int result = 0;

    for (size_t i = 0; result == 0 && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == PKI_CLUSTER)
            result = clear_profile(clearing, &pki->profiles[i], pki->profiles[i].file);
    for (size_t i = 0; result == 0 && i < pki_authority_count; i++)
        result = clear_authority(clearing, pki_authorities[i].file);
    if (result == 0)
        result = clear_account(clearing);
    if (result == 0) {
        clearing->at = "archive";
        result = unless_foreign(pki_rotation_clear(clearing->store, clearing->pass == PASS_OVERWRITE));
    }
    if (result != 0)
        return result;
    clearing->at = "";
    if (clearing->pass == PASS_REMOVE)
        result = unless_foreign(pki_store_remove(clearing->store, PKI_AUDIT_FILE, ""));
    if (result == 0)
        result = unless_foreign(pki_store_each_directory(clearing->store, "replicas", clear_replica, clearing));
    for (size_t i = 0; result == 0 && clearing->pass == PASS_REMOVE && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == PKI_CLUSTER)
            result = remove_parents(clearing, pki->profiles[i].file, "");
    return result;
}

int pki_retire(void *self, struct hactl_call *call, const char *replica)
{
    struct pki *pki = self;
    struct pki_store store;
    struct clearing clearing = {.pki = pki, .store = &store};
    char shown[PKI_SHOWN_SIZE];
    int error, result;

    if (!pki_replica_name_valid(replica))
        return pki->host->fail(call, HACTL_E_INVALID, "\"%s\" is no replica's name", pki_shown(replica, shown));
    if (access(pki->directory, F_OK) != 0 && errno == ENOENT)
        return HACTL_OK;
    result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    clear_replica(&clearing, replica);
    pki_store_sync(&store);
    clearing.pass = PASS_REMOVE;
    error = clear_replica(&clearing, replica);
    if (error != 0)
        result = pki_store_fail(pki, call, error, "replicas/", replica);
    else
        pki->host->log(call, HACTL_LOG_INFO, "certificates and keys of %s removed", replica);
    pki_store_close(&store);
    return result;
}

/* Only what has a name of ours goes; a directory goes if that empties it. */
static int remove_directories(const struct pki *pki, struct hactl_call *call, struct pki_store *store)
{
    static const char *const directories[] = {"replicas", "operator", "etcd", "archive"};
    int error;

    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        error = unless_foreign(pki_store_remove_directory(store, directories[i]));
        if (error != 0)
            return pki_store_fail(pki, call, error, directories[i], "");
    }
    error = pki_store_remove(store, ".lock", "");
    if (error != 0)
        return pki_store_fail(pki, call, error, ".lock", "");
    if (rmdir(pki->directory) == 0 || errno == ENOENT || errno == EBUSY || errno == EACCES || errno == EPERM)
        return HACTL_OK;
    if (errno == ENOTEMPTY || errno == EEXIST)
        pki->host->log(call, HACTL_LOG_WARNING, "%s holds files that hactl did not make; they were left",
                       pki->directory);
    return HACTL_OK;
}

int pki_destroy(void *self, struct hactl_call *call)
{
    struct pki *pki = self;
    struct pki_store store;
    struct clearing clearing = {.pki = pki, .store = &store, .at = ""};
    int error, result;

    if (access(pki->directory, F_OK) != 0 && errno == ENOENT)
        return HACTL_OK;
    result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    clear_all(&clearing);
    pki_store_sync(&store);
    clearing.pass = PASS_REMOVE;
    error = clear_all(&clearing);
    result = error != 0 ? pki_store_fail(pki, call, error, clearing.at, "") : remove_directories(pki, call, &store);
    pki_store_close(&store);
    return result;
}
