/* SPDX-License-Identifier: Apache-2.0 */
/* What each certificate must say, computed from the inventory each time, and
 * for each of its names why it is there. */
#include "plugins/pki/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct hactl_replica *pki_replica_find(const struct hactl_inventory *inventory, const char *name)
{
    for (size_t i = 0; i < inventory->replica_count; i++)
        if (strcmp(inventory->replicas[i]->name, name) == 0)
            return inventory->replicas[i];
    return NULL;
}

int pki_replica_ready(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                      const char *name, const struct hactl_replica **out)
{
    *out = pki_replica_find(inventory, name);
    if (*out == NULL)
        return pki->host->fail(call, HACTL_E_INVALID, "replica %.64s is not in the inventory", name);
    if ((*out)->internal_address == NULL)
        return pki->host->fail(call, HACTL_E_INVALID,
                               "replica %.64s has no internal address yet, and its certificates must carry it", name);
    return HACTL_OK;
}

bool pki_called_for(const struct hactl_inventory *inventory, const struct pki_profile *profile)
{
    if (profile->scope != PKI_REPLICA || !inventory->replica_keys)
        return true;
    if (profile->of_people)
        return false;
    for (size_t i = 0; inventory->key_purposes != NULL && inventory->key_purposes[i] != NULL; i++)
        if (strcmp(inventory->key_purposes[i], profile->purpose) == 0)
            return true;
    return inventory->key_purposes == NULL;
}

bool pki_base(const struct pki_profile *profile, const char *replica, char base[PKI_PATH_SIZE])
{
    int length = profile->scope == PKI_REPLICA ? snprintf(base, PKI_PATH_SIZE, "replicas/%s/%s", replica, profile->file)
                                               : snprintf(base, PKI_PATH_SIZE, "%s", profile->file);

    return length > 0 && length < PKI_PATH_SIZE;
}

const char *pki_ending(enum pki_form form)
{
    return form == PKI_KUBECONFIG ? ".conf" : ".crt";
}

/* ---- names ---- */

static int add_service_names(struct pki_names *names, const struct hactl_cluster *cluster)
{
    static const char *const fixed[] = {"kubernetes", "kubernetes.default", "kubernetes.default.svc"};
    char text[300];
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < sizeof fixed / sizeof fixed[0]; i++)
        result = pki_names_add(names, fixed[i], "the API server's service");
    if (result == HACTL_OK && cluster->dns_domain != NULL && cluster->dns_domain[0] != '\0') {
        snprintf(text, sizeof text, "kubernetes.default.svc.%s", cluster->dns_domain);
        result = pki_names_add(names, text, "the API server's service in the cluster's domain");
    }
    if (result == HACTL_OK && cluster->service_address != NULL)
        result = pki_names_add(names, cluster->service_address, "first address of the service range");
    return result;
}

static int add_listed(struct pki_names *names, const char *const *list, const char *why)
{
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && list != NULL && list[i] != NULL; i++)
        result = pki_names_add(names, list[i], why);
    return result;
}

static int add_names(struct pki_names *names, const struct pki_profile *profile, const struct hactl_cluster *cluster,
                     const struct hactl_replica *replica)
{
    char internal[PKI_WHY_SIZE], listed[PKI_WHY_SIZE];
    const struct {
        unsigned flag;
        const char *text, *why;
    } single[] = {
        {PKI_NAME_REPLICA, replica != NULL ? replica->name : NULL, "name of the replica"},
        {PKI_NAME_LOOPBACK, "localhost", "loopback"},
        {PKI_NAME_EXTERNAL, cluster->external_address, "the cluster's external address"},
        {PKI_NAME_INTERNAL, replica != NULL ? replica->internal_address : NULL, internal},
        {PKI_NAME_LOOPBACK, "127.0.0.1", "loopback"},
        {PKI_NAME_LOOPBACK, "::1", "loopback"},
    };
    int result = HACTL_OK;

    snprintf(internal, sizeof internal, "internal address of %.70s", replica != NULL ? replica->name : "");
    snprintf(listed, sizeof listed, "profile %.80s", profile->purpose);
    for (size_t i = 0; result == HACTL_OK && i < sizeof single / sizeof single[0]; i++)
        if ((profile->names & single[i].flag) != 0 && single[i].text != NULL)
            result = pki_names_add(names, single[i].text, single[i].why);
    if (result == HACTL_OK && (profile->names & PKI_NAME_SERVICE) != 0)
        result = add_service_names(names, cluster);
    if (result == HACTL_OK && (profile->names & PKI_NAME_EXTRA) != 0)
        result = add_listed(names, cluster->extra_names, "cluster.names");
    if (result == HACTL_OK)
        result = add_listed(names, (const char *const *)profile->more_names, listed);
    return result;
}

/* ---- wants ---- */

/* False when it would be longer than a certificate may have it. */
static bool set_common_name(struct pki_want *want, const struct hactl_replica *replica)
{
    const char *pattern = want->profile->common_name, *mark = pattern != NULL ? strstr(pattern, "%s") : NULL;
    size_t size = sizeof want->common_name;
    int length;

    if (pattern == NULL)
        length = snprintf(want->common_name, size, "%s", replica->name);
    else if (mark == NULL)
        length = snprintf(want->common_name, size, "%s", pattern);
    else
        length = snprintf(want->common_name, size, "%.*s%s%s", (int)(mark - pattern), pattern, replica->name, mark + 2);
    return (size_t)length < size;
}

/* What the replica's own processes use is its own API server; everybody else
 * uses the endpoint, or the replica while there is none. */
static void set_server(const struct pki *pki, struct pki_want *want, const struct hactl_cluster *cluster,
                       const struct hactl_replica *replica)
{
    const char *host = replica != NULL ? replica->internal_address : NULL;
    unsigned port = pki->api_port;

    if (want->profile->form != PKI_KUBECONFIG)
        return;
    want->cluster = cluster->name;
    if (cluster->external_address != NULL && (want->profile->server == PKI_SERVER_ENDPOINT || host == NULL)) {
        host = cluster->external_address;
        port = cluster->endpoint_port != 0 ? cluster->endpoint_port : pki->api_port;
    }
    if (host == NULL)
        host = "127.0.0.1";
    snprintf(want->server, sizeof want->server, strchr(host, ':') != NULL ? "https://[%s]:%u" : "https://%s:%u", host,
             port);
}

int pki_want_make(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const struct pki_profile *profile, const struct hactl_replica *replica, struct pki_want *out)
{
    const char *of = replica != NULL ? replica->name : "cluster";
    int result;

    memset(out, 0, sizeof *out);
    out->profile = profile;
    out->replica = profile->scope == PKI_REPLICA ? replica->name : NULL;
    out->keyless = profile->scope == PKI_REPLICA && inventory->replica_keys;
    out->form = out->keyless ? PKI_PAIR : profile->form;
    if (!set_common_name(out, replica))
        return pki->host->fail(call, HACTL_E_INVALID,
                               "%s of %s: its common name would have more than 64 characters; a shorter name of the "
                               "replica is needed",
                               profile->purpose, of);
    if (pki_is_address(out->common_name))
        return pki->host->fail(call, HACTL_E_INVALID,
                               "%s of %s: its common name would be the address %s, which nobody looks for there",
                               profile->purpose, of, out->common_name);
    out->renews = pki_renews(inventory, profile, out->replica);
    set_server(pki, out, inventory->cluster, replica);
    if (!pki_base(profile, out->replica, out->base))
        return pki->host->fail(call, HACTL_E_INVALID, "%s of %s: its path is too long", profile->purpose, of);
    result = add_names(&out->names, profile, inventory->cluster, replica);
    if (result == HACTL_OK)
        return HACTL_OK;
    pki_want_free(out);
    return pki->host->fail(call, result, "%s of %s: %s", profile->purpose, of,
                           result == HACTL_E_INVALID ? "one of its names cannot be in a certificate" : "out of memory");
}

bool pki_want_is_nameless(const struct pki_want *want)
{
    return (want->profile->usage & PKI_SERVER) != 0 && want->names.count == 0;
}

int pki_want_refuse_nameless(const struct pki *pki, struct hactl_call *call, const struct pki_want *want)
{
    const char *purpose = want->profile->purpose;

    if (!pki_want_is_nameless(want))
        return HACTL_OK;
    return pki->host->fail(
        call, HACTL_E_INVALID,
        "%s of %s: profiles.%s.names comes to nothing here, and a server without names is trusted by "
        "nobody; give it a name, or what it refers to (cluster.names, an address)",
        purpose, want->replica != NULL ? want->replica : "the cluster", purpose);
}

void pki_want_free(struct pki_want *want)
{
    pki_names_free(&want->names);
}
