/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replicas behind the balancer: members of their zone's instance group, which
 * is attached to the backend service. The service is changed with the
 * fingerprint that was read; one that has changed meanwhile is refused by
 * Google (412), and the core asks again, which reads it anew.
 */
#include "plugins/lb/lb_gce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { STEPS = 4 };

/* ---- list --------------------------------------------------------------------------------- */

/* It is served when no rule that leads to it is told otherwise. */
static enum hactl_tristate judge_health(const struct lb_gce_group *group, const char *name, char detail[160])
{
    enum hactl_tristate healthy = HACTL_NO;
    size_t index;
    json_t *entry;

    if (!group->attached) {
        snprintf(detail, 160, "its instance group is not attached");
        return HACTL_NO;
    }
    if (group->health->code != HACTL_OK) {
        snprintf(detail, 160, "its health could not be asked: %.100s", group->health->error);
        return HACTL_UNKNOWN;
    }
    snprintf(detail, 160, "not probed yet");
    json_array_foreach(json_object_get(group->health->json, "healthStatus"), index, entry)
    {
        if (strcmp(gce_link_name(lb_gce_text(entry, "instance")), name) != 0)
            continue;
        snprintf(detail, 160, "%.20s at %.45s", lb_gce_text(entry, "healthState"),
                 lb_gce_text(entry, "forwardingRuleIp"));
        if (strcmp(lb_gce_text(entry, "healthState"), "HEALTHY") != 0)
            return HACTL_NO;
        healthy = HACTL_YES;
    }
    return healthy;
}

static bool is_wanted(const struct hactl_balancer_want *want, const char *name)
{
    for (size_t i = 0; i < want->backend_count; i++)
        if (strcmp(want->backends[i]->name, name) == 0)
            return true;
    return false;
}

/* Members of a group that is not attached are behind nothing. Those that are to go are told all the same: their group
 * was detached, and is to go with them. */
static int emit_group(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                      const struct lb_gce_groups *groups, const struct lb_gce_group *group)
{
    json_t *names = lb_gce_group_names(groups, group), *name;
    int rc = HACTL_OK;
    size_t index;

    if (!names && !group->attached)
        return HACTL_OK;
    if (!names)
        return gce_fail(lb->gce, call, group->members, "instance group %s", gce_link_path(group->link));
    json_array_foreach(names, index, name)
    {
        struct hactl_backend backend = {.struct_size = sizeof(backend), .name = json_string_value(name)};
        char detail[160];

        if (!group->attached && is_wanted(want, backend.name))
            continue;
        backend.healthy = judge_health(group, backend.name, detail);
        backend.detail = detail;
        if (rc == HACTL_OK)
            rc = lb->host->emit_backend(call, &backend);
    }
    json_decref(names);
    return rc;
}

int lb_gce_backends_emit(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                         const struct lb_gce_seen *seen)
{
    struct lb_gce_groups groups = {0};
    int rc = seen->service ? lb_gce_groups_read(lb, call, seen, &groups) : HACTL_OK;

    for (size_t i = 0; rc == HACTL_OK && i < groups.count; i++)
        rc = emit_group(lb, call, want, &groups, &groups.list[i]);
    lb_gce_groups_clear(&groups);
    return rc;
}

/* ---- changes ---------------------------------------------------------------------------------- */

int lb_gce_network_of(struct lb_gce *lb, struct hactl_call *call, const struct hactl_backend_want *backend,
                      char network[GCE_PATH])
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, "GET", NULL, "zones/%s/instances/%s", backend->zone, backend->name);
    rc = gce_run(lb->gce, call, &request, 1);
    if (rc == HACTL_OK)
        rc = request.code;
    snprintf(network, GCE_PATH, "%s",
             lb_gce_text(json_array_get(json_object_get(request.json, "networkInterfaces"), 0), "network"));
    gce_request_clear(&request);
    return rc;
}

bool lb_gce_prepare_group(const struct lb_gce *lb, const struct lb_gce_seen *seen, const char *zone,
                          const char *network, struct gce_request *request)
{
    char description[128];
    json_t *body;

    gce_description(description, lb->cluster);
    body = json_pack("{s:s, s:s, s:s}", "name", seen->balancer, "description", description, "network", network);
    gce_prepare(request, "POST", body, "zones/%s/instanceGroups", zone);
    return body != NULL;
}

bool lb_gce_zone_is_known(const struct lb_gce_seen *seen, const char *zone)
{
    char scope[GCE_NAME + 8];

    snprintf(scope, sizeof(scope), "zones/%.60s", zone);
    return gce_list_knows(&seen->lists[LB_GCE_GROUPS], scope);
}

/* With the network that its members will be in: a group has it from the first
 * member otherwise, and cannot be attached before. */
static int group_make(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                      const struct hactl_backend_want *backend)
{
    const char *zone = backend->zone;
    struct gce_request request;
    char network[GCE_PATH];
    int rc;

    if (!lb_gce_zone_is_known(seen, zone))
        return lb->host->fail(call, HACTL_E_UNAVAILABLE, "zone %s does not answer: no instance group is made there",
                              zone);
    rc = lb_gce_network_of(lb, call, backend, network);
    if (rc == HACTL_E_NOT_FOUND)
        return lb->host->fail(call, rc, "replica %s does not exist in zone %s", backend->name, zone);
    if (rc != HACTL_OK)
        return lb->host->fail(call, rc, "instance %s in zone %s could not be read", backend->name, zone);
    if (!lb_gce_prepare_group(lb, seen, zone, network, &request))
        return lb_gce_no_memory(lb, call);
    rc = gce_change(lb->gce, call, &request, 1, "instance group %s in zone %s", seen->balancer, zone);
    gce_request_clear(&request);
    return rc;
}

static bool prepare_member(const struct lb_gce *lb, const struct lb_gce_seen *seen, const char *verb, const char *zone,
                           const char *name, struct gce_request *request)
{
    char link[GCE_PATH];
    json_t *body;

    gce_link(lb->gce, link, "zones/%s/instances/%s", zone, name);
    body = json_pack("{s:[{s:s}]}", "instances", "instance", link);
    gce_prepare(request, "POST", body, "zones/%s/instanceGroups/%s/%s", zone, seen->balancer, verb);
    return body != NULL;
}

/* The service's backends as they are, without that group. */
static json_t *other_backends(const struct lb_gce_seen *seen, const char *link)
{
    json_t *backends = json_array(), *entry;
    size_t index;

    json_array_foreach(json_object_get(seen->service, "backends"), index, entry)
    {
        if (!gce_link_same(lb_gce_text(entry, "group"), link))
            json_array_append(backends, entry);
    }
    return backends;
}

void lb_gce_add_backend(json_t *backends, const char *link)
{
    json_array_append_new(backends, json_pack("{s:s, s:s}", "group", link, "balancingMode", "CONNECTION"));
}

/* A group without one, as others make them, gets it with its first member. */
static bool has_network(const struct lb_gce_seen *seen, const char *link)
{
    char zone[GCE_NAME];

    gce_link_part(link, "zones", zone);
    return lb_gce_text(lb_gce_seen_group(seen, zone), "network")[0] != '\0';
}

/* Made just now for a replica that is about to follow. One with somebody in it
 * may be on its way out. */
static bool is_empty(const struct lb_gce_groups *groups, const struct lb_gce_group *group)
{
    json_t *names = lb_gce_group_names(groups, group);
    bool empty = names && group->members->code == HACTL_OK && json_array_size(names) == 0;

    json_decref(names);
    return empty;
}

/* With the other zones' new groups: where several replicas come at once the
 * service is changed once, and not by one after the other. */
static json_t *more_backends(const struct lb_gce_seen *seen, const struct lb_gce_groups *groups, const char *link)
{
    json_t *backends = other_backends(seen, link);

    lb_gce_add_backend(backends, link);
    for (size_t i = 0; i < groups->count; i++) {
        const struct lb_gce_group *group = &groups->list[i];

        if (!group->attached && !gce_link_same(group->link, link) && is_empty(groups, group) &&
            has_network(seen, group->link))
            lb_gce_add_backend(backends, group->link);
    }
    return backends;
}

/* Takes `backends`. */
static bool prepare_backends(const struct lb_gce_seen *seen, json_t *backends, struct gce_request *request)
{
    json_t *body;

    body = json_pack("{s:s, s:o}", "fingerprint", lb_gce_text(seen->service, "fingerprint"), "backends", backends);
    gce_prepare(request, "PATCH", body, "regions/%s/backendServices/%s", seen->region, seen->balancer);
    return body != NULL;
}

/* `changes`: the requests that it takes, none if all is as it should be. */
static int prepare_backend(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                           const struct hactl_backend_want *backend, struct gce_request changes[2], size_t *used)
{
    const char *link = lb_gce_text(lb_gce_seen_group(seen, backend->zone), "selfLink");
    struct lb_gce_groups groups;
    bool ready = true;
    int rc = lb_gce_groups_read(lb, call, seen, &groups);

    for (size_t i = 0; rc == HACTL_OK && i < groups.count; i++) {
        const struct lb_gce_group *group = &groups.list[i];

        if (!gce_link_same(group->link, link))
            continue;
        if (group->members->code != HACTL_OK)
            rc = gce_fail(lb->gce, call, group->members, "instance group %s", gce_link_path(link));
        else if (!lb_gce_group_has(&groups, group, backend->name))
            ready = prepare_member(lb, seen, "addInstances", backend->zone, backend->name, &changes[(*used)++]);
        if (rc == HACTL_OK && ready && !group->attached && has_network(seen, link))
            ready = prepare_backends(seen, more_backends(seen, &groups, link), &changes[(*used)++]);
    }
    lb_gce_groups_clear(&groups);
    return rc == HACTL_OK && !ready ? lb_gce_no_memory(lb, call) : rc;
}

static int put_behind(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                      const struct hactl_backend_want *backend, bool *done)
{
    struct gce_request changes[2];
    size_t used = 0;
    int rc;

    if (!lb_gce_seen_group(seen, backend->zone))
        return group_make(lb, call, seen, backend);
    rc = prepare_backend(lb, call, seen, backend, changes, &used);
    *done = used == 0;
    if (rc == HACTL_OK && used)
        rc = gce_change(lb->gce, call, changes, used, "replica %s behind balancer %s", backend->name, seen->balancer);
    for (size_t i = 0; i < used; i++)
        gce_request_clear(&changes[i]);
    return rc;
}

int lb_gce_backend_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                          const struct hactl_backend_want *backend)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    bool done = false;
    int rc = gce_zone_check(lb->gce, call, backend->zone);

    for (int step = 0; rc == HACTL_OK && !done && step < STEPS; step++) {
        rc = lb_gce_look(lb, call, want, true, &seen);
        if (rc == HACTL_OK && !seen.service)
            rc = lb->host->fail(call, HACTL_E_NOT_FOUND, "%s: there is no balancer", want->name);
        if (rc == HACTL_OK)
            rc = put_behind(lb, call, &seen, backend, &done);
        lb_gce_seen_clear(&seen);
    }
    if (rc == HACTL_OK && !done)
        rc = lb->host->fail(call, HACTL_E_BUSY, "%s: what was changed is not to be seen yet", backend->name);
    return rc;
}

/* ---- out ------------------------------------------------------------------------------------------ */

static int detach(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                  const struct lb_gce_group *group)
{
    struct gce_request request;
    int rc;

    if (!prepare_backends(seen, other_backends(seen, group->link), &request))
        return lb_gce_no_memory(lb, call);
    rc = gce_change(lb->gce, call, &request, 1, "backend service %s", seen->balancer);
    gce_request_clear(&request);
    return rc;
}

/* Its group as well, when nobody else is in it. */
static int leave_group(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                       const struct lb_gce_group *group, const char *name, bool alone)
{
    struct gce_request request;
    char zone[GCE_NAME];
    int rc;

    gce_link_part(group->link, "zones", zone);
    if (alone)
        gce_prepare(&request, "DELETE", NULL, "zones/%s/instanceGroups/%s", zone, seen->balancer);
    else if (!prepare_member(lb, seen, "removeInstances", zone, name, &request))
        return lb_gce_no_memory(lb, call);
    rc = gce_change(lb->gce, call, &request, 1, "replica %s behind balancer %s", name, seen->balancer);
    gce_request_clear(&request);
    return rc;
}

/* The last of a zone goes by detaching its group, which is the region's to do
 * even when the zone does not answer. */
static int take_out(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen,
                    const struct lb_gce_groups *groups, const struct lb_gce_group *group, const char *name)
{
    json_t *names = lb_gce_group_names(groups, group);
    bool alone = json_array_size(names) == 1;

    json_decref(names);
    if (alone && group->attached)
        return detach(lb, call, seen, group);
    if (group->members->code != HACTL_OK)
        return gce_fail(lb->gce, call, group->members, "instance group %s", gce_link_path(group->link));
    return leave_group(lb, call, seen, group, name, alone);
}

/* One step; `done`: there was none to take. */
static int take_out_of_any(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen, const char *name,
                           bool *done)
{
    struct lb_gce_groups groups;
    int rc = lb_gce_groups_read(lb, call, seen, &groups);

    *done = true;
    for (size_t i = 0; rc == HACTL_OK && *done && i < groups.count; i++) {
        const struct lb_gce_group *group = &groups.list[i];
        json_t *names = lb_gce_group_names(&groups, group);
        bool asked = names != NULL;

        json_decref(names);
        if (!asked && !group->attached)
            continue; /* behind nothing */
        if (!asked)
            rc = gce_fail(lb->gce, call, group->members, "instance group %s", gce_link_path(group->link));
        else if (lb_gce_group_has(&groups, group, name)) {
            *done = false;
            rc = take_out(lb, call, seen, &groups, group, name);
        }
    }
    lb_gce_groups_clear(&groups);
    return rc;
}

int lb_gce_backend_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const char *name)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    bool done = false;
    int rc = HACTL_OK;

    for (int step = 0; rc == HACTL_OK && !done && step < STEPS; step++) {
        rc = lb_gce_look(lb, call, want, true, &seen);
        if (rc == HACTL_OK)
            rc = take_out_of_any(lb, call, &seen, name, &done);
        lb_gce_seen_clear(&seen);
    }
    if (rc == HACTL_OK && !done)
        rc = lb->host->fail(call, HACTL_E_BUSY, "%s: what was changed is not to be seen yet", name);
    return rc;
}
