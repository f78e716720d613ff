/* SPDX-License-Identifier: Apache-2.0 */
/* Things to do later, on the one thread. */
#ifndef GCE_EMULATOR_TIMERS_H
#define GCE_EMULATOR_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

typedef void em_timer_function(void *context);

struct em_timer {
    uint64_t due_ms;
    em_timer_function *function;
    void *context;
    struct em_timer *next, *previous;
    bool set;
};

uint64_t em_now_ms(void); /* monotonic */
void em_timer_set(struct em_timer *timer, uint64_t delay_ms, em_timer_function *function, void *context);
void em_timer_clear(struct em_timer *timer);
/* Runs what is due; milliseconds to the next one, -1: none. */
int em_timers_run(void);

#endif
