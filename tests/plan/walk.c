/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/walk.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/plan/laws.h"
#include "tests/plan/shapes.h"

/* In the lowest bits of a hash: how a walk from that state comes out. */
enum { UNKNOWN, BLOCKED, CONVERGED, OUTCOMES };

static _Atomic uint64_t *table; /* 0: free */
static size_t room;

bool walk_begin(size_t states)
{
    room = 1024;
    while (room < states * 2)
        room *= 2;
    void *memory = mmap(NULL, room * sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    table = memory == MAP_FAILED ? NULL : memory;
    return table != NULL;
}

void walk_end(void)
{
    munmap((void *)table, room * sizeof *table);
    table = NULL;
}

static uint64_t key_of(const struct ha_model *model)
{
    uint64_t key = hash_of(model) & ~(uint64_t)OUTCOMES;
    return key ? key : OUTCOMES + 1;
}

static unsigned outcome_of(uint64_t key)
{
    for (size_t at = (key >> 2) & (room - 1);; at = (at + 1) & (room - 1)) {
        uint64_t found = atomic_load_explicit(&table[at], memory_order_relaxed);
        if (!found)
            return UNKNOWN;
        if ((found & ~(uint64_t)OUTCOMES) == key)
            return (unsigned)(found & OUTCOMES);
    }
}

/* False: somebody else was here meanwhile. */
static bool remember(uint64_t key, unsigned outcome)
{
    size_t tries = 0;
    for (size_t at = (key >> 2) & (room - 1);; at = (at + 1) & (room - 1)) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&table[at], &found, key | outcome))
            return true;
        if ((found & ~(uint64_t)OUTCOMES) == key)
            return false;
        if (++tries == room) {
            fprintf(stderr, "walk: more states than there is room for\n");
            exit(2);
        }
    }
}

/* States that an interruption would show, to be walked from later. */
static struct {
    struct ha_model *list;
    size_t count, room;
} later;

static void put_off(const struct ha_model *model)
{
    if (later.count == later.room) {
        later.room = later.room ? later.room * 2 : 16;
        later.list = reallocarray(later.list, later.room, sizeof *later.list);
        if (!later.list)
            exit(2);
    }
    copy_model(&later.list[later.count++], model);
}

static void interrupt(const struct ha_model *model, uint64_t key, struct walk_counts *counts)
{
    static struct ha_model seen;
    copy_model(&seen, model);
    observe_again(&seen);
    uint64_t other = key_of(&seen);
    if (other == key || outcome_of(other) != UNKNOWN)
        return;
    counts->interrupted++;
    put_off(&seen);
}

static const char *law_of_dark(bool dark, const struct ha_step *step)
{
    return dark && !(step && step_is_claim(step->kind)) ? "released, and not claimed at once" : NULL;
}

static unsigned judge_end(const struct ha_model *end, const struct ha_plan_scope *scope, const char **broken)
{
    static struct ha_plan plan;
    if (ha_model_converged(end, scope))
        return CONVERGED;
    plan.blocked_count = 0;
    ha_explain_blocked(end, scope, &plan);
    if (plan.blocked_count < 1 || !plan.blocked[0][0])
        *broken = "neither converged nor blocked";
    return BLOCKED;
}

/* What was passed on the way. */
struct trail {
    int count;
    uint64_t keys[HA_STEPS];
    bool due[HA_STEPS];
};

static bool settle(const struct trail *trail, unsigned outcome, struct walk_counts *counts)
{
    bool sound = true;
    for (int i = 0; i < trail->count; i++) {
        sound &= outcome != BLOCKED || !trail->due[i];
        if (!remember(trail->keys[i], outcome))
            continue;
        counts->states++;
        counts->due += trail->due[i];
        counts->blocked += outcome == BLOCKED;
    }
    return sound;
}

static void walk_from(const struct ha_model *start, const struct ha_plan_scope *scope, walk_violated *violated,
                      struct walk_counts *counts)
{
    static struct ha_model now, before;
    static struct trail trail;
    struct ha_step step;
    const char *broken = NULL;
    unsigned outcome = UNKNOWN;
    bool dark = false;
    copy_model(&now, start);
    uint64_t key = key_of(&now);
    for (trail.count = 0; !broken; key = key_of(&now)) {
        if (trail.count > 0)
            interrupt(&now, key, counts);
        outcome = outcome_of(key);
        if (outcome != UNKNOWN && !dark)
            break;
        if (trail.count == HA_STEPS) {
            violated("the plan does not end", start, NULL);
            return;
        }
        trail.due[trail.count] = must_converge(&now);
        trail.keys[trail.count++] = key;
        copy_model(&before, &now);
        if (!ha_plan_advance(&now, scope, &step)) {
            broken = law_of_dark(dark, NULL);
            outcome = judge_end(&now, scope, &broken);
            if (broken)
                violated(broken, start, NULL);
            break;
        }
        counts->steps++;
        broken = law_of_dark(dark, &step);
        if (!broken)
            broken = law_of_step(&before, &step, &now);
        if (broken)
            violated(broken, start, &step);
        dark = !now.destroy && step_makes_dark(&before, &step);
    }
    if (!settle(&trail, broken ? BLOCKED : outcome, counts) && !broken)
        violated("nothing is in the way, and still it is not reached", start, NULL);
}

void walk(const struct ha_model *start, const struct ha_plan_scope *scope, walk_violated *violated,
          struct walk_counts *counts)
{
    static struct ha_model next;
    walk_from(start, scope, violated, counts);
    while (later.count > 0) {
        copy_model(&next, &later.list[--later.count]);
        walk_from(&next, scope, violated, counts);
    }
}
