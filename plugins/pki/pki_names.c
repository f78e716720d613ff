/* SPDX-License-Identifier: Apache-2.0 */
/* Names and addresses as certificates carry them. The address policy is here:
 * internal addresses of replicas, the one external address, the service
 * address and loopback; no other public address gets into a certificate. */
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

/* Of whatever kind, those that no certificate may carry too. */
bool pki_is_address(const char *text)
{
    unsigned char octets[16];

    return inet_pton(AF_INET, text, octets) == 1 || inet_pton(AF_INET6, text, octets) == 1;
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
    size_t size = 1;
    char *text, *end;

    for (size_t i = 0; i < names->count; i++)
        size += strlen(names->list[i].text) + 1;
    text = end = calloc(1, size);
    for (size_t i = 0; text != NULL && i < names->count; i++)
        end = stpcpy(stpcpy(end, i > 0 ? "," : ""), names->list[i].text);
    return text;
}

void pki_names_free(struct pki_names *names)
{
    free(names->list);
    names->list = NULL;
    names->count = 0;
}

/* "10.0.0.11 (internal address of demo-1), demo-1 (name of the replica)" */
char *pki_names_explain(const struct pki_names *names)
{
    size_t size = 1;
    char *text, *end;

    for (size_t i = 0; i < names->count; i++)
        size += strlen(names->list[i].text) + strlen(names->list[i].why) + 5;
    text = end = calloc(1, size);
    for (size_t i = 0; text != NULL && i < names->count; i++) {
        end = stpcpy(stpcpy(end, i > 0 ? ", " : ""), names->list[i].text);
        end = stpcpy(stpcpy(stpcpy(end, " ("), names->list[i].why), ")");
    }
    return text;
}

int pki_names_add(struct pki_names *names, const char *text, const char *why)
{
    struct pki_name name, *wider;

    if (!pki_name_parse(text, &name))
        return HACTL_E_INVALID;
    if (pki_names_have(names, &name))
        return HACTL_OK;
    /* By eights: there are seldom more. */
    if (names->count % 8 == 0) {
        wider = realloc(names->list, (names->count + 8) * sizeof *wider);
        if (wider == NULL)
            return HACTL_E_INTERNAL;
        names->list = wider;
    }
    memcpy(name.why, why, strnlen(why, sizeof name.why - 1)); /* zeros follow */
    names->list[names->count++] = name;
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

bool pki_address_allowed(const struct hactl_inventory *inventory, const struct pki_name *name)
{
    return is_private(name) || address_known(inventory, name);
}

/* ---- constraints ---- */

static bool permit_range(NAME_CONSTRAINTS *constraints, const struct range *range)
{
    GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    unsigned char bytes[32] = {0};

    memcpy(bytes, range->octets, range->octet_count);
    for (unsigned bit = 0; bit < range->bits; bit++)
        bytes[range->octet_count + bit / 8] |= (unsigned char)(0x80u >> (bit % 8));
    if (subtree == NULL || value == NULL || ASN1_OCTET_STRING_set(value, bytes, (int)(2 * range->octet_count)) != 1) {
        GENERAL_SUBTREE_free(subtree);
        ASN1_OCTET_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(subtree->base, GEN_IPADD, value);
    if (sk_GENERAL_SUBTREE_push(constraints->permittedSubtrees, subtree) > 0)
        return true;
    GENERAL_SUBTREE_free(subtree);
    return false;
}

static bool permit_address(NAME_CONSTRAINTS *constraints, const char *text)
{
    struct pki_name name;
    struct range range = {0};

    if (text == NULL || !pki_name_parse(text, &name) || !name.is_address || is_private(&name))
        return true;
    range.octet_count = name.octet_count;
    range.bits = (unsigned)name.octet_count * 8;
    memcpy(range.octets, name.octets, sizeof range.octets);
    return permit_range(constraints, &range);
}

NAME_CONSTRAINTS *pki_constraints_make(const struct hactl_inventory *inventory)
{
    NAME_CONSTRAINTS *constraints = NAME_CONSTRAINTS_new();
    bool good = constraints != NULL && (constraints->permittedSubtrees = sk_GENERAL_SUBTREE_new_null()) != NULL;

    for (size_t i = 0; good && i < sizeof private_ranges / sizeof private_ranges[0]; i++)
        good = permit_range(constraints, &private_ranges[i]);
    good = good && permit_address(constraints, inventory->cluster->external_address) &&
           permit_address(constraints, inventory->cluster->service_address);
    for (size_t i = 0; good && i < inventory->replica_count; i++)
        good = permit_address(constraints, inventory->replicas[i]->internal_address);
    if (good)
        return constraints;
    NAME_CONSTRAINTS_free(constraints);
    return NULL;
}

/* ---- the inventory ---- */

const char *pki_shown(const char *text, char out[PKI_SHOWN_SIZE])
{
    size_t i = 0;

    for (; text[i] != '\0' && i < PKI_SHOWN_SIZE - 1; i++)
        out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    out[i] = '\0';
    return out;
}

static int check_address(const struct pki *pki, struct hactl_call *call, const char *what, const char *of,
                         const char *text)
{
    char shown[PKI_SHOWN_SIZE];
    struct pki_name name;

    if (text == NULL || (pki_name_parse(text, &name) && name.is_address))
        return HACTL_OK;
    return pki->host->fail(call, HACTL_E_INVALID, "the %s of %s, \"%s\", is not an IP address", what, of,
                           pki_shown(text, shown));
}

static int check_extra(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                       const char *of, const char *text)
{
    const char *external = inventory->cluster->external_address;
    char shown[PKI_SHOWN_SIZE];
    struct pki_name name;

    if (!pki_name_parse(text, &name))
        return pki->host->fail(call, HACTL_E_INVALID,
                               "%s: \"%s\" is neither a DNS name nor an IP address that a certificate can carry", of,
                               pki_shown(text, shown));
    if (!name.is_address || pki_address_allowed(inventory, &name))
        return HACTL_OK;
    return pki->host->fail(call, HACTL_E_INVALID,
                           "%s: %s is a public address and not the cluster's external address (%s); "
                           "certificates carry no other: remove it, or use a DNS name",
                           of, name.text, external != NULL ? external : "none is reserved yet");
}

static int check_profile_names(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory,
                               const struct pki_profile *profile)
{
    char of[160];
    int result = HACTL_OK;

    snprintf(of, sizeof of, "profiles.%.100s.names", profile->purpose);
    for (size_t i = 0; result == HACTL_OK && profile->more_names != NULL && profile->more_names[i] != NULL; i++)
        result = check_extra(pki, call, inventory, of, profile->more_names[i]);
    return result;
}

int pki_inventory_check(const struct pki *pki, struct hactl_call *call, const struct hactl_inventory *inventory)
{
    const struct hactl_cluster *cluster = inventory->cluster;
    int result = check_address(pki, call, "external address", cluster->name, cluster->external_address);

    if (result == HACTL_OK)
        result = check_address(pki, call, "service address", cluster->name, cluster->service_address);
    for (size_t i = 0; result == HACTL_OK && i < inventory->replica_count; i++) {
        const struct hactl_replica *replica = inventory->replicas[i];
        char shown[PKI_SHOWN_SIZE];
        if (!pki_replica_name_valid(replica->name))
            return pki->host->fail(call, HACTL_E_INVALID,
                                   "replica \"%s\": a name of at most 64 letters, digits and hyphens is needed "
                                   "for its certificates",
                                   pki_shown(replica->name, shown));
        result = check_address(pki, call, "internal address", replica->name, replica->internal_address);
    }
    for (size_t i = 0; result == HACTL_OK && cluster->extra_names != NULL && cluster->extra_names[i] != NULL; i++)
        result = check_extra(pki, call, inventory, "cluster.names", cluster->extra_names[i]);
    for (size_t i = 0; result == HACTL_OK && i < pki->profile_count; i++)
        result = check_profile_names(pki, call, inventory, &pki->profiles[i]);
    return result;
}
