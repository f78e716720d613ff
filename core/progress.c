/* SPDX-License-Identifier: Apache-2.0 */
#include "core/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/describe.h"
#include "core/interrupts.h"
#include "core/log.h"

enum { STAGES_MAX = 32, TICK_MS = 100, WAITING_EVERY_MS = 10000, SCREEN_MAX = 16384 };

enum state { PENDING, RUNNING, DONE, FAILED };

struct shown_step {
    char text[HA_NAME * 4];
    int stage;
    enum state state;
    int64_t started_ms, ms, said_ms;
    char note[192]; /* why it waits or failed */
};

struct ha_progress {
    const struct ha_configuration *configuration;
    const char *verb;
    char title[160];
    bool live, stopping;
    bool aside;            /* the step that runs is of another plan, such as that of giving something back */
    pthread_mutex_t mutex; /* all below; taken after the log's own, never before it */
    pthread_cond_t wake;
    pthread_t ticker;
    bool ticking;
    int64_t started_ms;
    int step_count, ended_count;
    struct shown_step steps[HA_STEPS];
    int stage_count;
    const char *stages[STAGES_MAX];
    int drawn_lines;
    unsigned tick;
    char screen[SCREEN_MAX];
    size_t used;
};

/* ---- drawing; the mutex is held */

static void put(struct ha_progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct ha_progress *progress, const char *format, ...)
{
    size_t room = sizeof progress->screen - progress->used;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(progress->screen + progress->used, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        progress->used += (size_t)length < room ? (size_t)length : room - 1;
}

static void flush(struct ha_progress *progress)
{
    size_t done = 0;

    while (done < progress->used) {
        ssize_t written = write(STDERR_FILENO, progress->screen + done, progress->used - done);

        if (written <= 0)
            break;
        done += (size_t)written;
    }
    progress->used = 0;
}

static void erase(struct ha_progress *progress)
{
    if (progress->drawn_lines > 0)
        put(progress, "\r\033[%dA\033[J", progress->drawn_lines);
    progress->drawn_lines = 0;
}

/* How many bytes of `text` fill at most `columns`: every code point counts as one. */
static int fitting(const char *text, int columns)
{
    int length = 0, used = 0;

    while (text[length] != '\0') {
        if (((unsigned char)text[length] & 0xc0) != 0x80 && ++used > columns)
            break;
        length++;
    }
    return length;
}

static const char *symbol(const struct ha_progress *progress, enum state state)
{
    static const char *const frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    static const char *const plain_frames[] = {"|", "/", "-", "\\"};
    static const char *const marks[] = {[PENDING] = "·", [DONE] = "✓", [FAILED] = "✗"};
    static const char *const plain_marks[] = {[PENDING] = ".", [DONE] = "+", [FAILED] = "!"};

    if (state == RUNNING)
        return ha_output_utf8() ? frames[progress->tick % 10] : plain_frames[progress->tick % 4];
    return ha_output_utf8() ? marks[state] : plain_marks[state];
}

static void put_line(struct ha_progress *progress, int columns, int indent, enum state state, const char *text)
{
    static const enum ha_shade shades[] = {
        [PENDING] = HA_SHADE_FAINT, [RUNNING] = HA_SHADE_STRONG, [DONE] = HA_SHADE_GOOD, [FAILED] = HA_SHADE_BAD};

    put(progress, "\r%*s%s%s%s %.*s\033[K\n", indent, "", ha_shade_on(stderr, shades[state]), symbol(progress, state),
        ha_shade_off(stderr), fitting(text, columns - indent - 3), text);
    progress->drawn_lines++;
}

struct stage_sum {
    int steps, ended, running, failed;
    int64_t ms;
};

static struct stage_sum sum_of(const struct ha_progress *progress, int stage)
{
    struct stage_sum sum = {0};

    for (int i = 0; i < progress->step_count; i++) {
        const struct shown_step *step = &progress->steps[i];

        if (step->stage != stage)
            continue;
        sum.steps++;
        sum.ended += step->state == DONE;
        sum.failed += step->state == FAILED;
        sum.running += step->state == RUNNING;
        sum.ms += step->ms;
    }
    return sum;
}

static void draw_stage(struct ha_progress *progress, int columns, int stage)
{
    struct stage_sum sum = sum_of(progress, stage);
    char text[256], took[32] = "";
    enum state state = sum.failed > 0 ? FAILED : sum.running > 0 ? RUNNING : sum.ended == sum.steps ? DONE : PENDING;

    if (sum.ms > 0)
        ha_ms_text(sum.ms, took, sizeof took);
    snprintf(text, sizeof text, "%-14s %2d/%-2d  %s", progress->stages[stage], sum.ended, sum.steps, took);
    put_line(progress, columns, 2, state, text);
}

static void draw_active(struct ha_progress *progress, int columns, int stage, int64_t now_ms)
{
    for (int i = 0; i < progress->step_count; i++) {
        const struct shown_step *step = &progress->steps[i];
        char text[640], took[32];

        if (step->stage != stage || (step->state != RUNNING && step->state != FAILED))
            continue;
        ha_ms_text(step->state == RUNNING ? now_ms - step->started_ms : step->ms, took, sizeof took);
        snprintf(text, sizeof text, "%s  %s%s%s", step->text, took, step->note[0] != '\0' ? "  " : "", step->note);
        put_line(progress, columns, 4, step->state, text);
    }
}

static int active_count(const struct ha_progress *progress)
{
    int count = 0;

    for (int i = 0; i < progress->step_count; i++)
        count += progress->steps[i].state == RUNNING || progress->steps[i].state == FAILED;
    return count;
}

static void draw(struct ha_progress *progress)
{
    struct winsize size = {0};
    int64_t now_ms = ha_now_ms();
    int columns = 80, rows = 24;
    char text[512], took[32];
    bool whole;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        columns = size.ws_col;
        rows = size.ws_row;
    }
    /* On a screen too low for the tree only what is going on is shown. */
    whole = progress->stage_count + active_count(progress) + 3 <= rows;
    erase(progress);
    put(progress, "\033[?25l");
    snprintf(text, sizeof text, "%s  %d of %d steps  %s", progress->title, progress->ended_count, progress->step_count,
             ha_ms_text(now_ms - progress->started_ms, took, sizeof took));
    put_line(progress, columns, 0,
             !progress->stopping                             ? RUNNING
             : progress->ended_count == progress->step_count ? DONE
                                                             : FAILED,
             text);
    for (int stage = 0; stage < progress->stage_count; stage++) {
        if (whole)
            draw_stage(progress, columns, stage);
        if (progress->drawn_lines + 2 < rows)
            draw_active(progress, columns, stage, now_ms);
    }
    if (ha_interrupts_text() != NULL && !progress->stopping)
        put_line(progress, columns, 0, FAILED, ha_interrupts_text());
    flush(progress);
}

/* A line above the tree. */
static void say_above(struct ha_progress *progress, const char *text)
{
    pthread_mutex_lock(&progress->mutex);
    if (progress->ticking) {
        erase(progress);
        put(progress, "%s\n", text);
        draw(progress);
    } else {
        ha_say("%s", text);
    }
    pthread_mutex_unlock(&progress->mutex);
}

/* ---- the log's lines */

static void before_log(void *context)
{
    struct ha_progress *progress = context;

    pthread_mutex_lock(&progress->mutex);
    erase(progress);
    flush(progress);
}

static void after_log(void *context)
{
    struct ha_progress *progress = context;

    draw(progress);
    pthread_mutex_unlock(&progress->mutex);
}

/* ---- the spinner */

static void *tick(void *context)
{
    struct ha_progress *progress = context;

    pthread_mutex_lock(&progress->mutex);
    while (!progress->stopping) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&progress->wake, &progress->mutex, &until);
        progress->tick++;
        if (!progress->stopping && progress->step_count > 0)
            draw(progress);
    }
    pthread_mutex_unlock(&progress->mutex);
    return NULL;
}

/* Signals stay with the main thread. */
static void start_ticker(struct ha_progress *progress)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    progress->ticking = pthread_create(&progress->ticker, NULL, tick, progress) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- the listener */

/* The display begins with the first step: until then the user may be asked. */
static void begin_display(struct ha_progress *progress)
{
    if (!progress->live || progress->ticking)
        return;
    ha_interrupts_display(true);
    ha_log_hooks_set(before_log, after_log, progress);
    start_ticker(progress);
}

static int stage_index(struct ha_progress *progress, const char *name)
{
    int i = 0;

    while (i < progress->stage_count && strcmp(progress->stages[i], name) != 0)
        i++;
    if (i == STAGES_MAX)
        return STAGES_MAX - 1;
    if (i == progress->stage_count) {
        progress->stages[i] = name;
        progress->stage_count++;
    }
    return i;
}

static void on_planned(void *context, const struct ha_plan *plan)
{
    struct ha_progress *progress = context;

    pthread_mutex_lock(&progress->mutex);
    progress->ended_count = 0;
    progress->stage_count = 0;
    progress->step_count = plan->count;
    for (int i = 0; i < plan->count; i++) {
        struct shown_step *step = &progress->steps[i];

        memset(step, 0, sizeof *step);
        ha_step_text(&plan->steps[i], step->text, sizeof step->text);
        step->stage =
            stage_index(progress, ha_step_stage(progress->configuration, progress->verb, plan->steps[i].kind));
    }
    pthread_mutex_unlock(&progress->mutex);
}

static struct shown_step *step_at(struct ha_progress *progress, int index)
{
    return index >= 0 && index < progress->step_count ? &progress->steps[index] : NULL;
}

static bool is_planned(const struct ha_progress *progress, int index, const struct ha_step *step)
{
    char text[HA_NAME * 4];

    ha_step_text(step, text, sizeof text);
    return index >= 0 && index < progress->step_count && strcmp(progress->steps[index].text, text) == 0;
}

static void on_started(void *context, int index, const struct ha_step *plan_step)
{
    struct ha_progress *progress = context;
    struct shown_step *step;

    ha_interrupts_defer();
    begin_display(progress);
    pthread_mutex_lock(&progress->mutex);
    step = step_at(progress, index);
    progress->aside = !is_planned(progress, index, plan_step);
    if (step != NULL && !progress->aside) {
        step->state = RUNNING;
        step->started_ms = step->said_ms = ha_now_ms();
        if (progress->live)
            draw(progress);
    }
    pthread_mutex_unlock(&progress->mutex);
}

static void plain_line(const struct ha_progress *progress, int index, const char *rest)
{
    const struct shown_step *step = &progress->steps[index];

    ha_say("[%*d/%d] %s: %s%s", progress->step_count > 99 ? 3 : 2, index + 1, progress->step_count,
           progress->stages[step->stage], step->text, rest);
}

static void on_waiting(void *context, int index, const char *why)
{
    struct ha_progress *progress = context;
    struct shown_step *step;
    char rest[256];

    pthread_mutex_lock(&progress->mutex);
    step = step_at(progress, index);
    if (step != NULL && !progress->aside) {
        snprintf(step->note, sizeof step->note, "%s", why != NULL ? why : "");
        if (!progress->live && ha_now_ms() - step->said_ms >= WAITING_EVERY_MS) {
            step->said_ms = ha_now_ms();
            snprintf(rest, sizeof rest, ": still waiting: %s", step->note);
            plain_line(progress, index, rest);
        }
    }
    pthread_mutex_unlock(&progress->mutex);
}

static void say_aside(struct ha_progress *progress, const struct ha_step *step, int64_t ms, const char *failure)
{
    char text[HA_NAME * 4], took[32], line[HA_NAME * 4 + 360];

    ha_step_text(step, text, sizeof text);
    ha_ms_text(ms, took, sizeof took);
    if (failure != NULL)
        snprintf(line, sizeof line, "        afterwards: %s: failed after %s: %.300s", text, took, failure);
    else
        snprintf(line, sizeof line, "        afterwards: %s (%s)", text, took);
    say_above(progress, line);
}

static void on_ended(void *context, int index, const struct ha_step *plan_step, int64_t ms, const char *failure)
{
    struct ha_progress *progress = context;
    struct shown_step *step;
    char rest[320], took[32];

    if (!is_planned(progress, index, plan_step)) {
        say_aside(progress, plan_step, ms, failure);
        return;
    }
    pthread_mutex_lock(&progress->mutex);
    step = step_at(progress, index);
    if (step != NULL) {
        step->state = failure != NULL ? FAILED : DONE;
        step->ms = ms;
        progress->ended_count += failure == NULL;
        snprintf(step->note, sizeof step->note, "%s", failure != NULL ? failure : "");
        ha_ms_text(ms, took, sizeof took);
        if (failure != NULL)
            snprintf(rest, sizeof rest, ": failed after %s: %s", took, step->note);
        else
            snprintf(rest, sizeof rest, " (%s)", took);
        if (progress->live)
            draw(progress);
        else
            plain_line(progress, index, rest);
    }
    pthread_mutex_unlock(&progress->mutex);
}

static void on_said(void *context, const char *text)
{
    say_above(context, text);
}

/* ---- life */

struct ha_progress *ha_progress_new(const struct ha_configuration *configuration, const char *verb, const char *title)
{
    struct ha_progress *progress = calloc(1, sizeof *progress);
    pthread_condattr_t attributes;

    if (progress == NULL)
        return NULL;
    progress->configuration = configuration;
    progress->verb = verb;
    progress->started_ms = ha_now_ms();
    progress->live = ha_output_live(stderr) && !ha_output_quiet();
    snprintf(progress->title, sizeof progress->title, "%s", title);
    pthread_mutex_init(&progress->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return progress;
}

struct ha_listener ha_progress_listener(struct ha_progress *progress)
{
    struct ha_listener listener = {.context = progress};

    if (progress == NULL)
        return listener;
    listener.planned = on_planned;
    listener.step_started = on_started;
    listener.step_waiting = on_waiting;
    listener.step_ended = on_ended;
    listener.said = on_said;
    return listener;
}

/* An interrupt or a failure elsewhere left them. */
static void mark_unfinished(struct ha_progress *progress)
{
    for (int i = 0; i < progress->step_count; i++) {
        struct shown_step *step = &progress->steps[i];

        if (step->state != RUNNING)
            continue;
        step->state = FAILED;
        step->ms = ha_now_ms() - step->started_ms;
        snprintf(step->note, sizeof step->note, "not finished");
    }
}

void ha_progress_free(struct ha_progress *progress)
{
    if (progress == NULL)
        return;
    if (progress->ticking) {
        ha_log_hooks_set(NULL, NULL, NULL);
        pthread_mutex_lock(&progress->mutex);
        progress->stopping = true;
        pthread_cond_signal(&progress->wake);
        pthread_mutex_unlock(&progress->mutex);
        pthread_join(progress->ticker, NULL);
        mark_unfinished(progress);
        draw(progress);
        put(progress, "\033[?25h");
        flush(progress);
        ha_interrupts_display(false);
    }
    pthread_cond_destroy(&progress->wake);
    pthread_mutex_destroy(&progress->mutex);
    free(progress);
}
