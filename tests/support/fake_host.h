/* SPDX-License-Identifier: Apache-2.0 */
/* A host for testing plugins without the core: keeps what they emit as deep
 * copies in arrays, and the text and code of the first failure. Checks the
 * contract as it goes (struct_size set, text given with every failure). */
#ifndef HACTL_TESTS_FAKE_HOST_H
#define HACTL_TESTS_FAKE_HOST_H

#include <hactl/plugin.h>

struct fake_setting {
    const char *key, *value;
}; /* lists: separated by spaces */

#define FAKE_LIST(type, plural)  \
    struct hactl_##type *plural; \
    size_t type##_count

struct hactl_call {
    int64_t deadline_ms; /* CLOCK_MONOTONIC */
    int cancelled;
    char intent[40]; /* empty: changes nothing */
    int code;
    char text[1024];
    uint32_t retry_after_ms;
    char *token;
    char *emitted_text;
    FAKE_LIST(zone, zones);
    FAKE_LIST(instance, instances);
    FAKE_LIST(delivery, deliveries);
    FAKE_LIST(address, addresses);
    FAKE_LIST(reach, reaches);
    FAKE_LIST(certificate, certificates);
    FAKE_LIST(credential, credentials);
    FAKE_LIST(group, groups);
    FAKE_LIST(member, members);
    FAKE_LIST(balancer, balancers);
    FAKE_LIST(backend, backends);
    FAKE_LIST(file, files);
    FAKE_LIST(unit, units);
    FAKE_LIST(port, ports);
    FAKE_LIST(request, requests);
    FAKE_LIST(firewall, firewalls);
    struct fake_unread {
        char *zone, *why; /* zone NULL: what belongs to no zone */
    } * unread;
    size_t unread_count;
};

struct hactl_conf;

extern const struct hactl_host fake_host;

/* Defaults come from `keys`; a setting that `keys` does not declare aborts. */
struct hactl_conf *fake_conf_new(const struct hactl_key *keys, const struct fake_setting *settings,
                                 const char *instance, const char *cluster, const char *directory);
/* What host->conf_of gives for a key of type HACTL_KEY_INSTANCE. */
void fake_conf_link(struct hactl_conf *conf, const struct hactl_conf *other);
void fake_conf_free(struct hactl_conf *conf);

struct hactl_call *fake_call_new(int64_t timeout_ms);
void fake_call_free(struct hactl_call *call);

#endif
