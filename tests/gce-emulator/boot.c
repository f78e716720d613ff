/* SPDX-License-Identifier: Apache-2.0 */
/* Machines: from an instance of the store to processes, and back. */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block.h"
#include "emulator.h"
#include "faults.h"
#include "instances.h"
#include "lib/file.h"
#include "machines.h"
#include "members.h"
#include "metadata_server.h"
#include "netns.h"
#include "network.h"
#include "network_rules.h"
#include "probes.h"
#include "server.h"
#include "store.h"
#include "timers.h"

#define HALT_MS      10000
#define CONSOLE_MOST (4u * 1024 * 1024)

struct machine {
    char *path; /* of the instance */
    unsigned number;
    char *directory;
    pid_t pid;
    int pidfd;
    bool halting, boot_again, attached;
    bool cut; /* off the network: neither answered nor refused, as a machine without power */
    struct em_timer kill_timer;
    struct em_server *metadata;
    json_t *forwarded; /* addresses that it has been given */
    void (*when_halted)(void *context);
    void *halted_context;
    struct machine *next;
};

static struct machine *machines;
static unsigned last_number;
static struct em_timer apply_timer;
static bool tmpfs_mounted;

static struct machine *find(const char *instance_path)
{
    struct machine *machine = machines;

    while (machine != NULL && strcmp(machine->path, instance_path) != 0) {
        machine = machine->next;
    }
    return machine;
}

static unsigned number_of(const struct em_resource *instance)
{
    const struct machine *machine = find(instance->path);

    return machine == NULL || !machine->attached || machine->cut ? 0 : machine->number;
}

/* ---- the network follows the store -------------------------------------------------------------- */

static void apply(void *context)
{
    char *rules;

    (void)context;
    em_probes_update(number_of);
    rules = em_network_rules(number_of);
    (void)em_network_load(rules);
    free(rules);
    for (struct machine *machine = machines; machine != NULL; machine = machine->next) {
        const struct em_resource *instance = em_store_find(machine->path);
        json_t *ips;

        if (instance == NULL || !machine->attached) {
            continue;
        }
        ips = em_members_forwarded_ips(instance);
        if (!json_equal(ips, machine->forwarded)) {
            em_network_forwarded(machine->number, machine->forwarded, ips);
            json_decref(machine->forwarded);
            machine->forwarded = ips;
        } else {
            json_decref(ips);
        }
    }
}

static void network_changed(void)
{
    if (!apply_timer.set) {
        em_timer_set(&apply_timer, em_options.data_plane_ms, apply, NULL);
    }
}

/* ---- making a machine ------------------------------------------------------------------------------ */

static const char *internal_ip(const struct em_resource *instance)
{
    return em_text(json_array_get(json_object_get(instance->json, "networkInterfaces"), 0), "networkIP");
}

static char *file_of(const struct machine *machine, const char *name)
{
    return em_format("%s/%s", machine->directory, name);
}

static void make_directories(const struct machine *machine)
{
    static const char *const names[] = {"root", "upper", "work"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = file_of(machine, names[i]);

        (void)ha_directory_make(path, 0755);
        free(path);
    }
    chmod(machine->directory, 0755);
}

static void serve_metadata(struct machine *machine)
{
    char name[48];
    int port = 80, fd;

    em_network_namespace(machine->number, name, sizeof(name));
    if (machine->metadata != NULL || !em_netns_enter(name)) {
        return;
    }
    fd = em_server_listen("169.254.169.254", &port);
    em_netns_leave();
    machine->metadata = fd < 0 ? NULL : em_server_start(NULL, &port, fd, em_metadata_serve, machine->path);
    if (machine->metadata == NULL) {
        em_log(0, "%s: no metadata server: %s", machine->path, strerror(errno));
    }
}

static struct machine *make(const struct em_resource *instance)
{
    struct machine *machine = em_alloc(sizeof(*machine));

    machine->path = em_strdup(instance->path);
    machine->number = ++last_number;
    machine->directory = em_format("%s/machines/%llu", em_options.directory, (unsigned long long)instance->id);
    machine->pidfd = -1;
    machine->forwarded = json_array();
    machine->next = machines;
    machines = machine;
    make_directories(machine);
    machine->attached = em_network_attach(machine->number, internal_ip(instance));
    serve_metadata(machine);
    return machine;
}

static json_t *disks_of(const struct em_resource *instance)
{
    json_t *list = json_array(), *attached;
    size_t i;

    json_array_foreach(json_object_get(instance->json, "disks"), i, attached)
    {
        const struct em_resource *disk = em_store_find(em_link_path(em_text(attached, "source")));
        unsigned major, minor;

        if (disk == NULL || em_true(attached, "boot")) {
            continue;
        }
        if (em_block_attach(disk, &major, &minor)) {
            json_array_append_new(list, json_pack("{s:s,s:i,s:i}", "device_name", em_text(attached, "deviceName"),
                                                  "major", (int)major, "minor", (int)minor));
        }
    }
    return list;
}

/* What gce-guest needs to know. Caller frees the path. */
static char *write_spec(const struct machine *machine, const struct em_resource *instance)
{
    const char *zone = strchr(instance->collection->scope, '/') + 1, *project = instance->collection->project;
    char *path = file_of(machine, "spec.json"), *root = file_of(machine, "root"), *upper = file_of(machine, "upper"),
         *work = file_of(machine, "work"), name[48];
    json_t *spec;

    em_network_namespace(machine->number, name, sizeof(name));
    spec = json_pack("{s:s,s:s,s:s,s:s,s:o}", "name", instance->name, "root", root, "upper", upper, "work", work,
                     "disks", disks_of(instance));
    em_set_format(spec, "netns", "/run/netns/%s", name);
    em_set_format(spec, "hosts",
                  "127.0.0.1 localhost\n"
                  "169.254.169.254 metadata.google.internal metadata\n"
                  "%s %s.%s.c.%s.internal %s\n",
                  internal_ip(instance), instance->name, zone, project, instance->name);
    if (json_dump_file(spec, path, JSON_INDENT(1)) != 0) {
        em_log(0, "%s: cannot be written", path);
    }
    json_decref(spec);
    free(root);
    free(upper);
    free(work);
    return path;
}

/* For whoever wants to look into it: the process whose child is process 1. */
static void write_pid(const struct machine *machine)
{
    char *path = file_of(machine, "pid"),
         *by_name = em_format("%s/machines/by-name/%s", em_options.directory, strrchr(machine->path, '/') + 1),
         *text = em_format("%d\n", (int)machine->pid), *parent = em_format("%s/machines/by-name", em_options.directory);

    (void)ha_directory_make(parent, 0755);
    (void)ha_file_replace(path, text, strlen(text), 0644, false);
    unlink(by_name);
    (void)!symlink(path, by_name);
    free(path);
    free(by_name);
    free(text);
    free(parent);
}

/* The program beside our own. */
static void guest_program(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    path[length < 0 ? 0 : length] = '\0';
    slash = strrchr(path, '/');
    if (slash != NULL) {
        snprintf(slash + 1, size - (size_t)(slash + 1 - path), "gce-guest");
    }
}

static void run_guest(const char *program, const char *spec, const char *console)
{
    int fd = open(console, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    dup2(null, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    closefrom(3);
    execl(program, "gce-guest", "machine", spec, (char *)NULL);
    _exit(127);
}

static void has_ended(void *context);

static void start(struct machine *machine)
{
    struct em_resource *instance = em_store_find(machine->path);
    char program[4096], *spec, *console;

    if (instance == NULL) {
        return;
    }
    guest_program(program, sizeof(program));
    spec = write_spec(machine, instance);
    console = file_of(machine, "console.log");
    machine->cut = false;
    network_changed();
    machine->halting = false;
    machine->pid = fork();
    if (machine->pid == 0) {
        run_guest(program, spec, console);
    }
    free(spec);
    free(console);
    machine->pidfd = machine->pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, machine->pid, 0);
    if (machine->pidfd < 0) {
        em_log(0, "%s: cannot start: %s", machine->path, strerror(errno));
        return;
    }
    write_pid(machine);
    em_loop_watch(machine->pidfd, has_ended, machine);
    em_log(1, "%s: boots", machine->path);
}

/* ---- the end of one ------------------------------------------------------------------------------------ */

static void forget_process(struct machine *machine)
{
    em_timer_clear(&machine->kill_timer);
    if (machine->pidfd >= 0) {
        em_loop_watch(machine->pidfd, NULL, NULL);
        close(machine->pidfd);
        machine->pidfd = -1;
    }
    machine->pid = 0;
}

static void tell_halted(struct machine *machine)
{
    void (*function)(void *context) = machine->when_halted;

    machine->when_halted = NULL;
    if (function != NULL) {
        function(machine->halted_context);
    }
}

static bool is_there(const struct machine *wanted)
{
    const struct machine *machine = machines;

    while (machine != NULL && machine != wanted) {
        machine = machine->next;
    }
    return machine != NULL;
}

static void has_ended(void *context)
{
    struct machine *machine = context;
    struct em_resource *instance = em_store_find(machine->path);
    int status = 0;

    if (waitpid(machine->pid, &status, WNOHANG) != machine->pid) {
        return;
    }
    forget_process(machine);
    em_log(1, "%s: has ended with status %d", machine->path, status);
    machine->cut = true;
    network_changed();
    if (!machine->halting && !machine->boot_again && instance != NULL &&
        !em_faults_zone_down(instance->collection->scope)) {
        em_set(instance->json, "status", "TERMINATED"); /* it has switched itself off */
    }
    tell_halted(machine);
    /* Who waited for it may have deleted it. */
    if (is_there(machine) && machine->boot_again) {
        machine->boot_again = false;
        start(machine);
    }
}

static void kill_machine(void *context)
{
    struct machine *machine = context;

    if (machine->pid > 0) {
        kill(machine->pid, SIGKILL); /* process 1 dies with it, and everything with process 1 */
    }
}

/* At once, and waits for it. */
static void destroy(struct machine *machine)
{
    struct machine **place = &machines;

    if (machine->pid > 0) {
        kill(machine->pid, SIGKILL);
        while (waitpid(machine->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    forget_process(machine);
    em_server_stop(machine->metadata);
    em_network_detach(machine->number);
    while (*place != machine) {
        place = &(*place)->next;
    }
    *place = machine->next;
    json_decref(machine->forwarded);
    free(machine->path);
    free(machine->directory);
    free(machine);
}

/* ---- hooks ---------------------------------------------------------------------------------------------- */

static void boot(struct em_resource *instance)
{
    struct machine *machine = find(instance->path);

    if (machine == NULL) {
        machine = make(instance);
    }
    if (machine->pid > 0) {
        machine->boot_again = true;
        return;
    }
    start(machine);
}

static void halt(struct em_resource *instance)
{
    struct machine *machine = find(instance->path);

    if (machine == NULL || machine->pid <= 0 || machine->halting) {
        return;
    }
    machine->halting = true;
    kill(machine->pid, SIGTERM);
    em_timer_set(&machine->kill_timer, HALT_MS, kill_machine, machine);
}

static bool when_halted(struct em_resource *instance, void (*function)(void *context), void *context)
{
    struct machine *machine = find(instance->path);

    if (machine == NULL || machine->pid <= 0) {
        return false;
    }
    machine->when_halted = function;
    machine->halted_context = context;
    return true;
}

static void gone(struct em_resource *instance)
{
    struct machine *machine = find(instance->path);
    json_t *attached;
    char *directory;
    size_t i;

    if (machine == NULL) {
        return;
    }
    directory = em_strdup(machine->directory);
    destroy(machine);
    json_array_foreach(json_object_get(instance->json, "disks"), i, attached)
    {
        const struct em_resource *disk = em_store_find(em_link_path(em_text(attached, "source")));

        if (disk != NULL) {
            em_block_detach(disk);
        }
    }
    (void)ha_tree_remove(directory);
    free(directory);
}

static void disk_gone(struct em_resource *disk)
{
    em_block_remove(disk);
}

static void zone_died(const char *zone, bool dead)
{
    for (struct machine *machine = machines; machine != NULL; machine = machine->next) {
        struct em_resource *instance = em_store_find(machine->path);

        if (instance == NULL || strcmp(strchr(instance->collection->scope, '/') + 1, zone) != 0) {
            continue;
        }
        if (dead) {
            machine->cut = true;
        } else if (!dead && strcmp(em_text(instance->json, "status"), "RUNNING") == 0) {
            boot(instance);
        }
    }
    if (!dead) {
        return;
    }
    apply(NULL); /* first nothing comes from them any more, then they are killed */
    for (struct machine *machine = machines; machine != NULL; machine = machine->next) {
        if (machine->cut && machine->pid > 0) {
            kill(machine->pid, SIGKILL);
        }
    }
}

static const char *health(const struct em_resource *instance, const char *ip)
{
    return em_probes_state(instance->path, ip);
}

static char *serial(const struct em_resource *instance)
{
    const struct machine *machine = find(instance->path);
    char *path = machine == NULL ? NULL : file_of(machine, "console.log"), *text = NULL;
    size_t size;

    if (path != NULL && ha_file_read(path, CONSOLE_MOST, &text, &size) != 0) {
        text = NULL;
    }
    free(path);
    return text;
}

/* ---- the mode ------------------------------------------------------------------------------------------------ */

static bool check_program(void)
{
    char program[4096];

    guest_program(program, sizeof(program));
    if (access(program, X_OK) != 0) {
        em_log(0, "%s: %s", program, strerror(errno));
        return false;
    }
    return true;
}

/* In memory, because an overlay's own layers may not lie in the file system that it covers. */
static bool mount_machines(void)
{
    char *path = em_format("%s/machines", em_options.directory);

    (void)ha_directory_make(path, 0755);
    tmpfs_mounted = mount("gce-emulator", path, "tmpfs", MS_NODEV, "mode=0755") == 0;
    if (!tmpfs_mounted) {
        em_log(0, "%s: %s", path, strerror(errno));
    }
    free(path);
    return tmpfs_mounted;
}

static bool write_operator(void)
{
    char *path = em_format("%s/operator-netns", em_options.directory);
    int status = ha_file_replace(path, em_network_operator(), strlen(em_network_operator()), 0644, false);

    free(path);
    return status == 0;
}

bool em_boot_start(void)
{
    if (geteuid() != 0) {
        em_log(0, "instances boot for root only; --api-only needs no root");
        return false;
    }
    if (!check_program() || !mount_machines() || !em_network_start() || !write_operator() ||
        !em_probes_start(em_network_fabric(), network_changed)) {
        return false;
    }
    em_machines = (struct em_machines){.boot = boot,
                                       .halt = halt,
                                       .when_halted = when_halted,
                                       .gone = gone,
                                       .disk_gone = disk_gone,
                                       .zone_died = zone_died,
                                       .network_changed = network_changed,
                                       .health = health,
                                       .serial = serial};
    apply(NULL);
    return true;
}

void em_boot_end(void)
{
    char *path = em_format("%s/machines", em_options.directory);

    em_probes_end();
    em_timer_clear(&apply_timer);
    while (machines != NULL) {
        destroy(machines);
    }
    em_block_end();
    em_network_end();
    if (tmpfs_mounted) {
        umount2(path, MNT_DETACH);
    }
    free(path);
    memset(&em_machines, 0, sizeof(em_machines));
}
