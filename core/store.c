/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/store_internal.h"
#include "lib/file.h"

enum { DESIRED_LIMIT = 1 << 20, SCHEMA = 1 };

int ha_store_open(const char *directory, struct ha_store **out, struct ha_error *error)
{
    struct ha_store *store = calloc(1, sizeof *store);
    if (!store || !(store->directory = strdup(directory))) {
        free(store);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    store->lock_fd = -1;
    *out = store;
    return 0;
}

void ha_store_close(struct ha_store *store)
{
    if (!store)
        return;
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->directory);
    free(store);
}

const char *ha_store_directory(const struct ha_store *store)
{
    return store->directory;
}

int ha_store_path(const struct ha_store *store, const char *name, char out[PATH_MAX], struct ha_error *error)
{
    int used = snprintf(out, PATH_MAX, "%s%s%s", store->directory, name[0] ? "/" : "", name);
    return used < PATH_MAX ? 0 : ha_fail(error, HA_EXIT_USAGE, "%s: the path is too long", store->directory);
}

/* How much is free is told for the reader to see that it is this file system, or a quota. */
void ha_store_advise_room(struct ha_error *error, int code, const char *directory)
{
    struct statvfs there;
    char place[121];
    if (code != ENOSPC && code != EDQUOT)
        return;
    snprintf(place, sizeof place, "%s", directory);
    if (statvfs(directory, &there))
        ha_advise(error, "make some room in the file system of %s, then run the same command again", place);
    else
        ha_advise(
            error, "make some room in the file system of %s (%llu bytes are free%s), then run the same command again",
            place, (unsigned long long)there.f_bavail * there.f_frsize, code == EDQUOT ? "; a quota is used up" : "");
}

int ha_store_fail(struct ha_error *error, int code, const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    bool denied = code == EACCES || code == EPERM || code == EROFS;
    ha_fail_errno(error, denied ? HA_EXIT_DENIED : HA_EXIT_FAILED, code, "%s", path);
    if (denied)
        ha_advise(error, "run hactl as the user who made the cluster, or set another state.directory");
    else if (code == ENOTDIR || code == ENAMETOOLONG)
        ha_advise(error, "set state.directory to a directory that hactl can make");
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 0, path);
    ha_store_advise_room(error, code, directory);
    return -1;
}

/* ---- desired state as JSON */

static const char *const endpoint_words[] = {
    [HA_ENDPOINT_AUTO] = "auto", [HA_ENDPOINT_BALANCER] = "balancer", [HA_ENDPOINT_REPLICA] = "replica"};

const char *const ha_rotation_words[] = {[HA_ROTATE_BACK] = "back",
                                         [HA_ROTATE_PREPARE] = "prepare",
                                         [HA_ROTATE_TRUST] = "trust",
                                         [HA_ROTATE_SWITCH] = "switch",
                                         [HA_ROTATE_RETIRE] = "retire"};

json_t *ha_desired_to_json(const struct ha_desired *desired)
{
    json_t *replicas = json_array(), *formed = json_object();
    for (int i = 0; i < desired->replica_count; i++) {
        const struct ha_desired_replica *r = &desired->replicas[i];
        json_t *item = json_pack("{ss ss sb sb}", "name", r->name, "zone", r->zone, "leaving", r->leaving, "founding",
                                 r->founding);
        if (r->returning)
            json_object_set_new(item, "returning", json_true());
        json_array_append_new(replicas, item);
    }
    for (int i = 0; i < desired->formed_count; i++)
        json_object_set_new(formed, desired->formed[i].group, json_string(desired->formed[i].cluster_id));
    json_t *cloud = desired->cloud_plugin[0]
                        ? json_pack("{ss ss}", "instance", desired->cloud, "plugin", desired->cloud_plugin)
                        : NULL;
    if (cloud && desired->cloud_place[0])
        json_object_set_new(cloud, "place", json_string(desired->cloud_place));
    json_t *balancer = desired->balancer_plugin[0]
                           ? json_pack("{ss ss}", "instance", desired->balancer, "plugin", desired->balancer_plugin)
                           : NULL;
    json_t *issuer = desired->issuer_plugin[0]
                         ? json_pack("{ss ss}", "instance", desired->issuer, "plugin", desired->issuer_plugin)
                         : NULL;
    json_t *port = desired->endpoint_port ? json_integer(desired->endpoint_port) : NULL;
    return json_pack("{si sI si sb so* so* so* so* ss ss ss ss so so ss}", "schema", SCHEMA, "generation",
                     (json_int_t)desired->generation, "next_ordinal", desired->next_ordinal, "destroy",
                     desired->destroy, "cloud", cloud, "balancer", balancer, "issuer", issuer, "endpoint_port", port,
                     "endpoint", endpoint_words[desired->endpoint_want], "endpoint_replica", desired->endpoint_replica,
                     "rotation", desired->rotation, "rotation_goal",
                     desired->rotation[0] ? ha_rotation_words[desired->rotation_goal] : "", "replicas", replicas,
                     "formed", formed, "operation", desired->operation);
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static int read_replica(const json_t *json, struct ha_desired *out)
{
    struct ha_desired_replica *r = &out->replicas[out->replica_count];
    const char *name, *zone;
    int leaving = 0, founding = 0, returning = 0;
    if (json_unpack((json_t *)json, "{ss ss s?b s?b s?b}", "name", &name, "zone", &zone, "leaving", &leaving,
                    "founding", &founding, "returning", &returning))
        return -1;
    copy(r->name, sizeof r->name, name);
    copy(r->zone, sizeof r->zone, zone);
    r->leaving = leaving;
    r->founding = founding;
    r->returning = returning;
    out->replica_count++;
    return 0;
}

int ha_desired_from_json(const json_t *json, struct ha_desired *out, struct ha_error *error)
{
    struct ha_desired read = {0};
    int schema = 0, destroy = 0;
    json_int_t generation = 0;
    const char *endpoint = "auto", *endpoint_replica = "", *operation = "", *group, *rotation = "", *goal = "";
    const char *cloud = "", *cloud_plugin = "", *cloud_place = "", *balancer = "", *balancer_plugin = "";
    const char *issuer = "", *issuer_plugin = "";
    json_t *replicas = NULL, *formed = NULL, *item;
    json_error_t fault;
    size_t index;
    if (json_unpack_ex((json_t *)json, &fault, 0,
                       "{si sI si s?b s?{ss ss s?s} s?{ss ss} s?{ss ss} s?i s?s s?s s?s s?s so s?o s?s}", "schema",
                       &schema, "generation", &generation, "next_ordinal", &read.next_ordinal, "destroy", &destroy,
                       "cloud", "instance", &cloud, "plugin", &cloud_plugin, "place", &cloud_place, "balancer",
                       "instance", &balancer, "plugin", &balancer_plugin, "issuer", "instance", &issuer, "plugin",
                       &issuer_plugin, "endpoint_port", &read.endpoint_port, "endpoint", &endpoint, "endpoint_replica",
                       &endpoint_replica, "rotation", &rotation, "rotation_goal", &goal, "replicas", &replicas,
                       "formed", &formed, "operation", &operation))
        return ha_fail(error, HA_EXIT_FAILED, "the stored replica set cannot be read: %s", fault.text);
    if (schema != SCHEMA)
        return ha_fail(error, HA_EXIT_FAILED,
                       "the store was written by another version of hactl (schema %d, this one knows %d)", schema,
                       SCHEMA);
    read.generation = (uint64_t)generation;
    read.destroy = destroy;
    for (size_t i = 0; i < sizeof endpoint_words / sizeof *endpoint_words; i++)
        if (strcmp(endpoint, endpoint_words[i]) == 0)
            read.endpoint_want = (enum ha_endpoint_want)i;
    copy(read.cloud, sizeof read.cloud, cloud);
    copy(read.cloud_plugin, sizeof read.cloud_plugin, cloud_plugin);
    copy(read.cloud_place, sizeof read.cloud_place, cloud_place);
    copy(read.balancer, sizeof read.balancer, balancer);
    copy(read.balancer_plugin, sizeof read.balancer_plugin, balancer_plugin);
    copy(read.issuer, sizeof read.issuer, issuer);
    copy(read.issuer_plugin, sizeof read.issuer_plugin, issuer_plugin);
    copy(read.rotation, sizeof read.rotation, rotation);
    for (size_t i = 0; i < HA_ROTATION_GOALS; i++)
        if (strcmp(goal, ha_rotation_words[i]) == 0)
            read.rotation_goal = (enum ha_rotation_goal)i;
    copy(read.endpoint_replica, sizeof read.endpoint_replica, endpoint_replica);
    copy(read.operation, sizeof read.operation, operation);
    json_array_foreach(replicas, index, item)
    {
        if (read.replica_count == HA_REPLICAS || read_replica(item, &read))
            return ha_fail(error, HA_EXIT_FAILED, "the stored replica set cannot be read: replica %zu", index);
    }
    json_object_foreach(formed, group, item)
    {
        if (read.formed_count == HA_GROUPS)
            break;
        copy(read.formed[read.formed_count].group, HA_NAME, group);
        copy(read.formed[read.formed_count++].cluster_id, sizeof read.formed[0].cluster_id, json_string_value(item));
    }
    *out = read;
    return 0;
}

/* The file is replaced as a whole, so hactl itself leaves none like that; its
 * last good content is in the newest journal. */
static int advise_damaged(const struct ha_store *store, struct ha_error *error)
{
    ha_advise(
        error,
        "put back what it was: a copy, or \"desired\" in the last \"end\" of the newest file in %.120s/operations",
        store->directory);
    return -1;
}

int ha_store_read(struct ha_store *store, struct ha_desired *out, struct ha_error *error)
{
    char path[PATH_MAX], *content = NULL;
    size_t size = 0;
    memset(out, 0, sizeof *out);
    if (ha_store_path(store, "desired.json", path, error))
        return -1;
    int rc = ha_file_read(path, DESIRED_LIMIT, &content, &size);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0) {
        ha_store_fail(error, -rc, path);
        ha_advise(error, "see what is wrong with that file");
        return -1;
    }
    json_error_t fault;
    json_t *json = json_loadb(content, size, JSON_REJECT_DUPLICATES, &fault);
    free(content);
    if (!json) {
        ha_fail(error, HA_EXIT_FAILED, "%s: the stored replica set is damaged (line %d: %s)", path, fault.line,
                fault.text);
        return advise_damaged(store, error);
    }
    rc = ha_desired_from_json(json, out, error);
    json_decref(json);
    if (rc) {
        ha_error_prefix(error, "%s", path);
        advise_damaged(store, error);
    }
    return rc;
}

int ha_store_write(struct ha_store *store, struct ha_desired *desired, struct ha_error *error)
{
    char path[PATH_MAX], *text = NULL;
    if (store->lock_fd < 0)
        return ha_fail(error, HA_EXIT_INTERNAL, "the store was to be written without its lock");
    if (ha_store_path(store, "desired.json", path, error))
        return -1;
    desired->generation++;
    json_t *json = ha_desired_to_json(desired);
    if (!json || !(text = json_dumps(json, JSON_INDENT(2)))) {
        json_decref(json);
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    }
    json_decref(json);
    int rc = ha_file_replace(path, text, strlen(text), 0600, true);
    free(text);
    return rc < 0 ? ha_store_fail(error, -rc, path) : 0;
}

int ha_store_destroy(struct ha_store *store, struct ha_error *error)
{
    if (store->lock_fd < 0)
        return ha_fail(error, HA_EXIT_INTERNAL, "the store was to be removed without its lock");
    char path[PATH_MAX];
    /* The replica set goes first: from then on the store counts as empty,
     * whatever happens to the rest. */
    if (ha_store_path(store, "desired.json", path, error))
        return -1;
    if (unlink(path) && errno != ENOENT)
        return ha_store_fail(error, errno, path);
    ha_fault_point("store");
    int rc = ha_tree_remove(store->directory);
    return rc < 0 ? ha_fail_errno(error, HA_EXIT_FAILED, -rc, "%s", store->directory) : 0;
}

/* ---- the replica set */

int ha_desired_find(const struct ha_desired *desired, const char *name)
{
    for (int i = 0; i < desired->replica_count; i++)
        if (strcmp(desired->replicas[i].name, name) == 0)
            return i;
    return -1;
}

int ha_desired_add(struct ha_desired *desired, const char *cluster, const char *name, const char *zone,
                   struct ha_error *error)
{
    if (desired->replica_count == HA_REPLICAS)
        return ha_fail(error, HA_EXIT_USAGE, "%d replicas are the most that hactl handles", HA_REPLICAS);
    struct ha_desired_replica *r = &desired->replicas[desired->replica_count];
    memset(r, 0, sizeof *r);
    do {
        if (name)
            copy(r->name, sizeof r->name, name);
        else
            snprintf(r->name, sizeof r->name, "%.40s-%d", cluster, ++desired->next_ordinal);
    } while (!name && ha_desired_find(desired, r->name) >= 0);
    if (name && ha_desired_find(desired, name) >= 0)
        return ha_fail(error, HA_EXIT_USAGE, "there is a replica %s already", name);
    copy(r->zone, sizeof r->zone, zone);
    return desired->replica_count++;
}
