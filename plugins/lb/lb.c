/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/lb/lb.h"

#include <stdlib.h>
#include <string.h>

static const struct lb_backend *const backends[] = {&lb_haproxy, &lb_gce};

struct lb {
    const struct hactl_host *host;
    const struct lb_backend *backend;
    void *data;
};

static const struct hactl_key keys[] = {
    {"backend", HACTL_KEY_STRING, 0, "haproxy", 0, 0, "haproxy|gce",
     "What balances: a process here, or Compute Engine."},
    {"cloud", HACTL_KEY_INSTANCE, 0, NULL, 0, 0, NULL,
     "gce only: the instance of plugin gce whose project, region and credentials are used."},
    {"trial_port", HACTL_KEY_INTEGER, 0, "0", 0, 65535, NULL,
     "haproxy only: port of the temporary address; 0: a free one, chosen once."},
    {"check", HACTL_KEY_STRING, 0, "tls", 0, 0, "tls|tcp|https",
     "How replicas are checked: a TLS server must answer a hello, a connection must be accepted, or GET check_path "
     "over TLS must give 200 to 499."},
    {"check_path", HACTL_KEY_STRING, 0, "/readyz", 0, 0, NULL, "The path that check = \"https\" asks for."},
    {"check_interval_ms", HACTL_KEY_INTEGER, 0, "300", 20, 60000, NULL, "From one health check to the next."},
    {"check_timeout_ms", HACTL_KEY_INTEGER, 0, "700", 20, 60000, NULL,
     "How long a replica may take to answer a health check."},
    {"rise", HACTL_KEY_INTEGER, 0, "1", 1, 100, NULL, "Passed checks until a replica is served."},
    {"fall", HACTL_KEY_INTEGER, 0, "2", 1, 100, NULL, "Failed checks until a replica is no longer served."},
    {"balance", HACTL_KEY_STRING, 0, "leastconn", 0, 0, "leastconn|roundrobin",
     "Which replica the next connection goes to."},
    {"maxconn", HACTL_KEY_INTEGER, 0, "4000", 10, 1000000, NULL, "Connections at the same time."},
    {"connect_timeout_ms", HACTL_KEY_INTEGER, 0, "1000", 20, 60000, NULL,
     "How long a replica may take to accept a connection before another is tried."},
    {"idle_timeout_ms", HACTL_KEY_INTEGER, 0, "3600000", 1000, 86400000, NULL,
     "A connection that is silent for so long is closed; watches are silent for long."},
    {"drain_timeout_ms", HACTL_KEY_INTEGER, 0, "600000", 0, 86400000, NULL,
     "How long connections made before a restart for new settings may still last."},
    {NULL, HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, NULL}};

static void lb_close(void *self)
{
    struct lb *lb = self;

    if (!lb)
        return;
    if (lb->data)
        lb->backend->close(lb->data);
    free(lb);
}

static const struct lb_backend *backend_find(const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}

static int lb_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    const struct lb_backend *backend = backend_find(host->conf_string(conf, "backend"));
    struct lb *lb;
    int rc;

    if (!backend)
        return host->fail(call, HACTL_E_INVALID, "backend = \"%s\" is not known: \"haproxy\" and \"gce\" are",
                          host->conf_string(conf, "backend"));
    lb = calloc(1, sizeof(*lb));
    if (!lb)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    lb->host = host;
    lb->backend = backend;
    rc = backend->open(host, conf, call, &lb->data);
    if (rc != HACTL_OK) {
        lb_close(lb);
        return rc;
    }
    *self = lb;
    return HACTL_OK;
}

static int lb_check(void *self, struct hactl_call *call)
{
    struct lb *lb = self;

    return lb->backend->check(lb->data, call);
}

static int lb_poll(void *self, struct hactl_call *call, const char *token)
{
    struct lb *lb = self;

    if (!lb->backend->poll)
        return lb->host->fail(call, HACTL_E_INTERNAL, "%s: unknown operation \"%s\"", lb->backend->name, token);
    return lb->backend->poll(lb->data, call, token);
}

static int lb_list(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb *lb = self;

    return lb->backend->ops.list(lb->data, call, want);
}

static int lb_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb *lb = self;

    return lb->backend->ops.ensure(lb->data, call, want);
}

static int lb_backend_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                             const struct hactl_backend_want *backend)
{
    struct lb *lb = self;

    return lb->backend->ops.backend_ensure(lb->data, call, want, backend);
}

static int lb_backend_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                              const char *name)
{
    struct lb *lb = self;

    return lb->backend->ops.backend_destroy(lb->data, call, want, name);
}

static int lb_claim(void *self, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address)
{
    struct lb *lb = self;

    return lb->backend->ops.claim(lb->data, call, want, address);
}

static int lb_release(void *self, struct hactl_call *call, const struct hactl_balancer_want *want, const char *address)
{
    struct lb *lb = self;

    return lb->backend->ops.release(lb->data, call, want, address);
}

static int lb_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    struct lb *lb = self;

    return lb->backend->ops.destroy(lb->data, call, want);
}

static const struct hactl_balancer_ops balancer_ops = {
    .struct_size = sizeof(balancer_ops),
    .list = lb_list,
    .ensure = lb_ensure,
    .backend_ensure = lb_backend_ensure,
    .backend_destroy = lb_backend_destroy,
    .claim = lb_claim,
    .release = lb_release,
    .destroy = lb_destroy,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "lb",
    .version = "0.1",
    .summary = "a load balancer in front of the replicas: HAProxy, or Compute Engine's",
    .keys = keys,
    .open = lb_open,
    .close = lb_close,
    .check = lb_check,
    .poll = lb_poll,
    .balancer = &balancer_ops,
};
