/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a target without libFuzzer: every seed, and each with bytes changed,
 * cut out, doubled and cut off.
 *
 *   drive [ROUNDS]            seeds and ROUNDS (1000) changes of each
 *   drive --seeds DIRECTORY   writes the seeds there, for libFuzzer
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 88172645463325252u;

static size_t below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit == 0 ? 0 : (size_t)(random_state % limit);
}

/* One change; returns the new size. `data` has room for twice `size`. */
static size_t change(char *data, size_t size)
{
    size_t at = below(size), length = 1 + below(size - at < 40 ? size - at : 40);

    switch (below(6)) {
    case 0:
        data[at] = (char)below(256);
        return size;
    case 1:
        data[at] ^= (char)(1u << below(8));
        return size;
    case 2:
        memmove(data + at, data + at + length, size - at - length);
        return size - length;
    case 3:
        memmove(data + at + length, data + at, size - at);
        return size + length;
    case 4:
        return at;
    default:
        data[at] = "\n\0-=:"[below(5)];
        return size;
    }
}

static void try_seed(const char *seed, size_t size, unsigned rounds)
{
    LLVMFuzzerTestOneInput((const uint8_t *)seed, size);
    for (unsigned i = 0; i < rounds; i++) {
        char *data = malloc(2 * size + 1024);
        size_t now = size;
        if (data == NULL)
            abort();
        memcpy(data, seed, size);
        for (size_t changes = 1 + below(3); changes > 0 && now > 0 && now < 2 * size; changes--)
            now = change(data, now);
        /* Its very end, so that the sanitizer sees a read beyond it. */
        data = realloc(data, now > 0 ? now : 1);
        LLVMFuzzerTestOneInput((const uint8_t *)data, now);
        free(data);
    }
}

static int write_seed(const char *directory, unsigned number, const char *seed, size_t size)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/seed-%u", directory, number);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(seed, 1, size, file) != size || fclose(file) != 0)
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    const char *directory = argc == 3 && strcmp(argv[1], "--seeds") == 0 ? argv[2] : NULL;
    unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000, number = 0;
    char *seed;
    size_t size;

    for (; (seed = fuzz_seed(number, &size)) != NULL; number++) {
        if (directory == NULL)
            try_seed(seed, size, rounds);
        else if (write_seed(directory, number, seed, size) != 0)
            return 1;
        free(seed);
        if (directory == NULL)
            printf("ok %u - seed %u and %u changes of it\n", number + 1, number, rounds);
    }
    if (directory == NULL)
        printf("1..%u\n", number);
    return number > 0 ? 0 : 1;
}
