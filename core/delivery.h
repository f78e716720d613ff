/* SPDX-License-Identifier: Apache-2.0 */
/* Starting something on a replica takes several calls: the payload plugin
 * renders, the issuer gives the credentials that the files name, the cloud
 * delivers. */
#ifndef HACTL_CORE_DELIVERY_H
#define HACTL_CORE_DELIVERY_H

#include "core/asks.h"

/* The first half of SHA-256 in hexadecimal, of each part: files; the contents
 * of those that are read again, but for keys; such keys; units and ports. */
enum { HA_DIGEST_FILES, HA_DIGEST_REREAD, HA_DIGEST_KEYS, HA_DIGEST_HOW, HA_DIGEST_PARTS };
enum { HA_DIGEST_PART = 32, HA_DIGEST = HA_DIGEST_PARTS * HA_DIGEST_PART + 1 };

struct ha_delivery_work {
    int payload, replica;
    bool keep_running;
    struct hactl_call *rendered; /* owned */
    size_t file;                 /* the next one that may lack its content, or is to be sealed */
    bool sealing;
    const char *why; /* nothing can be delivered: a reason for people */
    char recipient[HA_NAME];
    char digest[HA_DIGEST];
};

/* Of a step that has its payload as its group. */
struct hactl_call *ha_delivery_begin(struct ha_session *session, const struct ha_step *step,
                                     struct ha_delivery_work *work, int64_t timeout_ms);
/* Takes over `finished` (render, credential or seal, gone well) and makes the
 * next call; *last is set when that is the delivery itself. NULL: see `why`. */
struct hactl_call *ha_delivery_next(struct ha_session *session, struct ha_delivery_work *work,
                                    struct hactl_call *finished, int64_t timeout_ms, bool *last);
/* Where the content of a file comes from. */
enum ha_file_source {
    HA_FILE_GIVEN,      /* it has it */
    HA_FILE_CREDENTIAL, /* the issuer */
    HA_FILE_MACHINE,    /* a key that the replica made: it is there already, and nowhere else */
    HA_FILE_SHARED      /* the issuer, and it goes to the replica sealed */
};
enum ha_file_source ha_file_source(const struct ha_session *session, const struct hactl_file *file);
void ha_delivery_end(struct ha_delivery_work *work);
/* Only the part of what is not read again is known; the same as another is that part alone, if at all. */
void ha_delivery_make_partial(char digest[HA_DIGEST]);
bool ha_delivery_is_partial(const char *digest);
bool ha_delivery_same(const char *digest, const char *other, int part);
/* Of something rendered whose files have their contents, none of them sealed
 * yet: sealed twice, the same has other bytes. */
bool ha_delivery_digest(const struct hactl_call *rendered, char out[HA_DIGEST]);

#endif
