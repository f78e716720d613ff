/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fake.c has besides when it is built with FAKE_MACHINES: machines that
 * make their own keys and have a public address of their own, and a firewall.
 * A machine that is made again has another key; a certificate of the former
 * one does not fit it.
 */
#ifndef HACTL_TESTS_FAKE_MACHINES_H
#define HACTL_TESTS_FAKE_MACHINES_H

static json_t *machine_of(struct fake *fake, const char *name)
{
    return json_object_get(part(fake, "instances"), name);
}

/* Keys are numbered, but nobody compares worlds by them: which machine is made first is chance. */
static void machine_new(struct fake *fake, const char *name)
{
    char key[96];
    json_int_t made = json_integer_value(json_object_get(part(fake, "made"), name)) + 1;
    json_object_set_new(part(fake, "made"), name, json_integer(made));
    snprintf(key, sizeof key, "key %d of %s", (int)made, name);
    json_object_set_new(machine_of(fake, name), "key", json_string(key));
    json_object_set_new(machine_of(fake, name), "temporary", json_true());
}

static int machine_requests(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    const char *name = arguments;
    char asked[96];
    struct hactl_request request = {.struct_size = sizeof request, .instance = name, .purpose = "fake-server"};
    snprintf(asked, sizeof asked, "requests %s", name);
    if (!machine_of(fake, name))
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", name);
    if (is_coy(fake, asked))
        return fake->host->fail(call, HACTL_E_BUSY, "%s has made no key yet", name);
    request.content = text(machine_of(fake, name), "key");
    return fake->host->emit_request(call, &request);
}

static int machine_certify(struct fake *fake, struct hactl_call *call, const char *name,
                           const struct hactl_request *request)
{
    if (!request || strcmp(request->instance, name) != 0)
        return fake->host->fail(call, HACTL_E_INVALID, "%s: there is no request", name);
    if (strcmp(text(part(fake, "certificates"), name), request->content) == 0)
        return HACTL_OK;
    json_object_set_new(part(fake, "certificates"), name, json_string(request->content));
    effect(fake, "issue", name);
    return HACTL_OK;
}

/* What is delivered: no key, and a certificate of the key that the machine has. */
static int machine_fits(struct fake *fake, struct hactl_call *call, const char *name,
                        const struct hactl_payload *payload)
{
    for (size_t i = 0; i < payload->file_count; i++)
        if (payload->files[i]->part && strcmp(payload->files[i]->part, "key") == 0 && payload->files[i]->content)
            return fake->host->fail(call, HACTL_E_INVALID, "%s: a key was sent to %s", payload->files[i]->path, name);
    if (strcmp(text(part(fake, "certificates"), name), text(machine_of(fake, name), "key")) == 0)
        return HACTL_OK;
    return fake->host->fail(call, HACTL_E_CONFLICT, "%s: the certificate is of another key", name);
}

static int machine_temporary(struct fake *fake, struct hactl_call *call, const char *name, int wanted)
{
    json_t *item = machine_of(fake, name);
    if (!item)
        return fake->host->fail(call, HACTL_E_NOT_FOUND, "there is no %s", name);
    if (wanted && strcmp(text(fake->world, "holder"), name) == 0)
        return fake->host->fail(call, HACTL_E_CONFLICT, "%s holds the public address", name);
    if (json_is_true(json_object_get(item, "temporary")) == wanted)
        return HACTL_OK;
    json_object_set_new(item, "temporary", json_boolean(wanted));
    effect(fake, wanted ? "attach" : "detach", name);
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
    if (strcmp(text(fake->world, "firewall"), want->digest) == 0)
        return HACTL_OK;
    json_object_set_new(fake->world, "firewall", json_string(want->digest));
    effect(fake, "firewall", "open");
    return HACTL_OK;
}

static int machine_firewall_away(struct fake *fake, struct hactl_call *call, const void *arguments)
{
    (void)call, (void)arguments;
    if (json_object_del(fake->world, "firewall") == 0)
        effect(fake, "firewall", "gone");
    return HACTL_OK;
}

static void machine_list_firewall(struct fake *fake, struct hactl_call *call)
{
    struct hactl_firewall firewall = {
        .struct_size = sizeof firewall, .whole = HACTL_YES, .digest = text(fake->world, "firewall")};
    if (firewall.digest[0])
        fake->host->emit_firewall(call, &firewall);
}

static int op_requests(void *self, struct hactl_call *call, const char *instance)
{
    return run(self, call, "requests", machine_requests, instance);
}
static int op_temporary_ensure(void *self, struct hactl_call *call, const char *instance)
{
    return run(self, call, "temporary-ensure", machine_attach, instance);
}
static int op_temporary_destroy(void *self, struct hactl_call *call, const char *instance)
{
    return run(self, call, "temporary-destroy", machine_detach, instance);
}
static int op_firewall_ensure(void *self, struct hactl_call *call, const struct hactl_firewall_want *want)
{
    return run(self, call, "firewall-ensure", machine_firewall, want);
}
static int op_firewall_destroy(void *self, struct hactl_call *call)
{
    return run(self, call, "firewall-destroy", machine_firewall_away, NULL);
}

#endif
