/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata server as a virtual machine sees it: its own data, tokens,
 * guest attributes, and waiting for a change. Without an instance it is that of a
 * machine from which somebody works with the API.
 */
#ifndef GCE_EMULATOR_METADATA_SERVER_H
#define GCE_EMULATOR_METADATA_SERVER_H

#include "emulator.h"
#include "server.h"

/* Handler of a server whose context is the path of an instance, or NULL. */
void em_metadata_serve(struct em_connection *connection);
/* The same for "/computeMetadata/..." in `path` on behalf of that instance. */
void em_metadata_handle(struct em_connection *connection, const char *path, const char *instance_path);

/* Who waits for a change looks again. NULL: all of them. */
void em_metadata_changed(const struct em_resource *instance);
/* The instance is deleted: hangs up on those who wait. */
void em_metadata_gone(const struct em_resource *instance);

#endif
