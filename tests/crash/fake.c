/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin that fake.h is about. */
#include "tests/crash/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FAKE_AUTHORITY
#define NAME "fake-authority"
#else
#define NAME "fake"
#endif

static const struct hactl_key keys[] = {
    {"world", HACTL_KEY_PATH, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL, "the JSON file that is the world"},
    {NULL, HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, NULL},
};

/* As if built for a version that had no optional operations yet: what stands
 * there is something else, and to call it is the end. */
__attribute__((constructor)) static void make_short(void)
{
    static const char rubbish[] = "what stands here is no pointer to anything at all";
    if (!getenv("FAKE_SHORT"))
        return;
#define SHORTEN(table, first)                                                                          \
    ((table).struct_size = (uint32_t)((char *)&(table).first - (char *)&(table)),                      \
     memcpy((char *)&(table) + (table).struct_size, rubbish,                                           \
            sizeof(table) - (table).struct_size < sizeof rubbish ? sizeof(table) - (table).struct_size \
                                                                 : sizeof rubbish))
    SHORTEN(fake_cloud, firewall_ensure);
    SHORTEN(fake_member, snapshot);
    SHORTEN(fake_payload, operator_purpose);
}

static int fake_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    struct fake *fake = calloc(1, sizeof *fake);
    if (!fake)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    fake->host = host;
    snprintf(fake->path, sizeof fake->path, "%s", host->conf_string(conf, "world"));
    *self = fake;
    return HACTL_OK;
}

static void fake_close(void *self)
{
    struct fake *fake = self;
    if (!fake)
        return;
    json_decref(fake->world);
    free(fake);
}

const struct hactl_plugin hactl_plugin = {.struct_size = sizeof hactl_plugin,
                                          .abi_major = HACTL_ABI_MAJOR,
                                          .abi_minor = HACTL_ABI_MINOR,
                                          .name = NAME,
                                          .version = "1",
                                          .summary = "A world in a file, for the kill harness",
                                          .keys = keys,
                                          .open = fake_open,
                                          .close = fake_close,
                                          .poll = fake_op_poll,
#ifndef FAKE_AUTHORITY
                                          .cloud = &fake_cloud,
                                          .member = &fake_member,
                                          .payload = &fake_payload,
                                          .balancer = &fake_balancer,
#endif
                                          .issuer = &fake_issuer};
