/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tests/crash/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTORS = 16 };

/* nftw has nothing to hand through. */
static struct {
    const char *to;
    size_t skip; /* of a path: what it has of the source's own */
    const char *ending;
    bool found;
} walk;

static int copy_file(const char *from, const char *to, const struct stat *status)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, error = 0;
    ssize_t sent = 1;
    if (in >= 0)
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, status->st_mode & 07777);
    while (out >= 0 && sent > 0)
        sent = sendfile(out, in, NULL, 1 << 20);
    if (in < 0 || out < 0 || sent < 0)
        error = -errno;
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return error;
}

static int copy_link(const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t size = readlink(from, target, sizeof target - 1);
    if (size < 0)
        return -errno;
    target[size] = '\0';
    return symlink(target, to) < 0 ? -errno : 0;
}

static int copy_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    char to[2 * PATH_MAX];
    (void)where;
    snprintf(to, sizeof to, "%s%s", walk.to, path + walk.skip);
    if (type == FTW_D)
        return mkdir(to, status->st_mode & 07777) < 0 ? -errno : 0;
    if (type == FTW_SL)
        return copy_link(path, to);
    return type == FTW_F && S_ISREG(status->st_mode) ? copy_file(path, to, status) : -EINVAL;
}

int tree_copy(const char *from, const char *to)
{
    mode_t before = umask(0);
    walk.to = to;
    walk.skip = strlen(from);
    int error = nftw(from, copy_one, DESCRIPTORS, FTW_PHYS);
    umask(before);
    return error == -1 ? -errno : error;
}

static int look_at(const char *path, const struct stat *status, int type, struct FTW *where)
{
    size_t length = strlen(path), its = strlen(walk.ending);
    (void)status;
    (void)type;
    (void)where;
    walk.found = length > its && strcmp(path + length - its, walk.ending) == 0;
    return walk.found;
}

bool tree_has(const char *path, const char *ending)
{
    walk.ending = ending;
    walk.found = false;
    (void)nftw(path, look_at, DESCRIPTORS, FTW_PHYS);
    return walk.found;
}
