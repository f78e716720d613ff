/* SPDX-License-Identifier: Apache-2.0 */
/* A small plugin with nothing wrong. Each faulty plugin defines the one thing
 * that is wrong with it and includes this. */
#include <hactl/plugin.h>

#ifndef PLUGIN_NAME
#define PLUGIN_NAME "sound"
#endif
#ifndef PLUGIN_MAJOR
#define PLUGIN_MAJOR HACTL_ABI_MAJOR
#endif
#ifndef PLUGIN_MINOR
#define PLUGIN_MINOR HACTL_ABI_MINOR
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof(struct hactl_plugin)
#endif
#ifndef PLUGIN_KEYS
static const struct hactl_key sound_keys[] = {
    {"colour", HACTL_KEY_STRING, 0, "grey", 0, 0, "grey|green", "What it looks like."},
    {"count", HACTL_KEY_INTEGER, 0, "2", 1, 9, NULL, "How many."},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};
#define PLUGIN_KEYS sound_keys
#endif

static const struct hactl_host *sound_host;

#ifndef PLUGIN_OPEN
static int sound_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                      void **self)
{
    (void)call;
    sound_host = host;
    *self = (void *)(uintptr_t)host->conf_instance(conf);
    return HACTL_OK;
}
#define PLUGIN_OPEN sound_open
#endif

static void sound_close(void *self)
{
    (void)self;
}

#ifndef PLUGIN_PORTS
static int sound_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {sizeof port, "sound", 7, HACTL_PORT_ENDPOINT};

    (void)self;
    return sound_host->emit_port(call, &port);
}
#define PLUGIN_PORTS sound_ports
#endif

#ifndef PLUGIN_RENDER
static int sound_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    (void)self;
    (void)call;
    (void)want;
    return HACTL_OK;
}
#define PLUGIN_RENDER sound_render
#endif

static int sound_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    (void)self;
    (void)want;
    return sound_host->fail(call, HACTL_E_UNAVAILABLE, "nobody is there");
}

#ifndef PAYLOAD_SIZE
#define PAYLOAD_SIZE sizeof(struct hactl_payload_ops)
#endif

static const struct hactl_payload_ops sound_payload = {
    PAYLOAD_SIZE, PLUGIN_PORTS, PLUGIN_RENDER, sound_probe, NULL, NULL, NULL,
};

#ifndef PLUGIN_PAYLOAD
#define PLUGIN_PAYLOAD &sound_payload
#endif
#ifndef PLUGIN_MEMBER
#define PLUGIN_MEMBER NULL
#endif

HACTL_EXPORT const struct hactl_plugin hactl_plugin = {
    .struct_size = PLUGIN_SIZE,
    .abi_major = PLUGIN_MAJOR,
    .abi_minor = PLUGIN_MINOR,
    .name = PLUGIN_NAME,
    .version = "1",
    .summary = "For tests.",
    .keys = PLUGIN_KEYS,
    .open = PLUGIN_OPEN,
    .close = sound_close,
    .member = PLUGIN_MEMBER,
    .payload = PLUGIN_PAYLOAD,
};
