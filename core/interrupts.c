/* SPDX-License-Identifier: Apache-2.0 */
#include "core/interrupts.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "core/call.h"
#include "core/error.h"

static const char first_text[] = "interrupted: finishing the current step; once more to stop now, which is safe too";
static const char last_text[] =
    "\nhactl: stopped; the journal is safe: the same command or `hactl op resume` goes on\n";

static volatile sig_atomic_t deferred;
static volatile sig_atomic_t displayed;
static volatile sig_atomic_t count;

static void say(const char *text, size_t size)
{
    ssize_t written = write(STDERR_FILENO, text, size);

    (void)written;
}

/* Calls only what is safe in a signal handler. */
static void interrupted(int signal)
{
    (void)signal;
    if (!deferred)
        _exit(HA_EXIT_INTERRUPTED);
    if (count++ > 0) {
        if (displayed)
            say("\033[?25h", 6); /* the cursor, which the display hides */
        say(last_text, sizeof last_text - 1);
        _exit(HA_EXIT_INTERRUPTED);
    }
    ha_cancel_set(true);
    if (!displayed) {
        say("\nhactl: ", 8);
        say(first_text, sizeof first_text - 1);
        say("\n", 1);
    }
}

void ha_interrupts_setup(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART}, old;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup and the like */
            sigaction(signals[i], &action, NULL);
    /* A reader that goes away is an error of write(), not a death without a word. */
    signal(SIGPIPE, SIG_IGN);
}

void ha_interrupts_defer(void)
{
    deferred = 1;
}

void ha_interrupts_display(bool shown)
{
    displayed = shown;
}

const char *ha_interrupts_text(void)
{
    return count > 0 ? first_text : NULL;
}
