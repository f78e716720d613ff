/* SPDX-License-Identifier: Apache-2.0 */
/* What http.c (endpoints, and many requests at once) and http_transfer.c (one of them) share. */
#ifndef HACTL_LIB_HTTP_INTERNAL_H
#define HACTL_LIB_HTTP_INTERNAL_H

#include "lib/http.h"

#include <curl/curl.h>

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

/* What libcurl's callbacks need while one request is under way. */
struct ha_http_transfer {
    struct ha_http_exchange *exchange;
    CURL *easy;
    struct curl_slist *headers;
    char curl_error[CURL_ERROR_SIZE];
    char alert[128]; /* what the other side refused us with */
    size_t capacity, limit;
    bool active, too_large, taker_refused, no_memory;
};

/* Sets the handle up from nothing each time: what one request asked for must
 * not live on in the next. Kept connections are the multi handle's. */
bool ha_http_transfer_prepare(struct ha_http_transfer *transfer, struct ha_http_exchange *exchange, int64_t ms_left);
/* What it was that came, or why nothing did, in the exchange's response. */
void ha_http_transfer_finish(struct ha_http_transfer *transfer, CURLcode result);
/* What was prepared, of one that was not begun. */
void ha_http_transfer_drop(struct ha_http_transfer *transfer);

static inline const char *text_or(const char *text, const char *other)
{
    return text ? text : other;
}

#endif
