/* SPDX-License-Identifier: Apache-2.0 */
/* Help, manual and completion from the tables of commands, options and exit codes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/commands.h"

static const struct {
    enum ha_exit status;
    const char *meaning;
} exit_codes[] = {
    {HA_EXIT_DONE, "done, or there was nothing to do"},
    {HA_EXIT_FAILED, "failed for a reason without a code of its own"},
    {HA_EXIT_CHANGES, "with --detailed-exitcode only: the plan has steps"},
    {HA_EXIT_USAGE, "the command line or the configuration is wrong; nothing was begun"},
    {HA_EXIT_DENIED, "credentials or permission"},
    {HA_EXIT_REFUSED, "refused by a safety guard, or not consented to"},
    {HA_EXIT_LOCKED, "another hactl works on the same cluster"},
    {HA_EXIT_TIMEOUT, "timed out; safe to resume"},
    {HA_EXIT_INTERRUPTED, "interrupted; safe to resume"},
    {HA_EXIT_UNHEALTHY, "check, pki check: something is critical"},
    {HA_EXIT_WARNING, "check, pki check: warnings only; adopt: not all could be known"},
    {HA_EXIT_PLUGIN, "a plugin failed or does not fit"},
    {HA_EXIT_DECISION, "partly done, and a decision is needed: hactl op show"},
    {HA_EXIT_INTERNAL, "a defect in hactl"},
};

struct entry {
    const char *name, *meaning; /* ends with NULL */
};

static const struct entry environment[] = {
    {"HACTL_CONFIG", "the configuration, when --config is not given"},
    {"HACTL_PLUGIN_DIR", "looks for plugins there first, after --plugin-dir"},
    {"HACTL_DATA_DIR", "where pipelines.conf is, if not where it was installed"},
    {"XDG_CONFIG_HOME", "where hactl/hactl.conf is looked for, instead of ~/.config"},
    {"XDG_STATE_HOME", "where hactl keeps what it knows, instead of ~/.local/state"},
    {"NO_COLOR", "no colours, when set to anything"},
    {"CLICOLOR_FORCE", "colours even where the output is no terminal, when set to anything but 0"},
    {"TERM", "dumb: one line a step instead of a display that is drawn again"},
    {NULL, NULL},
};

static const struct entry files[] = {
    {"hactl.conf", "the configuration; see hactl.conf(5)"},
    {"/etc/hactl/hactl.conf", "the configuration of the whole machine"},
    {"~/.local/state/hactl/CLUSTER/desired.json", "the replica set as it is wanted, numbered by generation"},
    {"~/.local/state/hactl/CLUSTER/operations/", "the journal of each operation"},
    {"~/.local/state/hactl/CLUSTER/lock", "says who is changing the cluster"},
    {"~/.local/state/hactl/CLUSTER/INSTANCE/",
     "what a plugin keeps; the authorities' private keys are in that of the issuer: back it up"},
    {NULL, NULL},
};

enum { EXIT_CODES = sizeof exit_codes / sizeof *exit_codes, TEXT_WIDTH = 76 };

static void put_name(const struct ha_command *command, FILE *stream)
{
    fprintf(stream, "%s%s%s", command->noun, command->verb != NULL ? " " : "",
            command->verb != NULL ? command->verb : "");
}

/* ---- text */

/* Fills lines of at most TEXT_WIDTH columns; "\n" ends a paragraph. */
static void put_filled(const char *text, FILE *stream)
{
    int column = 0;

    while (*text != '\0') {
        int length = (int)strcspn(text, " \n");

        if (column > 0 && column + 1 + length > TEXT_WIDTH) {
            fputc('\n', stream);
            column = 0;
        }
        fprintf(stream, "%s%.*s", column > 0 ? " " : "", length, text);
        column += length + (column > 0);
        text += length;
        if (*text == '\n') {
            fputs("\n\n", stream);
            column = 0;
        }
        text += *text != '\0';
    }
    fputc('\n', stream);
}

static void put_options(uint32_t options, FILE *stream)
{
    for (int i = 0; i < HA_OPTIONS; i++) {
        const struct ha_option *option = &ha_option_table[i];
        char left[64];

        if ((options & HA_BIT(i)) == 0)
            continue;
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", option->letter != '\0' ? '-' : ' ',
                 option->letter != '\0' ? option->letter : ' ', option->letter != '\0' ? ", " : "  ", option->name,
                 option->argument != NULL ? " " : "", option->argument != NULL ? option->argument : "");
        fprintf(stream, "  %-27s %s\n", left, option->help);
    }
}

static void put_command(const struct ha_command *command, FILE *stream)
{
    const char *example = command->examples;

    fputs("Examples:\n", stream);
    while (*example != '\0') {
        int length = (int)strcspn(example, "\n");

        fprintf(stream, "  hactl %.*s\n", length, example);
        example += length + (example[length] == '\n');
    }
    fputs("\nUsage: hactl ", stream);
    put_name(command, stream);
    fprintf(stream, "%s%s [OPTION]...\n", command->arguments[0] != '\0' ? " " : "", command->arguments);
    if (command->alias != NULL)
        fprintf(stream, "Also called: hactl %s\n", command->alias);
    fputs("\nhactl ", stream);
    put_name(command, stream);
    fprintf(stream, " %s.\n", command->summary);
    if (command->help[0] != '\0') {
        fputc('\n', stream);
        put_filled(command->help, stream);
    }
    if (command->options != 0) {
        fputs("\nOptions of its own:\n", stream);
        put_options(command->options, stream);
    }
    fputs("\nThe options that every command takes: hactl help options\n", stream);
}

static void put_summaries(const char *noun, FILE *stream)
{
    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++) {
        char name[48];

        if (noun != NULL && strcmp(noun, command->noun) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", command->noun, command->verb != NULL ? " " : "",
                 command->verb != NULL ? command->verb : "");
        fprintf(stream, "  %-18s %s\n", name, command->summary);
    }
}

void ha_help_overview(FILE *stream)
{
    fputs("hactl creates and operates the highly available control plane of a Kubernetes cluster.\n\n"
          "Begin with:\n"
          "  hactl init && hactl up\n\n"
          "Usage: hactl [OPTION]... COMMAND [ARGUMENT]...\n\n"
          "Commands:\n",
          stream);
    put_summaries(NULL, stream);
    fputs("\nMore: hactl help COMMAND, hactl help options, hactl help exit-codes, hactl(8)\n", stream);
}

static void put_exit_codes(FILE *stream)
{
    fputs("Exit codes:\n", stream);
    for (int i = 0; i < EXIT_CODES; i++)
        fprintf(stream, "  %2d  %s\n", (int)exit_codes[i].status, exit_codes[i].meaning);
}

static void put_global_options(FILE *stream)
{
    fputs("Options of every command; they may stand before or after its name:\n", stream);
    put_options(HA_BIT(HA_OPTIONS_GLOBAL) - 1, stream);
    fputs("\nA DURATION is a number with ms, s, m, h or d, such as 30s.\n"
          "Without --config: $HACTL_CONFIG, ./hactl.conf, that of the nearest directory above,\n"
          "$XDG_CONFIG_HOME/hactl/hactl.conf, /etc/hactl/hactl.conf.\n",
          stream);
    fputs("\nEnvironment:\n", stream);
    for (const struct entry *entry = environment; entry->name != NULL; entry++)
        fprintf(stream, "  %-17s %s\n", entry->name, entry->meaning);
}

/* A noun alone: all that it can do. */
static bool put_noun(const char *noun, FILE *stream)
{
    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++)
        if (strcmp(command->noun, noun) == 0 && command->verb != NULL) {
            fprintf(stream, "Usage: hactl %s VERB [ARGUMENT]...\n\n", noun);
            put_summaries(noun, stream);
            fprintf(stream, "\nMore: hactl help %s VERB\n", noun);
            return true;
        }
    return false;
}

int ha_help_about(const char *const *words, int count, FILE *stream, struct ha_error *error)
{
    const struct ha_command *command;
    int used = 0;

    if (count > 0 && strcmp(words[0], "help") == 0) {
        words++;
        count--;
    }
    if (count == 0)
        ha_help_overview(stream);
    else if (strcmp(words[0], "exit-codes") == 0)
        put_exit_codes(stream);
    else if (strcmp(words[0], "options") == 0)
        put_global_options(stream);
    else if (count > 1 || !put_noun(words[0], stream)) {
        command = ha_command_find(words, count, &used, error);
        if (command == NULL)
            return -1;
        put_command(command, stream);
    }
    return HA_EXIT_DONE;
}

static int print_help_json(const char *const *words, int count, struct ha_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int status;

    if (stream == NULL)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    status = ha_help_about(words, count, stream, error);
    fclose(stream);
    if (status == HA_EXIT_DONE)
        status = ha_json_print(json_pack("{s:s, s:s}", "schema", "hactl.help/1", "text", text), error);
    free(text);
    return status;
}

int ha_help_print(const struct ha_cli *cli, const char *const *words, int count, struct ha_error *error)
{
    return cli->options.json ? print_help_json(words, count, error) : ha_help_about(words, count, stdout, error);
}

/* ---- the manual */

/* Text for mdoc: a backslash is \e, a dash that is typed is \-, and a line must not begin with a dot or a quote. */
static void put_mdoc_text(const char *text, size_t length, FILE *stream)
{
    bool line_begins = true;

    for (size_t i = 0; i < length; i++) {
        if (line_begins && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", stream);
        line_begins = text[i] == '\n';
        if (text[i] == '\\')
            fputs("\\e", stream);
        else if (text[i] == '-' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '-'))
            fputs("\\-", stream);
        else
            fputc(text[i], stream);
    }
}

/* Sentences begin on lines of their own, as mdoc wants; "\n" ends a paragraph. */
static void put_mdoc_paragraphs(const char *text, FILE *stream)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n.");

        if (text[length] == '.' && (text[length + 1] == ' ' || text[length + 1] == '\n' || text[length + 1] == '\0')) {
            put_mdoc_text(text, length + 1, stream);
            fputc('\n', stream);
            text += length + 1;
            text += *text == ' ';
        } else {
            length += text[length] == '.';
            put_mdoc_text(text, length, stream);
            text += length;
        }
        if (*text == '\n') {
            fputs(".Pp\n", stream);
            text++;
        }
    }
}

/* One word of a synopsis: "[--zone", "ZONE]", "|", "NAME". */
static void put_mdoc_word(const char *word, size_t length, FILE *stream)
{
    size_t closing = 0;

    for (; length > 0 && *word == '['; word++, length--)
        fputs(" Oo", stream);
    while (length > closing && word[length - 1 - closing] == ']')
        closing++;
    length -= closing;
    if (length > 2 && strncmp(word, "--", 2) == 0)
        fprintf(stream, " Fl \\-%.*s", (int)length - 2, word + 2);
    else if (length == 1 && *word == '|')
        fputs(" \\*(Ba", stream);
    else if (length > 0 && isupper((unsigned char)*word))
        fprintf(stream, " Ar %.*s", (int)length, word);
    else if (length > 0)
        fprintf(stream, " Cm %.*s", (int)length, word);
    while (closing-- > 0)
        fputs(" Oc", stream);
}

static void put_mdoc_arguments(const char *arguments, FILE *stream)
{
    char line[256] = "";
    FILE *buffer = fmemopen(line, sizeof line, "w");

    while (buffer != NULL && *arguments != '\0') {
        size_t length = strcspn(arguments, " ");

        put_mdoc_word(arguments, length, buffer);
        arguments += length;
        arguments += *arguments == ' ';
    }
    if (buffer != NULL)
        fclose(buffer);
    if (line[0] == ' ')
        fprintf(stream, ".%s\n", line + 1);
}

static void put_mdoc_synopsis(const struct ha_command *command, FILE *stream)
{
    fputs(".It Xo\n.Ic ", stream);
    put_name(command, stream);
    fputc('\n', stream);
    put_mdoc_arguments(command->arguments, stream);
    fputs(".Xc\n", stream);
}

static void put_mdoc_options(uint32_t options, FILE *stream)
{
    fputs(".Bl -tag -width Ds\n", stream);
    for (int i = 0; i < HA_OPTIONS; i++) {
        const struct ha_option *option = &ha_option_table[i];

        if ((options & HA_BIT(i)) == 0)
            continue;
        fputs(".It", stream);
        if (option->letter != '\0')
            fprintf(stream, " Fl %c ,", option->letter);
        fprintf(stream, " Fl \\-%s", option->name);
        if (option->argument != NULL)
            fprintf(stream, " Ar %s", option->argument);
        fputc('\n', stream);
        put_mdoc_text(option->help, strlen(option->help), stream);
        fputs(".\n", stream);
    }
    fputs(".El\n", stream);
}

static void put_mdoc_command(const struct ha_command *command, FILE *stream)
{
    put_mdoc_synopsis(command, stream);
    fputc(toupper((unsigned char)command->summary[0]), stream);
    put_mdoc_text(command->summary + 1, strlen(command->summary + 1), stream);
    fputs(".\n", stream);
    if (command->alias != NULL)
        fprintf(stream, "Also called\n.Ic %s .\n", command->alias);
    put_mdoc_paragraphs(command->help, stream);
}

static void put_mdoc_entries(const struct entry *entry, const char *section, const char *macro, FILE *stream)
{
    fprintf(stream, ".Sh %s\n.Bl -tag -width Ds\n", section);
    for (; entry->name != NULL; entry++) {
        fprintf(stream, ".It %s %s\n", macro, entry->name);
        put_mdoc_text(entry->meaning, strlen(entry->meaning), stream);
        fputs(".\n", stream);
    }
    fputs(".El\n", stream);
}

void ha_help_mdoc(FILE *stream)
{
    fputs(".Sh OPTIONS\nThese options belong to every command and may stand before or after its name.\n", stream);
    put_mdoc_options(HA_BIT(HA_OPTIONS_GLOBAL) - 1, stream);
    fputs(".Pp\nSome commands have options of their own:\n", stream);
    put_mdoc_options((HA_BIT(HA_OPTION_MDOC) - 1) & ~(HA_BIT(HA_OPTIONS_GLOBAL) - 1), stream);
    fputs(".Pp\nA\n.Ar DURATION\nis a number with ms, s, m, h or d, such as 30s.\n.Sh COMMANDS\n.Bl -tag -width Ds\n",
          stream);
    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++)
        put_mdoc_command(command, stream);
    fputs(".El\n", stream);
    put_mdoc_entries(environment, "ENVIRONMENT", "Ev", stream);
    put_mdoc_entries(files, "FILES", "Pa", stream);
    fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds -compact\n", stream);
    for (int i = 0; i < EXIT_CODES; i++) {
        fprintf(stream, ".It %d\n", (int)exit_codes[i].status);
        put_mdoc_text(exit_codes[i].meaning, strlen(exit_codes[i].meaning), stream);
        fputc('\n', stream);
    }
    fputs(".El\n", stream);
}

/* ---- completion */

static void put_verbs(FILE *stream)
{
    const char *noun = "";

    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++) {
        if (command->verb == NULL)
            continue;
        if (strcmp(noun, command->noun) != 0)
            fprintf(stream, "%s        %s) words='", noun[0] != '\0' ? "' ;;\n" : "", command->noun);
        else
            fputc(' ', stream);
        fputs(command->verb, stream);
        noun = command->noun;
    }
    fputs("' ;;\n", stream);
}

static void put_nouns(FILE *stream)
{
    const char *noun = "";

    for (const struct ha_command *command = ha_commands; command->noun != NULL; command++) {
        if (strcmp(noun, command->noun) != 0)
            fprintf(stream, "%s%s", noun[0] != '\0' ? " " : "", command->noun);
        if (command->alias != NULL)
            fprintf(stream, " %s", command->alias);
        noun = command->noun;
    }
}

static void put_values(FILE *stream)
{
    fputs("        -c|--config) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
          "        --plugin-dir) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n"
          "        -o|--output) COMPREPLY=($(compgen -W 'table json' -- \"$current\")); return ;;\n"
          "        --color) COMPREPLY=($(compgen -W 'auto always never' -- \"$current\")); return ;;\n"
          "        --accept-budget) COMPREPLY=($(compgen -W '0' -- \"$current\")); return ;;\n"
          "        --cloud) COMPREPLY=($(compgen -W 'local' -- \"$current\")); return ;;\n",
          stream);
    for (int i = 0; i < HA_OPTIONS; i++)
        if (ha_option_table[i].argument != NULL && i != HA_OPTION_CONFIG && i != HA_OPTION_PLUGIN_DIR &&
            i != HA_OPTION_OUTPUT && i != HA_OPTION_COLOR && i != HA_OPTION_ACCEPT_BUDGET && i != HA_OPTION_CLOUD)
            fprintf(stream, "        --%s) return ;;\n", ha_option_table[i].name);
}

static void put_option_patterns(FILE *stream)
{
    for (int i = 0; i < HA_OPTIONS; i++)
        if (ha_option_table[i].argument != NULL) {
            if (ha_option_table[i].letter != '\0')
                fprintf(stream, "-%c|", ha_option_table[i].letter);
            fprintf(stream, "--%s%s", ha_option_table[i].name, i < HA_OPTION_CLOUD ? "|" : "");
        }
}

void ha_help_complete(FILE *stream)
{
    fputs("# bash completion for hactl; made by: hactl help --complete\n"
          "_hactl() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} noun='' words='' i\n"
          "    COMPREPLY=()\n"
          "    case $previous in\n",
          stream);
    put_values(stream);
    fputs("    esac\n"
          "    if [[ $current == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stream);
    for (int i = 0; i < HA_OPTION_MDOC; i++)
        fprintf(stream, "%s--%s", i > 0 ? " " : "", ha_option_table[i].name);
    fputs("' -- \"$current\"))\n"
          "        return\n"
          "    fi\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n"
          "            ",
          stream);
    put_option_patterns(stream);
    fputs(") ((i++)) ;;\n"
          "            -*) ;;\n"
          "            help) ;;\n"
          "            *) [[ -z $noun ]] && noun=${COMP_WORDS[i]} || return ;;\n"
          "        esac\n"
          "    done\n"
          "    case $noun in\n"
          "        '') words='",
          stream);
    put_nouns(stream);
    fputs("' ;;\n", stream);
    put_verbs(stream);
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "}\n"
          "complete -F _hactl hactl\n",
          stream);
}

int ha_cmd_help(struct ha_cli *cli, struct ha_error *error)
{
    if (cli->given[HA_OPTION_MDOC] != NULL) {
        ha_help_mdoc(stdout);
        return HA_EXIT_DONE;
    }
    if (cli->given[HA_OPTION_COMPLETE] != NULL) {
        ha_help_complete(stdout);
        return HA_EXIT_DONE;
    }
    return ha_help_print(cli, cli->words, cli->word_count, error);
}
