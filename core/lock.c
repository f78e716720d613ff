/* SPDX-License-Identifier: Apache-2.0 */
/* One hactl at a time. The kernel lets go of the lock when its holder dies,
 * so there is no stale lock to break; the text inside is for people. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/call.h"
#include "core/store_internal.h"
#include "lib/file.h"

enum { POLL_MS = 50, PATIENCE_MS = 2000, TEXT_LIMIT = 4096 };

static void read_text(int fd, struct ha_lock_info *out)
{
    char text[TEXT_LIMIT];
    ssize_t size = pread(fd, text, sizeof text, 0);
    json_t *json = size > 0 ? json_loadb(text, (size_t)size, 0, NULL) : NULL;
    const char *host = "", *user = "", *verb = "";
    json_int_t since = 0;
    json_unpack(json, "{s?i s?s s?s s?s s?I}", "pid", &out->pid, "host", &host, "user", &user, "verb", &verb, "since",
                &since);
    snprintf(out->host, sizeof out->host, "%s", host);
    snprintf(out->user, sizeof out->user, "%s", user);
    snprintf(out->verb, sizeof out->verb, "%s", verb);
    out->since_s = (time_t)since;
    json_decref(json);
}

static int write_text(int fd, const char *verb)
{
    char host[HA_NAME] = "";
    struct passwd *user = getpwuid(geteuid());
    gethostname(host, sizeof host - 1);
    json_t *json = json_pack("{si ss ss ss sI}", "pid", (int)getpid(), "host", host, "user", user ? user->pw_name : "?",
                             "verb", verb, "since", (json_int_t)time(NULL));
    char *text = json ? json_dumps(json, 0) : NULL;
    int rc = text && ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) ? 0 : -1;
    free(text);
    json_decref(json);
    return rc;
}

static int say_locked(int fd, struct ha_store *store, struct ha_error *error)
{
    struct ha_lock_info info = {0};
    char since[32] = "an unknown time";
    read_text(fd, &info);
    struct tm tm;
    if (info.since_s && gmtime_r(&info.since_s, &tm))
        strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &tm);
    ha_fail(error, HA_EXIT_LOCKED, "another hactl works on this cluster: `hactl %s`, pid %d of %s on %s, since %s",
            info.verb, info.pid, info.user, info.host, since);
    ha_advise(error,
              "wait for it (--lock-timeout 5m), or see `hactl lock show`; the lock goes with its process (%s/lock)",
              store->directory);
    return -1;
}

/* The file may have been removed, with the cluster, between open and flock. */
static bool still_in_place(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

/* Somebody only looks whether it is held (ha_store_lock_show), for an instant. */
static bool is_looked_at(int fd)
{
    return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* Its holder was killed as it started a program: the child has the lock too, until it is that program. */
static bool is_orphaned(int fd)
{
    struct ha_lock_info info = {0};
    char host[HA_NAME] = "";
    read_text(fd, &info);
    gethostname(host, sizeof host - 1);
    return info.pid > 0 && strcmp(info.host, host) == 0 && kill(info.pid, 0) != 0 && errno == ESRCH;
}

int ha_store_lock(struct ha_store *store, const char *verb, int64_t timeout_ms, struct ha_error *error)
{
    char path[PATH_MAX];
    int64_t now_ms = ha_now_ms(), until = now_ms + timeout_ms, patience_ms = now_ms + PATIENCE_MS;
    if (store->lock_fd >= 0)
        return 0;
    if (ha_store_path(store, "lock", path, error))
        return -1;
    for (;;) {
        int rc = ha_directory_make(store->directory, 0700);
        if (rc < 0)
            return ha_store_fail(error, -rc, store->directory);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return ha_store_fail(error, errno, path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (still_in_place(fd, path)) {
                store->lock_fd = fd;
                return write_text(fd, verb) ? ha_store_fail(error, errno, path) : 0;
            }
            close(fd);
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            ha_store_fail(error, errno, path);
            close(fd);
            return -1;
        }
        now_ms = ha_now_ms();
        if (now_ms >= until && !(now_ms < patience_ms && (is_looked_at(fd) || is_orphaned(fd)))) {
            say_locked(fd, store, error);
            close(fd);
            return -1;
        }
        close(fd);
        if (ha_cancelled())
            return ha_fail(error, HA_EXIT_INTERRUPTED, "interrupted while waiting for the lock");
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

int ha_store_lock_show(struct ha_store *store, struct ha_lock_info *out, struct ha_error *error)
{
    char path[PATH_MAX];
    memset(out, 0, sizeof *out);
    if (ha_store_path(store, "lock", path, error))
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : ha_store_fail(error, errno, path);
    out->held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (out->held)
        read_text(fd, out);
    close(fd);
    return 0;
}
