/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netns.h"

static char fabric[32], operator[32];

const char *em_network_operator(void)
{
    return operator;
}

const char *em_network_fabric(void)
{
    return fabric;
}

void em_network_namespace(unsigned number, char *name, size_t size)
{
    snprintf(name, size, "gce-%d-vm%u", (int)getpid(), number);
}

static bool forwarding_on(void)
{
    const char *const argv[] = {"sysctl",
                                "-q",
                                "-w",
                                "net.ipv4.ip_forward=1",
                                "net.ipv4.conf.all.rp_filter=0",
                                "net.ipv4.conf.default.rp_filter=0",
                                NULL};

    return em_netns_run(fabric, argv, NULL);
}

/* External addresses that nobody has are dark: nothing answers for them, not even with an error. */
static bool make_fabric(void)
{
    char *lines = em_format("link set lo up\n"
                            "link set op0 up\n"
                            "addr add 192.0.2.1/24 dev op0\n"
                            "addr add " EM_PROBE_SERVICE "/32 dev lo\n"
                            "addr add " EM_PROBE_POOL "/32 dev lo\n"
                            "route add blackhole 198.18.0.0/15\n");
    bool good = em_netns_ip(fabric, lines, false);

    free(lines);
    return good && forwarding_on();
}

static bool make_operator(void)
{
    return em_netns_ip(operator, "link set lo up\n"
                                 "link set eth0 up\n"
                                 "addr add " EM_OPERATOR_ADDRESS "/24 dev eth0\n"
                                 "route add default via 192.0.2.1\n",
                       false);
}

bool em_network_start(void)
{
    char *lines;
    bool good;

    em_netns_clean();
    snprintf(fabric, sizeof(fabric), "gce-%d-net", (int)getpid());
    snprintf(operator, sizeof(operator), "gce-%d-operator", (int)getpid());
    if (!em_netns_add(fabric) || !em_netns_add(operator)) {
        return false;
    }
    lines = em_format("link add op0 type veth peer name eth0 netns %s\n", operator);
    good = em_netns_ip(fabric, lines, false) && make_fabric() && make_operator();
    free(lines);
    return good;
}

void em_network_end(void)
{
    if (fabric[0] != '\0') {
        em_netns_delete(operator);
        em_netns_delete(fabric);
    }
}

/* The first address of its /20. */
static void gateway_of(const char *ip, char *gateway, size_t size)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    (void)sscanf(ip, "%u.%u.%u.%u", &a, &b, &c, &d);
    snprintf(gateway, size, "%u.%u.%u.1", a, b, c & 0xf0);
}

static bool attach_machine(const char *name, const char *ip, const char *gateway)
{
    char *lines = em_format("link set lo up\n"
                            "addr add 169.254.169.254/32 dev lo\n"
                            "link set eth0 up\n"
                            "addr add %s/32 dev eth0\n"
                            "route add %s dev eth0\n"
                            "route add default via %s\n",
                            ip, gateway, gateway);
    bool good = em_netns_ip(name, lines, false);

    free(lines);
    return good;
}

bool em_network_attach(unsigned number, const char *ip)
{
    char name[48], gateway[32], *lines;
    bool good;

    em_network_namespace(number, name, sizeof(name));
    gateway_of(ip, gateway, sizeof(gateway));
    if (!em_netns_add(name)) {
        return false;
    }
    lines = em_format("addr add %s/32 dev lo\n", gateway);
    (void)em_netns_ip(fabric, lines, true); /* the first machine of its subnetwork brings it */
    free(lines);
    lines = em_format("link add v%u type veth peer name eth0 netns %s\n"
                      "link set v%u up\n"
                      "route add %s dev v%u\n"
                      "rule add fwmark %u lookup %u\n"
                      "route add default via %s dev v%u onlink table %u\n",
                      number, name, number, ip, number, number, 1000 + number, ip, number, 1000 + number);
    good = em_netns_ip(fabric, lines, false);
    free(lines);
    return good && attach_machine(name, ip, gateway);
}

void em_network_detach(unsigned number)
{
    char name[48],
        *lines = em_format("link delete v%u\nrule delete fwmark %u lookup %u\n", number, number, 1000 + number);

    (void)em_netns_ip(fabric, lines, true);
    free(lines);
    em_network_namespace(number, name, sizeof(name));
    em_netns_delete(name);
}

bool em_network_load(const char *rules)
{
    const char *const argv[] = {"nft", "-f", NULL};

    return em_netns_run(fabric, argv, rules);
}

/* What Google's guest agent does: a local route for each address. */
void em_network_forwarded(unsigned number, const json_t *old, const json_t *ips)
{
    char name[48], *lines = NULL;
    size_t size, i;
    FILE *out = open_memstream(&lines, &size);
    json_t *ip;

    if (out == NULL) {
        abort();
    }
    json_array_foreach(old, i, ip)
    {
        if (em_array_find(ips, json_string_value(ip)) < 0) {
            fprintf(out, "route delete local %s/32 dev eth0 proto 66\n", json_string_value(ip));
        }
    }
    json_array_foreach(ips, i, ip)
    {
        fprintf(out, "route replace local %s/32 dev eth0 proto 66\n", json_string_value(ip));
    }
    fclose(out);
    em_network_namespace(number, name, sizeof(name));
    (void)em_netns_ip(name, lines, true);
    free(lines);
}
