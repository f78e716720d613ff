/* SPDX-License-Identifier: Apache-2.0 */
/* Machines and addresses. */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLLS = 2 };

static int zones(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct hactl_zone zone = {.struct_size = sizeof zone,
                                  .name = names[i],
                                  .region = "r",
                                  .up = fake_is_told("FAKE_DOWN", names[i]) ? HACTL_NO : HACTL_YES};
        fake->host->emit_zone(call, &zone);
    }
    return HACTL_OK;
}

/* What only a faulty cloud lists, whatever it is told about it. */
static void emit_faults(struct fake *fake, struct hactl_call *call)
{
    const char *unread = getenv("FAKE_UNREAD");
    struct hactl_instance instance = {.struct_size = sizeof instance,
                                      .name = "fake-1",
                                      .zone = "a",
                                      .data = HACTL_YES,
                                      .state = (enum hactl_instance_state)9};
    if (unread)
        fake->host->emit_unread(call, strcmp(unread, "none") == 0 ? NULL : unread, "503 backend error");
    if (getenv("FAKE_BAD"))
        fake->host->emit_instance(call, &instance);
    instance.state = HACTL_INSTANCE_RUNNING;
    instance.name = "a-name-that-is-very-much-longer-than-any-name-that-hactl-itself-would-ever-give-it";
    if (getenv("FAKE_LONG"))
        fake->host->emit_instance(call, &instance);
}

int fake_is_delivered(struct fake *fake, const char *name)
{
    return json_object_get(json_object_get(fake_part(fake, "instances"), name), "digest") != NULL;
}

static int is_broken(struct fake *fake, const char *name, const char *how)
{
    const char *is = fake_text(json_object_get(fake->world, "broken"), name);
    return how ? strcmp(is, how) == 0 : is[0] != '\0';
}

static int is_dead(struct fake *fake, const char *name)
{
    return json_is_true(json_object_get(json_object_get(fake_part(fake, "instances"), name), "dead"));
}

int fake_runs(struct fake *fake, const char *name)
{
    return fake_is_delivered(fake, name) && !is_dead(fake, name) && !is_broken(fake, name, NULL);
}

static void die(struct fake *fake, const char *name, json_t *item)
{
    if (fake_is_told("FAKE_DIES", name) && !json_object_get(item, "dead")) {
        json_object_set_new(item, "dead", json_true());
        fake_save(fake);
    }
}

/* Unlike one that died, it cannot be started again. */
static int stays_dead(struct fake *fake, const char *name)
{
    static int seen;
    return fake_is_told("FAKE_DEAD", name) && fake_is_delivered(fake, name) && ++seen > 2;
}

static int cloud_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name;
    json_t *item;
    zones(fake, call, arguments);
    emit_faults(fake, call);
    json_object_foreach(fake_part(fake, "instances"), name, item)
    {
        if (fake_is_told("FAKE_UNREAD", fake_text(item, "zone")) || fake_is_told("FAKE_DOWN", fake_text(item, "zone")))
            continue;
        json_int_t polls = json_integer_value(json_object_get(item, "polls"));
        struct hactl_instance instance = {.struct_size = sizeof instance,
                                          .name = name,
                                          .zone = fake_text(item, "zone"),
                                          .state = polls > 0 ? HACTL_INSTANCE_STARTING : HACTL_INSTANCE_RUNNING,
                                          .internal_address =
                                              polls > 0 ? NULL : fake_text(fake_part(fake, "internal"), name),
                                          .data = is_broken(fake, name, "lost") ? HACTL_NO : HACTL_YES};
        instance.temporary_address = json_is_true(json_object_get(item, "temporary")) ? HACTL_YES : HACTL_NO;
        fake->host->emit_instance(call, &instance);
        int dead = is_dead(fake, name) || stays_dead(fake, name);
        struct hactl_delivery delivery = {.struct_size = sizeof delivery,
                                          .instance = name,
                                          .payload = "all",
                                          .digest = fake_text(item, "digest"),
                                          .running = dead || is_broken(fake, name, "lost") ? HACTL_NO : HACTL_YES,
                                          .detail = dead ? "it exited" : NULL};
        if (fake_is_delivered(fake, name)) {
            fake->host->emit_delivery(call, &delivery);
            die(fake, name, item);
        }
    }
    if (fake_is_told("FAKE_UNREAD", "none"))
        return HACTL_OK;
    json_object_foreach(fake_part(fake, "internal"), name, item)
    {
        struct hactl_address address = {.struct_size = sizeof address,
                                        .name = name,
                                        .kind = HACTL_ADDRESS_INTERNAL,
                                        .address = json_string_value(item)};
        fake->host->emit_address(call, &address);
    }
#ifdef FAKE_MACHINES
    fake_machine_list_firewall(fake, call);
#endif
    const char *second = fake_text(fake->world, "second");
    const char *holder = second[0] ? second : fake_text(fake->world, "holder");
    struct hactl_address external = {.struct_size = sizeof external,
                                     .name = "fake",
                                     .kind = HACTL_ADDRESS_EXTERNAL,
                                     .address = "192.0.2.1",
                                     .held = holder[0] ? HACTL_YES : HACTL_NO,
                                     .instance = holder[0] && strcmp(holder, "balancer") ? holder : NULL};
    if (getenv("FAKE_STRANGER")) {
        external.held = HACTL_YES;
        external.instance = NULL;
        external.holder = getenv("FAKE_STRANGER")[0] ? getenv("FAKE_STRANGER") : NULL;
    }
    return json_object_get(fake->world, "address") ? fake->host->emit_address(call, &external) : HACTL_OK;
}

static int address_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    char literal[32];
    (void)call;
    if (a->number == HACTL_ADDRESS_EXTERNAL) {
        if (!json_object_get(fake->world, "address")) {
            json_object_set_new(fake->world, "address", json_true());
            fake_effect(fake, "address-reserve", "external");
        }
        return HACTL_OK;
    }
    if (json_object_get(fake_part(fake, "internal"), a->name))
        return HACTL_OK;
    /* By its name, so that it is the same in whichever order they come. */
    snprintf(literal, sizeof literal, "10.0.0.%d", atoi(strrchr(a->name, '-') + 1));
    json_object_set_new(fake_part(fake, "internal"), a->name, json_string(literal));
    fake_effect(fake, "address-reserve", a->name);
    return HACTL_OK;
}

static int address_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    json_t *from = a->number == HACTL_ADDRESS_EXTERNAL ? fake->world : fake_part(fake, "internal");
    const char *key = a->number == HACTL_ADDRESS_EXTERNAL ? "address" : a->name;
    if (a->number == HACTL_ADDRESS_EXTERNAL && fake_text(fake->world, "holder")[0])
        return fake->host->fail(call, HACTL_E_CONFLICT, "the address is held by %s", fake_text(fake->world, "holder"));
    if (json_object_del(from, key) == 0)
        fake_effect(fake, "address-delete", key);
    return HACTL_OK;
}

static int pending(struct fake *fake, struct hactl_call *call, const char *name)
{
    fake_delay_next(fake, call);
    fake->host->emit_token(call, name);
    return HACTL_PENDING;
}

static int instance_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_replica *want = arguments;
    json_t *item = json_object_get(fake_part(fake, "instances"), want->name);
    if (is_dead(fake, want->name)) {
        json_object_set_new(item, "dead", json_false());
        fake_effect(fake, "revive", want->name);
    }
    if (item)
        return json_integer_value(json_object_get(item, "polls")) > 0 ? pending(fake, call, want->name) : HACTL_OK;
    json_object_set_new(fake_part(fake, "instances"), want->name,
                        json_pack("{ss si}", "zone", want->zone, "polls", POLLS));
#ifdef FAKE_MACHINES
    fake_machine_new(fake, want->name);
#endif
    fake_effect(fake, "instance-create", want->name);
    return pending(fake, call, want->name);
}

static int poll(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *item = json_object_get(fake_part(fake, "instances"), arguments);
    json_t *begun = json_object_get(fake_part(fake, "begun"), arguments);
    json_int_t polls = json_integer_value(json_object_get(item, "polls"));
    if (begun) {
        json_integer_set(begun, json_integer_value(begun) - 1);
        fake_save(fake);
        fake->host->retry_after(call, 1);
        return json_integer_value(begun) > 0 ? HACTL_PENDING : HACTL_OK;
    }
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "%s: there is no such operation", (const char *)arguments);
    if (getenv("FAKE_STALL"))
        return fake_delay_next(fake, call), HACTL_PENDING;
    if (polls == 0)
        return HACTL_OK;
    json_object_set_new(item, "polls", json_integer(polls - 1));
    fake_save(fake);
    fake->host->retry_after(call, 1);
    return polls == 1 ? HACTL_OK : HACTL_PENDING;
}

static int instance_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name = arguments;
    if (strcmp(fake_text(fake->world, "holder"), name) == 0 || strcmp(fake_text(fake->world, "second"), name) == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s holds the public address", name);
    json_object_del(json_object_get(fake->world, "broken"), name);
    if (json_object_del(fake_part(fake, "instances"), name) == 0)
        fake_effect(fake, "instance-delete", name);
    return HACTL_OK;
}

/* What runs is left alone, so only what it reads again by itself may change. */
static const char *changed_under_it(const json_t *item, const struct hactl_payload *payload)
{
    for (size_t i = 0; payload->keep_running && i < payload->file_count; i++) {
        const struct hactl_file *file = payload->files[i];
        const char *before = fake_text(item, file->path);
        if (!file->reread && file->content && !file->sealed_to &&
            (strlen(before) != file->content_size || memcmp(before, file->content, file->content_size) != 0))
            return file->path;
    }
    return NULL;
}

static int deliver(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    const struct hactl_payload *payload = a->want;
    json_t *item = json_object_get(fake_part(fake, "instances"), a->name);
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", a->name);
    if (fake_is_coy(fake, a->name))
        return fake->host->fail(call, HACTL_E_BUSY, "%s is not listening yet", a->name);
    if (strcmp(fake_text(item, "digest"), payload->digest) == 0)
        return HACTL_OK;
    const char *changed = changed_under_it(item, payload);
    if (changed)
        return fake->host->fail(call, HACTL_E_CONFLICT, "what runs on %s would not read its new %s", a->name, changed);
#ifdef FAKE_MACHINES
    int rc = fake_machine_fits(fake, call, a->name, payload);
    if (rc != HACTL_OK)
        return rc;
#endif
    json_object_set_new(item, "digest", json_string(payload->digest));
    for (size_t i = 0; i < payload->file_count; i++)
        json_object_set_new(item, payload->files[i]->path,
                            json_stringn(payload->files[i]->content, payload->files[i]->content_size));
    json_object_set_new(item, "founders", json_string(payload->units[0]->argv[1]));
    fake_effect(fake, "deliver", a->name);
    return HACTL_OK;
}

/* One holder at a time, whoever asks. */
int fake_take_address(struct fake *fake, struct hactl_call *call, const char *who)
{
    const char *holder = fake_text(fake->world, "holder");
    if (strcmp(holder, who) == 0)
        return HACTL_OK;
    if (holder[0])
        return fake->host->fail(call, HACTL_E_BUSY, "the address is held by %s", holder);
    if (json_is_true(json_object_get(json_object_get(fake_part(fake, "instances"), who), "temporary")))
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s has a public address of its own", who);
    json_object_set_new(fake->world, "holder", json_string(who));
    fake_effect(fake, "claim", who);
    return HACTL_OK;
}

int fake_drop_address(struct fake *fake, const char *who)
{
    if (strcmp(fake_text(fake->world, "second"), who) == 0) {
        json_object_del(fake->world, "second");
        fake_effect(fake, "release", who);
    }
    if (strcmp(fake_text(fake->world, "holder"), who) != 0)
        return HACTL_OK;
    json_object_del(fake->world, "holder");
    if (fake_text(fake->world, "second")[0]) {
        json_object_set_new(fake->world, "holder", json_string(fake_text(fake->world, "second")));
        json_object_del(fake->world, "second");
    }
    fake_effect(fake, "release", who);
    return HACTL_OK;
}

static int claim(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    return fake_take_address(fake, call, arguments);
}
static int release(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    return fake_drop_address(fake, arguments);
}

static int reach(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    struct hactl_reach reach = {
        .struct_size = sizeof reach, .host = a->name, .port = (uint16_t)a->number, .verify = a->name};
    return fake->host->emit_reach(call, &reach);
}

static int op_zones(void *self, struct hactl_call *call)
{
    return fake_run(self, call, "zones", zones, NULL);
}
static int op_cloud_list(void *self, struct hactl_call *call)
{
    return fake_run(self, call, "cloud-list", cloud_list, NULL);
}
static int op_address_ensure(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                             const char *instance, const char *zone)
{
    (void)instance, (void)zone;
    return fake_run(self, call, "address-ensure", address_ensure, &(struct named){.name = name, .number = kind});
}
static int op_address_destroy(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    return fake_run(self, call, "address-destroy", address_destroy, &(struct named){.name = name, .number = kind});
}
static int op_instance_ensure(void *self, struct hactl_call *call, const struct hactl_instance_want *want)
{
#ifdef FAKE_MACHINES
    if (!fake_machine_makes_its_keys_only(want))
        return ((struct fake *)self)
            ->host->fail(call, HACTL_E_INVALID, "%s is to make other keys", want->replica->name);
#endif
    return fake_run(self, call, "instance-ensure", instance_ensure, want->replica);
}
static int op_instance_destroy(void *self, struct hactl_call *call, const char *name)
{
    return fake_run(self, call, "instance-destroy", instance_destroy, name);
}
static int op_deliver(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload)
{
    return fake_run(self, call, "deliver", deliver, &(struct named){.name = instance, .want = payload});
}
static int op_claim(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                    uint16_t instance_port)
{
    (void)address, (void)port, (void)instance_port;
    return fake_run(self, call, "replica-claim", claim, instance);
}
static int op_release(void *self, struct hactl_call *call, const char *address, const char *instance)
{
    (void)address;
    return fake_run(self, call, "replica-release", release, instance);
}
static int op_reach(void *self, struct hactl_call *call, const char *instance, uint16_t port)
{
    return reach(self, call, &(struct named){.name = instance, .number = port});
}
int fake_op_poll(void *self, struct hactl_call *call, const char *token)
{
    return fake_run(self, call, "poll", poll, token);
}

static int op_unit_log(void *self, struct hactl_call *call, const char *instance, const char *unit)
{
    char lines[200];
    snprintf(lines, sizeof lines, "%s on %s starts\nlisten 1000: address in use\n", unit, instance);
    return ((struct fake *)self)->host->emit_text(call, lines);
}

struct hactl_cloud_ops fake_cloud = {.struct_size = sizeof fake_cloud,
                                     .zones = op_zones,
                                     .list = op_cloud_list,
                                     .address_ensure = op_address_ensure,
                                     .address_destroy = op_address_destroy,

#ifdef FAKE_MACHINES
                                     .requests = fake_op_requests,
                                     .temporary_address_ensure = fake_op_temporary_ensure,
                                     .temporary_address_destroy = fake_op_temporary_destroy,
                                     .firewall_ensure = fake_op_firewall_ensure,
                                     .firewall_destroy = fake_op_firewall_destroy,
#endif
                                     .instance_ensure = op_instance_ensure,
                                     .instance_destroy = op_instance_destroy,
                                     .deliver = op_deliver,
                                     .claim = op_claim,
                                     .release = op_release,
                                     .reach = op_reach,
                                     .unit_log = op_unit_log};
