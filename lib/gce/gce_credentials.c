/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which credentials: explicit settings, then the order of Google's own
 * libraries (Application Default Credentials). A credential file may name
 * URLs; it is asked over TLS or on this machine only, whatever it says.
 */
#include "lib/gce/gce_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"

#define FILE_LIMIT ((size_t)64 << 10)
#define UNIVERSE   "googleapis.com"

const char *gce_credentials_order(void)
{
    return "looked at access_token_file, credentials_file, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE, "
           "GOOGLE_APPLICATION_CREDENTIALS, gcloud's application_default_credentials.json and the metadata server: "
           "run \"gcloud auth application-default login\", or set credentials_file to a service account's key";
}

static void secret(char **text)
{
    ha_secret_free(*text, *text ? strlen(*text) : 0);
    *text = NULL;
}

/* Headers with which a subject token is asked for may hold another token. */
static void forget_headers(const json_t *source)
{
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(source, "headers"), name, value)
    {
        const char *text = json_string_value(value);
        if (text)
            explicit_bzero((char *)(uintptr_t)text, strlen(text));
    }
}

void gce_credential_clear(struct gce_credential *credential)
{
    forget_headers(credential->source);
    secret(&credential->private_key);
    secret(&credential->client_secret);
    secret(&credential->refresh_token);
    free(credential->path);
    free(credential->email);
    free(credential->key_id);
    free(credential->client_id);
    free(credential->token_url);
    free(credential->quota_project);
    free(credential->project);
    free(credential->impersonate);
    free(credential->audience);
    free(credential->subject_type);
    json_decref(credential->delegates);
    json_decref(credential->source);
    memset(credential, 0, sizeof(*credential));
}

/* ---- what a file says --------------------------------------------------------- */

/* Zeroizes strings of a document before it goes: jansson frees them as they are. */
static void forget_json(json_t *json)
{
    static const char *const secrets[] = {"private_key", "client_secret", "refresh_token"};

    for (size_t i = 0; json && i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        const char *text = json_string_value(json_object_get(json, secrets[i]));
        if (text)
            explicit_bzero((char *)(uintptr_t)text, strlen(text));
    }
    forget_headers(json_object_get(json, "credential_source"));
    if (json && json_object_get(json, "source_credentials"))
        forget_json(json_incref(json_object_get(json, "source_credentials")));
    json_decref(json);
}

static bool take(char **to, const json_t *json, const char *name)
{
    const char *text = ha_json_string(json, name);

    *to = text ? strdup(text) : NULL;
    return *to != NULL;
}

static int need(struct gce *gce, struct hactl_call *call, bool there, const char *name)
{
    return there ? HACTL_OK : gce_denied(gce, call, "it has no \"%s\": download it again", name);
}

static int take_token_url(struct gce *gce, struct hactl_call *call, const json_t *json, const char *standard)
{
    struct gce_credential *credential = &gce->credential;
    const char *text = ha_json_string(json, "token_uri");
    struct gce_url url;

    credential->token_url = strdup(text ? text : standard);
    if (!credential->token_url || !gce_url_parse(credential->token_url, &url))
        return gce_denied(gce, call, "its token_uri \"%.100s\" is no URL", text ? text : "");
    if (url.plain && !gce_url_is_near(&url))
        return gce_denied(gce, call,
                          "its token_uri \"%.100s\" is plain http, and would send the credentials in the clear",
                          credential->token_url);
    return HACTL_OK;
}

static int take_service_account(struct gce *gce, struct hactl_call *call, const json_t *json)
{
    struct gce_credential *credential = &gce->credential;
    int rc;

    credential->kind = GCE_CREDENTIAL_SERVICE_ACCOUNT;
    take(&credential->key_id, json, "private_key_id");
    take(&credential->project, json, "project_id");
    rc = need(gce, call, take(&credential->email, json, "client_email"), "client_email");
    if (rc == HACTL_OK)
        rc = need(gce, call, take(&credential->private_key, json, "private_key"), "private_key");
    return rc == HACTL_OK ? take_token_url(gce, call, json, "https://oauth2.googleapis.com/token") : rc;
}

static int take_user(struct gce *gce, struct hactl_call *call, const json_t *json)
{
    struct gce_credential *credential = &gce->credential;
    int rc;

    credential->kind = GCE_CREDENTIAL_AUTHORIZED_USER;
    take(&credential->quota_project, json, "quota_project_id");
    rc = need(gce, call, take(&credential->client_id, json, "client_id"), "client_id");
    if (rc == HACTL_OK)
        rc = need(gce, call, take(&credential->client_secret, json, "client_secret"), "client_secret");
    if (rc == HACTL_OK)
        rc = need(gce, call, take(&credential->refresh_token, json, "refresh_token"), "refresh_token");
    return rc == HACTL_OK ? take_token_url(gce, call, json, "https://oauth2.googleapis.com/token") : rc;
}

static int take_file(struct gce *gce, struct hactl_call *call, const json_t *json, bool nested);

/* Its URL ends in .../serviceAccounts/EMAIL:generateAccessToken. */
static int take_impersonation(struct gce *gce, struct hactl_call *call, const json_t *json)
{
    const char *url = ha_json_string(json, "service_account_impersonation_url");
    const char *email = url ? strstr(url, "/serviceAccounts/") : NULL;
    json_t *delegates = json_object_get(json, "delegates"), *source = json_object_get(json, "source_credentials");
    size_t length;
    int rc;

    if (!email || !json_is_object(source))
        return gce_denied(gce, call,
                          "it is no complete impersonation: make it again with \"gcloud auth "
                          "application-default login --impersonate-service-account\"");
    email += strlen("/serviceAccounts/");
    length = strcspn(email, ":/");
    rc = take_file(gce, call, source, true);
    if (rc != HACTL_OK)
        return rc;
    gce->credential.impersonate = strndup(email, length);
    gce->credential.delegates = json_is_array(delegates) ? json_incref(delegates) : NULL;
    return gce->credential.impersonate ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

static int take_file(struct gce *gce, struct hactl_call *call, const json_t *json, bool nested)
{
    const char *type = ha_json_string(json, "type"), *universe = ha_json_string(json, "universe_domain");

    if (universe && strcmp(universe, UNIVERSE) != 0)
        return gce_denied(gce, call, "it belongs to the universe %.100s, and hactl knows only " UNIVERSE, universe);
    if (type && strcmp(type, "service_account") == 0)
        return take_service_account(gce, call, json);
    if (type && strcmp(type, "authorized_user") == 0)
        return take_user(gce, call, json);
    if (type && !nested && strcmp(type, "impersonated_service_account") == 0)
        return take_impersonation(gce, call, json);
    if (type && strcmp(type, "external_account") == 0)
        return gce_federation_take(gce, call, json);
    return gce_denied(
        gce, call,
        "credentials of type \"%.60s\" are not supported: use service_account, authorized_user, "
        "external_account or impersonated_service_account, or access_token_file with a token that something "
        "else keeps fresh",
        type ? type : "(none)");
}

static int read_file(struct gce *gce, struct hactl_call *call, const char *path)
{
    char *text = NULL, error[200];
    struct stat about;
    json_t *json = NULL;
    size_t size = 0;
    int rc = ha_file_read(path, FILE_LIMIT, &text, &size);

    if (rc < 0)
        return gce_denied(gce, call, "%s", strerror(-rc));
    if (stat(path, &about) == 0 && (about.st_mode & 077) != 0)
        gce->host->log(call, HACTL_LOG_WARNING, "%s may be read by other users: chmod 600", gce->credential.from);
    json = ha_json_parse(text, size, error, sizeof(error));
    /* The parser's words may quote the file. */
    rc = json_is_object(json) ? take_file(gce, call, json, false) : gce_denied(gce, call, "it is no JSON object");
    explicit_bzero(error, sizeof(error));
    forget_json(json);
    ha_secret_free(text, size);
    return rc;
}

/* ---- the order ------------------------------------------------------------------ */

static int use_file(struct gce *gce, struct hactl_call *call, const char *path, const char *named_by)
{
    snprintf(gce->credential.from, sizeof(gce->credential.from), "credential file %s (%s)", path, named_by);
    return read_file(gce, call, path);
}

static int use_token_file(struct gce *gce, struct hactl_call *call, const char *path, const char *named_by)
{
    struct gce_credential *credential = &gce->credential;

    snprintf(credential->from, sizeof(credential->from), "access token file %s (%s)", path, named_by);
    credential->kind = GCE_CREDENTIAL_TOKEN_FILE;
    credential->path = strdup(path);
    return credential->path ? HACTL_OK : gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
}

static int use_metadata(struct gce *gce, const char *named_by)
{
    snprintf(gce->credential.from, sizeof(gce->credential.from), "metadata server %s (%s)", gce->metadata.host,
             named_by);
    gce->credential.kind = GCE_CREDENTIAL_METADATA;
    return HACTL_OK;
}

static int use_none(struct gce *gce, struct hactl_call *call)
{
    snprintf(gce->credential.from, sizeof(gce->credential.from), "credentials = \"none\"");
    if (!gce_url_is_near(&gce->api))
        return gce_denied(gce, call, "%s is no test server on this machine or its private network", gce->api.host);
    gce->credential.kind = GCE_CREDENTIAL_NONE;
    return HACTL_OK;
}

static bool well_known_file(char out[PATH_MAX])
{
    const char *gcloud = getenv("CLOUDSDK_CONFIG"), *home = getenv("HOME");
    int length;

    if (gcloud && gcloud[0])
        length = snprintf(out, PATH_MAX, "%s/application_default_credentials.json", gcloud);
    else if (home && home[0])
        length = snprintf(out, PATH_MAX, "%s/.config/gcloud/application_default_credentials.json", home);
    else
        return false;
    return length > 0 && length < PATH_MAX && access(out, F_OK) == 0;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static int search(struct gce *gce, struct hactl_call *call)
{
    const char *token_file = variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"),
               *file = variable("GOOGLE_APPLICATION_CREDENTIALS"),
               *disabled = variable("CLOUDSDK_AUTH_DISABLE_CREDENTIALS");
    char path[PATH_MAX];

    if (token_file)
        return use_token_file(gce, call, token_file, "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE");
    if (disabled && (strcasecmp(disabled, "true") == 0 || strcmp(disabled, "1") == 0) && gce_url_is_near(&gce->api))
        return use_none(gce, call);
    if (file)
        return use_file(gce, call, file, "GOOGLE_APPLICATION_CREDENTIALS");
    if (well_known_file(path))
        return use_file(gce, call, path, "gcloud's Application Default Credentials");
    gce->credential.searched = true;
    return use_metadata(gce, "nothing else was found");
}

int gce_credentials_find(struct gce *gce, struct hactl_call *call)
{
    const char *token_file = gce->host->conf_string(gce->conf, "access_token_file");
    const char *file = gce->host->conf_string(gce->conf, "credentials_file");
    const char *how = gce->host->conf_string(gce->conf, "credentials");
    int rc;

    if (gce->credential.kind)
        return HACTL_OK;
    if (token_file && token_file[0])
        rc = use_token_file(gce, call, token_file, "access_token_file");
    else if (file && file[0])
        rc = use_file(gce, call, file, "credentials_file");
    else if (how && strcmp(how, "metadata") == 0)
        rc = use_metadata(gce, "credentials");
    else if (how && strcmp(how, "none") == 0)
        rc = use_none(gce, call);
    else
        rc = search(gce, call);
    if (rc == HACTL_OK && gce->impersonate) {
        free(gce->credential.impersonate);
        gce->credential.impersonate = strdup(gce->impersonate);
        if (!gce->credential.impersonate)
            rc = gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    }
    if (rc != HACTL_OK)
        gce_credential_clear(&gce->credential);
    return rc;
}
