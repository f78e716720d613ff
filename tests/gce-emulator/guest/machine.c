/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the machine around process 1: namespaces, and a root that is this system's with a layer of the
 * machine's own above it, so that nothing of ours changes. The layer is the machine's boot disk and stays
 * when it is stopped.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t process1;

static void die(const char *what)
{
    fprintf(stderr, "gce-guest: %s: %s\n", what, strerror(errno));
    _exit(70);
}

static void want(bool good, const char *what)
{
    if (!good) {
        die(what);
    }
}

static const char *text(const json_t *spec, const char *name)
{
    const char *value = json_string_value(json_object_get(spec, name));

    if (value == NULL) {
        fprintf(stderr, "gce-guest: %s is missing\n", name);
        _exit(70);
    }
    return value;
}

/* In the new root, which is the working directory. */
static void write_text(const char *path, const char *content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

    want(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content), path);
    close(fd);
}

static void copy_program(const char *to)
{
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    char buffer[65536];
    ssize_t size;

    want(in >= 0 && out >= 0, to);
    while ((size = read(in, buffer, sizeof(buffer))) > 0) {
        want(write(out, buffer, (size_t)size) == size, to);
    }
    close(in);
    close(out);
}

static void make_node(const char *name, unsigned type, unsigned major_number, unsigned minor_number)
{
    char path[128];

    snprintf(path, sizeof(path), "dev/%s", name);
    want(mknod(path, type | 0666, makedev(major_number, minor_number)) == 0, path);
    chmod(path, 0666);
}

/* Disks are where Google's udev rules put them. */
static void make_disks(const json_t *spec)
{
    const json_t *disk;
    size_t i;

    want(mkdir("dev/disk", 0755) == 0 && mkdir("dev/disk/by-id", 0755) == 0, "dev/disk/by-id");
    json_array_foreach(json_object_get(spec, "disks"), i, disk)
    {
        char name[32], link[300], target[64];

        snprintf(name, sizeof(name), "sd%c", (char)('b' + i));
        make_node(name, S_IFBLK, (unsigned)json_integer_value(json_object_get(disk, "major")),
                  (unsigned)json_integer_value(json_object_get(disk, "minor")));
        snprintf(link, sizeof(link), "dev/disk/by-id/google-%s", text(disk, "device_name"));
        snprintf(target, sizeof(target), "../../%s", name);
        want(symlink(target, link) == 0, link);
    }
}

static void make_devices(const json_t *spec)
{
    want(mount("dev", "dev", "tmpfs", MS_NOSUID, "mode=0755,size=1m") == 0, "dev");
    make_node("null", S_IFCHR, 1, 3);
    make_node("zero", S_IFCHR, 1, 5);
    make_node("full", S_IFCHR, 1, 7);
    make_node("random", S_IFCHR, 1, 8);
    make_node("urandom", S_IFCHR, 1, 9);
    make_node("tty", S_IFCHR, 5, 0);
    want(symlink("/proc/self/fd", "dev/fd") == 0 && symlink("/proc/self/fd/0", "dev/stdin") == 0 &&
             symlink("/proc/self/fd/1", "dev/stdout") == 0 && symlink("/proc/self/fd/2", "dev/stderr") == 0,
         "dev");
    want(mkdir("dev/shm", 01777) == 0 && mkdir("dev/pts", 0755) == 0, "dev");
    want(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m") == 0, "dev/shm");
    make_disks(spec);
}

static void mount_root(const json_t *spec)
{
    const char *root = text(spec, "root");
    char options[2048];

    want(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
    snprintf(options, sizeof(options), "lowerdir=/,upperdir=%s,workdir=%s", text(spec, "upper"), text(spec, "work"));
    want(mount("overlay", root, "overlay", 0, options) == 0, "overlay");
    want(chdir(root) == 0, root);
    want(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "proc");
    want(mount("/sys", "sys", NULL, MS_BIND | MS_REC, NULL) == 0, "sys");
    want(mount("run", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m") == 0, "run");
    want(mount("tmp", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=512m") == 0, "tmp");
    make_devices(spec);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

/* Services and data of the system below are not those of a fresh image. */
static void clear_image(void)
{
    static const char *const directories[] = {"etc/systemd/system", "etc/hactl",      "var/lib/hactl", "var/lib/etcd",
                                              "etc/etcd",           "etc/kubernetes", "var/log/units"};

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        nftw(directories[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    mkdir("etc/systemd/system", 0755);
}

/* What a fresh image would not have, or has otherwise. */
static void settle_in(const json_t *spec)
{
    char line[256];

    if (access("usr/lib/gce-guest", F_OK) != 0) {
        clear_image();
    }
    mkdir("usr/lib/gce-guest", 0755);
    copy_program("usr/lib/gce-guest/gce-guest");
    unlink("usr/bin/systemctl");
    want(symlink(GUEST_PROGRAM, "usr/bin/systemctl") == 0, "systemctl");
    snprintf(line, sizeof(line), "%s\n", text(spec, "name"));
    unlink("etc/hosts");
    unlink("etc/hostname");
    unlink("etc/resolv.conf");
    write_text("etc/hostname", line, 0644);
    write_text("etc/hosts", text(spec, "hosts"), 0644);
    write_text("etc/resolv.conf", "nameserver 169.254.169.254\n", 0644);
    mkdir("run/systemd", 0755);
    mkdir("run/systemd/system", 0755); /* how scripts find out that systemd runs */
    mkdir("var/log/units", 0755);
}

static void enter_root(void)
{
    want(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
    want(umount2(".", MNT_DETACH) == 0, "the old root");
    want(chdir("/") == 0, "/");
}

static void become_process1(const json_t *spec)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    want(sethostname(text(spec, "name"), strlen(text(spec, "name"))) == 0, "hostname");
    mount_root(spec);
    settle_in(spec);
    enter_root();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    clearenv();
    execl(GUEST_PROGRAM, "init", (char *)NULL);
    die(GUEST_PROGRAM);
}

static void forward(int signal_number)
{
    if (process1 > 0) {
        kill(process1, signal_number);
    }
}

static void enter_namespaces(const json_t *spec)
{
    int fd = open(text(spec, "netns"), O_RDONLY | O_CLOEXEC);

    want(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, "network namespace");
    close(fd);
    want(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC) == 0, "namespaces");
}

int guest_machine(const char *spec_path)
{
    struct sigaction action = {.sa_handler = forward};
    json_error_t error;
    json_t *spec = json_load_file(spec_path, 0, &error);
    int status;

    if (spec == NULL) {
        fprintf(stderr, "gce-guest: %s: %s\n", spec_path, error.text);
        return 70;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(022);
    enter_namespaces(spec);
    process1 = fork();
    want(process1 >= 0, "fork");
    if (process1 == 0) {
        become_process1(spec);
    }
    sigaction(SIGTERM, &action, NULL);
    while (waitpid(process1, &status, 0) < 0 && errno == EINTR) {
    }
    json_decref(spec);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
