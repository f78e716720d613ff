/* SPDX-License-Identifier: Apache-2.0 */
#include "core/consent.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/describe.h"
#include "core/interrupts.h"
#include "core/plan_print.h"

/* Anything but y or yes is a no, the end of the input included. */
static bool answer(void)
{
    char line[64] = "";

    fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL) {
        fputc('\n', stderr);
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

static int count_guarded(const struct ha_plan *plan, int *first)
{
    int count = 0;

    for (int i = plan->count - 1; i >= 0; i--)
        if (plan->steps[i].guarded) {
            count++;
            *first = i;
        }
    return count;
}

/* A budget of zero is a question of its own, which --yes does not answer. */
static bool accept_zero(const struct ha_consent_context *context, const struct ha_plan *plan)
{
    int first = 0, guarded = count_guarded(plan, &first);
    const struct ha_step *step = &plan->steps[first];
    char text[HA_NAME * 4], before[48];

    if (guarded == 0 || context->session->options->accept_budget_zero)
        return true;
    ha_step_text(step, text, sizeof text);
    if (!ha_output_interactive()) {
        ha_fail(context->error, HA_EXIT_REFUSED,
                "step %d (%s) takes the cluster from tolerating %s to tolerating none; nothing was changed", first + 1,
                text, ha_plural(step->before.tolerates, "failure", before, sizeof before));
        ha_advise(context->error, "if that is what you want: the same command with --accept-budget 0");
        return false;
    }
    fprintf(stderr,
            "%sStep %d (%s) uses up the failure budget%s: the cluster tolerates %s now and none from then on.\n"
            "While that lasts, one more failure stops every write, and if the data of a majority is gone, it is lost.\n"
            "Accept a failure budget of zero? [y/N] ",
            ha_shade_on(stderr, HA_SHADE_BAD), first + 1, text, ha_shade_off(stderr),
            ha_plural(step->before.tolerates, "failure", before, sizeof before));
    if (answer())
        return true;
    ha_fail(context->error, HA_EXIT_REFUSED, "a failure budget of zero was not accepted; nothing was changed");
    return false;
}

int ha_consent_plain(const struct ha_options *options, const char *question, struct ha_error *error)
{
    if (options->yes)
        return 0;
    if (!ha_output_interactive()) {
        ha_fail(error, HA_EXIT_REFUSED,
                "nobody can be asked (no terminal) and --yes was not given; nothing was changed");
        ha_advise(error, "look at the plan with --dry-run, then consent with --yes");
        return -1;
    }
    fprintf(stderr, "%s [y/N] ", question);
    return answer() ? 0 : ha_fail(error, HA_EXIT_REFUSED, "not consented to; nothing was changed");
}

/* Where there is no cloud nothing runs that a new certificate could disturb. */
static bool only_issues(const struct ha_session *session, const struct ha_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].kind != HA_STEP_AUTHORITY_CREATE && plan->steps[i].kind != HA_STEP_CERTIFICATE_ISSUE)
            return false;
    return session->cloud == NULL;
}

static bool accept_plan(const struct ha_consent_context *context, const struct ha_plan *plan)
{
    const char *cluster = context->session->configuration->cluster_name;
    char question[160];

    if (!ha_output_interactive() && only_issues(context->session, plan))
        return true;
    if (context->destroys)
        snprintf(question, sizeof question, "Delete the cluster \"%s\" with all its data, keys and authorities?",
                 cluster);
    else
        snprintf(question, sizeof question, "Carry out %s on \"%s\"?", plan->count == 1 ? "this step" : "these steps",
                 cluster);
    return ha_consent_plain(context->session->options, question, context->error) == 0;
}

bool ha_consent_ask(void *opaque, const struct ha_plan *plan, const char (*warnings)[256], int warning_count)
{
    const struct ha_consent_context *context = opaque;

    if (!context->session->options->yes && ha_output_interactive())
        ha_plan_print_table(context->session, context->verb, plan, warnings, warning_count, stderr);
    else
        for (int i = 0; i < warning_count; i++)
            ha_say("hactl: warning: %s", warnings[i]);
    if (!accept_zero(context, plan) || !accept_plan(context, plan))
        return false;
    ha_interrupts_defer();
    return true;
}
