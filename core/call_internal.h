/* SPDX-License-Identifier: Apache-2.0 */
/* What call.c, call_records.c, host.c and worker.c share and nobody else needs. */
#ifndef HACTL_CORE_CALL_INTERNAL_H
#define HACTL_CORE_CALL_INTERNAL_H

#include "core/call.h"

/* Of texts for people; `text` has room for a few words before it. */
enum { TEXT_MAX = 600 };

enum ha_record {
    HA_RECORD_ZONE,
    HA_RECORD_INSTANCE,
    HA_RECORD_DELIVERY,
    HA_RECORD_ADDRESS,
    HA_RECORD_REACH,
    HA_RECORD_CERTIFICATE,
    HA_RECORD_CREDENTIAL,
    HA_RECORD_GROUP,
    HA_RECORD_MEMBER,
    HA_RECORD_BALANCER,
    HA_RECORD_BACKEND,
    HA_RECORD_FILE,
    HA_RECORD_UNIT,
    HA_RECORD_PORT,
    HA_RECORD_REQUEST,
    HA_RECORD_FIREWALL,
    HA_RECORDS_END
};

/* Judges the record against the contract and appends a deep copy of it to the
 * call. Returns HACTL_OK or HACTL_E_INTERNAL with its text set. */
int ha_call_emit(struct hactl_call *call, enum ha_record type, const void *record);

/* Something emitted breaks the contract: the call has failed, even if the
 * plugin goes on and says that it has not. */
int ha_call_refuse(struct hactl_call *call, const char *format, ...) HACTL_FORMAT(2, 3);

int ha_call_emit_unread(struct hactl_call *call, const char *zone, const char *why);

/* Frees all that was emitted. */
void ha_call_forget_records(struct hactl_call *call);

/* The first text of a call stands. */
int ha_call_fail(struct hactl_call *call, int code, const char *format, ...) HACTL_FORMAT(3, 4);
int ha_call_fail_of(struct hactl_call *call, int code, const char *format, va_list arguments);

/* Frees what the call owns, not the call itself. */
void ha_call_clear(struct hactl_call *call);

/* Runs the call in this thread; afterwards its code is one of the contract's,
 * and every failure has a text. */
void ha_call_run(struct hactl_call *call);

#endif
