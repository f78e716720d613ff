/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plan_print.h"

#include <stdlib.h>
#include <string.h>

#include "core/describe.h"

/* "1", "1 -> 0 -> 1"; fewer than none is no quorum. */
static void print_tolerates(const struct ha_step *step, char *out, size_t size)
{
    const struct ha_budget *budgets[] = {&step->before, &step->during, &step->after};
    int before = step->before.tolerates, after = step->after.tolerates, count = 0;
    bool dips = step->during.tolerates < (before < after ? before : after);

    out[0] = '\0';
    for (int i = 0; i < 3; i++) {
        char number[16] = "no quorum";

        if ((i == 1 && !dips) || (i == 2 && !dips && before == after))
            continue;
        if (budgets[i]->tolerates >= 0)
            snprintf(number, sizeof number, "%d", budgets[i]->tolerates);
        snprintf(out + strlen(out), size - strlen(out), "%s%s", count++ ? " -> " : "", number);
    }
}

static void print_step(const struct ha_session *session, const char *verb, const struct ha_plan *plan, int index,
                       struct ha_table *table)
{
    const struct ha_step *step = &plan->steps[index];
    char number[16], text[HA_NAME * 4], voters[64], quorum[32], tolerates[64];

    snprintf(number, sizeof number, "%d", index + 1);
    ha_step_text(step, text, sizeof text);
    snprintf(voters, sizeof voters, step->before.voters == step->after.voters ? "%d" : "%d -> %d", step->before.voters,
             step->after.voters);
    snprintf(quorum, sizeof quorum, step->before.quorum == step->after.quorum ? "%d" : "%d -> %d", step->before.quorum,
             step->after.quorum);
    print_tolerates(step, tolerates, sizeof tolerates);
    ha_row(table, number, ha_step_stage(session->configuration, verb, step->kind), text, voters, quorum, tolerates,
           ha_holder_name(&plan->end, step->after.holder, step->after.holder_replica), step->guarded ? "asks" : "");
    if (step->guarded)
        ha_table_shade(table, 5, HA_SHADE_BAD);
}

/* ---- what issuing is about: which certificate, why, and why each of its names */

static bool issues(const struct ha_plan *plan, const struct ha_certificate *certificate)
{
    for (int i = 0; i < plan->count; i++) {
        const struct ha_step *step = &plan->steps[i];
        const char *replica = step->replica >= 0 ? plan->end.replicas[step->replica].name : "";
        if (step->kind == HA_STEP_AUTHORITY_CREATE && certificate->is_authority)
            return true;
        if (step->kind == HA_STEP_CERTIFICATE_ISSUE && !certificate->is_authority &&
            (strcmp(replica, certificate->replica) == 0 || (step->replica < 0 && !plan->end.has_cloud)))
            return true;
    }
    return false;
}

static void print_certificates(const struct ha_session *session, const struct ha_plan *plan, FILE *stream)
{
    const struct ha_observation *observed = &session->observed;
    bool heading = false;

    for (size_t i = 0; i < observed->certificate_count; i++) {
        const struct ha_certificate *certificate = &observed->certificates[i];
        if (certificate->ready == HACTL_YES || !issues(plan, certificate))
            continue;
        if (!heading)
            fputs("Certificates, and why each is made:\n", stream);
        heading = true;
        fprintf(stream, "  %s%s%s: %s\n", certificate->purpose, certificate->replica[0] != '\0' ? " of " : "",
                certificate->replica, certificate->reason);
        if (certificate->wanted[0] != '\0')
            fprintf(stream, "      for %s\n", certificate->wanted);
    }
    if (heading)
        fputc('\n', stream);
}

static json_t *json_certificates(const struct ha_session *session, const struct ha_plan *plan)
{
    const struct ha_observation *observed = &session->observed;
    json_t *list = json_array();

    for (size_t i = 0; i < observed->certificate_count; i++)
        if (observed->certificates[i].ready != HACTL_YES && issues(plan, &observed->certificates[i]))
            json_array_append_new(list, ha_json_certificate(&observed->certificates[i]));
    return list;
}

void ha_plan_print_table(const struct ha_session *session, const char *verb, const struct ha_plan *plan,
                         const char (*warnings)[256], int warning_count, FILE *stream)
{
    const char *headings[] = {">STEP", "STAGE", "~DOES", ">VOTERS", ">QUORUM", ">TOLERATES", "ADDRESS AT", NULL, NULL};
    char steps[48];

    if (plan->count > 0) {
        struct ha_table *table;

        for (int i = 0; i < plan->count; i++)
            if (plan->steps[i].guarded)
                headings[7] = "GUARD";
        /* They may be many; what is asked about comes last. */
        print_certificates(session, plan, stream);
        table = ha_table_new(headings);
        for (int i = 0; i < plan->count; i++)
            print_step(session, verb, plan, i, table);
        ha_table_print(table, stream);
        fprintf(stream, "\n%s; \"tolerates\" is how many more voters may fail without stopping writes.\n",
                ha_plural(plan->count, "step", steps, sizeof steps));
    } else if (plan->blocked_count == 0) {
        fprintf(stream, "Nothing to do: \"%s\" is as it is wanted%s.\n", session->configuration->cluster_name,
                plan->end.unlike[0] != '\0' ? ", but for the warning" : "");
    }
    for (int i = 0; i < warning_count; i++)
        fprintf(stream, "%swarning:%s %s\n", ha_shade_on(stream, HA_SHADE_WARNING), ha_shade_off(stream), warnings[i]);
    for (int i = 0; i < plan->blocked_count; i++)
        fprintf(stream, "%sblocked:%s %s\n", ha_shade_on(stream, HA_SHADE_BAD), ha_shade_off(stream), plan->blocked[i]);
}

static json_t *json_needs(const struct ha_plan *plan, int index)
{
    json_t *list = json_array();

    for (int i = 0; i < index; i++)
        if (ha_step_needs(&plan->steps[index], i))
            json_array_append_new(list, json_integer(i + 1));
    return list;
}

static json_t *json_step(const struct ha_session *session, const char *verb, const struct ha_plan *plan, int index)
{
    const struct ha_step *step = &plan->steps[index];
    char text[HA_NAME * 4];

    ha_step_text(step, text, sizeof text);
    return json_pack("{s:i, s:s, s:s, s:o, s:s, s:b, s:o, s:o, s:o, s:o}", "number", index + 1, "stage",
                     ha_step_stage(session->configuration, verb, step->kind), "step", ha_step_types[step->kind].name,
                     "subject", ha_json_text_or_null(step->subject), "text", text, "guarded", step->guarded, "needs",
                     json_needs(plan, index), "before", ha_json_budget(&plan->end, &step->before), "during",
                     ha_json_budget(&plan->end, &step->during), "after", ha_json_budget(&plan->end, &step->after));
}

json_t *ha_plan_to_json(const struct ha_session *session, const char *verb, const struct ha_plan *plan,
                        const char (*warnings)[256], int warning_count)
{
    json_t *steps = json_array(), *said = json_array(), *blocked = json_array();

    for (int i = 0; i < plan->count; i++)
        json_array_append_new(steps, json_step(session, verb, plan, i));
    for (int i = 0; i < warning_count; i++)
        json_array_append_new(said, ha_json_text_or_null(warnings[i]));
    for (int i = 0; i < plan->blocked_count; i++)
        json_array_append_new(blocked, ha_json_text_or_null(plan->blocked[i]));
    return json_pack("{s:s, s:s, s:s, s:I, s:b, s:b, s:o, s:o, s:o, s:o}", "schema", "hactl.plan/1", "cluster",
                     session->configuration->cluster_name, "verb", verb, "generation",
                     (json_int_t)session->desired.generation, "nothing_to_do", plan->count == 0 && plan->converged,
                     "ends_as_wanted", plan->converged, "steps", steps, "warnings", said, "blocked", blocked,
                     "certificates", json_certificates(session, plan));
}
