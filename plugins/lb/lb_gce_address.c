/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwarding rules: which address leads to the backend service. To claim is
 * one insert, to release one delete; all else that an address needs is there
 * before. Who holds an address is Google's to enforce: one in use is refused,
 * never taken.
 */
#include "plugins/lb/lb_gce.h"

#include <stdio.h>
#include <string.h>

#include "lib/json.h"

int lb_gce_rule_insert(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                       const struct lb_gce_seen *seen, const char *name, const char *address)
{
    const char *tier = lb->host->conf_string(lb->cloud, "network_tier");
    char description[128], service[GCE_PATH], port[16];
    struct gce_request request;
    json_t *body;
    int rc;

    gce_description(description, lb->cluster);
    gce_link(lb->gce, service, "regions/%s/backendServices/%s", seen->region, seen->balancer);
    snprintf(port, sizeof(port), "%u", want->port);
    body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", name, "description", description, "loadBalancingScheme",
                     "EXTERNAL", "IPProtocol", "TCP", "portRange", port, "backendService", service);
    if (!body || json_object_set_new(body, "networkTier", json_string(tier ? tier : "PREMIUM")) < 0 ||
        (address && json_object_set_new(body, "IPAddress", json_string(address)) < 0)) {
        json_decref(body);
        return lb_gce_no_memory(lb, call);
    }
    gce_prepare(&request, "POST", body, "regions/%s/forwardingRules", seen->region);
    rc = gce_change(lb->gce, call, &request, 1, "forwarding rule %s", name);
    gce_request_clear(&request);
    return rc;
}

bool lb_gce_rule_fits(const struct lb_gce_seen *seen, const json_t *rule, uint16_t port)
{
    char range[24], one[12];
    const char *is = lb_gce_text(rule, "portRange");

    snprintf(range, sizeof(range), "%u-%u", port, port);
    snprintf(one, sizeof(one), "%u", port);
    return (strcmp(is, range) == 0 || strcmp(is, one) == 0) && strcmp(lb_gce_text(rule, "IPProtocol"), "TCP") == 0 &&
           seen->service && gce_link_same(lb_gce_text(rule, "backendService"), lb_gce_text(seen->service, "selfLink"));
}

static int judge_claimed(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                         const struct lb_gce_seen *seen, const char *address)
{
    const char *held = lb_gce_text(seen->endpoint, "IPAddress");

    if (!held[0]) {
        lb->host->retry_after(call, 500);
        return lb->host->fail(call, HACTL_E_BUSY, "forwarding rule %s is being made", seen->endpoint_name);
    }
    if (strcmp(held, address) != 0)
        return lb->host->fail(call, HACTL_E_CONFLICT, "%s: holds %s; release it first", want->name, held);
    if (!lb_gce_rule_fits(seen, seen->endpoint, want->port))
        return lb->host->fail(
            call, HACTL_E_CONFLICT,
            "forwarding rule %s has %s, but does not lead from port %u to backend service %s; release "
            "it first",
            seen->endpoint_name, held, want->port, seen->balancer);
    return HACTL_OK;
}

int lb_gce_claim(void *data, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    int rc = lb_gce_look(lb, call, want, true, &seen);

    if (rc == HACTL_OK && seen.endpoint)
        rc = judge_claimed(lb, call, want, &seen, address);
    else if (rc == HACTL_OK && lb_gce_flaw(lb, want, &seen))
        rc = lb->host->fail(call, HACTL_E_NOT_FOUND, "%s: the balancer is not whole: %s", want->name,
                            lb_gce_flaw(lb, want, &seen));
    else if (rc == HACTL_OK)
        rc = lb_gce_rule_insert(lb, call, want, &seen, seen.endpoint_name, address);
    lb_gce_seen_clear(&seen);
    return rc;
}

/* A rule that has no address yet is about to have one, and goes as well. */
int lb_gce_release(void *data, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    struct gce_request request;
    int rc = lb_gce_look(lb, call, want, false, &seen);
    const char *held = lb_gce_text(seen.endpoint, "IPAddress");

    if (rc == HACTL_OK && seen.endpoint && (!held[0] || strcmp(held, address) == 0)) {
        gce_prepare(&request, "DELETE", NULL, "regions/%s/forwardingRules/%s", seen.region, seen.endpoint_name);
        rc = gce_change(lb->gce, call, &request, 1, "forwarding rule %s", seen.endpoint_name);
        gce_request_clear(&request);
    }
    lb_gce_seen_clear(&seen);
    return rc;
}
