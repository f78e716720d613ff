/* SPDX-License-Identifier: Apache-2.0 */
/* Process 1 of a machine: starts what is enabled, runs the startup script, reaps, and ends in order. */
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool ending;
static int64_t end_by;
static pid_t startup_script;

/* What google-startup-scripts.service does, at each boot. */
static const char startup[] =
    "url=http://metadata.google.internal/computeMetadata/v1/instance/attributes/startup-script\n"
    "dir=$(mktemp -d /tmp/metadata-scripts.XXXXXX) || exit 1\n"
    "curl -sSf --retry 5 --retry-connrefused -H 'Metadata-Flavor: Google' -o \"$dir/startup-script\" \"$url\" "
    "2>/dev/null ||"
    " { echo 'No startup scripts to run.'; exit 0; }\n"
    "chmod 700 \"$dir/startup-script\"\n"
    "cd /\n"
    "\"$dir/startup-script\"\n"
    "status=$?\n"
    "rm -rf \"$dir\"\n"
    "echo \"startup-script exit status $status\"\n"
    "exit $status\n";

int64_t guest_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void guest_init_shut_down(void)
{
    if (ending) {
        return;
    }
    ending = true;
    end_by = guest_now_ms() + 8000;
    puts("systemd: shutting down");
    fflush(stdout);
    if (startup_script > 0) {
        kill(-startup_script, SIGTERM);
    }
    guest_units_stop_all();
}

static void start_enabled(void)
{
    DIR *directory = opendir(GUEST_UNIT_DIR "/multi-user.target.wants");
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        struct guest_unit_file *file =
            strstr(entry->d_name, ".service") == NULL ? NULL : guest_unit_file_read(entry->d_name);

        if (file != NULL) {
            guest_unit_file_free(file);
            guest_unit_start(guest_unit_find(entry->d_name, true));
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

/* Its output goes to the console, with its name before each line. */
static void run_startup_script(void)
{
    startup_script = fork();
    if (startup_script == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        setenv("STARTUP", startup, 1);
        execl("/bin/bash", "bash", "-c",
              "set -o pipefail; sh -c \"$STARTUP\" 2>&1 </dev/null | sed -u 's/^/google_metadata_script_runner: "
              "startup-script: /'",
              (char *)NULL);
        _exit(127);
    }
}

static void reap(void)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == startup_script) {
            startup_script = 0;
        } else {
            guest_units_child_ended(pid, status);
        }
    }
}

static void on_signal(int fd)
{
    struct signalfd_siginfo information;

    while (read(fd, &information, sizeof(information)) == sizeof(information)) {
        if (information.ssi_signo == SIGTERM) {
            guest_init_shut_down();
        }
    }
    reap();
}

static bool over(void)
{
    return ending && ((!guest_units_running() && startup_script == 0) || guest_now_ms() >= end_by);
}

int guest_init(void)
{
    struct pollfd fds[2];
    sigset_t set;

    prctl(PR_SET_NAME, "systemd");
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fds[0] = (struct pollfd){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = guest_control_listen(), .events = POLLIN};
    if (fds[0].fd < 0 || fds[1].fd < 0) {
        perror("gce-guest");
        return 1;
    }
    setenv("PATH", GUEST_PATH, 1);
    puts("systemd: started");
    fflush(stdout);
    start_enabled();
    run_startup_script();
    while (!over()) {
        int timeout = guest_units_tick();

        guest_control_tick();
        if (ending && (timeout < 0 || timeout > 100)) {
            timeout = 100;
        }
        if (poll(fds, 2, timeout) < 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            on_signal(fds[0].fd);
        }
        if (fds[1].revents != 0) {
            guest_control_accept(fds[1].fd);
        }
    }
    guest_units_kill_all();
    puts("systemd: powering off");
    fflush(stdout);
    return 0;
}
