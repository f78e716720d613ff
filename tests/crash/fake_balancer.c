/* SPDX-License-Identifier: Apache-2.0 */
/* The balancer. */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int balancer_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *found = json_object_get(fake->world, "balancer"), *item;
    const char *name;
    (void)arguments;
    if (!found)
        return HACTL_OK;
    struct hactl_balancer record = {.struct_size = sizeof record,
                                    .name = "fake",
                                    .running = HACTL_YES,
                                    .address =
                                        strcmp(fake_text(fake->world, "holder"), "balancer") == 0 ? "192.0.2.1" : NULL,
                                    .trial_host = "trial",
                                    .trial_port = 1};
    fake->host->emit_balancer(call, &record);
    json_object_foreach(json_object_get(found, "backends"), name, item)
    {
        struct hactl_backend backend = {
            .struct_size = sizeof backend, .name = name, .healthy = fake_runs(fake, name) ? HACTL_YES : HACTL_NO};
        fake->host->emit_backend(call, &backend);
    }
    return HACTL_OK;
}

static int balancer_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (!json_object_get(fake->world, "balancer")) {
        json_object_set_new(fake->world, "balancer", json_pack("{s{}}", "backends"));
        fake_effect(fake, "balancer-build", "fake");
    }
    return HACTL_OK;
}

static int backend_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *backends = json_object_get(json_object_get(fake->world, "balancer"), "backends");
    if (!backends)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no balancer");
    if (!json_object_get(backends, arguments)) {
        json_object_set_new(backends, arguments, json_true());
        fake_effect(fake, "backend-add", arguments);
    }
    return HACTL_OK;
}

static int backend_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (json_object_del(json_object_get(json_object_get(fake->world, "balancer"), "backends"), arguments) == 0)
        fake_effect(fake, "backend-remove", arguments);
    return HACTL_OK;
}

static int balancer_claim(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    return fake_take_address(fake, call, "balancer");
}

static int balancer_release(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    return fake_drop_address(fake, "balancer");
}

static int balancer_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    if (strcmp(fake_text(fake->world, "holder"), "balancer") == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "the balancer holds the public address");
    if (json_object_del(fake->world, "balancer") == 0)
        fake_effect(fake, "balancer-delete", "fake");
    return HACTL_OK;
}

static int op_balancer_list(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return fake_run(self, call, "balancer-list", balancer_list, want);
}
static int op_balancer_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return fake_run(self, call, "balancer-ensure", balancer_ensure, want);
}
static int op_backend_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                             const struct hactl_backend_want *backend)
{
    (void)want;
    return fake_run(self, call, "backend-ensure", backend_ensure, backend->name);
}
static int op_backend_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                              const char *name)
{
    (void)want;
    return fake_run(self, call, "backend-destroy", backend_destroy, name);
}
static int op_balancer_claim(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                             const char *address)
{
    (void)address;
    return fake_run(self, call, "balancer-claim", balancer_claim, want);
}
static int op_balancer_release(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                               const char *address)
{
    (void)address;
    return fake_run(self, call, "balancer-release", balancer_release, want);
}
static int op_balancer_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return fake_run(self, call, "balancer-destroy", balancer_destroy, want);
}

const struct hactl_balancer_ops fake_balancer = {.struct_size = sizeof fake_balancer,
                                                 .list = op_balancer_list,
                                                 .ensure = op_balancer_ensure,
                                                 .backend_ensure = op_backend_ensure,
                                                 .backend_destroy = op_backend_destroy,
                                                 .claim = op_balancer_claim,
                                                 .release = op_balancer_release,
                                                 .destroy = op_balancer_destroy};
