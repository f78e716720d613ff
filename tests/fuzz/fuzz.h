/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target reads one input and seeds others. It is linked with libFuzzer
 * for long runs (`./check fuzz`), and with drive.c, which changes the seeds in
 * ways that are the same every time, for the short run of `make check`.
 */
#ifndef HACTL_TESTS_FUZZ_H
#define HACTL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A right input, to begin from; malloc'd. NULL: there is no such one. */
char *fuzz_seed(unsigned number, size_t *size);

#endif
