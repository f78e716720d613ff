/* SPDX-License-Identifier: Apache-2.0 */
#include "core/text.h"

#include <string.h>

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* How many bytes the character at `c` has; 0: it is none. Overlong forms,
 * surrogates and what is beyond U+10FFFF are none. */
static size_t character_size(const unsigned char *c)
{
    size_t size = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < size; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
        (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return size;
}

static bool is_valid(const char *text, bool allows_control)
{
    const unsigned char *c = (const unsigned char *)text;

    while (*c != '\0') {
        size_t size = character_size(c);

        if (size == 0 || (is_control(*c) && !allows_control))
            return false;
        c += size;
    }
    return true;
}

bool ha_text_is_utf8(const char *text)
{
    return is_valid(text, true);
}

bool ha_text_is_plain(const char *text)
{
    return is_valid(text, false);
}

static void repair(char *text, bool keeps_lines)
{
    unsigned char *c = (unsigned char *)text;

    while (*c != '\0') {
        size_t size = character_size(c);

        if (size == 0)
            *c = '?';
        else if (is_control(*c) && !(keeps_lines && *c == '\n'))
            *c = ' ';
        c += size == 0 ? 1 : size;
    }
}

void ha_text_repair(char *text)
{
    repair(text, false);
}

void ha_text_repair_lines(char *text)
{
    repair(text, true);
}

void ha_text_copy(char *out, size_t size, const char *text)
{
    size_t length;

    if (text == NULL)
        text = "";
    length = strnlen(text, size - 1);
    while (text[length] != '\0' && length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    memcpy(out, text, length);
    out[length] = '\0';
}
