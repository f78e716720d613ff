/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/etcd/etcd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

/* etcd's own words say more than its status codes: 412 and 503 each cover
 * what passes by itself and what does not. The first match counts. */
static const struct {
    const char *words;
    int code;
} refusals[] = {
    {"unhealthy cluster", HACTL_E_BUSY},
    {"too many learner", HACTL_E_BUSY},
    {"in sync with leader", HACTL_E_BUSY},
    {"not enough started members", HACTL_E_BUSY},
    {"not leader", HACTL_E_BUSY},
    {"no leader", HACTL_E_BUSY},
    {"too many requests", HACTL_E_BUSY},
    {"can only promote a learner member", HACTL_E_CONFLICT},
    {"Peer URLs already exists", HACTL_E_CONFLICT},
    {"member ID already exist", HACTL_E_CONFLICT},
    {"member not found", HACTL_E_NOT_FOUND},
    {"bad leader transferee", HACTL_E_INVALID},
    {"given member URLs are invalid", HACTL_E_INVALID},
    {"rpc not supported for learner", HACTL_E_UNAVAILABLE},
    {"server stopped", HACTL_E_UNAVAILABLE},
    {"raft: stopped", HACTL_E_TIMEOUT},
    {"leader changed", HACTL_E_TIMEOUT},
    {"request timed out", HACTL_E_TIMEOUT},
    {"context deadline exceeded", HACTL_E_TIMEOUT},
    {"permission denied", HACTL_E_DENIED},
    {"space exceeded", HACTL_E_QUOTA},
};

static int code_of_status(long status)
{
    switch (status) {
    case 400:
        return HACTL_E_INVALID;
    case 401:
    case 403:
        return HACTL_E_DENIED;
    case 404:
    case 405:
        return HACTL_E_UNSUPPORTED;
    case 429:
        return HACTL_E_BUSY;
    default:
        return HACTL_E_TIMEOUT;
    }
}

/* Both shapes of error, that of etcd 3.3 to 3.5 and that of 3.6, have
 * `message`; a path that is not there answers in plain text. */
static void remote_words(const struct ha_http_response *response, char *words, size_t size)
{
    json_t *body = response->body ? ha_json_parse(response->body, response->size, NULL, 0) : NULL;
    const char *message = ha_json_string(body, "message");

    if (!message)
        message = ha_json_string(body, "error");
    if (message)
        snprintf(words, size, "%s", message);
    else if (response->body)
        snprintf(words, size, "HTTP status %ld: %.*s", response->status, (int)strcspn(response->body, "\r\n"),
                 response->body);
    else
        snprintf(words, size, "HTTP status %ld", response->status);
    json_decref(body);
    for (char *at = words; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' '; /* an error text is one line */
}

int etcd_refusal(const struct ha_http_response *response, char *words, size_t size)
{
    if (response->code != HACTL_OK) {
        snprintf(words, size, "%s", response->error);
        return response->code;
    }
    if (response->status == 200)
        return HACTL_OK;
    remote_words(response, words, size);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strstr(words, refusals[i].words))
            return refusals[i].code;
    return code_of_status(response->status);
}

json_t *etcd_parse(const struct ha_http_response *response, char *words, size_t size)
{
    char why[200] = "empty";
    json_t *object = response->body ? ha_json_parse(response->body, response->size, why, sizeof(why)) : NULL;

    if (json_is_object(object))
        return object;
    snprintf(words, size, "the answer is not a JSON object: %s", object ? "another type" : why);
    json_decref(object);
    return NULL;
}

int etcd_post(struct etcd *self, struct hactl_call *call, struct ha_http_endpoint *http, const char *path, json_t *body,
              uint32_t timeout_ms, json_t **reply, char *words, size_t words_size)
{
    struct ha_http_exchange exchange = {.endpoint = http};
    char *text = ha_json_text(body);
    int code;

    if (!text) {
        snprintf(words, words_size, "no memory");
        return HACTL_E_INTERNAL;
    }
    exchange.request.method = "POST";
    exchange.request.path = path;
    exchange.request.body = text;
    exchange.request.body_size = strlen(text);
    exchange.request.timeout_ms = timeout_ms;
    ha_http_run(self->http, self->host, call, &exchange, 1);
    free(text);
    code = etcd_refusal(&exchange.response, words, words_size);
    if (code == HACTL_OK) {
        *reply = etcd_parse(&exchange.response, words, words_size);
        code = *reply ? HACTL_OK : HACTL_E_TIMEOUT;
    }
    ha_http_response_clear(&exchange.response);
    return code;
}

bool etcd_id_parse(const char *text, uint64_t *id)
{
    char *end;

    if (!text || strlen(text) > 16 || text[strspn(text, "0123456789abcdef")] != '\0')
        return false;
    errno = 0;
    *id = strtoull(text, &end, 16);
    return errno == 0 && end != text && *id != 0;
}

void etcd_url_host(const char *url, char *out, size_t size)
{
    const char *start = strstr(url, "://");
    size_t length;

    start = start ? start + 3 : url;
    if (*start == '[') {
        start++;
        length = strcspn(start, "]");
    } else {
        length = strcspn(start, ":/");
    }
    snprintf(out, size, "%.*s", (int)length, start);
}

char *etcd_url(const char *address, uint16_t port)
{
    bool v6 = strchr(address, ':') != NULL;
    char *url = NULL;

    if (asprintf(&url, "https://%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "", port) < 0)
        return NULL;
    return url;
}

bool etcd_may_ask(const struct hactl_tls *tls)
{
    return tls && tls->authority_file && tls->certificate_file && tls->key_file;
}

struct ha_http_endpoint *etcd_endpoint(struct etcd *self, struct hactl_call *call, const struct hactl_reach *reach,
                                       const struct hactl_tls *tls)
{
    struct ha_http_identity identity = {
        .host = reach->host,
        .port = reach->port,
        .verify = reach->verify,
    };
    struct ha_http_endpoint *http;

    if (!etcd_may_ask(tls)) {
        self->host->fail(call, HACTL_E_INVALID, "etcd at %s: no certificate to ask it with", reach->host);
        return NULL;
    }
    identity.authority_file = tls->authority_file;
    identity.certificate_file = tls->certificate_file;
    identity.key_file = tls->key_file;
    http = ha_http_endpoint(self->http, &identity);
    if (!http)
        self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    return http;
}
