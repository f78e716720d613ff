/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer "pki": authorities and certificates as files of a directory, in
 * kubeadm's layout. Settings, listing, credentials. */
#include "plugins/pki/pki.h"

#include "lib/file.h"

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
     .choices = PKI_KEY_TYPES,
     .help = "Kind of every new key; authorities that exist keep theirs."},
    {.name = "leaf_days",
     .type = HACTL_KEY_INTEGER,
     .default_value = "365",
     .minimum = 1,
     .maximum = PKI_LEAF_DAYS_MAX,
     .help =
         "Lifetime of certificates in days: a year at most, as Kubernetes reads no list of revocations and what was "
         "stolen is good until it ends; none outlives its authority."},
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
     .maximum = PKI_LEAF_DAYS_MAX - 1,
     .help = "A certificate with less than this many days left is issued anew; 0: a third of leaf_days. One with a "
             "lifetime of its own is with a third of that left."},
    {.name = "backdate_minutes",
     .type = HACTL_KEY_INTEGER,
     .default_value = "5",
     .minimum = 0,
     .maximum = 1440,
     .help = "How long before it is made a certificate begins to be valid, for clocks that are behind."},
    {.name = "etcd_authorities",
     .type = HACTL_KEY_STRING,
     .default_value = "separate",
     .choices = "separate|single",
     .help = "separate: etcd's members have an authority of their own; single: one for members and clients, as kubeadm "
             "has it."},
    {.name = "constrain",
     .type = HACTL_KEY_BOOLEAN,
     .default_value = "false",
     .help = "New authorities may vouch for private addresses, the external address and those of the replicas only "
             "(critical name constraints)."},
    {.name = "external",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Authorities whose keys are elsewhere: their certificates are asked for with hactl pki request and taken "
             "in with hactl pki import."},
    {.name = "passphrase_file",
     .type = HACTL_KEY_PATH,
     .help = "A file whose first line is the pass phrase with which authorities' keys are encrypted."},
    {.name = "passphrase_descriptor",
     .type = HACTL_KEY_INTEGER,
     .default_value = "-1",
     .minimum = -1,
     .maximum = 1023,
     .help = "The same, from an open file descriptor; -1: none."},
    {.name = "api_port",
     .type = HACTL_KEY_INTEGER,
     .default_value = "6443",
     .minimum = 1,
     .maximum = 65535,
     .help = "The port of each replica's own API server, for the kubeconfigs of its controller manager and scheduler."},
    {.name = "threads",
     .type = HACTL_KEY_INTEGER,
     .default_value = "0",
     .minimum = 0,
     .maximum = 64,
     .help = "How many threads make keys and certificates; 0: one for each processor, as far as that is faster."},
    {.name = "providers",
     .type = HACTL_KEY_STRING_LIST,
     .default_value = "default",
     .help = "OpenSSL's providers, which do the arithmetic: default, fips, legacy or the name of another's module; of "
             "all keys and certificates that are made and read here, and of nothing else."},
    {.name = "properties",
     .type = HACTL_KEY_STRING,
     .help =
         "What every algorithm of theirs must have, as OpenSSL's property(7) says it: \"fips=yes\"; without it, any "
         "is taken."},
    {.name = "openssl_configuration",
     .type = HACTL_KEY_PATH,
     .help =
         "A file in the form of OpenSSL's config(5) that tells where providers' modules are and what they must know; "
         "without it none is read, /etc/ssl/openssl.cnf neither."},
    {.name = "without",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Certificates that are not to be made, by their purpose."},
    {.name = "crl_days",
     .type = HACTL_KEY_INTEGER,
     .default_value = "90",
     .minimum = 1,
     .maximum = 3650,
     .help = "A list of revocations is made anew before it is so old; etcd does not ask, other readers do."},
    {.name = "token_hours",
     .type = HACTL_KEY_INTEGER,
     .default_value = "48",
     .minimum = 0,
     .maximum = 87600,
     .help = "How long a service account's token lives at most; for so long its old key is trusted after a switch."},
    {.name = "profiles.*.authority",
     .type = HACTL_KEY_STRING,
     .help = "Who signs it: kubernetes-ca (the default), etcd-ca, etcd-peer-ca or front-proxy-ca."},
    {.name = "profiles.*.scope",
     .type = HACTL_KEY_STRING,
     .choices = "replica|cluster",
     .help = "One for each replica (the default), or one for the cluster."},
    {.name = "profiles.*.form",
     .type = HACTL_KEY_STRING,
     .choices = "pair|kubeconfig|request",
     .help = "A certificate and its key (the default), both in a kubeconfig, or a certificate that is made only of "
             "requests, with hactl pki sign."},
    {.name = "profiles.*.server",
     .type = HACTL_KEY_STRING,
     .choices = "endpoint|local",
     .help = "Whom a kubeconfig names: the cluster's endpoint (the default), or the replica's own API server."},
    {.name = "profiles.*.file",
     .type = HACTL_KEY_STRING,
     .help = "Its path without ending, below the directory of the replica or of the cluster."},
    {.name = "profiles.*.common_name",
     .type = HACTL_KEY_STRING,
     .help = "The common name; %s stands for the replica's name, which is the default."},
    {.name = "profiles.*.organization", .type = HACTL_KEY_STRING, .help = "The organization: a group of Kubernetes'."},
    {.name = "profiles.*.usage", .type = HACTL_KEY_STRING_LIST, .help = "server, client or both."},
    {.name = "profiles.*.names",
     .type = HACTL_KEY_STRING_LIST,
     .help = "Names and addresses, and @replica, @internal, @external, @loopback, @service, @extra."},
    {.name = "profiles.*.days",
     .type = HACTL_KEY_INTEGER,
     .minimum = 0,
     .maximum = PKI_LEAF_DAYS_MAX,
     .help = "Its lifetime in days: a year at most, as Kubernetes reads no list of revocations and what was stolen is "
             "good until it ends; without it, leaf_days, and for super-admin 30 or leaf_days, whichever is less."},
    {.name = "profiles.*.key_type",
     .type = HACTL_KEY_STRING,
     .choices = PKI_KEY_TYPES,
     .help = "The kind of its key; without it, key_type."},
    {.name = NULL},
};

static void pki_close(void *self)
{
    struct pki *pki = self;

    if (pki == NULL)
        return;
    for (size_t i = 0; i < pki_authority_count; i++)
        X509_free(pki->verified[i]);
    pki_memory_free(pki->memory);
    pki_profiles_free(pki);
    pki_crypto_end(pki);
    ha_secret_free(pki->passphrase, pki->passphrase != NULL ? strlen(pki->passphrase) : 0);
    free(pki->passphrase_file);
    free(pki->directory);
    free(pki->key_type);
    free(pki);
}

static int take_external(struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call)
{
    const char *purpose;

    for (size_t i = 0; (purpose = pki->host->conf_list(conf, "external", i)) != NULL; i++) {
        size_t which = pki_authority_find(purpose);
        if (which == pki_authority_count)
            return pki->host->fail(call, HACTL_E_INVALID, "external: there is no authority \"%.60s\"", purpose);
        pki->external |= 1u << which;
    }
    return HACTL_OK;
}

static int take_settings(struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call)
{
    const struct hactl_host *host = pki->host;
    const char *directory = host->conf_string(conf, "directory"), *file = host->conf_string(conf, "passphrase_file");
    int64_t renew_days = host->conf_integer(conf, "renew_days");

    pki->directory = strdup(directory != NULL ? directory : host->conf_directory(conf));
    pki->key_type = strdup(host->conf_string(conf, "key_type"));
    pki->passphrase_file = file != NULL ? strdup(file) : NULL;
    pki->memory = pki_memory_new();
    if (pki->directory == NULL || pki->key_type == NULL || pki->memory == NULL ||
        (file != NULL && pki->passphrase_file == NULL))
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    pki->passphrase_fd = (int)host->conf_integer(conf, "passphrase_descriptor");
    pki->leaf_s = host->conf_integer(conf, "leaf_days") * PKI_DAY_S;
    pki->authority_s = host->conf_integer(conf, "authority_days") * PKI_DAY_S;
    pki->renew_s = renew_days > 0 ? renew_days * PKI_DAY_S : pki->leaf_s / 3;
    pki->crl_s = host->conf_integer(conf, "crl_days") * PKI_DAY_S;
    pki->token_s = host->conf_integer(conf, "token_hours") * 3600;
    pki->backdate_s = host->conf_integer(conf, "backdate_minutes") * 60;
    pki->single_etcd = strcmp(host->conf_string(conf, "etcd_authorities"), "single") == 0;
    pki->constrain = host->conf_boolean(conf, "constrain");
    pki->api_port = (uint16_t)host->conf_integer(conf, "api_port");
    pki->threads = (unsigned)host->conf_integer(conf, "threads");
    return take_external(pki, conf, call);
}

static int start_crypto(struct pki *pki, const struct hactl_conf *conf, struct hactl_call *call)
{
    struct pki_providers providers;
    int result = pki_providers_take(pki->host, conf, call, &providers);

    if (result != HACTL_OK)
        return result;
    switch (pki_secret_open(pki->host->conf_string(conf, "key_type"))) {
    case PKI_SECRET_NONE:
        pki->host->log(call, HACTL_LOG_DEBUG, "libcrypto's secure heap cannot be had: keys are in ordinary memory");
        break;
    case PKI_SECRET_NOT_LOCKED:
        pki->host->log(call, HACTL_LOG_DEBUG,
                       "memory for keys cannot be locked, and may be swapped: see RLIMIT_MEMLOCK (ulimit -l)");
        break;
    default:
        break;
    }
    pki->starting = pki_crypto_start(&providers);
    if (pki->starting == NULL)
        return pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    if (!pki_providers_are_default(&providers) && !pki_crypto_usable(pki))
        return pki->host->fail(call, HACTL_E_INVALID, "%s", pki_crypto_why(pki));
    return HACTL_OK;
}

static int pki_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    int64_t leaf_days = host->conf_integer(conf, "leaf_days"), renew_days = host->conf_integer(conf, "renew_days");
    struct pki *pki;
    int result;

    if (renew_days >= leaf_days)
        return host->fail(call, HACTL_E_INVALID, "renew_days (%lld) must be less than leaf_days (%lld)",
                          (long long)renew_days, (long long)leaf_days);
    pki = calloc(1, sizeof *pki);
    if (pki == NULL)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    pki->host = host;
    result = start_crypto(pki, conf, call);
    if (result == HACTL_OK)
        result = take_settings(pki, conf, call);
    if (result == HACTL_OK)
        result = pki_profiles_load(pki, conf, call);
    if (result != HACTL_OK) {
        pki_close(pki);
        return result;
    }
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
                      struct pki_state *state, const char *base, const char *ending, const struct pki_want *want)
{
    char path[4096 + PKI_PATH_SIZE];
    struct pki_names have = {0};
    char *subject = NULL, *names = NULL, *wanted = NULL;
    bool strange = false;
    int result;

    if (state->certificate != NULL) {
        subject = pki_subject(state->certificate);
        if (pki_certificate_names(state->certificate, &have, &strange) == 0)
            names = pki_names_text(&have);
    } else if (state->subject != NULL && state->names != NULL) {
        subject = strdup(state->subject);
        names = strdup(state->names);
    } else if (want != NULL) {
        names = pki_names_text(&want->names);
    }
    if (want != NULL)
        wanted = pki_names_explain(&want->names);
    snprintf(path, sizeof path, "%s/%s%s", pki->directory, base, ending);
    record->struct_size = sizeof *record;
    record->ready = state->ready;
    record->reason = state->reason[0] != '\0' ? state->reason : NULL;
    if (subject != NULL)
        record->subject = subject;
    record->names = names != NULL ? names : "";
    record->wanted = wanted;
    record->not_before_s = state->not_before_s;
    record->not_after_s = state->not_after_s;
    if (state->not_after_s != 0 && want != NULL)
        record->due_s = state->not_after_s - pki_renew_s(pki, want->profile, want->replica);
    else if (state->not_after_s != 0)
        record->due_s = pki_authority_due_s(pki, state->not_before_s, state->not_after_s);
    record->path = path;
    result = pki->host->emit_certificate(call, record);
    pki_names_free(&have);
    free(subject);
    free(names);
    free(wanted);
    return result;
}

static int list_authority(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                          struct pki_authority *authorities, const struct pki_authority_profile *profile)
{
    struct pki_authority *authority = pki_authority_see(pki, store, authorities, profile->purpose);
    char subject[128];
    int error, result;
    struct hactl_certificate record = {
        .purpose = profile->purpose, .is_authority = 1, .rotates = 1, .subject = subject};
    struct pki_rotation rotation;

    error = pki_rotation_read(store, profile->file, &rotation);
    if (error != 0)
        pki_state_finding(&authority->state, "%s.rotation %s", profile->file,
                          error == -EBADMSG ? "is damaged" : pki_store_error(error));
    record.rotation = rotation.phase;
    record.revocations = authority->crl != NULL;

    snprintf(subject, sizeof subject, "CN=%s", profile->common_name);
    result = emit_state(pki, call, &record, &authority->state, profile->file, ".crt", NULL);
    if (authority->crl != NULL)
        authority = pki_authority_load(pki, store, authorities, profile->purpose);
    return result == HACTL_OK ? pki_crl_list(pki, call, authority) : result;
}

static int list_leaf(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                     struct pki_authority *authorities, const struct hactl_inventory *inventory,
                     const struct pki_profile *profile, const struct hactl_replica *replica)
{
    struct pki_authority *authority = pki_authority_see(pki, store, authorities, profile->authority);
    char subject[256];
    struct hactl_certificate record = {.purpose = profile->purpose,
                                       .replica = replica != NULL ? replica->name : NULL,
                                       .authority = profile->authority,
                                       .carries_trust = profile->form == PKI_KUBECONFIG,
                                       .subject = subject};
    struct pki_state state;
    struct pki_want want;
    int result = pki_want_make(pki, call, inventory, profile, replica, &want);

    if (result != HACTL_OK)
        return result;
    pki_leaf_check(pki, store, &want, authority, &state);
    snprintf(subject, sizeof subject, "CN=%s%s%s", want.common_name, profile->organization != NULL ? ",O=" : "",
             profile->organization != NULL ? profile->organization : "");
    record.new_key =
        state.ready != HACTL_YES && !want.keyless && !pki_key_is_kept(pki, &want, &state, inventory->rekey);
    result = emit_state(pki, call, &record, &state, want.base, pki_ending(want.form), &want);
    pki_state_free(&state);
    pki_want_free(&want);
    return result;
}

static int list_scope(struct pki *pki, struct hactl_call *call, struct pki_store *store,
                      struct pki_authority *authorities, struct pki_originals *originals,
                      const struct hactl_inventory *inventory, const struct hactl_replica *replica)
{
    enum pki_scope scope = replica != NULL ? PKI_REPLICA : PKI_CLUSTER;
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == scope && pki->profiles[i].form != PKI_SIGN_ONLY &&
            pki_called_for(inventory, &pki->profiles[i]))
            result = list_leaf(pki, call, store, authorities, inventory, &pki->profiles[i], replica);
    if (result != HACTL_OK)
        return result;
    if (replica == NULL)
        return pki_service_account_list(pki, call, store);
    /* A replica that makes its own keys has a tree of its own making. */
    return inventory->replica_keys ? HACTL_OK : pki_tree_list(pki, call, store, originals, replica->name);
}

static int pki_list(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    struct pki *pki = self;
    struct pki_authority *authorities;
    struct pki_originals *originals;
    struct pki_store store;
    int result = pki_inventory_check(pki, call, inventory);

    if (result == HACTL_OK)
        result = pki_store_open(pki, call, false, &store);
    if (result != HACTL_OK)
        return result;
    authorities = pki_authorities_new();
    originals = pki_originals_new();
    if (authorities == NULL || originals == NULL)
        result = pki->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    for (size_t i = 0; result == HACTL_OK && i < pki_authority_count; i++)
        if (pki_authority_used(pki, &pki_authorities[i]))
            result = list_authority(pki, call, &store, authorities, &pki_authorities[i]);
    if (result == HACTL_OK)
        result = list_scope(pki, call, &store, authorities, originals, inventory, NULL);
    for (size_t i = 0; result == HACTL_OK && i < inventory->replica_count; i++)
        result = list_scope(pki, call, &store, authorities, originals, inventory, inventory->replicas[i]);
    pki_originals_free(originals);
    pki_authorities_free(authorities);
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
    .sign = pki_sign,
    .request = pki_request,
    .import = pki_import,
    .rotate = pki_rotate,
    .revoke = pki_revoke,
    .seal = pki_seal,
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
