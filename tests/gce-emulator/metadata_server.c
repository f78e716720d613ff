/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata_server.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "instances.h"
#include "metadata_tree.h"
#include "store.h"

#define ROOT         "/computeMetadata/v1/"
#define GUEST        "instance/guest-attributes/"
#define WAIT_MOST_MS (24u * 3600 * 1000)
#define VALUE_MOST   (512u * 1024)

/* Somebody who waits for a change. */
struct waiter {
    struct em_connection *connection;
    char *instance_path; /* NULL: none */
    char *path;
    char etag[20];
    bool json;
    struct waiter *next;
};

static struct waiter *waiters;

static void reply(struct em_connection *connection, int status, char *text, const char *type, const char *etag)
{
    struct em_answer answer = {.status = status, .text = text};

    answer.headers = json_pack("{s:s,s:s,s:s}", "Metadata-Flavor", "Google", "Server", "Metadata Server for VM",
                               "Content-Type", type);
    if (etag != NULL) {
        em_set(answer.headers, "ETag", etag);
    }
    em_connection_answer(connection, answer);
}

static void fail(struct em_connection *connection, int status, const char *words)
{
    reply(connection, status, em_format("%s\n", words), "text/html; charset=UTF-8", NULL);
}

static const struct em_resource *instance_of(const char *path)
{
    return path == NULL ? NULL : em_store_find(path);
}

static bool wanted(const struct em_connection *connection, const char *name)
{
    const char *text = em_text(connection->query, name);

    return text != NULL && strcasecmp(text, "true") == 0;
}

/* The text at a path and its etag; NULL: there is none. Caller frees. */
static char *look(const char *instance_path, const char *path, bool json, char *etag, size_t size, bool *structure)
{
    json_t *tree = em_metadata_tree(instance_of(instance_path), path), *part = em_metadata_tree_find(tree, path);
    char *text = part == NULL ? NULL : em_metadata_tree_text(part, json);

    *structure = json_is_object(part) || json_is_array(part);
    em_metadata_tree_etag(text == NULL ? "" : text, etag, size);
    json_decref(tree);
    return text;
}

/* ---- waiting ------------------------------------------------------------------------- */

static void unlink_waiter(struct waiter *waiter)
{
    struct waiter **place = &waiters;

    while (*place != waiter) {
        place = &(*place)->next;
    }
    *place = waiter->next;
}

static void free_waiter(struct waiter *waiter)
{
    unlink_waiter(waiter);
    em_timer_clear(&waiter->connection->timer);
    free(waiter->instance_path);
    free(waiter->path);
    free(waiter);
}

/* Answers with what is there now, changed or not. */
static void end_wait(void *context)
{
    struct waiter *waiter = context;
    struct em_connection *connection = waiter->connection;
    char etag[20];
    bool structure;
    char *text = look(waiter->instance_path, waiter->path, waiter->json, etag, sizeof(etag), &structure);
    bool json = waiter->json;

    free_waiter(waiter);
    if (text == NULL) {
        fail(connection, 404, "Not Found");
    } else {
        reply(connection, 200, text, json ? "application/json" : "application/text", etag);
    }
}

void em_metadata_changed(const struct em_resource *instance)
{
    struct waiter *next;

    for (struct waiter *waiter = waiters; waiter != NULL; waiter = next) {
        char etag[20], *text;
        bool structure;

        next = waiter->next;
        if (instance != NULL && (waiter->instance_path == NULL || strcmp(waiter->instance_path, instance->path) != 0)) {
            continue;
        }
        text = look(waiter->instance_path, waiter->path, waiter->json, etag, sizeof(etag), &structure);
        free(text);
        if (strcmp(etag, waiter->etag) != 0) {
            end_wait(waiter);
        }
    }
}

void em_metadata_gone(const struct em_resource *instance)
{
    struct waiter *next;

    for (struct waiter *waiter = waiters; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (waiter->instance_path != NULL && strcmp(waiter->instance_path, instance->path) == 0) {
            struct em_connection *connection = waiter->connection;

            free_waiter(waiter);
            em_connection_answer(connection, (struct em_answer){.drop = true});
        }
    }
}

/* It is gone, and so its waiter. */
static void forget(struct em_connection *connection)
{
    for (struct waiter *waiter = waiters; waiter != NULL; waiter = waiter->next) {
        if (waiter->connection == connection) {
            free_waiter(waiter);
            return;
        }
    }
}

static void wait_for_change(struct em_connection *connection, const char *instance_path, const char *path, bool json,
                            const char *etag)
{
    struct waiter *waiter = em_alloc(sizeof(*waiter));
    long long seconds = em_number(connection->query, "timeout_sec", 0);

    waiter->connection = connection;
    connection->forget = forget;
    waiter->instance_path = em_strdup(instance_path);
    waiter->path = em_strdup(path);
    waiter->json = json;
    strcpy(waiter->etag, etag);
    waiter->next = waiters;
    waiters = waiter;
    em_timer_set(&connection->timer, seconds > 0 ? (uint64_t)seconds * 1000 : WAIT_MOST_MS, end_wait, waiter);
}

/* ---- what is asked ----------------------------------------------------------------------- */

static void answer_get(struct em_connection *connection, const char *instance_path, const char *path)
{
    const char *alt = em_text(connection->query, "alt"), *last = em_text(connection->query, "last_etag");
    bool json = wanted(connection, "recursive") || (alt != NULL && strcmp(alt, "json") == 0), structure;
    char etag[20];
    char *text = look(instance_path, path, json, etag, sizeof(etag), &structure);

    if (text == NULL) {
        fail(connection, 404, "Not Found");
        return;
    }
    if (structure && path[0] != '\0' && path[strlen(path) - 1] != '/' && !json && text[0] != '[') {
        struct em_answer answer = {.status = 301, .text = text};

        answer.headers = json_pack("{s:s,s:s,s:s+++}", "Metadata-Flavor", "Google", "Content-Type", "text/html",
                                   "Location", ROOT, path, "/");
        em_connection_answer(connection, answer);
        return;
    }
    if (wanted(connection, "wait_for_change") && (last == NULL || strcmp(last, etag) == 0)) {
        free(text);
        wait_for_change(connection, instance_path, path, json, etag);
        return;
    }
    reply(connection, 200, text, json ? "application/json" : "application/text", etag);
}

/* .../service-accounts/ACCOUNT/token and .../identity are made when asked for. */
static bool answer_account(struct em_connection *connection, const char *instance_path, const char *path)
{
    const char *prefix = "instance/service-accounts/", *name = path + strlen(prefix), *slash;
    json_t *tree, *account;
    char *parent;
    bool mine = true;

    if (strncmp(path, prefix, strlen(prefix)) != 0 || (slash = strchr(name, '/')) == NULL ||
        (strcmp(slash, "/token") != 0 && strcmp(slash, "/identity") != 0)) {
        return false;
    }
    tree = em_metadata_tree(instance_of(instance_path), path);
    parent = em_format("%.*s", (int)(slash - path), path);
    account = em_metadata_tree_find(tree, parent);
    free(parent);
    if (account == NULL) {
        fail(connection, 404, "Not Found");
    } else if (strcmp(slash, "/identity") == 0) {
        reply(connection, 200, em_auth_id_token(em_text(connection->query, "audience")), "text/html", NULL);
    } else {
        json_t *token = json_pack("{s:s,s:i,s:s}", "access_token", em_auth_issue(em_text(account, "email")),
                                  "expires_in", (int)em_auth_lifetime_s(), "token_type", "Bearer");

        reply(connection, 200, json_dumps(token, JSON_COMPACT), "application/json", NULL);
        json_decref(token);
    }
    json_decref(tree);
    return mine;
}

/* instance/guest-attributes/NAMESPACE/KEY */
static void change_guest_attribute(struct em_connection *connection, const char *instance_path, const char *path)
{
    struct em_resource *instance = instance_path == NULL ? NULL : em_store_find(instance_path);
    const char *name = path + strlen(GUEST), *slash = strchr(name, '/');
    char *space;

    if (instance == NULL || strncmp(path, GUEST, strlen(GUEST)) != 0) {
        fail(connection, 405, "Method Not Allowed");
        return;
    }
    if (!em_instance_guest_attributes_on(instance)) {
        fail(connection, 403, "Guest attributes endpoint access is disabled.");
        return;
    }
    if (slash == NULL || slash == name || slash[1] == '\0' || strchr(slash + 1, '/') != NULL ||
        connection->body_size > VALUE_MOST) {
        fail(connection, 400, "Bad Request");
        return;
    }
    space = em_format("%.*s", (int)(slash - name), name);
    em_instance_guest_attribute_set(instance, space, slash + 1,
                                    strcmp(connection->verb, "PUT") != 0 ? NULL
                                    : connection->body == NULL           ? ""
                                                                         : connection->body);
    free(space);
    reply(connection, 200, em_strdup(""), "text/html", NULL);
    em_metadata_changed(instance);
}

void em_metadata_handle(struct em_connection *connection, const char *path, const char *instance_path)
{
    const char *flavor = em_connection_header(connection, "Metadata-Flavor");
    bool ping = strcmp(path, "/") == 0 || path[0] == '\0';

    if (ping) {
        reply(connection, 200, em_strdup("0.1/\ncomputeMetadata/\n"), "application/text", NULL);
    } else if (em_connection_header(connection, "X-Forwarded-For") != NULL) {
        fail(connection, 403, "Forwarded requests are refused.");
    } else if (flavor == NULL || strcmp(flavor, "Google") != 0) {
        fail(connection, 403, "Missing Metadata-Flavor:Google header.");
    } else if (strncmp(path, ROOT, strlen(ROOT)) != 0) {
        fail(connection, 404, "Not Found");
    } else if (strcmp(connection->verb, "PUT") == 0 || strcmp(connection->verb, "DELETE") == 0) {
        change_guest_attribute(connection, instance_path, path + strlen(ROOT));
    } else if (strcmp(connection->verb, "GET") != 0) {
        fail(connection, 405, "Method Not Allowed");
    } else if (!answer_account(connection, instance_path, path + strlen(ROOT))) {
        answer_get(connection, instance_path, path + strlen(ROOT));
    }
}

void em_metadata_serve(struct em_connection *connection)
{
    em_log(1, "metadata: %s %s", connection->verb, connection->path);
    em_metadata_handle(connection, connection->path, em_server_context(connection->server));
}
