/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cluster was made by: the store names its cloud, groups, balancer,
 * issuer and port, and a configuration of something else is refused, since it
 * would see nothing of what is there and begin anew beside it.
 */
#include <stdio.h>
#include <string.h>

#include "core/session_internal.h"

void ha_session_note_cloud(const struct ha_session *session, struct ha_desired *desired)
{
    if (!session->cloud)
        return;
    if (!desired->cloud_plugin[0]) {
        snprintf(desired->cloud, sizeof desired->cloud, "%s", session->cloud->conf->instance);
        snprintf(desired->cloud_plugin, sizeof desired->cloud_plugin, "%s", session->cloud->plugin->descriptor->name);
    }
    if (!desired->endpoint_port)
        desired->endpoint_port = session->observed.endpoint_port;
    if (!desired->cloud_place[0])
        memcpy(desired->cloud_place, session->observed.cloud_place, sizeof desired->cloud_place);
}

void ha_session_note_balancer(const struct ha_session *session, bool there, struct ha_desired *desired)
{
    bool notes = there && session->balancer;

    snprintf(desired->balancer, sizeof desired->balancer, "%s", notes ? session->balancer->conf->instance : "");
    snprintf(desired->balancer_plugin, sizeof desired->balancer_plugin, "%s",
             notes ? session->balancer->plugin->descriptor->name : "");
}

void ha_session_note_issuer(const struct ha_session *session, struct ha_desired *desired)
{
    if (!session->issuer || desired->issuer_plugin[0])
        return;
    snprintf(desired->issuer, sizeof desired->issuer, "%s", session->issuer->conf->instance);
    snprintf(desired->issuer_plugin, sizeof desired->issuer_plugin, "%s", session->issuer->plugin->descriptor->name);
}

bool ha_session_some_certificate(const struct ha_session *session)
{
    for (size_t i = 0; i < session->observed.certificate_count; i++)
        if (session->observed.certificates[i].ready == HACTL_YES || session->observed.certificates[i].not_after_s)
            return true;
    return false;
}

static int advise_own_configuration(const struct ha_session *session, struct ha_error *error)
{
    ha_advise(error,
              "use the configuration that it was made with (its store is %.200s); for another cluster set another "
              "cluster.name or state.directory",
              ha_store_directory(session->store));
    return -1;
}

/* Seen through another cloud a cluster looks as if it were gone: `up` would make it anew, `down` forget it. One that
 * was only a list of replicas may get a cloud. */
static int check_cloud(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_desired *desired = &session->desired;
    struct ha_desired here = {0};
    char has[HA_NAME * 3] = "no plugin of the kind cloud";

    ha_session_note_cloud(session, &here);
    if (!desired->cloud_plugin[0] ||
        (strcmp(desired->cloud_plugin, here.cloud_plugin) == 0 && strcmp(desired->cloud, here.cloud) == 0))
        return 0;
    if (session->cloud)
        snprintf(has, sizeof has, "the cloud \"%s\" (plugin %s)", here.cloud, here.cloud_plugin);
    ha_fail(error, HA_EXIT_USAGE,
            "the cluster %s was made by the cloud \"%s\" (plugin %s), and this configuration has %s",
            session->configuration->cluster_name, desired->cloud, desired->cloud_plugin, has);
    return advise_own_configuration(session, error);
}

/* A group that was formed and that nothing here serves: under another name it would look as if it were still to be
 * formed, over the data of the one that is there; left out, its members would go with their machines. */
static int check_groups(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_desired *desired = &session->desired;
    char has[HA_NAME * HA_GROUPS + 8] = "";

    for (int g = 0; g < session->group_count; g++)
        snprintf(has + strlen(has), sizeof has - strlen(has), "%s%s", g ? ", " : "",
                 session->payloads[g]->conf->instance);
    for (int f = 0; f < desired->formed_count; f++) {
        int g = 0;

        while (g < session->group_count && strcmp(session->payloads[g]->conf->instance, desired->formed[f].group) != 0)
            g++;
        if (g < session->group_count)
            continue;
        ha_fail(error, HA_EXIT_USAGE, "the cluster %s has the group \"%s\", and this configuration has only %s",
                session->configuration->cluster_name, desired->formed[f].group, has[0] ? has : "no group");
        return advise_own_configuration(session, error);
    }
    return 0;
}

/* Not seen through another instance it would go on with the public address, and outlive the cluster. */
static int check_balancer(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_desired *desired = &session->desired;
    struct ha_desired here = {0};
    char has[HA_NAME * 3] = "no plugin of the kind balancer";

    ha_session_note_balancer(session, true, &here);
    if (!desired->balancer_plugin[0] ||
        (strcmp(desired->balancer_plugin, here.balancer_plugin) == 0 && strcmp(desired->balancer, here.balancer) == 0))
        return 0;
    if (session->balancer)
        snprintf(has, sizeof has, "the balancer \"%s\" (plugin %s)", here.balancer, here.balancer_plugin);
    ha_fail(error, HA_EXIT_USAGE,
            "the cluster %s is served by the balancer \"%s\" (plugin %s), and this configuration has %s",
            session->configuration->cluster_name, desired->balancer, desired->balancer_plugin, has);
    return advise_own_configuration(session, error);
}

/* Another one knows nothing of the authorities that are there, and would make its own beside them. */
static int check_issuer(const struct ha_session *session, struct ha_error *error)
{
    const struct ha_desired *desired = &session->desired;
    struct ha_desired here = {0};
    char has[HA_NAME * 3] = "no plugin of the kind issuer";

    ha_session_note_issuer(session, &here);
    if (!desired->issuer_plugin[0] ||
        (strcmp(desired->issuer_plugin, here.issuer_plugin) == 0 && strcmp(desired->issuer, here.issuer) == 0))
        return 0;
    if (session->issuer)
        snprintf(has, sizeof has, "the issuer \"%s\" (plugin %s)", here.issuer, here.issuer_plugin);
    ha_fail(error, HA_EXIT_USAGE,
            "the certificates of the cluster %s are made by the issuer \"%s\" (plugin %s), and this configuration has "
            "%s",
            session->configuration->cluster_name, desired->issuer, desired->issuer_plugin, has);
    return advise_own_configuration(session, error);
}

/* Nothing moves what listens at the public address to another port, and kubeconfigs name the one that was. */
static int check_endpoint_port(const struct ha_session *session, struct ha_error *error)
{
    int made = session->desired.endpoint_port, here = session->observed.endpoint_port;

    if (!session->cloud || !made || made == here)
        return 0;
    ha_fail(error, HA_EXIT_USAGE,
            "the endpoint of the cluster %s is at port %d, and this configuration is for port %d; it cannot be moved",
            session->configuration->cluster_name, made, here);
    return ha_advise(error, "endpoint.port = %d, or the ports of plugins as they were", made), -1;
}

/* The same of two projects of one cloud. */
int ha_session_check_place(const struct ha_session *session, struct ha_error *error)
{
    const char *made = session->desired.cloud_place, *here = session->observed.cloud_place;

    if (!made[0] || !here[0] || strcmp(made, here) == 0)
        return 0;
    ha_fail(error, HA_EXIT_USAGE, "the cluster %s was made in %s, and this configuration is for %s",
            session->configuration->cluster_name, made, here);
    return advise_own_configuration(session, error);
}

int ha_session_check_identity(const struct ha_session *session, bool issues, struct ha_error *error)
{
    if (check_cloud(session, error) || check_groups(session, error) || check_balancer(session, error) ||
        check_endpoint_port(session, error))
        return -1;
    return issues ? check_issuer(session, error) : 0;
}
