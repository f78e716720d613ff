/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HACTL_PLUGINS_LB_H
#define HACTL_PLUGINS_LB_H

#include <hactl/plugin.h>

/* What a kind of balancer (`backend =` in the configuration) must be able to
 * do; the meaning of each operation is that of struct hactl_balancer_ops. */
struct lb_backend {
    const char *name;
    int (*open)(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **data);
    void (*close)(void *data);
    int (*check)(void *data, struct hactl_call *call);
    int (*poll)(void *data, struct hactl_call *call, const char *token); /* NULL: never answers HACTL_PENDING */
    struct hactl_balancer_ops ops;
};

extern const struct lb_backend lb_haproxy;
extern const struct lb_backend lb_gce;

#endif
