/* SPDX-License-Identifier: Apache-2.0 */
#include "latency.h"

#include <fnmatch.h>
#include <string.h>

#include "emulator.h"

static json_t *settings;

/*
 * An assumption, not a measurement: the order of magnitude that users report
 * for each kind of change, in the middle of the day and without a queue.
 */
static const struct {
    const char *glob;
    int request_ms, operation_ms;
} realistic[] = {
    {"*", 100, 2000},
    {"*.list", 150, -1},
    {"*.aggregatedList", 250, -1},
    {"*Operations.*", 60, -1},
    {"instances.insert", 300, 12000},
    {"instances.delete", 300, 40000},
    {"instances.stop", 300, 30000},
    {"instances.start", 300, 12000},
    {"instances.addAccessConfig", 200, 4000},
    {"instances.deleteAccessConfig", 200, 4000},
    {"disks.insert", 200, 3000},
    {"addresses.insert", 200, 2500},
    {"forwardingRules.insert", 250, 6000},
    {"forwardingRules.delete", 250, 6000},
    {"regionBackendServices.*", 200, 5000},
    {"instanceGroups.*", 200, 4000},
    {"firewalls.*", 200, 6000},
};

void em_latency_set(const char *glob, int request_ms, int operation_ms)
{
    if (settings == NULL) {
        settings = json_array();
    }
    json_array_append_new(
        settings, json_pack("{s:s,s:i,s:i}", "method", glob, "request_ms", request_ms, "operation_ms", operation_ms));
}

unsigned em_latency_modelled_ms(const char *method)
{
    unsigned request_ms = 0, operation_ms = 0;

    for (size_t i = 0; i < sizeof(realistic) / sizeof(realistic[0]); i++) {
        if (fnmatch(realistic[i].glob, method, 0) == 0) {
            request_ms = (unsigned)realistic[i].request_ms;
            operation_ms = realistic[i].operation_ms < 0 ? operation_ms : (unsigned)realistic[i].operation_ms;
        }
    }
    return request_ms + operation_ms;
}

int em_latency_preset(const char *name, int percent)
{
    if (strcmp(name, "none") == 0) {
        em_latency_clear();
        return 1;
    }
    if (strcmp(name, "realistic") != 0) {
        return 0;
    }
    em_latency_clear();
    for (size_t i = 0; i < sizeof(realistic) / sizeof(realistic[0]); i++) {
        em_latency_set(realistic[i].glob, realistic[i].request_ms * percent / 100,
                       realistic[i].operation_ms < 0 ? -1 : realistic[i].operation_ms * percent / 100);
    }
    return 1;
}

static unsigned lookup(const char *method, const char *which)
{
    for (size_t i = json_array_size(settings); i > 0; i--) {
        const json_t *setting = json_array_get(settings, i - 1);
        long long ms = em_number(setting, which, -1);

        if (ms >= 0 && fnmatch(em_text(setting, "method"), method, 0) == 0) {
            return (unsigned)ms;
        }
    }
    return 0;
}

unsigned em_latency_request_ms(const char *method)
{
    return lookup(method, "request_ms");
}

unsigned em_latency_operation_ms(const char *method)
{
    return lookup(method, "operation_ms");
}

json_t *em_latency_list(void)
{
    return settings == NULL ? json_array() : json_deep_copy(settings);
}

void em_latency_clear(void)
{
    json_decref(settings);
    settings = NULL;
}
