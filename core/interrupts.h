/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C, SIGTERM and SIGHUP. While nothing is being changed they end hactl at
 * once. During a change the first asks for the current step to be finished,
 * the second ends hactl; the journal is safe at any instant, so both exit 8.
 */
#ifndef HACTL_CORE_INTERRUPTS_H
#define HACTL_CORE_INTERRUPTS_H

#include <stdbool.h>

void ha_interrupts_setup(void);
/* A change begins: from here on the first interrupt only asks. */
void ha_interrupts_defer(void);
/* A display takes over saying what is going on: the handler leaves the terminal to it. */
void ha_interrupts_display(bool shown);
/* What the display is to say about it; NULL: no interrupt yet. */
const char *ha_interrupts_text(void);

#endif
