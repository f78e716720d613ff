/* SPDX-License-Identifier: Apache-2.0 */
/* POST /batch/compute/v1: several calls in one multipart/mixed body, as gcloud sends them for several names. */
#ifndef GCE_EMULATOR_BATCH_H
#define GCE_EMULATOR_BATCH_H

#include "server.h"

void em_batch_handle(struct em_connection *connection);

#endif
