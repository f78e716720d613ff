/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/file.h"
#include "plugins/lb/lb_haproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_LIMIT (1u << 20)

/* ---- state.json ------------------------------------------------------------ */

void lb_state_done(struct lb_state *state)
{
    for (size_t i = 0; i < state->server_count; i++) {
        free(state->servers[i].name);
        free(state->servers[i].zone);
        free(state->servers[i].address);
    }
    free(state->servers);
    free(state->name);
    free(state->trial_host);
    free(state->address);
    memset(state, 0, sizeof(*state));
}

struct lb_server *lb_state_server(const struct lb_state *state, const char *name)
{
    for (size_t i = 0; i < state->server_count; i++)
        if (strcmp(state->servers[i].name, name) == 0)
            return &state->servers[i];
    return NULL;
}

static int server_append(struct lb_state *state, const char *name, const char *zone, const char *address)
{
    struct lb_server *grown = realloc(state->servers, (state->server_count + 1) * sizeof(*grown)), *server;

    if (!grown)
        return -ENOMEM;
    state->servers = grown;
    server = &grown[state->server_count++];
    server->name = strdup(name);
    server->zone = strdup(zone);
    server->address = strdup(address);
    return server->name && server->zone && server->address ? 0 : -ENOMEM;
}

int lb_state_server_set(struct lb_state *state, const struct hactl_backend_want *want, bool *changed)
{
    struct lb_server *server = lb_state_server(state, want->name);
    char *address;

    *changed = !server || strcmp(server->address, want->address) != 0;
    if (!server)
        return server_append(state, want->name, want->zone ? want->zone : "", want->address);
    if (!*changed)
        return 0;
    address = strdup(want->address);
    if (!address)
        return -ENOMEM;
    free(server->address);
    server->address = address;
    return 0;
}

void lb_state_server_unset(struct lb_state *state, const char *name)
{
    struct lb_server *server = lb_state_server(state, name);

    if (!server)
        return;
    free(server->name);
    free(server->zone);
    free(server->address);
    *server = state->servers[--state->server_count];
}

static int state_from_json(json_t *root, struct lb_state *out)
{
    const char *name, *trial_host, *address = NULL, *zone;
    int trial_port, port, backend_port, rc = 0;
    json_t *servers, *server;
    size_t i;

    if (json_unpack(root, "{s:s, s:s, s:i, s:i, s:i, s?s, s:o}", "name", &name, "trial_host", &trial_host, "trial_port",
                    &trial_port, "port", &port, "backend_port", &backend_port, "address", &address, "backends",
                    &servers) < 0 ||
        !json_is_array(servers))
        return -EBADMSG;
    out->name = strdup(name);
    out->trial_host = strdup(trial_host);
    out->address = address ? strdup(address) : NULL;
    out->trial_port = (uint16_t)trial_port;
    out->port = (uint16_t)port;
    out->backend_port = (uint16_t)backend_port;
    if (!out->name || !out->trial_host || (address && !out->address))
        return -ENOMEM;
    json_array_foreach(servers, i, server)
    {
        if (rc == 0)
            rc = json_unpack(server, "{s:s, s:s, s:s}", "name", &name, "zone", &zone, "address", &address) < 0
                     ? -EBADMSG
                     : server_append(out, name, zone, address);
    }
    return rc;
}

int lb_state_read(const struct lb_haproxy *lb, struct lb_state *out)
{
    char *text = NULL;
    size_t size = 0;
    json_t *root = NULL;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = ha_file_read(lb->state_path, STATE_LIMIT, &text, &size);
    if (rc < 0)
        return rc;
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    rc = root ? state_from_json(root, out) : -EBADMSG;
    if (rc < 0)
        lb_state_done(out);
    json_decref(root);
    free(text);
    return rc;
}

int lb_state_write(const struct lb_haproxy *lb, const struct lb_state *state)
{
    json_t *servers = json_array(), *root = NULL;
    char *text = NULL;
    int rc = -ENOMEM;

    for (size_t i = 0; servers && i < state->server_count; i++)
        if (json_array_append_new(servers, json_pack("{s:s, s:s, s:s}", "name", state->servers[i].name, "zone",
                                                     state->servers[i].zone, "address", state->servers[i].address)) < 0)
            goto out;
    root = json_pack("{s:s, s:s, s:i, s:i, s:i, s:s*, s:O}", "name", state->name, "trial_host", state->trial_host,
                     "trial_port", (int)state->trial_port, "port", (int)state->port, "backend_port",
                     (int)state->backend_port, "address", state->address, "backends", servers);
    text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text)
        rc = ha_file_replace(lb->state_path, text, strlen(text), 0600, true);
out:
    free(text);
    json_decref(root);
    json_decref(servers);
    return rc;
}

/* ---- haproxy.cfg ------------------------------------------------------------ */

/* A hello that every TLS server answers with a handshake or an alert, as any
 * live process does and a stopped one does not, whatever certificate it asks
 * of clients. */
static const struct check {
    const char *name;
    const char *option; /* of the backend */
    const char *server; /* of each server */
} checks[] = {
    {"tls", "    option ssl-hello-chk\n", ""},
    {"tcp", "    option tcp-check\n", ""},
    {"https", NULL /* with check_path */, " check-ssl verify none"},
};

static const struct check *check_find(const struct lb_haproxy *lb)
{
    const char *name = lb->host->conf_string(lb->conf, "check");

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (strcmp(checks[i].name, name) == 0)
            return &checks[i];
    return &checks[0];
}

static long long integer(const struct lb_haproxy *lb, const char *key)
{
    return (long long)lb->host->conf_integer(lb->conf, key);
}

char *lb_server_text(const struct lb_haproxy *lb, const struct lb_state *state, const struct lb_server *server)
{
    long long interval_ms = integer(lb, "check_interval_ms"), fast_ms = interval_ms / 3 > 20 ? interval_ms / 3 : 20;
    char *text = NULL;

    if (asprintf(&text,
                 "%s:%u check%s inter %lldms fastinter %lldms downinter %lldms rise %lld fall %lld observe layer4 "
                 "error-limit 2 on-error fastinter on-marked-down shutdown-sessions",
                 server->address, state->backend_port, check_find(lb)->server, interval_ms, fast_ms, interval_ms,
                 integer(lb, "rise"), integer(lb, "fall")) < 0)
        return NULL;
    return text;
}

static void hash_text(const char *text, char out[LB_HASH_SIZE])
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a: tells files apart, guards nothing */

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    snprintf(out, LB_HASH_SIZE, "%016" PRIx64, hash);
}

static int put_settings(FILE *file, const struct lb_haproxy *lb, const struct lb_state *state)
{
    const struct check *check = check_find(lb);

    fprintf(file,
            "    maxconn %lld\n    nbthread 1\n    noreuseport\n    hard-stop-after %lldms\n"
            "    stats socket unix@stats.sock mode 600 level admin expose-fd listeners\n"
            "    stats timeout 5s\n    stats maxconn 20\n\n",
            integer(lb, "maxconn"), integer(lb, "drain_timeout_ms"));
    fprintf(file,
            "defaults\n    mode tcp\n    option clitcpka\n    option srvtcpka\n    option redispatch 1\n    retries 3\n"
            "    timeout connect %lldms\n    timeout check %lldms\n    timeout queue 1s\n"
            "    timeout client %lldms\n    timeout server %lldms\n    timeout client-fin 30s\n"
            "    timeout server-fin 30s\n\n",
            integer(lb, "connect_timeout_ms"), integer(lb, "check_timeout_ms"), integer(lb, "idle_timeout_ms"),
            integer(lb, "idle_timeout_ms"));
    fprintf(file, "frontend trial\n    bind %s:%u\n    default_backend " LB_MEMBERS "\n\n", state->trial_host,
            state->trial_port);
    fprintf(file, "backend " LB_MEMBERS "\n    balance %s\n", lb->host->conf_string(lb->conf, "balance"));
    if (!check->option)
        fprintf(file, "    option httpchk GET %s\n    http-check expect rstatus ^[234]\n",
                lb->host->conf_string(lb->conf, "check_path"));
    else
        fputs(check->option, file);
    return ferror(file) ? -EIO : 0;
}

static char *settings_text(const struct lb_haproxy *lb, const struct lb_state *state)
{
    struct lb_server sample = {NULL, NULL, (char *)"sample"};
    char *text = NULL, *server = lb_server_text(lb, state, &sample);
    size_t size;
    FILE *file = server ? open_memstream(&text, &size) : NULL;

    if (file) {
        put_settings(file, lb, state);
        fprintf(file, "# %s\n", server); /* so that the hash covers the checks of servers too */
        if (fclose(file) != 0) {
            free(text);
            text = NULL;
        }
    }
    free(server);
    return text;
}

static bool is_up(const char *name, const struct lb_server_status *up, size_t up_count)
{
    for (size_t i = 0; i < up_count; i++)
        if (up[i].up && strcmp(up[i].name, name) == 0)
            return true;
    return false;
}

char *lb_config_text(const struct lb_haproxy *lb, const struct lb_state *state, const struct lb_server_status *up,
                     size_t up_count, char hash[LB_HASH_SIZE])
{
    char *settings = settings_text(lb, state), *text = NULL, *server;
    bool whole = settings != NULL;
    size_t size;
    FILE *file = settings ? open_memstream(&text, &size) : NULL;

    if (!file)
        goto out;
    hash_text(settings, hash);
    fprintf(file, "# Written by hactl; changes are lost.\nglobal\n    description hactl-%s\n%s", hash, settings);
    for (size_t i = 0; i < state->server_count; i++) {
        server = lb_server_text(lb, state, &state->servers[i]);
        whole = whole && server;
        fprintf(file, "    server %s %s%s\n", state->servers[i].name, server ? server : "",
                is_up(state->servers[i].name, up, up_count) ? "" : " disabled");
        free(server);
    }
    if (fclose(file) != 0 || !whole) {
        free(text);
        text = NULL;
    }
out:
    free(settings);
    return text;
}

char *lb_public_text(const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN], *text = NULL;

    inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
    if (asprintf(&text, "frontend public\n    bind %s:%u\n    default_backend " LB_MEMBERS "\n", host,
                 ntohs(address->sin_port)) < 0)
        return NULL;
    return text;
}
