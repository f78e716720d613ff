/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/history.h"

#include <stdio.h>
#include <stdlib.h>

struct stretch {
    uint64_t value;
    bool written;
    int64_t written_called_ns;
    int64_t first_answer_ns, last_call_ns;
};

static int by_value(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void widen(struct stretch *stretch, const struct event *event)
{
    int64_t answered_ns = event->is_unknown ? INT64_MAX : event->answered_ns;
    if (answered_ns < stretch->first_answer_ns)
        stretch->first_answer_ns = answered_ns;
    if (event->called_ns > stretch->last_call_ns)
        stretch->last_call_ns = event->called_ns;
    if (event->is_write) {
        stretch->written = true;
        stretch->written_called_ns = event->called_ns;
    }
}

/* A write that nobody answered and nobody read need not have happened. */
static size_t gather(struct event *sorted, size_t count, struct stretch *out)
{
    size_t stretches = 0;
    for (size_t i = 0; i < count;) {
        struct stretch stretch = {sorted[i].value, sorted[i].value == HISTORY_NEVER, INT64_MIN, INT64_MAX, INT64_MIN};
        size_t j = i;
        for (; j < count && sorted[j].value == stretch.value; j++)
            widen(&stretch, &sorted[j]);
        if (stretch.value == HISTORY_NEVER)
            stretch.first_answer_ns = INT64_MIN; /* it was there from the beginning */
        if (!(j == i + 1 && sorted[i].is_write && sorted[i].is_unknown))
            out[stretches++] = stretch;
        i = j;
    }
    return stretches;
}

static bool clash(const struct stretch *a, const struct stretch *b)
{
    bool a_forward = a->first_answer_ns < a->last_call_ns, b_forward = b->first_answer_ns < b->last_call_ns;
    if (a_forward && b_forward)
        return a->first_answer_ns < b->last_call_ns && b->first_answer_ns < a->last_call_ns;
    return a_forward && a->first_answer_ns < b->last_call_ns && b->first_answer_ns < a->last_call_ns;
}

bool history_is_linearizable(const struct event *events, size_t count, char *why, size_t size)
{
    struct event *sorted = calloc(count + 1, sizeof *sorted);
    struct stretch *stretches = calloc(count + 1, sizeof *stretches);
    bool good = true;
    for (size_t i = 0; i < count; i++)
        sorted[i] = events[i];
    qsort(sorted, count, sizeof *sorted, by_value);
    size_t found = gather(sorted, count, stretches);
    for (size_t i = 0; i < found && good; i++) {
        const struct stretch *a = &stretches[i];
        if (!a->written || (a->value != HISTORY_NEVER && a->first_answer_ns < a->written_called_ns)) {
            snprintf(why, size, "value %llu was read before it was written", (unsigned long long)a->value);
            good = false;
        }
        for (size_t j = 0; j < found && good; j++)
            if (i != j && clash(a, &stretches[j])) {
                snprintf(why, size, "value %llu was seen while the register must have held %llu",
                         (unsigned long long)stretches[j].value, (unsigned long long)a->value);
                good = false;
            }
    }
    free(sorted);
    free(stretches);
    return good;
}
