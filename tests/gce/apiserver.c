/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for the API server: a TLS server (HAProxy) with the replica's own
 * certificate and key of kube-apiserver on the port that the endpoint fronts. It
 * answers with its replica's name, so that tests see who has answered.
 */
#include <hactl/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http.h"

enum { PORT = 443, TIMEOUT_MS = 2000 };

struct apiserver {
    const struct hactl_host *host;
    const char *authority_file;
    struct ha_http_client *http;
};

static const struct hactl_key keys[] = {{.name = "authority_file",
                                         .type = HACTL_KEY_PATH,
                                         .flags = HACTL_KEY_REQUIRED,
                                         .help = "Who has signed the certificate that is presented there."},
                                        {.name = NULL}};

static void apiserver_close(void *self)
{
    struct apiserver *apiserver = self;

    if (!apiserver)
        return;
    ha_http_client_free(apiserver->http);
    free(apiserver);
}

static int apiserver_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                          void **self)
{
    struct apiserver *apiserver = calloc(1, sizeof(*apiserver));

    if (apiserver)
        apiserver->http = ha_http_client_new();
    if (!apiserver || !apiserver->http) {
        apiserver_close(apiserver);
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    }
    apiserver->host = host;
    apiserver->authority_file = host->conf_string(conf, "authority_file");
    *self = apiserver;
    return HACTL_OK;
}

static int apiserver_ports(void *self, struct hactl_call *call)
{
    const struct apiserver *apiserver = self;
    struct hactl_port port = {
        .struct_size = sizeof(port), .name = "kube-apiserver", .port = PORT, .flags = HACTL_PORT_ENDPOINT};

    return apiserver->host->emit_port(call, &port);
}

/* HAProxy finds the key of server.pem in server.pem.key. */
static int emit_files(const struct apiserver *apiserver, struct hactl_call *call, const struct hactl_payload_want *want)
{
    struct hactl_file certificate = {.struct_size = sizeof(certificate),
                                     .path = "server.pem",
                                     .mode = 0644,
                                     .purpose = "kube-apiserver",
                                     .part = "certificate"};
    struct hactl_file key = {
        .struct_size = sizeof(key), .path = "server.pem.key", .mode = 0600, .purpose = "kube-apiserver", .part = "key"};
    struct hactl_file configuration = {.struct_size = sizeof(configuration), .path = "haproxy.cfg", .mode = 0644};
    char text[512];
    int code = apiserver->host->emit_file(call, &certificate);

    if (code == HACTL_OK)
        code = apiserver->host->emit_file(call, &key);
    snprintf(text, sizeof(text),
             "defaults\n    mode http\n    timeout client 10s\n"
             "frontend api\n    bind :%d ssl crt server.pem\n"
             "    http-request return status 200 content-type text/plain string %s\n",
             PORT, want->replica->name);
    configuration.content = text;
    configuration.content_size = strlen(text);
    return code == HACTL_OK ? apiserver->host->emit_file(call, &configuration) : code;
}

static int apiserver_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    static const char *const argv[] = {"/usr/sbin/haproxy", "-db", "-C", "${directory}", "-f", "haproxy.cfg", NULL};
    const struct apiserver *apiserver = self;
    struct hactl_unit unit = {.struct_size = sizeof(unit),
                              .name = "apiserver",
                              .argv = argv,
                              .package = "haproxy",
                              .restart = HACTL_RESTART_ON_FAILURE,
                              .stop_timeout_ms = 1000};
    int code = emit_files(apiserver, call, want);

    return code == HACTL_OK ? apiserver->host->emit_unit(call, &unit) : code;
}

static int apiserver_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    struct apiserver *apiserver = self;
    struct ha_http_identity identity = {.host = want->reach->host,
                                        .port = want->reach->port,
                                        .verify = want->reach->verify,
                                        .authority_file = apiserver->authority_file};
    struct ha_http_exchange exchange = {.endpoint = ha_http_endpoint(apiserver->http, &identity)};
    int code = HACTL_OK;

    if (!exchange.endpoint)
        return apiserver->host->fail(call, HACTL_E_INTERNAL, "out of memory");
    exchange.request.method = "GET";
    exchange.request.path = "/readyz";
    exchange.request.timeout_ms = TIMEOUT_MS;
    exchange.request.fresh = true;
    ha_http_run(apiserver->http, apiserver->host, call, &exchange, 1);
    if (exchange.response.code != HACTL_OK)
        code = apiserver->host->fail(call, HACTL_E_UNAVAILABLE, "API server at %s", exchange.response.error);
    else if (exchange.response.status != 200)
        code = apiserver->host->fail(call, HACTL_E_UNAVAILABLE, "API server at %s: status %ld", want->reach->host,
                                     exchange.response.status);
    ha_http_response_clear(&exchange.response);
    return code;
}

static const char *const key_purposes[] = {"kube-apiserver", NULL};

static const struct hactl_payload_ops payload_ops = {
    .struct_size = sizeof(payload_ops),
    .ports = apiserver_ports,
    .render = apiserver_render,
    .probe = apiserver_probe,
    .key_purposes = key_purposes,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "apiserver",
    .version = "0.1",
    .summary = "Stands for the API server (for tests)",
    .keys = keys,
    .open = apiserver_open,
    .close = apiserver_close,
    .payload = &payload_ops,
};
