/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compute Engine over REST, for plugins: credentials, requests, lists,
 * operations, errors, links.
 *
 * Paths are relative to the project ("regions/us-central1/addresses/a").
 * Every changing request carries a requestId that is derived from the intent
 * of the call, so the same request of the same intent, in whichever process,
 * is one request for Google. Nothing here waits or repeats; the one exception
 * is a token that was refused: it is fetched anew, once.
 */
#ifndef HACTL_LIB_GCE_H
#define HACTL_LIB_GCE_H

#include <hactl/plugin.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GCE_NAME = 64, GCE_PATH = 512, GCE_ERROR = 700 };

/* The settings that every plugin over lib/gce has; spliced into its table. */
#define GCE_KEYS                                                                                                   \
    {.name = "project",                                                                                            \
     .type = HACTL_KEY_STRING,                                                                                     \
     .help = "Project; else $CLOUDSDK_CORE_PROJECT, $GOOGLE_CLOUD_PROJECT, the credentials' or the metadata "      \
             "server's."},                                                                                         \
        {.name = "region",                                                                                         \
         .type = HACTL_KEY_STRING,                                                                                 \
         .help = "Region of the cluster; else that of the first zone, as the API says."},                          \
        {.name = "zones", .type = HACTL_KEY_STRING_LIST, .help = "Zones for replicas; else all of the region."},   \
        {.name = "region_of_zone",                                                                                 \
         .type = HACTL_KEY_STRING,                                                                                 \
         .help = "A zone whose region is the cluster's, where neither region nor zones say it."},                  \
        {.name = "credentials",                                                                                    \
         .type = HACTL_KEY_STRING,                                                                                 \
         .default_value = "auto",                                                                                  \
         .choices = "auto|metadata|none",                                                                          \
         .help = "Application Default Credentials, only the metadata server's, or (a test server) none."},         \
        {.name = "credentials_file",                                                                               \
         .type = HACTL_KEY_PATH,                                                                                   \
         .help = "A credential file: a service account's key, a user's, an impersonation or a federation."},       \
        {.name = "access_token_file",                                                                              \
         .type = HACTL_KEY_PATH,                                                                                   \
         .help = "A file with an access token that something else keeps fresh; comes before `credentials`."},      \
        {.name = "impersonate", .type = HACTL_KEY_STRING, .help = "E-mail of the service account to act as."},     \
        {.name = "api_url",                                                                                        \
         .type = HACTL_KEY_STRING,                                                                                 \
         .help = "Root of the Compute API; else $CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE, else Google's."},        \
        {.name = "token_url",                                                                                      \
         .type = HACTL_KEY_STRING,                                                                                 \
         .help = "Where tokens are fetched; else $CLOUDSDK_AUTH_TOKEN_HOST, else what the credential file says."}, \
        {.name = "iam_url",                                                                                        \
         .type = HACTL_KEY_STRING,                                                                                 \
         .default_value = "https://iamcredentials.googleapis.com",                                                 \
         .help = "Root of the IAM Credentials API, for `impersonate`."},                                           \
        {.name = "metadata_url",                                                                                   \
         .type = HACTL_KEY_STRING,                                                                                 \
         .help = "Root of the metadata server; else $GCE_METADATA_HOST, else http://metadata.google.internal."},   \
        {.name = "ca_file",                                                                                        \
         .type = HACTL_KEY_PATH,                                                                                   \
         .help = "Authorities for these URLs; else $CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE, else the system's."},      \
        {.name = "poll_interval_ms",                                                                               \
         .type = HACTL_KEY_INTEGER,                                                                                \
         .default_value = "1000",                                                                                  \
         .minimum = 1,                                                                                             \
         .maximum = 60000,                                                                                         \
         .help = "Between two looks at an operation under way."},                                                  \
    {                                                                                                              \
        .name = "request_timeout_ms", .type = HACTL_KEY_INTEGER, .default_value = "20000", .minimum = 100,         \
        .maximum = 600000, .help = "For one request."                                                              \
    }

struct gce;

/* Called from a plugin's `open`; reaches nothing over a network. */
int gce_new(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, struct gce **out);
void gce_free(struct gce *gce); /* accepts NULL */

/* Fetched when first needed. HACTL_E_DENIED, with what to do, for each way in
 * which credentials fail. */
int gce_authenticate(struct gce *gce, struct hactl_call *call);
const char *gce_identity(const struct gce *gce); /* for people: whose credentials, from where */
int gce_project(struct gce *gce, struct hactl_call *call, const char **project);
const char *gce_project_known(const struct gce *gce); /* without asking anybody; "" when not known yet */
/* The API is a test server's, on this machine or its private network. */
bool gce_api_is_near(const struct gce *gce);

/* Region of the cluster and the zones of it that the configuration allows;
 * asked of the API once. A zone of another region is HACTL_E_INVALID. */
struct gce_zone {
    char name[GCE_NAME];
    bool up;
};
int gce_region(struct gce *gce, struct hactl_call *call, const char **region);
int gce_zones(struct gce *gce, struct hactl_call *call, const struct gce_zone **zones, size_t *count);
/* The same, asked anew. */
int gce_zones_refresh(struct gce *gce, struct hactl_call *call);
/* HACTL_E_INVALID unless replicas may be in that zone. */
int gce_zone_check(struct gce *gce, struct hactl_call *call, const char *zone);

/* ---- requests ------------------------------------------------------------ */

struct gce_request {
    const char *method;
    char path[GCE_PATH];
    json_t *body; /* owned */
    bool changes; /* carries a requestId */
    /* The answer. `code` HACTL_OK: 2xx, `json` is its body. Otherwise `error`
     * is one line with Google's own reason and words. */
    int code;
    long status;
    json_t *json;
    uint32_t retry_after_ms;
    char reason[64]; /* "quotaExceeded", "QUOTA_EXCEEDED"; see gce_reason_is */
    char error[GCE_ERROR];
};

/* Values go into the path as they are; names of GCE need no escaping, and
 * gce_escape is for all else. `body` is taken over, even on failure. */
void gce_prepare(struct gce_request *request, const char *method, json_t *body, const char *format, ...)
    HACTL_FORMAT(4, 5);
void gce_request_clear(struct gce_request *request);
char *gce_escape(const char *text); /* for a query; caller frees; NULL: no memory */

/* Asks all side by side. HACTL_OK: each has its `code`; otherwise the call has
 * failed as a whole (no credentials, no project) and has its text. */
int gce_run(struct gce *gce, struct hactl_call *call, struct gce_request *requests, size_t count);
/* Says through host->fail() why `request` failed, on which object. */
int gce_fail(struct gce *gce, struct hactl_call *call, const struct gce_request *request, const char *format, ...)
    HACTL_FORMAT(4, 5);
/* Whether that is the reason, however it is spelt: quotaExceeded, QUOTA_EXCEEDED. */
bool gce_reason_is(const char *reason, const char *other);

/* One GET. HACTL_E_NOT_FOUND comes without a text, since it is often no error. */
int gce_get(struct gce *gce, struct hactl_call *call, json_t **out, const char *format, ...) HACTL_FORMAT(4, 5);

/* ---- lists ---------------------------------------------------------------- */

/* All pages of one or more lists, side by side. `items` is an array whether
 * the list is aggregated or not; `unreachable` names the scopes ("zones/a")
 * that did not answer: what is there is unknown, never absent. */
struct gce_list {
    char path[GCE_PATH]; /* "aggregated/instances?filter=..." */
    json_t *items, *unreachable;
    int code; /* HACTL_OK, or as in a request */
    char reason[64], error[GCE_ERROR];
    uint32_t retry_after_ms;
};
void gce_list_prepare(struct gce_list *list, const char *format, ...) HACTL_FORMAT(2, 3);
int gce_list_run(struct gce *gce, struct hactl_call *call, struct gce_list *lists, size_t count);
int gce_list_fail(struct gce *gce, struct hactl_call *call, const struct gce_list *list, const char *what);
bool gce_list_knows(const struct gce_list *list, const char *scope); /* "zones/us-central1-b" did answer */
void gce_list_clear(struct gce_list *list);

/* ---- changes and their operations ----------------------------------------- */

/* Runs changing requests and emits one token for all operations they began.
 * HACTL_PENDING; HACTL_OK when all are done already; or the worst failure,
 * after host->fail(). A 404 on DELETE is success. */
int gce_change(struct gce *gce, struct hactl_call *call, struct gce_request *requests, size_t count, const char *format,
               ...) HACTL_FORMAT(5, 6);
/* For the plugin's `poll`. */
int gce_poll(struct gce *gce, struct hactl_call *call, const char *token);

/* ---- links ----------------------------------------------------------------- */

/* The last part of a link in any form, or of a name: "https://.../zones/a" is "a". */
const char *gce_link_name(const char *link);
/* What follows `collection` in a link: zones of ".../zones/a/instances/b" is "a". */
bool gce_link_part(const char *link, const char *collection, char out[GCE_NAME]);
/* From "projects/" on, or as it is: what two links to one thing have in common. */
const char *gce_link_path(const char *link);
bool gce_link_same(const char *one, const char *other);
/* "https://www.googleapis.com/compute/v1/projects/PROJECT/" and the path: the
 * form that Google gives and, for backends, insists on. Needs a project. */
void gce_link(const struct gce *gce, char out[GCE_PATH], const char *format, ...) HACTL_FORMAT(3, 4);

/* ---- labels and names ------------------------------------------------------- */

#define GCE_LABEL_CLUSTER "hactl-cluster"
#define GCE_LABEL_REPLICA "hactl-replica"

/* What is ours carries the label, or, where a kind has no labels, begins its
 * description with "hactl cluster NAME". */
json_t *gce_labels(const char *cluster, const char *replica); /* `replica` optional; NULL: no memory */
void gce_description(char out[128], const char *cluster);
bool gce_is_ours(const json_t *object, const char *cluster);
/* NAME as GCE wants it, 1 to 63 of [-a-z0-9], with that suffix; a name that is
 * too long is shortened and keeps a hash. */
void gce_name(char out[GCE_NAME], const char *name, const char *suffix);
/* HACTL_E_INVALID if it cannot be the name of a thing there. */
int gce_name_check(const struct gce *gce, struct hactl_call *call, const char *kind, const char *name);

#endif
