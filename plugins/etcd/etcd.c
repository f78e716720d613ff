/* SPDX-License-Identifier: Apache-2.0 */
/* etcd groups: their members, and etcd as what runs on a replica. */
#include "plugins/etcd/etcd.h"

#include <stdlib.h>

/* clang-format off */
static const struct hactl_key keys[] = {
    {"group", HACTL_KEY_STRING, 0, "main", 0, 0, NULL,
     "Name of the etcd group; the group main is what the public endpoint fronts."},
    {"client_port", HACTL_KEY_INTEGER, 0, "2379", 1, 65535, NULL, "Port for clients, at each replica's address."},
    {"client_listen", HACTL_KEY_STRING, 0, "internal", 0, 0, "internal|all",
     "Addresses at which clients are served: a replica's internal one, or all, for balancers that leave the public "
     "address in the packets."},
    {"peer_port", HACTL_KEY_INTEGER, 0, "2380", 1, 65535, NULL, "Port for the other members."},
    {"etcd", HACTL_KEY_STRING, 0, "etcd", 0, 0, NULL, "The etcd program of a replica, a name or an absolute path."},
    {"package", HACTL_KEY_STRING, 0, "etcd-server", 0, 0, NULL,
     "The Debian package that has it, for messages when it is missing."},
    {"heartbeat_ms", HACTL_KEY_INTEGER, 0, "100", 10, 10000, NULL, "Interval of the leader's heartbeats."},
    {"election_ms", HACTL_KEY_INTEGER, 0, "1000", 50, 50000, NULL,
     "Silence of the leader after which members elect another; at least five heartbeats."},
    {"quota_backend_bytes", HACTL_KEY_INTEGER, 0, "2147483648", 0, INT64_C(107374182400), NULL,
     "Database size at which etcd stops taking writes; 0 is etcd's own default."},
    {"snapshot_count", HACTL_KEY_INTEGER, 0, "100000", 1, INT64_C(1000000000), NULL,
     "Raft entries after which etcd writes a snapshot and shortens its log."},
    {"auto_compaction_retention", HACTL_KEY_STRING, 0, "0", 0, 0, NULL,
     "History that etcd compacts away by itself, such as 1h; 0 leaves it to the Kubernetes API server."},
    {"corrupt_check", HACTL_KEY_BOOLEAN, 0, "true", 0, 0, NULL,
     "A starting member compares its data with the others' before it serves."},
    {"extra_arguments", HACTL_KEY_STRING_LIST, 0, NULL, 0, 0, NULL, "More arguments for etcd, as they are."},
    {"status_timeout_ms", HACTL_KEY_INTEGER, 0, "1000", 50, 10000, NULL,
     "Time a member has to tell about itself before it counts as not answering."},
    {"request_timeout_ms", HACTL_KEY_INTEGER, 0, "2000", 50, 60000, NULL,
     "Deadline of a probe, or silence in a snapshot's stream."},
    {"change_timeout_ms", HACTL_KEY_INTEGER, 0, "4000", 100, 60000, NULL,
     "Deadline of one change of the membership, after which the member list decides."},
    {"caught_up_lag", HACTL_KEY_INTEGER, 0, "16", 0, 100000, NULL,
     "Raft entries that a learner may be behind the leader when it becomes a voter."},
    {"compare_data_bytes", HACTL_KEY_INTEGER, 0, "104857600", 0, INT64_C(107374182400), NULL,
     "Database size up to which the data of a new voter are compared with another's; 0 is never."},
    {NULL, HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, NULL},
};
/* clang-format on */

static void etcd_close(void *instance)
{
    struct etcd *self = instance;

    if (!self)
        return;
    ha_http_client_free(self->http);
    free(self);
}

static int etcd_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **out)
{
    int64_t heartbeat_ms = host->conf_integer(conf, "heartbeat_ms");
    int64_t election_ms = host->conf_integer(conf, "election_ms");
    struct etcd *self;

    if (host->conf_integer(conf, "client_port") == host->conf_integer(conf, "peer_port"))
        return host->fail(call, HACTL_E_INVALID, "client_port and peer_port are both %d; they must differ",
                          (int)host->conf_integer(conf, "client_port"));
    if (election_ms < 5 * heartbeat_ms)
        return host->fail(call, HACTL_E_INVALID,
                          "election_ms = %d is less than five times heartbeat_ms = %d; etcd refuses that",
                          (int)election_ms, (int)heartbeat_ms);
    self = calloc(1, sizeof(*self));
    if (!self)
        return host->fail(call, HACTL_E_INTERNAL, "no memory");
    self->host = host;
    self->conf = conf;
    self->group = host->conf_string(conf, "group");
    self->client_port = (uint16_t)host->conf_integer(conf, "client_port");
    self->peer_port = (uint16_t)host->conf_integer(conf, "peer_port");
    self->status_timeout_ms = (uint32_t)host->conf_integer(conf, "status_timeout_ms");
    self->request_timeout_ms = (uint32_t)host->conf_integer(conf, "request_timeout_ms");
    self->change_timeout_ms = (uint32_t)host->conf_integer(conf, "change_timeout_ms");
    self->caught_up_lag = (uint64_t)host->conf_integer(conf, "caught_up_lag");
    self->compare_data_bytes = host->conf_integer(conf, "compare_data_bytes");
    self->http = ha_http_client_new();
    if (!self->http) {
        etcd_close(self);
        return host->fail(call, HACTL_E_INTERNAL, "libcurl could not be started");
    }
    *out = self;
    return HACTL_OK;
}

static const struct hactl_member_ops member_ops = {
    .struct_size = sizeof(member_ops),
    .list = etcd_list,
    .add = etcd_add,
    .promote = etcd_promote,
    .move_leader = etcd_move_leader,
    .remove = etcd_remove,
    .snapshot = etcd_snapshot,
};

const struct hactl_plugin hactl_plugin = {
    .struct_size = sizeof(hactl_plugin),
    .abi_major = HACTL_ABI_MAJOR,
    .abi_minor = HACTL_ABI_MINOR,
    .name = "etcd",
    .version = "0.1.0",
    .summary = "etcd members over the JSON gateway, and etcd itself on the replicas",
    .keys = keys,
    .open = etcd_open,
    .close = etcd_close,
    .member = &member_ops,
    .payload = &etcd_payload_ops,
};
