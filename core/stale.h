/* SPDX-License-Identifier: Apache-2.0 */
/* Does a replica run on what it would be given today? Known from the digest
 * that its cloud keeps with each delivery, against one of the same payload
 * rendered anew with the credentials as they are now. */
#ifndef HACTL_CORE_STALE_H
#define HACTL_CORE_STALE_H

#include "core/session_internal.h"

/* Renders every payload that was delivered, learns what each is made of, and
 * marks those that run on something else as stale. Changes nothing. */
void ha_stale_observe(struct ha_session *session);
/* Marks one, from what is known already. */
void ha_stale_judge(struct ha_session *session, int replica, int payload);

/* What the authority that is rotated signs, and for whom. */
void ha_rotation_observe(struct ha_session *session);

#endif
