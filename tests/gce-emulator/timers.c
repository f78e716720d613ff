/* SPDX-License-Identifier: Apache-2.0 */
#include "timers.h"

#include <limits.h>
#include <stddef.h>
#include <time.h>

static struct em_timer *first, *last;

uint64_t em_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* From the end, because most delays are the same and so belong there. */
void em_timer_set(struct em_timer *timer, uint64_t delay_ms, em_timer_function *function, void *context)
{
    struct em_timer *before;

    em_timer_clear(timer);
    timer->due_ms = em_now_ms() + delay_ms;
    timer->function = function;
    timer->context = context;
    timer->set = true;
    for (before = last; before != NULL && before->due_ms > timer->due_ms; before = before->previous) {
    }
    timer->previous = before;
    timer->next = before == NULL ? first : before->next;
    if (timer->next != NULL) {
        timer->next->previous = timer;
    } else {
        last = timer;
    }
    if (before != NULL) {
        before->next = timer;
    } else {
        first = timer;
    }
}

void em_timer_clear(struct em_timer *timer)
{
    if (!timer->set) {
        return;
    }
    timer->set = false;
    if (timer->previous != NULL) {
        timer->previous->next = timer->next;
    } else {
        first = timer->next;
    }
    if (timer->next != NULL) {
        timer->next->previous = timer->previous;
    } else {
        last = timer->previous;
    }
    timer->next = timer->previous = NULL;
}

int em_timers_run(void)
{
    uint64_t now = em_now_ms(), left;

    while (first != NULL && first->due_ms <= now) {
        struct em_timer *timer = first;

        em_timer_clear(timer);
        timer->function(timer->context); /* may free the timer */
    }
    if (first == NULL) {
        return -1;
    }
    now = em_now_ms();
    left = first->due_ms > now ? first->due_ms - now : 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}
