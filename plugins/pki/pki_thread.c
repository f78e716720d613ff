/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that begins at once. Linux may put a new thread behind the one
 * that made it, on the same processor, and look for a better place at the
 * next tick: after some milliseconds, which is as long as a whole tree of
 * elliptic keys takes. So it is made for the other processors, and may go
 * where it likes as soon as it runs.
 */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* What the new thread is told, and frees. */
struct beginning {
    void *(*run)(void *argument);
    void *argument;
    cpu_set_t processors; /* that the process may use; none: there are more than fit */
};

unsigned pki_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void *begin(void *argument)
{
    struct beginning beginning = *(struct beginning *)argument;

    free(argument);
    if (CPU_COUNT(&beginning.processors) > 0)
        pthread_setaffinity_np(pthread_self(), sizeof beginning.processors, &beginning.processors);
    return beginning.run(beginning.argument);
}

static int create_elsewhere(pthread_t *thread, struct beginning *beginning)
{
    cpu_set_t others = beginning->processors;
    pthread_attr_t attributes;
    int here = sched_getcpu(), error = pthread_attr_init(&attributes);

    if (error != 0)
        return error;
    if (here >= 0)
        CPU_CLR(here, &others);
    if (CPU_COUNT(&others) > 0)
        error = pthread_attr_setaffinity_np(&attributes, sizeof others, &others);
    if (error == 0)
        error = pthread_create(thread, &attributes, begin, beginning);
    pthread_attr_destroy(&attributes);
    return error;
}

int pki_thread_create(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    struct beginning *beginning = calloc(1, sizeof *beginning);
    sigset_t all, before;
    int error;

    if (beginning == NULL)
        return ENOMEM;
    beginning->run = run;
    beginning->argument = argument;
    if (sched_getaffinity(0, sizeof beginning->processors, &beginning->processors) != 0)
        CPU_ZERO(&beginning->processors);
    /* Signals are the host's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = create_elsewhere(thread, beginning);
    if (error != 0) /* the other processors may be gone by now */
        error = pthread_create(thread, NULL, begin, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        free(beginning);
    return error;
}
