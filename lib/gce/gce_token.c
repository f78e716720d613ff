/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From credentials to an access token. A token is used until 3 min 45 s before
 * its end, as Google's libraries do. What a token endpoint says is quoted in
 * errors (error, error_description); what was sent to it never is.
 */
#include "lib/gce/gce_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/file.h"
#include "lib/json.h"

#define AUDIENCE         "https://oauth2.googleapis.com/token"
#define EARLY_MS         225000
#define TOKEN_FILE_MS    60000 /* whoever keeps the file fresh may do it at any time */
#define TOKEN_FILE_LIMIT ((size_t)16 << 10)

void gce_token_clear(struct gce_token *token)
{
    ha_secret_free(token->text, token->text ? strlen(token->text) : 0);
    token->text = NULL;
    token->refresh_ms = 0;
}

static int keep_token(struct gce *gce, struct hactl_call *call, const char *text, int64_t lifetime_ms)
{
    int64_t early_ms = lifetime_ms > 2 * EARLY_MS ? EARLY_MS : lifetime_ms / 2;

    gce_token_clear(&gce->token);
    for (const char *at = text; *at; at++)
        if (!isgraph((unsigned char)*at))
            return gce_denied(gce, call, "the token has characters that no token has");
    gce->token.text = strdup(text);
    gce->token.refresh_ms = gce_now_ms() + lifetime_ms - early_ms;
    return gce->token.text ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

/* ---- an answer of a token endpoint ----------------------------------------------- */

static const char *hint(const char *error)
{
    if (strcmp(error, "invalid_grant") == 0)
        return "; the account or key may be disabled or deleted, the login revoked, or this machine's clock wrong";
    if (strcmp(error, "invalid_client") == 0)
        return "; the client is not known: log in again";
    return "";
}

static int refused(struct gce *gce, struct hactl_call *call, const char *where, const struct ha_http_response *response,
                   const json_t *json)
{
    const json_t *object = json_object_get(json, "error");
    const char *error = json_is_string(object) ? json_string_value(object) : ha_json_string(object, "status");
    const char *words =
        json_is_string(object) ? ha_json_string(json, "error_description") : ha_json_string(object, "message");

    if (response->status >= 500 || response->status == 408 || response->status == 429) {
        gce->host->retry_after(call, response->retry_after_ms ? response->retry_after_ms : 1000);
        return gce->host->fail(call, HACTL_E_UNAVAILABLE, "%s answered %ld to a request for a token", where,
                               response->status);
    }
    return gce_denied(gce, call, "%s gave no token (status %ld): %.80s%s%.300s%s", where, response->status,
                      error ? error : "no reason given", words ? ": " : "", words ? words : "",
                      hint(error ? error : ""));
}

static int take_token(struct gce *gce, struct hactl_call *call, const char *where,
                      const struct ha_http_response *response, const json_t *json)
{
    const char *token = ha_json_string(json, "access_token");
    int64_t lifetime_s = ha_json_i64(json, "expires_in");

    if (response->status != 200)
        return refused(gce, call, where, response, json);
    if (!token)
        return gce_denied(gce, call, "the answer of %s holds no access_token", where);
    return keep_token(gce, call, token, (lifetime_s > 0 ? lifetime_s : 300) * 1000);
}

static int unreached(struct gce *gce, struct hactl_call *call, const struct ha_http_response *response)
{
    /* Asking for a token changes nothing: repeating is always right. */
    int code = response->code == HACTL_E_TIMEOUT ? HACTL_E_UNAVAILABLE : response->code;

    return gce->host->fail(call, code, "no token was had: %s", response->error);
}

/* The body is zeroized with the response; jansson's copy goes here. */
void gce_forget_answer(json_t *json)
{
    static const char *const names[] = {"access_token", "accessToken", "id_token", "saml_response"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = json_string_value(json_object_get(json, names[i]));
        if (text)
            explicit_bzero((char *)(uintptr_t)text, strlen(text));
    }
    json_decref(json);
}

int gce_token_post_form(struct gce *gce, struct hactl_call *call, const char *body)
{
    struct gce_exchange ask = {
        .method = "POST", .path = "", .body = body, .content_type = "application/x-www-form-urlencoded"};
    struct ha_http_response response = {0};
    json_t *json = NULL;
    int rc;

    if (gce->token_url_set)
        ask.url = gce->token_endpoint;
    else if (!gce_url_parse(gce->credential.token_url, &ask.url))
        return gce_denied(gce, call, "its token_uri is no URL");
    gce_ask(gce, call, &ask, &response, &json);
    rc = response.code == HACTL_OK ? take_token(gce, call, ask.url.host, &response, json)
                                   : unreached(gce, call, &response);
    gce_forget_answer(json);
    ha_http_response_clear(&response);
    return rc;
}

/* ---- the flows ---------------------------------------------------------------------- */

static int from_file(struct gce *gce, struct hactl_call *call)
{
    char *text = NULL;
    size_t size = 0, length;
    int rc = ha_file_read(gce->credential.path, TOKEN_FILE_LIMIT, &text, &size);

    if (rc < 0)
        return gce_denied(gce, call, "%s", strerror(-rc));
    length = strcspn(text, "\r\n");
    text[length] = '\0';
    if (length == 0)
        rc = gce_denied(gce, call, "it is empty");
    else
        rc = keep_token(gce, call, text, 2 * TOKEN_FILE_MS);
    ha_secret_free(text, size);
    return rc;
}

static int from_metadata(struct gce *gce, struct hactl_call *call)
{
    static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
    struct gce_exchange ask = {.url = gce->metadata,
                               .method = "GET",
                               .path = "/computeMetadata/v1/instance/service-accounts/default/token",
                               .headers = headers,
                               .wanted_header = headers[0]};
    struct ha_http_response response = {0};
    json_t *json = NULL;
    int rc;

    gce_ask(gce, call, &ask, &response, &json);
    if (response.code == HACTL_E_CANCELLED)
        rc = unreached(gce, call, &response);
    else if (response.code != HACTL_OK && gce->credential.searched)
        rc = gce->host->fail(call, HACTL_E_DENIED, "no credentials were found (%s); %s", response.error,
                             gce_credentials_order());
    else if (response.code != HACTL_OK)
        rc = gce_denied(gce, call, "%s; credentials = \"metadata\" works on a VM of Compute Engine only",
                        response.error);
    else if (!response.has_wanted_header)
        rc = gce_denied(gce, call, "what answers there is no metadata server: it did not say Metadata-Flavor: Google");
    else if (response.status == 404)
        rc = gce_denied(gce, call, "this VM has no service account: give it one, or set credentials_file");
    else
        rc = take_token(gce, call, gce->metadata.host, &response, json);
    gce_forget_answer(json);
    ha_http_response_clear(&response);
    return rc;
}

static int from_service_account(struct gce *gce, struct hactl_call *call)
{
    struct gce_credential *credential = &gce->credential;
    int64_t now_s = (int64_t)time(NULL);
    json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", credential->email, "scope", GCE_SCOPE, "aud",
                               AUDIENCE, "iat", (json_int_t)now_s, "exp", (json_int_t)now_s + 3600);
    char *text = claims ? ha_json_text(claims) : NULL, *body = NULL, *jwt = NULL, error[120] = "no memory";
    int rc;

    jwt = text ? gce_jwt_sign(credential->private_key, credential->key_id, text, error, sizeof(error)) : NULL;
    if (!jwt)
        rc = gce_denied(gce, call, "%s", error);
    else if (asprintf(&body, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%s",
                      jwt) < 0)
        rc = gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    else
        rc = gce_token_post_form(gce, call, body);
    ha_secret_free(jwt, jwt ? strlen(jwt) : 0);
    ha_secret_free(body, body ? strlen(body) : 0);
    free(text);
    json_decref(claims);
    return rc;
}

static int from_user(struct gce *gce, struct hactl_call *call)
{
    struct gce_credential *credential = &gce->credential;
    char *id = gce_escape(credential->client_id), *secret = gce_escape(credential->client_secret),
         *refresh = gce_escape(credential->refresh_token), *body = NULL;
    int rc;

    if (!id || !secret || !refresh ||
        asprintf(&body, "grant_type=refresh_token&client_id=%s&client_secret=%s&refresh_token=%s", id, secret,
                 refresh) < 0)
        rc = gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    else
        rc = gce_token_post_form(gce, call, body);
    free(id);
    ha_secret_free(secret, secret ? strlen(secret) : 0);
    ha_secret_free(refresh, refresh ? strlen(refresh) : 0);
    ha_secret_free(body, body ? strlen(body) : 0);
    return rc;
}

/* ---- impersonation ------------------------------------------------------------------- */

/* "2026-11-25T15:00:00Z"; 0 when it is no such time. */
static int64_t seconds_until(const char *text)
{
    struct tm when = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &when) : NULL;

    return rest ? (int64_t)timegm(&when) - (int64_t)time(NULL) : 0;
}

static int take_impersonated(struct gce *gce, struct hactl_call *call, const struct ha_http_response *response,
                             const json_t *json)
{
    const char *token = ha_json_string(json, "accessToken");
    int64_t lifetime_s = seconds_until(ha_json_string(json, "expireTime"));

    if (response->status == 403 || response->status == 404)
        return gce_denied(gce, call,
                          "may not act as %s: %.200s; it needs the role roles/iam.serviceAccountTokenCreator on that "
                          "account",
                          gce->credential.impersonate,
                          ha_json_string(json_object_get(json, "error"), "message")
                              ? ha_json_string(json_object_get(json, "error"), "message")
                              : "refused");
    if (response->status != 200)
        return refused(gce, call, gce->iam.host, response, json);
    if (!token)
        return gce_denied(gce, call, "the answer of %s holds no accessToken", gce->iam.host);
    return keep_token(gce, call, token, (lifetime_s > 0 ? lifetime_s : 300) * 1000);
}

static int impersonate(struct gce *gce, struct hactl_call *call)
{
    struct gce_credential *credential = &gce->credential;
    json_t *wanted = json_pack("{s:[s], s:s}", "scope", GCE_SCOPE, "lifetime", "3600s"), *json = NULL;
    struct gce_exchange ask = {.url = gce->iam, .method = "POST", .bearer = gce->token.text};
    struct ha_http_response response = {0};
    char *path = NULL, *body = NULL;
    int rc;

    if (wanted && credential->delegates)
        json_object_set(wanted, "delegates", credential->delegates);
    body = wanted ? ha_json_text(wanted) : NULL;
    if (!body ||
        asprintf(&path, "/v1/projects/-/serviceAccounts/%s:generateAccessToken", credential->impersonate) < 0) {
        rc = gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    } else {
        ask.path = path;
        ask.body = body;
        gce_ask(gce, call, &ask, &response, &json);
        rc =
            response.code == HACTL_OK ? take_impersonated(gce, call, &response, json) : unreached(gce, call, &response);
    }
    gce_forget_answer(json);
    ha_http_response_clear(&response);
    json_decref(wanted);
    free(path);
    free(body);
    return rc;
}

int gce_token_fetch(struct gce *gce, struct hactl_call *call)
{
    struct gce_credential *credential = &gce->credential;
    int rc = HACTL_E_INTERNAL;

    switch (credential->kind) {
    case GCE_CREDENTIAL_NONE:
        return HACTL_OK;
    case GCE_CREDENTIAL_TOKEN_FILE:
        rc = from_file(gce, call);
        break;
    case GCE_CREDENTIAL_METADATA:
        rc = from_metadata(gce, call);
        break;
    case GCE_CREDENTIAL_SERVICE_ACCOUNT:
        rc = from_service_account(gce, call);
        break;
    case GCE_CREDENTIAL_AUTHORIZED_USER:
        rc = from_user(gce, call);
        break;
    case GCE_CREDENTIAL_EXTERNAL:
        rc = gce_federation_fetch(gce, call);
        break;
    }
    if (rc == HACTL_OK && credential->impersonate)
        rc = impersonate(gce, call);
    if (rc != HACTL_OK)
        gce_token_clear(&gce->token);
    return rc;
}
