/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for another replica. All replicas of this cloud share one disk: the one
 * that fills it takes the room from all. What it will hold is what the others
 * hold, and while that is copied there may be two of it.
 */
#include "plugins/local/local.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* etcd alone sets 64 MB aside for the first segment of its log. */
#define LEAST_BYTES (256LL << 20)

static long long bytes_below(char *path)
{
    char *paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    long long bytes = 0;
    FTSENT *entry;

    if (!tree)
        return 0;
    while ((entry = fts_read(tree)))
        if (entry->fts_info == FTS_F)
            bytes += (long long)entry->fts_statp->st_size;
    fts_close(tree);
    return bytes;
}

/* The instance with the most data; its name is the caller's to free, NULL: there is none. */
static char *largest(struct local *local, long long *bytes)
{
    char path[PATH_MAX], **names, *found = NULL;
    size_t count;

    *bytes = 0;
    if (local_names(local_path(local, path, "instances"), &names, &count) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        long long its = bytes_below((char *)local_path(local, path, "instances/%s/data", names[i]));

        if (its <= *bytes)
            continue;
        *bytes = its;
        free(found);
        found = strdup(names[i]);
    }
    local_names_free(names, count);
    return found;
}

/* The state directory may not be there yet: the first of its parents is. */
static int free_bytes(struct local *local, struct hactl_call *call, char path[PATH_MAX], long long *left)
{
    struct statvfs disk;
    char *slash;

    memcpy(path, local->directory, PATH_MAX);
    while (statvfs(path, &disk) < 0) {
        slash = strrchr(path, '/');
        if (errno != ENOENT || !slash || slash == path)
            return local_error(local, call, -errno, "state directory %s", local->directory);
        *slash = '\0';
    }
    *left = (long long)disk.f_bavail * (long long)disk.f_frsize;
    return HACTL_OK;
}

int local_disk_check(struct local *local, struct hactl_call *call)
{
    char path[PATH_MAX], *name = NULL, why[256] = "";
    long long left = 0, most = 0, needed = LEAST_BYTES;
    int rc = free_bytes(local, call, path, &left);

    if (rc != HACTL_OK)
        return rc;
    name = largest(local, &most);
    if (2 * most > needed) {
        needed = 2 * most;
        snprintf(why, sizeof(why), ", twice what %s holds", name ? name : "another");
    }
    if (left < needed)
        rc = local->host->fail(call, HACTL_E_QUOTA, "%s has %lld MB left; a new replica needs at least %lld MB%s", path,
                               left >> 20, needed >> 20, why);
    free(name);
    return rc;
}
