/* SPDX-License-Identifier: Apache-2.0 */
/* What a unit wrote last, where a step failed because of it: the reason is
 * there more often than in anything that hactl can see from outside. */
#include <stdio.h>
#include <string.h>

#include "core/asks.h"
#include "core/change_internal.h"
#include "core/session_internal.h"
#include "core/text.h"
#include "lib/log_line.h"

enum { RENDER_TIMEOUT_MS = 5000, LINES = 3 };

static bool is_about_units(enum ha_step_kind kind)
{
    return kind == HA_STEP_MEMBER_START || kind == HA_STEP_GROUP_AWAIT || kind == HA_STEP_MEMBER_CATCH_UP ||
           kind == HA_STEP_COMPONENTS_START || kind == HA_STEP_REPLICA_AWAIT;
}

/* The replica and payload that do not run; else those that the step is about. */
static bool find_troubled(const struct ha_session *session, const struct ha_step *failed, int *replica, int *payload)
{
    const struct ha_model *model = &session->observed.model;
    for (int i = 0; i < model->replica_count; i++)
        for (int p = 0; p < session->payload_count; p++)
            if ((failed->replica < 0 || failed->replica == i) && model->replicas[i].deliveries[p] == HA_DELIVERY_DEAD) {
                *replica = i;
                *payload = p;
                return true;
            }
    *replica = failed->replica;
    *payload = failed->group >= 0 ? failed->group : session->private->front;
    return *replica >= 0 && *payload >= 0 && *payload < session->payload_count;
}

/* Cuts the last line off `text`, and returns it; NULL when there is none left. */
static char *take_last(char *text, size_t *left)
{
    if (*left == 0)
        return NULL;
    char *start = memrchr(text, '\n', *left);
    start = start ? start + 1 : text;
    text[*left] = '\0';
    *left = start > text ? (size_t)(start - text - 1) : 0;
    return start;
}

/* The last lines of the greatest weight that any has, in one: after what a process died of,
 * and before it was killed, much was written to say that all is well. */
void ha_unit_log_words(char *text, char *out, size_t size)
{
    enum ha_log_weight greatest = HA_LOG_CHATTER;
    const char *lines[LINES];
    size_t left = strlen(text), used = 0;
    int count = 0;
    for (char *line; (line = take_last(text, &left));) {
        enum ha_log_weight weight = ha_log_weight_of(line);
        if (weight > greatest)
            count = 0;
        greatest = weight > greatest ? weight : greatest;
        if (weight == greatest && count < LINES)
            lines[count++] = line;
    }
    out[0] = '\0';
    while (count-- > 0 && used < size) {
        ha_text_copy(out + used, size - used, lines[count]);
        used = strlen(out);
        ha_text_copy(out + used, size - used, count ? " | " : "");
        used = strlen(out);
    }
    ha_text_repair(out);
}

static void ask_unit(struct ha_session *session, const char *instance, const char *unit, char *out, size_t size)
{
    char lines[400];
    struct hactl_call *call = ha_ask_unit_log(session, instance, unit);
    if (call && ha_call_wait(call) == HACTL_OK && call->emitted_text)
        ha_unit_log_words(call->emitted_text, lines, sizeof lines);
    else
        lines[0] = '\0';
    ha_call_free(call);
    if (lines[0])
        snprintf(out, size, "%.63s on %.63s wrote last: %s", unit, instance, lines);
}

void ha_change_hear_unit(const struct change *c, enum ha_holder holder, char *out, size_t size)
{
    struct ha_session *session = c->session;
    const struct ha_model *model = &session->observed.model;
    int replica = -1, payload = -1;
    out[0] = '\0';
    bool dark = holder != HA_HOLDER_NONE && model->holder == HA_HOLDER_NONE; /* then there are more urgent things */
    if (c->run.failed_step < 0 || dark || ha_cancelled())
        return;
    const struct ha_step *failed = &c->plan->steps[c->run.failed_step];
    if (!is_about_units(failed->kind) || !find_troubled(session, failed, &replica, &payload))
        return;
    struct hactl_call *rendered = ha_ask_render(session, payload, replica, RENDER_TIMEOUT_MS);
    int code = ha_call_wait(rendered);
    for (size_t i = 0; code == HACTL_OK && i < rendered->unit_count && !out[0]; i++)
        ask_unit(session, model->replicas[replica].name, rendered->units[i].name, out, size);
    ha_call_free(rendered);
}
