/* SPDX-License-Identifier: Apache-2.0 */
/* Making what is missing or not as wanted: what is due is collected, made on
 * every processor, and put in place as one batch. */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What one call of `issue` works with. */
struct issue {
    struct pki_batch batch;
    struct pki_jobs jobs;
    struct pki_authority *authorities;
    struct pki_originals *originals;
    struct pki_blob *trust;         /* of each authority, once it was read */
    struct pki_authority *external; /* one whose certificates others have to make */
    const struct hactl_inventory *inventory;
    const struct hactl_request *const *requests; /* of the replica, where it makes its own keys */
    size_t request_count;
};

static int read_trust(struct issue *issue, size_t authority, const char **out)
{
    struct pki_blob *blob = &issue->trust[authority];
    int error = 0;

    if (blob->content == NULL)
        error = pki_trust_read(issue->batch.pki, issue->batch.store, pki_authorities[authority].purpose, blob);
    *out = blob->content;
    return error == 0
               ? HACTL_OK
               : pki_store_fail(issue->batch.pki, issue->batch.call, error, pki_authorities[authority].file, ".crt");
}

static void shorten(const struct issue *issue, const struct pki_want *want, const struct pki_authority *authority,
                    struct pki_issuance *issuance, int64_t now_s)
{
    if (authority->state.not_after_s >= issuance->not_after_s)
        return;
    issuance->not_after_s = authority->state.not_after_s;
    issue->batch.pki->host->log(issue->batch.call, HACTL_LOG_WARNING,
                                "certificate %s: lives only as long as its authority %s, another %.1f days",
                                want->profile->purpose, authority->profile->purpose,
                                (double)(issuance->not_after_s - now_s) / PKI_DAY_S);
}

static void describe_item(struct pki_item *item, const struct pki_want *want, const struct pki_state *state,
                          bool new_key)
{
    bool kubeconfig = want->form == PKI_KUBECONFIG;

    *item = (struct pki_item){.ending = pki_ending(want->form),
                              .purpose = want->profile->purpose,
                              .replica = want->replica,
                              .new_key = new_key && !kubeconfig,
                              .replaces = state->has_certificate,
                              .secret = kubeconfig};
    memcpy(item->base, want->base, sizeof item->base);
    memcpy(item->reason, state->reason, sizeof item->reason);
}

/* Takes over the want. */
static int add_leaf(struct issue *issue, struct pki_want *want, const struct pki_authority *authority,
                    struct pki_state *state)
{
    struct pki *pki = issue->batch.pki;
    int64_t now_s = (int64_t)time(NULL);
    const char *key_type = pki_profile_key_type(pki, want->profile);
    bool keep_key = pki_key_is_kept(pki, want, state, issue->inventory->rekey);
    size_t which = pki_authority_find(want->profile->authority);
    struct pki_item item;
    struct pki_job *job = pki_jobs_add(&issue->jobs);

    if (job == NULL)
        return pki_batch_out_of_memory(&issue->batch);
    describe_item(&item, want, state, !keep_key);
    if (pki_batch_add(&issue->batch, &item) == NULL)
        return pki_batch_out_of_memory(&issue->batch);
    job->item = issue->batch.count - 1;
    job->key_type = key_type;
    if (keep_key) {
        job->key = state->key;
        state->key = NULL; /* handed over */
    }
    job->digest = pki_want_digest(pki, want, &authority->state);
    job->want = *want;
    *want = (struct pki_want){.profile = job->want.profile}; /* handed over */
    job->issuer = authority->state.certificate;
    job->issuer_key = authority->state.key;
    job->issuer_chain = authority->state.chain;
    job->made_issuer = authority->state.made;
    job->constrained = job->issuer != NULL && pki_chain_constrains(job->issuer_chain);
    /* One that this process made was verified when it was. */
    job->verify = job->issuer != NULL && pki->verified[which] != job->issuer;
    if (job->verify && X509_up_ref(job->issuer) == 1) {
        X509_free(pki->verified[which]);
        pki->verified[which] = job->issuer;
    }
    job->issuance = (struct pki_issuance){.organization = job->want.profile->organization,
                                          .usage = job->want.profile->usage,
                                          .not_before_s = now_s - pki->backdate_s,
                                          .not_after_s = now_s + pki_profile_life_s(pki, job->want.profile)};
    shorten(issue, &job->want, authority, &job->issuance, now_s);
    if (job->want.form != PKI_KUBECONFIG)
        return HACTL_OK;
    job->kind = PKI_JOB_KUBECONFIG;
    return read_trust(issue, which, &job->trust);
}

/* Pointers into the list of jobs, once it grows no more. */
static void settle(struct pki_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        struct pki_job *job = &jobs->list[i];
        job->issuance.common_name = job->want.common_name;
        job->issuance.names = &job->want.names;
        job->cluster = job->want.cluster;
        job->server = job->want.server;
    }
}

/* A replica's own request: its key goes into `state` in the place of one of ours. HACTL_OK without a key: there is
 * none yet. */
static int take_request(struct issue *issue, const struct pki_want *want, struct pki_state *state)
{
    const struct pki *pki = issue->batch.pki;
    const struct hactl_request *found = NULL;
    X509_REQ *request;
    EVP_PKEY *key = NULL, *has = state->certificate != NULL ? X509_get0_pubkey(state->certificate) : NULL;
    int result;

    EVP_PKEY_free(state->key); /* one that was made here before is of no use any more */
    state->key = NULL;
    for (size_t i = 0; i < issue->request_count && found == NULL; i++)
        if (strcmp(issue->requests[i]->purpose, want->profile->purpose) == 0)
            found = issue->requests[i];
    if (found == NULL)
        return HACTL_OK;
    request = pki_request_read(pki_crypto(pki), found->content, strlen(found->content));
    result = pki_request_judge(pki, issue->batch.call, want, request, &key);
    if (result == HACTL_OK) {
        state->key = key;
        if (has == NULL || EVP_PKEY_eq(has, key) != 1)
            pki_state_finding(state, "the replica has another key");
    }
    X509_REQ_free(request);
    return result;
}

static int consider(struct issue *issue, const struct pki_profile *profile, const struct hactl_replica *replica)
{
    struct pki *pki = issue->batch.pki;
    struct hactl_call *call = issue->batch.call;
    struct pki_authority *authority;
    struct pki_state state;
    struct pki_want want;
    int result = pki_want_make(pki, call, issue->inventory, profile, replica, &want);

    if (result != HACTL_OK)
        return result;
    authority = pki_authority_see(pki, issue->batch.store, issue->authorities, profile->authority);
    pki_leaf_check(pki, issue->batch.store, &want, authority, &state);
    if (want.keyless && state.error == 0)
        result = take_request(issue, &want, &state);
    if (result != HACTL_OK || (want.keyless && state.error == 0 && state.key == NULL)) {
        /* Refused, or nothing to do before the replica has asked. */
    } else if (state.error != 0) {
        result = pki->host->fail(call, state.ready == HACTL_UNKNOWN ? HACTL_E_DENIED : HACTL_E_CONFLICT, "%s/%s",
                                 pki->directory, state.reason);
    } else if (state.ready != HACTL_YES && pki_want_is_nameless(&want)) {
        result = pki_want_refuse_nameless(pki, call, &want);
    } else if (state.ready != HACTL_YES && authority->external) {
        issue->external = authority;
    } else if (state.ready != HACTL_YES) {
        /* Its constraints have to be read. */
        if (pki->constrain)
            authority = pki_authority_load(pki, issue->batch.store, issue->authorities, profile->authority);
        result = pki_authority_usable(pki, call, issue->batch.store, authority);
        if (result == HACTL_OK)
            result = pki_authority_horizon(pki, call, authority, profile);
        if (result == HACTL_OK)
            result = add_leaf(issue, &want, authority, &state);
    }
    pki_state_free(&state);
    pki_want_free(&want);
    return result;
}

/* What a killed process staged and nobody will place. */
static void remove_leftovers(struct pki *pki, struct pki_store *store, enum pki_scope scope, const char *replica)
{
    static const char *const endings[] = {".key" PKI_STAGED, ".crt" PKI_STAGED};
    char base[PKI_PATH_SIZE];

    for (size_t i = 0; i < pki->profile_count; i++) {
        const struct pki_profile *profile = &pki->profiles[i];
        if (profile->scope != scope || profile->form == PKI_SIGN_ONLY || !pki_base(profile, replica, base))
            continue;
        if (profile->form == PKI_KUBECONFIG)
            pki_store_remove(store, base, ".conf" PKI_STAGED);
        for (size_t j = 0; profile->form == PKI_PAIR && j < 2; j++)
            pki_store_remove(store, base, endings[j]);
    }
}

static int issue_open(struct issue *issue, struct pki *pki, struct hactl_call *call, struct pki_store *store,
                      const struct hactl_inventory *inventory)
{
    *issue = (struct issue){.inventory = inventory,
                            .authorities = pki_authorities_new(),
                            .originals = pki_originals_new(),
                            .trust = calloc(pki_authority_count, sizeof *issue->trust)};
    pki_batch_open(&issue->batch, pki, call, store);
    if (issue->authorities == NULL || issue->originals == NULL || issue->trust == NULL)
        return pki_batch_out_of_memory(&issue->batch);
    return HACTL_OK;
}

static void issue_close(struct issue *issue)
{
    for (size_t i = 0; issue->trust != NULL && i < pki_authority_count; i++)
        pki_blob_free(&issue->trust[i]);
    free(issue->trust);
    pki_originals_free(issue->originals);
    pki_authorities_free(issue->authorities);
}

/* Of one replica, or (NULL) of the cluster. */
static int collect(struct issue *issue, const struct hactl_replica *subject)
{
    struct pki *pki = issue->batch.pki;
    enum pki_scope scope = subject != NULL ? PKI_REPLICA : PKI_CLUSTER;
    int result = HACTL_OK;

    remove_leftovers(pki, issue->batch.store, scope, subject != NULL ? subject->name : NULL);
    for (size_t i = 0; result == HACTL_OK && i < pki->profile_count; i++)
        if (pki->profiles[i].scope == scope && pki->profiles[i].form != PKI_SIGN_ONLY &&
            pki_called_for(issue->inventory, &pki->profiles[i]))
            result = consider(issue, &pki->profiles[i], subject);
    if (result == HACTL_OK && subject != NULL)
        return issue->inventory->replica_keys ? HACTL_OK
                                              : pki_tree_ensure(&issue->batch, issue->originals, subject->name);
    return result == HACTL_OK ? pki_crl_ensure(&issue->batch, issue->authorities) : result;
}

/* Of the cluster, and of every replica that is there: one without an address
 * is on its way out. */
static int collect_all(struct issue *issue)
{
    int result = collect(issue, NULL);

    for (size_t i = 0; result == HACTL_OK && i < issue->inventory->replica_count; i++)
        if (issue->inventory->replicas[i]->internal_address != NULL)
            result = collect(issue, issue->inventory->replicas[i]);
    return result;
}

/* Usually made along with the authorities; where those were all put there by somebody else, nobody has asked for them.
 * By itself, since every replica gets a copy of it. */
static int make_service_account(struct pki *pki, struct hactl_call *call, struct pki_store *store)
{
    struct pki_jobs jobs = {.list = NULL};
    struct pki_batch batch;

    pki_batch_open(&batch, pki, call, store);
    return pki_jobs_finish(&batch, &jobs, pki_service_account_add(&batch, &jobs));
}

int pki_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
              const struct hactl_request *const *requests, size_t request_count)
{
    struct pki *pki = self;
    bool everything = replica != NULL && strcmp(replica, HACTL_EVERYTHING) == 0;
    const struct hactl_replica *subject = NULL;
    struct pki_store store;
    struct issue issue;
    int result;

    if (request_count > 0 && !inventory->replica_keys)
        return pki->host->fail(call, HACTL_E_UNSUPPORTED, "keys are made here (keys.mode), and there are requests");
    result = pki_inventory_check(pki, call, inventory);
    if (result == HACTL_OK && replica != NULL && !everything)
        result = pki_replica_ready(pki, call, inventory, replica, &subject);
    if (result == HACTL_OK)
        result = pki_store_open(pki, call, true, &store);
    if (result != HACTL_OK)
        return result;
    result = issue_open(&issue, pki, call, &store, inventory);
    issue.requests = requests;
    issue.request_count = request_count;
    if (result == HACTL_OK)
        result = pki_rotation_finish(pki, call, &store);
    if (result == HACTL_OK && subject == NULL)
        result = make_service_account(pki, call, &store);
    pki_store_looking(&store, true);
    if (result == HACTL_OK)
        result = everything ? collect_all(&issue) : collect(&issue, subject);
    settle(&issue.jobs);
    result = pki_jobs_finish(&issue.batch, &issue.jobs, result);
    /* The others are in place by now. */
    if (result == HACTL_OK && issue.external != NULL)
        result = pki_authority_usable(pki, call, &store, issue.external);
    issue_close(&issue);
    pki_store_close(&store);
    return result;
}
