/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of lib/gce; plugins include lib/gce/gce.h. */
#ifndef HACTL_LIB_GCE_INTERNAL_H
#define HACTL_LIB_GCE_INTERNAL_H

#include "lib/gce/gce.h"

#include "lib/http.h"

#include <limits.h>

#define GCE_SCOPE "https://www.googleapis.com/auth/cloud-platform"

enum { GCE_LANES = 8, GCE_UUID = 40, GCE_POLLED = 32 };

struct gce_url {
    bool plain;
    char host[256];
    uint16_t port;
    char path[256]; /* without a slash at its end */
};

enum gce_credential_kind {
    GCE_CREDENTIAL_NONE = 1,
    GCE_CREDENTIAL_TOKEN_FILE,
    GCE_CREDENTIAL_METADATA,
    GCE_CREDENTIAL_SERVICE_ACCOUNT,
    GCE_CREDENTIAL_AUTHORIZED_USER,
    GCE_CREDENTIAL_EXTERNAL
};

/* Where tokens come from. Secrets are zeroized by gce_credential_clear. */
struct gce_credential {
    enum gce_credential_kind kind;
    bool searched;        /* found by the search order, so that its failure tells the whole order */
    char from[PATH_MAX];  /* for people: "key file /home/a/key.json" */
    char *path;           /* of a token file */
    char *email, *key_id; /* service account */
    char *private_key;    /* PEM */
    char *client_id, *client_secret, *refresh_token;
    char *token_url; /* of the credential file */
    char *quota_project, *project;
    char *impersonate;             /* e-mail */
    json_t *delegates;             /* optional */
    char *audience, *subject_type; /* of federation */
    json_t *source;                /* where its subject token is had */
};

struct gce_token {
    char *text;
    int64_t refresh_ms; /* CLOCK_BOOTTIME */
};

struct gce {
    const struct hactl_host *host;
    const struct hactl_conf *conf;
    struct ha_http_client *http;
    struct gce_url api, iam, metadata, token_endpoint;
    bool token_url_set;
    char *ca_file, *impersonate;
    char project[GCE_NAME], region[GCE_NAME];
    struct gce_zone *zones;
    size_t zone_count;
    struct gce_credential credential;
    struct gce_token token;
    char identity[PATH_MAX];
    struct {
        size_t hash; /* of the token */
        int64_t since_ms;
    } polled[GCE_POLLED];
    uint32_t rate_limited;   /* in a row */
    char (*spent)[GCE_UUID]; /* request ids whose operation has failed */
    size_t spent_count;
    char (*sent)[GCE_UUID]; /* by this process */
    size_t sent_count;
};

/* gce.c */
int64_t gce_now_ms(void);
bool gce_url_parse(const char *text, struct gce_url *out);
/* Of this machine or its private network: where a test server may be asked
 * over http, and without credentials. */
bool gce_url_is_near(const struct gce_url *url);
struct ha_http_endpoint *gce_endpoint(struct gce *gce, const struct gce_url *url, unsigned lane);

/* gce_credentials.c */
int gce_credentials_find(struct gce *gce, struct hactl_call *call);
void gce_credential_clear(struct gce_credential *credential);
/* What was looked at, in order, and what to do; for the end of an error. */
const char *gce_credentials_order(void);

/* gce_token.c */
int gce_token_fetch(struct gce *gce, struct hactl_call *call);
void gce_token_clear(struct gce_token *token);

/* A form to the token endpoint; what it answers becomes the token. */
int gce_token_post_form(struct gce *gce, struct hactl_call *call, const char *body);
void gce_forget_answer(json_t *json); /* tokens in it are zeroized */

/* gce_federation.c */
int gce_federation_take(struct gce *gce, struct hactl_call *call, const json_t *json);
int gce_federation_fetch(struct gce *gce, struct hactl_call *call);

/* gce_jwt.c */
/* RS256; NULL with one line in `error`. Caller frees and zeroizes. */
char *gce_jwt_sign(const char *private_key, const char *key_id, const char *claims, char *error, size_t error_size);

/* gce_errors.c */
/* From the body of an answer that is no success. */
void gce_explain_answer(struct gce *gce, struct gce_request *request);
/* From an operation that ended with an error. */
void gce_explain_operation(struct gce *gce, const json_t *operation, struct gce_request *out);

/* gce_request.c */
void gce_request_id(struct gce *gce, struct hactl_call *call, const struct gce_request *request, char out[GCE_UUID]);
/* HACTL_E_DENIED, about the credential in use: where it is from, and what is wrong with it. */
int gce_denied(struct gce *gce, struct hactl_call *call, const char *format, ...) HACTL_FORMAT(3, 4);
/* gce_fail with another code. */
int gce_fail_as(struct gce *gce, struct hactl_call *call, const struct gce_request *request, int code,
                const char *format, ...) HACTL_FORMAT(5, 6);
bool gce_id_is_in(char (*list)[GCE_UUID], size_t count, const char *id);
void gce_id_keep(char (**list)[GCE_UUID], size_t *count, const char *id);
/* One exchange that is not for the Compute API: JSON in or out, no project. */
struct gce_exchange {
    struct gce_url url;
    const char *method, *path, *body, *content_type, *bearer;
    const char *const *headers;
    const char *wanted_header;
};
void gce_ask(struct gce *gce, struct hactl_call *call, const struct gce_exchange *ask,
             struct ha_http_response *response, json_t **json);

#endif
