/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer "pki": authorities and certificates as files of a directory, in
 * kubeadm's layout where kubeadm has one. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct hactl_key pki_keys[] = {
    {.name = "directory",
     .type = HACTL_KEY_PATH,
     .help = "Where authorities, certificates and keys are kept; without it, a directory of the cluster's state."},
    {.name = "key_type",
     .type = HACTL_KEY_STRING,
     .default_value = "ecdsa-p256",
     .choices = "ecdsa-p256|ecdsa-p384|rsa-2048",
     .help = "Kind of every new key; authorities that exist keep theirs."},
    {.name = "leaf_days",
     .type = HACTL_KEY_INTEGER,
     .default_value = "365",
     .minimum = 1,
     .maximum = 3650,
     .help = "Lifetime of certificates in days; none outlives its authority."},
    {.name = "authority_days",
     .type = HACTL_KEY_INTEGER,
     .default_value = "3650",
     .minimum = 1,
     .maximum = 36500,
     .help = "Lifetime of new authorities in days."},
    {.name = "renew_days",
     .type = HACTL_KEY_INTEGER,
     .default_value = "0",
     .minimum = 0,
     .maximum = 3650,
     .help = "A certificate with less than this many days left is issued anew; 0: a third of leaf_days."},
    {.name = NULL},
};

static void pki_close(void *self)
{
    struct pki *pki = self;

    if (pki == NULL)
        return;
    free(pki->directory);
    free(pki->key_type);
    free(pki);
}

static int pki_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    const char *directory = host->conf_string(conf, "directory");
    int64_t leaf_days = host->conf_integer(conf, "leaf_days"), renew_days = host->conf_integer(conf, "renew_days");
    struct pki *pki;

    if (renew_days >= leaf_days)
        return host->fail(call, HACTL_E_INVALID, "renew_days (%lld) must be less than leaf_days (%lld)",
                          (long long)renew_days, (long long)leaf_days);
    pki = calloc(1, sizeof *pki);
    if (pki == NULL)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    pki->host = host;
    pki->directory = strdup(directory != NULL ? directory : host->conf_directory(conf));
    pki->key_type = strdup(host->conf_string(conf, "key_type"));
    if (pki->directory == NULL || pki->key_type == NULL) {
        pki_close(pki);
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    }
    pki->leaf_s = leaf_days * PKI_DAY_S;
    pki->authority_s = host->conf_integer(conf, "authority_days") * PKI_DAY_S;
    pki->renew_s = renew_days > 0 ? renew_days * PKI_DAY_S : pki->leaf_s / 3;
    *self = pki;
    return HACTL_OK;
}

static int pki_check(void *self, struct hactl_call *call)
{
    const struct pki *pki = self;
    struct pki_store store;
    int result = pki_store_open(pki, call, false, &store);

    if (result != HACTL_OK)
        return result;
    if (store.root >= 0 && faccessat(store.root, ".", W_OK | X_OK, AT_EACCESS) != 0)
        result = pki_store_fail(pki, call, -errno, "", "");
    pki_store_close(&store);
    return result;
}

/* ---- list ---- */

static int emit_state(const struct pki *pki, struct hactl_call *call, struct hactl_certificate *record,
                      struct pki_state *state, const char *base, const char *wanted_subject,
                      const struct pki_names *wanted_names)
{
    char path[4096 + PKI_PATH_SIZE];
    struct pki_names have = {0};
    char *subject = NULL, *names = NULL;
    bool strange = false;
    int result;

    if (state->certificate != NULL) {
        subject = pki_subject(state->certificate);
        if (pki_certificate_names(state->certificate, &have, &strange) == 0)
            names = pki_names_text(&have);
    } else if (wanted_names != NULL) {
        names = pki_names_text(wanted_names);
    }
    snprintf(path, sizeof path, "%s/%s.crt", pki->directory, base);
    record->struct_size = sizeof *record;
    record->ready = state->ready;
    record->reason = state->reason[0] != '\0' ? state->reason : NULL;
    record->subject = subject != NULL ? subject : wanted_subject;
    record->names = names != NULL ? names : "";
    record->not_before_s = state->not_before_s;
    record->not_after_s = state->not_after_s;
    record->path = path;
    result = pki->host->emit_certificate(call, record);
    pki_names_free(&have);
    free(subject);
    free(names);
    return result;
}

static int list_authority(const struct pki *pki, struct hactl_call *call, const struct pki_store *store,
                          struct pki_authority *authorities, const struct pki_authority_profile *profile)
{
    struct pki_authority *authority = pki_authority_load(store, authorities, profile->purpose);
    struct hactl_certificate record = {.purpose = profile->purpose, .is_authority = 1};
    char subject[128];

    snprintf(subject, sizeof subject, "CN=%s", profile->common_name);
    return emit_state(pki, call, &record, &authority->state, profile->file, subject, NULL);
}

static int list_leaf(const struct pki *pki, struct hactl_call *call, const struct pki_store *store,
                     struct pki_authority *authorities, const struct hactl_inventory *inventory,
                     const struct pki_profile *profile, const struct hactl_replica *replica)
{
    struct pki_authority *authority = pki_authority_load(store, authorities, profile->authority);
    struct hactl_certificate record = {.purpose = profile->purpose, .replica = replica != NULL ? replica->name : NULL};
    struct pki_state state;
    struct pki_want want;
    char subject[256];
    int result = pki_want_make(pki, call, inventory, profile, replica, &want);

    if (result != HACTL_OK)
        return result;
    pki_leaf_check(pki, store, &want, &authority->state, &state);
    snprintf(subject, sizeof subject, "CN=%s%s%s", want.common_name, profile->organization != NULL ? ",O=" : "",
             profile->organization != NULL ? profile->organization : "");
    result = emit_state(pki, call, &record, &state, want.base, subject, &want.names);
    pki_state_free(&state);
    pki_want_free(&want);
    return result;
}

static int list_scope(const struct pki *pki, struct hactl_call *call, const struct pki_store *store,
                      struct pki_authority *authorities, const struct hactl_inventory *inventory,
                      const struct hactl_replica *replica)
{
    enum pki_scope scope = replica != NULL ? PKI_REPLICA : PKI_CLUSTER;
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < pki_profile_count; i++)
        if (pki_profiles[i].scope == scope)
            result = list_leaf(pki, call, store, authorities, inventory, &pki_profiles[i], replica);
    return result;
}

static int pki_list(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    const struct pki *pki = self;
    struct pki_authority *authorities;
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, false, &store);
    if (result != HACTL_OK)
        return result;
    authorities = pki_authorities_new();
    if (authorities == NULL)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    for (size_t i = 0; result == HACTL_OK && i < pki_authority_count; i++)
        result = list_authority(pki, call, &store, authorities, &pki_authorities[i]);
    if (result == HACTL_OK)
        result = list_scope(pki, call, &store, authorities, inventory, NULL);
    for (size_t i = 0; result == HACTL_OK && i < inventory->replica_count; i++)
        result = list_scope(pki, call, &store, authorities, inventory, inventory->replicas[i]);
    pki_authorities_free(authorities);
    pki_store_close(&store);
    return result;
}

/* ---- credential ---- */

static int credential_file(const struct pki *pki, struct hactl_call *call, const char *replica, const char *purpose,
                           const char *part, char base[PKI_PATH_SIZE], const char **ending)
{
    size_t leaf = pki_profile_find(purpose), authority = pki_authority_find(purpose);

    *ending = strcmp(part, "key") == 0 ? ".key" : ".crt";
    if (strcmp(part, "certificate") != 0 && strcmp(part, "key") != 0 && strcmp(part, "authority") != 0)
        return pki->host->fail(call, HACTL_E_INVALID, "a credential has no part \"%s\"", part);
    if (leaf < pki_profile_count && strcmp(part, "authority") == 0)
        authority = pki_authority_find(pki_profiles[leaf].authority);
    if (authority < pki_authority_count) {
        if (strcmp(part, "key") == 0)
            return pki->host->fail(call, HACTL_E_DENIED, "the key of authority %s is given to nobody", purpose);
        snprintf(base, PKI_PATH_SIZE, "%s", pki_authorities[authority].file);
        return HACTL_OK;
    }
    if (leaf == pki_profile_count)
        return pki->host->fail(call, HACTL_E_INVALID, "there is no certificate for \"%s\"", purpose);
    if (pki_profiles[leaf].scope == PKI_REPLICA && (replica == NULL || !pki_replica_name_valid(replica)))
        return pki->host->fail(call, HACTL_E_INVALID, "certificate %s is a replica's, and none is named", purpose);
    if (pki_base(&pki_profiles[leaf], replica, base) != HACTL_OK)
        return pki->host->fail(call, HACTL_E_INVALID, "replica %s: its name is too long", replica);
    return HACTL_OK;
}

static int pki_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose,
                          const char *part)
{
    const struct pki *pki = self;
    char base[PKI_PATH_SIZE], path[4096 + PKI_PATH_SIZE];
    struct hactl_credential record = {.struct_size = sizeof record, .path = path};
    struct pki_store store;
    struct pki_blob blob;
    const char *ending;
    int error, result = credential_file(pki, call, replica, purpose, part, base, &ending);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, false, &store);
    if (result != HACTL_OK)
        return result;
    error = pki_store_read(&store, base, ending, &blob);
    pki_store_close(&store);
    if (error == -ENOENT)
        return pki->host->fail(call, HACTL_E_NOT_FOUND, "%s/%s%s is missing; issuing makes it", pki->directory, base,
                               ending);
    if (error != 0)
        return pki_store_fail(pki, call, error, base, ending);
    snprintf(path, sizeof path, "%s/%s%s", pki->directory, base, ending);
    record.content = blob.content;
    record.content_size = blob.size;
    result = pki->host->emit_credential(call, &record);
    pki_blob_free(&blob);
    return result;
}

/* ---- retire and destroy ---- */

static const char *const key_endings[] = {".key", ".key" PKI_STAGED};
static const char *const endings[] = {".crt", ".crt" PKI_STAGED, ".key", ".key" PKI_STAGED};

/* Two passes over the same files: overwritten keys are of use only if their
 * zeros reach the disk before the names go. */
enum pass { PASS_OVERWRITE, PASS_REMOVE };

/* What lies behind a link or in the place of a directory is not ours. */
static int unless_foreign(int error)
{
    return error == -ELOOP || error == -ENOTDIR || error == -ENOTEMPTY || error == -EEXIST ? 0 : error;
}

static int clear_pair(const struct pki_store *store, const char *base, enum pass pass)
{
    int result = 0;

    if (pass == PASS_OVERWRITE) {
        for (size_t i = 0; i < sizeof key_endings / sizeof key_endings[0]; i++)
            pki_store_overwrite(store, base, key_endings[i]);
        return 0;
    }
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        int one = unless_foreign(pki_store_remove(store, base, endings[i]));
        if (result == 0)
            result = one;
    }
    return result;
}

struct clearing {
    const struct pki_store *store;
    enum pass pass;
};

static int clear_replica(void *data, const char *name)
{
    const struct clearing *clearing = data;
    char base[PKI_PATH_SIZE];
    int result = 0;

    for (size_t i = 0; result == 0 && i < pki_profile_count; i++)
        if (pki_profiles[i].scope == PKI_REPLICA && pki_base(&pki_profiles[i], name, base) == HACTL_OK)
            result = clear_pair(clearing->store, base, clearing->pass);
    if (result != 0 || clearing->pass == PASS_OVERWRITE)
        return result;
    snprintf(base, sizeof base, "replicas/%s", name);
    return unless_foreign(pki_store_remove_directory(clearing->store, base));
}

static int clear_all(struct clearing *clearing)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < pki_profile_count; i++)
        if (pki_profiles[i].scope == PKI_CLUSTER)
            result = clear_pair(clearing->store, pki_profiles[i].file, clearing->pass);
    for (size_t i = 0; result == 0 && i < pki_authority_count; i++)
        result = clear_pair(clearing->store, pki_authorities[i].file, clearing->pass);
    if (result == 0)
        result = unless_foreign(pki_store_each_directory(clearing->store, "replicas", clear_replica, clearing));
    return result;
}

static int pki_retire(void *self, struct hactl_call *call, const char *replica)
{
    const struct pki *pki = self;
    struct pki_store store;
    struct clearing clearing = {.store = &store};
    int error, result;

    if (!pki_replica_name_valid(replica))
        return pki->host->fail(call, HACTL_E_INVALID, "\"%.100s\" is no replica's name", replica);
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
    static const char *const directories[] = {"replicas", "operator", "etcd"};
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

static int pki_destroy(void *self, struct hactl_call *call)
{
    const struct pki *pki = self;
    struct pki_store store;
    struct clearing clearing = {.store = &store};
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
    result = error != 0 ? pki_store_fail(pki, call, error, "", "") : remove_directories(pki, call, &store);
    pki_store_close(&store);
    return result;
}

static const struct hactl_issuer_ops pki_issuer = {
    .struct_size = sizeof pki_issuer,
    .list = pki_list,
    .authority_ensure = pki_authority_ensure,
    .issue = pki_issue,
    .retire = pki_retire,
    .credential = pki_credential,
    .destroy = pki_destroy,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof hactl_plugin,
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "pki",
    .version = "0.1",
    .summary = "Authorities and certificates as files, made with libcrypto",
    .keys = pki_keys,
    .open = pki_open,
    .close = pki_close,
    .check = pki_check,
    .issuer = &pki_issuer,
};
