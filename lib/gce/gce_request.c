/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: authenticated, named by their intent, side by side, judged. */
#include "lib/gce/gce_internal.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/file.h"
#include "lib/json.h"

#define METADATA_TIMEOUT_MS 3000 /* not on a VM: its address answers nobody */

/* ---- outside the Compute API ------------------------------------------------------ */

void gce_ask(struct gce *gce, struct hactl_call *call, const struct gce_exchange *ask,
             struct ha_http_response *response, json_t **json)
{
    struct ha_http_exchange exchange = {0};
    char *path = NULL, error[160];
    bool metadata = strcmp(ask->url.host, gce->metadata.host) == 0 && ask->wanted_header;

    *json = NULL;
    exchange.endpoint = gce_endpoint(gce, &ask->url, 0);
    if (!exchange.endpoint || asprintf(&path, "%s%s", ask->url.path, ask->path) < 0) {
        response->code = HACTL_E_INTERNAL;
        snprintf(response->error, sizeof(response->error), "no memory");
        return;
    }
    exchange.request = (struct ha_http_request){.method = ask->method,
                                                .path = path[0] ? path : "/",
                                                .body = ask->body,
                                                .body_size = ask->body ? strlen(ask->body) : 0,
                                                .content_type = ask->content_type,
                                                .headers = ask->headers,
                                                .bearer = ask->bearer,
                                                .repeatable = true, /* nothing of this changes anything */
                                                .wanted_header = ask->wanted_header};
    exchange.request.timeout_ms =
        metadata ? METADATA_TIMEOUT_MS : (uint32_t)gce->host->conf_integer(gce->conf, "request_timeout_ms");
    ha_http_run(gce->http, gce->host, call, &exchange, 1);
    if (exchange.response.body)
        *json = ha_json_parse(exchange.response.body, exchange.response.size, error, sizeof(error));
    *response = exchange.response;
    free(path);
}

/* ---- credentials and project --------------------------------------------------------- */

int gce_authenticate(struct gce *gce, struct hactl_call *call)
{
    int rc = gce_credentials_find(gce, call);

    if (rc != HACTL_OK || gce->credential.kind == GCE_CREDENTIAL_NONE)
        return rc;
    if (gce->token.text && gce_now_ms() < gce->token.refresh_ms)
        return HACTL_OK;
    return gce_token_fetch(gce, call);
}

const char *gce_identity(const struct gce *gce)
{
    return gce->credential.from;
}

static int ask_project(struct gce *gce, struct hactl_call *call)
{
    static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
    struct gce_exchange ask = {.url = gce->metadata,
                               .method = "GET",
                               .path = "/computeMetadata/v1/project/project-id",
                               .headers = headers,
                               .wanted_header = headers[0]};
    struct ha_http_response response = {0};
    json_t *json = NULL;

    gce_ask(gce, call, &ask, &response, &json);
    if (response.code == HACTL_OK && response.status == 200 && response.body &&
        strlen(response.body) < sizeof(gce->project))
        snprintf(gce->project, sizeof(gce->project), "%s", response.body);
    json_decref(json);
    ha_http_response_clear(&response);
    if (gce->project[0])
        return HACTL_OK;
    return gce->host->fail(call, HACTL_E_INVALID,
                           "which project? Set `project`, or the environment variable "
                           "CLOUDSDK_CORE_PROJECT");
}

int gce_project(struct gce *gce, struct hactl_call *call, const char **project)
{
    int rc = HACTL_OK;

    if (!gce->project[0]) {
        rc = gce_credentials_find(gce, call);
        if (rc == HACTL_OK && gce->credential.project && strlen(gce->credential.project) < sizeof(gce->project))
            snprintf(gce->project, sizeof(gce->project), "%s", gce->credential.project);
        else if (rc == HACTL_OK)
            rc = ask_project(gce, call);
    }
    if (rc == HACTL_OK && project)
        *project = gce->project;
    return rc;
}

/* ---- request ids ------------------------------------------------------------------------ */

bool gce_id_is_in(char (*list)[GCE_UUID], size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], id) == 0)
            return true;
    return false;
}

/* Without memory an id is merely not remembered. */
void gce_id_keep(char (**list)[GCE_UUID], size_t *count, const char *id)
{
    char(*more)[GCE_UUID];

    if (!id || strlen(id) >= GCE_UUID || gce_id_is_in(*list, *count, id))
        return;
    more = reallocarray(*list, *count + 1, sizeof(**list));
    if (!more)
        return;
    *list = more;
    snprintf(more[(*count)++], GCE_UUID, "%s", id);
}

static void uuid_text(unsigned char b[16], char out[GCE_UUID])
{
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4: what Google's rules for request ids (AIP-155) name */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, GCE_UUID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
             b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static bool derive(const char *intent, const struct gce_request *request, const char *body, unsigned attempt,
                   char out[GCE_UUID])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char bytes[EVP_MAX_MD_SIZE];
    /* With their NULs, so that no two lists of texts are one. */
    bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(digest, intent, strlen(intent) + 1) == 1 &&
              EVP_DigestUpdate(digest, request->method, strlen(request->method) + 1) == 1 &&
              EVP_DigestUpdate(digest, request->path, strlen(request->path) + 1) == 1 &&
              EVP_DigestUpdate(digest, body, strlen(body) + 1) == 1 &&
              EVP_DigestUpdate(digest, &attempt, sizeof(attempt)) == 1 && EVP_DigestFinal_ex(digest, bytes, NULL) == 1;

    EVP_MD_CTX_free(digest);
    if (ok)
        uuid_text(bytes, out);
    return ok;
}

/* Google answers a repeated id with the operation of the first time, even if
 * that has failed: an id whose operation failed is spent. */
void gce_request_id(struct gce *gce, struct hactl_call *call, const struct gce_request *request, char out[GCE_UUID])
{
    const char *intent = gce->host->intent(call);
    char *body = intent && request->body ? json_dumps(request->body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    unsigned char random[16];

    if (intent)
        for (unsigned attempt = 0; derive(intent, request, body ? body : "", attempt, out); attempt++)
            if (!gce_id_is_in(gce->spent, gce->spent_count, out)) {
                free(body);
                return;
            }
    free(body);
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        abort();
    uuid_text(random, out);
}

/* ---- making requests ------------------------------------------------------------------------ */

void gce_prepare(struct gce_request *request, const char *method, json_t *body, const char *format, ...)
{
    va_list arguments;
    int length;

    memset(request, 0, sizeof(*request));
    request->method = method;
    request->body = body;
    request->changes = strcmp(method, "GET") != 0;
    va_start(arguments, format);
    length = vsnprintf(request->path, sizeof(request->path), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(request->path))
        request->path[0] = '\0'; /* found by gce_run */
}

/* Values of metadata may be private keys, and jansson frees them as they are. */
static void forget_metadata(json_t *body)
{
    size_t index;
    json_t *entry;

    if (!body || body->refcount != 1)
        return;
    json_array_foreach(json_object_get(body, "items"), index, entry)
    {
        const char *value = json_string_value(json_object_get(entry, "value"));
        if (value && entry->refcount == 1 && strncmp(value, "payload ", 8) == 0)
            explicit_bzero((char *)(uintptr_t)value, strlen(value));
    }
}

void gce_request_clear(struct gce_request *request)
{
    forget_metadata(request->body);
    json_decref(request->body);
    json_decref(request->json);
    memset(request, 0, sizeof(*request));
}

char *gce_escape(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = malloc(strlen(text) * 3 + 1), *at = out;

    for (; out && *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
            strchr("-_.~", byte)) {
            *at++ = (char)byte;
        } else {
            *at++ = '%';
            *at++ = hex[byte >> 4];
            *at++ = hex[byte & 15];
        }
    }
    if (out)
        *at = '\0';
    return out;
}

/* ---- running them ------------------------------------------------------------------------------ */

/* What one request needs while it is under way. */
struct flight {
    char *path, *body;
    char id[GCE_UUID], quota_header[160];
    const char *headers[2];
};

static void flight_clear(struct flight *flight)
{
    free(flight->path);
    ha_secret_free(flight->body, flight->body ? strlen(flight->body) : 0); /* may be metadata with keys */
    memset(flight, 0, sizeof(*flight));
}

static bool flight_prepare(struct gce *gce, struct hactl_call *call, struct gce_request *request, struct flight *flight)
{
    const char *query = strchr(request->path, '?') ? "&" : "?";
    char id[GCE_UUID + 16] = "";
    int length;

    if (request->changes) {
        gce_request_id(gce, call, request, flight->id);
        snprintf(id, sizeof(id), "%srequestId=%s", query, flight->id);
    }
    if (request->path[0] == '/')
        length = asprintf(&flight->path, "%s%s%s", gce->api.path, request->path, id);
    else
        length = asprintf(&flight->path, "%s/projects/%s%s%s%s", gce->api.path, gce->project,
                          request->path[0] == '.' ? "" : "/", request->path[0] == '.' ? "" : request->path, id);
    if (length < 0)
        flight->path = NULL;
    if (request->body)
        flight->body = ha_json_text(request->body);
    if (gce->credential.quota_project) {
        snprintf(flight->quota_header, sizeof(flight->quota_header), "x-goog-user-project: %.120s",
                 gce->credential.quota_project);
        flight->headers[0] = flight->quota_header;
    }
    return flight->path && (!request->body || flight->body);
}

static void fill_exchange(struct gce *gce, const struct gce_request *request, const struct flight *flight,
                          unsigned lane, struct ha_http_exchange *exchange)
{
    exchange->endpoint = gce_endpoint(gce, &gce->api, lane);
    exchange->request = (struct ha_http_request){
        .method = request->method,
        .path = flight->path,
        /* A POST without a body still says that there is none. */
        .body = flight->body                           ? flight->body
                : strcmp(request->method, "POST") == 0 ? ""
                                                       : NULL,
        .body_size = flight->body ? strlen(flight->body) : 0,
        .headers = flight->headers,
        .bearer = gce->token.text,
        .response_limit = (size_t)16 << 20,
        .repeatable = true, /* its id makes a repeated request the same request */
        .timeout_ms = (uint32_t)gce->host->conf_integer(gce->conf, "request_timeout_ms"),
    };
}

static void set_error(struct gce_request *request, int code, const char *text)
{
    request->code = code;
    snprintf(request->error, sizeof(request->error), "%s", text);
}

/* An operation that has failed already is the answer to an id that an earlier
 * process used: that id is spent, and asking again means asking anew. */
static bool is_memory(struct gce *gce, const struct gce_request *request, const struct flight *flight)
{
    const char *status = ha_json_string(request->json, "status");

    if (!request->changes || request->code != HACTL_OK || !status || strcmp(status, "DONE") != 0 ||
        !json_object_get(request->json, "error"))
        return false;
    gce_id_keep(&gce->spent, &gce->spent_count, flight->id);
    return !gce_id_is_in(gce->sent, gce->sent_count, flight->id);
}

static void take_answer(struct gce *gce, struct gce_request *request, struct ha_http_response *response)
{
    char error[160];

    request->status = response->status;
    request->retry_after_ms = response->retry_after_ms;
    if (response->code != HACTL_OK) {
        /* Reading changes nothing, so its outcome does not matter. */
        int code = response->code == HACTL_E_TIMEOUT && !request->changes ? HACTL_E_UNAVAILABLE : response->code;
        set_error(request, code, response->error);
        return;
    }
    request->json = response->body ? ha_json_parse(response->body, response->size, error, sizeof(error)) : NULL;
    if (response->status < 200 || response->status > 299) {
        gce_explain_answer(gce, request);
        return;
    }
    gce->rate_limited = 0;
    request->code = HACTL_OK;
    if (!json_is_object(request->json))
        set_error(request, request->changes ? HACTL_E_TIMEOUT : HACTL_E_UNAVAILABLE,
                  "the answer is no JSON object: is that the Compute API?");
}

/* Up to GCE_LANES at once. True: some of it was refused for its token. */
static bool run_wave(struct gce *gce, struct hactl_call *call, struct gce_request **wave, struct flight *flights,
                     size_t count)
{
    struct ha_http_exchange exchanges[GCE_LANES];
    struct gce_request *ready[GCE_LANES];
    bool unauthorized = false;
    size_t used = 0;

    memset(exchanges, 0, sizeof(exchanges));
    for (size_t i = 0; i < count; i++) {
        if (wave[i]->path[0] == '\0') {
            set_error(wave[i], HACTL_E_INVALID, "its path is too long");
        } else if (!flight_prepare(gce, call, wave[i], &flights[i])) {
            set_error(wave[i], HACTL_E_INTERNAL, "no memory");
        } else {
            fill_exchange(gce, wave[i], &flights[i], (unsigned)used, &exchanges[used]);
            ready[used] = wave[i];
            if (!exchanges[used].endpoint)
                set_error(wave[i], HACTL_E_INTERNAL, "no memory");
            else
                used++;
        }
    }
    ha_http_run(gce->http, gce->host, call, exchanges, used);
    for (size_t i = 0; i < used; i++) {
        take_answer(gce, ready[i], &exchanges[i].response);
        unauthorized |= ready[i]->status == 401;
        ha_http_response_clear(&exchanges[i].response);
    }
    return unauthorized;
}

/* Requests of `list` that are to be asked once more, at the front of it. */
static size_t select_again(struct gce *gce, struct gce_request **list, struct flight *flights, size_t count,
                           bool unauthorized, bool last)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool again = is_memory(gce, list[i], &flights[i]) || (unauthorized && list[i]->status == 401);

        if (list[i]->changes && flights[i].id[0])
            gce_id_keep(&gce->sent, &gce->sent_count, flights[i].id);
        flight_clear(&flights[i]);
        if (!again || last)
            continue;
        json_decref(list[i]->json);
        list[i]->json = NULL;
        list[i]->error[0] = list[i]->reason[0] = '\0';
        list[kept++] = list[i];
    }
    return kept;
}

static int run_lanes(struct gce *gce, struct hactl_call *call, struct gce_request **wave, size_t count)
{
    struct flight flights[GCE_LANES];
    bool refreshed = false;

    memset(flights, 0, sizeof(flights));
    for (int round = 0; count > 0 && round < 2; round++) {
        bool unauthorized = run_wave(gce, call, wave, flights, count);

        count = select_again(gce, wave, flights, count,
                             unauthorized && !refreshed && gce->credential.kind != GCE_CREDENTIAL_NONE, round == 1);
        if (count > 0 && unauthorized && !refreshed) {
            int rc;

            refreshed = true;
            gce_token_clear(&gce->token);
            rc = gce_authenticate(gce, call);
            if (rc != HACTL_OK)
                return rc;
        }
    }
    return HACTL_OK;
}

int gce_run(struct gce *gce, struct hactl_call *call, struct gce_request *requests, size_t count)
{
    struct gce_request *wave[GCE_LANES];
    int rc = gce_authenticate(gce, call);

    if (rc == HACTL_OK)
        rc = gce_project(gce, call, NULL);
    for (size_t i = 0; rc == HACTL_OK && i < count;) {
        size_t used = 0;

        while (i < count && used < GCE_LANES)
            wave[used++] = &requests[i++];
        rc = run_lanes(gce, call, wave, used);
    }
    return rc;
}

static int fail_as(struct gce *gce, struct hactl_call *call, const struct gce_request *request, int code,
                   const char *format, va_list arguments)
{
    char what[200];

    vsnprintf(what, sizeof(what), format, arguments);
    if (request->retry_after_ms)
        gce->host->retry_after(call, request->retry_after_ms);
    return gce->host->fail(call, code ? code : HACTL_E_INTERNAL, "%s: %s", what, request->error);
}

int gce_fail_as(struct gce *gce, struct hactl_call *call, const struct gce_request *request, int code,
                const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    code = fail_as(gce, call, request, code, format, arguments);
    va_end(arguments);
    return code;
}

int gce_fail(struct gce *gce, struct hactl_call *call, const struct gce_request *request, const char *format, ...)
{
    va_list arguments;
    int code;

    va_start(arguments, format);
    code = fail_as(gce, call, request, request->code, format, arguments);
    va_end(arguments);
    return code;
}

int gce_get(struct gce *gce, struct hactl_call *call, json_t **out, const char *format, ...)
{
    struct gce_request request;
    va_list arguments;
    char path[GCE_PATH];
    int rc;

    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    gce_prepare(&request, "GET", NULL, "%s", path);
    rc = gce_run(gce, call, &request, 1);
    if (rc == HACTL_OK)
        rc = request.code;
    if (rc == HACTL_OK)
        *out = json_incref(request.json);
    else if (request.code && request.code != HACTL_E_NOT_FOUND)
        rc = gce_fail(gce, call, &request, "%s", path);
    gce_request_clear(&request);
    return rc;
}
