/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload that needs what replicas share: the key that signs service
 * accounts' tokens, beside a key of the replica's own. It runs only if the
 * private key that came is one of those whose public keys came.
 */
#include <hactl/plugin.h>

#include <stddef.h>

static const struct hactl_host *sharer_host;

static int sharer_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                       void **self)
{
    (void)conf;
    (void)call;
    sharer_host = host;
    *self = &sharer_host;
    return HACTL_OK;
}

static void sharer_close(void *self)
{
    (void)self;
}

static int sharer_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {.struct_size = sizeof(port), .name = "sharer", .port = 9999, .flags = HACTL_PORT_PEERS};

    (void)self;
    return sharer_host->emit_port(call, &port);
}

static const struct {
    const char *path, *purpose, *part;
    uint32_t mode;
} files[] = {
    {"sa.key", "service-account", "key", 0600},
    {"sa.pub", "service-account", "public", 0644},
    {"own.key", "kube-apiserver", "key", 0600},
    {"own.crt", "kube-apiserver", "certificate", 0644},
};

static int sharer_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    static const char *const argv[] = {"/bin/sh", "-c",
                                       "openssl pkey -in ${directory}/sa.key -pubout | sed -n 2p >line && "
                                       "grep -qxFf line ${directory}/sa.pub && exec sleep 1000000",
                                       NULL};
    struct hactl_unit unit = {.struct_size = sizeof(unit), .name = "sharer", .argv = argv, .stop_timeout_ms = 1000};
    int code = HACTL_OK;

    (void)self;
    (void)want;
    for (size_t i = 0; code == HACTL_OK && i < sizeof(files) / sizeof(files[0]); i++) {
        struct hactl_file file = {.struct_size = sizeof(file),
                                  .path = files[i].path,
                                  .mode = files[i].mode,
                                  .purpose = files[i].purpose,
                                  .part = files[i].part};

        code = sharer_host->emit_file(call, &file);
    }
    return code == HACTL_OK ? sharer_host->emit_unit(call, &unit) : code;
}

static int sharer_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    (void)self;
    (void)call;
    (void)want;
    return HACTL_OK;
}

static const char *const key_purposes[] = {"kube-apiserver", NULL};

static const struct hactl_payload_ops sharer_payload = {
    .struct_size = sizeof(sharer_payload),
    .ports = sharer_ports,
    .render = sharer_render,
    .probe = sharer_probe,
    .key_purposes = key_purposes,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "sharer",
    .version = "0.1",
    .summary = "Needs what replicas share (for tests)",
    .open = sharer_open,
    .close = sharer_close,
    .payload = &sharer_payload,
};
