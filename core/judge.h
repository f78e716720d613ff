/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on a cluster, for `check` and `pki check`: monitor friendly. */
#ifndef HACTL_CORE_JUDGE_H
#define HACTL_CORE_JUDGE_H

#include "core/arguments.h"

enum ha_level { HA_LEVEL_OK, HA_LEVEL_WARNING, HA_LEVEL_CRITICAL };

struct ha_verdict {
    const char *check;
    enum ha_level level;
    char *text;
};

struct ha_verdicts {
    struct ha_verdict *list;
    size_t count;
    int64_t warn_ms, crit_ms; /* of certificates that expire */
};

/* How near the end of a certificate is, by the limits and by when it is due; not of one that never ends. */
enum ha_level ha_judge_expiry(const struct ha_verdicts *limits, const struct ha_certificate *certificate,
                              int64_t now_s);
/* --warn and --crit. */
int ha_judge_limits(const struct ha_cli *cli, struct ha_verdicts *verdicts, struct ha_error *error);
void ha_judge(struct ha_verdicts *verdicts, const char *check, enum ha_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void ha_judge_certificates(struct ha_verdicts *verdicts, const struct ha_session *session);
/* Everything that the observation shows. */
void ha_judge_cluster(struct ha_verdicts *verdicts, const struct ha_session *session);
/* The exit status: 0, 10 or 9. */
int ha_judge_print(const struct ha_verdicts *verdicts, const struct ha_session *session, bool json, const char *schema,
                   struct ha_error *error);
void ha_judge_clear(struct ha_verdicts *verdicts);

#endif
