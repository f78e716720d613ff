/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a balancer, made one after the other as each needs the one
 * before, and unmade in the opposite order: what is pointed at cannot be
 * deleted. One call takes one step; asked again, it looks at what is there.
 */
#include "plugins/lb/lb_gce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

enum { STEPS = 8, SECONDS_AT_MOST = 300, THRESHOLD_AT_MOST = 10, DRAINING_S_AT_MOST = 3600 };

/* ---- settings, as Google has them ------------------------------------------------------- */

static const struct {
    const char *setting, *type, *member;
} checks[] = {
    {"tls", "SSL", "sslHealthCheck"}, {"tcp", "TCP", "tcpHealthCheck"}, {"https", "HTTPS", "httpsHealthCheck"}};

static size_t check_kind(const struct lb_gce *lb)
{
    const char *set = lb->host->conf_string(lb->conf, "check");

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (strcmp(checks[i].setting, set) == 0)
            return i;
    return 0;
}

static int64_t seconds(const struct lb_gce *lb, const char *setting)
{
    return (lb->host->conf_integer(lb->conf, setting) + 999) / 1000;
}

static int64_t timeout_s(const struct lb_gce *lb)
{
    return seconds(lb, "check_timeout_ms");
}

/* Google wants an interval that is no shorter than the timeout. */
static int64_t interval_s(const struct lb_gce *lb)
{
    int64_t set = seconds(lb, "check_interval_ms");

    return set < timeout_s(lb) ? timeout_s(lb) : set;
}

int lb_gce_settings_check(const struct lb_gce *lb, struct hactl_call *call)
{
    static const char *const thresholds[] = {"rise", "fall"};

    for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++)
        if (lb->host->conf_integer(lb->conf, thresholds[i]) > THRESHOLD_AT_MOST)
            return lb->host->fail(call, HACTL_E_INVALID, "%s = %d: Compute Engine counts to %d at most", thresholds[i],
                                  (int)lb->host->conf_integer(lb->conf, thresholds[i]), THRESHOLD_AT_MOST);
    if (lb->host->conf_string(lb->conf, "check_path")[0] != '/')
        return lb->host->fail(call, HACTL_E_INVALID, "check_path = \"%.100s\": must begin with a slash",
                              lb->host->conf_string(lb->conf, "check_path"));
    return HACTL_OK;
}

/* ---- health check ------------------------------------------------------------------------ */

static json_t *check_inside(const struct lb_gce *lb, uint16_t port)
{
    json_t *inside =
        json_pack("{s:i, s:s, s:s}", "port", port, "portSpecification", "USE_FIXED_PORT", "proxyHeader", "NONE");

    if (inside && strcmp(checks[check_kind(lb)].type, "HTTPS") == 0)
        json_object_set_new(inside, "requestPath", json_string(lb->host->conf_string(lb->conf, "check_path")));
    return inside;
}

static json_t *check_body(const struct lb_gce *lb, const struct hactl_balancer_want *want,
                          const struct lb_gce_seen *seen)
{
    char description[128];

    gce_description(description, lb->cluster);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "name", seen->balancer, "description", description,
                     "type", checks[check_kind(lb)].type, "checkIntervalSec", (json_int_t)interval_s(lb), "timeoutSec",
                     (json_int_t)timeout_s(lb), "healthyThreshold",
                     (json_int_t)lb->host->conf_integer(lb->conf, "rise"), "unhealthyThreshold",
                     (json_int_t)lb->host->conf_integer(lb->conf, "fall"), checks[check_kind(lb)].member,
                     check_inside(lb, want->backend_port));
}

static bool check_fits(const struct lb_gce *lb, const struct hactl_balancer_want *want, const json_t *check)
{
    size_t kind = check_kind(lb);
    const json_t *inside = json_object_get(check, checks[kind].member);

    return strcmp(lb_gce_text(check, "type"), checks[kind].type) == 0 &&
           ha_json_i64(inside, "port") == want->backend_port &&
           ha_json_i64(check, "checkIntervalSec") == interval_s(lb) &&
           ha_json_i64(check, "timeoutSec") == timeout_s(lb) &&
           ha_json_i64(check, "healthyThreshold") == lb->host->conf_integer(lb->conf, "rise") &&
           ha_json_i64(check, "unhealthyThreshold") == lb->host->conf_integer(lb->conf, "fall") &&
           (strcmp(checks[kind].type, "HTTPS") != 0 ||
            strcmp(lb_gce_text(inside, "requestPath"), lb->host->conf_string(lb->conf, "check_path")) == 0);
}

static bool prepare_check(const struct lb_gce *lb, const struct hactl_balancer_want *want,
                          const struct lb_gce_seen *seen, struct gce_request *request)
{
    json_t *body = check_body(lb, want, seen);

    /* Of another type until now: what belonged to that goes. */
    for (size_t i = 0; body && seen->check && i < sizeof(checks) / sizeof(checks[0]); i++)
        if (i != check_kind(lb) && json_object_get(seen->check, checks[i].member))
            json_object_set_new(body, checks[i].member, json_null());
    gce_prepare(request, seen->check ? "PATCH" : "POST", body, "regions/%s/healthChecks%s%s", seen->region,
                seen->check ? "/" : "", seen->check ? seen->balancer : "");
    return body != NULL;
}

/* ---- instance groups ------------------------------------------------------------------------ */

/* Not yet asked for by an earlier one, not there, and its zone answers. */
static bool lacks_group(const struct hactl_balancer_want *want, const struct lb_gce_seen *seen, size_t which)
{
    const char *zone = want->backends[which]->zone;

    for (size_t i = 0; i < which; i++)
        if (strcmp(want->backends[i]->zone, zone) == 0)
            return false;
    return !lb_gce_seen_group(seen, zone) && lb_gce_zone_is_known(seen, zone);
}

/* Those of the zones that replicas will be in, so that they need not be waited for when these are ready. Where no
 * replica runs yet nobody says what their network is: they come later, with their first member. */
static bool prepare_groups(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const struct lb_gce_seen *seen, struct gce_request *requests, size_t *used)
{
    char network[GCE_PATH] = "";
    bool ready = true, asked = false;

    for (size_t i = 0; ready && !seen->service && i < want->backend_count; i++) {
        if (!lacks_group(want, seen, i))
            continue;
        if (!asked && (!lb_gce_zone_is_known(seen, want->backends[0]->zone) ||
                       lb_gce_network_of(lb, call, want->backends[0], network) != HACTL_OK))
            return true;
        asked = true;
        if (network[0])
            ready = lb_gce_prepare_group(lb, seen, want->backends[i]->zone, network, &requests[(*used)++]);
    }
    return ready;
}

/* Nobody is behind a new service: groups that have somebody in them stay away until he is ready. */
static json_t *first_backends(const struct lb_gce_seen *seen)
{
    json_t *backends = json_array(), *group;
    size_t index;

    json_array_foreach(seen->groups, index, group)
    {
        if (ha_json_i64(group, "size") == 0 && lb_gce_text(group, "network")[0])
            lb_gce_add_backend(backends, lb_gce_text(group, "selfLink"));
    }
    return backends;
}

/* What needs nothing else, side by side; `used` 0: it is all there. */
static int make_foundation(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                           const struct lb_gce_seen *seen, size_t *used)
{
    struct gce_request *requests = calloc(want->backend_count + 1, sizeof(*requests));
    bool ready = requests != NULL;
    int rc = HACTL_OK;

    *used = 0;
    if (ready && (!seen->check || !check_fits(lb, want, seen->check)))
        ready = prepare_check(lb, want, seen, &requests[(*used)++]);
    ready = ready && prepare_groups(lb, call, want, seen, requests, used);
    if (!ready)
        rc = lb_gce_no_memory(lb, call);
    else if (*used)
        rc = gce_change(lb->gce, call, requests, *used, "health check and instance groups %s", seen->balancer);
    for (size_t i = 0; i < *used; i++)
        gce_request_clear(&requests[i]);
    free(requests);
    return rc;
}

/* ---- backend service ------------------------------------------------------------------------ */

static int64_t draining_s(const struct lb_gce *lb)
{
    int64_t set = seconds(lb, "drain_timeout_ms");

    return set < DRAINING_S_AT_MOST ? set : DRAINING_S_AT_MOST;
}

static bool service_fits(const struct lb_gce *lb, const struct lb_gce_seen *seen)
{
    const json_t *service = seen->service, *links = json_object_get(service, "healthChecks");
    const char *link = json_string_value(json_array_get(links, 0));

    return json_array_size(links) == 1 && link && gce_link_same(link, lb_gce_text(seen->check, "selfLink")) &&
           ha_json_i64(json_object_get(service, "connectionDraining"), "drainingTimeoutSec") == draining_s(lb);
}

/* Neither can be changed in place. */
static bool service_is_another(const json_t *service)
{
    return strcmp(lb_gce_text(service, "loadBalancingScheme"), "EXTERNAL") != 0 ||
           strcmp(lb_gce_text(service, "protocol"), "TCP") != 0;
}

static int service_make(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen)
{
    char description[128], check[GCE_PATH];
    struct gce_request request;
    json_t *body;
    int rc;

    gce_description(description, lb->cluster);
    gce_link(lb->gce, check, "regions/%s/healthChecks/%s", seen->region, seen->balancer);
    body = json_pack("{s:[s], s:{s:I}}", "healthChecks", check, "connectionDraining", "drainingTimeoutSec",
                     (json_int_t)draining_s(lb));
    if (body && seen->service)
        json_object_set_new(body, "fingerprint", json_string(lb_gce_text(seen->service, "fingerprint")));
    else if (body)
        json_object_update_new(body, json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", seen->balancer, "description",
                                               description, "loadBalancingScheme", "EXTERNAL", "protocol", "TCP",
                                               "backends", first_backends(seen)));
    if (!body)
        return lb_gce_no_memory(lb, call);
    gce_prepare(&request, seen->service ? "PATCH" : "POST", body, "regions/%s/backendServices%s%s", seen->region,
                seen->service ? "/" : "", seen->service ? seen->balancer : "");
    rc = gce_change(lb->gce, call, &request, 1, "backend service %s", seen->balancer);
    gce_request_clear(&request);
    return rc;
}

/* ---- ensure ------------------------------------------------------------------------------------ */

const char *lb_gce_flaw(const struct lb_gce *lb, const struct hactl_balancer_want *want, const struct lb_gce_seen *seen)
{
    if (!seen->check)
        return "it has no health check";
    if (!seen->service)
        return "it has no backend service";
    if (!seen->trial || !lb_gce_text(seen->trial, "IPAddress")[0])
        return "no forwarding rule gives it a temporary address";
    if (!check_fits(lb, want, seen->check))
        return "its health check is not as configured";
    if (service_is_another(seen->service) || !service_fits(lb, seen))
        return "its backend service is not as configured";
    if (!lb_gce_rule_fits(seen, seen->trial, want->port))
        return "the rule of its temporary address leads elsewhere";
    return NULL;
}

static int refuse(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                  const struct lb_gce_seen *seen)
{
    if (want->port != want->backend_port)
        return lb->host->fail(call, HACTL_E_INVALID,
                              "Compute Engine changes no ports: the endpoint's port %u must be the %u at which the "
                              "replicas serve",
                              want->port, want->backend_port);
    if (seen->service && service_is_another(seen->service))
        return lb->host->fail(call, HACTL_E_CONFLICT,
                              "backend service %s is of scheme %s and protocol %s, and must be EXTERNAL and TCP: "
                              "delete it",
                              seen->balancer, lb_gce_text(seen->service, "loadBalancingScheme"),
                              lb_gce_text(seen->service, "protocol"));
    if (seen->endpoint && !lb_gce_rule_fits(seen, seen->endpoint, want->port))
        return lb->host->fail(call, HACTL_E_CONFLICT,
                              "forwarding rule %s holds %s and leads elsewhere than from port %u to backend service "
                              "%s: release it first",
                              seen->endpoint_name, lb_gce_text(seen->endpoint, "IPAddress"), want->port,
                              seen->balancer);
    return HACTL_OK;
}

static int rule_delete(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen, const char *name)
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, "DELETE", NULL, "regions/%s/forwardingRules/%s", seen->region, name);
    rc = gce_change(lb->gce, call, &request, 1, "forwarding rule %s", name);
    gce_request_clear(&request);
    return rc;
}

static int ensure_step(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                       const struct lb_gce_seen *seen, bool *whole)
{
    int rc = refuse(lb, call, want, seen);
    size_t made = 0;

    *whole = false;
    if (rc == HACTL_OK)
        rc = make_foundation(lb, call, want, seen, &made);
    if (rc != HACTL_OK || made)
        return rc;
    if (!seen->service || !service_fits(lb, seen))
        return service_make(lb, call, seen);
    if (!seen->trial)
        return lb_gce_rule_insert(lb, call, want, seen, seen->trial_name, NULL);
    if (!lb_gce_rule_fits(seen, seen->trial, want->port))
        return rule_delete(lb, call, seen, seen->trial_name);
    if (!lb_gce_text(seen->trial, "IPAddress")[0]) {
        lb->host->retry_after(call, 500);
        return lb->host->fail(call, HACTL_E_BUSY, "forwarding rule %s is being made", seen->trial_name);
    }
    *whole = true;
    return HACTL_OK;
}

int lb_gce_ensure(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    bool whole = false;
    int rc = HACTL_OK;

    /* What is done at once is followed by the next at once. */
    for (int step = 0; rc == HACTL_OK && !whole && step < STEPS; step++) {
        rc = lb_gce_look(lb, call, want, true, &seen);
        if (rc == HACTL_OK)
            rc = ensure_step(lb, call, want, &seen, &whole);
        lb_gce_seen_clear(&seen);
    }
    if (rc == HACTL_OK && !whole)
        rc = lb->host->fail(call, HACTL_E_BUSY, "%s: what was made is not to be seen yet", want->name);
    return rc;
}

/* ---- destroy -------------------------------------------------------------------------------------- */

/* A zone that did not answer may still have a group. */
static int judge_zones(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen)
{
    const struct gce_zone *zones;
    char scope[GCE_NAME + 8];
    size_t count;
    int rc =
        json_array_size(seen->lists[LB_GCE_GROUPS].unreachable) ? gce_zones(lb->gce, call, &zones, &count) : HACTL_OK;

    if (rc != HACTL_OK || json_array_size(seen->lists[LB_GCE_GROUPS].unreachable) == 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        snprintf(scope, sizeof(scope), "zones/%s", zones[i].name);
        if (!gce_list_knows(&seen->lists[LB_GCE_GROUPS], scope))
            return lb->host->fail(call, HACTL_E_UNAVAILABLE,
                                  "zone %s does not answer: whether instance group %s is still there is not known",
                                  zones[i].name, seen->balancer);
    }
    return HACTL_OK;
}

/* Health check and groups: nothing points at them any more. */
static int delete_rest(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen)
{
    size_t groups = json_array_size(seen->groups), used = 0, index;
    struct gce_request *requests = calloc(groups + 1, sizeof(*requests));
    json_t *group;
    int rc;

    if (!requests)
        return lb_gce_no_memory(lb, call);
    if (seen->check)
        gce_prepare(&requests[used++], "DELETE", NULL, "regions/%s/healthChecks/%s", seen->region, seen->balancer);
    json_array_foreach(seen->groups, index, group)
    {
        gce_prepare(&requests[used++], "DELETE", NULL, "zones/%s/instanceGroups/%s",
                    gce_link_name(lb_gce_text(group, "zone")), seen->balancer);
    }
    rc = gce_change(lb->gce, call, requests, used, "health check and instance groups %s", seen->balancer);
    for (size_t i = 0; i < used; i++)
        gce_request_clear(&requests[i]);
    free(requests);
    return rc;
}

static int delete_rules(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen)
{
    struct gce_request requests[2];
    size_t used = 0;
    int rc;

    if (seen->trial)
        gce_prepare(&requests[used++], "DELETE", NULL, "regions/%s/forwardingRules/%s", seen->region, seen->trial_name);
    if (seen->endpoint)
        gce_prepare(&requests[used++], "DELETE", NULL, "regions/%s/forwardingRules/%s", seen->region,
                    seen->endpoint_name);
    rc = gce_change(lb->gce, call, requests, used, "forwarding rules of balancer %s", seen->balancer);
    for (size_t i = 0; i < used; i++)
        gce_request_clear(&requests[i]);
    return rc;
}

static int destroy_step(struct lb_gce *lb, struct hactl_call *call, const struct lb_gce_seen *seen)
{
    struct gce_request request;
    int rc;

    if (seen->trial || seen->endpoint)
        return delete_rules(lb, call, seen);
    if (!seen->service)
        return delete_rest(lb, call, seen);
    gce_prepare(&request, "DELETE", NULL, "regions/%s/backendServices/%s", seen->region, seen->balancer);
    rc = gce_change(lb->gce, call, &request, 1, "backend service %s", seen->balancer);
    gce_request_clear(&request);
    return rc;
}

int lb_gce_destroy(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    bool gone = false;
    int rc = HACTL_OK;

    for (int step = 0; rc == HACTL_OK && !gone && step < STEPS; step++) {
        rc = lb_gce_look(lb, call, want, true, &seen);
        gone = rc == HACTL_OK && lb_gce_seen_nothing(&seen);
        if (rc == HACTL_OK)
            rc = gone ? judge_zones(lb, call, &seen) : destroy_step(lb, call, &seen);
        lb_gce_seen_clear(&seen);
    }
    if (rc == HACTL_OK && !gone)
        rc = lb->host->fail(call, HACTL_E_BUSY, "%s: what was deleted is still to be seen", want->name);
    return rc;
}
