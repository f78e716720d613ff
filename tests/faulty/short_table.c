/* SPDX-License-Identifier: Apache-2.0 */
/* A table that ends before its last mandatory operation. */
#define PAYLOAD_SIZE offsetof(struct hactl_payload_ops, probe)
#include "tests/faulty/sound.h"
