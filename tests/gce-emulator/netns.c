/* SPDX-License-Identifier: Apache-2.0 */
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/process.h"

#define TIMEOUT_MS 30000

static __thread int home = -1;

bool em_netns_enter(const char *name)
{
    char path[160];
    int fd;

    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/run/netns/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        em_log(0, "network namespace %s: %s", name, strerror(errno));
        close(fd);
        return false;
    }
    close(fd);
    return true;
}

void em_netns_leave(void)
{
    if (setns(home, CLONE_NEWNET) != 0) {
        abort(); /* nothing could be trusted after that */
    }
    close(home);
    home = -1;
}

static bool run_here(const char *const *argv, bool quiet)
{
    char *output = NULL;
    int status = 0, result = ha_program_run(argv, TIMEOUT_MS, 65536, &output, &status);
    bool good = result == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (!good && !quiet) {
        em_log(0, "%s %s: %s", argv[0], argv[1] == NULL ? "" : argv[1],
               result != 0      ? strerror(-result)
               : output == NULL ? "failed"
                                : output);
    }
    free(output);
    return good;
}

static bool run_in(const char *name, const char *const *argv, bool quiet)
{
    bool good;

    if (name == NULL) {
        return run_here(argv, quiet);
    }
    if (!em_netns_enter(name)) {
        return false;
    }
    good = run_here(argv, quiet);
    em_netns_leave();
    return good;
}

/* `argv` ends with the path of the file that holds the input. */
static bool run_with_file(const char *name, const char *const *argv, size_t count, const char *input, bool quiet)
{
    char *path = em_format("%s/input", em_options.directory);
    const char *full[16];
    int status = ha_file_replace(path, input, strlen(input), 0600, false);
    bool good = false;

    for (size_t i = 0; i < count && i < 14; i++) {
        full[i] = argv[i];
    }
    full[count] = path;
    full[count + 1] = NULL;
    if (status != 0) {
        em_log(0, "%s: %s", path, strerror(-status));
    } else {
        good = run_in(name, full, quiet);
        if (!good && !quiet) {
            em_log(1, "input was:\n%s", input);
        }
    }
    free(path);
    return good;
}

bool em_netns_run(const char *name, const char *const *argv, const char *input)
{
    size_t count = 0;

    while (argv[count] != NULL) {
        count++;
    }
    return input == NULL ? run_in(name, argv, false) : run_with_file(name, argv, count, input, false);
}

bool em_netns_ip(const char *name, const char *lines, bool force)
{
    const char *const plain[] = {"ip", "-batch", NULL}, *const forced[] = {"ip", "-force", "-batch", NULL};

    return run_with_file(name, force ? forced : plain, force ? 3 : 2, lines, force);
}

bool em_netns_add(const char *name)
{
    const char *const argv[] = {"ip", "netns", "add", name, NULL};

    return run_here(argv, false);
}

void em_netns_delete(const char *name)
{
    const char *const argv[] = {"ip", "netns", "delete", name, NULL};

    run_here(argv, true);
}

void em_netns_clean(void)
{
    DIR *directory = opendir("/run/netns");
    struct dirent *entry;
    int pid;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (sscanf(entry->d_name, "gce-%d-", &pid) == 1 && kill(pid, 0) != 0 && errno == ESRCH) {
            em_netns_delete(entry->d_name);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}
