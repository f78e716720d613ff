/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cmd_change.h"
#include "core/commands.h"
#include "lib/file.h"

static const char local_text[] =
    "# The control plane of \"%s\": replicas on this machine, without root. hactl.conf(5)\n"
    "# explains every key; `hactl config show` prints what is in effect and from where.\n"
    "\n"
    "cluster = {\n"
    "  name = \"%s\";\n"
    "  # Odd numbers tolerate most: three replicas tolerate one failure, five two.\n"
    "  replicas = %d;\n"
    "  # In order of preference. On one machine zones are only labels.\n"
    "  zones = [\"a\", \"b\", \"c\"];\n"
    "};\n"
    "\n"
    "# What hactl keeps about the cluster, its authorities included. The default is\n"
    "# $XDG_STATE_HOME/hactl or ~/.local/state/hactl.\n"
    "# state = { directory = \"state\"; };\n"
    "\n"
    "# Each entry is an instance of a plugin; its name is your choice, the other keys\n"
    "# are the plugin's own (`hactl plugin info NAME` lists them).\n"
    "plugins = {\n"
    "  cloud = { plugin = \"local\"; };  # replicas and addresses\n"
    "  etcd  = { plugin = \"etcd\"; };   # the group of members\n"
    "  pki   = { plugin = \"pki\"; };    # authorities and certificates\n"
    "  lb    = { plugin = \"lb\"; };     # holds the public address from two replicas on\n"
    "};\n"
    "\n"
    "# The order of work: `hactl stage list` shows it. To change it, copy that file\n"
    "# beside this one and edit the copy.\n"
    "@include \"pipelines.conf\"\n";

static bool is_name(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > 40 || !islower((unsigned char)name[0]) || name[length - 1] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static int write_file(const char *file, const char *text, bool force, struct ha_error *error)
{
    int result = force ? ha_file_replace(file, text, strlen(text), 0644, true)
                       : ha_file_create(file, text, strlen(text), 0644, true);

    if (result == 0)
        return 0;
    ha_fail_errno(error, HA_EXIT_USAGE, result, "cannot write %s", file);
    if (result == -EEXIST)
        ha_advise(error, "--force replaces it; -c FILE writes another");
    return -1;
}

static int print_written(const struct ha_cli *cli, const char *file, const char *name, struct ha_error *error)
{
    char called[512];

    if (cli->options.json)
        return ha_json_print(json_pack("{s:s, s:s, s:s}", "schema", "hactl.init/1", "file", file, "cluster", name),
                             error);
    printf("wrote %s\n", file);
    printf("next: %s up\n", ha_called_as(cli, called, sizeof called));
    return 0;
}

int ha_cmd_init(struct ha_cli *cli, struct ha_error *error)
{
    const char *file = cli->options.config != NULL ? cli->options.config : "hactl.conf";
    const char *cloud = cli->given[HA_OPTION_CLOUD], *name = cli->word_count > 0 ? cli->words[0] : "demo";
    int replicas = 3, status = -1;
    char *text = NULL;

    if (cloud != NULL && strcmp(cloud, "local") != 0)
        return ha_fail(error, HA_EXIT_USAGE, "--cloud: \"%s\" is not known to init; local is", cloud);
    if (!is_name(name))
        return ha_fail(error, HA_EXIT_USAGE,
                       "\"%s\" cannot be a cluster's name: lower-case letters, digits and dashes, a letter first, at "
                       "most 40",
                       name);
    if (strcmp(file, "-") == 0)
        return ha_fail(error, HA_EXIT_USAGE, "init writes a file; -c - names none");
    if (ha_cli_number(cli, HA_OPTION_REPLICAS, 1, 7, 3, &replicas, error) != 0)
        return -1;
    if (asprintf(&text, local_text, name, name, replicas) < 0)
        return ha_fail(error, HA_EXIT_INTERNAL, "out of memory");
    if (cli->options.dry_run && cli->options.json) {
        status = ha_json_print(json_pack("{s:s, s:b, s:s, s:s, s:s}", "schema", "hactl.init/1", "dry_run", 1, "file",
                                         file, "cluster", name, "text", text),
                               error);
    } else if (cli->options.dry_run) {
        fputs(text, stdout);
        status = 0;
    } else if (write_file(file, text, cli->given[HA_OPTION_FORCE] != NULL, error) == 0) {
        status = print_written(cli, file, name, error);
    }
    free(text);
    return status;
}
