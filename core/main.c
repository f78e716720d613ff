/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/call.h"
#include "core/commands.h"
#include "core/interrupts.h"
#include "core/log.h"

static void print_error(const struct ha_cli *cli, const struct ha_error *error)
{
    fprintf(stderr, "%shactl:%s %s\n", ha_shade_on(stderr, HA_SHADE_BAD), ha_shade_off(stderr), error->what);
    if (error->log[0] != '\0')
        fprintf(stderr, "  log:  %s\n", error->log);
    if (error->next[0] != '\0')
        fprintf(stderr, "  next: %s\n", error->next);
    if (cli->options.json)
        ha_json_print(ha_json_error(error), NULL);
}

static int run(struct ha_cli *cli, struct ha_error *error)
{
    if (cli->given[HA_OPTION_VERSION] != NULL)
        return ha_cmd_version(cli, error);
    if (cli->given[HA_OPTION_HELP] != NULL)
        return ha_help_print(cli, cli->all_words, cli->all_count, error);
    if (cli->command == NULL) {
        ha_help_overview(stderr);
        return HA_EXIT_USAGE;
    }
    return cli->command->run(cli, error);
}

/* Two arenas. In one, threads that make keys side by side would wait for each other at every allocation; one of its own
 * for each, which mostly waits and allocates little, would grow by a page and a system call at a time. What is large,
 * and mostly never filled, is mapped, and costs what is used of it. */
static void set_allocation(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TOP_PAD, 256 << 10);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

/* No dump of its memory, in which keys are, is left behind when it dies. Programs that it starts are as they would be.
 */
static void refuse_dumps(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    struct ha_error error = {.status = HA_EXIT_DONE};
    struct ha_cli cli;
    int parsed, status = HA_EXIT_USAGE;

    refuse_dumps();
    set_allocation();
    /* The process ends, and with it all that libcrypto would take apart by itself. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    setlocale(LC_CTYPE, "");
    ha_interrupts_setup();
    parsed = ha_cli_parse(&cli, argc, argv, &error);
    ha_output_setup(cli.color, cli.verbosity < 0);
    if (cli.verbosity != 0)
        ha_log_level_set(cli.verbosity < 0 ? HACTL_LOG_ERROR : cli.verbosity == 1 ? HACTL_LOG_INFO : HACTL_LOG_DEBUG);
    if (parsed == 0)
        status = run(&cli, &error);
    if (error.status != HA_EXIT_DONE) {
        print_error(&cli, &error);
        status = (int)error.status;
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && !ha_output_reader_left() && status == HA_EXIT_DONE) {
        fputs("hactl: cannot write to standard output\n", stderr);
        status = HA_EXIT_FAILED;
    }
    ha_cli_clear(&cli);
    if (status < 0)
        status = HA_EXIT_INTERNAL;
    if (ha_calls_hang()) /* exit() would tear down what a thread still uses */
        _exit(status);
    return status;
}
