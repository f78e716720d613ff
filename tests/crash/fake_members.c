/* SPDX-License-Identifier: Apache-2.0 */
/* Members, and what runs on machines. */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *members(struct fake *fake)
{
    json_t *list = json_object_get(fake->world, "members");
    if (!list)
        json_object_set_new(fake->world, "members", list = json_object());
    return list;
}

/* All founders that the first one's payload names are there. */
static void form(struct fake *fake)
{
    const char *name;
    json_t *item;
    char founders[512] = "";
    json_object_foreach(fake_part(fake, "instances"), name, item)
    {
        if (fake_is_delivered(fake, name) && fake_text(item, "founders")[0])
            snprintf(founders, sizeof founders, "%s", fake_text(item, "founders"));
    }
    if (!founders[0] || json_object_size(members(fake)))
        return;
    char copy[512], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", founders);
    for (char *one = strtok_r(copy, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        if (!fake_is_delivered(fake, one))
            return;
    for (char *one = strtok_r(founders, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
        json_object_set_new(members(fake), one, json_pack("{sb si}", "voter", 1, "looks", 0));
        if (!fake_text(fake->world, "leader")[0])
            json_object_set_new(fake->world, "leader", json_string(one));
    }
    fake_effect(fake, "form", "all");
}

static int is_faint(const char *name)
{
    static int listed;
    const char *told = getenv("FAKE_FAINT"), *colon = told ? strchr(told, ':') : NULL;
    if (!colon)
        return 0;
    if (!name)
        return ++listed;
    return strncmp(told, name, (size_t)(colon - told)) == 0 && listed <= atoi(colon + 1);
}

static int answers(struct fake *fake, const char *name)
{
    return fake_runs(fake, name) && !is_faint(name);
}

static int has_quorum(struct fake *fake)
{
    int voters = 0, well = 0;
    const char *name;
    json_t *item;
    json_object_foreach(members(fake), name, item)
    {
        if (!json_is_true(json_object_get(item, "voter")))
            continue;
        voters++;
        well += answers(fake, name);
    }
    return voters > 0 && well > voters / 2;
}

/* Whoever led and does not answer any more leads no more. */
static void elect(struct fake *fake)
{
    const char *name, *leader = fake_text(fake->world, "leader");
    json_t *item;
    if (!has_quorum(fake) || answers(fake, leader))
        return;
    json_object_foreach(members(fake), name, item)
    {
        if (!json_is_true(json_object_get(item, "voter")) || !answers(fake, name))
            continue;
        json_object_set_new(fake->world, "leader", json_string(name));
        fake_save(fake);
        return;
    }
}

static int group_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name;
    json_t *item;
    (void)arguments;
    form(fake);
    is_faint(NULL);
    elect(fake);
    struct hactl_group group = {.struct_size = sizeof group,
                                .formed = json_object_size(members(fake)) ? HACTL_YES : HACTL_UNKNOWN,
                                .quorum = has_quorum(fake) ? HACTL_YES : HACTL_NO,
                                .cluster_id = "c1",
                                .version = "1"};
    group.detail = fake_text(fake->world, "doubt")[0] ? fake_text(fake->world, "doubt") : NULL;
    group.alarm = fake_text(fake->world, "alarm")[0] ? fake_text(fake->world, "alarm") : NULL;
    fake->host->emit_group(call, &group);
    json_object_foreach(members(fake), name, item)
    {
        int started = fake_runs(fake, name), voter = json_is_true(json_object_get(item, "voter"));
        json_int_t looks = json_integer_value(json_object_get(item, "looks"));
        if (!voter && started && looks < 2) {
            json_object_set_new(item, "looks", json_integer(looks + 1));
            fake_save(fake);
        }
        int well = answers(fake, name), caught_up = voter || (started && looks >= 2 && !getenv("FAKE_LAG"));
        struct hactl_member member = {.struct_size = sizeof member,
                                      .id = name,
                                      .name = started ? name : NULL,
                                      .address = fake_text(fake_part(fake, "internal"), name),
                                      .peer_url = name,
                                      .voter = voter,
                                      .leader = strcmp(fake_text(fake->world, "leader"), name) == 0,
                                      .started = started ? HACTL_YES : HACTL_NO,
                                      .healthy = well ? HACTL_YES : HACTL_NO,
                                      .caught_up = caught_up ? HACTL_YES : HACTL_NO,
                                      .lag_entries = caught_up ? 0 : 100};
        fake->host->emit_member(call, &member);
    }
    return HACTL_OK;
}

static int member_add(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_replica *replica = arguments;
    char key[128];
    snprintf(key, sizeof key, "member %s", replica->name);
    if (json_object_get(members(fake), replica->name))
        return HACTL_OK;
    if (fake_is_coy(fake, key))
        return fake->host->fail(call, HACTL_E_BUSY, "unhealthy cluster");
    json_object_set_new(members(fake), replica->name, json_pack("{sb si}", "voter", 0, "looks", 0));
    fake_effect(fake, "member-add", replica->name);
    return HACTL_OK;
}

static int promote(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *item = json_object_get(members(fake), arguments);
    if (json_is_true(json_object_get(item, "voter")))
        return HACTL_OK;
    if (!item || json_integer_value(json_object_get(item, "looks")) < 2)
        return fake->host->fail(call, HACTL_E_BUSY, "%s lags", (const char *)arguments);
    json_object_set_new(item, "voter", json_true());
    fake_effect(fake, "promote", arguments);
    return HACTL_OK;
}

static int move_leader(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (strcmp(fake_text(fake->world, "leader"), arguments) != 0) {
        json_object_set_new(fake->world, "leader", json_string(arguments));
        fake_effect(fake, "move-leader", arguments);
    }
    return HACTL_OK;
}

static int member_remove(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    if (strcmp(fake_text(fake->world, "leader"), arguments) == 0)
        return fake->host->fail(call, HACTL_E_INVALID, "%s leads: nobody moved the leadership away",
                                (const char *)arguments);
    if (json_object_del(members(fake), arguments) == 0)
        fake_effect(fake, "member-remove", arguments);
    return HACTL_OK;
}

static int op_group_list(void *self, struct hactl_call *call, const struct hactl_group_want *want)
{
    return fake_run(self, call, "group-list", group_list, want);
}
static int op_member_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
                         const struct hactl_replica *replica)
{
    (void)want;
    return fake_run(self, call, "member-add", member_add, replica);
}
static int op_promote(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return fake_run(self, call, "promote", promote, id);
}
static int op_move_leader(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return fake_run(self, call, "move-leader", move_leader, id);
}
static int op_member_remove(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return fake_run(self, call, "member-remove", member_remove, id);
}

struct hactl_member_ops fake_member = {.struct_size = sizeof fake_member,
                                       .list = op_group_list,
                                       .add = op_member_add,
                                       .promote = op_promote,
                                       .move_leader = op_move_leader,
                                       .remove = op_member_remove};

/* ---- payload */

static int op_ports(void *self, struct hactl_call *call)
{
    struct hactl_port port = {
        .struct_size = sizeof port, .name = "fake", .port = 1000, .flags = HACTL_PORT_ENDPOINT | HACTL_PORT_OPERATOR};
    return ((struct fake *)self)->host->emit_port(call, &port);
}

static int render(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_payload_want *want = arguments;
    char founders[512] = "";
    const char *const argv[] = {"fake", founders, NULL};
    for (size_t i = 0; want->founding && i < want->peer_count; i++)
        snprintf(founders + strlen(founders), sizeof founders - strlen(founders), "%s ", want->peers[i]->name);
    /* What its authority made of `peer` is read again by whoever uses it; all else is restarted for. */
    static const struct hactl_file files[] = {
        {.path = "trust", .purpose = "fake-server", .part = "authority"},
        {.path = "certificate", .purpose = "fake-server", .part = "certificate"},
        {.path = "key", .purpose = "fake-server", .part = "key"},
        {.path = "peer-trust", .purpose = "fake-peer", .part = "authority"},
        {.path = "peer", .purpose = "fake-peer", .part = "certificate", .reread = 1},
        {.path = "peer-key", .purpose = "fake-peer", .part = "key", .reread = 1},
        {.path = "accounts", .purpose = "fake-keys", .part = "public"},
        {.path = "shared", .purpose = "fake-keys", .part = "key"},
    };
    struct hactl_unit unit = {.struct_size = sizeof unit, .name = "fake", .argv = argv};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct hactl_file file = files[i];
        file.struct_size = sizeof file;
        file.mode = 0600;
        fake->host->emit_file(call, &file);
    }
    return fake->host->emit_unit(call, &unit);
}

static int op_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    return fake_run(self, call, "render", render, want);
}

/* Not a point to strike at: the thread that measures the gap asks this too. */
static int op_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    struct fake *fake = self;
    fake_load(fake);
    const char *host = want->reach->host;
    int serves = json_object_size(json_object_get(json_object_get(fake->world, "balancer"), "backends")) > 0;
    const char *holder = strcmp(host, "trial") == 0       ? "balancer"
                         : strcmp(host, "192.0.2.1") == 0 ? fake_text(fake->world, "holder")
                                                          : host;
    int mute = strcmp(host, "192.0.2.1") == 0 && fake_is_told("FAKE_MUTE", holder);
    if (!mute && (strcmp(holder, "balancer") == 0 ? serves : fake_runs(fake, holder)))
        return HACTL_OK;
    return fake->host->fail(call, HACTL_E_UNAVAILABLE, "%s does not answer", host);
}

static const char *const key_purposes[] = {"fake-server", "fake-peer", NULL};

struct hactl_payload_ops fake_payload = {.struct_size = sizeof fake_payload,
                                         .ports = op_ports,
                                         .render = op_render,
                                         .probe = op_probe,
                                         .operator_purpose = "fake-client",
                                         .key_purposes = key_purposes};
