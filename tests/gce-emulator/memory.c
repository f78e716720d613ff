/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation and JSON members for a program that ends when there is no memory. */
#include "emulator.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *em_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL) {
        fputs("gce-emulator: no memory\n", stderr);
        abort();
    }
    return memory;
}

char *em_strdup(const char *text)
{
    char *copy;

    if (text == NULL) {
        return NULL;
    }
    copy = em_alloc(strlen(text) + 1);
    strcpy(copy, text);
    return copy;
}

static char *format_va(const char *format, va_list arguments)
{
    char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        fputs("gce-emulator: no memory\n", stderr);
        abort();
    }
    return text;
}

char *em_format(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = format_va(format, arguments);
    va_end(arguments);
    return text;
}

const char *em_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

bool em_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

long long em_number(const json_t *object, const char *name, long long otherwise)
{
    const json_t *value = json_object_get(object, name);
    char *end = NULL;
    long long number;

    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    if (json_is_real(value)) {
        return (long long)json_real_value(value);
    }
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return otherwise;
    }
    number = strtoll(json_string_value(value), &end, 10);
    return *end == '\0' ? number : otherwise;
}

void em_set(json_t *object, const char *name, const char *text)
{
    if (text == NULL) {
        json_object_del(object, name);
    } else {
        json_object_set_new(object, name, json_string(text));
    }
}

void em_set_number(json_t *object, const char *name, long long number)
{
    json_object_set_new(object, name, json_integer(number));
}

void em_set_u64(json_t *object, const char *name, uint64_t number)
{
    em_set_format(object, name, "%llu", (unsigned long long)number);
}

void em_set_format(json_t *object, const char *name, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = format_va(format, arguments);
    va_end(arguments);
    em_set(object, name, text);
    free(text);
}

void em_default(json_t *object, const char *name, const char *text)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value)) {
        em_set(object, name, text);
    }
}

int em_array_find(const json_t *array, const char *text)
{
    const json_t *value;
    size_t i;

    json_array_foreach(array, i, value)
    {
        if (json_is_string(value) && strcmp(json_string_value(value), text) == 0) {
            return (int)i;
        }
    }
    return -1;
}

json_t *em_array(json_t *object, const char *name)
{
    json_t *array = json_object_get(object, name);

    if (!json_is_array(array)) {
        array = json_array();
        json_object_set_new(object, name, array);
    }
    return array;
}

void em_array_drop(json_t *object, const char *name, const char *text)
{
    json_t *array = json_object_get(object, name);
    int i = em_array_find(array, text);

    if (i >= 0) {
        json_array_remove(array, (size_t)i);
    }
    if (array != NULL && json_array_size(array) == 0) {
        json_object_del(object, name);
    }
}

void em_merge(json_t *object, const json_t *patch)
{
    const char *name;
    json_t *value, *inside;

    json_object_foreach((json_t *)patch, name, value)
    {
        inside = json_object_get(object, name);
        if (json_is_null(value)) {
            json_object_del(object, name);
        } else if (json_is_object(value) && json_is_object(inside)) {
            em_merge(inside, value);
        } else {
            json_object_set_new(object, name, json_deep_copy(value));
        }
    }
}

void em_log(int level, const char *format, ...)
{
    va_list arguments;

    if (level > em_options.verbose) {
        return;
    }
    fputs("gce-emulator: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}
