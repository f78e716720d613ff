/* SPDX-License-Identifier: Apache-2.0 */
/* gce-emulator: see README.md beside this file. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "auth.h"
#include "boot.h"
#include "control.h"
#include "dispatch.h"
#include "emulator.h"
#include "latency.h"
#include "lib/file.h"
#include "metadata_server.h"
#include "netns.h"
#include "network.h"
#include "routes.h"
#include "schema.h"
#include "server.h"

struct em_options em_options = {.check_tokens = true};

static const char usage[] =
    "usage: gce-emulator --directory DIR [options]\n"
    "  --directory DIR     where tokens, keys and what instances write go; made if it is not there\n"
    "  --port PORT         of the API and of /_emulator/ on 127.0.0.1 (0: any, the default)\n"
    "  --metadata-port PORT\n"
    "  --project NAME      the only project there is; without it every name is one\n"
    "  --schema FILE       Google's discovery document; requests and answers are checked against it\n"
    "  --latency PRESET    none (the default) or realistic\n"
    "  --no-auth           calls need no token\n"
    "  --no-key            no service account, whose key takes a second to make\n"
    "  --boot              instances run, each in its own network namespace (needs root)\n"
    "  --ready-file FILE   written when it listens: PORT and METADATA-PORT in one line\n"
    "  -v                  a line for each call\n"
    "It ends on SIGTERM, and with the process that started it. docs: tests/gce-emulator/README.md\n";

static const char *ready_file, *latency = "none";

static bool read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"directory", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'},
        {"metadata-port", required_argument, NULL, 'm'},
        {"project", required_argument, NULL, 'P'},
        {"schema", required_argument, NULL, 's'},
        {"latency", required_argument, NULL, 'l'},
        {"no-auth", no_argument, NULL, 'n'},
        {"no-key", no_argument, NULL, 'k'},
        {"boot", no_argument, NULL, 'b'},
        {"ready-file", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            em_options.directory = optarg;
            break;
        case 'p':
            em_options.port = atoi(optarg);
            break;
        case 'm':
            em_options.metadata_port = atoi(optarg);
            break;
        case 'P':
            em_options.project = optarg;
            break;
        case 's':
            em_options.schema = optarg;
            break;
        case 'l':
            latency = optarg;
            break;
        case 'n':
            em_options.check_tokens = false;
            break;
        case 'k':
            em_options.no_key = true;
            break;
        case 'b':
            em_options.boot = true;
            break;
        case 'r':
            ready_file = optarg;
            break;
        case 'v':
            em_options.verbose++;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            return false;
        }
    }
    return optind == argc && em_options.directory != NULL;
}

/* A route that the schema does not have would be a mistake of ours. */
static bool routes_good(void)
{
    const struct em_method *method;
    size_t table = 0, row = 0;
    bool good = true;

    while ((method = em_routes_next(&table, &row)) != NULL) {
        char *wrong = em_schema_method_wrong(method);

        if (wrong != NULL) {
            em_log(0, "%s", wrong);
            free(wrong);
            good = false;
        }
    }
    return good;
}

static void on_signal(void *context)
{
    struct signalfd_siginfo information;

    if (read(*(int *)context, &information, sizeof(information)) == sizeof(information)) {
        em_loop_end();
    }
}

static bool watch_signals(int *fd)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    em_loop_watch(*fd, on_signal, fd);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return *fd >= 0;
}

static bool write_ready(void)
{
    char line[64];
    int status;

    snprintf(line, sizeof(line), "%d %d\n", em_options.port, em_options.metadata_port);
    if (ready_file == NULL) {
        printf("%s", line);
        fflush(stdout);
        return true;
    }
    status = ha_file_replace(ready_file, line, strlen(line), 0600, false);
    if (status != 0) {
        em_log(0, "%s: %s", ready_file, strerror(-status));
    }
    return status == 0;
}

static bool start(struct em_server **api, struct em_server **metadata)
{
    int status = ha_directory_make(em_options.directory, 0700);

    if (status != 0) {
        em_log(0, "%s: %s", em_options.directory, strerror(-status));
        return false;
    }
    if (em_options.schema != NULL && (!em_schema_load(em_options.schema) || !routes_good())) {
        return false;
    }
    if (em_options.schema == NULL) {
        em_log(0, "no --schema: nothing is checked against Google's schema");
    }
    if (!em_latency_preset(latency, 100)) {
        em_log(0, "--latency is none or realistic");
        return false;
    }
    if (em_options.boot && !em_boot_start()) {
        return false;
    }
    if (em_options.boot && !em_netns_enter(em_network_operator())) {
        return false;
    }
    *api = em_server_start("127.0.0.1", &em_options.port, -1, em_dispatch, NULL);
    *metadata = em_server_start("127.0.0.1", &em_options.metadata_port, -1, em_metadata_serve, NULL);
    if (em_options.boot) {
        em_netns_leave();
    }
    if (*api == NULL || *metadata == NULL) {
        em_log(0, "cannot listen: %s", strerror(errno));
        return false;
    }
    return em_auth_start(em_options.directory, em_options.port) && write_ready();
}

int main(int argc, char **argv)
{
    struct em_server *api = NULL, *metadata = NULL;
    int signals, status = 1;

    if (!read_options(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (watch_signals(&signals) && start(&api, &metadata)) {
        em_loop_run();
        status = 0;
    }
    if (em_options.boot) {
        em_boot_end();
    }
    em_server_stop(api);
    em_server_stop(metadata);
    em_control_reset();
    em_auth_end();
    em_schema_free();
    close(signals);
    return status;
}
