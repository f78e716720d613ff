/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *content, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, content, size);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        content += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Opens the directory that holds `path`, so that what follows is not led
 * astray when a name above it changes meanwhile; `*base` is what is left. */
static int open_parent(const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    char *parent;
    int fd;

    *base = slash != NULL ? slash + 1 : path;
    if (**base == '\0' || strcmp(*base, ".") == 0 || strcmp(*base, "..") == 0)
        return -EINVAL;
    if (slash == NULL)
        parent = strdup(".");
    else
        parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (parent == NULL)
        return -ENOMEM;
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    free(parent);
    return fd;
}

/* The mode is given at open, narrowed by no umask afterwards: a file that is
 * to be 0600 is never anything wider, one that is to be 0644 becomes so. */
static int create_at(int directory, const char *name, const void *content, size_t size, mode_t mode, bool durable)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int result;

    if (fd < 0)
        return -errno;
    result = write_all(fd, content, size);
    if (result == 0 && fchmod(fd, mode) != 0)
        result = -errno;
    if (result == 0 && durable && fsync(fd) != 0)
        result = -errno;
    if (close(fd) != 0 && result == 0)
        result = -errno;
    if (result != 0)
        unlinkat(directory, name, 0);
    return result;
}

int ha_file_create(const char *path, const void *content, size_t size, mode_t mode, bool durable)
{
    const char *base;
    int result, directory = open_parent(path, &base);

    if (directory < 0)
        return directory;
    result = create_at(directory, base, content, size, mode, durable);
    if (result == 0 && durable && fsync(directory) != 0)
        result = -errno;
    close(directory);
    return result;
}

/* A name that no other process or thread uses: a leftover of a killed process
 * that had this pid is in nobody's way, so it is removed and tried once more. */
static int create_temporary(int directory, const char *base, char *name, size_t name_size, const void *content,
                            size_t size, mode_t mode, bool durable)
{
    static unsigned counter;
    unsigned mine = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
    int length, result;

    length = snprintf(name, name_size, ".%s.%ld.%u.tmp", base, (long)getpid(), mine);
    if (length < 0 || (size_t)length >= name_size)
        return -ENAMETOOLONG;
    result = create_at(directory, name, content, size, mode, durable);
    if (result == -EEXIST && unlinkat(directory, name, 0) == 0)
        result = create_at(directory, name, content, size, mode, durable);
    return result;
}

int ha_file_replace(const char *path, const void *content, size_t size, mode_t mode, bool durable)
{
    char name[NAME_MAX + 1];
    const char *base;
    int result, directory = open_parent(path, &base);

    if (directory < 0)
        return directory;
    result = create_temporary(directory, base, name, sizeof name, content, size, mode, durable);
    if (result == 0 && renameat(directory, name, directory, base) != 0) {
        result = -errno;
        unlinkat(directory, name, 0);
    }
    if (result == 0 && durable && fsync(directory) != 0)
        result = -errno;
    close(directory);
    return result;
}

int ha_file_update(const char *path, const void *content, size_t size, mode_t mode, bool *changed)
{
    struct stat status;
    char *old = NULL;
    size_t old_size = 0;
    bool same;
    int result;

    *changed = false;
    same = lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 07777) == mode &&
           (uintmax_t)status.st_size == size && ha_file_read(path, size, &old, &old_size) == 0 && old_size == size &&
           (size == 0 || memcmp(old, content, size) == 0);
    ha_secret_free(old, old_size);
    if (same)
        return 0;
    result = ha_file_replace(path, content, size, mode, true);
    *changed = result == 0;
    return result;
}

static int read_all(int fd, size_t limit, char **content, size_t *size)
{
    size_t capacity = 4096, used = 0;
    struct stat status;
    char *buffer;
    ssize_t got;
    int result = 0;

    if (fstat(fd, &status) != 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
        if ((uintmax_t)status.st_size > limit)
            return -EFBIG;
        capacity = (size_t)status.st_size + 1;
    }
    /* One byte beyond what is expected tells the end from a file that grew. */
    buffer = malloc(capacity + 1);
    if (buffer == NULL)
        return -ENOMEM;
    while ((got = read(fd, buffer + used, capacity - used)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            result = -errno;
            break;
        }
        used += (size_t)got;
        if (used > limit) {
            result = -EFBIG;
            break;
        }
        if (used == capacity) {
            char *wider = malloc(capacity * 2 + 1);
            if (wider == NULL) {
                result = -ENOMEM;
                break;
            }
            memcpy(wider, buffer, used);
            ha_secret_free(buffer, used);
            buffer = wider;
            capacity *= 2;
        }
    }
    if (result != 0) {
        ha_secret_free(buffer, used);
        return result;
    }
    buffer[used] = '\0';
    *content = buffer;
    *size = used;
    return 0;
}

int ha_file_read(const char *path, size_t limit, char **content, size_t *size)
{
    /* A FIFO in the way must not hang the caller. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int result;

    if (fd < 0)
        return -errno;
    result = read_all(fd, limit, content, size);
    close(fd);
    return result;
}

/* What was just made in the directory of `path` is still there after a power cut. */
static int sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int result = parent == NULL ? -ENOMEM : ha_directory_sync(parent);

    free(parent);
    /* A directory that may be searched and written, but not read, cannot be synced. */
    return result == -EACCES ? 0 : result;
}

static int make_component(const char *path, mode_t mode)
{
    struct stat status;

    if (mkdir(path, mode) == 0)
        return chmod(path, mode) == 0 ? sync_parent(path) : -errno; /* whatever the umask is */
    /* Some file systems say EROFS or EACCES where they could say EEXIST. */
    if (errno != EEXIST && errno != EROFS && errno != EACCES)
        return -errno;
    {
        int saved = errno;
        if (stat(path, &status) != 0)
            return -saved;
    }
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int ha_directory_make(const char *path, mode_t mode)
{
    struct stat status;
    char *copy, *at;
    size_t length;
    int result;

    if (*path == '\0')
        return -ENOENT;
    copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    for (length = strlen(copy); length > 1 && copy[length - 1] == '/'; length--)
        copy[length - 1] = '\0';
    result = make_component(copy, mode);
    if (result == -ENOENT) { /* what is above it is not there either */
        result = 0;
        for (at = copy + 1; result == 0 && (at = strchr(at, '/')) != NULL; at++) {
            *at = '\0';
            result = make_component(copy, 0700);
            *at = '/';
        }
        if (result == 0)
            result = make_component(copy, mode);
    }
    if (result == 0 && stat(copy, &status) == 0 && (status.st_mode & 07777) != mode && chmod(copy, mode) != 0)
        result = -errno;
    free(copy);
    return result;
}

int ha_directory_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) != 0)
        result = -errno;
    close(fd);
    return result;
}

static int remove_at(int parent, const char *name);

static int remove_entries(int fd)
{
    DIR *directory = fdopendir(fd);
    struct dirent *entry;
    int result = 0;

    if (directory == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    while (errno = 0, (entry = readdir(directory)) != NULL) {
        int one;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        one = remove_at(dirfd(directory), entry->d_name);
        if (one != 0 && result == 0)
            result = one;
    }
    if (errno != 0 && result == 0)
        result = -errno;
    closedir(directory);
    return result;
}

/* O_NOFOLLOW at every level: a link that was put in the way is removed itself. */
static int remove_at(int parent, const char *name)
{
    int fd, result;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM && errno != EBUSY)
        return -errno;
    result = -errno;
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? result : errno == ENOENT ? 0 : -errno;
    result = remove_entries(fd);
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT && result == 0)
        result = -errno;
    return result;
}

int ha_tree_remove(const char *path)
{
    size_t length = strlen(path);
    const char *base;
    char *copy;
    int result, parent;

    while (length > 1 && path[length - 1] == '/')
        length--;
    copy = strndup(path, length);
    if (copy == NULL)
        return -ENOMEM;
    parent = open_parent(copy, &base);
    if (parent < 0) {
        result = parent == -ENOENT ? 0 : parent;
    } else {
        result = remove_at(parent, base);
        close(parent);
    }
    free(copy);
    return result;
}

void ha_secret_free(char *secret, size_t size)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, size);
    free(secret);
}
