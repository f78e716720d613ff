/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload identity federation (credentials of type external_account): a token
 * of somebody else's, from a file, a server or a program, is exchanged for one
 * of Google's (RFC 8693). The program runs only where the environment allows
 * it by name, as with Google's own libraries: the file that names it may come
 * from anywhere.
 */
#include "lib/gce/gce_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/process.h"

#define ALLOW         "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"
#define TOKEN_LIMIT   ((size_t)64 << 10)
#define HEADERS_MAX   16
#define ARGUMENTS_MAX 32

static const char token_exchange[] = "urn:ietf:params:oauth:grant-type:token-exchange",
                  access_token[] = "urn:ietf:params:oauth:token-type:access_token";

static void forget(char **text)
{
    ha_secret_free(*text, *text ? strlen(*text) : 0);
    *text = NULL;
}

/* ---- what the file says ----------------------------------------------------- */

static bool is_tls_or_near(const char *text)
{
    struct gce_url url;
    char authority[300];
    const char *host = strstr(text, "://");

    if (!host)
        return false;
    snprintf(authority, sizeof(authority), "%.*s", (int)(host + 3 + strcspn(host + 3, "/?#") - text), text);
    return gce_url_parse(authority, &url) && (!url.plain || gce_url_is_near(&url));
}

static int check_source(struct gce *gce, struct hactl_call *call, const json_t *source)
{
    const char *url = ha_json_string(source, "url"), *environment = ha_json_string(source, "environment_id");
    const json_t *format = json_object_get(source, "format");
    const char *type = ha_json_string(format, "type");

    if (environment)
        return gce_denied(
            gce, call,
            "its credential_source is \"%.40s\", which is not supported: use one with a file, a url or an "
            "executable, or access_token_file with a token that something else keeps fresh",
            environment);
    if (type && strcmp(type, "text") != 0 && strcmp(type, "json") != 0)
        return gce_denied(gce, call, "the format of its credential_source is \"%.40s\": only text and json are known",
                          type);
    if (type && strcmp(type, "json") == 0 && !ha_json_string(format, "subject_token_field_name"))
        return gce_denied(gce, call, "its credential_source has no subject_token_field_name");
    if (url && !is_tls_or_near(url))
        return gce_denied(gce, call, "the url of its credential_source is no https URL");
    if (url || ha_json_string(source, "file") || ha_json_string(json_object_get(source, "executable"), "command"))
        return HACTL_OK;
    return gce_denied(
        gce, call, "its credential_source names neither a file nor a url nor an executable, and hactl knows no other");
}

static int copy_needed(struct gce *gce, struct hactl_call *call, const json_t *json, const char *name, char **out)
{
    const char *text = ha_json_string(json, name);

    if (!text)
        return gce_denied(
            gce, call, "it has no \"%s\": make it again with \"gcloud iam workload-identity-pools create-cred-config\"",
            name);
    *out = strdup(text);
    return *out ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

int gce_federation_take(struct gce *gce, struct hactl_call *call, const json_t *json)
{
    struct gce_credential *credential = &gce->credential;
    const char *impersonation = ha_json_string(json, "service_account_impersonation_url"), *email;
    const json_t *source = json_object_get(json, "credential_source");
    const char *quota_project = ha_json_string(json, "quota_project_id");
    int rc;

    credential->kind = GCE_CREDENTIAL_EXTERNAL;
    rc = copy_needed(gce, call, json, "audience", &credential->audience);
    if (rc == HACTL_OK)
        rc = copy_needed(gce, call, json, "subject_token_type", &credential->subject_type);
    if (rc == HACTL_OK)
        rc = copy_needed(gce, call, json, "token_url", &credential->token_url);
    if (rc == HACTL_OK && !is_tls_or_near(credential->token_url))
        return gce_denied(gce, call, "its token_url is no https URL, and would send the credentials in the clear");
    if (rc == HACTL_OK && ha_json_string(json, "client_id"))
        return gce_denied(gce, call, "it logs in with a client_id, which is not supported");
    if (rc == HACTL_OK)
        rc = check_source(gce, call, source);
    if (rc != HACTL_OK)
        return rc;
    credential->source = json_deep_copy(source);
    credential->quota_project = quota_project ? strdup(quota_project) : NULL;
    if (!impersonation)
        return credential->source ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    email = strstr(impersonation, "/serviceAccounts/");
    if (!email)
        return gce_denied(gce, call, "its service_account_impersonation_url names no service account");
    email += strlen("/serviceAccounts/");
    credential->impersonate = strndup(email, strcspn(email, ":/"));
    return credential->source && credential->impersonate ? HACTL_OK
                                                         : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

/* ---- the token of somebody else's --------------------------------------------- */

/* Text or JSON, as the source's format says. `where` for people. */
static int take_subject(struct gce *gce, struct hactl_call *call, const char *where, const char *text, size_t size,
                        char **out)
{
    const json_t *format = json_object_get(gce->credential.source, "format");
    const char *field = ha_json_string(format, "subject_token_field_name"), *type = ha_json_string(format, "type");
    const char *found = NULL;
    char error[160];
    json_t *json = NULL;

    if (type && strcmp(type, "json") == 0) {
        json = ha_json_parse(text, size, error, sizeof(error));
        explicit_bzero(error, sizeof(error)); /* it may quote the token */
        found = json_is_object(json) ? ha_json_string(json, field) : NULL;
        *out = found ? strdup(found) : NULL;
        if (found)
            explicit_bzero((char *)(uintptr_t)found, strlen(found));
        json_decref(json);
        return *out ? HACTL_OK : gce_denied(gce, call, "%s holds no JSON with a \"%.60s\"", where, field);
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r' || text[size - 1] == ' '))
        size--;
    if (size == 0)
        return gce_denied(gce, call, "%s is empty", where);
    *out = strndup(text, size);
    return *out ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

static int subject_of_file(struct gce *gce, struct hactl_call *call, const char *path, char **out)
{
    char *text = NULL, where[400];
    size_t size = 0;
    int rc = ha_file_read(path, TOKEN_LIMIT, &text, &size);

    snprintf(where, sizeof(where), "its subject token file %.300s", path);
    if (rc < 0)
        return gce_denied(gce, call, "%s: %s", where, strerror(-rc));
    rc = take_subject(gce, call, where, text, size, out);
    ha_secret_free(text, size);
    return rc;
}

/* "Name: value" of each; NULL: no memory. Free with free_headers. */
static char **header_lines(const json_t *headers)
{
    char **lines = calloc(HEADERS_MAX + 1, sizeof(*lines));
    size_t count = 0;
    const char *name;
    json_t *value;

    if (!lines)
        return NULL;
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (count == HEADERS_MAX || !json_is_string(value) ||
            asprintf(&lines[count], "%s: %s", name, json_string_value(value)) < 0)
            break;
        count++;
    }
    lines[count] = NULL;
    return lines;
}

static void free_headers(char **lines)
{
    for (size_t i = 0; lines && lines[i]; i++)
        forget(&lines[i]);
    free(lines);
}

static int subject_of_url(struct gce *gce, struct hactl_call *call, const char *text, char **out)
{
    const char *rest = strstr(text, "://") + 3, *path = rest + strcspn(rest, "/?#");
    char **headers = header_lines(json_object_get(gce->credential.source, "headers")), authority[300], where[340];
    struct gce_exchange ask = {.method = "GET", .path = path, .headers = (const char *const *)headers};
    struct ha_http_response response = {0};
    json_t *json = NULL;
    int rc;

    snprintf(authority, sizeof(authority), "%.*s", (int)(path - text), text);
    if (!headers || !gce_url_parse(authority, &ask.url)) {
        free_headers(headers);
        return gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    }
    snprintf(where, sizeof(where), "the answer of %s", ask.url.host);
    gce_ask(gce, call, &ask, &response, &json);
    if (response.code != HACTL_OK)
        rc = gce->host->fail(call, response.code == HACTL_E_TIMEOUT ? HACTL_E_UNAVAILABLE : response.code,
                             "no subject token was had: %s", response.error);
    else if (response.status != 200)
        rc = gce_denied(gce, call, "%s gave no subject token (status %ld)", ask.url.host, response.status);
    else
        rc = take_subject(gce, call, where, response.body ? response.body : "", response.size, out);
    gce_forget_answer(json);
    ha_http_response_clear(&response);
    free_headers(headers);
    return rc;
}

/* ---- a program that gives one -------------------------------------------------- */

/* {"version": 1, "success": true, "token_type": ..., "id_token": ..., "expiration_time": ...} */
static int take_response(struct gce *gce, struct hactl_call *call, const json_t *json, char **out)
{
    const char *type = ha_json_string(json, "token_type");
    const char *token = ha_json_string(json, type && strstr(type, "saml2") ? "saml_response" : "id_token");
    int64_t until_s = ha_json_i64(json, "expiration_time");

    if (!json_is_object(json) || ha_json_i64(json, "version") != 1)
        return gce_denied(gce, call, "its executable did not answer with JSON of version 1");
    if (!json_is_true(json_object_get(json, "success")))
        return gce_denied(gce, call, "its executable gave no token: %.60s: %.200s",
                          ha_json_string(json, "code") ? ha_json_string(json, "code") : "no code",
                          ha_json_string(json, "message") ? ha_json_string(json, "message") : "no message");
    if (!type || !token)
        return gce_denied(gce, call, "the answer of its executable holds no token");
    if (until_s > 0 && until_s <= (int64_t)time(NULL))
        return gce_denied(gce, call, "the token that its executable gave has expired");
    *out = strdup(token);
    return *out ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

/* Through env(1): a plugin changes no environment. The variables hold no secret. */
static int run_executable(struct gce *gce, struct hactl_call *call, const char *command, unsigned timeout_ms,
                          char **output)
{
    const struct gce_credential *credential = &gce->credential;
    const char *argv[ARGUMENTS_MAX + 8] = {"env", "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0"};
    char *audience = NULL, *type = NULL, *email = NULL, *copy = strdup(command), *rest = NULL;
    size_t count = 2, first;
    int rc = -ENOMEM, status = 0;

    if (copy && asprintf(&audience, "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=%s", credential->audience) > 0 &&
        asprintf(&type, "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=%s", credential->subject_type) > 0 &&
        asprintf(&email, "GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL=%s",
                 credential->impersonate ? credential->impersonate : "") > 0) {
        argv[count++] = audience;
        argv[count++] = type;
        argv[count++] = email;
        first = count;
        for (char *word = strtok_r(copy, " ", &rest); word && count < first + ARGUMENTS_MAX;
             word = strtok_r(NULL, " ", &rest))
            argv[count++] = word;
        rc = ha_program_run(argv, timeout_ms, TOKEN_LIMIT, output, &status);
    }
    free(audience);
    free(type);
    free(email);
    free(copy);
    if (rc == -ETIMEDOUT)
        return gce_denied(gce, call, "its executable \"%.200s\" has not ended after %u ms", command, timeout_ms);
    if (rc < 0)
        return gce_denied(gce, call, "its executable \"%.200s\": %s", command, strerror(-rc));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return gce_denied(gce, call, "its executable \"%.200s\" has failed (%s %d)", command,
                          WIFEXITED(status) ? "exit status" : "signal",
                          WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return HACTL_OK;
}

static int subject_of_executable(struct gce *gce, struct hactl_call *call, const json_t *executable, char **out)
{
    const char *allowed = getenv(ALLOW), *command = ha_json_string(executable, "command");
    int64_t timeout_ms = ha_json_i64(executable, "timeout_millis"), left_ms = gce->host->ms_left(call);
    char *output = NULL, error[160];
    json_t *json;
    int rc;

    if (!allowed || strcmp(allowed, "1") != 0)
        return gce_denied(gce, call, "it wants to run \"%.200s\": if that is to be trusted, set " ALLOW "=1", command);
    timeout_ms = timeout_ms > 0 ? timeout_ms : 30000;
    timeout_ms = timeout_ms < left_ms ? timeout_ms : left_ms;
    rc = run_executable(gce, call, command, timeout_ms > 0 ? (unsigned)timeout_ms : 1, &output);
    if (rc == HACTL_OK) {
        json = ha_json_parse(output ? output : "", output ? strlen(output) : 0, error, sizeof(error));
        explicit_bzero(error, sizeof(error));
        rc = take_response(gce, call, json, out);
        gce_forget_answer(json);
    }
    forget(&output);
    return rc;
}

/* ---- the exchange ------------------------------------------------------------------ */

static int add_field(char **body, const char *name, const char *value)
{
    char *escaped = gce_escape(value), *longer = NULL;
    int length = escaped ? asprintf(&longer, "%s%s%s=%s", *body ? *body : "", *body ? "&" : "", name, escaped) : -1;

    forget(&escaped);
    if (length < 0)
        return -1;
    forget(body);
    *body = longer;
    return 0;
}

static int exchange(struct gce *gce, struct hactl_call *call, const char *subject)
{
    const struct gce_credential *credential = &gce->credential;
    char *body = NULL;
    int rc;

    if (add_field(&body, "grant_type", token_exchange) < 0 || add_field(&body, "audience", credential->audience) < 0 ||
        add_field(&body, "scope", GCE_SCOPE) < 0 || add_field(&body, "requested_token_type", access_token) < 0 ||
        add_field(&body, "subject_token_type", credential->subject_type) < 0 ||
        add_field(&body, "subject_token", subject) < 0)
        rc = gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    else
        rc = gce_token_post_form(gce, call, body);
    forget(&body);
    return rc;
}

int gce_federation_fetch(struct gce *gce, struct hactl_call *call)
{
    const json_t *source = gce->credential.source, *executable = json_object_get(source, "executable");
    const char *file = ha_json_string(source, "file"), *url = ha_json_string(source, "url");
    char *subject = NULL;
    int rc;

    if (file)
        rc = subject_of_file(gce, call, file, &subject);
    else if (url)
        rc = subject_of_url(gce, call, url, &subject);
    else
        rc = subject_of_executable(gce, call, executable, &subject);
    if (rc == HACTL_OK)
        rc = exchange(gce, call, subject);
    forget(&subject);
    return rc;
}
