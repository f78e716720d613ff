/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is besides when the fake is built with FAKE_MACHINES: machines that
 * make their own keys and have a public address of their own, and a firewall.
 * A machine that is made again has another key; a certificate of the former
 * one does not fit it. What they share comes to them sealed.
 */
#include "tests/crash/fake.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *machine_of(struct fake *fake, const char *name)
{
    return json_object_get(fake_part(fake, "instances"), name);
}

/* Keys are numbered, but nobody compares worlds by them: which machine is made first is chance. */
void fake_machine_new(struct fake *fake, const char *name)
{
    char key[96];
    json_int_t made = json_integer_value(json_object_get(fake_part(fake, "made"), name)) + 1;
    json_object_set_new(fake_part(fake, "made"), name, json_integer(made));
    snprintf(key, sizeof key, "key %d of %s", (int)made, name);
    json_object_set_new(machine_of(fake, name), "key", json_string(key));
    json_object_set_new(machine_of(fake, name), "temporary", json_true());
}

/* A certificate is of a key, and by somebody. */
static int is_of(const char *certificate, const char *key)
{
    size_t length = strlen(key);
    return strncmp(certificate, key, length) == 0 && strncmp(certificate + length, " by ", 4) == 0;
}

/* What its payload declares: not what else the issuer could certify. */
int fake_machine_makes_its_keys_only(const struct hactl_instance_want *want)
{
    return want->key_purposes && want->key_purposes[0] && strcmp(want->key_purposes[0], "fake-server") == 0 &&
           want->key_purposes[1] && strcmp(want->key_purposes[1], "fake-peer") == 0 && !want->key_purposes[2];
}

static int machine_requests(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name = arguments;
    char asked[96];
    struct hactl_request request = {.struct_size = sizeof request, .instance = name, .purpose = "fake-server"};
    snprintf(asked, sizeof asked, "requests %s", name);
    if (!machine_of(fake, name))
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", name);
    if (fake_is_coy(fake, asked))
        return fake->host->fail(call, HACTL_E_BUSY, "%s has made no key yet", name);
    request.content = fake_text(machine_of(fake, name), "key");
    fake->host->emit_request(call, &request);
    request.purpose = "fake-peer";
    return fake->host->emit_request(call, &request);
}

int fake_machine_certify(struct fake *fake, struct hactl_call *call, const char *name, const char *purpose,
                         const struct hactl_request *const *requests, size_t request_count, json_t *certificates,
                         int signer)
{
    const struct hactl_request *request = NULL;
    char certificate[200];
    for (size_t i = 0; i < request_count; i++)
        if (strcmp(requests[i]->purpose, purpose) == 0 && strcmp(requests[i]->instance, name) == 0)
            request = requests[i];
    if (!request)
        return fake->host->fail(call, HACTL_E_INVALID, "%s: there is no request for %s", name, purpose);
    snprintf(certificate, sizeof certificate, "%s by %02d", request->content, signer);
    if (strcmp(fake_text(certificates, name), certificate) == 0)
        return HACTL_OK;
    json_object_set_new(certificates, name, json_string(certificate));
    fake_effect(fake, strcmp(purpose, "fake-peer") == 0 ? "issue-peer" : "issue", name);
    return HACTL_OK;
}

/* Sealed twice, it has other bytes. */
static int machine_seal(struct fake *fake, struct hactl_call *call, const char *purpose, const char *replica,
                        const char *recipient)
{
    static unsigned times;
    char content[200], sealed[150];
    struct hactl_credential credential = {.struct_size = sizeof credential, .content = content};
    if (strcmp(purpose, "fake-keys") != 0 || strcmp(recipient, "fake-server") != 0)
        return fake->host->fail(call, HACTL_E_DENIED, "%s is sealed to no %s", purpose, recipient);
    snprintf(sealed, sizeof sealed, "%u %d sealed to %s, ", ++times, (int)getpid(),
             fake_text(fake_part(fake, "certificates"), replica));
    fake_shared_text(content, sealed, fake_account_number(fake));
    credential.content_size = strlen(content);
    return fake->host->emit_credential(call, &credential);
}

/* What is shared came sealed to the key that the machine has now. */
static int machine_opens(struct fake *fake, const char *name, const struct hactl_payload *payload)
{
    for (size_t i = 0; i < payload->file_count; i++) {
        const struct hactl_file *file = payload->files[i];
        const char *to = file->sealed_to ? strstr(file->content, "sealed to ") : NULL;
        if (to && strcmp(file->path, "shared") == 0)
            return is_of(to + strlen("sealed to "), fake_text(machine_of(fake, name), "key"));
    }
    return 0;
}

static int is_sent_open(const struct hactl_file *file)
{
    return file->part && strcmp(file->part, "key") == 0 && file->content &&
           (!file->sealed_to || !strstr(file->content, "sealed to ") || strncmp(file->content, "shared", 6) == 0);
}

/* What is delivered: no key, and a certificate of the key that the machine has. */
int fake_machine_fits(struct fake *fake, struct hactl_call *call, const char *name, const struct hactl_payload *payload)
{
    for (size_t i = 0; i < payload->file_count; i++)
        if (is_sent_open(payload->files[i]))
            return fake->host->fail(call, HACTL_E_INVALID, "%s: a key was sent to %s", payload->files[i]->path, name);
    if (is_of(fake_text(fake_part(fake, "certificates"), name), fake_text(machine_of(fake, name), "key")) &&
        is_of(fake_text(fake_part(fake, "peers"), name), fake_text(machine_of(fake, name), "key")))
        return machine_opens(fake, name, payload)
                   ? HACTL_OK
                   : fake->host->fail(call, HACTL_E_INVALID, "what is shared is not sealed to the key of %s", name);
    return fake->host->fail(call, HACTL_E_CONFLICT, "%s: the certificate is of another key", name);
}

static int machine_temporary(struct fake *fake, struct hactl_call *call, const char *name, int wanted)
{
    json_t *item = machine_of(fake, name);
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", name);
    if (wanted && strcmp(fake_text(fake->world, "holder"), name) == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s holds the public address", name);
    if (json_is_true(json_object_get(item, "temporary")) == wanted)
        return HACTL_OK;
    /* As an API with request ids does: the same request again is answered, and does nothing. */
    if (json_object_get(fake_part(fake, "requests"), fake->host->intent(call)))
        return HACTL_OK;
    json_object_set_new(fake_part(fake, "requests"), fake->host->intent(call), json_true());
    json_object_set_new(item, "temporary", json_boolean(wanted));
    fake_effect(fake, wanted ? "attach" : "detach", name);
    return HACTL_OK;
}

static int machine_attach(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    return machine_temporary(fake, call, arguments, 1);
}

static int machine_detach(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    return machine_temporary(fake, call, arguments, 0);
}

static int machine_firewall(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const struct hactl_firewall_want *want = arguments;
    if (want->port_count != 1 || want->ports[0]->port != 1000)
        return fake->host->fail(call, HACTL_E_INVALID, "a firewall for %zu ports", want->port_count);
    if (strcmp(fake_text(fake->world, "firewall"), want->digest) == 0)
        return HACTL_OK;
    json_object_set_new(fake->world, "firewall", json_string(want->digest));
    fake_effect(fake, "firewall", "open");
    return HACTL_OK;
}

static int machine_firewall_away(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (json_object_del(fake->world, "firewall") == 0)
        fake_effect(fake, "firewall", "gone");
    return HACTL_OK;
}

void fake_machine_list_firewall(struct fake *fake, struct hactl_call *call)
{
    struct hactl_firewall firewall = {
        .struct_size = sizeof firewall, .whole = HACTL_YES, .digest = fake_text(fake->world, "firewall")};
    if (firewall.digest[0])
        fake->host->emit_firewall(call, &firewall);
}

int fake_op_seal(void *self, struct hactl_call *call, const char *purpose, const char *part_name, const char *replica,
                 const char *recipient)
{
    (void)part_name;
    fake_load(self);
    return machine_seal(self, call, purpose, replica, recipient);
}
int fake_op_requests(void *self, struct hactl_call *call, const char *instance)
{
    return fake_run(self, call, "requests", machine_requests, instance);
}
int fake_op_temporary_ensure(void *self, struct hactl_call *call, const char *instance)
{
    return fake_run(self, call, "temporary-ensure", machine_attach, instance);
}
int fake_op_temporary_destroy(void *self, struct hactl_call *call, const char *instance)
{
    return fake_run(self, call, "temporary-destroy", machine_detach, instance);
}
int fake_op_firewall_ensure(void *self, struct hactl_call *call, const struct hactl_firewall_want *want)
{
    return fake_run(self, call, "firewall-ensure", machine_firewall, want);
}
int fake_op_firewall_destroy(void *self, struct hactl_call *call)
{
    return fake_run(self, call, "firewall-destroy", machine_firewall_away, NULL);
}
