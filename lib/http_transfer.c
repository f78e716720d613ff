/* SPDX-License-Identifier: Apache-2.0 */
/* One request: how it is set up, what of the answer is kept, and what went wrong in words. */
#include "lib/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_RESPONSE_LIMIT ((size_t)4 << 20)

static bool keep(struct ha_http_transfer *transfer, const char *bytes, size_t size)
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
    struct ha_http_transfer *transfer = data;
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
    struct ha_http_transfer *transfer = data;
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
    struct ha_http_transfer *transfer = data;

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

static bool set_headers(struct ha_http_transfer *transfer, const struct ha_http_request *request)
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

bool ha_http_transfer_prepare(struct ha_http_transfer *transfer, struct ha_http_exchange *exchange, int64_t ms_left)
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
static long proxy_refusal(const struct ha_http_transfer *transfer)
{
    long status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status / 100 == 2 ? 0 : status;
}

/* A connection that ended before the request went out has changed nothing. */
static int classify(const struct ha_http_transfer *transfer, CURLcode result, bool sent)
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

static void describe(struct ha_http_transfer *transfer, CURLcode result, bool sent)
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

void ha_http_transfer_drop(struct ha_http_transfer *transfer)
{
    headers_free(transfer->headers);
    transfer->headers = NULL;
}

void ha_http_transfer_finish(struct ha_http_transfer *transfer, CURLcode result)
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
    ha_http_transfer_drop(transfer);
}
