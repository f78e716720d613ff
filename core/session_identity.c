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

/* The store keeps so much of a name, and a longer one is still itself. */
static bool is_stored(const char *stored, const char *name)
{
    return strncmp(stored, name, HA_NAME - 1) == 0;
}

/* `subject` and `verb` make the sentence: "the cluster demo was made by the cloud ...". */
static int check_maker(const struct ha_session *session, const struct ha_instance *here, const char *kind,
                       const char *subject, const char *verb, const char *made, const char *made_plugin,
                       struct ha_error *error)
{
    const char *name = here ? here->conf->instance : "", *plugin = here ? here->plugin->descriptor->name : "";
    char has[HA_NAME * 3];

    if (!made_plugin[0] || (is_stored(made_plugin, plugin) && is_stored(made, name)))
        return 0;
    if (here)
        snprintf(has, sizeof has, "the %s \"%s\" (plugin %s)", kind, name, plugin);
    else
        snprintf(has, sizeof has, "no plugin of the kind %s", kind);
    ha_fail(error, HA_EXIT_USAGE, "%s %s %s the %s \"%s\" (plugin %s), and this configuration has %s", subject,
            session->configuration->cluster_name, verb, kind, made, made_plugin, has);
    return advise_own_configuration(session, error);
}

/* Seen through another cloud a cluster looks as if it were gone: `up` would make it anew, `down` forget it. One that
 * was only a list of replicas may get a cloud. */
static int check_cloud(const struct ha_session *session, struct ha_error *error)
{
    return check_maker(session, session->cloud, "cloud", "the cluster", "was made by", session->desired.cloud,
                       session->desired.cloud_plugin, error);
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

        while (g < session->group_count && !is_stored(desired->formed[f].group, session->payloads[g]->conf->instance))
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
    return check_maker(session, session->balancer, "balancer", "the cluster", "is served by", session->desired.balancer,
                       session->desired.balancer_plugin, error);
}

/* Another one knows nothing of the authorities that are there, and would make its own beside them. */
static int check_issuer(const struct ha_session *session, struct ha_error *error)
{
    return check_maker(session, session->issuer, "issuer", "the certificates of the cluster", "are made by",
                       session->desired.issuer, session->desired.issuer_plugin, error);
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
