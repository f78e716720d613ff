/* SPDX-License-Identifier: Apache-2.0 */
/* Which network and subnetwork replicas are in: the configuration's, else those of the replicas that are there, else
 * the network "default" and its only subnetwork in the region. A subnetwork is of one network, and says of which:
 * that one is the replicas', and the one that firewall rules are made for. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <string.h>

#include "lib/json.h"

/* Firewall rules are a network's project's: those of a shared VPC are not the cluster's project's to make. A project
 * may be written as its number too, and that is not known here. */
int cloud_network_check(struct cloud *cloud, struct hactl_call *call)
{
    static const char *const keys[] = {"network", "subnetwork"};
    const char *project = gce_project_known(cloud->gce);
    char named[GCE_NAME];

    for (size_t i = 0; project[0] && i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *set = cloud_setting(cloud, keys[i]);

        if (set && gce_link_part(gce_link_path(set), "projects", named) && strcmp(named, project) != 0 &&
            strspn(named, "0123456789") != strlen(named))
            return cloud->host->fail(call, HACTL_E_INVALID,
                                     "%s: \"%.200s\" is project %s's, and the cluster's project is %s: firewall rules "
                                     "for a network that another project shares (Shared VPC) cannot be made from here, "
                                     "so it has to be one of %s's own",
                                     keys[i], set, named, project, project);
    }
    return HACTL_OK;
}

/* ---- as requests ask for them ----------------------------------------------------------- */

/* A name is one of this project; a path names its project too. */
static void network_path(const char *network, char out[GCE_PATH])
{
    const char *path = gce_link_path(network ? network : "default");

    if (strncmp(path, "projects/", 9) == 0)
        snprintf(out, GCE_PATH, "/%s", path);
    else
        snprintf(out, GCE_PATH, "global/networks/%s", gce_link_name(path));
}

static void subnetwork_path(const char *subnetwork, const char *region, char out[GCE_PATH])
{
    const char *path = gce_link_path(subnetwork);

    if (strncmp(path, "projects/", 9) == 0)
        snprintf(out, GCE_PATH, "/%s", path);
    else if (strchr(path, '/'))
        snprintf(out, GCE_PATH, "%s", path);
    else
        snprintf(out, GCE_PATH, "regions/%s/subnetworks/%s", region, path);
}

int cloud_network_prepare(struct cloud *cloud, struct hactl_call *call, const char *region, struct gce_request *request)
{
    const char *network = cloud_setting(cloud, "network"), *subnetwork = cloud_setting(cloud, "subnetwork");
    const json_t *model = NULL;
    char path[GCE_PATH];

    if (subnetwork) {
        subnetwork_path(subnetwork, region, path);
    } else {
        int rc = network ? HACTL_OK : cloud_seen_model(cloud, call, &model);

        if (rc != HACTL_OK)
            return rc;
        network_path(model ? cloud_text(cloud_interface(model), "network") : network, path);
    }
    gce_prepare(request, "GET", NULL, "%s", path);
    return HACTL_OK;
}

int cloud_network_judge(const struct cloud *cloud, struct hactl_call *call, const char *region, const json_t *answer)
{
    const char *network = cloud_setting(cloud, "network"), *subnetwork = cloud_setting(cloud, "subnetwork");
    const char *of = gce_link_name(cloud_text(answer, "network")), *in = gce_link_name(cloud_text(answer, "region"));

    if (!subnetwork)
        return HACTL_OK;
    if (strcmp(in, region) != 0)
        return cloud->host->fail(call, HACTL_E_INVALID, "`subnetwork`: %.200s is in region %s, and the cluster in %s",
                                 subnetwork, in, region);
    if (network && strcmp(of, gce_link_name(network)) != 0)
        return cloud->host->fail(call, HACTL_E_INVALID,
                                 "`subnetwork`: %.200s is of network %s, and `network` is %.200s: leave `network` out, "
                                 "or name a subnetwork of it",
                                 subnetwork, of, network);
    return HACTL_OK;
}

/* ---- the network ------------------------------------------------------------------------ */

static int of_subnetwork(struct cloud *cloud, struct hactl_call *call, char out[GCE_PATH])
{
    const char *region;
    struct gce_request question;
    int rc = gce_region(cloud->gce, call, &region);

    if (rc == HACTL_OK)
        rc = cloud_network_prepare(cloud, call, region, &question);
    if (rc != HACTL_OK)
        return rc;
    rc = gce_run(cloud->gce, call, &question, 1);
    if (rc == HACTL_OK && question.code == HACTL_E_NOT_FOUND)
        rc = cloud->host->fail(call, HACTL_E_INVALID, "`subnetwork`: %s", question.error);
    else if (rc == HACTL_OK && question.code != HACTL_OK)
        rc = gce_fail(cloud->gce, call, &question, "`subnetwork`");
    if (rc == HACTL_OK)
        rc = cloud_network_judge(cloud, call, region, question.json);
    if (rc == HACTL_OK)
        snprintf(out, GCE_PATH, "%s", cloud_text(question.json, "network"));
    gce_request_clear(&question);
    return rc;
}

int cloud_network(struct cloud *cloud, struct hactl_call *call, char out[GCE_PATH])
{
    const char *set = cloud_setting(cloud, "network"), *inherited;
    const json_t *model = NULL;
    int rc = gce_project(cloud->gce, call, NULL);

    if (rc == HACTL_OK && cloud_setting(cloud, "subnetwork"))
        return of_subnetwork(cloud, call, out);
    if (rc == HACTL_OK && !set)
        rc = cloud_seen_model(cloud, call, &model);
    if (rc != HACTL_OK)
        return rc;
    inherited = cloud_text(cloud_interface(model), "network");
    if (!set && inherited[0])
        snprintf(out, GCE_PATH, "%s", inherited);
    else if (set && strncmp(gce_link_path(set), "projects/", 9) == 0)
        snprintf(out, GCE_PATH, "%s", set);
    else
        gce_link(cloud->gce, out, "global/networks/%s", set ? gce_link_name(set) : "default");
    return HACTL_OK;
}

/* ---- the subnetwork --------------------------------------------------------------------- */

static int from_network(struct cloud *cloud, struct hactl_call *call, const char *region)
{
    const char *network = cloud_setting(cloud, "network");
    char part[GCE_NAME], path[GCE_PATH];
    json_t *json = NULL, *entry;
    size_t index, found = 0;
    int rc;

    network_path(network, path);
    network = gce_link_name(network ? network : "default");
    rc = gce_get(cloud->gce, call, &json, "%s", path);
    if (rc == HACTL_E_NOT_FOUND)
        return cloud->host->fail(call, HACTL_E_INVALID, "there is no network %.60s: set `network`", network);
    if (rc != HACTL_OK)
        return rc;
    json_array_foreach(json_object_get(json, "subnetworks"), index, entry)
    {
        const char *link = json_string_value(entry);
        if (link && gce_link_part(link, "regions", part) && strcmp(part, region) == 0) {
            snprintf(cloud->subnetwork, sizeof(cloud->subnetwork), "%s", link);
            found++;
        }
    }
    json_decref(json);
    if (found == 1)
        return HACTL_OK;
    cloud->subnetwork[0] = '\0';
    return cloud->host->fail(call, HACTL_E_INVALID, "network %.60s has %s subnetwork in %s: set `subnetwork`", network,
                             found ? "more than one" : "no", region);
}

int cloud_subnetwork(struct cloud *cloud, struct hactl_call *call, const char **link)
{
    const char *set = cloud_setting(cloud, "subnetwork"), *region;
    const json_t *model = NULL;
    int rc = gce_region(cloud->gce, call, &region);

    *link = cloud->subnetwork;
    if (rc != HACTL_OK || cloud->subnetwork[0])
        return rc;
    rc = gce_project(cloud->gce, call, NULL);
    if (rc == HACTL_OK && set && strchr(set, '/')) {
        snprintf(cloud->subnetwork, sizeof(cloud->subnetwork), "%s", set);
        return HACTL_OK;
    }
    if (rc == HACTL_OK && set) {
        gce_link(cloud->gce, cloud->subnetwork, "regions/%s/subnetworks/%s", region, set);
        return HACTL_OK;
    }
    if (rc == HACTL_OK && !cloud_setting(cloud, "network"))
        rc = cloud_seen_model(cloud, call, &model);
    if (rc == HACTL_OK && cloud_text(cloud_interface(model), "subnetwork")[0]) {
        snprintf(cloud->subnetwork, sizeof(cloud->subnetwork), "%s", cloud_text(cloud_interface(model), "subnetwork"));
        return HACTL_OK;
    }
    return rc == HACTL_OK ? from_network(cloud, call, region) : rc;
}
