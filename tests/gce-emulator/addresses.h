/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: reserved ones, ephemeral ones, and who uses which. No address has two users. */
#ifndef GCE_EMULATOR_ADDRESSES_H
#define GCE_EMULATOR_ADDRESSES_H

#include "emulator.h"

/* Takes an external address for a user (a path). `wanted` NULL: an ephemeral one. Caller frees.
 * NULL: *error says why not, as the error of an operation, and *status. */
char *em_addresses_take(const char *project, const char *region, const char *wanted, const char *user, int *status,
                        json_t **error);
/* The same in a subnetwork; always at once. */
char *em_addresses_take_internal(const struct em_resource *subnetwork, const char *wanted, const char *user,
                                 struct em_answer *answer);
void em_addresses_give(const char *ip, const char *user);
void em_addresses_give_internal(const char *network_link, const char *ip, const char *user);

/* What stands in "IPAddress" or "natIP": an address, or a link to one. The literal address; caller frees.
 * NULL: *answer says why. */
char *em_addresses_literal(const struct em_request *request, const char *region, const char *text, const char *field,
                           struct em_answer *answer);
/* Who uses an external address, or NULL. */
const char *em_addresses_user(const char *ip);

/* Conflicts are found when the operation runs (as the real one mostly does), or already at the request. */
void em_addresses_conflict_at_request(bool at_request);
/* Status 0: it can be had by something of that network tier, and, in the second case, nobody has it. */
struct em_answer em_addresses_check(const char *ip, const char *tier);
void em_addresses_clear(void);

extern const struct em_type em_address_type;
extern const struct em_method em_addresses_methods[];

#endif
