/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, where gcloud's environment variables stand in for what the
 * configuration does not say, and the URLs that come of them. */
#include "lib/gce/gce_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define API_URL      "https://compute.googleapis.com/compute/v1"
#define METADATA_URL "http://metadata.google.internal"

int64_t gce_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- URLs ------------------------------------------------------------------ */

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || number == 0 || number > 65535)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* scheme://host[:port][/path], an IPv6 literal in brackets. */
bool gce_url_parse(const char *text, struct gce_url *out)
{
    const char *rest, *slash, *colon;
    char authority[300];
    size_t length;

    memset(out, 0, sizeof(*out));
    out->plain = strncmp(text, "http://", 7) == 0;
    if (!out->plain && strncmp(text, "https://", 8) != 0)
        return false;
    rest = text + (out->plain ? 7 : 8);
    length = strcspn(rest, "/?#");
    slash = rest + length;
    if (length == 0 || length >= sizeof(authority) || *slash == '?' || *slash == '#')
        return false;
    snprintf(authority, sizeof(authority), "%.*s", (int)length, rest);
    if (strchr(authority, '@'))
        return false;
    out->port = out->plain ? 80 : 443;
    colon = strrchr(authority, ':');
    if (authority[0] == '[') {
        char *close = strchr(authority, ']');
        if (!close || (close[1] != '\0' && close[1] != ':') || (close[1] == ':' && !parse_port(close + 2, &out->port)))
            return false;
        snprintf(out->host, sizeof(out->host), "%.*s", (int)(close - authority - 1), authority + 1);
    } else {
        if (colon && !parse_port(colon + 1, &out->port))
            return false;
        snprintf(out->host, sizeof(out->host), "%.*s", colon ? (int)(colon - authority) : (int)length, authority);
    }
    length = strlen(slash);
    while (length > 0 && slash[length - 1] == '/')
        length--;
    if (length >= sizeof(out->path) || out->host[0] == '\0')
        return false;
    snprintf(out->path, sizeof(out->path), "%.*s", (int)length, slash);
    return true;
}

bool gce_url_is_near(const struct gce_url *url)
{
    struct in_addr address;
    uint32_t ip;

    if (strcmp(url->host, "localhost") == 0 || strcmp(url->host, "::1") == 0)
        return true;
    if (inet_pton(AF_INET, url->host, &address) != 1)
        return false;
    ip = ntohl(address.s_addr);
    return ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 || ip >> 16 == 0xa9fe;
}

bool gce_api_is_near(const struct gce *gce)
{
    return gce_url_is_near(&gce->api);
}

const char *gce_project_known(const struct gce *gce)
{
    return gce->project;
}

/* The metadata server is asked in plain http, and only from this very machine: never through a proxy. */
struct ha_http_endpoint *gce_endpoint(struct gce *gce, const struct gce_url *url, unsigned lane)
{
    struct ha_http_identity identity = {.host = url->host,
                                        .port = url->port,
                                        .plain = url->plain,
                                        .proxied = !url->plain && !gce_url_is_near(url),
                                        .authority_file = url->plain ? NULL : gce->ca_file,
                                        .lane = lane};

    return ha_http_endpoint(gce->http, &identity);
}

/* ---- settings ---------------------------------------------------------------- */

/* The setting, or the first of those variables that says something. */
static const char *setting(const struct gce *gce, const char *key, const char *const *variables)
{
    const char *value = gce->host->conf_string(gce->conf, key);

    for (; (!value || !value[0]) && variables && *variables; variables++)
        value = getenv(*variables);
    return value && value[0] ? value : NULL;
}

/* A token sent over http would be everybody's. */
static int read_url(struct gce *gce, struct hactl_call *call, const char *key, const char *text, bool metadata,
                    struct gce_url *out)
{
    if (!gce_url_parse(text, out))
        return gce->host->fail(call, HACTL_E_INVALID, "%s \"%.200s\" is no URL of the form https://host[:port][/path]",
                               key, text);
    if (out->plain && !metadata && !gce_url_is_near(out))
        return gce->host->fail(call, HACTL_E_INVALID,
                               "%s \"%.200s\" is plain http: only a server on this machine or its private network may "
                               "be asked without TLS",
                               key, text);
    return HACTL_OK;
}

static int read_metadata_url(struct gce *gce, struct hactl_call *call)
{
    static const char *const variables[] = {"GCE_METADATA_HOST", "GCE_METADATA_ROOT", NULL};
    const char *set = gce->host->conf_string(gce->conf, "metadata_url");
    const char *host = set ? NULL : setting(gce, "metadata_url", variables);
    char url[300];

    if (!host)
        return read_url(gce, call, "metadata_url", set ? set : METADATA_URL, true, &gce->metadata);
    snprintf(url, sizeof(url), "http://%s", host);
    return read_url(gce, call, "GCE_METADATA_HOST", url, true, &gce->metadata);
}

static int read_urls(struct gce *gce, struct hactl_call *call)
{
    static const char *const api_variables[] = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", NULL};
    static const char *const token_variables[] = {"CLOUDSDK_AUTH_TOKEN_HOST", NULL};
    const char *api = setting(gce, "api_url", api_variables);
    const char *token = setting(gce, "token_url", token_variables);
    int rc = read_url(gce, call, "api_url", api ? api : API_URL, false, &gce->api);

    /* gcloud takes the bare host too. */
    if (rc == HACTL_OK && gce->api.path[0] == '\0')
        snprintf(gce->api.path, sizeof(gce->api.path), "/compute/v1");
    if (rc == HACTL_OK)
        rc = read_url(gce, call, "iam_url", gce->host->conf_string(gce->conf, "iam_url"), false, &gce->iam);
    if (rc == HACTL_OK && token) {
        gce->token_url_set = true;
        rc = read_url(gce, call, "token_url", token, false, &gce->token_endpoint);
    }
    return rc == HACTL_OK ? read_metadata_url(gce, call) : rc;
}

static int read_names(struct gce *gce, struct hactl_call *call)
{
    static const char *const project_variables[] = {"CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT",
                                                    NULL};
    static const char *const ca_variables[] = {"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", NULL};
    const char *project = setting(gce, "project", project_variables);
    const char *ca_file = setting(gce, "ca_file", ca_variables);
    const char *impersonate = gce->host->conf_string(gce->conf, "impersonate");

    if (project && strlen(project) >= sizeof(gce->project))
        return gce->host->fail(call, HACTL_E_INVALID, "project \"%.80s\" is too long for a project's name", project);
    snprintf(gce->project, sizeof(gce->project), "%s", project ? project : "");
    gce->ca_file = ca_file ? strdup(ca_file) : NULL;
    gce->impersonate = impersonate && impersonate[0] ? strdup(impersonate) : NULL;
    if ((ca_file && !gce->ca_file) || (impersonate && impersonate[0] && !gce->impersonate))
        return gce->host->fail(call, HACTL_E_INTERNAL, "no memory");
    return HACTL_OK;
}

int gce_new(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, struct gce **out)
{
    struct gce *gce = calloc(1, sizeof(*gce));
    int rc;

    if (!gce)
        return host->fail(call, HACTL_E_INTERNAL, "no memory");
    gce->host = host;
    gce->conf = conf;
    gce->http = ha_http_client_new();
    if (!gce->http) {
        rc = host->fail(call, HACTL_E_INTERNAL, "libcurl could not be started");
        goto out;
    }
    rc = read_names(gce, call);
    if (rc == HACTL_OK)
        rc = read_urls(gce, call);
    if (rc != HACTL_OK)
        goto out;
    *out = gce;
    gce = NULL; /* handed over */
out:
    gce_free(gce);
    return rc;
}

void gce_free(struct gce *gce)
{
    if (!gce)
        return;
    gce_credential_clear(&gce->credential);
    gce_token_clear(&gce->token);
    ha_http_client_free(gce->http);
    free(gce->ca_file);
    free(gce->impersonate);
    free(gce->zones);
    free(gce->spent);
    free(gce->sent);
    free(gce);
}
