/* SPDX-License-Identifier: Apache-2.0 */
/* Real etcd members over mutual TLS, started as the plugin's own payload says. */
#ifndef HACTL_TESTS_ETCD_RIG_H
#define HACTL_TESTS_ETCD_RIG_H

#include <hactl/plugin.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/fake_host.h"

#define RIG_MEMBERS 5

/* One group of at most five members, named demo-1 and so on, at addresses of
 * its own; members count from 0. */
struct rig {
    char directory[80];
    char names[RIG_MEMBERS][24], addresses[RIG_MEMBERS][40];
    pid_t pids[RIG_MEMBERS];
    struct hactl_cluster cluster;
    struct hactl_replica replicas[RIG_MEMBERS];
    const struct hactl_replica *replica_list[RIG_MEMBERS];
    struct hactl_reach reaches[RIG_MEMBERS];
    struct hactl_endpoint endpoints[RIG_MEMBERS];
    const struct hactl_endpoint *endpoint_list[RIG_MEMBERS];
    struct hactl_tls tls;
    struct hactl_group_want want; /* its endpoints: the first endpoint_count */
    struct hactl_conf *conf;
    void *self;
    char authority[96], certificate[96], key[96];
};

/* Addresses that no other run uses, and certificates for them. */
/* The set-up and the end of a group of cmocka's tests. */
int rig_begin(void **state);
int rig_end(void **state);
const char *rig_pki(void);

struct rig *rig_new(int network, const struct fake_setting *settings);
void rig_free(struct rig *rig); /* ends the members and removes their data */

/* Of the first `count`, founding together. */
void rig_found(struct rig *rig, int count);
/* The first `started` of them alone are started; does not wait. */
void rig_found_some(struct rig *rig, int count, int started);
/* Member `index` joins what `list` shows now. */
void rig_join(struct rig *rig, int index);
void rig_start(struct rig *rig, int index, const struct hactl_payload_want *want);
void rig_kill(struct rig *rig, int index);
/* Removes its data. */
void rig_wipe(struct rig *rig, int index);

/* A list; the caller frees the call. Fails the test unless it is HACTL_OK. */
struct hactl_call *rig_list(struct rig *rig);
const struct hactl_member *rig_member(const struct hactl_call *call, const char *name);
/* Until all of `count` members are healthy voters; fails the test after 15 s. */
void rig_settle(struct rig *rig, size_t count);
/* Asks member `index` so many times; fails the test unless each is answered with 200. */
void rig_post(struct rig *rig, int index, const char *path, const char *body, int count);
/* Writes `count` keys through member `index`. */
void rig_write(struct rig *rig, int index, int count);
int64_t rig_now_ms(void);
void rig_sleep_ms(unsigned ms);

#endif
