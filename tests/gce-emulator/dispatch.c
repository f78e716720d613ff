/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "batch.h"
#include "catalogue.h"
#include "control.h"
#include "errors.h"
#include "faults.h"
#include "latency.h"
#include "lib/json.h"
#include "operations.h"
#include "routes.h"
#include "schema.h"
#include "store.h"

static json_t *violations;

const json_t *em_dispatch_violations(void)
{
    if (violations == NULL) {
        violations = json_array();
    }
    return violations;
}

void em_dispatch_clear(void)
{
    json_decref(violations);
    violations = NULL;
}

void em_dispatch_violation(const char *method, const char *where, const char *wrong)
{
    char *line = em_format("%s, %s: %s", method, where, wrong);

    em_log(0, "against the schema: %s", line);
    (void)em_dispatch_violations();
    json_array_append_new(violations, json_string(line));
    free(line);
}

/* As the real one words what its schema does not know. */
static struct em_answer payload_error(const char *wrong)
{
    struct em_answer answer = em_error(400, "badRequest", "Invalid JSON payload received. %s", wrong);

    em_set(json_object_get(answer.body, "error"), "status", "INVALID_ARGUMENT");
    return answer;
}

/* Takes `wrong`; false when there was none. */
static bool refuse(struct em_connection *connection, const char *where, char *wrong, struct em_answer *answer)
{
    if (wrong == NULL) {
        return false;
    }
    em_dispatch_violation(connection->request.method->id, where, wrong);
    *answer = payload_error(wrong);
    free(wrong);
    return true;
}

static bool read_body(struct em_connection *connection, struct em_answer *answer)
{
    char why[160];

    /* Google's client for Node.js sends an empty string where there is no body. */
    if (connection->body_size == 0 || strcmp(connection->body, "\"\"") == 0) {
        return true;
    }
    connection->request.body = ha_json_parse(connection->body, connection->body_size, why, sizeof(why));
    if (!json_is_object(connection->request.body)) {
        *answer = em_error(400, "parseError", "Parse Error: %s",
                           connection->request.body == NULL ? why : "the body is no object");
        return false;
    }
    return true;
}

static bool against_schema(struct em_connection *connection, struct em_answer *answer)
{
    return refuse(connection, "query", em_schema_query_wrong(&connection->request), answer) ||
           refuse(connection, "request body", em_schema_body_wrong(&connection->request), answer);
}

static bool place_missing(const struct em_request *request, struct em_answer *answer)
{
    char *path;
    bool missing;

    if (strncmp(request->scope, "zones/", 6) != 0 && strncmp(request->scope, "regions/", 8) != 0) {
        return false;
    }
    if (strcmp(request->method->id, "imageFamilyViews.get") == 0) {
        return false; /* of zones/- too */
    }
    path = em_format("projects/%s/%s", request->project, request->scope);
    missing = em_store_find(path) == NULL;
    if (missing) {
        *answer = em_error_not_found(path);
    }
    free(path);
    return missing;
}

/* Everything that keeps a call from its handler. */
static bool stopped(struct em_connection *connection, struct em_answer *answer)
{
    struct em_request *request = &connection->request;
    const char *id = em_text(request->query, "requestId"), *wrong;

    if (!read_body(connection, answer) || against_schema(connection, answer) ||
        em_faults_catch(request, "before", answer)) {
        return true;
    }
    if (!em_catalogue_project(request->project)) {
        *answer = em_error(403, "forbidden", "Required 'compute.%s' permission for 'projects/%s'", request->method->id,
                           request->project);
        return true;
    }
    if (em_faults_rate_exceeded(request, answer) || place_missing(request, answer) ||
        em_faults_unreachable(request, answer)) {
        return true;
    }
    if (id == NULL) {
        return false;
    }
    wrong = em_operations_request_id_wrong(id);
    *answer = wrong != NULL ? em_error_invalid("requestId", id, wrong) : em_operations_repeated(request);
    return answer->status != 0;
}

/* On the way out. */
static void finish(struct em_connection *connection, struct em_answer *answer)
{
    struct em_answer other = {0};

    if (answer->status >= 200 && answer->status < 300) {
        char *wrong = em_schema_answer_wrong(connection->request.method, answer->body);

        if (wrong != NULL) {
            em_dispatch_violation(connection->request.method->id, "answer", wrong);
            free(wrong);
        }
        if (em_faults_catch(&connection->request, "after", &other)) {
            json_decref(answer->body);
            *answer = other;
        }
    }
    em_counts_end(&connection->count, answer->status);
    em_log(1, "%s %s -> %d", connection->verb, connection->path, answer->status);
}

static void process(void *context)
{
    struct em_connection *connection = context;
    struct em_answer answer = {0};

    if (!stopped(connection, &answer)) {
        connection->request.sent = json_deep_copy(connection->request.body);
        if (connection->request.body == NULL && connection->request.method->group == EM_CHANGE &&
            strcmp(connection->verb, "DELETE") != 0) {
            connection->request.body = json_object();
        }
        answer = connection->request.method->handler(&connection->request);
    }
    if (answer.status != 0 || answer.drop) {
        em_connection_answer(connection, answer);
    }
}

static struct em_answer unauthorized(void)
{
    struct em_answer answer = em_error(401, "authError",
                                       "Request had invalid authentication credentials. Expected OAuth 2 access token, "
                                       "login cookie or other valid authentication credential.");

    em_set(json_object_get(answer.body, "error"), "status", "UNAUTHENTICATED");
    answer.headers = json_pack("{s:s}", "WWW-Authenticate", "Bearer realm=\"https://accounts.google.com/\"");
    return answer;
}

static void count(struct em_connection *connection)
{
    char *query = json_dumps(connection->query, JSON_COMPACT | JSON_SORT_KEYS), *what = NULL;

    if (asprintf(&what, "%s %s %s %.*s", connection->verb, connection->path, query == NULL ? "" : query,
                 (int)connection->body_size, connection->body == NULL ? "" : connection->body) < 0) {
        abort();
    }
    em_counts_begin(&connection->count, connection->request.method, what);
    free(what);
    free(query);
}

void em_dispatch_api(struct em_connection *connection, const char *authorization)
{
    struct em_request *request = &connection->request;
    const char *prefix = "/compute/v1/";
    bool other_verb = false;
    unsigned latency_ms;

    if (strncmp(connection->path, prefix, strlen(prefix)) == 0) {
        request->method =
            em_routes_find(connection->verb, connection->path + strlen(prefix), &request->variables, &other_verb);
    }
    if (request->method == NULL) {
        struct em_answer answer =
            other_verb ? em_error(405, "httpMethodNotAllowed", "HTTP method not allowed: %s %s", connection->verb,
                                  connection->path)
                       : em_error(404, "notFound", "The requested URL %s was not found", connection->path);

        em_dispatch_violation("?", "path", connection->path);
        em_connection_answer(connection, answer);
        return;
    }
    request->user = em_auth_user(authorization);
    request->connection = connection;
    request->query = connection->query;
    request->project = em_text(request->variables, "project");
    request->scope = em_routes_scope(request->method, request->variables);
    count(connection);
    connection->finish = finish;
    if (request->user == NULL) {
        em_connection_answer(connection, unauthorized());
        return;
    }
    latency_ms = em_latency_request_ms(request->method->id);
    if (latency_ms > 0) {
        em_timer_set(&connection->timer, latency_ms, process, connection);
    } else {
        process(connection);
    }
}

void em_dispatch(struct em_connection *connection)
{
    const char *path = connection->path;

    if (strncmp(path, "/_emulator/", 11) == 0) {
        em_control_handle(connection);
    } else if (strcmp(path, "/token") == 0 || strcmp(path, "/v1/token") == 0) {
        em_auth_token(connection);
    } else if (strncmp(path, "/v1/projects/-/serviceAccounts/", 31) == 0) {
        em_auth_impersonate(connection);
    } else if (strncmp(path, "/batch", 6) == 0) {
        em_batch_handle(connection);
    } else {
        em_dispatch_api(connection, em_connection_header(connection, "Authorization"));
    }
}
