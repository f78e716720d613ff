/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and their authority. */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    json_t *made = json_object_get(fake_part(fake, "certificates"), key);
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
                                         .ready = json_object_get(fake_part(fake, "certificates"), "operator") != NULL,
                                         .subject = "keys",
                                         .names = ""};
    fake->host->emit_certificate(call, &key_pair);
    for (size_t i = 0; i < inventory->replica_count; i++)
        emit_certificate(fake, call, inventory->replicas[i]->name, "fake-server", inventory->replicas[i]->name, 0);
    return HACTL_OK;
}

static int make_certificate(struct fake *fake, const char *what, const char *key)
{
    json_t *made = json_object_get(fake_part(fake, "certificates"), key);
    if (made && (strcmp(key, "ca") == 0 || json_integer_value(made) % 100 == signer(fake)))
        return HACTL_OK;
    /* No two are alike: a serial number, and who signed it. */
    json_object_set_new(fake_part(fake, "certificates"), key,
                        json_integer(json_integer_value(made) / 100 * 100 + 100 + signer(fake)));
    fake_effect(fake, what, key);
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
    if (json_object_del(fake_part(fake, "certificates"), arguments) == 0)
        fake_effect(fake, "retire", arguments);
    return HACTL_OK;
}

/* Nobody whom this phase would lock out may be left. The world sees what runs. */
static int all_run_on(struct fake *fake, const char *path, const char *wanted)
{
    const char *name;
    json_t *item;
    json_object_foreach(fake_part(fake, "instances"), name, item)
    {
        const char *found = fake_text(item, path), *end = strlen(found) > 2 ? found + strlen(found) - 2 : found;
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
    fake_effect(fake, "rotate", what);
    return HACTL_OK;
}

static int issuer_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (json_object_size(fake_part(fake, "certificates"))) {
        json_object_clear(fake_part(fake, "certificates"));
        fake_effect(fake, "authority-delete", "all");
    }
    return HACTL_OK;
}

static int op_issuer_list(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    return fake_run(self, call, "issuer-list", issuer_list, inventory);
}
static int op_authority(void *self, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    return fake_run(self, call, "authority-ensure", authority, inventory);
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
        return fake_machine_certify(fake, call, c->replica, c->request);
#endif
    return issue(fake, call, c->replica);
}

static int op_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
                    const struct hactl_request *const *requests, size_t request_count)
{
    struct certification certification = {replica, request_count == 1 ? requests[0] : NULL};
    (void)inventory;
    return fake_run(self, call, "issue", certify, &certification);
}
static int op_retire(void *self, struct hactl_call *call, const char *replica)
{
    return fake_run(self, call, "retire", retire, replica);
}
static int op_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose,
                         const char *part_name)
{
    struct fake *fake = self;
    char content[32];
    struct hactl_credential credential = {.struct_size = sizeof credential, .content = content, .path = "/dev/null"};
    (void)purpose;
    fake_load(fake);
    if (strcmp(part_name, "authority") == 0)
        trust_text(fake, content);
#ifdef FAKE_MACHINES
    else if (strcmp(purpose, fake_machine_shared.purpose) == 0)
        snprintf(content, sizeof content, "%s", fake_machine_secret);
#endif
    else
        snprintf(
            content, sizeof content, "%d",
            (int)json_integer_value(json_object_get(fake_part(fake, "certificates"), replica ? replica : "operator")));
    credential.content_size = strlen(content);
    if (!json_object_get(fake_part(fake, "certificates"), replica ? replica : "operator"))
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no certificate");
    return fake->host->emit_credential(call, &credential);
}
static int op_rotate(void *self, struct hactl_call *call, const struct hactl_inventory *inventory,
                     const char *authority, enum hactl_rotation phase)
{
    const struct named named = {.name = authority, .number = (int)phase};
    (void)inventory;
    return fake_run(self, call, "rotate", rotate, &named);
}
static int op_issuer_destroy(void *self, struct hactl_call *call)
{
    return fake_run(self, call, "issuer-destroy", issuer_destroy, NULL);
}

const struct hactl_issuer_ops fake_issuer = {.struct_size = sizeof fake_issuer,
                                             .list = op_issuer_list,
                                             .authority_ensure = op_authority,
                                             .issue = op_issue,
                                             .retire = op_retire,
                                             .credential = op_credential,
                                             .destroy = op_issuer_destroy,
#ifdef FAKE_MACHINES
                                             .seal = fake_op_seal,
#endif
                                             .rotate = op_rotate};
