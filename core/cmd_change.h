/* SPDX-License-Identifier: Apache-2.0 */
/* What every changing command does: plan, ask, carry out, report. */
#ifndef HACTL_CORE_CMD_CHANGE_H
#define HACTL_CORE_CMD_CHANGE_H

#include "core/arguments.h"

/* `verb` names the pipeline: "replica-add". With --dry-run the plan is printed and nothing is changed. */
int ha_change_run(struct ha_cli *cli, const char *verb, const struct ha_request *request, struct ha_error *error);
/* The plan alone; the exit status obeys --detailed-exitcode. */
int ha_change_plan(struct ha_cli *cli, const char *verb, const struct ha_request *request, struct ha_error *error);

enum { HA_WARNING_LINES = 8 }; /* room for what ha_session_prepare warns of */

/* How hactl was called, for the commands that it suggests: "./hactl -c conf/local.conf --set cluster.name=two". */
enum { HA_CALLED_MAX = 2048 };
const char *ha_called_as(const struct ha_cli *cli, char *out, size_t size);

#endif
