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
    bool known = runs[0] != '\0' && wanted[0] != '\0';

    if (known)
        r->unproved &= (uint8_t) ~(1u << payload);
    else
        r->unproved |= (uint8_t)(1u << payload);
    if (known && r->deliveries[payload] == HA_DELIVERY_RUNNING && !ha_delivery_same_files(runs, wanted))
        r->deliveries[payload] = HA_DELIVERY_STALE;
}

static void learn_purpose(struct ha_session_private *private, int payload, const char *purpose)
{
    char(*purposes)[HA_NAME] = private->purposes[payload];

    for (int i = 0; i < HA_PURPOSES; i++) {
        if (strcmp(purposes[i], purpose) == 0)
            return;
        if (purposes[i][0] != '\0')
            continue;
        snprintf(purposes[i], HA_NAME, "%s", purpose);
        return;
    }
}

/* The content of every file, less keys that the replica made itself. */
static bool fill_in(struct ha_session *session, struct hactl_call *rendered, const char *replica)
{
    for (size_t i = 0; i < rendered->file_count; i++) {
        struct hactl_file *file = &rendered->files[i];
        struct hactl_call *call;
        bool given;

        if (file->content != NULL || file->purpose == NULL ||
            (session->observed.model.replica_keys && file->part != NULL && strcmp(file->part, "key") == 0))
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

static void render(struct ha_session *session, int replica, int payload)
{
    struct ha_session_private *private = session->private;
    const struct ha_replica *r = &session->observed.model.replicas[replica];
    struct hactl_call *call = ha_ask_render(session, payload, replica, RENDER_TIMEOUT_MS);

    if (ha_call_wait(call) == HACTL_OK) {
        for (size_t i = 0; i < call->file_count; i++)
            if (call->files[i].purpose != NULL)
                learn_purpose(private, payload, call->files[i].purpose);
        /* Certificates that are to be issued anew would tell nothing. */
        if (private->digests[replica][payload][0] != '\0' && r->certificates == HA_CERTIFICATES_READY &&
            (!fill_in(session, call, r->name) || !ha_delivery_digest(call, private->wanted[replica][payload])))
        private->wanted[replica][payload][0] = '\0';
    } else {
        ha_log(HACTL_LOG_DEBUG, "what %s runs on could not be compared: %s", r->name, call->text);
    }
    ha_call_free(call);
}

/* ---- who uses which certificate */

static bool uses(const struct ha_session_private *private, int payload, const char *purpose)
{
    for (int i = 0; i < HA_PURPOSES; i++)
        if (strcmp(private->purposes[payload][i], purpose) == 0)
            return true;
    return false;
}

void ha_rotation_observe(struct ha_session *session)
{
    struct ha_model *model = &session->observed.model;

    model->rotation_payloads = 0;
    model->rotation_of_cluster = model->rotation_of_each = false;
    model->trust_of_cluster = model->trust_of_each = false;
    for (size_t i = 0; model->rotation[0] != '\0' && i < session->observed.certificate_count; i++) {
        const struct ha_certificate *certificate = &session->observed.certificates[i];

        bool itself = certificate->rotates && strcmp(certificate->purpose, model->rotation) == 0;
        bool by_it = strcmp(certificate->authority, model->rotation) == 0;
        bool of_each = certificate->replica[0] != '\0';

        if (itself) {
            model->rotation_found = certificate->rotation;
            model->rotation_early = certificate->retire_s > (int64_t)time(NULL);
        }
        if (certificate->carries_trust && (by_it || certificate->authority[0] == '\0'))
            *(of_each ? &model->trust_of_each : &model->trust_of_cluster) = true;
        if (by_it && !certificate->is_authority)
            *(of_each ? &model->rotation_of_each : &model->rotation_of_cluster) = true;
        for (int p = 0; (by_it || itself) && p < model->payload_count; p++)
            if (uses(session->private, p, certificate->purpose))
                model->rotation_payloads |= (uint8_t)(1u << p);
    }
}

/* Payloads that use none of what is to be issued are left alone. */
static void find_spared(struct ha_session *session, int replica)
{
    struct ha_model *model = &session->observed.model;
    struct ha_replica *r = &model->replicas[replica];

    r->spared = 0;
    for (int p = 0; p < model->payload_count; p++) {
        bool touched = session->private->purposes[p][0][0] == '\0';

        for (size_t i = 0; i < session->observed.certificate_count; i++) {
            const struct ha_certificate *certificate = &session->observed.certificates[i];

            touched |= certificate->ready != HACTL_YES && strcmp(certificate->replica, r->name) == 0 &&
                       uses(session->private, p, certificate->purpose);
        }
        if (!touched)
            r->spared |= (uint8_t)(1u << p);
    }
}

void ha_stale_observe(struct ha_session *session)
{
    const struct ha_model *model = &session->observed.model;

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
            find_spared(session, i);
    ha_rotation_observe(session);
}
