/* SPDX-License-Identifier: Apache-2.0 */
/* A cloud controller of Kubernetes makes load balancers for Services and Ingresses, and deletes them as long as there
 * is an API server to tell it so. Which cluster they are of is not to be seen, so they are named when a cluster has
 * been taken down, and left alone. */
#include "plugins/gce/cloud.h"

#include <stdio.h>
#include <string.h>

enum { FORWARDING_RULES, FIREWALLS, LISTS, TOLD_MAX = 20 };

/* By name, k8s-fw-... and k8s2-..., or by a description such as {"kubernetes.io/service-name":"default/web"}. */
static bool is_of_a_service(const struct cloud *cloud, const json_t *entry)
{
    const char *name = cloud_text(entry, "name");

    return !gce_is_ours(entry, cloud->cluster) && (strncmp(name, "k8s-", 4) == 0 || strncmp(name, "k8s2-", 5) == 0 ||
                                                   strstr(cloud_text(entry, "description"), "kubernetes.io/"));
}

static size_t tell(struct cloud *cloud, struct hactl_call *call, const struct gce_list *list, const char *kind)
{
    size_t index, found = 0;
    json_t *entry;

    json_array_foreach(list->items, index, entry)
    {
        const char *description = cloud_text(entry, "description");

        if (is_of_a_service(cloud, entry) && found++ < TOLD_MAX)
            cloud->host->log(call, HACTL_LOG_WARNING, "left alone: %s %s%s%.*s", kind, cloud_text(entry, "name"),
                             *description ? ": " : "", (int)strcspn(description, "\r\n"), description);
    }
    if (found > TOLD_MAX)
        cloud->host->log(call, HACTL_LOG_WARNING, "left alone: %zu more of kind %s", found - TOLD_MAX, kind);
    return found;
}

/* The cluster is gone: what cannot be asked for is no reason to fail. */
void cloud_leftovers_tell(struct cloud *cloud, struct hactl_call *call)
{
    static const char *const kinds[LISTS] = {"forwarding rule", "firewall rule"};
    struct gce_list lists[LISTS];
    const char *region;
    size_t found = 0;

    if (gce_region(cloud->gce, call, &region) != HACTL_OK)
        return;
    gce_list_prepare(&lists[FORWARDING_RULES], "regions/%s/forwardingRules", region);
    gce_list_prepare(&lists[FIREWALLS], "global/firewalls");
    if (gce_list_run(cloud->gce, call, lists, LISTS) == HACTL_OK)
        for (size_t i = 0; i < LISTS; i++)
            if (lists[i].code == HACTL_OK)
                found += tell(cloud, call, &lists[i], kinds[i]);
    if (found > 0)
        cloud->host->log(call, HACTL_LOG_WARNING,
                         "these are what Kubernetes makes for Services and Ingresses, of this or of another cluster in "
                         "region %s: if it was this one, nobody else deletes them, and they go on costing",
                         region);
    for (size_t i = 0; i < LISTS; i++)
        gce_list_clear(&lists[i]);
}
