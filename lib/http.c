/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http_internal.h"

#include <errno.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 100 /* how soon a cancelled call is noticed */

struct ha_http_client {
    CURLM *multi; /* owns the kept connections */
    struct ha_http_endpoint *endpoints;
};

/* libcurl leaves SIGPIPE alone under CURLOPT_NOSIGNAL, and OpenSSL writes to
 * sockets whose other end may be gone. */
struct pipe_guard {
    sigset_t before;
    bool was_pending;
};

static void pipe_guard_enter(struct pipe_guard *guard)
{
    sigset_t pipe_set, pending;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    guard->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &guard->before);
}

static void pipe_guard_leave(const struct pipe_guard *guard)
{
    const struct timespec now = {0, 0};
    sigset_t pipe_set;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    if (!guard->was_pending)
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

/* The pki plugin keeps libcrypto from reading openssl.cnf by itself; with whom hactl talks and how is the system's to
 * restrict, whatever plugins there are. */
static void read_policy(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    CONF_modules_load_file_ex(NULL, NULL, NULL,
                              CONF_MFLAGS_DEFAULT_SECTION | CONF_MFLAGS_IGNORE_MISSING_FILE |
                                  CONF_MFLAGS_IGNORE_RETURN_CODES);
}

struct ha_http_client *ha_http_client_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ha_http_client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    pthread_once(&once, read_policy);
    /* Counted by libcurl, so each client pairs it with its own cleanup. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return NULL;
    }
    client->multi = curl_multi_init();
    if (!client->multi) {
        curl_global_cleanup();
        free(client);
        return NULL;
    }
    return client;
}

static void endpoint_free(struct ha_http_endpoint *endpoint)
{
    if (!endpoint)
        return;
    if (endpoint->easy)
        curl_easy_cleanup(endpoint->easy);
    curl_slist_free_all(endpoint->connect_to);
    free(endpoint->key);
    free(endpoint->name);
    free(endpoint->base);
    free(endpoint->authority_file);
    free(endpoint->certificate_file);
    free(endpoint->key_file);
    free(endpoint);
}

void ha_http_client_free(struct ha_http_client *client)
{
    struct pipe_guard guard;

    if (!client)
        return;
    pipe_guard_enter(&guard);
    while (client->endpoints) {
        struct ha_http_endpoint *endpoint = client->endpoints;

        client->endpoints = endpoint->next;
        endpoint_free(endpoint);
    }
    curl_multi_cleanup(client->multi);
    curl_global_cleanup();
    pipe_guard_leave(&guard);
    free(client);
}

static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

/* Brackets for an IPv6 literal. */
static const char *open_bracket(const char *host)
{
    return strchr(host, ':') ? "[" : "";
}

static const char *close_bracket(const char *host)
{
    return strchr(host, ':') ? "]" : "";
}

static bool endpoint_names(struct ha_http_endpoint *endpoint, const struct ha_http_identity *identity)
{
    const char *verify = text_or(identity->verify, identity->host);
    char *mapping = NULL;

    if (asprintf(&endpoint->name, "%s%s%s:%u", open_bracket(identity->host), identity->host,
                 close_bracket(identity->host), identity->port) < 0)
        endpoint->name = NULL;
    if (asprintf(&endpoint->base, "%s://%s%s%s:%u", identity->plain ? "http" : "https", open_bracket(verify), verify,
                 close_bracket(verify), identity->port) < 0)
        endpoint->base = NULL;
    if (!endpoint->name || !endpoint->base)
        return false;
    if (strcmp(verify, identity->host) == 0)
        return true;
    if (asprintf(&mapping, "::%s", endpoint->name) < 0)
        return false;
    endpoint->connect_to = curl_slist_append(NULL, mapping);
    free(mapping);
    return endpoint->connect_to != NULL;
}

static char *endpoint_key(const struct ha_http_identity *identity)
{
    char *key = NULL;

    if (asprintf(&key, "%s\n%u\n%s\n%s\n%s\n%s\n%d\n%d\n%u", identity->host, identity->port,
                 text_or(identity->verify, identity->host), text_or(identity->authority_file, ""),
                 text_or(identity->certificate_file, ""), text_or(identity->key_file, ""), identity->plain,
                 identity->proxied, identity->lane) < 0)
        return NULL;
    return key;
}

struct ha_http_endpoint *ha_http_endpoint(struct ha_http_client *client, const struct ha_http_identity *identity)
{
    struct ha_http_endpoint *endpoint;
    char *key = endpoint_key(identity);

    for (endpoint = client->endpoints; key && endpoint; endpoint = endpoint->next) {
        if (strcmp(endpoint->key, key) == 0) {
            free(key);
            return endpoint;
        }
    }
    endpoint = key ? calloc(1, sizeof(*endpoint)) : NULL;
    if (!endpoint) {
        free(key);
        return NULL;
    }
    endpoint->key = key;
    endpoint->proxied = identity->proxied;
    endpoint->easy = curl_easy_init();
    if (!endpoint->easy || !endpoint_names(endpoint, identity) ||
        !copy(&endpoint->authority_file, identity->authority_file) ||
        !copy(&endpoint->certificate_file, identity->certificate_file) ||
        !copy(&endpoint->key_file, identity->key_file)) {
        endpoint_free(endpoint);
        return NULL;
    }
    endpoint->next = client->endpoints;
    client->endpoints = endpoint;
    return endpoint;
}

const char *ha_http_endpoint_name(const struct ha_http_endpoint *endpoint)
{
    return endpoint->name;
}

void ha_http_response_clear(struct ha_http_response *response)
{
    if (response->body) {
        explicit_bzero(response->body, response->size);
        free(response->body);
    }
    memset(response, 0, sizeof(*response));
}

static void log_exchange(const struct hactl_host *host, struct hactl_call *call,
                         const struct ha_http_exchange *exchange)
{
    const struct ha_http_response *response = &exchange->response;
    const char *path = exchange->request.path;
    int length = (int)strcspn(path, "?");

    if (response->code == HACTL_OK)
        host->log(call, HACTL_LOG_DEBUG, "%s %s%.*s %ld %u ms", exchange->request.method, exchange->endpoint->name,
                  length, path, response->status, response->elapsed_ms);
    else
        host->log(call, HACTL_LOG_DEBUG, "%s %s%.*s failed (%s) %u ms", exchange->request.method,
                  exchange->endpoint->name, length, path, response->error, response->elapsed_ms);
}

static void refuse(struct ha_http_exchange *exchange, int code, const char *why)
{
    exchange->response.code = code;
    snprintf(exchange->response.error, sizeof(exchange->response.error), "%s: %s", exchange->endpoint->name, why);
}

static void begin(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                  struct ha_http_transfer *transfer, struct ha_http_exchange *exchange)
{
    int64_t ms_left = host->ms_left(call);

    ha_http_response_clear(&exchange->response);
    transfer->active = false;
    if (ms_left <= 0 || host->cancelled(call)) {
        refuse(exchange, ms_left <= 0 ? HACTL_E_UNAVAILABLE : HACTL_E_CANCELLED,
               ms_left <= 0 ? "not asked, no time is left" : "not asked, interrupted");
    } else if (!ha_http_transfer_prepare(transfer, exchange, ms_left) ||
               curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
        ha_http_transfer_drop(transfer);
        refuse(exchange, HACTL_E_INTERNAL, "the request could not be prepared");
    } else {
        transfer->active = true;
    }
}

/* Takes the finished ones out; those with another request go back in. */
static size_t reap(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call)
{
    size_t ended = 0;
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        CURLcode result = message->data.result;
        struct ha_http_transfer *transfer = NULL;
        char *data = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
        transfer = (struct ha_http_transfer *)(void *)data;
        curl_multi_remove_handle(client->multi, transfer->easy);
        ha_http_transfer_finish(transfer, result);
        log_exchange(host, call, transfer->exchange);
        transfer->active = false;
        if (transfer->exchange->next && transfer->exchange->next(transfer->exchange))
            begin(client, host, call, transfer, transfer->exchange);
        if (!transfer->active)
            ended++;
    }
    return ended;
}

static void abandon(struct ha_http_client *client, struct ha_http_transfer *transfer, int code, const char *why)
{
    curl_multi_remove_handle(client->multi, transfer->easy);
    ha_http_transfer_finish(transfer, CURLE_ABORTED_BY_CALLBACK);
    refuse(transfer->exchange, code, why);
    transfer->active = false;
}

static void drive(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                  struct ha_http_transfer *transfers, size_t count, size_t active)
{
    const char *why = NULL;
    int code = HACTL_E_INTERNAL, running = 0;

    while (active > 0 && !why) {
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            why = "libcurl failed";
        active -= reap(client, host, call);
        if (active > 0 && host->cancelled(call)) {
            code = HACTL_E_CANCELLED;
            why = "interrupted";
        } else if (active > 0 && curl_multi_poll(client->multi, NULL, 0, WAIT_MS, NULL) != CURLM_OK) {
            why = "libcurl failed";
        }
    }
    for (size_t i = 0; i < count; i++)
        if (transfers[i].active)
            abandon(client, &transfers[i], code, why);
}

void ha_http_run(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                 struct ha_http_exchange *exchanges, size_t count)
{
    struct ha_http_transfer *transfers = calloc(count > 0 ? count : 1, sizeof(*transfers));
    struct pipe_guard guard;
    size_t active = 0;

    pipe_guard_enter(&guard);
    for (size_t i = 0; i < count; i++) {
        if (!transfers) {
            ha_http_response_clear(&exchanges[i].response);
            refuse(&exchanges[i], HACTL_E_INTERNAL, "no memory");
            continue;
        }
        begin(client, host, call, &transfers[i], &exchanges[i]);
        active += transfers[i].active;
    }
    if (active > 0)
        drive(client, host, call, transfers, count, active);
    pipe_guard_leave(&guard);
    free(transfers);
}
