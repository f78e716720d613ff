/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *ha_json_parse(const char *text, size_t size, char *error, size_t error_size)
{
    json_error_t why;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);

    if (!value && error_size > 0)
        snprintf(error, error_size, "%s at byte %d", why.text, why.position);
    return value;
}

char *ha_json_text(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

/* strtoull() takes signs and white space, which no API writes. */
static bool decimal(const char *text, uint64_t *value)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

uint64_t ha_json_u64(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    uint64_t number = 0;

    if (json_is_integer(value))
        return json_integer_value(value) < 0 ? 0 : (uint64_t)json_integer_value(value);
    if (json_is_string(value) && decimal(json_string_value(value), &number))
        return number;
    return 0;
}

int64_t ha_json_i64(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    bool negative = text && text[0] == '-';
    uint64_t number = 0;

    if (json_is_integer(value))
        return json_integer_value(value);
    if (!text || !decimal(text + negative, &number) || number > INT64_MAX)
        return 0;
    return negative ? -(int64_t)number : (int64_t)number;
}

bool ha_json_bool(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

const char *ha_json_string(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && text[0] != '\0' ? text : NULL;
}

int ha_json_set_u64(json_t *object, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    return json_object_set_new(object, name, json_string(text));
}

char *ha_base64_encode(const void *bytes, size_t size)
{
    char *text;

    if (size > INT_MAX / 2)
        return NULL;
    text = malloc((size + 2) / 3 * 4 + 1);
    if (text)
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
    return text;
}

ssize_t ha_base64_decode(const char *text, size_t size, unsigned char *out)
{
    size_t padding = 0;
    int length;

    /* EVP_DecodeBlock() skips white space at both ends and would then write
     * less than the padding makes us subtract; and it counts padding as data. */
    if (size % 4 != 0 || size > INT_MAX || strspn(text, " \t\r\n") > 0)
        return -1;
    if (size == 0)
        return 0;
    while (padding < 2 && text[size - 1 - padding] == '=')
        padding++;
    if (memchr(text, '=', size - padding))
        return -1;
    length = EVP_DecodeBlock(out, (const unsigned char *)text, (int)size);
    if (length != (int)(size / 4 * 3))
        return -1;
    return length - (ssize_t)padding;
}
