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
 * deleted); "second": REPLICA, which has the public address too.
 */
#include <hactl/plugin.h>

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fake {
    const struct hactl_host *host;
    char path[4096];
    json_t *world;
    struct hactl_call *call; /* under way */
};

static const struct hactl_key keys[] = {
    {"world", HACTL_KEY_PATH, HACTL_KEY_REQUIRED, NULL, 0, 0, NULL, "the JSON file that is the world"},
    {NULL, HACTL_KEY_STRING, 0, NULL, 0, 0, NULL, NULL},
};

/* ---- the world */

static json_t *part(struct fake *fake, const char *name)
{
    json_t *object = json_object_get(fake->world, name);
    if (!object) {
        object = json_object();
        json_object_set_new(fake->world, name, object);
    }
    return object;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void load(struct fake *fake)
{
    json_decref(fake->world);
    fake->world = json_load_file(fake->path, 0, NULL);
    if (!fake->world)
        fake->world = json_object();
}

static void save(struct fake *fake)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.new", fake->path);
    if (json_dump_file(fake->world, temporary, JSON_INDENT(1) | JSON_SORT_KEYS) || rename(temporary, fake->path))
        abort();
}

static void note_intent(struct fake *fake, const char *what)
{
    const char *path = getenv("FAKE_INTENTS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    const char *intent = fake->host->intent(fake->call);
    fprintf(file, "%s %s\n", what, intent ? intent : "none");
    fclose(file);
}

static void effect(struct fake *fake, const char *what, const char *which)
{
    note_intent(fake, what);
    char line[256];
    json_t *log = json_object_get(fake->world, "log");
    snprintf(line, sizeof line, "%s %s", what, which);
    if (!log)
        json_object_set_new(fake->world, "log", log = json_array());
    json_array_append_new(log, json_string(line));
    save(fake);
}

/* ---- strikes */

static int passed, strike = -1;
static char strike_when[8];

static void point(const char *operation, const char *when)
{
    const char *count = getenv("FAKE_COUNT"), *order = getenv("FAKE_STRIKE");
    if (strike < 0 && (!order || sscanf(order, "%d %7s", &strike, strike_when) != 2))
        strike = 0;
    if (strcmp(when, "before") == 0) {
        passed++;
        FILE *file = count ? fopen(count, "a") : NULL;
        if (file) {
            fprintf(file, "%s\n", operation);
            fclose(file);
        }
    }
    if (passed == strike && strcmp(when, strike_when) == 0)
        kill(getpid(), SIGKILL);
}

static int is_told(const char *variable, const char *operation)
{
    const char *value = getenv(variable);
    return value && strcmp(value, operation) == 0;
}

/* Begun, and over after two polls; done when it is asked again. */
static int pend(struct fake *fake, struct hactl_call *call, const char *operation)
{
    json_t *begun = part(fake, "begun");
    json_t *polls = json_object_get(begun, operation);
    if (polls && json_integer_value(polls) == 0)
        return HACTL_OK;
    if (!polls)
        json_object_set_new(begun, operation, json_integer(2));
    save(fake);
    fake->host->retry_after(call, 1);
    fake->host->emit_token(call, operation);
    return HACTL_PENDING;
}

static int fail_as_told(struct fake *fake, struct hactl_call *call, const char *operation)
{
    const char *words = getenv("FAKE_TEXT");
    return fake->host->fail(call, HACTL_E_FAILED, "%s: %s", operation, words ? words : "the world says no");
}

static int code_named(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {{"denied", HACTL_E_DENIED},
                 {"not-found", HACTL_E_NOT_FOUND},
                 {"quota", HACTL_E_QUOTA},
                 {"unavailable", HACTL_E_UNAVAILABLE},
                 {"timeout", HACTL_E_TIMEOUT}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].code;
    abort();
}

/* FAKE_REFUSE: the code that the operation is to fail with now; HACTL_OK: none. */
static int refusal(const char *operation)
{
    static int refused, armed;
    char which[32], code[32], after[32] = "";
    int times = 0;
    const char *order = getenv("FAKE_REFUSE");
    if (!order || sscanf(order, "%31s %31s %d %31s", which, code, &times, after) < 3)
        return HACTL_OK;
    if (strcmp(operation, after) == 0)
        armed = 1;
    if (strcmp(operation, which) != 0 || (after[0] && !armed) || refused >= times)
        return HACTL_OK;
    refused++;
    return code_named(code);
}

static void delay_next(struct fake *fake, struct hactl_call *call)
{
    const char *ms = getenv("FAKE_RETRY_MS");
    fake->host->retry_after(call, ms ? (uint32_t)atoi(ms) : 1);
}

static void slow_down(const char *operation)
{
    char which[32];
    int ms = 0;
    const char *order = getenv("FAKE_SLOW");
    if (order && sscanf(order, "%31s %d", which, &ms) == 2 && strcmp(which, operation) == 0)
        usleep((unsigned)ms * 1000);
}

static int disturb(struct fake *fake, struct hactl_call *call, const char *operation, int *disturbed)
{
    int code = refusal(operation);
    *disturbed = 1;
    slow_down(operation);
    while (is_told("FAKE_HANG", operation))
        pause();
    if (code != HACTL_OK)
        return fake->host->fail(call, code, "%s: the world refuses", operation);
    if (is_told("FAKE_FAIL", operation))
        return fail_as_told(fake, call, operation);
    if (is_told("FAKE_PEND", operation)) {
        int rc = pend(fake, call, operation);
        *disturbed = rc != HACTL_OK;
        return rc;
    }
    if (is_told("FAKE_BUSY", operation)) {
        delay_next(fake, call);
        return fake->host->fail(call, HACTL_E_BUSY, "%s: the world is busy", operation);
    }
    *disturbed = is_told("FAKE_LIE", operation);
    return HACTL_OK;
}

/* Every operation goes through here. */
static int run(struct fake *fake, struct hactl_call *call, const char *operation,
               int (*body)(struct fake *, struct hactl_call *, const void *), const void *arguments)
{
    static int lost;
    int disturbed;
    point(operation, "before");
    load(fake);
    fake->call = call;
    int rc = disturb(fake, call, operation, &disturbed);
    if (!disturbed)
        rc = body(fake, call, arguments);
    if (is_told("FAKE_LOSE", operation) && rc == HACTL_OK && !lost++)
        rc = fake->host->fail(call, HACTL_E_TIMEOUT, "%s: no answer", operation);
    point(operation, "after");
    return rc;
}

/* The first time that it is asked for, it is not to be had. */
static int is_coy(struct fake *fake, const char *what)
{
    json_t *asked = part(fake, "asked");
    if (json_object_get(asked, what))
        return 0;
    json_object_set_new(asked, what, json_true());
    save(fake);
    return 1;
}

struct named {
    const char *name, *other, *third;
    int number;
    const void *want;
};

#ifdef FAKE_MACHINES
#include "tests/crash/fake_machines.h"
#endif

/* ---- cloud */

enum { POLLS = 2 };

static int zones(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct hactl_zone zone = {.struct_size = sizeof zone,
                                  .name = names[i],
                                  .region = "r",
                                  .up = is_told("FAKE_DOWN", names[i]) ? HACTL_NO : HACTL_YES};
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

static int is_delivered(struct fake *fake, const char *name)
{
    return json_object_get(json_object_get(part(fake, "instances"), name), "digest") != NULL;
}

static int is_broken(struct fake *fake, const char *name, const char *how)
{
    const char *is = text(json_object_get(fake->world, "broken"), name);
    return how ? strcmp(is, how) == 0 : is[0] != '\0';
}

static int is_dead(struct fake *fake, const char *name)
{
    return json_is_true(json_object_get(json_object_get(part(fake, "instances"), name), "dead"));
}

static int runs(struct fake *fake, const char *name)
{
    return is_delivered(fake, name) && !is_dead(fake, name) && !is_broken(fake, name, NULL);
}

static void die(struct fake *fake, const char *name, json_t *item)
{
    if (is_told("FAKE_DIES", name) && !json_object_get(item, "dead")) {
        json_object_set_new(item, "dead", json_true());
        save(fake);
    }
}

/* Unlike one that died, it cannot be started again. */
static int stays_dead(struct fake *fake, const char *name)
{
    static int seen;
    return is_told("FAKE_DEAD", name) && is_delivered(fake, name) && ++seen > 2;
}

static int cloud_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name;
    json_t *item;
    zones(fake, call, arguments);
    emit_faults(fake, call);
    json_object_foreach(part(fake, "instances"), name, item)
    {
        if (is_told("FAKE_UNREAD", text(item, "zone")) || is_told("FAKE_DOWN", text(item, "zone")))
            continue;
        json_int_t polls = json_integer_value(json_object_get(item, "polls"));
        struct hactl_instance instance = {.struct_size = sizeof instance,
                                          .name = name,
                                          .zone = text(item, "zone"),
                                          .state = polls > 0 ? HACTL_INSTANCE_STARTING : HACTL_INSTANCE_RUNNING,
                                          .internal_address = polls > 0 ? NULL : text(part(fake, "internal"), name),
                                          .data = is_broken(fake, name, "lost") ? HACTL_NO : HACTL_YES};
        instance.temporary_address = json_is_true(json_object_get(item, "temporary")) ? HACTL_YES : HACTL_NO;
        fake->host->emit_instance(call, &instance);
        int dead = is_dead(fake, name) || stays_dead(fake, name);
        struct hactl_delivery delivery = {.struct_size = sizeof delivery,
                                          .instance = name,
                                          .payload = "all",
                                          .digest = text(item, "digest"),
                                          .running = dead || is_broken(fake, name, "lost") ? HACTL_NO : HACTL_YES,
                                          .detail = dead ? "it exited" : NULL};
        if (is_delivered(fake, name)) {
            fake->host->emit_delivery(call, &delivery);
            die(fake, name, item);
        }
    }
    if (is_told("FAKE_UNREAD", "none"))
        return HACTL_OK;
    json_object_foreach(part(fake, "internal"), name, item)
    {
        struct hactl_address address = {.struct_size = sizeof address,
                                        .name = name,
                                        .kind = HACTL_ADDRESS_INTERNAL,
                                        .address = json_string_value(item)};
        fake->host->emit_address(call, &address);
    }
#ifdef FAKE_MACHINES
    machine_list_firewall(fake, call);
#endif
    const char *second = text(fake->world, "second");
    const char *holder = second[0] ? second : text(fake->world, "holder");
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
            effect(fake, "address-reserve", "external");
        }
        return HACTL_OK;
    }
    if (json_object_get(part(fake, "internal"), a->name))
        return HACTL_OK;
    /* By its name, so that it is the same in whichever order they come. */
    snprintf(literal, sizeof literal, "10.0.0.%d", atoi(strrchr(a->name, '-') + 1));
    json_object_set_new(part(fake, "internal"), a->name, json_string(literal));
    effect(fake, "address-reserve", a->name);
    return HACTL_OK;
}

static int address_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    json_t *from = a->number == HACTL_ADDRESS_EXTERNAL ? fake->world : part(fake, "internal");
    const char *key = a->number == HACTL_ADDRESS_EXTERNAL ? "address" : a->name;
    if (a->number == HACTL_ADDRESS_EXTERNAL && text(fake->world, "holder")[0])
        return fake->host->fail(call, HACTL_E_CONFLICT, "the address is held by %s", text(fake->world, "holder"));
    if (json_object_del(from, key) == 0)
        effect(fake, "address-delete", key);
    return HACTL_OK;
}

static int pending(struct fake *fake, struct hactl_call *call, const char *name)
{
    delay_next(fake, call);
    fake->host->emit_token(call, name);
    return HACTL_PENDING;
}

static int instance_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_replica *want = arguments;
    json_t *item = json_object_get(part(fake, "instances"), want->name);
    if (is_dead(fake, want->name)) {
        json_object_set_new(item, "dead", json_false());
        effect(fake, "revive", want->name);
    }
    if (item)
        return json_integer_value(json_object_get(item, "polls")) > 0 ? pending(fake, call, want->name) : HACTL_OK;
    json_object_set_new(part(fake, "instances"), want->name, json_pack("{ss si}", "zone", want->zone, "polls", POLLS));
#ifdef FAKE_MACHINES
    machine_new(fake, want->name);
#endif
    effect(fake, "instance-create", want->name);
    return pending(fake, call, want->name);
}

static int poll(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *item = json_object_get(part(fake, "instances"), arguments);
    json_t *begun = json_object_get(part(fake, "begun"), arguments);
    json_int_t polls = json_integer_value(json_object_get(item, "polls"));
    if (begun) {
        json_integer_set(begun, json_integer_value(begun) - 1);
        save(fake);
        fake->host->retry_after(call, 1);
        return json_integer_value(begun) > 0 ? HACTL_PENDING : HACTL_OK;
    }
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "%s: there is no such operation", (const char *)arguments);
    if (getenv("FAKE_STALL"))
        return delay_next(fake, call), HACTL_PENDING;
    if (polls == 0)
        return HACTL_OK;
    json_object_set_new(item, "polls", json_integer(polls - 1));
    save(fake);
    fake->host->retry_after(call, 1);
    return polls == 1 ? HACTL_OK : HACTL_PENDING;
}

static int instance_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name = arguments;
    if (strcmp(text(fake->world, "holder"), name) == 0 || strcmp(text(fake->world, "second"), name) == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s holds the public address", name);
    json_object_del(json_object_get(fake->world, "broken"), name);
    if (json_object_del(part(fake, "instances"), name) == 0)
        effect(fake, "instance-delete", name);
    return HACTL_OK;
}

static int deliver(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    const struct hactl_payload *payload = a->want;
    json_t *item = json_object_get(part(fake, "instances"), a->name);
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", a->name);
    if (is_coy(fake, a->name))
        return fake->host->fail(call, HACTL_E_BUSY, "%s is not listening yet", a->name);
    if (strcmp(text(item, "digest"), payload->digest) == 0)
        return HACTL_OK;
#ifdef FAKE_MACHINES
    int rc = machine_fits(fake, call, a->name, payload);
    if (rc != HACTL_OK)
        return rc;
#endif
    json_object_set_new(item, "digest", json_string(payload->digest));
    for (size_t i = 0; i < payload->file_count; i++)
        json_object_set_new(item, payload->files[i]->path,
                            json_stringn(payload->files[i]->content, payload->files[i]->content_size));
    json_object_set_new(item, "founders", json_string(payload->units[0]->argv[1]));
    effect(fake, "deliver", a->name);
    return HACTL_OK;
}

/* One holder at a time, whoever asks. */
static int take_address(struct fake *fake, struct hactl_call *call, const char *who)
{
    const char *holder = text(fake->world, "holder");
    if (strcmp(holder, who) == 0)
        return HACTL_OK;
    if (holder[0])
        return fake->host->fail(call, HACTL_E_BUSY, "the address is held by %s", holder);
    if (json_is_true(json_object_get(json_object_get(part(fake, "instances"), who), "temporary")))
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s has a public address of its own", who);
    json_object_set_new(fake->world, "holder", json_string(who));
    effect(fake, "claim", who);
    return HACTL_OK;
}

static int drop_address(struct fake *fake, const char *who)
{
    if (strcmp(text(fake->world, "second"), who) == 0) {
        json_object_del(fake->world, "second");
        effect(fake, "release", who);
    }
    if (strcmp(text(fake->world, "holder"), who) != 0)
        return HACTL_OK;
    json_object_del(fake->world, "holder");
    if (text(fake->world, "second")[0]) {
        json_object_set_new(fake->world, "holder", json_string(text(fake->world, "second")));
        json_object_del(fake->world, "second");
    }
    effect(fake, "release", who);
    return HACTL_OK;
}

static int claim(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    return take_address(fake, call, arguments);
}
static int release(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    return drop_address(fake, arguments);
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
    return run(self, call, "zones", zones, NULL);
}
static int op_cloud_list(void *self, struct hactl_call *call)
{
    return run(self, call, "cloud-list", cloud_list, NULL);
}
static int op_address_ensure(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind,
                             const char *instance, const char *zone)
{
    (void)instance, (void)zone;
    return run(self, call, "address-ensure", address_ensure, &(struct named){.name = name, .number = kind});
}
static int op_address_destroy(void *self, struct hactl_call *call, const char *name, enum hactl_address_kind kind)
{
    return run(self, call, "address-destroy", address_destroy, &(struct named){.name = name, .number = kind});
}
static int op_instance_ensure(void *self, struct hactl_call *call, const struct hactl_instance_want *want)
{
#ifdef FAKE_MACHINES
    if (!machine_makes_its_keys_only(want))
        return ((struct fake *)self)
            ->host->fail(call, HACTL_E_INVALID, "%s is to make other keys", want->replica->name);
#endif
    return run(self, call, "instance-ensure", instance_ensure, want->replica);
}
static int op_instance_destroy(void *self, struct hactl_call *call, const char *name)
{
    return run(self, call, "instance-destroy", instance_destroy, name);
}
static int op_deliver(void *self, struct hactl_call *call, const char *instance, const struct hactl_payload *payload)
{
    return run(self, call, "deliver", deliver, &(struct named){.name = instance, .want = payload});
}
static int op_claim(void *self, struct hactl_call *call, const char *address, const char *instance, uint16_t port,
                    uint16_t instance_port)
{
    (void)address, (void)port, (void)instance_port;
    return run(self, call, "replica-claim", claim, instance);
}
static int op_release(void *self, struct hactl_call *call, const char *address, const char *instance)
{
    (void)address;
    return run(self, call, "replica-release", release, instance);
}
static int op_reach(void *self, struct hactl_call *call, const char *instance, uint16_t port)
{
    return reach(self, call, &(struct named){.name = instance, .number = port});
}
static int op_poll(void *self, struct hactl_call *call, const char *token)
{
    return run(self, call, "poll", poll, token);
}

static int op_unit_log(void *self, struct hactl_call *call, const char *instance, const char *unit)
{
    char lines[200];
    snprintf(lines, sizeof lines, "%s on %s starts\nlisten 1000: address in use\n", unit, instance);
    return ((struct fake *)self)->host->emit_text(call, lines);
}

static struct hactl_cloud_ops cloud = {.struct_size = sizeof cloud,
                                       .zones = op_zones,
                                       .list = op_cloud_list,
                                       .address_ensure = op_address_ensure,
                                       .address_destroy = op_address_destroy,

#ifdef FAKE_MACHINES
                                       .requests = op_requests,
                                       .temporary_address_ensure = op_temporary_ensure,
                                       .temporary_address_destroy = op_temporary_destroy,
                                       .firewall_ensure = op_firewall_ensure,
                                       .firewall_destroy = op_firewall_destroy,
#endif
                                       .instance_ensure = op_instance_ensure,
                                       .instance_destroy = op_instance_destroy,
                                       .deliver = op_deliver,
                                       .claim = op_claim,
                                       .release = op_release,
                                       .reach = op_reach,
                                       .unit_log = op_unit_log};

/* ---- members */

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
    json_object_foreach(part(fake, "instances"), name, item)
    {
        if (is_delivered(fake, name) && text(item, "founders")[0])
            snprintf(founders, sizeof founders, "%s", text(item, "founders"));
    }
    if (!founders[0] || json_object_size(members(fake)))
        return;
    char copy[512], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", founders);
    for (char *one = strtok_r(copy, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        if (!is_delivered(fake, one))
            return;
    for (char *one = strtok_r(founders, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
        json_object_set_new(members(fake), one, json_pack("{sb si}", "voter", 1, "looks", 0));
        if (!text(fake->world, "leader")[0])
            json_object_set_new(fake->world, "leader", json_string(one));
    }
    effect(fake, "form", "all");
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
    return runs(fake, name) && !is_faint(name);
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
    const char *name, *leader = text(fake->world, "leader");
    json_t *item;
    if (!has_quorum(fake) || answers(fake, leader))
        return;
    json_object_foreach(members(fake), name, item)
    {
        if (!json_is_true(json_object_get(item, "voter")) || !answers(fake, name))
            continue;
        json_object_set_new(fake->world, "leader", json_string(name));
        save(fake);
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
    fake->host->emit_group(call, &group);
    json_object_foreach(members(fake), name, item)
    {
        int started = runs(fake, name), voter = json_is_true(json_object_get(item, "voter"));
        json_int_t looks = json_integer_value(json_object_get(item, "looks"));
        if (!voter && started && looks < 2) {
            json_object_set_new(item, "looks", json_integer(looks + 1));
            save(fake);
        }
        int well = answers(fake, name), caught_up = voter || (started && looks >= 2 && !getenv("FAKE_LAG"));
        struct hactl_member member = {.struct_size = sizeof member,
                                      .id = name,
                                      .name = started ? name : NULL,
                                      .address = text(part(fake, "internal"), name),
                                      .peer_url = name,
                                      .voter = voter,
                                      .leader = strcmp(text(fake->world, "leader"), name) == 0,
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
    if (is_coy(fake, key))
        return fake->host->fail(call, HACTL_E_BUSY, "unhealthy cluster");
    json_object_set_new(members(fake), replica->name, json_pack("{sb si}", "voter", 0, "looks", 0));
    effect(fake, "member-add", replica->name);
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
    effect(fake, "promote", arguments);
    return HACTL_OK;
}

static int move_leader(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (strcmp(text(fake->world, "leader"), arguments) != 0) {
        json_object_set_new(fake->world, "leader", json_string(arguments));
        effect(fake, "move-leader", arguments);
    }
    return HACTL_OK;
}

static int member_remove(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    if (strcmp(text(fake->world, "leader"), arguments) == 0)
        return fake->host->fail(call, HACTL_E_INVALID, "%s leads: nobody moved the leadership away",
                                (const char *)arguments);
    if (json_object_del(members(fake), arguments) == 0)
        effect(fake, "member-remove", arguments);
    return HACTL_OK;
}

static int op_group_list(void *self, struct hactl_call *call, const struct hactl_group_want *want)
{
    return run(self, call, "group-list", group_list, want);
}
static int op_member_add(void *self, struct hactl_call *call, const struct hactl_group_want *want,
                         const struct hactl_replica *replica)
{
    (void)want;
    return run(self, call, "member-add", member_add, replica);
}
static int op_promote(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return run(self, call, "promote", promote, id);
}
static int op_move_leader(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return run(self, call, "move-leader", move_leader, id);
}
static int op_member_remove(void *self, struct hactl_call *call, const struct hactl_group_want *want, const char *id)
{
    (void)want;
    return run(self, call, "member-remove", member_remove, id);
}

static struct hactl_member_ops member = {.struct_size = sizeof member,
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
    struct hactl_file trust = {
        .struct_size = sizeof trust, .path = "trust", .mode = 0600, .purpose = "fake-server", .part = "authority"};
    struct hactl_file certificate = {.struct_size = sizeof certificate,
                                     .path = "certificate",
                                     .mode = 0600,
                                     .purpose = "fake-server",
                                     .part = "certificate"};
    struct hactl_file key = {
        .struct_size = sizeof key, .path = "key", .mode = 0600, .purpose = "fake-server", .part = "key"};
    struct hactl_unit unit = {.struct_size = sizeof unit, .name = "fake", .argv = argv};
    fake->host->emit_file(call, &trust);
    fake->host->emit_file(call, &certificate);
    fake->host->emit_file(call, &key);
#ifdef FAKE_MACHINES
    fake->host->emit_file(call, &machine_shared);
#endif
    return fake->host->emit_unit(call, &unit);
}

static int op_render(void *self, struct hactl_call *call, const struct hactl_payload_want *want)
{
    return run(self, call, "render", render, want);
}

/* Not a point to strike at: the thread that measures the gap asks this too. */
static int op_probe(void *self, struct hactl_call *call, const struct hactl_probe_want *want)
{
    struct fake *fake = self;
    load(fake);
    const char *host = want->reach->host;
    int serves = json_object_size(json_object_get(json_object_get(fake->world, "balancer"), "backends")) > 0;
    const char *holder = strcmp(host, "trial") == 0       ? "balancer"
                         : strcmp(host, "192.0.2.1") == 0 ? text(fake->world, "holder")
                                                          : host;
    int mute = strcmp(host, "192.0.2.1") == 0 && is_told("FAKE_MUTE", holder);
    if (!mute && (strcmp(holder, "balancer") == 0 ? serves : runs(fake, holder)))
        return HACTL_OK;
    return fake->host->fail(call, HACTL_E_UNAVAILABLE, "%s does not answer", host);
}

static const char *const key_purposes[] = {"fake-server", NULL};

static struct hactl_payload_ops payload = {.struct_size = sizeof payload,
                                           .ports = op_ports,
                                           .render = op_render,
                                           .probe = op_probe,
                                           .operator_purpose = "fake-client",
                                           .key_purposes = key_purposes};

/* ---- issuer */

/* Authorities are numbered; "first" is the one that signed before a rotation. */
static int number(struct fake *fake, const char *key)
{
    return (int)json_integer_value(json_object_get(fake->world, key));
}

static int signer(struct fake *fake)
{
    return number(fake, "first") + (number(fake, "phase") >= HACTL_ROTATION_SWITCH);
}

static void trust_text(struct fake *fake, char out[32])
{
    int phase = number(fake, "phase");
    if (phase == HACTL_ROTATION_TRUST || phase == HACTL_ROTATION_SWITCH)
        snprintf(out, 32, "%d and %d", number(fake, "first"), number(fake, "first") + 1);
    else
        snprintf(out, 32, "%d", signer(fake));
}

static int emit_certificate(struct fake *fake, struct hactl_call *call, const char *key, const char *purpose,
                            const char *replica, int is_authority)
{
    json_t *made = json_object_get(part(fake, "certificates"), key);
    int there = made != NULL, sound = there && (is_authority || json_integer_value(made) % 100 == signer(fake));
    struct hactl_certificate certificate = {.struct_size = sizeof certificate,
                                            .purpose = purpose,
                                            .replica = replica,
                                            .ready = sound ? HACTL_YES : HACTL_NO,
                                            .reason = sound   ? NULL
                                                      : there ? "signed by the other"
                                                              : "missing",
                                            .subject = key,
                                            .names = "",
                                            .not_before_s = there ? 1 : 0,
                                            .not_after_s = there ? INT64_C(4102444800) : 0,
                                            .is_authority = is_authority,
                                            .rotates = is_authority,
                                            .authority = is_authority ? NULL : "ca",
                                            .rotation = is_authority ? (enum hactl_rotation)number(fake, "phase")
                                                                     : HACTL_ROTATION_NONE};
    return fake->host->emit_certificate(call, &certificate);
}

static int issuer_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_inventory *inventory = arguments;
    emit_certificate(fake, call, "ca", "ca", NULL, 1);
    emit_certificate(fake, call, "operator", "fake-client", NULL, 0);
    /* A key pair has no dates. */
    struct hactl_certificate key_pair = {.struct_size = sizeof key_pair,
                                         .purpose = "fake-keys",
                                         .ready = json_object_get(part(fake, "certificates"), "operator") != NULL,
                                         .subject = "keys",
                                         .names = ""};
    fake->host->emit_certificate(call, &key_pair);
    for (size_t i = 0; i < inventory->replica_count; i++)
        emit_certificate(fake, call, inventory->replicas[i]->name, "fake-server", inventory->replicas[i]->name, 0);
    return HACTL_OK;
}

static int make_certificate(struct fake *fake, const char *what, const char *key)
{
    json_t *made = json_object_get(part(fake, "certificates"), key);
    if (made && (strcmp(key, "ca") == 0 || json_integer_value(made) % 100 == signer(fake)))
        return HACTL_OK;
    /* No two are alike: a serial number, and who signed it. */
    json_object_set_new(part(fake, "certificates"), key,
                        json_integer(json_integer_value(made) / 100 * 100 + 100 + signer(fake)));
    effect(fake, what, key);
    return HACTL_OK;
}

static int authority(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    return make_certificate(fake, "authority", "ca");
}

static int issue(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    return make_certificate(fake, "issue", arguments ? arguments : "operator");
}

static int retire(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (json_object_del(part(fake, "certificates"), arguments) == 0)
        effect(fake, "retire", arguments);
    return HACTL_OK;
}

/* Nobody whom this phase would lock out may be left. The world sees what runs. */
static int all_run_on(struct fake *fake, const char *path, const char *wanted)
{
    const char *name;
    json_t *item;
    json_object_foreach(part(fake, "instances"), name, item)
    {
        const char *found = text(item, path), *end = strlen(found) > 2 ? found + strlen(found) - 2 : found;
        if (json_object_get(item, "digest") && strcmp(strcmp(path, "trust") == 0 ? found : end, wanted) != 0)
            return 0;
    }
    return 1;
}

static int rotate(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    int phase = number(fake, "phase");
    char trust[32], wanted[32], what[32];
    if (phase == a->number)
        return HACTL_OK;
    trust_text(fake, trust);
    snprintf(wanted, sizeof wanted, "%02d", signer(fake));
    int forwards = a->number == phase + 1 || (phase == HACTL_ROTATION_RETIRE && a->number == HACTL_ROTATION_NONE);
    if (!forwards && a->number != phase - 1)
        return fake->host->fail(call, HACTL_E_CONFLICT, "phase %d does not follow %d", a->number, phase);
    if ((a->number == HACTL_ROTATION_SWITCH || a->number == HACTL_ROTATION_NONE) && forwards && phase &&
        !all_run_on(fake, "trust", trust))
        return fake->host->fail(call, HACTL_E_FAILED, "the gate was open: somebody does not trust %s", trust);
    if (a->number == HACTL_ROTATION_RETIRE && !all_run_on(fake, "certificate", wanted))
        return fake->host->fail(call, HACTL_E_FAILED, "the gate was open: somebody does not show one of %s", wanted);
    if (phase == HACTL_ROTATION_RETIRE && a->number == HACTL_ROTATION_NONE)
        json_object_set_new(fake->world, "first", json_integer(number(fake, "first") + 1));
    json_object_set_new(fake->world, "phase", json_integer(a->number));
    snprintf(what, sizeof what, "%s from %d to %d", a->name, phase, a->number);
    effect(fake, "rotate", what);
    return HACTL_OK;
}

static int issuer_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (json_object_size(part(fake, "certificates"))) {
        json_object_clear(part(fake, "certificates"));
        effect(fake, "authority-delete", "all");
    }
    return HACTL_OK;
}

static int op_issuer_list(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    return run(self, call, "issuer-list", issuer_list, inventory);
}
static int op_authority(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    return run(self, call, "authority-ensure", authority, inventory);
}
struct certification {
    const char *replica;
    const struct hactl_request *request;
};

static int certify(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct certification *c = arguments;
#ifdef FAKE_MACHINES
    if (c->replica)
        return machine_certify(fake, call, c->replica, c->request);
#endif
    return issue(fake, call, c->replica);
}

static int op_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
                    const struct hactl_request *const *requests, size_t request_count)
{
    struct certification certification = {replica, request_count == 1 ? requests[0] : NULL};
    (void)inventory;
    return run(self, call, "issue", certify, &certification);
}
static int op_retire(void *self, struct hactl_call *call, const char *replica)
{
    return run(self, call, "retire", retire, replica);
}
static int op_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose,
                         const char *part_name)
{
    struct fake *fake = self;
    char content[32];
    struct hactl_credential credential = {.struct_size = sizeof credential, .content = content, .path = "/dev/null"};
    (void)purpose;
    load(fake);
    if (strcmp(part_name, "authority") == 0)
        trust_text(fake, content);
#ifdef FAKE_MACHINES
    else if (strcmp(purpose, machine_shared.purpose) == 0)
        snprintf(content, sizeof content, "%s", machine_secret);
#endif
    else
        snprintf(content, sizeof content, "%d",
                 (int)json_integer_value(json_object_get(part(fake, "certificates"), replica ? replica : "operator")));
    credential.content_size = strlen(content);
    if (!json_object_get(part(fake, "certificates"), replica ? replica : "operator"))
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no certificate");
    return fake->host->emit_credential(call, &credential);
}
static int op_rotate(void *self, struct hactl_call *call, const struct hactl_inventory *inventory,
                     const char *authority, enum hactl_rotation phase)
{
    const struct named named = {.name = authority, .number = (int)phase};
    (void)inventory;
    return run(self, call, "rotate", rotate, &named);
}
static int op_issuer_destroy(void *self, struct hactl_call *call)
{
    return run(self, call, "issuer-destroy", issuer_destroy, NULL);
}

static const struct hactl_issuer_ops issuer = {.struct_size = sizeof issuer,
                                               .list = op_issuer_list,
                                               .authority_ensure = op_authority,
                                               .issue = op_issue,
                                               .retire = op_retire,
                                               .credential = op_credential,
                                               .destroy = op_issuer_destroy,
#ifdef FAKE_MACHINES
                                               .seal = op_seal,
#endif
                                               .rotate = op_rotate};

/* ---- balancer */

static int balancer_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *found = json_object_get(fake->world, "balancer"), *item;
    const char *name;
    (void)arguments;
    if (!found)
        return HACTL_OK;
    struct hactl_balancer record = {.struct_size = sizeof record,
                                    .name = "fake",
                                    .running = HACTL_YES,
                                    .address =
                                        strcmp(text(fake->world, "holder"), "balancer") == 0 ? "192.0.2.1" : NULL,
                                    .trial_host = "trial",
                                    .trial_port = 1};
    fake->host->emit_balancer(call, &record);
    json_object_foreach(json_object_get(found, "backends"), name, item)
    {
        struct hactl_backend backend = {
            .struct_size = sizeof backend, .name = name, .healthy = runs(fake, name) ? HACTL_YES : HACTL_NO};
        fake->host->emit_backend(call, &backend);
    }
    return HACTL_OK;
}

static int balancer_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (!json_object_get(fake->world, "balancer")) {
        json_object_set_new(fake->world, "balancer", json_pack("{s{}}", "backends"));
        effect(fake, "balancer-build", "fake");
    }
    return HACTL_OK;
}

static int backend_ensure(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    json_t *backends = json_object_get(json_object_get(fake->world, "balancer"), "backends");
    if (!backends)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no balancer");
    if (!json_object_get(backends, arguments)) {
        json_object_set_new(backends, arguments, json_true());
        effect(fake, "backend-add", arguments);
    }
    return HACTL_OK;
}

static int backend_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (json_object_del(json_object_get(json_object_get(fake->world, "balancer"), "backends"), arguments) == 0)
        effect(fake, "backend-remove", arguments);
    return HACTL_OK;
}

static int balancer_claim(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    return take_address(fake, call, "balancer");
}

static int balancer_release(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    return drop_address(fake, "balancer");
}

static int balancer_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)arguments;
    if (strcmp(text(fake->world, "holder"), "balancer") == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "the balancer holds the public address");
    if (json_object_del(fake->world, "balancer") == 0)
        effect(fake, "balancer-delete", "fake");
    return HACTL_OK;
}

static int op_balancer_list(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return run(self, call, "balancer-list", balancer_list, want);
}
static int op_balancer_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return run(self, call, "balancer-ensure", balancer_ensure, want);
}
static int op_backend_ensure(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                             const struct hactl_backend_want *backend)
{
    (void)want;
    return run(self, call, "backend-ensure", backend_ensure, backend->name);
}
static int op_backend_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                              const char *name)
{
    (void)want;
    return run(self, call, "backend-destroy", backend_destroy, name);
}
static int op_balancer_claim(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                             const char *address)
{
    (void)address;
    return run(self, call, "balancer-claim", balancer_claim, want);
}
static int op_balancer_release(void *self, struct hactl_call *call, const struct hactl_balancer_want *want,
                               const char *address)
{
    (void)address;
    return run(self, call, "balancer-release", balancer_release, want);
}
static int op_balancer_destroy(void *self, struct hactl_call *call, const struct hactl_balancer_want *want)
{
    return run(self, call, "balancer-destroy", balancer_destroy, want);
}

static const struct hactl_balancer_ops balancer = {.struct_size = sizeof balancer,
                                                   .list = op_balancer_list,
                                                   .ensure = op_balancer_ensure,
                                                   .backend_ensure = op_backend_ensure,
                                                   .backend_destroy = op_backend_destroy,
                                                   .claim = op_balancer_claim,
                                                   .release = op_balancer_release,
                                                   .destroy = op_balancer_destroy};

/* ---- the plugin */

/* As if built for a version that had no optional operations yet: what stands
 * there is something else, and to call it is the end. */
__attribute__((constructor)) static void make_short(void)
{
    static const char rubbish[] = "what stands here is no pointer to anything at all";
    if (!getenv("FAKE_SHORT"))
        return;
#define SHORTEN(table, first)                                                                          \
    ((table).struct_size = (uint32_t)((char *)&(table).first - (char *)&(table)),                      \
     memcpy((char *)&(table) + (table).struct_size, rubbish,                                           \
            sizeof(table) - (table).struct_size < sizeof rubbish ? sizeof(table) - (table).struct_size \
                                                                 : sizeof rubbish))
    SHORTEN(cloud, firewall_ensure);
    SHORTEN(member, snapshot);
    SHORTEN(payload, operator_purpose);
}

static int fake_open(const struct hactl_host *host, const struct hactl_conf *conf, struct hactl_call *call, void **self)
{
    struct fake *fake = calloc(1, sizeof *fake);
    if (!fake)
        return host->fail(call, HACTL_E_INTERNAL, "out of memory");
    fake->host = host;
    snprintf(fake->path, sizeof fake->path, "%s", host->conf_string(conf, "world"));
    *self = fake;
    return HACTL_OK;
}

static void fake_close(void *self)
{
    struct fake *fake = self;
    if (!fake)
        return;
    json_decref(fake->world);
    free(fake);
}

const struct hactl_plugin hactl_plugin = {.struct_size = sizeof hactl_plugin,
                                          .abi_major = HACTL_ABI_MAJOR,
                                          .abi_minor = HACTL_ABI_MINOR,
                                          .name = "fake",
                                          .version = "1",
                                          .summary = "A world in a file, for the kill harness",
                                          .keys = keys,
                                          .open = fake_open,
                                          .close = fake_close,
                                          .poll = op_poll,
                                          .cloud = &cloud,
                                          .member = &member,
                                          .payload = &payload,
                                          .issuer = &issuer,
                                          .balancer = &balancer};
