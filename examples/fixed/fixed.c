/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cloud of machines that somebody else runs: they are named in the
 * configuration, one "NAME ZONE ADDRESS" each, and hactl can see and dial
 * them. What takes hands on the machines is refused with a plain word.
 *
 * It shows what every plugin has: a table of keys, open and close without
 * global state, results through emit, errors through fail.
 */
#include <hactl/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixed {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
};

struct machine {
    char name[64], zone[64], address[64];
};

static const struct hactl_key fixed_keys[] = {
    {"machines", HACTL_KEY_STRING_LIST, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL,
     "One \"NAME ZONE ADDRESS\" for each machine."},
    {"external_address", HACTL_KEY_STRING, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL, "The public address of the cluster."},
    {NULL, HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, NULL}};

/* 1: there is one; 0: past the end; negative: a fault, said. */
static int machine_at(struct fixed *fixed, struct hactl_call *call, size_t index, struct machine *out)
{
    const char *line = fixed->host->conf_list(fixed->conf, "machines", index);

    if (line == NULL)
        return 0;
    if (sscanf(line, "%63s %63s %63s", out->name, out->zone, out->address) == 3)
        return 1;
    return fixed->host->fail(call, HACTL_E_INVALID, "machines: \"%s\" is not \"NAME ZONE ADDRESS\"", line);
}

static int fixed_zones(void *self, struct hactl_call *call)
{
    struct fixed *fixed = self;
    struct machine machine;
    int rc = 0;

    for (size_t i = 0; (rc = machine_at(fixed, call, i, &machine)) == 1; i++) {
        struct hactl_zone zone = {sizeof zone, machine.zone, "fixed", HACTL_YES};
        if ((rc = fixed->host->emit_zone(call, &zone)) < 0)
            return rc;
    }
    return rc;
}

static int fixed_list(void *self, struct hactl_call *call)
{
    struct fixed *fixed = self;
    struct machine machine;
    struct hactl_address external = {
        .struct_size = sizeof external, .name = "external", .kind = HACTL_ADDRESS_EXTERNAL};
    int rc = fixed_zones(self, call);

    for (size_t i = 0; rc == 0 && (rc = machine_at(fixed, call, i, &machine)) == 1; i++) {
        struct hactl_instance instance = {.struct_size = sizeof instance,
                                          .name = machine.name,
                                          .zone = machine.zone,
                                          .state = HACTL_INSTANCE_RUNNING,
                                          .internal_address = machine.address,
                                          .data = HACTL_UNKNOWN};
        struct hactl_address internal = {.struct_size = sizeof internal,
                                         .name = machine.name,
                                         .kind = HACTL_ADDRESS_INTERNAL,
                                         .address = machine.address};
        if ((rc = fixed->host->emit_instance(call, &instance)) == 0)
            rc = fixed->host->emit_address(call, &internal);
    }
    /* Who holds it is nothing that we can see from here. */
    external.address = fixed->host->conf_string(fixed->conf, "external_address");
    external.held = HACTL_UNKNOWN;
    return rc < 0 ? rc : fixed->host->emit_address(call, &external);
}

static int find_machine(struct fixed *fixed, struct hactl_call *call, const char *name, struct machine *out)
{
    int rc;

    for (size_t i = 0; (rc = machine_at(fixed, call, i, out)) == 1; i++)
        if (strcmp(out->name, name) == 0)
            return HACTL_OK;
    return rc < 0 ? rc : fixed->host->fail(call, HACTL_E_NOT_FOUND, "there is no machine %s in machines", name);
}

static int fixed_reach(void *self, struct hactl_call *call, const char *instance, uint16_t port)
{
    struct fixed *fixed = self;
    struct machine machine;
    int rc = find_machine(fixed, call, instance, &machine);
    struct hactl_reach reach = {sizeof reach, machine.address, port, machine.address};

    return rc < 0 ? rc : fixed->host->emit_reach(call, &reach);
}

/* Already so is OK: the machines and addresses are there. */
static int fixed_address_ensure(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                                const char *instance, const char *zone)
{
    struct machine machine;

    (void)name, (void)zone;
    return kind == HACTL_ADDRESS_EXTERNAL ? HACTL_OK : find_machine(self, call, instance, &machine);
}

static int fixed_instance_ensure(void *self, struct hactl_call *call, const struct hactl_instance_want *want)
{
    struct machine machine;

    return find_machine(self, call, want->replica->name, &machine);
}

static int refuse(struct fixed *fixed, struct hactl_call *call, const char *what)
{
    return fixed->host->fail(call, HACTL_E_UNSUPPORTED, "%s is up to whoever runs the machines", what);
}

static int fixed_address_destroy(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    (void)name, (void)kind;
    return refuse(self, call, "giving back addresses");
}

static int fixed_instance_destroy(void *self, struct hactl_call *call, const char *name)
{
    (void)name;
    return refuse(self, call, "deleting machines");
}

static int fixed_deliver(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload)
{
    (void)instance, (void)payload;
    return refuse(self, call, "starting programs");
}

static int fixed_claim(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                       uint16_t instance_port)
{
    (void)address, (void)instance, (void)port, (void)instance_port;
    return refuse(self, call, "moving the public address");
}

static int fixed_release(void *self, struct hactl_call *call, const char *address, const char *instance)
{
    (void)address, (void)instance;
    return refuse(self, call, "moving the public address");
}

static int fixed_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                      void **self)
{
    struct fixed *fixed = malloc(sizeof *fixed);

    if (fixed == NULL)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    fixed->host = host;
    fixed->conf = conf;
    *self = fixed;
    return HACTL_OK;
}

static void fixed_close(void *self)
{
    free(self);
}

static const struct hactl_cloud_ops fixed_cloud = {
    .struct_size = sizeof fixed_cloud,
    .zones = fixed_zones,
    .list = fixed_list,
    .address_ensure = fixed_address_ensure,
    .address_destroy = fixed_address_destroy,
    .instance_ensure = fixed_instance_ensure,
    .instance_destroy = fixed_instance_destroy,
    .deliver = fixed_deliver,
    .claim = fixed_claim,
    .release = fixed_release,
    .reach = fixed_reach,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof hactl_plugin,
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "fixed",
    .version = "1.0",
    .summary = "Machines that somebody else runs",
    .keys = fixed_keys,
    .open = fixed_open,
    .close = fixed_close,
    .cloud = &fixed_cloud,
};
