/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands for etcd and certificates where only Compute Engine's API is
 * measured and no machine runs: a group in which every machine that runs is a
 * healthy voter and answers, an issuer with nothing to issue.
 */
#include <hactl/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 443, RETIRED = 16, NAME = 64 };

struct standin {
    const struct hactl_host *host;
    char retired[RETIRED][NAME]; /* replicas whose certificates were put out of use */
    size_t retired_count;
    int destroyed;
};

static int standin_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call,
                        void **self)
{
    struct standin *standin = calloc(1, sizeof(*standin));

    (void)conf;
    if (!standin)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    standin->host = host;
    *self = standin;
    return HACTL_OK;
}

static void standin_close(void *self)
{
    free(self);
}

/* ---- member ----------------------------------------------------------------------------- */

static int emit_member(struct standin *standin, struct hactl_call *call, const struct hactl_endpoint *endpoint,
                       size_t number)
{
    char id[24], url[128];
    struct hactl_member member = {.struct_size = sizeof(member),
                                  .id = id,
                                  .name = endpoint->replica,
                                  .address = endpoint->reach->verify,
                                  .peer_url = url,
                                  .voter = 1,
                                  .leader = number == 0,
                                  .started = HACTL_YES,
                                  .healthy = HACTL_YES,
                                  .caught_up = HACTL_YES};

    snprintf(id, sizeof(id), "%zx", number + 1);
    snprintf(url, sizeof(url), "https://%s:2380", endpoint->reach->verify);
    return standin->host->emit_member(call, &member);
}

static int member_list(void *self, struct hactl_call *call, const struct hactl_group_want *want)
{
    struct standin *standin = self;
    struct hactl_group group = {
        .struct_size = sizeof(group), .formed = HACTL_YES, .quorum = HACTL_YES, .cluster_id = "1", .version = "3.5.0"};
    int rc = standin->host->emit_group(call, &group);

    for (size_t i = 0; rc == HACTL_OK && i < want->endpoint_count; i++)
        rc = emit_member(standin, call, want->endpoints[i], i);
    return rc;
}

static int member_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
                      const struct hactl_replica *replica)
{
    (void)self, (void)call, (void)want, (void)replica;
    return HACTL_OK;
}

static int member_change(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)self, (void)call, (void)want, (void)id;
    return HACTL_OK;
}

/* ---- payload ------------------------------------------------------------------------------ */

static int payload_ports(void *self, struct hactl_call *call)
{
    struct standin *standin = self;
    struct hactl_port port = {
        .struct_size = sizeof(port), .name = "api", .port = PORT, .flags = HACTL_PORT_ENDPOINT | HACTL_PORT_OPERATOR};
    struct hactl_port peers = {.struct_size = sizeof(peers), .name = "peer", .port = 2380, .flags = HACTL_PORT_PEERS};
    int rc = standin->host->emit_port(call, &port);

    return rc == HACTL_OK ? standin->host->emit_port(call, &peers) : rc;
}

static int payload_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    struct standin *standin = self;
    const char *const argv[] = {"/bin/true", NULL};
    struct hactl_unit unit = {.struct_size = sizeof(unit), .name = "standin", .argv = argv, .stop_timeout_ms = 1000};
    int rc = standin->host->emit_unit(call, &unit);

    (void)want;
    return rc == HACTL_OK ? payload_ports(self, call) : rc;
}

static int payload_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    (void)self, (void)call, (void)want;
    return HACTL_OK;
}

/* ---- issuer --------------------------------------------------------------------------------- */

static int is_retired(const struct standin *standin, const char *replica)
{
    for (size_t i = 0; i < standin->retired_count; i++)
        if (strcmp(standin->retired[i], replica) == 0)
            return 1;
    return 0;
}

static int issuer_list(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    struct standin *standin = self;
    struct hactl_certificate certificate = {.struct_size = sizeof(certificate),
                                            .purpose = "authority",
                                            .ready = standin->destroyed ? HACTL_NO : HACTL_YES,
                                            .subject = "",
                                            .names = "",
                                            .is_authority = 1};
    int rc = standin->host->emit_certificate(call, &certificate);

    certificate.purpose = "operator";
    certificate.is_authority = 0;
    if (rc == HACTL_OK)
        rc = standin->host->emit_certificate(call, &certificate);
    certificate.purpose = "standin";
    certificate.ready = HACTL_YES;
    for (size_t i = 0; rc == HACTL_OK && i < inventory->replica_count; i++) {
        certificate.replica = inventory->replicas[i]->name;
        if (!is_retired(standin, certificate.replica))
            rc = standin->host->emit_certificate(call, &certificate);
    }
    return rc;
}

static int issuer_authority(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    (void)self, (void)call, (void)inventory;
    return HACTL_OK;
}

static int issuer_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory,
                        const char *replica, const struct hactl_request *const *requests, size_t request_count)
{
    (void)self, (void)call, (void)inventory, (void)replica, (void)requests, (void)request_count;
    return HACTL_OK;
}

static int issuer_retire(void *self, struct hactl_call *call, const char *replica)
{
    struct standin *standin = self;

    (void)call;
    if (!is_retired(standin, replica) && standin->retired_count < RETIRED)
        snprintf(standin->retired[standin->retired_count++], NAME, "%s", replica);
    return HACTL_OK;
}

static int issuer_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose,
                             const char *part)
{
    struct standin *standin = self;

    (void)replica;
    return standin->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s of %s", part, purpose);
}

static int issuer_destroy(void *self, struct hactl_call *call)
{
    struct standin *standin = self;

    (void)call;
    standin->destroyed = 1;
    return HACTL_OK;
}

static const struct hactl_member_ops member_ops = {.struct_size = sizeof(member_ops),
                                                   .list = member_list,
                                                   .add = member_add,
                                                   .promote = member_change,
                                                   .move_leader = member_change,
                                                   .remove = member_change};
static const struct hactl_payload_ops payload_ops = {
    .struct_size = sizeof(payload_ops), .ports = payload_ports, .render = payload_render, .probe = payload_probe};
static const struct hactl_issuer_ops issuer_ops = {.struct_size = sizeof(issuer_ops),
                                                   .list = issuer_list,
                                                   .authority_ensure = issuer_authority,
                                                   .issue = issuer_issue,
                                                   .retire = issuer_retire,
                                                   .credential = issuer_credential,
                                                   .destroy = issuer_destroy};

const struct hactl_plugin hactl_plugin = {.struct_size = sizeof(hactl_plugin),
                                          .abi_major = HACTL_ABI_MAJOR,
                                          .abi_minor = HACTL_ABI_MINOR,
                                          .name = "standin",
                                          .version = "1",
                                          .summary = "stands for etcd and certificates where no machine runs",
                                          .open = standin_open,
                                          .close = standin_close,
                                          .member = &member_ops,
                                          .payload = &payload_ops,
                                          .issuer = &issuer_ops};
