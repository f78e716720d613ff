/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of each group before its members change, where the configuration
 * names a directory for them: DIRECTORY/CLUSTER/GROUP/OPERATION.db, of which
 * the newest are kept. One that cannot be made refuses the change, of which
 * nothing has been begun by then.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/asks.h"
#include "core/change_internal.h"
#include "core/log.h"
#include "lib/file.h"

#define SUFFIX ".db"

enum { TIMEOUT_MS = 600000 };

struct kept {
    char name[256];
    struct timespec made;
};

static bool changes_members(const struct ha_plan *plan, int group)
{
    for (int i = 0; i < plan->count; i++) {
        enum ha_step_kind kind = plan->steps[i].kind;
        if (plan->steps[i].group == group &&
            (kind == HA_STEP_MEMBER_ADD || kind == HA_STEP_MEMBER_PROMOTE || kind == HA_STEP_MEMBER_REMOVE))
            return true;
    }
    return false;
}

static int newest_first(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;
    if (a->made.tv_sec != b->made.tv_sec)
        return a->made.tv_sec < b->made.tv_sec ? 1 : -1;
    return (a->made.tv_nsec < b->made.tv_nsec) - (a->made.tv_nsec > b->made.tv_nsec);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), its = strlen(suffix);
    return length > its && strcmp(name + length - its, suffix) == 0;
}

/* What a run that was killed has left half made goes too: whoever is here holds the cluster's lock. */
static size_t find_kept(DIR *directory, struct kept **kept)
{
    const struct dirent *entry;
    size_t count = 0, room = 0;
    *kept = NULL;
    while ((entry = readdir(directory))) {
        struct stat info;
        if (ends_with(entry->d_name, SUFFIX ".partial"))
            unlinkat(dirfd(directory), entry->d_name, 0);
        if (!ends_with(entry->d_name, SUFFIX) ||
            fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(info.st_mode))
            continue;
        if (count == room) {
            struct kept *more = realloc(*kept, (room = room * 2 + 16) * sizeof **kept);
            if (!more)
                break;
            *kept = more;
        }
        snprintf((*kept)[count].name, sizeof(*kept)[count].name, "%s", entry->d_name);
        (*kept)[count++].made = info.st_mtim;
    }
    return count;
}

static void drop_old(const char *path, int64_t keep)
{
    DIR *directory = opendir(path);
    struct kept *kept = NULL;
    size_t count = directory ? find_kept(directory, &kept) : 0;
    if (count > 0)
        qsort(kept, count, sizeof *kept, newest_first);
    for (size_t i = (size_t)keep; i < count; i++)
        if (unlinkat(dirfd(directory), kept[i].name, 0) == 0)
            ha_log(HACTL_LOG_INFO, "removed the old snapshot %s/%s", path, kept[i].name);
    free(kept);
    if (directory)
        closedir(directory);
}

static int64_t time_ms(const struct change *c)
{
    int64_t left_ms = c->run.deadline_ms ? c->run.deadline_ms - ha_now_ms() : TIMEOUT_MS;
    return left_ms < TIMEOUT_MS ? left_ms : TIMEOUT_MS;
}

static int take(struct change *c, int group, const char *directory)
{
    const struct ha_configuration *configuration = c->session->configuration;
    const char *name = c->session->observed.model.groups[group].name;
    char *path = NULL;
    int rc = 0;
    if (asprintf(&path, "%s/%s%s", directory, c->operation, SUFFIX) < 0)
        return ha_fail(c->error, HA_EXIT_INTERNAL, "out of memory");
    struct hactl_call *call = NULL;
    if (access(path, F_OK) == 0) /* of the run before this one, of the same operation */
        goto out;
    call = ha_ask_snapshot(c->session, group, path, time_ms(c));
    if (!call)
        goto out; /* this kind of group knows no snapshots */
    int code = ha_call_wait(call);
    if (code < 0) {
        rc = ha_fail(c->error, ha_exit_of_code(code), "%s: no snapshot before its members change: %s", name,
                     call->text[0] ? call->text : ha_code_name(code));
        ha_advise(c->error, "nothing was begun; to go without a snapshot: --set snapshots.keep=0");
        goto out;
    }
    ha_change_say(c, "a snapshot of %s from before this is in %s", name, path);
    drop_old(directory, configuration->snapshots_keep);
out:
    ha_call_free(call);
    free(path);
    return rc;
}

int ha_change_snapshot(struct change *c)
{
    const struct ha_configuration *configuration = c->session->configuration;
    const struct ha_model *model = &c->session->observed.model;
    if (!configuration->snapshots_directory || configuration->snapshots_keep == 0)
        return 0;
    for (int g = 0; g < model->group_count; g++) {
        char *directory = NULL;
        if (!ha_model_is_formed(&model->groups[g]) || !changes_members(c->plan, g))
            continue;
        if (asprintf(&directory, "%s/%s/%s", configuration->snapshots_directory, configuration->cluster_name,
                     model->groups[g].name) < 0)
            return ha_fail(c->error, HA_EXIT_INTERNAL, "out of memory");
        int made = ha_directory_make(directory, 0700);
        int rc = made < 0 ? ha_fail_errno(c->error, HA_EXIT_FAILED, -made, "snapshots.directory: %s", directory)
                          : take(c, g, directory);
        free(directory);
        if (rc)
            return -1;
    }
    return 0;
}
