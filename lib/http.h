/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over libcurl for plugins.
 *
 * A client belongs to one plugin instance and is used by one thread at a
 * time. An endpoint is one address with its TLS identity and keeps its
 * connection between requests. Requests to several endpoints run side by
 * side. Proxy variables of the environment are ignored unless an endpoint asks
 * for them, redirects are not followed. libcurl asks again by itself when a kept connection ends before a
 * byte of the answer, though the request may have been read there: only what
 * may be asked twice goes over a kept connection.
 */
#ifndef HACTL_LIB_HTTP_H
#define HACTL_LIB_HTTP_H

#include <hactl/plugin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ha_http_client;
struct ha_http_endpoint;

struct ha_http_identity {
    const char *host; /* address to connect to */
    uint16_t port;
    const char *verify;           /* optional; the name or address that the certificate must carry; NULL: host */
    const char *authority_file;   /* optional; NULL: the system's */
    const char *certificate_file; /* optional, together with key_file */
    const char *key_file;
    bool plain;    /* http; for metadata servers and tests */
    bool proxied;  /* through the proxy that https_proxy and the like name for it, if any */
    unsigned lane; /* one endpoint asks one thing at a time; other lanes are other connections to the same address */
};

struct ha_http_request {
    const char *method; /* "GET" */
    const char *path;   /* from the first slash; a query is never logged */
    const char *body;   /* optional */
    size_t body_size;
    const char *content_type;   /* optional; with a body, NULL is application/json */
    const char *const *headers; /* optional; "Name: value", ends with NULL; never logged */
    const char *bearer;         /* optional; secret */
    const char *wanted_header;  /* optional; "Name: value"; whether the answer had it is in the response */
    uint32_t timeout_ms;        /* 0: until the call's deadline; never beyond that */
    uint32_t stall_timeout_ms;  /* optional; for streams: no byte for so long */
    size_t response_limit;      /* 0: 4 MiB; of a body that is kept */
    bool fresh;                 /* a connection of its own, nothing of an earlier one reused */
    bool version_2;             /* HTTP/2, over a connection of its own; what gRPC is spoken over */
    /* Asked twice it does what it does once. So are GET and HEAD; all else has
     * to say so, or pays for a connection of its own. */
    bool repeatable;
    /* Optional; takes the body of a 2xx answer as it comes. False ends the
     * exchange with HACTL_E_INTERNAL; the taker knows why. */
    bool (*take)(void *taker, const char *bytes, size_t size);
    void *taker;
};

/* `code` HACTL_OK: an answer came whole, whatever its status.
 * HACTL_E_UNAVAILABLE: nothing was sent. HACTL_E_DENIED: TLS refused one side,
 * or a proxy refused to lead there.
 * HACTL_E_TIMEOUT: it was sent, the outcome is unknown; HACTL_E_CANCELLED: so
 * too, the user asked to stop. */
struct ha_http_response {
    int code;
    char error[512]; /* one line, with the address; empty with HACTL_OK */
    long status;
    char *body; /* NUL-terminated; NULL when empty */
    size_t size;
    uint32_t retry_after_ms; /* from the header; 0: none */
    bool has_wanted_header;
    uint32_t elapsed_ms;
};

/* One request under way. `next`, when set, is called after each answer; it may
 * change `request` and return true for another one over the same endpoint
 * (`response` is then cleared first). */
struct ha_http_exchange {
    struct ha_http_endpoint *endpoint;
    struct ha_http_request request;
    struct ha_http_response response;
    bool (*next)(struct ha_http_exchange *exchange);
    void *user;
};

/* Called from a plugin's `open` and `close`. NULL: no memory. */
struct ha_http_client *ha_http_client_new(void);
void ha_http_client_free(struct ha_http_client *client); /* frees its endpoints; accepts NULL */

/* The endpoint of that identity, made at its first use; valid until the
 * client is freed. NULL: no memory. */
struct ha_http_endpoint *ha_http_endpoint(struct ha_http_client *client, const struct ha_http_identity *identity);
const char *ha_http_endpoint_name(const struct ha_http_endpoint *endpoint); /* "127.80.1.1:2379" */

/* Runs all to their end, side by side; logs one line for each at debug level. */
void ha_http_run(struct ha_http_client *client, const struct hactl_host *host, struct hactl_call *call,
                 struct ha_http_exchange *exchanges, size_t count);

/* The body and what it may tell are zeroized. Accepts a cleared response. */
void ha_http_response_clear(struct ha_http_response *response);

#endif
