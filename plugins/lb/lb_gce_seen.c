/* SPDX-License-Identifier: Apache-2.0 */
/* What there is of a balancer in the project, and who is behind it. */
#include "plugins/lb/lb_gce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static const char *const kinds[LB_GCE_LISTS] = {
    [LB_GCE_CHECK] = "health check",
    [LB_GCE_SERVICE] = "backend service",
    [LB_GCE_RULES] = "forwarding rule",
    [LB_GCE_GROUPS] = "instance group",
};

const char *lb_gce_text(const json_t *object, const char *name)
{
    const char *text = ha_json_string(object, name);

    return text ? text : "";
}

int lb_gce_no_memory(const struct lb_gce *lb, struct hactl_call *call)
{
    return lb->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

void lb_gce_seen_clear(struct lb_gce_seen *seen)
{
    json_decref(seen->groups);
    for (int i = 0; i < LB_GCE_LISTS; i++)
        gce_list_clear(&seen->lists[i]);
    memset(seen, 0, sizeof(*seen));
}

static int ask(struct lb_gce *lb, struct hactl_call *call, struct lb_gce_seen *seen)
{
    const char *region = seen->region;
    int rc;

    gce_list_prepare(&seen->lists[LB_GCE_CHECK], "regions/%s/healthChecks?filter=name%%3D%s", region, seen->balancer);
    gce_list_prepare(&seen->lists[LB_GCE_SERVICE], "regions/%s/backendServices?filter=name%%3D%s", region,
                     seen->balancer);
    gce_list_prepare(&seen->lists[LB_GCE_RULES],
                     "regions/%s/forwardingRules?filter=%%28name%%3D%s%%29%%20OR%%20%%28name%%3D%s%%29", region,
                     seen->trial_name, seen->endpoint_name);
    gce_list_prepare(&seen->lists[LB_GCE_GROUPS],
                     "aggregated/instanceGroups?returnPartialSuccess=true&filter=name%%3D%s", seen->balancer);
    rc = gce_list_run(lb->gce, call, seen->lists, LB_GCE_LISTS);
    for (int i = 0; rc == HACTL_OK && i < LB_GCE_LISTS; i++)
        if (seen->lists[i].code != HACTL_OK) {
            char what[GCE_NAME + 32];

            snprintf(what, sizeof(what), "%ss of balancer %s", kinds[i], seen->balancer);
            rc = gce_list_fail(lb->gce, call, &seen->lists[i], what);
        }
    return rc;
}

/* The filter is Google's to apply; names are compared here as well, since what
 * is ours may be deleted. */
static bool is_named(const struct lb_gce_seen *seen, int list, const char *name)
{
    if (list == LB_GCE_RULES)
        return strcmp(name, seen->trial_name) == 0 || strcmp(name, seen->endpoint_name) == 0;
    return strcmp(name, seen->balancer) == 0;
}

static int keep(struct lb_gce *lb, struct hactl_call *call, struct lb_gce_seen *seen, int list, json_t *entry)
{
    bool trial = strcmp(lb_gce_text(entry, "name"), seen->trial_name) == 0;

    switch (list) {
    case LB_GCE_CHECK:
        seen->check = entry;
        return HACTL_OK;
    case LB_GCE_SERVICE:
        seen->service = entry;
        return HACTL_OK;
    case LB_GCE_RULES:
        *(trial ? &seen->trial : &seen->endpoint) = entry;
        return HACTL_OK;
    default:
        return json_array_append(seen->groups, entry) < 0 ? lb_gce_no_memory(lb, call) : HACTL_OK;
    }
}

static int take(struct lb_gce *lb, struct hactl_call *call, struct lb_gce_seen *seen, int list, bool strict)
{
    int rc = HACTL_OK;
    size_t index;
    json_t *entry;

    json_array_foreach(seen->lists[list].items, index, entry)
    {
        const char *name = lb_gce_text(entry, "name");

        if (rc != HACTL_OK || !is_named(seen, list, name))
            continue;
        if (gce_is_ours(entry, lb->cluster))
            rc = keep(lb, call, seen, list, entry);
        else if (strict)
            rc = lb->host->fail(call, HACTL_E_CONFLICT,
                                "there is a %s %s already, and its description does not say \"hactl cluster %s\": "
                                "remove it, or name the cluster otherwise",
                                kinds[list], name, lb->cluster);
    }
    return rc;
}

int lb_gce_look(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want, bool strict,
                struct lb_gce_seen *seen)
{
    int rc;

    memset(seen, 0, sizeof(*seen));
    gce_name(seen->balancer, want->name, "-balancer");
    gce_name(seen->trial_name, want->name, "-trial");
    gce_name(seen->endpoint_name, want->name, "-endpoint");
    seen->groups = json_array();
    rc = seen->groups ? gce_name_check(lb->gce, call, "balancer", seen->balancer) : lb_gce_no_memory(lb, call);
    if (rc == HACTL_OK)
        rc = gce_region(lb->gce, call, &seen->region);
    if (rc == HACTL_OK)
        rc = ask(lb, call, seen);
    for (int i = 0; rc == HACTL_OK && i < LB_GCE_LISTS; i++)
        rc = take(lb, call, seen, i, strict);
    return rc;
}

const json_t *lb_gce_seen_group(const struct lb_gce_seen *seen, const char *zone)
{
    size_t index;
    json_t *entry;

    json_array_foreach(seen->groups, index, entry)
    {
        if (strcmp(gce_link_name(lb_gce_text(entry, "zone")), zone) == 0)
            return entry;
    }
    return NULL;
}

bool lb_gce_seen_nothing(const struct lb_gce_seen *seen)
{
    return !seen->check && !seen->service && !seen->trial && !seen->endpoint && json_array_size(seen->groups) == 0;
}

/* ---- groups --------------------------------------------------------------------------- */

/* Below the project: "zones/a/instanceGroups/b". */
static const char *below_project(const char *link)
{
    const char *path = gce_link_path(link);
    const char *slash = strncmp(path, "projects/", 9) == 0 ? strchr(path + 9, '/') : NULL;

    return slash ? slash + 1 : path;
}

static void add_group(struct lb_gce_groups *groups, const char *link, bool attached)
{
    for (size_t i = 0; i < groups->count; i++)
        if (gce_link_same(groups->list[i].link, link))
            return;
    groups->list[groups->count++] = (struct lb_gce_group){.link = link, .attached = attached};
}

static bool add_groups(const struct lb_gce_seen *seen, struct lb_gce_groups *groups)
{
    const json_t *backends = json_object_get(seen->service, "backends");
    size_t most = json_array_size(backends) + json_array_size(seen->groups) + 1, index;
    json_t *entry;

    groups->list = calloc(most, sizeof(*groups->list));
    groups->requests = calloc(most * 2, sizeof(*groups->requests));
    if (!groups->list || !groups->requests)
        return false;
    json_array_foreach(backends, index, entry)
    {
        /* A group that somebody else put there is nobody's of ours. */
        if (strcmp(gce_link_name(lb_gce_text(entry, "group")), seen->balancer) == 0)
            add_group(groups, lb_gce_text(entry, "group"), true);
    }
    json_array_foreach(seen->groups, index, entry)
    {
        add_group(groups, lb_gce_text(entry, "selfLink"), false);
    }
    return true;
}

/* Both are POST and change nothing. */
static size_t prepare_questions(const struct lb_gce_seen *seen, struct lb_gce_groups *groups)
{
    size_t used = 0;

    for (size_t i = 0; i < groups->count; i++) {
        struct lb_gce_group *group = &groups->list[i];

        group->members = &groups->requests[used++];
        gce_prepare(group->members, "POST", json_pack("{s:s}", "instanceState", "ALL"), "%s/listInstances",
                    below_project(group->link));
        group->members->changes = false;
        if (!group->attached)
            continue;
        group->health = &groups->requests[used++];
        gce_prepare(group->health, "POST", json_pack("{s:s}", "group", group->link),
                    "regions/%s/backendServices/%s/getHealth", seen->region, seen->balancer);
        group->health->changes = false;
    }
    return used;
}

int lb_gce_groups_read(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                       struct lb_gce_groups *groups)
{
    memset(groups, 0, sizeof(*groups));
    if (!add_groups(seen, groups))
        return lb_gce_no_memory(lb, call);
    groups->probed = seen->trial || seen->endpoint;
    return gce_run(lb->gce, call, groups->requests, prepare_questions(seen, groups));
}

void lb_gce_groups_clear(struct lb_gce_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (groups->list[i].members)
            gce_request_clear(groups->list[i].members);
        if (groups->list[i].health)
            gce_request_clear(groups->list[i].health);
    }
    free(groups->list);
    free(groups->requests);
    memset(groups, 0, sizeof(*groups));
}

static bool holds(const json_t *names, const char *name)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)names, index, entry)
    {
        if (strcmp(json_string_value(entry), name) == 0)
            return true;
    }
    return false;
}

static void collect(json_t *names, const json_t *entries)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)entries, index, entry)
    {
        const char *name = gce_link_name(lb_gce_text(entry, "instance"));

        if (name[0] && !holds(names, name))
            json_array_append_new(names, json_string(name));
    }
}

json_t *lb_gce_group_names(const struct lb_gce_groups *groups, const struct lb_gce_group *group)
{
    int code = group->members->code;
    bool told = group->health && group->health->code == HACTL_OK && groups->probed;
    json_t *names = code == HACTL_OK || code == HACTL_E_NOT_FOUND || told ? json_array() : NULL;

    if (names && code == HACTL_OK)
        collect(names, json_object_get(group->members->json, "items"));
    else if (names && told)
        collect(names, json_object_get(group->health->json, "healthStatus"));
    return names;
}

bool lb_gce_group_has(const struct lb_gce_groups *groups, const struct lb_gce_group *group, const char *name)
{
    json_t *names = lb_gce_group_names(groups, group);
    bool has = names && holds(names, name);

    json_decref(names);
    return has;
}
