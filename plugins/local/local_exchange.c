/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate and its key are two files, and who is killed between the two would leave a pair that opens nothing. So
 * where more than one file changes, the payload's directory is made once more beside it, of the new files and of hard
 * links to all others, and the two directories change their names in one instant.
 */
#define _GNU_SOURCE
#include "plugins/local/local.h"

#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE ".hactl-aside"

static bool is_one_of(const struct local_placing *placing, const char *path)
{
    for (size_t i = 0; i < placing->count; i++)
        if (strcmp(placing->places[i].path, path) == 0 || strcmp(placing->places[i].staged, path) == 0)
            return true;
    return false;
}

/* Something that a unit made there itself would be left behind. */
static bool has_others(const struct local_placing *placing)
{
    char directory[PATH_MAX];
    char *roots[] = {directory, NULL};
    bool others = false;
    FTS *walk;
    FTSENT *entry;

    snprintf(directory, sizeof(directory), "%s", placing->directory);
    walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return true;
    while (!others && (entry = fts_read(walk)))
        others = entry->fts_info == FTS_F ? !is_one_of(placing, entry->fts_path)
                                          : entry->fts_info != FTS_D && entry->fts_info != FTS_DP;
    fts_close(walk);
    return others;
}

/* A directory with what will be there, durable. */
static int make_aside(const struct local_placing *placing, const char *aside)
{
    size_t length = strlen(placing->directory);
    char path[PATH_MAX + sizeof(ASIDE)], *name;
    int rc = ha_directory_make(aside, 0700);

    for (size_t i = 0; rc == 0 && i < placing->count; i++) {
        const struct local_place *place = &placing->places[i];
        snprintf(path, sizeof(path), "%s%s", aside, place->path + length);
        name = strrchr(path, '/');
        *name = '\0';
        rc = ha_directory_make(path, 0700);
        *name = '/';
        if (rc == 0 && link(place->changes ? place->staged : place->path, path) < 0)
            rc = -errno;
        *name = '\0';
        if (rc == 0)
            rc = ha_directory_sync(path);
    }
    return rc == 0 ? ha_directory_sync(aside) : rc;
}

int local_exchange_clear(const char *directory)
{
    char aside[PATH_MAX + sizeof(ASIDE)];

    snprintf(aside, sizeof(aside), "%s" ASIDE, directory);
    return ha_tree_remove(aside);
}

bool local_exchange(const struct local_placing *placing)
{
    char aside[PATH_MAX + sizeof(ASIDE)], parent[PATH_MAX];
    bool done;

    if (has_others(placing))
        return false;
    snprintf(aside, sizeof(aside), "%s" ASIDE, placing->directory);
    snprintf(parent, sizeof(parent), "%s", placing->directory);
    *strrchr(parent, '/') = '\0';
    done = make_aside(placing, aside) == 0 && ha_directory_sync(parent) == 0 &&
           renameat2(AT_FDCWD, aside, AT_FDCWD, placing->directory, RENAME_EXCHANGE) == 0;
    if (done)
        ha_directory_sync(parent);
    local_exchange_clear(
        placing->directory); /* the old one, or one that came to nothing; else the next delivery does */
    return done;
}
