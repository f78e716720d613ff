/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the nearest word by letters left out, added, changed or
 * swapped with their neighbour. */
#include <string.h>

#include "core/configuration.h"

#define WORD_MAX 63u

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* Optimal string alignment; three rows are enough for swapped neighbours. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][WORD_MAX + 1];
    size_t a_length = strlen(a), b_length = strlen(b);

    for (unsigned j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *now = rows[i % 3], *before = rows[(i - 1) % 3], *two_before = rows[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = smallest(before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smallest(now[j], two_before[j - 2] + 1, now[j]);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *ha_did_you_mean(const char *word, const char *const *candidates)
{
    size_t length = strlen(word);
    unsigned least = length <= 3 ? 2 : (unsigned)(length / 3 + 1); /* one beyond what is near enough */
    const char *nearest = NULL;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (size_t i = 0; candidates != NULL && candidates[i] != NULL; i++) {
        unsigned steps;

        if (strlen(candidates[i]) > WORD_MAX)
            continue;
        steps = distance(word, candidates[i]);
        if (steps < least && steps < strlen(candidates[i])) {
            least = steps;
            nearest = candidates[i];
        }
    }
    return nearest;
}
