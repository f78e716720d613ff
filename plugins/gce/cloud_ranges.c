/* SPDX-License-Identifier: Apache-2.0 */
/* The ranges that firewall rules let in, before there are rules: each is one,
 * none is an example's, and who may dial etcd is not everybody. */
#include "plugins/gce/cloud.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct range {
    int family;
    unsigned char address[16];
    unsigned length; /* of the prefix */
};

/* ADDRESS or ADDRESS/LENGTH. */
static bool parse(const char *text, struct range *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    unsigned bits;
    char *end;

    if (size >= sizeof(address))
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    out->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    bits = out->family == AF_INET ? 32 : 128;
    out->length = bits;
    if (inet_pton(out->family, address, out->address) != 1)
        return false;
    if (!slash)
        return true;
    if (slash[1] < '0' || slash[1] > '9' || (slash[1] == '0' && slash[2] != '\0'))
        return false;
    out->length = (unsigned)strtoul(slash + 1, &end, 10);
    return *end == '\0' && end - slash <= 4 && out->length <= bits;
}

/* RFC 5737 and RFC 3849: in examples, and nowhere on the Internet. */
static bool is_of_examples(const struct range *range)
{
    static const char *const examples[] = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"};
    struct range example;

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        if (parse(examples[i], &example) && range->family == example.family && range->length >= example.length &&
            memcmp(range->address, example.address, example.length / 8) == 0)
            return true;
    return false;
}

/* Two halves of the world are as good as all of it. */
static bool is_everybody(const struct range *range)
{
    return range->length < (range->family == AF_INET ? 8 : 16);
}

bool cloud_range_is_everybody(const char *text)
{
    struct range range;

    return parse(text, &range) && is_everybody(&range);
}

static int judge(struct cloud *cloud, struct hactl_call *call, const char *key, const char *text, bool is_admin)
{
    static const char wanted[] = "the addresses that hactl comes from, each as ADDRESS/32, or your network's range";
    const char *instead = is_admin ? wanted : "those that are to be let in, each as ADDRESS/LENGTH";
    struct range range;

    if (!parse(text, &range))
        return cloud->host->fail(call, HACTL_E_INVALID, "%s: \"%.60s\" is no range of addresses: write %s", key, text,
                                 instead);
    /* The world around a test server is made of them. */
    if (is_of_examples(&range) && !gce_api_is_near(cloud->gce))
        return cloud->host->fail(call, HACTL_E_INVALID,
                                 "%s: \"%s\" is a range for examples, and nobody comes from there: write %s", key, text,
                                 instead);
    if (is_admin && is_everybody(&range))
        return cloud->host->fail(call, HACTL_E_INVALID,
                                 "%s: \"%s\" is everybody, and ports such as etcd's are never opened to everybody: "
                                 "write %s",
                                 key, text, instead);
    return HACTL_OK;
}

int cloud_ranges_check(struct cloud *cloud, struct hactl_call *call)
{
    static const char *const keys[] = {"admin_ranges", "api_ranges", "health_check_ranges"};
    const char *text;
    int rc = HACTL_OK;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (size_t j = 0; rc == HACTL_OK && (text = cloud->host->conf_list(cloud->conf, keys[i], j)); j++)
            rc = judge(cloud, call, keys[i], text, i == 0);
    return rc;
}
