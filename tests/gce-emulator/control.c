/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "auth.h"
#include "catalogue.h"
#include "counts.h"
#include "dispatch.h"
#include "errors.h"
#include "faults.h"
#include "health.h"
#include "instances.h"
#include "latency.h"
#include "lib/json.h"
#include "lists.h"
#include "machines.h"
#include "metadata_server.h"
#include "operations.h"
#include "quotas.h"
#include "schema.h"
#include "store.h"

typedef struct em_answer control(const json_t *body);

static struct em_answer wrong(const char *why)
{
    return (struct em_answer){.status = 400, .body = json_pack("{s:s}", "error", why)};
}

static struct em_answer done(void)
{
    return em_ok(json_object());
}

/* ---- what can be read ------------------------------------------------------------------- */

static struct em_answer get_counts(const json_t *body)
{
    (void)body;
    return em_ok(em_counts_get());
}

static struct em_answer get_counts_table(const json_t *body)
{
    (void)body;
    return (struct em_answer){.status = 200, .text = em_counts_table()};
}

static struct em_answer get_violations(const json_t *body)
{
    (void)body;
    return em_ok(json_pack("{s:b,s:O}", "checked", em_schema_loaded(), "violations", em_dispatch_violations()));
}

static struct em_answer get_faults(const json_t *body)
{
    (void)body;
    return em_ok(em_faults_list());
}

static struct em_answer get_latency(const json_t *body)
{
    (void)body;
    return em_ok(em_latency_list());
}

static void add_state(struct em_collection *collection, void *json)
{
    struct em_resource *resource;

    if (em_catalogue_is_ours(collection->type)) {
        return;
    }
    EM_FOR_EACH(resource, collection)
    {
        json_t *shown = em_present(resource),
               *both = json_pack("{s:o,s:O}", "resource", shown, "hidden", resource->hidden);

        json_object_set_new(json, resource->path, both);
    }
}

static struct em_answer get_state(const json_t *body)
{
    json_t *json = json_object();

    (void)body;
    em_store_visit(NULL, NULL, add_state, json);
    return em_ok(json);
}

static void add_left(struct em_collection *collection, void *json)
{
    struct em_resource *resource;

    if (em_catalogue_is_ours(collection->type) || collection->type == &em_operation_type) {
        return;
    }
    EM_FOR_EACH(resource, collection)
    {
        json_array_append_new(json, json_string(resource->path));
    }
}

static struct em_answer get_left(const json_t *body)
{
    json_t *json = json_array();

    (void)body;
    em_store_visit(NULL, NULL, add_left, json);
    return em_ok(json_pack("{s:o,s:I}", "left", json, "operations_running", (json_int_t)em_operations_running()));
}

/* ---- what can be set --------------------------------------------------------------------- */

static struct em_answer reset_counts(const json_t *body)
{
    (void)body;
    em_counts_reset();
    return done();
}

static struct em_answer add_fault(const json_t *body)
{
    const char *why = em_faults_add(body);

    return why == NULL ? done() : wrong(why);
}

static struct em_answer clear_faults(const json_t *body)
{
    (void)body;
    em_faults_clear();
    return done();
}

static struct em_answer set_latency(const json_t *body)
{
    const char *preset = em_text(body, "preset"), *method = em_text(body, "method");

    if (preset != NULL) {
        return em_latency_preset(preset, (int)em_number(body, "percent", 100)) ? done()
                                                                               : wrong("a preset is none or realistic");
    }
    em_latency_set(method == NULL ? "*" : method, (int)em_number(body, "request_ms", -1),
                   (int)em_number(body, "operation_ms", -1));
    return done();
}

static struct em_answer set_zone(const json_t *body)
{
    const char *zone = em_text(body, "zone");
    bool down = em_true(body, "down");

    if (zone == NULL) {
        return wrong("zone and down");
    }
    em_faults_set_zone(zone, down);
    if (em_machines.zone_died != NULL) {
        em_machines.zone_died(zone, down);
    }
    em_machines_network_changed();
    return done();
}

static struct em_answer set_stock(const json_t *body)
{
    const char *zone = em_text(body, "zone"), *type = em_text(body, "machine_type");

    if (zone == NULL) {
        return wrong("zone, machine_type and out");
    }
    em_faults_set_stock(zone, type == NULL ? "*" : type, em_true(body, "out"));
    return done();
}

static struct em_answer set_quota(const json_t *body)
{
    const char *metric = em_text(body, "metric");

    if (metric == NULL || !em_quotas_set(metric, (double)em_number(body, "limit", 0))) {
        return wrong("metric (as in regions.get or projects.get) and limit");
    }
    return done();
}

static struct em_answer set_rate(const json_t *body)
{
    const char *group = em_text(body, "group");
    const char *why =
        em_faults_set_rate(group == NULL ? "" : group, (unsigned)em_number(body, "calls", 0),
                           (unsigned)em_number(body, "window_ms", 60000), (int)em_number(body, "status", 403));

    return why == NULL ? done() : wrong(why);
}

static struct em_answer set_health(const json_t *body)
{
    if (em_text(body, "instance") == NULL) {
        return wrong("instance (its name) and state");
    }
    em_health_set(em_text(body, "instance"), em_text(body, "state"));
    return done();
}

static struct em_resource *instance_of(const json_t *body)
{
    const char *project = em_text(body, "project"), *zone = em_text(body, "zone"), *name = em_text(body, "instance");
    struct em_resource *instance;
    char *path;

    project = project != NULL ? project : em_options.project;
    if (project == NULL || zone == NULL || name == NULL) {
        return NULL;
    }
    path = em_format("projects/%s/zones/%s/instances/%s", project, zone, name);
    instance = em_store_find(path);
    free(path);
    return instance;
}

static struct em_answer set_guest_attribute(const json_t *body)
{
    struct em_resource *instance = instance_of(body);

    if (instance == NULL || em_text(body, "namespace") == NULL || em_text(body, "key") == NULL) {
        return wrong("project, zone, instance (that exists), namespace, key, value");
    }
    em_instance_guest_attribute_set(instance, em_text(body, "namespace"), em_text(body, "key"), em_text(body, "value"));
    em_metadata_changed(instance);
    return done();
}

static struct em_answer write_serial(const json_t *body)
{
    struct em_resource *instance = instance_of(body);

    if (instance == NULL || em_text(body, "text") == NULL) {
        return wrong("project, zone, instance (that exists), text");
    }
    em_instance_serial_write(instance, em_text(body, "text"));
    return done();
}

static struct em_answer set_settings(const json_t *body)
{
    const char *name, *conflict = em_text(body, "ip_conflict");
    json_t *value;

    json_object_foreach((json_t *)body, name, value)
    {
        if (strcmp(name, "wait_cap_ms") == 0) {
            em_operations_set_wait_cap((unsigned)em_number(body, name, 120000));
        } else if (strcmp(name, "data_plane_ms") == 0) {
            em_options.data_plane_ms = (unsigned)em_number(body, name, 0);
        } else if (strcmp(name, "token_lifetime_s") == 0) {
            em_auth_set_lifetime_s((unsigned)em_number(body, name, 3599));
        } else if (strcmp(name, "ip_conflict") == 0 && conflict != NULL &&
                   (strcmp(conflict, "request") == 0 || strcmp(conflict, "operation") == 0)) {
            em_addresses_conflict_at_request(strcmp(conflict, "request") == 0);
        } else {
            return wrong("wait_cap_ms, data_plane_ms, token_lifetime_s, ip_conflict (request or operation)");
        }
    }
    return done();
}

static struct em_answer revoke_tokens(const json_t *body)
{
    em_auth_revoke(em_true(body, "renew"));
    return done();
}

static struct em_answer add_network(const json_t *body)
{
    const char *project = em_text(body, "project"), *name = em_text(body, "name"), *range = em_text(body, "range");

    project = project != NULL ? project : em_options.project;
    if (project == NULL || name == NULL || range == NULL || !em_catalogue_project(project)) {
        return wrong("project, name, range (its first two numbers, as 172.20)");
    }
    em_catalogue_network(project, name, range);
    return done();
}

static struct em_answer reset(const json_t *body)
{
    (void)body;
    em_control_reset();
    return done();
}

static const struct {
    const char *verb, *path;
    control *function;
} controls[] = {
    {"GET", "counts", get_counts},
    {"GET", "counts/table", get_counts_table},
    {"GET", "violations", get_violations},
    {"GET", "faults", get_faults},
    {"GET", "latency", get_latency},
    {"GET", "state", get_state},
    {"GET", "left", get_left},
    {"POST", "counts/reset", reset_counts},
    {"POST", "faults", add_fault},
    {"DELETE", "faults", clear_faults},
    {"POST", "latency", set_latency},
    {"POST", "zone", set_zone},
    {"POST", "stock", set_stock},
    {"POST", "quota", set_quota},
    {"POST", "rate", set_rate},
    {"POST", "health", set_health},
    {"POST", "guest-attribute", set_guest_attribute},
    {"POST", "serial", write_serial},
    {"POST", "settings", set_settings},
    {"POST", "tokens/revoke", revoke_tokens},
    {"POST", "network", add_network},
    {"POST", "reset", reset},
};

void em_control_reset(void)
{
    em_operations_clear();
    em_store_clear();
    em_addresses_clear();
    em_faults_clear();
    em_latency_clear();
    em_quotas_clear();
    em_health_clear();
    em_counts_reset();
    em_dispatch_clear();
    em_operations_set_wait_cap(120000);
    em_options.data_plane_ms = 0;
    em_auth_set_lifetime_s(3599);
}

/* guest/PROJECT/ZONE/NAME/computeMetadata/...: a test speaks as that machine. */
static bool as_guest(struct em_connection *connection, const char *path)
{
    char project[64], zone[64], name[64], *instance;
    int rest = 0;

    if (sscanf(path, "guest/%63[^/]/%63[^/]/%63[^/]%n", project, zone, name, &rest) != 3 || path[rest] != '/') {
        return false;
    }
    instance = em_format("projects/%s/zones/%s/instances/%s", project, zone, name);
    if (em_store_find(instance) == NULL) {
        em_connection_answer(connection, wrong("there is no such instance"));
    } else {
        em_metadata_handle(connection, path + rest, instance);
    }
    free(instance);
    return true;
}

void em_control_handle(struct em_connection *connection)
{
    const char *path = connection->path + strlen("/_emulator/");
    char why[160];
    json_t *body = NULL;

    if (as_guest(connection, path)) {
        return;
    }
    if (connection->body_size > 0) {
        body = ha_json_parse(connection->body, connection->body_size, why, sizeof(why));
        if (body == NULL) {
            em_connection_answer(connection, wrong(why));
            return;
        }
    }
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (strcmp(controls[i].verb, connection->verb) == 0 && strcmp(controls[i].path, path) == 0) {
            em_connection_answer(connection, controls[i].function(body));
            json_decref(body);
            return;
        }
    }
    json_decref(body);
    em_connection_answer(connection,
                         (struct em_answer){.status = 404, .body = json_pack("{s:s}", "error", "no such path")});
}
