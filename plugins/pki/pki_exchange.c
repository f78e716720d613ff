/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacing keys and their certificates in one instant. Two files cannot be
 * renamed at once, but a directory can: a second one is made beside it, in
 * which what stays is the same file by a hard link and what was made has its
 * final name, and the two change places (renameat2, RENAME_EXCHANGE). So there
 * is no moment, and after no crash a state, in which a certificate stands
 * beside another one's key, or one of the two is missing. It is done for the
 * whole directory of a replica, so that all of it changes together.
 *
 *   .exchange/N   the new one until they change places, the old one after that
 *
 * What a killed process leaves of it is of no use, and is removed by the next
 * one that writes.
 */
#include "plugins/pki/pki.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE     ".exchange"
#define DEPTH_MAX 8

/* ---- directories ---- */

static int open_directory(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 ? fd : -errno;
}

/* Calls `each` for all that is in it. */
static int walk(int directory, int (*each)(void *data, int directory, const char *name, bool is_directory), void *data)
{
    int result = 0, fd = fcntl(directory, F_DUPFD_CLOEXEC, 0);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat status;

    if (list == NULL) {
        result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    rewinddir(list);
    while (result == 0 && (errno = 0, entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        result = fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
        if (result == 0)
            result = each(data, directory, entry->d_name, S_ISDIR(status.st_mode));
    }
    if (result == 0 && entry == NULL && errno != 0)
        result = -errno;
    closedir(list);
    return result;
}

static int remove_entry(void *data, int directory, const char *name, bool is_directory)
{
    int result, fd, depth = *(int *)data + 1;

    if (is_directory) {
        fd = depth > DEPTH_MAX + 2 ? -ELOOP : open_directory(directory, name);
        if (fd < 0)
            return fd;
        result = walk(fd, remove_entry, &depth);
        close(fd);
        if (result != 0)
            return result;
    }
    return unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0) == 0 ? 0 : -errno;
}

int pki_exchange_clear(struct pki_store *store)
{
    struct stat status;
    int depth = 0;

    if (fstatat(store->root, ASIDE, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -errno;
    return remove_entry(&depth, store->root, ASIDE, S_ISDIR(status.st_mode));
}

/* ---- what is exchanged ---- */

/* The directory of a replica, or one of the cluster's; 0: its files lie at the top, where other things do. */
size_t pki_unit_length(const char *base)
{
    const char *slash = strchr(base, '/');

    if (slash != NULL && strncmp(base, "replicas/", 9) == 0)
        slash = strchr(slash + 1, '/');
    return slash != NULL ? (size_t)(slash - base) : 0;
}

static bool is_in(const struct pki_item *item, const struct pki_unit *unit)
{
    return pki_unit_length(item->base) == unit->length && memcmp(item->base, unit->path, unit->length) == 0;
}

static bool replaces_pair(const struct pki_item *item)
{
    return item->new_key && item->replaces && !item->authority && !item->skipped;
}

static struct pki_unit *unit_of(struct pki_batch *batch, const struct pki_item *item)
{
    /* Items of one directory mostly stand together. */
    for (size_t i = batch->unit_count; i > 0; i--)
        if (is_in(item, &batch->units[i - 1]))
            return &batch->units[i - 1];
    return NULL;
}

static int add_unit(struct pki_batch *batch, size_t first)
{
    const struct pki_item *item = &batch->items[first];
    struct pki_unit *units, *unit = unit_of(batch, item);
    size_t length = pki_unit_length(item->base);

    if (unit != NULL || length == 0)
        return 0;
    units = reallocarray(batch->units, batch->unit_count + 1, sizeof *units);
    if (units == NULL)
        return -ENOMEM;
    batch->units = units;
    unit = &units[batch->unit_count++];
    *unit = (struct pki_unit){.length = length};
    memcpy(unit->path, item->base, length);
    return 0;
}

static int find_units(struct pki_batch *batch)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < batch->count; i++)
        if (replaces_pair(&batch->items[i]))
            error = add_unit(batch, i);
    for (size_t i = 0; error == 0 && batch->unit_count > 0 && i < batch->count; i++) {
        struct pki_unit *unit = batch->items[i].skipped ? NULL : unit_of(batch, &batch->items[i]);
        if (unit == NULL)
            continue;
        if (unit->end == 0)
            unit->first = i;
        unit->end = i + 1;
    }
    return error;
}

/* ---- the second directory ---- */

struct cloning {
    const struct pki_batch *batch;
    const struct pki_unit *unit;
    char path[PKI_PATH_SIZE]; /* of the directory */
    int to;
    int depth;
};

static bool is_file(const struct pki_item *item, const char *ending, const char *path, const char *name, size_t length)
{
    size_t base = strlen(item->base), head = strlen(path);

    return head + 1 + length == base + strlen(ending) && head < base && memcmp(item->base, path, head) == 0 &&
           item->base[head] == '/' && memcmp(item->base + head + 1, name, base - head - 1) == 0 &&
           memcmp(name + (base - head - 1), ending, strlen(ending)) == 0;
}

/* Was a file of that name made, the first `length` characters of `name`? */
static bool is_made(const struct cloning *cloning, const char *name, size_t length)
{
    for (size_t i = cloning->unit->first; i < cloning->unit->end; i++) {
        const struct pki_item *item = &cloning->batch->items[i];
        if (item->skipped || item->authority)
            continue;
        if (is_file(item, item->ending, cloning->path, name, length) ||
            (item->new_key && is_file(item, ".key", cloning->path, name, length)))
            return true;
    }
    return false;
}

static int clone_entry(void *data, int directory, const char *name, bool is_directory);

/* Into `to`, with the same mode and owner. */
static int clone_directory(const struct cloning *above, const char *path, int from, int to)
{
    struct cloning cloning = {.batch = above->batch, .unit = above->unit, .to = to, .depth = above->depth + 1};
    struct stat status;

    if (cloning.depth > DEPTH_MAX || snprintf(cloning.path, PKI_PATH_SIZE, "%s", path) >= PKI_PATH_SIZE)
        return -EOPNOTSUPP; /* somebody else's tree */
    if (fstat(from, &status) != 0 || fchmod(to, status.st_mode & 07777) != 0 ||
        ((status.st_uid != geteuid() || status.st_gid != getegid()) && fchown(to, status.st_uid, status.st_gid) != 0))
        return -errno;
    return walk(from, clone_entry, &cloning);
}

static int clone_child(const struct cloning *cloning, int directory, const char *name)
{
    char path[PKI_PATH_SIZE];
    int result, from, to;

    if (snprintf(path, sizeof path, "%s/%s", cloning->path, name) >= (int)sizeof path)
        return -EOPNOTSUPP;
    if (mkdirat(cloning->to, name, 0700) != 0)
        return -errno;
    from = open_directory(directory, name);
    to = open_directory(cloning->to, name);
    result = from < 0 ? from : to < 0 ? to : clone_directory(cloning, path, from, to);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return result;
}

static int clone_entry(void *data, int directory, const char *name, bool is_directory)
{
    const struct cloning *cloning = data;
    size_t length = strlen(name), staged = sizeof PKI_STAGED - 1;
    char final[NAME_MAX + 1];

    if (is_directory)
        return clone_child(cloning, directory, name);
    if (is_made(cloning, name, length))
        return 0; /* the old one */
    memcpy(final, name, length + 1);
    if (length > staged && strcmp(name + length - staged, PKI_STAGED) == 0 && is_made(cloning, name, length - staged))
        final[length - staged] = '\0';
    return linkat(directory, name, cloning->to, final, 0) == 0 ? 0 : -errno;
}

static int clone_unit(struct pki_batch *batch, struct pki_unit *unit, int aside, size_t number)
{
    const struct cloning above = {.batch = batch, .unit = unit};
    int result, from, to = -1;

    snprintf(unit->aside, sizeof unit->aside, "%zu", number);
    from = pki_store_open_directory(batch->store, unit->path);
    if (from < 0)
        return from;
    result = mkdirat(aside, unit->aside, 0700) == 0 ? 0 : -errno;
    if (result == 0)
        result = to = open_directory(aside, unit->aside);
    if (to >= 0)
        result = clone_directory(&above, unit->path, from, to);
    if (to >= 0)
        close(to);
    close(from);
    return result;
}

/* No hard links, no exchange, another file system mounted within, or more below it than is ours: then files are renamed
 * one by one. */
static bool cannot_exchange(int error)
{
    return error == -EPERM || error == -EOPNOTSUPP || error == -ENOSYS || error == -EMLINK || error == -EXDEV ||
           error == -EINVAL || error == -EBUSY;
}

static void say_one_by_one(const struct pki_batch *batch, const char *path, int error)
{
    batch->pki->host->log(batch->call, HACTL_LOG_WARNING,
                          "%s/%s: keys and certificates cannot be exchanged together (%s); each old certificate goes "
                          "before its key changes",
                          batch->pki->directory, path, strerror(-error));
}

int pki_exchange_aside(struct pki_store *store)
{
    if (mkdirat(store->root, ASIDE, 0700) != 0 && errno != EEXIST)
        return -errno;
    return open_directory(store->root, ASIDE);
}

int pki_exchange_prepare(struct pki_batch *batch)
{
    int aside, error = find_units(batch);

    if (error != 0 || batch->unit_count == 0)
        return error;
    aside = pki_exchange_aside(batch->store);
    if (aside < 0)
        return aside;
    for (size_t i = 0; error == 0 && i < batch->unit_count; i++) {
        struct pki_unit *unit = &batch->units[i];
        error = clone_unit(batch, unit, aside, i);
        unit->ready = error == 0;
        if (cannot_exchange(error)) {
            say_one_by_one(batch, unit->path, error);
            error = 0;
        }
    }
    close(aside);
    return error;
}

/* ---- the exchange ---- */

static void note_exchanged(struct pki_batch *batch, const struct pki_unit *unit)
{
    for (size_t i = unit->first; i < unit->end; i++)
        if (is_in(&batch->items[i], unit) && !batch->items[i].authority)
            batch->items[i].exchanged = true;
}

static int exchange(struct pki_batch *batch, const struct pki_unit *unit, int aside)
{
    const char *slash = strrchr(unit->path, '/');
    char above[PKI_PATH_SIZE] = "";
    int parent, result = 0;

    if (slash != NULL)
        memcpy(above, unit->path, (size_t)(slash - unit->path));
    parent = pki_store_open_directory(batch->store, above);
    if (parent < 0)
        return parent;
    if (renameat2(aside, unit->aside, parent, slash != NULL ? slash + 1 : unit->path, RENAME_EXCHANGE) != 0)
        result = -errno;
    if (result == 0)
        note_exchanged(batch, unit);
    if (result == 0 && (fsync(parent) != 0 || fsync(aside) != 0))
        result = -errno;
    close(parent);
    return result;
}

int pki_exchange_run(struct pki_batch *batch)
{
    int aside, error = 0;

    if (batch->unit_count == 0)
        return 0;
    aside = pki_exchange_aside(batch->store);
    if (aside < 0)
        return aside;
    for (size_t i = 0; error == 0 && i < batch->unit_count; i++) {
        if (!batch->units[i].ready)
            continue;
        error = exchange(batch, &batch->units[i], aside);
        if (cannot_exchange(error)) {
            say_one_by_one(batch, batch->units[i].path, error);
            error = 0;
        }
    }
    close(aside);
    pki_store_forget(batch->store);
    return error;
}
