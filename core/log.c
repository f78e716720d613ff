/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_words[] = {"error: ", "warning: ", "", "debug: "};

static atomic_int threshold = HACTL_LOG_WARNING;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void (*before_line)(void *);
static void (*after_line)(void *);
static void *hooks_context;

void ha_log_level_set(enum hactl_log_level level)
{
    atomic_store(&threshold, (int)level);
}

enum hactl_log_level ha_log_level(void)
{
    return (enum hactl_log_level)atomic_load(&threshold);
}

void ha_log_hooks_set(void (*before)(void *), void (*after)(void *), void *context)
{
    pthread_mutex_lock(&mutex);
    before_line = before;
    after_line = after;
    hooks_context = context;
    pthread_mutex_unlock(&mutex);
}

static void write_all(const char *line, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, line, size);

        if (written <= 0)
            return;
        line += written;
        size -= (size_t)written;
    }
}

/* One write for the whole line, so that lines of two processes do not mix. */
static void write_line(char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[size] = '\n';
    pthread_mutex_lock(&mutex);
    if (before_line != NULL)
        before_line(hooks_context);
    write_all(line, size + 1);
    if (after_line != NULL)
        after_line(hooks_context);
    pthread_mutex_unlock(&mutex);
}

void ha_log_of(enum hactl_log_level level, const char *speaker, const char *format, va_list arguments)
{
    char line[2048];
    int used, wanted;
    size_t size;

    if ((int)level > atomic_load(&threshold) || (int)level < 0)
        return;
    used = snprintf(line, sizeof line, "hactl: %s%.200s%s", level_words[level < 4 ? level : HACTL_LOG_DEBUG],
                    speaker == NULL ? "" : speaker, speaker == NULL ? "" : ": ");
    wanted = vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    size = (size_t)used + (wanted < 0 ? 0 : (size_t)wanted);
    if (size > sizeof line - 1)
        size = sizeof line - 1;
    write_line(line, size);
}

void ha_log(enum hactl_log_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    ha_log_of(level, NULL, format, arguments);
    va_end(arguments);
}
