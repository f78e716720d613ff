/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/plan/workers.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 64 };

void *workers_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void take_units(atomic_int *next, int count, void (*work)(int), void (*leave)(void))
{
    for (int unit = atomic_fetch_add(next, 1); unit < count; unit = atomic_fetch_add(next, 1))
        work(unit);
    leave();
    fflush(stdout);
    _exit(0);
}

/* The first that fails is the end of the others. */
static bool await_all(pid_t *pids, int started)
{
    bool well = true;
    for (int left = started; left > 0; left--) {
        int status;
        pid_t pid = wait(&status);
        for (int i = 0; i < started; i++)
            if (pids[i] == pid)
                pids[i] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        for (int i = 0; i < started; i++)
            if (well && pids[i] > 0)
                kill(pids[i], SIGKILL);
        well = false;
    }
    return well;
}

bool workers_run(int count, void (*work)(int unit), void (*leave)(void))
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int wanted = processors < 1 ? 1 : processors > WORKERS ? WORKERS : (int)processors, started = 0;
    atomic_int *next = workers_share(sizeof *next);
    pid_t pids[WORKERS], parent = getpid();
    fflush(stdout);
    while (next && started < wanted) {
        pids[started] = fork();
        if (pids[started] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            take_units(next, count, work, leave);
        }
        if (pids[started] < 0)
            break;
        started++;
    }
    bool well = await_all(pids, started);
    if (next)
        munmap(next, sizeof *next);
    return well && started > 0;
}
