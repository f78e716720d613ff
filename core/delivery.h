/* SPDX-License-Identifier: Apache-2.0 */
/* Starting something on a replica takes several calls: the payload plugin
 * renders, the issuer gives the credentials that the files name, the cloud
 * delivers. */
#ifndef HACTL_CORE_DELIVERY_H
#define HACTL_CORE_DELIVERY_H

#include "core/asks.h"

/* SHA-256 in hexadecimal: of the files first, then of units and ports. */
enum { HA_DIGEST_FILES = 64, HA_DIGEST = 2 * HA_DIGEST_FILES + 1 };

struct ha_delivery_work {
    int payload, replica;
    struct hactl_call *rendered; /* owned */
    size_t file;                 /* the next one that may lack its content */
    char digest[HA_DIGEST];
};

struct hactl_call *ha_delivery_begin(struct ha_session *session, int payload, int replica,
                                     struct ha_delivery_work *work, int64_t timeout_ms);
/* Takes over `finished` (render or credential, gone well) and makes the next
 * call; *last is set when that is the delivery itself. NULL: the issuer gave
 * nothing for a file. */
struct hactl_call *ha_delivery_next(struct ha_session *session, struct ha_delivery_work *work,
                                    struct hactl_call *finished, int64_t timeout_ms, bool *last);
void ha_delivery_end(struct ha_delivery_work *work);
/* Of something rendered whose files have their contents. */
/* The same files, whatever the rest: arguments follow how a member begins. */
bool ha_delivery_same_files(const char *digest, const char *other);
bool ha_delivery_digest(const struct hactl_call *rendered, char out[HA_DIGEST]);

#endif
