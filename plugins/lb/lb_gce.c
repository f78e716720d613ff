/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `gce`: settings, what there is, the table of operations. */
#include "plugins/lb/lb_gce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "plugins/lb/lb.h"

static void lb_gce_close(void *data)
{
    struct lb_gce *lb = data;

    if (!lb)
        return;
    gce_free(lb->gce);
    free(lb);
}

static int find_cloud(struct lb_gce *lb, struct hactl_call *call)
{
    lb->cloud = lb->host->conf_of(lb->conf, "cloud");
    if (!lb->cloud)
        return lb->host->fail(
            call, HACTL_E_INVALID,
            "backend = \"gce\" needs cloud = \"NAME\": the instance of plugin gce whose project, region "
            "and credentials it uses");
    /* A setting that every instance of plugin gce has, since it has a default. */
    if (!lb->host->conf_string(lb->cloud, "iam_url"))
        return lb->host->fail(call, HACTL_E_INVALID, "cloud = \"%s\" is no instance of plugin gce",
                              lb->host->conf_instance(lb->cloud));
    return HACTL_OK;
}

static int lb_gce_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **data)
{
    struct lb_gce *lb = calloc(1, sizeof(*lb));
    int rc;

    if (!lb)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    lb->host = host;
    lb->conf = conf;
    lb->cluster = host->conf_cluster(conf);
    rc = find_cloud(lb, call);
    if (rc == HACTL_OK)
        rc = lb_gce_settings_check(lb, call);
    if (rc == HACTL_OK)
        rc = gce_new(host, lb->cloud, call, &lb->gce);
    if (rc != HACTL_OK) {
        lb_gce_close(lb);
        return rc;
    }
    *data = lb;
    return HACTL_OK;
}

static int lb_gce_poll(void *data, struct hactl_call *call, const char *token)
{
    struct lb_gce *lb = data;

    return gce_poll(lb->gce, call, token);
}

/* ---- check --------------------------------------------------------------------------- */

static void judge_quotas(struct lb_gce *lb, struct hactl_call *call, const json_t *region)
{
    static const struct {
        const char *metric;
        double needed;
    } needs[] = {{"FORWARDING_RULES", 2}, {"EXTERNAL_NETWORK_LB_FORWARDING_RULES", 2}, {"IN_USE_ADDRESSES", 2}};
    size_t index;
    json_t *quota;

    json_array_foreach(json_object_get(region, "quotas"), index, quota)
    {
        double left =
            json_number_value(json_object_get(quota, "limit")) - json_number_value(json_object_get(quota, "usage"));

        for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
            if (strcmp(lb_gce_text(quota, "metric"), needs[i].metric) == 0 && left < needs[i].needed)
                lb->host->log(call, HACTL_LOG_WARNING, "quota %s of region %s has %g left; a balancer takes %g",
                              needs[i].metric, lb_gce_text(region, "name"), left, needs[i].needed);
    }
}

static int lb_gce_check(void *data, struct hactl_call *call)
{
    struct lb_gce *lb = data;
    const char *region;
    json_t *json = NULL;
    int rc = gce_authenticate(lb->gce, call);

    if (rc == HACTL_OK)
        rc = gce_region(lb->gce, call, &region);
    if (rc == HACTL_OK)
        rc = gce_get(lb->gce, call, &json, "regions/%s", region);
    if (rc == HACTL_E_NOT_FOUND)
        rc = lb->host->fail(call, HACTL_E_INVALID, "there is no region %s in the project", region);
    if (rc == HACTL_OK)
        judge_quotas(lb, call, json);
    json_decref(json);
    return rc;
}

/* ---- list ------------------------------------------------------------------------------ */

static int emit(struct lb_gce *lb, struct hactl_call *call, const struct hactl_balancer_want *want,
                const struct lb_gce_seen *seen)
{
    struct hactl_balancer balancer = {.struct_size = sizeof(balancer), .name = want->name};
    const char *held = lb_gce_text(seen->endpoint, "IPAddress"), *trial = lb_gce_text(seen->trial, "IPAddress");

    balancer.detail = lb_gce_flaw(lb, want, seen);
    balancer.running = balancer.detail ? HACTL_NO : HACTL_YES;
    balancer.address = held[0] ? held : NULL;
    if (trial[0]) {
        balancer.trial_host = trial;
        balancer.trial_port = want->port;
    }
    return lb->host->emit_balancer(call, &balancer);
}

static int lb_gce_list(void *data, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb_gce *lb = data;
    struct lb_gce_seen seen;
    int rc = lb_gce_look(lb, call, want, false, &seen);

    if (rc == HACTL_OK && !lb_gce_seen_nothing(&seen)) {
        rc = emit(lb, call, want, &seen);
        if (rc == HACTL_OK)
            rc = lb_gce_backends_emit(lb, call, want, &seen);
    }
    lb_gce_seen_clear(&seen);
    return rc;
}

const struct lb_backend lb_gce = {
    .name = "gce",
    .open = lb_gce_open,
    .close = lb_gce_close,
    .check = lb_gce_check,
    .poll = lb_gce_poll,
    .ops =
        {
            .struct_size = sizeof(struct hactl_balancer_ops),
            .list = lb_gce_list,
            .ensure = lb_gce_ensure,
            .backend_ensure = lb_gce_backend_ensure,
            .backend_destroy = lb_gce_backend_destroy,
            .claim = lb_gce_claim,
            .release = lb_gce_release,
            .destroy = lb_gce_destroy,
        },
};
