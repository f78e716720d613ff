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
static const struct kind {
    const char *purpose;
    const char *trust, *use; /* files that machines get: whom to trust, and what it made */
} kinds[] = {
    {"ca", "trust", "certificate"},
    {"peer-ca", "peer-trust", "peer"},
    {"fake-keys", "accounts", "shared"}, /* a key pair and no authority */
};

static const struct kind *const ca = &kinds[0], *const peer_ca = &kinds[1], *const account = &kinds[2];

static int number(struct fake *fake, const struct kind *kind, const char *key)
{
    json_t *rotation = json_object_get(json_object_get(fake->world, "rotations"), kind->purpose);
    return (int)json_integer_value(json_object_get(rotation, key));
}

static int signer(struct fake *fake, const struct kind *kind)
{
    return number(fake, kind, "first") + (number(fake, kind, "phase") >= HACTL_ROTATION_SWITCH);
}

static void trust_text(struct fake *fake, const struct kind *kind, char out[32])
{
    int phase = number(fake, kind, "phase"), first = number(fake, kind, "first");
    if (phase == HACTL_ROTATION_TRUST || phase == HACTL_ROTATION_SWITCH)
        snprintf(out, 32, "%d and %d", first, first + 1);
    else
        snprintf(out, 32, "%d", signer(fake, kind));
}

/* Who is wanted as its maker is what a text ends with. */
static int made_by(const char *text)
{
    size_t length = strlen(text);
    return length >= 2 ? atoi(text + length - 2) : -1;
}

/* A serial number and its maker, or of which key it is, and its maker. */
static void certificate_text(const json_t *made, char out[200])
{
    if (json_is_string(made))
        snprintf(out, 200, "%s", json_string_value(made));
    else
        snprintf(out, 200, "%d", (int)json_integer_value(made));
}

void fake_shared_text(char out[200], const char *before, int account_number)
{
    snprintf(out, 200, "%sshared by all, account %02d", before, account_number);
}

/* Each replica's is in one part of the world or the other. */
static json_t *certificates_of(struct fake *fake, const struct kind *kind)
{
    return fake_part(fake, kind == peer_ca ? "peers" : "certificates");
}

static int emit_authority(struct fake *fake, struct hactl_call *call, const struct kind *kind)
{
    int there = json_object_get(fake_part(fake, "certificates"), kind == account ? "operator" : "ca") != NULL;
    struct hactl_certificate certificate = {.struct_size = sizeof certificate,
                                            .purpose = kind->purpose,
                                            .ready = there ? HACTL_YES : HACTL_NO,
                                            .reason = there ? NULL : "missing",
                                            .subject = kind->purpose,
                                            .names = "",
                                            .is_authority = kind != account,
                                            .rotates = 1,
                                            .rotation = (enum hactl_rotation)number(fake, kind, "phase")};
    if (kind != account) { /* a key pair has no dates */
        certificate.not_before_s = there ? 1 : 0;
        certificate.not_after_s = there ? INT64_C(4102444800) : 0;
    }
    return fake->host->emit_certificate(call, &certificate);
}

/* A test may say of a replica's that its life is nearly over. */
static int is_due(struct fake *fake, const struct kind *kind, const char *replica)
{
    json_t *due = json_object_get(json_object_get(fake->world, "due"), kind->purpose);
    return replica && json_is_true(json_object_get(due, replica));
}

static int emit_certificate(struct fake *fake, struct hactl_call *call, const struct kind *kind, const char *purpose,
                            const char *replica)
{
    json_t *made = json_object_get(certificates_of(fake, kind), replica ? replica : "operator");
    char text[200];
    certificate_text(made, text);
    int there = made != NULL, due = is_due(fake, kind, replica);
    int sound = there && made_by(text) == signer(fake, kind) && !due;
    struct hactl_certificate certificate = {.struct_size = sizeof certificate,
                                            .purpose = purpose,
                                            .replica = replica,
                                            .ready = sound ? HACTL_YES : HACTL_NO,
                                            .reason = sound   ? NULL
                                                      : due   ? "due"
                                                      : there ? "signed by the other"
                                                              : "missing",
                                            .subject = replica ? replica : "operator",
                                            .names = "",
                                            .not_before_s = there ? 1 : 0,
                                            .not_after_s = there ? INT64_C(4102444800) : 0,
                                            .authority = kind->purpose};
    return fake->host->emit_certificate(call, &certificate);
}

#ifndef FAKE_MACHINES
/* Copies of what each authority trusts, beside a replica's certificates; it is of no single authority. */
static void tree_text(struct fake *fake, char out[200])
{
    char trust[3][32];
    for (int i = 0; i < 3; i++)
        trust_text(fake, &kinds[i], trust[i]);
    snprintf(out, 200, "%s, %s, %s", trust[0], trust[1], trust[2]);
}

static int tree_is_whole(struct fake *fake, const char *replica)
{
    char wanted[200];
    tree_text(fake, wanted);
    return strcmp(fake_text(fake_part(fake, "trees"), replica), wanted) == 0;
}

static int emit_tree(struct fake *fake, struct hactl_call *call, const char *replica)
{
    int whole = tree_is_whole(fake, replica);
    struct hactl_certificate certificate = {.struct_size = sizeof certificate,
                                            .purpose = "fake-tree",
                                            .replica = replica,
                                            .ready = whole ? HACTL_YES : HACTL_NO,
                                            .reason = whole ? NULL : "copies",
                                            .subject = "copies",
                                            .names = "",
                                            .carries_trust = 1};
    return fake->host->emit_certificate(call, &certificate);
}
#endif

static int issuer_list(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_inventory *inventory = arguments;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        emit_authority(fake, call, &kinds[i]);
    emit_certificate(fake, call, ca, "fake-client", NULL);
    for (size_t i = 0; i < inventory->replica_count; i++) {
        emit_certificate(fake, call, ca, "fake-server", inventory->replicas[i]->name);
        emit_certificate(fake, call, peer_ca, "fake-peer", inventory->replicas[i]->name);
#ifndef FAKE_MACHINES
        emit_tree(fake, call, inventory->replicas[i]->name);
#endif
    }
    return HACTL_OK;
}

static int make_certificate(struct fake *fake, const char *what, const struct kind *kind, const char *key)
{
    json_t *made = json_object_get(certificates_of(fake, kind), key);
    int due = is_due(fake, kind, key);
    if (made && !due && (strcmp(key, "ca") == 0 || json_integer_value(made) % 100 == signer(fake, kind)))
        return HACTL_OK;
    if (due)
        json_object_del(json_object_get(json_object_get(fake->world, "due"), kind->purpose), key);
    /* No two are alike: a serial number, and who signed it. */
    json_object_set_new(certificates_of(fake, kind), key,
                        json_integer(json_integer_value(made) / 100 * 100 + 100 + signer(fake, kind)));
    fake_effect(fake, what, key);
    return HACTL_OK;
}

static int authority(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    return make_certificate(fake, "authority", ca, "ca");
}

/* A replica that makes its own keys has a tree of its own making. */
static void make_tree(struct fake *fake, const char *replica)
{
#ifndef FAKE_MACHINES
    char text[200];
    if (tree_is_whole(fake, replica))
        return;
    tree_text(fake, text);
    json_object_set_new(fake_part(fake, "trees"), replica, json_string(text));
    fake_effect(fake, "issue-tree", replica);
#else
    (void)fake, (void)replica;
#endif
}

static int issue(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    if (arguments) {
        make_certificate(fake, "issue-peer", peer_ca, arguments);
        make_tree(fake, arguments);
    }
    return make_certificate(fake, "issue", ca, arguments ? arguments : "operator");
}

static int retire(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call;
    /* One that was killed on the way may have left some of them. */
    int any = json_object_del(certificates_of(fake, peer_ca), arguments) == 0;
    any |= json_object_del(fake_part(fake, "trees"), arguments) == 0;
    any |= json_object_del(certificates_of(fake, ca), arguments) == 0;
    if (any)
        fake_effect(fake, "retire", arguments);
    return HACTL_OK;
}

/* Nobody whom this phase would lock out may be left. The world sees what runs. */
static int all_trust(struct fake *fake, const struct kind *kind)
{
    char wanted[32];
    const char *name;
    json_t *item;
    trust_text(fake, kind, wanted);
    json_object_foreach(fake_part(fake, "instances"), name, item)
    {
        if (json_object_get(item, "digest") && strcmp(fake_text(item, kind->trust), wanted) != 0)
            return 0;
    }
    return 1;
}

static int all_use(struct fake *fake, const struct kind *kind)
{
    const char *name;
    json_t *item;
    json_object_foreach(fake_part(fake, "instances"), name, item)
    {
        if (json_object_get(item, "digest") && made_by(fake_text(item, kind->use)) != signer(fake, kind))
            return 0;
    }
    return 1;
}

static void enter(struct fake *fake, const struct kind *kind, int phase)
{
    int first = number(fake, kind, "first") + (number(fake, kind, "phase") == HACTL_ROTATION_RETIRE && phase == 0);
    json_object_set_new(fake_part(fake, "rotations"), kind->purpose,
                        json_pack("{si si}", "phase", phase, "first", first));
    if (phase == 0 && first == 0)
        json_object_del(fake_part(fake, "rotations"), kind->purpose);
}

static int rotate(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct named *a = arguments;
    const struct kind *kind = strcmp(a->name, ca->purpose) == 0        ? ca
                              : strcmp(a->name, peer_ca->purpose) == 0 ? peer_ca
                                                                       : account;
    int phase = number(fake, kind, "phase");
    char what[64];
    if (phase == a->number)
        return HACTL_OK;
    int forwards = a->number == phase + 1 || (phase == HACTL_ROTATION_RETIRE && a->number == HACTL_ROTATION_NONE);
    if (!forwards && a->number != phase - 1)
        return fake->host->fail(call, HACTL_E_CONFLICT, "phase %d does not follow %d", a->number, phase);
    if ((a->number == HACTL_ROTATION_SWITCH || a->number == HACTL_ROTATION_NONE) && forwards && phase &&
        !all_trust(fake, kind))
        return fake->host->fail(call, HACTL_E_FAILED, "the gate was open: somebody does not trust what it is to");
    if (a->number == HACTL_ROTATION_RETIRE && forwards && !all_use(fake, kind))
        return fake->host->fail(call, HACTL_E_FAILED, "the gate was open: somebody uses what the old one made");
    /* The same backwards, where the new one is about to be a stranger. */
    if (a->number == HACTL_ROTATION_PREPARE && !forwards && !all_use(fake, kind))
        return fake->host->fail(call, HACTL_E_FAILED, "the gate was open: somebody uses what the new one made");
    enter(fake, kind, a->number);
    snprintf(what, sizeof what, "%s from %d to %d", a->name, phase, a->number);
    fake_effect(fake, "rotate", what);
    return HACTL_OK;
}

static int issuer_destroy(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (json_object_size(fake_part(fake, "certificates"))) {
        json_object_clear(fake_part(fake, "certificates"));
        json_object_clear(fake_part(fake, "peers"));
        json_object_clear(fake_part(fake, "trees"));
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
    const struct hactl_request *const *requests;
    size_t request_count;
};

static int certify(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct certification *c = arguments;
#ifdef FAKE_MACHINES
    if (c->replica) {
        int rc = fake_machine_certify(fake, call, c->replica, "fake-peer", c->requests, c->request_count,
                                      certificates_of(fake, peer_ca), signer(fake, peer_ca));
        return rc != HACTL_OK ? rc
                              : fake_machine_certify(fake, call, c->replica, "fake-server", c->requests,
                                                     c->request_count, certificates_of(fake, ca), signer(fake, ca));
    }
#endif
    return issue(fake, call, c->replica);
}

static int op_issue(void *self, struct hactl_call *call, const struct hactl_inventory *inventory, const char *replica,
                    const struct hactl_request *const *requests, size_t request_count)
{
    struct certification certification = {replica, requests, request_count};
    (void)inventory;
    return fake_run(self, call, "issue", certify, &certification);
}
static int op_retire(void *self, struct hactl_call *call, const char *replica)
{
    return fake_run(self, call, "retire", retire, replica);
}
static void credential_text(struct fake *fake, const struct kind *kind, const char *replica, const char *part_name,
                            char out[200])
{
    if (strcmp(part_name, "authority") == 0 || strcmp(part_name, "public") == 0)
        trust_text(fake, kind, out);
    else if (kind == account)
        fake_shared_text(out, "", signer(fake, account));
    else if (strcmp(part_name, "key") == 0)
        snprintf(out, 200, "key of %.100s", replica ? replica : "operator"); /* kept when it is signed anew */
    else
        certificate_text(json_object_get(certificates_of(fake, kind), replica ? replica : "operator"), out);
}

static int op_credential(void *self, struct hactl_call *call, const char *replica, const char *purpose,
                         const char *part_name)
{
    struct fake *fake = self;
    char content[200];
    struct hactl_credential credential = {.struct_size = sizeof credential, .content = content, .path = "/dev/null"};
    const struct kind *kind = strcmp(purpose, "fake-peer") == 0        ? peer_ca
                              : strcmp(purpose, account->purpose) == 0 ? account
                                                                       : ca;
    fake_load(fake);
    credential_text(fake, kind, replica, part_name, content);
    credential.content_size = strlen(content);
    if (!json_object_get(fake_part(fake, "certificates"), replica ? replica : "operator"))
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no certificate");
    return fake->host->emit_credential(call, &credential);
}

int fake_account_number(struct fake *fake)
{
    return signer(fake, account);
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
