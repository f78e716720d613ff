/* SPDX-License-Identifier: Apache-2.0 */
/* What each certificate must say. The address policy is here: internal
 * addresses of replicas, the one external address, the service address and
 * loopback; no other public address gets into a certificate. */
#include "plugins/pki/pki.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool label_character(char c)
{
    return isalnum((unsigned char)c) || c == '-';
}

/* LDH labels of 1 to 63, at most 253 in all; underscores are no host names. */
static bool dns_name_valid(const char *text)
{
    size_t label = 0, length = strlen(text);
    bool digits_only = true;

    if (length == 0 || length > 253)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (text[i] == '.' || text[i] == '\0') {
            if (label == 0 || label > 63 || text[i - 1] == '-' || text[i - label] == '-')
                return false;
            if (text[i] == '\0' && digits_only)
                return false; /* "10.0.0.300" is an address gone wrong, not a name */
            label = 0;
            digits_only = true;
            continue;
        }
        if (!label_character(text[i]))
            return false;
        digits_only = digits_only && isdigit((unsigned char)text[i]);
        label++;
    }
    return true;
}

static bool address_parse(const char *text, struct pki_name *name)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (inet_pton(AF_INET, text, name->octets) == 1)
        name->octet_count = 4;
    else if (inet_pton(AF_INET6, text, name->octets) == 1 && memcmp(name->octets, mapped, sizeof mapped) != 0)
        name->octet_count = 16;
    else
        return false;
    name->is_address = true;
    inet_ntop(name->octet_count == 4 ? AF_INET : AF_INET6, name->octets, name->text, sizeof name->text);
    return true;
}

bool pki_name_parse(const char *text, struct pki_name *name)
{
    memset(name, 0, sizeof *name);
    if (address_parse(text, name))
        return true;
    if (!dns_name_valid(strncmp(text, "*.", 2) == 0 ? text + 2 : text) || strlen(text) > 253)
        return false;
    for (size_t i = 0; text[i] != '\0'; i++)
        name->text[i] = (char)tolower((unsigned char)text[i]);
    return true;
}

bool pki_replica_name_valid(const char *name)
{
    return strlen(name) <= 64 && dns_name_valid(name);
}

/* ---- sets of names ---- */

bool pki_names_have(const struct pki_names *names, const struct pki_name *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->list[i].is_address == name->is_address && strcmp(names->list[i].text, name->text) == 0)
            return true;
    return false;
}

char *pki_names_text(const struct pki_names *names)
{
    size_t size = 1, used = 0;
    char *text;

    for (size_t i = 0; i < names->count; i++)
        size += strlen(names->list[i].text) + 1;
    text = calloc(1, size);
    for (size_t i = 0; text != NULL && i < names->count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", names->list[i].text);
    return text;
}

void pki_names_free(struct pki_names *names)
{
    free(names->list);
    names->list = NULL;
    names->count = 0;
}

static int names_add(struct pki_names *names, const char *text)
{
    struct pki_name name, *wider;

    if (!pki_name_parse(text, &name))
        return HACTL_E_INVALID;
    if (pki_names_have(names, &name))
        return HACTL_OK;
    wider = realloc(names->list, (names->count + 1) * sizeof *wider);
    if (wider == NULL)
        return HACTL_E_INTERNAL;
    wider[names->count++] = name;
    names->list = wider;
    return HACTL_OK;
}

/* ---- the address policy ---- */

struct range {
    size_t octet_count;
    unsigned char octets[16];
    unsigned bits;
};

/* RFC 1918, loopback, link-local, shared (RFC 6598); ::1, unique local,
 * link-local. */
static const struct range private_ranges[] = {
    {4, {10}, 8},       {4, {172, 16}, 12},    {4, {192, 168}, 16}, {4, {127}, 8},          {4, {169, 254}, 16},
    {4, {100, 64}, 10}, {16, {[15] = 1}, 128}, {16, {0xfc}, 7},     {16, {0xfe, 0x80}, 10},
};

static bool in_range(const struct pki_name *name, const struct range *range)
{
    if (name->octet_count != range->octet_count)
        return false;
    for (unsigned bit = 0; bit < range->bits; bit++)
        if (((name->octets[bit / 8] ^ range->octets[bit / 8]) & (0x80u >> (bit % 8))) != 0)
            return false;
    return true;
}

static bool is_private(const struct pki_name *name)
{
    for (size_t i = 0; i < sizeof private_ranges / sizeof private_ranges[0]; i++)
        if (in_range(name, &private_ranges[i]))
            return true;
    return false;
}

static bool same_address(const struct pki_name *name, const char *text)
{
    struct pki_name other;

    return text != NULL && pki_name_parse(text, &other) && other.is_address && strcmp(name->text, other.text) == 0;
}

static bool address_known(const struct hactl_inventory *inventory, const struct pki_name *name)
{
    if (same_address(name, inventory->cluster->external_address) ||
        same_address(name, inventory->cluster->service_address))
        return true;
    for (size_t i = 0; i < inventory->replica_count; i++)
        if (same_address(name, inventory->replicas[i]->internal_address))
            return true;
    return false;
}

static int check_address(const struct pki *pki, struct hactl_call *call, const char *what, const char *of,
                         const char *text)
{
    struct pki_name name;

    if (text == NULL || (pki_name_parse(text, &name) && name.is_address))
        return HACTL_OK;
    return pki->host->fail(call, HACTL_E_INVALID, "the %s of %s, \"%.100s\", is not an IP address", what, of, text);
}

static int check_extra(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                       const char *text)
{
    const char *external = inventory->cluster->external_address;
    struct pki_name name;

    if (!pki_name_parse(text, &name))
        return pki->host->fail(call, HACTL_E_INVALID,
                               "extra_names: \"%.100s\" is neither a DNS name nor an IP address that a certificate "
                               "can carry",
                               text);
    if (!name.is_address || is_private(&name) || address_known(inventory, &name))
        return HACTL_OK;
    return pki->host->fail(call, HACTL_E_INVALID,
                           "extra_names: %s is a public address and not the cluster's external address (%s); "
                           "certificates carry no other: remove it, or use a DNS name",
                           name.text, external != NULL ? external : "none is reserved yet");
}

int pki_inventory_check(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    const struct hactl_cluster *cluster = inventory->cluster;
    int result = check_address(pki, call, "external address", cluster->name, cluster->external_address);

    if (result == HACTL_OK)
        result = check_address(pki, call, "service address", cluster->name, cluster->service_address);
    for (size_t i = 0; result == HACTL_OK && i < inventory->replica_count; i++) {
        const struct hactl_replica *replica = inventory->replicas[i];
        if (!pki_replica_name_valid(replica->name))
            return pki->host->fail(call, HACTL_E_INVALID,
                                   "replica \"%.100s\": a name of at most 64 letters, digits and hyphens is needed "
                                   "for its certificates",
                                   replica->name);
        result = check_address(pki, call, "internal address", replica->name, replica->internal_address);
    }
    for (size_t i = 0; result == HACTL_OK && cluster->extra_names != NULL && cluster->extra_names[i] != NULL; i++)
        result = check_extra(pki, call, inventory, cluster->extra_names[i]);
    return result;
}

/* ---- wants ---- */

const struct hactl_replica *pki_replica_find(const struct hactl_inventory *inventory, const char *name)
{
    for (size_t i = 0; i < inventory->replica_count; i++)
        if (strcmp(inventory->replicas[i]->name, name) == 0)
            return inventory->replicas[i];
    return NULL;
}

static int add_service_names(struct pki_names *names, const struct hactl_cluster *cluster)
{
    static const char *const fixed[] = {"kubernetes", "kubernetes.default", "kubernetes.default.svc"};
    char text[300];
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < sizeof fixed / sizeof fixed[0]; i++)
        result = names_add(names, fixed[i]);
    if (result == HACTL_OK && cluster->dns_domain != NULL && cluster->dns_domain[0] != '\0') {
        snprintf(text, sizeof text, "kubernetes.default.svc.%s", cluster->dns_domain);
        result = names_add(names, text);
    }
    if (result == HACTL_OK && cluster->service_address != NULL)
        result = names_add(names, cluster->service_address);
    return result;
}

static int add_names(struct pki_names *names, unsigned which, const struct hactl_cluster *cluster,
                     const struct hactl_replica *replica)
{
    const struct {
        unsigned flag;
        const char *text;
    } single[] = {
        {PKI_NAME_REPLICA, replica != NULL ? replica->name : NULL},
        {PKI_NAME_LOOPBACK, "localhost"},
        {PKI_NAME_EXTERNAL, cluster->external_address},
        {PKI_NAME_INTERNAL, replica != NULL ? replica->internal_address : NULL},
        {PKI_NAME_LOOPBACK, "127.0.0.1"},
        {PKI_NAME_LOOPBACK_6, "::1"},
    };
    int result = HACTL_OK;

    for (size_t i = 0; result == HACTL_OK && i < sizeof single / sizeof single[0]; i++)
        if ((which & single[i].flag) != 0 && single[i].text != NULL)
            result = names_add(names, single[i].text);
    if (result == HACTL_OK && (which & PKI_NAME_SERVICE) != 0)
        result = add_service_names(names, cluster);
    for (size_t i = 0; (which & PKI_NAME_EXTRA) != 0 && result == HACTL_OK && cluster->extra_names != NULL &&
                       cluster->extra_names[i] != NULL;
         i++)
        result = names_add(names, cluster->extra_names[i]);
    return result;
}

int pki_base(const struct pki_profile *profile, const char *replica, char base[PKI_PATH_SIZE])
{
    int length = profile->scope == PKI_REPLICA ? snprintf(base, PKI_PATH_SIZE, "replicas/%s/%s", replica, profile->file)
                                               : snprintf(base, PKI_PATH_SIZE, "%s", profile->file);

    return length > 0 && length < PKI_PATH_SIZE ? HACTL_OK : HACTL_E_INVALID;
}

int pki_want_make(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                  const struct pki_profile *profile, const struct hactl_replica *replica, struct pki_want *out)
{
    const char *common_name = profile->common_name;
    int result;

    memset(out, 0, sizeof *out);
    out->profile = profile;
    out->replica = profile->scope == PKI_REPLICA ? replica->name : NULL;
    if (common_name == NULL)
        common_name = replica->name;
    snprintf(out->common_name, sizeof out->common_name, "%s", common_name);
    result = pki_base(profile, out->replica, out->base);
    if (result == HACTL_OK)
        result = add_names(&out->names, profile->names, inventory->cluster, replica);
    if (result == HACTL_OK)
        return HACTL_OK;
    pki_want_free(out);
    return pki->host->fail(call, result, "%s of %s: %s", profile->purpose, replica != NULL ? replica->name : "cluster",
                           result == HACTL_E_INVALID ? "one of its names cannot be in a certificate" : "out of memory");
}

void pki_want_free(struct pki_want *want)
{
    pki_names_free(&want->names);
}
