/* SPDX-License-Identifier: Apache-2.0 */
/* Everything goes through descriptors of directories that were opened without
 * following a link, so that nothing put in the way leads elsewhere. */
#include "plugins/pki/pki_store_internal.h"

#include "lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME     ".lock"
#define BUSY_RETRY_MS 50

/* ---- errors ---- */

const char *pki_store_error(int error)
{
    switch (-error) {
    case ELOOP:
        return "is a symbolic link, which hactl does not follow here; move it away";
    case EEXIST:
        return "is there already and is not replaced";
    case EMEDIUMTYPE:
        return "is not a regular file";
    case EFBIG:
        return "is larger than it may be";
    case ENOTUNIQ:
        return "is below a directory that others may write to, or that is another user's; chmod go-w it, or chown it";
    default:
        return strerror(-error);
    }
}

int pki_store_fail(const struct pki *pki, struct hactl_call *call, int error, const char *base, const char *ending)
{
    int code = HACTL_E_INTERNAL;

    switch (-error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTUNIQ:
        code = HACTL_E_DENIED;
        break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        code = HACTL_E_QUOTA;
        break;
    case ELOOP:
    case EEXIST:
    case EMEDIUMTYPE:
    case ENOTDIR:
    case EISDIR:
        code = HACTL_E_CONFLICT;
        break;
    default:
        break;
    }
    return pki->host->fail(call, code, "%s%s%s%s: %s", pki->directory, base[0] != '\0' ? "/" : "", base, ending,
                           pki_store_error(error));
}

/* ---- directories ---- */

static bool is_link(int directory, const char *name)
{
    struct stat status;

    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

bool pki_store_is_ours(const struct pki_store *store, uid_t owner)
{
    return owner == store->user || owner == store->owner;
}

/* Whoever may write there, or may let himself, could put another file in the place of any. */
static int refuse_if_loose(const struct pki_store *store, int fd)
{
    struct stat status;
    int result = fstat(fd, &status) != 0                                                    ? -errno
                 : (status.st_mode & 0022) != 0 || !pki_store_is_ours(store, status.st_uid) ? -ENOTUNIQ
                                                                                            : 0;

    if (result == 0)
        return fd;
    close(fd);
    return result;
}

int pki_store_open_child(const struct pki_store *store, int parent, const char *name, bool make)
{
    int fd;

    if (make && mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return -errno;
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return refuse_if_loose(store, fd);
    return errno == ENOTDIR && is_link(parent, name) ? -ELOOP : -errno;
}

/* The longest part of the path that is open already, or the root. The path goes on behind its first `length` characters
 * if there is a directory among them that is being made. */
static int nearest(const struct pki_store *store, const char *path, size_t length, size_t *at)
{
    const struct pki_fresh *fresh;
    int fd = store->root;

    *at = 0;
    for (size_t i = 0; i < PKI_PARENTS; i++) {
        const struct pki_parent *parent = &store->parents[i];
        if (!parent->used || parent->fd < 0 || parent->length >= length || parent->length < *at ||
            path[parent->length] != '/' || memcmp(parent->path, path, parent->length) != 0)
            continue;
        fd = parent->fd;
        *at = parent->length + 1;
    }
    fresh = pki_fresh_find(store, path);
    if (fresh != NULL && fresh->length <= length && fresh->length >= *at) {
        fd = fresh->fd;
        *at = fresh->length + 1;
    }
    return fd;
}

int pki_store_walk(const struct pki_store *store, const char *path, size_t length, bool make)
{
    char part[NAME_MAX + 1];
    size_t at;
    int from = nearest(store, path, length, &at), fd = from;

    if (store->root < 0)
        return -ENOENT;
    if (length == 0 || at > length)
        return (fd = fcntl(from, F_DUPFD_CLOEXEC, 0)) >= 0 ? fd : -errno;
    while (fd >= 0 && at < length) {
        size_t size = strcspn(path + at, "/");
        int next = -ENAMETOOLONG;
        if (size < sizeof part) {
            memcpy(part, path + at, size);
            part[size] = '\0';
            next = pki_store_open_child(store, fd, part, make);
        }
        if (fd != from)
            close(fd);
        fd = next;
        at += size + 1;
    }
    return fd;
}

void pki_store_forget_parents(struct pki_store *store)
{
    for (size_t i = 0; i < PKI_PARENTS; i++)
        if (store->parents[i].used) {
            if (store->parents[i].fd >= 0)
                close(store->parents[i].fd);
            store->parents[i].used = false;
        }
}

static void forget_absent(struct pki_store *store)
{
    for (size_t i = 0; i < PKI_PARENTS; i++)
        store->parents[i].used = store->parents[i].used && store->parents[i].fd >= 0;
}

void pki_store_forget_phase(struct pki_store *store, const char *ending)
{
    if (strcmp(ending, PKI_ROTATION) == 0)
        store->phase_count = 0;
}

bool pki_store_phase(const struct pki_store *store, const char *file, struct pki_rotation *out)
{
    for (size_t i = 0; i < store->phase_count; i++)
        if (strcmp(store->phases[i].file, file) == 0) {
            *out = store->phases[i].rotation;
            return true;
        }
    return false;
}

void pki_store_note_phase(struct pki_store *store, const char *file, const struct pki_rotation *rotation)
{
    struct pki_phase *phase = &store->phases[store->phase_count];

    if (store->lock < 0 || store->phase_count == PKI_PHASES || strlen(file) >= sizeof phase->file)
        return;
    memcpy(phase->file, file, strlen(file) + 1);
    phase->rotation = *rotation;
    store->phase_count++;
}

void pki_store_looking(struct pki_store *store, bool looking)
{
    store->reads_only = looking;
    if (!looking)
        forget_absent(store);
}

int pki_store_open_parent(struct pki_store *store, const char *path, bool make, const char **name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    struct pki_parent *parent;
    int fd;

    *name = slash != NULL ? slash + 1 : path;
    if (length >= sizeof parent->path)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < PKI_PARENTS; i++) {
        parent = &store->parents[i];
        if (parent->used && parent->length == length && memcmp(parent->path, path, length) == 0 &&
            (parent->fd >= 0 || !make))
            return parent->fd;
    }
    parent = &store->parents[store->next_parent++ % PKI_PARENTS];
    if (make)
        forget_absent(store);
    /* The one that has to make room may be the nearest on the way. */
    fd = pki_store_walk(store, path, length, make);
    if (parent->used && parent->fd >= 0)
        close(parent->fd);
    parent->fd = fd;
    parent->used = parent->fd >= 0 || (parent->fd == -ENOENT && store->reads_only);
    parent->length = length;
    memcpy(parent->path, path, length);
    return parent->fd;
}

int pki_store_join(char name[NAME_MAX + 1], const char *one, const char *other)
{
    size_t length = strlen(one), more = strlen(other);

    if (length + more > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, one, length);
    memcpy(name + length, other, more + 1);
    return 0;
}

int pki_store_open_file_parent(struct pki_store *store, const char *base, const char *ending, bool make,
                               char name[NAME_MAX + 1])
{
    const char *last;
    int fd = pki_store_open_parent(store, base, make, &last);

    return fd >= 0 && pki_store_join(name, last, ending) != 0 ? -ENAMETOOLONG : fd;
}

/* ---- opening and locking ---- */

/* By others than the one who works here; where it is sticky, as /tmp is, nobody takes away what is not his, but for its
 * owner. The user's own group, which on many machines has no other member, may. */
static bool is_loose_above(const struct pki_store *store, const struct stat *status)
{
    if (status->st_uid != store->user && status->st_uid != 0)
        return true;
    return (status->st_mode & S_ISVTX) == 0 &&
           ((status->st_mode & 0002) != 0 ||
            ((status->st_mode & 0020) != 0 && status->st_gid != 0 && status->st_gid != getegid()));
}

/* Up to the top: whoever may rename a directory on the way could put another in its place. What is too deep to be
 * looked at is not taken for safe. */
static bool is_loose_on_the_way(const struct pki_store *store, const struct stat *status, unsigned *above)
{
    struct stat below = *status, up;
    char way[PATH_MAX] = "";

    for (size_t length = 0; length + 3 < sizeof way; length += 3, below = up) {
        memcpy(way + length, "../", 4);
        if (fstatat(store->root, way, &up, 0) != 0 || (up.st_dev == below.st_dev && up.st_ino == below.st_ino))
            return false;
        *above = (unsigned)(length / 3) + 1;
        if (is_loose_above(store, &up))
            return true;
    }
    return true;
}

static int open_root(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store)
{
    struct stat status;
    unsigned above;
    int result;

    store->root = open(pki->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root < 0 && errno == ENOENT) {
        if (!write)
            return HACTL_OK;
        result = ha_directory_make(pki->directory, 0700);
        if (result != 0)
            return pki_store_fail(pki, call, result, "", "");
        store->root = open(pki->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (store->root < 0 || fstat(store->root, &status) != 0)
        return pki_store_fail(pki, call, -errno, "", "");
    if ((status.st_mode & 0022) != 0 || (status.st_uid != store->user && status.st_uid != 0))
        return pki->host->fail(call, HACTL_E_DENIED,
                               "%s: others may write there (mode %04o, user %u); keys are kept only in a directory of "
                               "one's own: chmod 700",
                               pki->directory, (unsigned)(status.st_mode & 07777), (unsigned)status.st_uid);
    store->owner = status.st_uid;
    if (is_loose_on_the_way(store, &status, &above))
        return pki->host->fail(call, HACTL_E_DENIED,
                               "%s: others may write to a directory above it (%u up), or own it, and so put another in "
                               "its place; chmod go-w or chown that one, or keep keys elsewhere",
                               pki->directory, above);
    return HACTL_OK;
}

static int lock_root(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | (write ? O_RDWR | O_CREAT : O_RDONLY);
    struct stat status;

    if (store->root < 0)
        return HACTL_OK;
    store->lock = openat(store->root, LOCK_NAME, flags, 0600);
    if (store->lock < 0)
        return !write && (errno == ENOENT || errno == EACCES) ? HACTL_OK
                                                              : pki_store_fail(pki, call, -errno, LOCK_NAME, "");
    errno = 0;
    /* A lock without a name was removed by a destroy meanwhile. */
    if (flock(store->lock, (write ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 && fstat(store->lock, &status) == 0 &&
        status.st_nlink > 0)
        return HACTL_OK;
    if (errno != EWOULDBLOCK && errno != 0)
        return pki_store_fail(pki, call, -errno, LOCK_NAME, "");
    pki->host->retry_after(call, BUSY_RETRY_MS);
    return pki->host->fail(call, HACTL_E_BUSY, "%s: another process is working on the certificates there",
                           pki->directory);
}

int pki_store_open(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store)
{
    int error, result;

    if (write && !pki_crypto_usable(pki))
        return pki->host->fail(call, HACTL_E_INTERNAL, "libcrypto cannot be used: %s", pki_crypto_why(pki));
    *store = (struct pki_store){
        .directory = pki->directory, .root = -1, .lock = -1, .reads_only = !write, .user = geteuid()};
    result = open_root(pki, call, write, store);
    if (result == HACTL_OK)
        result = lock_root(pki, call, write, store);
    if (result == HACTL_OK && write && (error = pki_exchange_clear(store)) != 0)
        result = pki_store_fail(pki, call, error, "what is left of an exchange", "");
    if (result != HACTL_OK)
        pki_store_close(store);
    return result;
}

void pki_store_close(struct pki_store *store)
{
    if (store->lock >= 0)
        close(store->lock);
    if (store->root >= 0)
        close(store->root);
    pki_store_forget_parents(store);
    *store = (struct pki_store){.root = -1, .lock = -1};
}

struct pki_store pki_store_share(const struct pki_store *store)
{
    return (struct pki_store){.directory = store->directory,
                              .root = store->root,
                              .lock = -1,
                              .user = store->user,
                              .owner = store->owner,
                              .umask_is_022 = store->umask_is_022,
                              .fresh = store->fresh,
                              .fresh_count = store->fresh_count};
}

void pki_store_unshare(struct pki_store *store)
{
    pki_store_forget_parents(store);
}
