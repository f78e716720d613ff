/* SPDX-License-Identifier: Apache-2.0 */
/* What the executor writes down, and what it finds of what was begun before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/executor_internal.h"

void ha_intent_make(char out[40])
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort();
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* Kept in memory as well: a new plan of the same run may repeat what this one began. */
static int append(struct ha_execution *x, json_t *record, bool sync, struct ha_error *error)
{
    if (x->run->records && record)
        json_array_append(x->run->records, record);
    return ha_journal_append(x->run->journal, record, sync, error);
}

bool ha_code_settles(int code)
{
    return code != HACTL_PENDING && code != HACTL_E_TIMEOUT && code != HACTL_E_CANCELLED && code != HACTL_E_INTERNAL &&
           code != HACTL_E_BUSY && code != HACTL_E_UNAVAILABLE;
}

struct record {
    const char *type, *step, *subject, *intent, *token, *instance;
    json_int_t seq;
    int open;
};

static struct record read_record(const json_t *json)
{
    struct record r = {"", "", "", "", "", "", -1, 0};
    json_unpack((json_t *)json, "{s?s s?s s?s s?s s?s s?s s?I s?b}", "type", &r.type, "step", &r.step, "subject",
                &r.subject, "intent", &r.intent, "token", &r.token, "instance", &r.instance, "seq", &r.seq, "open",
                &r.open);
    return r;
}

/* What was to be created and is there by now is started: that is the same operation. */
static bool is_same_operation(const char *name, enum ha_step_kind kind)
{
    bool either = kind == HA_STEP_INSTANCE_CREATE || kind == HA_STEP_INSTANCE_START;
    return strcmp(name, ha_step_types[kind].name) == 0 ||
           (either && (strcmp(name, ha_step_types[HA_STEP_INSTANCE_CREATE].name) == 0 ||
                       strcmp(name, ha_step_types[HA_STEP_INSTANCE_START].name) == 0));
}

static const enum ha_step_kind opposites[][2] = {
    {HA_STEP_ADDRESS_RESERVE, HA_STEP_ADDRESS_DELETE},
    {HA_STEP_INTERNAL_ADDRESS_RESERVE, HA_STEP_INTERNAL_ADDRESS_DELETE},
    {HA_STEP_FIREWALL_ENSURE, HA_STEP_FIREWALL_DELETE},
    {HA_STEP_INSTANCE_CREATE, HA_STEP_INSTANCE_DELETE},
    {HA_STEP_BALANCER_BUILD, HA_STEP_BALANCER_DELETE},
    {HA_STEP_BACKEND_ADD, HA_STEP_BACKEND_REMOVE},
    {HA_STEP_REPLICA_CLAIM, HA_STEP_REPLICA_RELEASE},
    {HA_STEP_BALANCER_CLAIM, HA_STEP_BALANCER_RELEASE},
    {HA_STEP_TEMPORARY_ADDRESS_ATTACH, HA_STEP_TEMPORARY_ADDRESS_DETACH},
};

/* Whether the step of that name undoes what this kind does. */
static bool is_opposite(const char *name, enum ha_step_kind kind)
{
    for (size_t i = 0; i < sizeof opposites / sizeof opposites[0]; i++)
        for (int side = 0; side < 2; side++)
            if (is_same_operation(ha_step_types[opposites[i][side]].name, kind) &&
                strcmp(name, ha_step_types[opposites[i][!side]].name) == 0)
                return true;
    return false;
}

/* An intent whose outcome is not known is the same intent when it is
 * repeated, unless its opposite was begun since: an API that knows the
 * request already would answer it, and do nothing. `token`: optional; of what was begun under it, if it was told. */
static bool find_intent(const struct ha_run *run, const struct ha_step *step, char out[40], struct record *token)
{
    bool open = false;
    json_int_t seq = -1;
    size_t index;
    json_t *json;
    json_array_foreach(run->records, index, json)
    {
        struct record r = read_record(json);
        if (strcmp(r.type, "intent") == 0 && is_same_operation(r.step, step->kind) &&
            strcmp(r.subject, step->subject) == 0) {
            if (token && strcmp(r.intent, out) != 0)
                token->token = "";
            snprintf(out, 40, "%s", r.intent);
            seq = r.seq;
            open = true;
        } else if (strcmp(r.type, "intent") == 0 && is_opposite(r.step, step->kind) &&
                   strcmp(r.subject, step->subject) == 0) {
            seq = -1;
            open = false;
        } else if (r.seq != seq || r.seq < 0) {
            continue;
        } else if (strcmp(r.type, "intent") == 0) {
            seq = -1; /* another run counts from the beginning */
        } else if (strcmp(r.type, "result") == 0) {
            open = r.open;
        } else if (strcmp(r.type, "token") == 0 && token) {
            *token = r;
        }
    }
    return open;
}

static int append_intent(struct ha_execution *x, const struct ha_step *step, int seq, const char *intent, bool sync)
{
    return append(x,
                  json_pack("{ss si ss ss ss}", "type", "intent", "seq", seq, "step", ha_step_types[step->kind].name,
                            "subject", step->subject, "intent", intent),
                  sync, x->error);
}

static int seq_of(const struct ha_execution *x, const struct ha_task *task)
{
    return x->run->sequence + (int)(task - x->tasks);
}

static void take_old_token(struct ha_execution *x, struct ha_task *task, const struct record *found)
{
    struct ha_instance *instance = found->token[0] ? ha_plugins_instance(x->session->plugins, found->instance) : NULL;
    if (!instance)
        return;
    task->token = strdup(found->token);
    task->token_of = instance;
    task->token_is_old = true;
}

int ha_task_write_intent(struct ha_execution *x, struct ha_task *task)
{
    struct record token = {.token = ""};
    task->announced = true;
    task->unsettled = find_intent(x->run, task->step, task->intent, &token);
    if (task->unsettled)
        take_old_token(x, task, &token);
    else
        ha_intent_make(task->intent);
    return append_intent(x, task->step, seq_of(x, task), task->intent, false);
}

int ha_task_renew_intent(struct ha_execution *x, struct ha_task *task)
{
    task->unsettled = false;
    ha_task_write_result(x, task, task->code);
    ha_intent_make(task->intent);
    return append_intent(x, task->step, seq_of(x, task), task->intent, true);
}

static void append_result(struct ha_execution *x, int seq, int code, int64_t ms, const char *text, bool open)
{
    struct ha_error ignored = {0};
    json_t *record =
        json_pack("{ss si ss sI}", "type", "result", "seq", seq, "code", ha_code_name(code), "ms", (json_int_t)ms);
    if (text)
        json_object_set_new(record, "text", json_string(text));
    if (open)
        json_object_set_new(record, "open", json_true());
    /* A lost result costs nothing: the next run looks at the world. */
    append(x, record, false, &ignored);
}

void ha_task_write_result(struct ha_execution *x, const struct ha_task *task, int code)
{
    append_result(x, seq_of(x, task), code, ha_now_ms() - task->started_ms, code == HACTL_OK ? NULL : task->failure,
                  task->unsettled);
}

/* Not synced: whoever loses it asks for the operation again, under the same intent. */
void ha_task_write_token(struct ha_execution *x, const struct ha_task *task)
{
    struct ha_error ignored = {0};
    append(x,
           json_pack("{ss si ss ss}", "type", "token", "seq", seq_of(x, task), "instance",
                     task->token_of->conf->instance, "token", task->token),
           false, &ignored);
}

int ha_execution_write_extra(struct ha_execution *x, const struct ha_step *step, char intent[40])
{
    int seq = x->run->sequence + x->count + x->extra++;
    if (!find_intent(x->run, step, intent, NULL))
        ha_intent_make(intent);
    return append_intent(x, step, seq, intent, true) ? -1 : seq;
}

void ha_execution_write_extra_result(struct ha_execution *x, int seq, int code, int64_t ms)
{
    append_result(x, seq, code, ms, NULL, !ha_code_settles(code));
}
