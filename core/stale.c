/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stale.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/log.h"

enum { RENDER_TIMEOUT_MS = 5000 };

void ha_stale_judge(struct ha_session *session, int replica, int payload)
{
    const struct ha_session_private *private = session->private;
    struct ha_replica *r = &session->observed.model.replicas[replica];
    const char *runs = private->digests[replica][payload], *wanted = private->wanted[replica][payload];
    bool known = runs[0] != '\0' && wanted[0] != '\0' && !ha_delivery_is_partial(wanted), same_keys;
    uint8_t bit = (uint8_t)(1u << payload);

    r->unproved = (uint8_t)(known ? r->unproved & ~bit : r->unproved | bit);
    r->outdated &= (uint8_t)~bit;
    r->rekeyed &= (uint8_t)~bit;
    if (runs[0] == '\0' || wanted[0] == '\0' || r->deliveries[payload] != HA_DELIVERY_RUNNING)
        return;
    if (!ha_delivery_same(runs, wanted, HA_DIGEST_FILES)) {
        r->deliveries[payload] = HA_DELIVERY_STALE;
        return;
    }
    if (!known)
        return;
    same_keys = ha_delivery_same(runs, wanted, HA_DIGEST_KEYS);
    if (!same_keys || !ha_delivery_same(runs, wanted, HA_DIGEST_REREAD))
        r->outdated |= bit;
    if (!same_keys)
        r->rekeyed |= bit;
}

/* What is renewed with a certificate; trust and revocations are not. */
static bool is_renewed(const struct hactl_file *file)
{
    return file->part == NULL || (strcmp(file->part, "authority") != 0 && strcmp(file->part, "revocations") != 0);
}

static void learn_use(struct ha_session_private *private, int payload, const struct hactl_file *file)
{
    struct ha_use *uses = private->uses[payload];

    for (int i = 0; i < HA_PURPOSES; i++) {
        if (uses[i].purpose[0] == '\0')
            snprintf(uses[i].purpose, HA_NAME, "%s", file->purpose);
        if (strcmp(uses[i].purpose, file->purpose) != 0)
            continue;
        uses[i].restarts |= is_renewed(file) && !file->reread;
        return;
    }
}

/* The content of every file, less keys that the replica made itself; `lasting`: less what is read again, too. */
static bool fill_in(struct ha_session *session, struct hactl_call *rendered, const char *replica, bool lasting)
{
    for (size_t i = 0; i < rendered->file_count; i++) {
        struct hactl_file *file = &rendered->files[i];
        struct hactl_call *call;
        bool given;

        enum ha_file_source source = ha_file_source(session, file);

        if ((source != HA_FILE_CREDENTIAL && source != HA_FILE_SHARED) || (lasting && file->reread))
            continue;
        call = ha_ask_credential(session, replica, file->purpose, file->part);
        given = call != NULL && ha_call_wait(call) == HACTL_OK && call->credential_count > 0;
        if (given) {
            file->content = call->credentials[0].content;
            file->content_size = call->credentials[0].content_size;
            call->credentials[0].content = NULL;
            call->credentials[0].content_size = 0;
        }
        ha_call_free(call);
        if (!given)
            return false;
    }
    return true;
}

/* NULL: it uses none of that purpose. */
static const struct ha_use *use_of(const struct ha_session_private *private, int payload, const char *purpose)
{
    for (int i = 0; i < HA_PURPOSES; i++)
        if (strcmp(private->uses[payload][i].purpose, purpose) == 0)
            return &private->uses[payload][i];
    return NULL;
}

/* What is there of it now is not what it is to have: it uses some that are to be issued anew. All of those are read
 * again by who uses them, or not. */
enum awaited { AWAITS_NOTHING, AWAITS_REREAD, AWAITS_RESTART };

static enum awaited awaits_certificates(const struct ha_session *session, int replica, int payload)
{
    const struct ha_replica *r = &session->observed.model.replicas[replica];
    enum awaited awaited = AWAITS_NOTHING;

    for (size_t i = 0; r->certificates != HA_CERTIFICATES_READY && i < session->observed.certificate_count; i++) {
        const struct ha_certificate *certificate = &session->observed.certificates[i];
        const struct ha_use *use = use_of(session->private, payload, certificate->purpose);

        if (certificate->ready == HACTL_YES || strcmp(certificate->replica, r->name) != 0 || use == NULL)
            continue;
        if (use->restarts)
            return AWAITS_RESTART;
        awaited = AWAITS_REREAD;
    }
    return awaited;
}

/* What it is to run on, as far as that is known. Whom to trust may have changed while none of its certificates has, and
 * while one of them is due: then what is not read again is compared, for it would be restarted for nothing else. */
static void learn_wanted(struct ha_session *session, int replica, int payload, struct hactl_call *rendered)
{
    const char *name = session->observed.model.replicas[replica].name;
    char *wanted = session->private->wanted[replica][payload];
    enum awaited awaited = awaits_certificates(session, replica, payload);

    if (session->private->digests[replica][payload][0] == '\0' || awaited == AWAITS_RESTART)
        return;
    if (!fill_in(session, rendered, name, awaited == AWAITS_REREAD) || !ha_delivery_digest(rendered, wanted))
        wanted[0] = '\0';
    else if (awaited == AWAITS_REREAD)
        ha_delivery_make_partial(wanted);
}

/* With what cannot be right nothing that runs can be compared: it goes on as it is, and could not be started again. */
static void tell_unlike(struct ha_session *session, int replica, int payload, const char *why)
{
    struct ha_model *model = &session->observed.model;
    bool formed = payload >= model->group_count || model->groups[payload].formed == HACTL_YES;

    if (model->replicas[replica].wanted && formed && model->unlike[0] == '\0')
        snprintf(model->unlike, sizeof model->unlike, "%s, %s: %.200s", model->replicas[replica].name,
                 session->payloads[payload]->conf->instance, why);
}

static void render(struct ha_session *session, int replica, int payload)
{
    struct ha_session_private *private = session->private;
    const struct ha_replica *r = &session->observed.model.replicas[replica];
    struct hactl_call *call = ha_ask_render(session, payload, replica, RENDER_TIMEOUT_MS);

    int code = ha_call_wait(call);

    if (code == HACTL_OK) {
        for (size_t i = 0; i < call->file_count; i++)
            if (call->files[i].purpose != NULL)
                learn_use(private, payload, &call->files[i]);
        learn_wanted(session, replica, payload, call);
    } else {
        ha_log(HACTL_LOG_DEBUG, "what %s runs on could not be compared: %s", r->name, call->text);
        if (code == HACTL_E_INVALID)
            tell_unlike(session, replica, payload, call->text);
    }
    ha_call_free(call);
}

/* ---- who uses which certificate */

void ha_rotation_observe(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;

    model->rotation_payloads = 0;
    model->rotation_rereads = UINT8_MAX;
    model->rotation_of_cluster = model->rotation_of_each = false;
    model->trust_of_cluster = model->trust_of_each = model->rotation_of_key = false;
    for (size_t i = 0; model->rotation[0] != '\0' && i < session->observed.certificate_count; i++) {
        const struct ha_certificate *certificate = &session->observed.certificates[i];

        bool itself = certificate->rotates && strcmp(certificate->purpose, model->rotation) == 0;
        bool by_it = strcmp(certificate->authority, model->rotation) == 0;
        bool of_each = certificate->replica[0] != '\0';

        if (itself) {
            model->rotation_found = certificate->rotation;
            model->rotation_of_key = !certificate->is_authority;
            model->rotation_early = certificate->retire_s > (int64_t)time(NULL);
        }
        if (certificate->carries_trust && (by_it || certificate->authority[0] == '\0'))
            *(of_each ? &model->trust_of_each : &model->trust_of_cluster) = true;
        if (by_it && !certificate->is_authority)
            *(of_each ? &model->rotation_of_each : &model->rotation_of_cluster) = true;
        for (int p = 0; (by_it || itself) && p < model->payload_count; p++) {
            const struct ha_use *use = use_of(session->private, p, certificate->purpose);

            if (use == NULL)
                continue;
            model->rotation_payloads |= (uint8_t)(1u << p);
            if (use->restarts)
                model->rotation_rereads &= (uint8_t) ~(1u << p);
        }
    }
}

/* Payloads that use none of what is to be issued are left alone, and those that
 * read all of it again are not restarted. */
static void foresee(struct ha_session *session, int replica)
{
    struct ha_model *model = &session->observed.model;
    struct ha_replica *r = &model->replicas[replica];

    r->spared = r->rereads = r->rekeys = 0;
    for (int p = 0; p < model->payload_count; p++) {
        bool touched = session->private->uses[p][0].purpose[0] == '\0', restarts = touched, rekeys = false;

        for (size_t i = 0; i < session->observed.certificate_count; i++) {
            const struct ha_certificate *certificate = &session->observed.certificates[i];
            const struct ha_use *use = use_of(session->private, p, certificate->purpose);

            if (use == NULL || certificate->ready == HACTL_YES || strcmp(certificate->replica, r->name) != 0)
                continue;
            touched = true;
            restarts |= use->restarts;
            rekeys |= certificate->new_key;
        }
        r->spared |= (uint8_t)((touched ? 0u : 1u) << p);
        r->rereads |= (uint8_t)((restarts ? 0u : 1u) << p);
        r->rekeys |= (uint8_t)((rekeys ? 1u : 0u) << p);
    }
}

void ha_stale_observe(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;

    model->unlike[0] = '\0';
    for (int i = 0; session->issuer != NULL && i < model->replica_count; i++)
        for (int p = 0; p < model->payload_count; p++) {
            if (model->destroy || model->replicas[i].deliveries[p] == HA_DELIVERY_NONE)
                continue;
            if (model->replicas[i].internal_address[0] != '\0')
                render(session, i, p);
            ha_stale_judge(session, i, p);
        }
    for (int i = 0; i < model->replica_count; i++)
        if (model->replicas[i].certificates != HA_CERTIFICATES_READY)
            foresee(session, i);
    ha_rotation_observe(session);
}
