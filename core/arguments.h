/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: which command, its words, its options. */
#ifndef HACTL_CORE_ARGUMENTS_H
#define HACTL_CORE_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/output.h"
#include "core/session.h"

/* The global options first; the others belong to some commands only. */
enum ha_option_id {
    HA_OPTION_CONFIG,
    HA_OPTION_SET,
    HA_OPTION_OUTPUT,
    HA_OPTION_DRY_RUN,
    HA_OPTION_YES,
    HA_OPTION_TIMEOUT,
    HA_OPTION_LOCK_TIMEOUT,
    HA_OPTION_ACCEPT_BUDGET,
    HA_OPTION_OPERATION,
    HA_OPTION_PLUGIN_DIR,
    HA_OPTION_VERBOSE,
    HA_OPTION_QUIET,
    HA_OPTION_COLOR,
    HA_OPTION_HELP,
    HA_OPTION_VERSION,
    HA_OPTIONS_GLOBAL,
    HA_OPTION_DETAILED_EXITCODE = HA_OPTIONS_GLOBAL,
    HA_OPTION_ZONE,
    HA_OPTION_NAME,
    HA_OPTION_REPLICAS,
    HA_OPTION_GROUP,
    HA_OPTION_WARN,
    HA_OPTION_CRIT,
    HA_OPTION_CLOUD,
    HA_OPTION_FORCE,
    HA_OPTION_REKEY,
    HA_OPTION_TEXTFILE,
    HA_OPTION_ALL,
    HA_OPTION_MDOC,
    HA_OPTION_COMPLETE,
    HA_OPTIONS
};

struct ha_option {
    char letter; /* '\0': none */
    const char *name;
    const char *argument; /* "FILE"; NULL: takes none */
    const char *help;     /* a sentence without its full stop */
};

extern const struct ha_option ha_option_table[HA_OPTIONS];

#define HA_BIT(option) (UINT32_C(1) << (option))

enum { HA_WORDS = 8 };

struct ha_command;

struct ha_cli {
    struct ha_options options;
    enum ha_color color;
    int verbosity;                    /* -1: quiet */
    const struct ha_command *command; /* NULL: none was named */
    char command_text[48];            /* "replica add" */
    const char *all_words[HA_WORDS];
    int all_count;
    const char *const *words; /* what follows noun and verb */
    int word_count;
    const char *given[HA_OPTIONS]; /* an option's argument, "" when it takes none; NULL: not given */
    const char **sets;
};

/* Fills in `cli` even when it fails, so that errors are printed as asked for. */
int ha_cli_parse(struct ha_cli *cli, int argc, char **argv, struct ha_error *error);
void ha_cli_clear(struct ha_cli *cli);

/* An option of a command as a number, `otherwise` when it was not given. */
int ha_cli_duration(const struct ha_cli *cli, enum ha_option_id option, const char *otherwise, int64_t *ms,
                    struct ha_error *error);
int ha_cli_number(const struct ha_cli *cli, enum ha_option_id option, int minimum, int maximum, int otherwise, int *out,
                  struct ha_error *error);

#endif
