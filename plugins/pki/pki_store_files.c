/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the tree: read, staged, given their names, moved and taken away. */
#include "plugins/pki/pki_store_internal.h"

#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int take_status(const struct stat *status, struct pki_blob *blob)
{
    if (!S_ISREG(status->st_mode))
        return S_ISLNK(status->st_mode) ? -ELOOP : -EMEDIUMTYPE;
    if (status->st_size > PKI_FILE_LIMIT)
        return -EFBIG;
    blob->mode = status->st_mode & 07777;
    blob->owner = status->st_uid;
    blob->size = (size_t)status->st_size;
    blob->identity = (struct pki_identity){.device = status->st_dev,
                                           .inode = status->st_ino,
                                           .size = status->st_size,
                                           .modified = status->st_mtim,
                                           .changed = status->st_ctim};
    return 0;
}

static int read_regular(int fd, struct pki_blob *blob)
{
    struct stat status;
    size_t used = 0;
    int result = fstat(fd, &status) == 0 ? take_status(&status, blob) : -errno;

    if (result != 0)
        return result;
    /* What others may not read has a key in it, or may have. */
    blob->content = (blob->mode & 0077) == 0 ? pki_secret_new(blob->size + 1) : OPENSSL_malloc(blob->size + 1);
    if (blob->content == NULL)
        return -ENOMEM;
    while (used < blob->size) {
        ssize_t got = read(fd, blob->content + used, blob->size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    blob->size = used;
    blob->content[used] = '\0';
    return 0;
}

int pki_store_read(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob)
{
    char name[NAME_MAX + 1];
    int result, fd, directory = pki_store_open_file_parent(store, base, ending, false, name);

    memset(blob, 0, sizeof *blob);
    if (directory < 0)
        return directory;
    fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    result = fd < 0 ? -errno : read_regular(fd, blob);
    if (fd >= 0)
        close(fd);
    if (result != 0)
        pki_blob_free(blob);
    return result;
}

int pki_store_stat(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob)
{
    char name[NAME_MAX + 1];
    int directory = pki_store_open_file_parent(store, base, ending, false, name);
    struct stat status;

    memset(blob, 0, sizeof *blob);
    if (directory < 0)
        return directory;
    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? take_status(&status, blob) : -errno;
}

void pki_blob_free(struct pki_blob *blob)
{
    pki_secret_free(blob->content, blob->size);
    blob->content = NULL;
    blob->size = 0;
}

/* What others may read, they may whatever the umask is; no one else here changes it while hactl runs. */
static int set_mode(struct pki_store *store, int fd, mode_t mode)
{
    struct stat status;

    if ((mode & 0077) == 0 || (store->umask_is_022 && (mode & 0022) == 0))
        return 0;
    if (fstat(fd, &status) != 0)
        return -errno;
    if ((status.st_mode & 07777) == mode) {
        store->umask_is_022 = mode == 0644;
        return 0;
    }
    return fchmod(fd, mode) == 0 ? 0 : -errno;
}

static int write_new(struct pki_store *store, int directory, const char *name, const char *content, size_t size,
                     mode_t mode)
{
    int result = 0, fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd < 0)
        return -errno;
    while (result == 0 && size > 0) {
        ssize_t written = write(fd, content, size);
        if (written < 0) {
            result = errno == EINTR ? 0 : -errno;
            continue;
        }
        content += written;
        size -= (size_t)written;
    }
    if (result == 0)
        result = set_mode(store, fd, mode);
    if (close(fd) != 0 && result == 0)
        result = -errno;
    if (result != 0)
        unlinkat(directory, name, 0);
    return result;
}

/* In a directory that is being made a file has its final name at once. */
static const char *staged_ending(const struct pki_store *store, const char *base)
{
    return pki_fresh_find(store, base) != NULL ? "" : PKI_STAGED;
}

int pki_store_stage(struct pki_store *store, const char *base, const char *ending, const char *content, size_t size,
                    mode_t mode)
{
    char name[NAME_MAX + 1], staged[NAME_MAX + 1];
    int result, directory = pki_store_open_file_parent(store, base, ending, true, name);

    if (directory < 0)
        return directory;
    result = pki_store_join(staged, name, staged_ending(store, base));
    if (result == 0)
        result = write_new(store, directory, staged, content, size, mode);
    /* The lock is held: a staged file is what a killed process left. */
    if (result == -EEXIST)
        result =
            unlinkat(directory, staged, 0) == 0 ? write_new(store, directory, staged, content, size, mode) : -errno;
    return result;
}

int pki_store_sync(struct pki_store *store)
{
    return syncfs(store->root) == 0 ? 0 : -errno;
}

static int rename_keeping(int from_directory, const char *from, int directory, const char *to)
{
    struct stat status;

    if (renameat2(from_directory, from, directory, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (fstatat(directory, to, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return renameat(from_directory, from, directory, to) == 0 ? 0 : -errno;
}

int pki_store_take(struct pki_store *store, int from, const char *name, const char *path)
{
    const char *last;
    int directory = pki_store_open_parent(store, path, false, &last);

    return directory < 0 ? directory : rename_keeping(from, name, directory, last);
}

int pki_store_place(struct pki_store *store, const char *base, const char *ending, bool keep_old)
{
    char name[NAME_MAX + 1], staged[NAME_MAX + 1];
    int result, directory = pki_store_open_file_parent(store, base, ending, false, name);

    if (directory < 0)
        return directory;
    result = pki_store_join(staged, name, PKI_STAGED);
    pki_store_forget_phase(store, ending);
    if (result == 0 && keep_old)
        result = rename_keeping(directory, staged, directory, name);
    else if (result == 0 && renameat(directory, staged, directory, name) != 0)
        result = -errno;
    return result;
}

int pki_store_unplace(struct pki_store *store, const char *base, const char *ending)
{
    char name[NAME_MAX + 1], staged[NAME_MAX + 1];
    int result, directory = pki_store_open_file_parent(store, base, ending, false, name);

    if (directory < 0)
        return directory;
    result = pki_store_join(staged, name, PKI_STAGED);
    if (result == 0 && renameat(directory, name, directory, staged) != 0)
        result = -errno;
    return result;
}

int pki_store_sync_directory(struct pki_store *store, const char *base)
{
    const char *name;
    int result, directory = pki_store_open_parent(store, base, false, &name);

    if (directory < 0)
        return directory;
    result = fsync(directory) == 0 ? 0 : -errno;
    return result;
}

int pki_store_remove(struct pki_store *store, const char *base, const char *ending)
{
    char name[NAME_MAX + 1];
    int result, directory = pki_store_open_file_parent(store, base, ending, false, name);

    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    pki_store_forget_phase(store, ending);
    result = unlinkat(directory, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
    return result;
}

void pki_store_discard(struct pki_store *store, const char *base, const char *ending, bool secret)
{
    char staged[32];

    snprintf(staged, sizeof staged, "%s%s", ending, staged_ending(store, base));
    if (secret)
        pki_store_overwrite(store, base, staged);
    pki_store_remove(store, base, staged);
}

int pki_store_restrict(struct pki_store *store, const char *base, const char *ending)
{
    char name[NAME_MAX + 1];
    int result = 0, fd, directory = pki_store_open_file_parent(store, base, ending, false, name);

    if (directory < 0)
        return directory;
    fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        result = -errno;
    if (fd >= 0)
        close(fd);
    return result;
}

void pki_store_overwrite(struct pki_store *store, const char *base, const char *ending)
{
    static const char zeros[4096];
    char name[NAME_MAX + 1];
    struct stat status;
    int fd, directory = pki_store_open_file_parent(store, base, ending, false, name);

    if (directory < 0)
        return;
    fd = openat(directory, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    /* A second link to it would be somebody else's file. */
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
        status.st_size <= (off_t)sizeof zeros) {
        ssize_t written = write(fd, zeros, (size_t)status.st_size);
        (void)written;
    }
    close(fd);
}

int pki_store_open_directory(struct pki_store *store, const char *path)
{
    return pki_store_walk(store, path, strlen(path), false);
}

bool pki_store_has_room(struct pki_store *store, const char *path)
{
    const char *name;
    struct stat status;
    int directory = pki_store_open_parent(store, path, true, &name);

    return directory >= 0 && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

void pki_store_forget(struct pki_store *store)
{
    pki_store_forget_parents(store);
}

int pki_store_remove_directory(struct pki_store *store, const char *path)
{
    const char *name;
    int result, directory = pki_store_open_parent(store, path, false, &name);

    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    result = unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
    pki_store_forget_parents(store);
    return result;
}

int pki_store_each_directory(struct pki_store *store, const char *path, int (*each)(void *data, const char *name),
                             void *data)
{
    const char *name;
    struct dirent *entry;
    DIR *list;
    int result = 0, fd, directory = pki_store_open_parent(store, path, false, &name);

    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    fd = pki_store_open_child(store, directory, name, false);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    list = fdopendir(fd);
    if (list == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    while (result == 0 && (errno = 0, entry = readdir(list)) != NULL)
        if (pki_replica_name_valid(entry->d_name))
            result = each(data, entry->d_name);
    if (result == 0 && entry == NULL && errno != 0)
        result = -errno;
    closedir(list);
    return result;
}

int pki_store_move(struct pki_store *store, const char *from, const char *to, const char *ending)
{
    char old_name[NAME_MAX + 1], new_name[NAME_MAX + 1];
    int result = 0, to_fd, from_fd = pki_store_open_file_parent(store, from, ending, false, old_name);

    pki_store_forget_phase(store, ending);
    /* The store keeps one directory open; two are needed here. */
    if (from_fd >= 0 && (from_fd = fcntl(from_fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return -errno;
    if (from_fd < 0)
        return from_fd;
    to_fd = pki_store_open_file_parent(store, to, ending, true, new_name);
    if (to_fd < 0)
        result = to_fd;
    else if (renameat2(from_fd, old_name, to_fd, new_name, RENAME_NOREPLACE) != 0 &&
             (errno != EINVAL || renameat(from_fd, old_name, to_fd, new_name) != 0))
        result = -errno;
    close(from_fd);
    return result;
}

static int append_all(int fd, const char *content, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, content, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        content += written;
        size -= (size_t)written;
    }
    return 0;
}

int pki_store_append(struct pki_store *store, const char *name, const char *content, size_t size)
{
    int result = 0,
        fd = openat(store->root, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat status;
    char last = '\n';

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) != 0)
        result = -errno;
    else if (!S_ISREG(status.st_mode))
        result = -EMEDIUMTYPE;
    else if (status.st_size > 0 && pread(fd, &last, 1, status.st_size - 1) != 1)
        result = -EIO;
    if (result == 0 && last != '\n')
        result = append_all(fd, "\n", 1);
    if (result == 0)
        result = append_all(fd, content, size);
    close(fd);
    return result;
}
