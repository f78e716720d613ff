/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: what dispatch, help, manual and completion are made from. */
#ifndef HACTL_CORE_COMMANDS_H
#define HACTL_CORE_COMMANDS_H

#include <stdio.h>

#include "core/arguments.h"

/* Prints its data and returns the exit status, or fills `error` in. */
typedef int ha_command_run(struct ha_cli *cli, struct ha_error *error);

struct ha_command {
    const char *noun, *verb; /* verb NULL: the noun alone is the command */
    const char *alias;       /* another name of the noun; NULL: none */
    const char *arguments;   /* "NAME | --zone ZONE"; "": none */
    int words_min, words_max;
    uint32_t options; /* HA_BIT of its own */
    ha_command_run *run;
    const char *summary;  /* one line */
    const char *examples; /* lines without "hactl " */
    const char *help;     /* paragraphs, divided by "\n" */
};

extern const struct ha_command ha_commands[]; /* ends with a noun of NULL */

/* `used`: how many words name it. */
const struct ha_command *ha_command_find(const char *const *words, int count, int *used, struct ha_error *error);

/* help.c */
void ha_help_overview(FILE *stream);
/* Of a topic, a noun or a noun and its verb. */
int ha_help_about(const char *const *words, int count, FILE *stream, struct ha_error *error);
/* The same on standard output, as text or as JSON. */
int ha_help_print(const struct ha_cli *cli, const char *const *words, int count, struct ha_error *error);
void ha_help_mdoc(FILE *stream);
void ha_help_complete(FILE *stream);

ha_command_run ha_cmd_init, ha_cmd_up, ha_cmd_plan, ha_cmd_down, ha_cmd_adopt, ha_cmd_status;
ha_command_run ha_cmd_replica_add, ha_cmd_replica_remove, ha_cmd_replica_replace, ha_cmd_replica_list;
ha_command_run ha_cmd_endpoint_show, ha_cmd_endpoint_promote, ha_cmd_endpoint_demote;
ha_command_run ha_cmd_etcd_members, ha_cmd_etcd_status, ha_cmd_etcd_snapshot, ha_cmd_etcd_move_leader,
    ha_cmd_etcd_reconcile;
ha_command_run ha_cmd_pki_issue, ha_cmd_pki_list, ha_cmd_pki_check, ha_cmd_pki_renew, ha_cmd_pki_rotate,
    ha_cmd_pki_revoke;
ha_command_run ha_cmd_pki_sign, ha_cmd_pki_request, ha_cmd_pki_import;
ha_command_run ha_cmd_stage_list, ha_cmd_stage_run;
ha_command_run ha_cmd_op_list, ha_cmd_op_show, ha_cmd_op_resume, ha_cmd_op_abort;
ha_command_run ha_cmd_lock_show, ha_cmd_check, ha_cmd_config_check, ha_cmd_config_show;
ha_command_run ha_cmd_plugin_list, ha_cmd_plugin_info, ha_cmd_version, ha_cmd_help;

#endif
