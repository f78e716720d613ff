/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arguments.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/commands.h"
#include "core/duration.h"
#include "core/journal.h"

const struct ha_option ha_option_table[HA_OPTIONS] = {
    [HA_OPTION_CONFIG] = {'c', "config", "FILE", "the configuration; - reads it from standard input"},
    [HA_OPTION_SET] = {'\0', "set", "KEY=VALUE", "overrides one setting of the configuration; may be repeated"},
    [HA_OPTION_OUTPUT] = {'o', "output", "FORMAT", "table (for people) or json (one document on standard output)"},
    [HA_OPTION_DRY_RUN] = {'n', "dry-run", NULL, "prints the plan of a changing command and changes nothing"},
    [HA_OPTION_YES] = {'y', "yes", NULL, "consents to the plan; does not consent to a failure budget of zero"},
    [HA_OPTION_TIMEOUT] = {'\0', "timeout", "DURATION", "the longest that the whole operation may take"},
    [HA_OPTION_LOCK_TIMEOUT] = {'\0', "lock-timeout", "DURATION", "how long to wait for another hactl to finish"},
    [HA_OPTION_ACCEPT_BUDGET] = {'\0', "accept-budget", "0",
                                 "consents to steps that leave the cluster without any failure to spare"},
    [HA_OPTION_OPERATION] = {'\0', "op", "NAME", "names the operation, so that asking again is the same request"},
    [HA_OPTION_PLUGIN_DIR] = {'\0', "plugin-dir", "DIRECTORY", "looks for plugins there first"},
    [HA_OPTION_VERBOSE] = {'v', "verbose", NULL, "says more on standard error; twice: every request"},
    [HA_OPTION_QUIET] = {'q', "quiet", NULL, "no progress, no report of a change and no warnings; errors only"},
    [HA_OPTION_COLOR] = {'\0', "color", "WHEN", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are heeded"},
    [HA_OPTION_HELP] = {'h', "help", NULL, "explains the command instead of running it"},
    [HA_OPTION_VERSION] = {'V', "version", NULL, "prints the version"},
    [HA_OPTION_DETAILED_EXITCODE] = {'\0', "detailed-exitcode", NULL, "exits with 2 when the plan has steps"},
    [HA_OPTION_ZONE] = {'\0', "zone", "ZONE", "the zone of the replica"},
    [HA_OPTION_NAME] = {'\0', "name", "NAME", "the name of the new replica; asking again for it is the same request"},
    [HA_OPTION_REPLICAS] = {'\0', "replicas", "NUMBER", "how many replicas there are to be"},
    [HA_OPTION_GROUP] = {'\0', "group", "GROUP", "the etcd group, when there are several"},
    [HA_OPTION_WARN] = {'\0', "warn", "DURATION", "warns of certificates that expire within this time (60d)"},
    [HA_OPTION_CRIT] = {'\0', "crit", "DURATION", "fails for certificates that expire within this time (14d)"},
    [HA_OPTION_CLOUD] = {'\0', "cloud", "NAME", "where the replicas are to run: local"},
    [HA_OPTION_FORCE] = {'\0', "force", NULL, "init: replaces the file; adopt: takes what is half done as it is"},
    [HA_OPTION_REKEY] = {'\0', "rekey", NULL, "makes a new key for what is renewed"},
    [HA_OPTION_TEXTFILE] = {'\0', "textfile", "FILE", "writes metrics for node_exporter's textfile collector"},
    [HA_OPTION_ALL] = {'\0', "all", NULL, "all that are in the zone, if there are several"},
    [HA_OPTION_MDOC] = {'\0', "mdoc", NULL, "prints every command as mdoc(7), for the manual"},
    [HA_OPTION_COMPLETE] = {'\0', "complete", NULL, "prints the completion for bash"},
};

/* ---- values */

static int bad_value(enum ha_option_id option, const char *value, const char *wanted, struct ha_error *error)
{
    return ha_fail(error, HA_EXIT_USAGE, "--%s: \"%s\" is not %s", ha_option_table[option].name, value, wanted);
}

int ha_cli_duration(const struct ha_cli *cli, enum ha_option_id option, const char *otherwise, int64_t *ms,
                    struct ha_error *error)
{
    const char *value = cli->given[option] != NULL ? cli->given[option] : otherwise;

    if (ha_duration_parse(value, ms) != 0)
        return bad_value(option, value, "a duration such as 200ms, 30s, 5m, 2h or 60d", error);
    return 0;
}

int ha_cli_number(const struct ha_cli *cli, enum ha_option_id option, int minimum, int maximum, int otherwise, int *out,
                  struct ha_error *error)
{
    const char *value = cli->given[option];
    char wanted[64], *end;
    long number;

    if (value == NULL) {
        *out = otherwise;
        return 0;
    }
    number = strtol(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || number < minimum || number > maximum) {
        snprintf(wanted, sizeof wanted, "a number from %d to %d", minimum, maximum);
        return bad_value(option, value, wanted, error);
    }
    *out = (int)number;
    return 0;
}

static int read_output(struct ha_cli *cli, const char *value, struct ha_error *error)
{
    if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0)
        return bad_value(HA_OPTION_OUTPUT, value, "table or json", error);
    cli->options.json = strcmp(value, "json") == 0;
    return 0;
}

static int read_color(struct ha_cli *cli, const char *value, struct ha_error *error)
{
    static const char *const words[] = {
        [HA_COLOR_AUTO] = "auto", [HA_COLOR_ALWAYS] = "always", [HA_COLOR_NEVER] = "never"};

    for (int i = 0; i < 3; i++)
        if (strcmp(value, words[i]) == 0) {
            cli->color = (enum ha_color)i;
            return 0;
        }
    return bad_value(HA_OPTION_COLOR, value, "auto, always or never", error);
}

static int read_set(struct ha_cli *cli, const char *value, struct ha_error *error)
{
    size_t count = 0;

    if (strchr(value, '=') == NULL || value[0] == '=')
        return bad_value(HA_OPTION_SET, value, "KEY=VALUE", error);
    while (cli->sets[count] != NULL)
        count++;
    cli->sets[count] = value;
    return 0;
}

static int keep_option(struct ha_cli *cli, enum ha_option_id option, const char *value, struct ha_error *error)
{
    struct ha_options *options = &cli->options;

    cli->given[option] = value;
    switch (option) {
    case HA_OPTION_CONFIG:
        options->config = value;
        return 0;
    case HA_OPTION_SET:
        return read_set(cli, value, error);
    case HA_OPTION_OUTPUT:
        return read_output(cli, value, error);
    case HA_OPTION_DRY_RUN:
        options->dry_run = true;
        return 0;
    case HA_OPTION_YES:
        options->yes = true;
        return 0;
    case HA_OPTION_TIMEOUT:
        return ha_cli_duration(cli, option, "", &options->timeout_ms, error);
    case HA_OPTION_LOCK_TIMEOUT:
        return ha_cli_duration(cli, option, "", &options->lock_timeout_ms, error);
    case HA_OPTION_ACCEPT_BUDGET:
        options->accept_budget_zero = strcmp(value, "0") == 0;
        return options->accept_budget_zero ? 0
                                           : bad_value(option, value, "0, the only budget that can be accepted", error);
    case HA_OPTION_OPERATION:
        if (!ha_operation_name_is_fit(value))
            return bad_value(option, value, "a name of letters, digits, dots, underscores and hyphens", error);
        options->operation = value;
        return 0;
    case HA_OPTION_PLUGIN_DIR:
        ha_plugin_directory_set(value);
        return 0;
    case HA_OPTION_VERBOSE:
        cli->verbosity++;
        return 0;
    case HA_OPTION_QUIET:
        cli->verbosity = -1;
        return 0;
    case HA_OPTION_COLOR:
        return read_color(cli, value, error);
    case HA_OPTION_DETAILED_EXITCODE:
        options->detailed_exitcode = true;
        return 0;
    default:
        return 0;
    }
}

/* ---- reading */

/* getopt's tables, made from ours. Its codes begin above every letter. */
enum { LONG_BASE = 256 };

struct getopt_tables {
    struct option longs[HA_OPTIONS + 1];
    char letters[HA_OPTIONS * 2 + 3];
};

static void fill_tables(struct getopt_tables *tables)
{
    size_t used = 0;

    memset(tables, 0, sizeof *tables);
    /* "-": words are handed out in their places, so options may stand anywhere; ":": we say what is wrong. */
    tables->letters[used++] = '-';
    tables->letters[used++] = ':';
    for (int i = 0; i < HA_OPTIONS; i++) {
        tables->longs[i].name = ha_option_table[i].name;
        tables->longs[i].has_arg = ha_option_table[i].argument != NULL ? required_argument : no_argument;
        tables->longs[i].val = LONG_BASE + i;
        if (ha_option_table[i].letter != '\0') {
            tables->letters[used++] = ha_option_table[i].letter;
            if (ha_option_table[i].argument != NULL)
                tables->letters[used++] = ':';
        }
    }
}

static int option_of(int code)
{
    if (code >= LONG_BASE)
        return code - LONG_BASE;
    for (int i = 0; i < HA_OPTIONS; i++)
        if (ha_option_table[i].letter == code)
            return i;
    return -1;
}

static int unknown_option(const char *text, struct ha_error *error)
{
    const char *names[HA_OPTIONS + 1] = {NULL};
    char word[64];
    const char *meant;

    if (strncmp(text, "--", 2) != 0) {
        ha_fail(error, HA_EXIT_USAGE, "there is no option -%c", optopt);
    } else {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(text + 2, "="), text + 2);
        ha_fail(error, HA_EXIT_USAGE, "there is no option --%s", word);
        for (int i = 0; i < HA_OPTIONS; i++)
            names[i] = ha_option_table[i].name;
        meant = ha_did_you_mean(word, names);
        if (meant != NULL)
            ha_advise(error, "did you mean --%s?", meant);
    }
    ha_advise(error, "hactl help options");
    return -1;
}

static int keep_word(struct ha_cli *cli, const char *word, struct ha_error *error)
{
    if (cli->all_count == HA_WORDS)
        return ha_fail(error, HA_EXIT_USAGE, "too many words: \"%s\"", word);
    cli->all_words[cli->all_count++] = word;
    return 0;
}

static void read_all(struct ha_cli *cli, int argc, char **argv, struct ha_error *error)
{
    struct getopt_tables tables;
    int code, option;

    fill_tables(&tables);
    opterr = 0;
    optind = 0; /* glibc: start afresh, with our leading "-" */
    while ((code = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
        option = option_of(code == ':' ? optopt : code);
        if (code == 1)
            keep_word(cli, optarg, error);
        else if (code == ':' && option >= 0)
            ha_fail(error, HA_EXIT_USAGE, "--%s wants an argument: %s", ha_option_table[option].name,
                    ha_option_table[option].argument);
        else if (code == '?' || option < 0)
            unknown_option(argv[optind - 1], error);
        else
            keep_option(cli, (enum ha_option_id)option, optarg != NULL ? optarg : "", error);
    }
    while (optind < argc)
        keep_word(cli, argv[optind++], error);
}

/* ---- which command */

static int foreign_option(const struct ha_cli *cli, struct ha_error *error)
{
    for (int i = HA_OPTIONS_GLOBAL; i < HA_OPTIONS; i++) {
        if (cli->given[i] == NULL || (cli->command->options & HA_BIT(i)) != 0)
            continue;
        ha_fail(error, HA_EXIT_USAGE, "%s%s%s has no option --%s", cli->command->noun,
                cli->command->verb != NULL ? " " : "", cli->command->verb != NULL ? cli->command->verb : "",
                ha_option_table[i].name);
        ha_advise(error, "hactl help %s%s%s", cli->command->noun, cli->command->verb != NULL ? " " : "",
                  cli->command->verb != NULL ? cli->command->verb : "");
        return -1;
    }
    return 0;
}

static int check_words(const struct ha_cli *cli, struct ha_error *error)
{
    const struct ha_command *command = cli->command;
    const char *verb = command->verb != NULL ? command->verb : "";
    const char *space = command->verb != NULL ? " " : "";

    if (cli->word_count >= command->words_min && cli->word_count <= command->words_max)
        return 0;
    if (cli->word_count > command->words_max)
        ha_fail(error, HA_EXIT_USAGE, "%s%s%s: \"%s\" is one word too many", command->noun, space, verb,
                cli->words[command->words_max]);
    else
        ha_fail(error, HA_EXIT_USAGE, "%s%s%s wants: %s", command->noun, space, verb, command->arguments);
    ha_advise(error, "hactl help %s%s%s", command->noun, space, verb);
    return -1;
}

static int find_command(struct ha_cli *cli, struct ha_error *error)
{
    int used = 0;

    if (cli->all_count == 0)
        return 0;
    cli->command = ha_command_find(cli->all_words, cli->all_count, &used, error);
    if (cli->command == NULL)
        return -1;
    snprintf(cli->command_text, sizeof cli->command_text, "%s%s%s", cli->command->noun,
             cli->command->verb != NULL ? " " : "", cli->command->verb != NULL ? cli->command->verb : "");
    cli->options.command = cli->command_text;
    cli->words = cli->all_words + used;
    cli->word_count = cli->all_count - used;
    if (cli->given[HA_OPTION_HELP] != NULL)
        return 0;
    return foreign_option(cli, error) == 0 ? check_words(cli, error) : -1;
}

int ha_cli_parse(struct ha_cli *cli, int argc, char **argv, struct ha_error *error)
{
    memset(cli, 0, sizeof *cli);
    cli->options.lock_timeout_ms = -1;
    cli->words = cli->all_words;
    cli->sets = calloc((size_t)argc + 1, sizeof *cli->sets);
    if (cli->sets == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    cli->options.sets = cli->sets;
    read_all(cli, argc, argv, error);
    if (error->status != HA_EXIT_DONE)
        return -1;
    /* `hactl help replica add` takes words that are commands, and --help may follow a noun alone. */
    if (cli->given[HA_OPTION_HELP] != NULL || cli->given[HA_OPTION_VERSION] != NULL)
        return 0;
    return find_command(cli, error);
}

void ha_cli_clear(struct ha_cli *cli)
{
    free(cli->sets);
    cli->sets = NULL;
}
