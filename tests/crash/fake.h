/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole world in one plugin and one JSON file, for the kill harness: cloud,
 * members, payload, issuer and balancer that are slow, refuse at first, and
 * write down every effect that they have. Steered by the environment:
 *
 *   FAKE_STRIKE="N before|after"  kills hactl at the Nth operation
 *   FAKE_COUNT=FILE               a line for each operation
 *   FAKE_FAIL=OPERATION           that operation fails, with no effect
 *   FAKE_LIE=OPERATION            that operation says OK, with no effect
 *   FAKE_BUSY=OPERATION           that operation is busy for ever
 *   FAKE_REFUSE="OPERATION CODE N [AFTER]"  that operation fails with that code, with no effect, N times; from
 *                                 when AFTER has been asked for once
 *   FAKE_LOSE=OPERATION           the first time it has its effect, but says that it does not know
 *   FAKE_HANG=OPERATION           that operation never returns
 *   FAKE_SLOW="OPERATION MS"      that operation takes so long
 *   FAKE_MEET="DIRECTORY OPERATION OTHER SECONDS"  each of the two waits so long for the other to begin, and fails
 *                                 if that does not
 *   FAKE_RETRY_MS=N               what is busy or pending is not to be asked again before
 *   FAKE_STALL=1                  what is pending stays so for ever
 *   FAKE_DIES=REPLICA             once it was seen to run it dies, until its instance is asked for again
 *   FAKE_LAG=1                    learners never catch up
 *   FAKE_PEND=OPERATION           that operation begins something, which two polls end
 *   FAKE_TEXT=WORDS               what FAKE_FAIL says
 *   FAKE_STRANGER=WHO             somebody else holds the address
 *   FAKE_UNREAD=ZONE              that zone ("none": what belongs to none) cannot be read
 *   FAKE_DOWN=ZONE                that zone is down, and lists nothing
 *   FAKE_DEAD=INSTANCE            the unit there is seen to run twice, and then no more
 *   FAKE_BAD=1                    the first instance is in a state that does not exist
 *   FAKE_LONG=1                   there is an instance whose name is too long
 *   FAKE_SHORT=1                  tables without their optional operations, with rubbish after them
 *   FAKE_MUTE=WHO                 the public address does not answer where WHO holds it
 *   FAKE_FAINT=REPLICA:N          its member does not answer the first N times that members are listed
 *   FAKE_INTENTS=FILE             a line for each effect: what, and the intent it was had under
 *
 * and by what a test writes into the world: "dead": true in an instance; "broken":
 * {REPLICA: "hung" or "lost"} (does not answer, has lost its data; until it is
 * deleted); "doubt": what is wrong with the group although it has a quorum; "second": REPLICA, which has the public
 * address too; "due": {AUTHORITY: {REPLICA: true}} (what it signed for that replica is to be issued anew).
 *
 * Compiled with FAKE_AUTHORITY it is an issuer and nothing else: a second plugin, with a world of its own.
 */
#ifndef HACTL_TESTS_CRASH_FAKE_H
#define HACTL_TESTS_CRASH_FAKE_H

#include <hactl/plugin.h>
#include <jansson.h>

struct fake {
    const struct hactl_host *host;
    char path[4096];
    json_t *world;
    struct hactl_call *call; /* under way */
};

/* Arguments of an operation. */
struct named {
    const char *name, *other, *third;
    int number;
    const void *want;
};

/* ---- fake_world.c */

json_t *fake_part(struct fake *fake, const char *name);
const char *fake_text(const json_t *object, const char *key);
void fake_load(struct fake *fake);
void fake_save(struct fake *fake);
void fake_effect(struct fake *fake, const char *what, const char *which);
int fake_is_told(const char *variable, const char *operation);
void fake_delay_next(struct fake *fake, struct hactl_call *call);
int fake_run(struct fake *fake, struct hactl_call *call, const char *operation,
             int (*body)(struct fake *, struct hactl_call *, const void *), const void *arguments);
int fake_is_coy(struct fake *fake, const char *what);

/* ---- fake_issuer.c */

/* The key that machines share, or what holds it sealed. */
void fake_shared_text(char out[200], const char *before, int account);
int fake_account_number(struct fake *fake);

/* ---- fake_cloud.c */

int fake_is_delivered(struct fake *fake, const char *name);
int fake_runs(struct fake *fake, const char *name);
int fake_take_address(struct fake *fake, struct hactl_call *call, const char *who);
int fake_drop_address(struct fake *fake, const char *who);
int fake_op_poll(void *self, struct hactl_call *call, const char *token);

/* ---- fake_machines.c, with FAKE_MACHINES only */

void fake_machine_new(struct fake *fake, const char *name);
int fake_machine_makes_its_keys_only(const struct hactl_instance_want *want);
int fake_machine_certify(struct fake *fake, struct hactl_call *call, const char *name, const char *purpose,
                         const struct hactl_request *const *requests, size_t request_count, json_t *certificates,
                         int signer);
int fake_machine_fits(struct fake *fake, struct hactl_call *call, const char *name,
                      const struct hactl_payload *payload);
void fake_machine_list_firewall(struct fake *fake, struct hactl_call *call);
int fake_op_seal(void *self, struct hactl_call *call, const char *purpose, const char *part_name, const char *replica,
                 const char *recipient);
int fake_op_requests(void *self, struct hactl_call *call, const char *instance);
int fake_op_temporary_ensure(void *self, struct hactl_call *call, const char *instance);
int fake_op_temporary_destroy(void *self, struct hactl_call *call, const char *instance);
int fake_op_firewall_ensure(void *self, struct hactl_call *call, const struct hactl_firewall_want *want);
int fake_op_firewall_destroy(void *self, struct hactl_call *call);

extern struct hactl_cloud_ops fake_cloud;
extern struct hactl_member_ops fake_member;
extern struct hactl_payload_ops fake_payload;
extern const struct hactl_issuer_ops fake_issuer;
extern const struct hactl_balancer_ops fake_balancer;

#endif
