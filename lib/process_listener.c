/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lib/process.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TCP_LISTEN 0x0A
#define USER_SIZE  64

struct listener {
    unsigned long inode;
    uid_t uid;
};

/* One row of /proc/net/tcp or tcp6: the address is hexadecimal in the byte
 * order of the machine. A wildcard listener holds the port of every address. */
static bool row_matches(const char *row, const char *wanted, const char *wildcard, uint16_t port, struct listener *out)
{
    char local[33];
    unsigned local_port, state, uid;
    unsigned long inode;

    if (sscanf(row, " %*d: %32[0-9A-F]:%4X %*[0-9A-F]:%*X %2X %*X:%*X %*X:%*X %*X %u %*d %lu", local, &local_port,
               &state, &uid, &inode) != 5)
        return false;
    if (state != TCP_LISTEN || local_port != port || (strcmp(local, wanted) != 0 && strcmp(local, wildcard) != 0))
        return false;
    out->inode = inode;
    out->uid = uid;
    return true;
}

static bool find_in_table(const char *table, const char *wanted, const char *wildcard, uint16_t port,
                          struct listener *out)
{
    FILE *rows = fopen(table, "re");
    char row[512];
    bool found = false;

    while (rows && !found && fgets(row, sizeof(row), rows))
        found = row_matches(row, wanted, wildcard, port, out);
    if (rows)
        fclose(rows);
    return found;
}

static bool find_exactly(const char *address, uint16_t port, const char *wildcard, struct listener *out)
{
    struct in_addr ipv4;
    char wanted[9];

    if (inet_pton(AF_INET, address, &ipv4) != 1)
        return false;
    snprintf(wanted, sizeof(wanted), "%08X", (unsigned)ipv4.s_addr);
    return find_in_table("/proc/net/tcp", wanted, wildcard, port, out);
}

static bool find_listener(const char *address, uint16_t port, struct listener *out)
{
    struct in_addr ipv4;
    char mapped[33];

    if (inet_pton(AF_INET, address, &ipv4) != 1)
        return false;
    snprintf(mapped, sizeof(mapped), "0000000000000000%08X%08X", (unsigned)htonl(0x0000FFFF), (unsigned)ipv4.s_addr);
    return find_exactly(address, port, "00000000", out) ||
           find_in_table("/proc/net/tcp6", mapped, "00000000000000000000000000000000", port, out);
}

static bool holds_inode(const char *pid, unsigned long inode)
{
    char path[300], target[64], wanted[40];
    struct dirent *entry;
    bool found = false;
    DIR *fds;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    fds = opendir(path);
    while (fds && !found && (entry = readdir(fds))) {
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    if (fds)
        closedir(fds);
    return found;
}

static void user_name(uid_t uid, char out[USER_SIZE])
{
    struct passwd entry, *found = NULL;
    char buffer[2048];

    if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found)
        snprintf(out, USER_SIZE, "%s", entry.pw_name);
    else
        snprintf(out, USER_SIZE, "%u", (unsigned)uid);
}

static char *describe_process(const char *pid, const char *user)
{
    char path[300], command[64] = "a process", *text = NULL;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (file && fgets(command, sizeof(command), file))
        command[strcspn(command, "\n")] = '\0';
    if (file)
        fclose(file);
    return asprintf(&text, "%s (pid %s, user %s)", command, pid, user) < 0 ? NULL : text;
}

static bool find_process(unsigned long inode, char pid[16])
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    bool found = false;

    while (processes && !found && (entry = readdir(processes))) {
        found = isdigit((unsigned char)entry->d_name[0]) && holds_inode(entry->d_name, inode);
        if (found)
            snprintf(pid, 16, "%.15s", entry->d_name);
    }
    if (processes)
        closedir(processes);
    return found;
}

char *ha_listener_describe(const char *address, uint16_t port)
{
    struct listener listener;
    char user[USER_SIZE], pid[16], *text = NULL;

    if (!find_listener(address, port, &listener))
        return NULL;
    user_name(listener.uid, user);
    if (find_process(listener.inode, pid))
        text = describe_process(pid, user);
    /* The descriptors of another user's process cannot be read. */
    if (!text && asprintf(&text, "a process of user %s", user) < 0)
        text = NULL;
    return text;
}

bool ha_listener_ending(const char *address, uint16_t port)
{
    struct listener listener;
    char pid[16];

    if (!find_listener(address, port, &listener))
        return true;
    /* Of others' processes only root sees the descriptors. */
    return (geteuid() == 0 || listener.uid == geteuid()) && !find_process(listener.inode, pid);
}

bool ha_listener_is(pid_t pid, const char *address, uint16_t port)
{
    struct listener listener;
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return find_exactly(address, port, "", &listener) && holds_inode(text, listener.inode);
}
