/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DEFAULT_RESPONSE_LIMIT ((size_t)4 << 20)
#define WAIT_MS                100 /* how soon a cancelled call is noticed */

struct ha_http_endpoint {
    struct ha_http_endpoint *next;
    char *key;  /* all of its identity: what makes it this one */
    char *name; /* host:port */
    char *base; /* scheme://verify:port */
    char *authority_file, *certificate_file, *key_file;
    struct curl_slist *connect_to;
    bool proxied;
    CURL *easy;
};

struct ha_http_client {
    CURLM *multi; /* owns the kept connections */
    struct ha_http_endpoint *endpoints;
};

/* What libcurl's callbacks need while one request is under way. */
struct transfer {
    struct ha_http_exchange *exchange;
    CURL *easy;
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
    char alert[128]; /* what the other side refused us with */
    size_t capacity, limit;
    bool active, too_large, taker_refused, no_memory;
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

static const char *text_or(const char *text, const char *other)
{
    return text ? text : other;
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

static bool keep(struct transfer *transfer, const char *bytes, size_t size)
{
    struct ha_http_response *response = &transfer->exchange->response;

    if (size > transfer->limit || response->size > transfer->limit - size) {
        transfer->too_large = true;
        return false;
    }
    if (response->size + size + 1 > transfer->capacity) {
        size_t capacity = (response->size + size + 1) * 2;
        char *larger = malloc(capacity);

        if (!larger) {
            transfer->no_memory = true;
            return false;
        }
        if (response->body) {
            memcpy(larger, response->body, response->size);
            explicit_bzero(response->body, response->size); /* may carry a token */
            free(response->body);
        }
        response->body = larger;
        transfer->capacity = capacity;
    }
    memcpy(response->body + response->size, bytes, size);
    response->size += size;
    response->body[response->size] = '\0';
    return true;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
    struct transfer *transfer = data;
    const struct ha_http_request *request = &transfer->exchange->request;
    long status = 0;

    (void)one;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (request->take && status >= 200 && status < 300) {
        if (request->take(request->taker, bytes, size))
            return size;
        transfer->taker_refused = true;
        return 0;
    }
    return keep(transfer, bytes, size) ? size : 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *data)
{
    struct transfer *transfer = data;
    const char *wanted = transfer->exchange->request.wanted_header;

    (void)one;
    if (wanted && size >= strlen(wanted) && strncasecmp(line, wanted, strlen(wanted)) == 0)
        transfer->exchange->response.has_wanted_header = true;
    return size;
}

/* The error buffer keeps the first failure only, which need not be the reason:
 * where a server closes at once libcurl fails to ask for its address before it
 * reads the alert. */
static int on_debug(CURL *easy, curl_infotype type, char *words, size_t size, void *data)
{
    struct transfer *transfer = data;

    (void)easy;
    if (type == CURLINFO_TEXT && !transfer->alert[0] && size < sizeof(transfer->alert) &&
        memmem(words, size, " alert ", strlen(" alert ")) && !memmem(words, size, "TLS alert,", strlen("TLS alert,")))
        snprintf(transfer->alert, sizeof(transfer->alert), "%.*s", (int)size, words);
    return 0;
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool add_bearer(struct curl_slist **list, const char *bearer)
{
    char *line = NULL;
    int length = asprintf(&line, "Authorization: Bearer %s", bearer);
    bool added;

    if (length < 0)
        return false;
    added = add_header(list, line);
    explicit_bzero(line, (size_t)length);
    free(line);
    return added;
}

static void headers_free(struct curl_slist *headers)
{
    for (struct curl_slist *entry = headers; entry; entry = entry->next)
        explicit_bzero(entry->data, strlen(entry->data));
    curl_slist_free_all(headers);
}

static bool set_headers(struct transfer *transfer, const struct ha_http_request *request)
{
    char line[160];

    snprintf(line, sizeof(line), "Content-Type: %s", text_or(request->content_type, "application/json"));
    if (request->body && !add_header(&transfer->headers, line))
        return false;
    /* Waiting for "100 Continue" would cost a second with servers that do not send it. */
    if (!add_header(&transfer->headers, "Expect:"))
        return false;
    for (const char *const *header = request->headers; header && *header; header++)
        if (!add_header(&transfer->headers, *header))
            return false;
    return !request->bearer || add_bearer(&transfer->headers, request->bearer);
}

/* libcurl repeats only what went over a kept connection. */
static bool needs_new_connection(const struct ha_http_request *request)
{
    return request->fresh || request->version_2 ||
           (!request->repeatable && strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0);
}

static void set_tls(CURL *easy, const struct ha_http_endpoint *endpoint, const struct ha_http_request *request)
{
    bool alone = needs_new_connection(request);

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (endpoint->authority_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint->authority_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
        /* An authority that was just replaced must count at once. */
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    }
    curl_easy_setopt(easy, CURLOPT_SSLCERT, endpoint->certificate_file);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, endpoint->key_file);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, request->fresh ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, alone ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, alone ? 1L : 0L);
}

static void set_request(CURL *easy, const struct ha_http_request *request)
{
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(CURL *easy, const struct ha_http_request *request, int64_t ms_left)
{
    int64_t timeout_ms = request->timeout_ms > 0 && request->timeout_ms < ms_left ? request->timeout_ms : ms_left;

    if (timeout_ms > 24 * 3600 * 1000)
        timeout_ms = 24 * 3600 * 1000;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    if (request->stall_timeout_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(request->stall_timeout_ms + 999) / 1000);
    }
}

/* Whatever is not said here libcurl takes from the environment. */
static void set_proxy(CURL *easy, const struct ha_http_endpoint *endpoint)
{
    if (!endpoint->proxied) {
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    /* What is for the server is not for the proxy to hear, nor the proxy's headers the server's. */
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* Sets the handle up from nothing each time: what one request asked for must
 * not live on in the next. Kept connections are the multi handle's. */
static bool prepare(struct transfer *transfer, struct ha_http_exchange *exchange, int64_t ms_left)
{
    const struct ha_http_request *request = &exchange->request;
    struct ha_http_endpoint *endpoint = exchange->endpoint;
    CURL *easy = endpoint->easy;
    char *url = NULL;
    CURLcode set;

    memset(transfer, 0, sizeof(*transfer));
    transfer->exchange = exchange;
    transfer->easy = easy;
    transfer->limit = request->response_limit > 0 ? request->response_limit : DEFAULT_RESPONSE_LIMIT;
    if (!set_headers(transfer, request) || asprintf(&url, "%s%s", endpoint->base, request->path) < 0)
        return false;
    curl_easy_reset(easy);
    set = curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     request->version_2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    set_proxy(easy, endpoint);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, endpoint->connect_to);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hactl");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, transfer);
    set_tls(easy, endpoint, request);
    set_request(easy, request);
    set_limits(easy, request, ms_left);
    return set == CURLE_OK;
}

/* With which status a proxy refused to lead to the server; 0: none has. */
static long proxy_refusal(const struct transfer *transfer)
{
    long status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status / 100 == 2 ? 0 : status;
}

/* A connection that ended before the request went out has changed nothing. */
static int classify(const struct transfer *transfer, CURLcode result, bool sent)
{
    long refusal = proxy_refusal(transfer);

    if (result != CURLE_OK && refusal != 0)
        return refusal == 403 || refusal == 407 ? HACTL_E_DENIED : HACTL_E_UNAVAILABLE;
    switch (result) {
    case CURLE_OK:
        return HACTL_OK;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return HACTL_E_INTERNAL;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return HACTL_E_DENIED;
    case CURLE_WRITE_ERROR:
        return transfer->taker_refused || transfer->no_memory ? HACTL_E_INTERNAL : HACTL_E_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
        return transfer->alert[0] ? HACTL_E_DENIED : HACTL_E_UNAVAILABLE;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        /* With TLS 1.3 a server refuses the client's certificate only after
         * the handshake, where the first answer is read. */
        if (transfer->alert[0])
            return HACTL_E_DENIED;
        return sent ? HACTL_E_TIMEOUT : HACTL_E_UNAVAILABLE;
    default:
        return sent ? HACTL_E_TIMEOUT : HACTL_E_UNAVAILABLE;
    }
}

static void describe(struct transfer *transfer, CURLcode result, bool sent)
{
    struct ha_http_exchange *exchange = transfer->exchange;
    struct ha_http_response *response = &exchange->response;
    const char *name = exchange->endpoint->name;
    const char *words = transfer->alert[0]        ? transfer->alert
                        : transfer->curl_error[0] ? transfer->curl_error
                                                  : curl_easy_strerror(result);
    size_t size = sizeof(response->error);
    long os_error = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_error);
    if (transfer->too_large)
        snprintf(response->error, size, "%s: the answer exceeds %zu bytes", name, transfer->limit);
    else if (transfer->taker_refused)
        snprintf(response->error, size, "%s: the answer was not accepted", name);
    else if (proxy_refusal(transfer) != 0)
        snprintf(response->error, size, "%s: the proxy that the environment names refused to lead there: status %ld%s",
                 name, proxy_refusal(transfer),
                 proxy_refusal(transfer) == 407
                     ? ", it wants to know who asks: https_proxy=http://USER:PASSWORD@HOST:PORT"
                     : "");
    /* Where there is a proxy, libcurl's own words say whom it could not reach. */
    else if (result == CURLE_COULDNT_CONNECT && os_error != 0 && !exchange->endpoint->proxied)
        snprintf(response->error, size, "%s: %s", name, strerror((int)os_error));
    else if (result == CURLE_OPERATION_TIMEDOUT)
        snprintf(response->error, size, "%s: %s after %u ms", name, sent ? "no answer" : "no connection",
                 response->elapsed_ms);
    else if (response->code == HACTL_E_DENIED)
        snprintf(response->error, size, "%s: TLS: %.200s (authority %.80s, certificate %.80s)", name, words,
                 text_or(exchange->endpoint->authority_file, "of the system"),
                 text_or(exchange->endpoint->certificate_file, "none"));
    else
        snprintf(response->error, size, "%s: %.200s", name, words);
}

/* Remote words reach error texts, which are one line. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
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

static void finish(struct transfer *transfer, CURLcode result)
{
    struct ha_http_response *response = &transfer->exchange->response;
    curl_off_t elapsed_us = 0, retry_after_s = 0;
    long request_size = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &elapsed_us);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response->status);
    curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_size);
    response->elapsed_ms = (uint32_t)(elapsed_us / 1000);
    response->retry_after_ms = retry_after_s > 3600 ? 3600000 : (uint32_t)(retry_after_s * 1000);
    response->code = classify(transfer, result, request_size > 0);
    if (response->code != HACTL_OK)
        describe(transfer, result, request_size > 0);
    one_line(response->error);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
    headers_free(transfer->headers);
    transfer->headers = NULL;
}

static void refuse(struct ha_http_exchange *exchange, int code, const char *why)
{
    exchange->response.code = code;
    snprintf(exchange->response.error, sizeof(exchange->response.error), "%s: %s", exchange->endpoint->name, why);
}

static void begin(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                  struct transfer *transfer, struct ha_http_exchange *exchange)
{
    int64_t ms_left = host->ms_left(call);

    ha_http_response_clear(&exchange->response);
    transfer->active = false;
    if (ms_left <= 0 || host->cancelled(call)) {
        refuse(exchange, ms_left <= 0 ? HACTL_E_UNAVAILABLE : HACTL_E_CANCELLED,
               ms_left <= 0 ? "not asked, no time is left" : "not asked, interrupted");
    } else if (!prepare(transfer, exchange, ms_left) ||
               curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
        headers_free(transfer->headers);
        transfer->headers = NULL;
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
        struct transfer *transfer = NULL;
        char *data = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
        transfer = (struct transfer *)(void *)data;
        curl_multi_remove_handle(client->multi, transfer->easy);
        finish(transfer, result);
        log_exchange(host, call, transfer->exchange);
        transfer->active = false;
        if (transfer->exchange->next && transfer->exchange->next(transfer->exchange))
            begin(client, host, call, transfer, transfer->exchange);
        if (!transfer->active)
            ended++;
    }
    return ended;
}

static void abandon(struct ha_http_client *client, struct transfer *transfer, int code, const char *why)
{
    curl_multi_remove_handle(client->multi, transfer->easy);
    finish(transfer, CURLE_ABORTED_BY_CALLBACK);
    refuse(transfer->exchange, code, why);
    transfer->active = false;
}

static void drive(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                  struct transfer *transfers, size_t count, size_t active)
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
    struct transfer *transfers = calloc(count > 0 ? count : 1, sizeof(*transfers));
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
