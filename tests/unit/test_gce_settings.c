/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins/gce says of its settings when it is opened, before anybody is asked anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/gce/cloud.h"
#include "tests/support/fake_host.h"

struct opened {
    int rc;
    char text[1024];
};

/* NULL ends `more`. The project is known, so that nobody has to be asked for it. */
static struct opened open_with(const struct fake_setting *more)
{
    struct fake_setting settings[12] = {{"project", "mine"}, {"zones", "us-central1-b"}};
    struct hactl_call *call = fake_call_new(5000);
    struct opened opened = {0};
    struct hactl_conf *conf;
    size_t count = 2;
    void *self = NULL;

    for (; more->key; more++)
        settings[count++] = *more;
    conf = fake_conf_new(cloud_keys, settings, "cloud", "demo", "/nonexistent");
    opened.rc = hactl_plugin.open(&fake_host, conf, call, &self);
    strcpy(opened.text, call->text);
    if (opened.rc == HACTL_OK)
        hactl_plugin.close(self);
    fake_conf_free(conf);
    fake_call_free(call);
    return opened;
}

static void assert_taken(const char *key, const char *value)
{
    struct opened opened = open_with((struct fake_setting[]){{key, value}, {NULL, NULL}});

    if (opened.rc != HACTL_OK)
        fail_msg("%s = %s: %s", key, value, opened.text);
}

/* The text begins with the key, so that the core tells the key's line. */
static void assert_refused(const char *key, const char *value, const char *why)
{
    struct opened opened = open_with((struct fake_setting[]){{key, value}, {NULL, NULL}});
    size_t length = strlen(key);

    if (opened.rc != HACTL_E_INVALID || !strstr(opened.text, why) || strncmp(opened.text, key, length) != 0 ||
        opened.text[length] != ':')
        fail_msg("%s = %s: %d \"%s\", not \"%s: ... %s\"", key, value, opened.rc, opened.text, key, why);
}

static int setup(void **state)
{
    static const char *const variables[] = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "CLOUDSDK_AUTH_TOKEN_HOST",
                                            "GCE_METADATA_HOST", "GCE_METADATA_ROOT"};

    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    return 0;
}

static void test_ranges(void **state)
{
    static const char *const good[] = {"8.8.8.8/32",   "8.8.8.8",        "35.235.240.0/20",
                                       "10.0.0.0/8",   "2600:1900::/28", "::1",
                                       "192.0.3.0/24", "203.0.112.0/23", ""};
    static const char *const bad[] = {"office",     "8.8.8/24", "8.8.8.8/33", "8.8.8.8/",  "8.8.8.8/08",
                                      "8.8.8.8/-1", "/24",      "2600::/129", "8.8.8.8/1x"};
    static const char *const keys[] = {"admin_ranges", "api_ranges", "health_check_ranges"};

    (void)state;
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
            assert_taken(keys[k], good[i]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
            assert_refused(keys[k], bad[i], "is no range of addresses: write");
    }
}

/* conf/gce.conf has such a one, to be changed. */
static void test_ranges_of_examples(void **state)
{
    static const char *const examples[] = {"203.0.113.0/24", "203.0.113.7/32",  "198.51.100.0/25",  "192.0.2.1",
                                           "2001:db8::/32",  "2001:db8:1::/48", "8.8.8.8 192.0.2.9"};

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        assert_refused("admin_ranges", examples[i], "the addresses that hactl comes from, each as ADDRESS/32");
        assert_refused("api_ranges", examples[i], "is a range for examples");
    }
    /* The emulator's world is made of them. */
    setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:9/compute/v1/", 1);
    assert_taken("admin_ranges", "203.0.113.0/24");
    setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "https://compute.example.org/compute/v1/", 1);
    assert_refused("admin_ranges", "203.0.113.0/24", "is a range for examples");
}

/* What an administrator dials is never open to everybody, however that is written; the endpoint is. */
static void test_everybody(void **state)
{
    static const char *const everybody[] = {"0.0.0.0/0", "::/0", "0.0.0.0/1", "8.8.8.8/32 128.0.0.0/1"};

    (void)state;
    for (size_t i = 0; i < sizeof(everybody) / sizeof(everybody[0]); i++) {
        assert_refused("admin_ranges", everybody[i], "is everybody, and ports such as etcd's are never opened");
        assert_taken("api_ranges", everybody[i]);
    }
}

static void test_shared_network(void **state)
{
    static const char *const keys[] = {"network", "subnetwork"};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_taken(keys[i], "net");
        assert_taken(keys[i], "global/networks/net");
        assert_taken(keys[i], "projects/mine/global/networks/net");
        assert_taken(keys[i], "https://www.googleapis.com/compute/v1/projects/mine/regions/r/subnetworks/net");
        assert_taken(keys[i], "projects/123456789012/global/networks/net"); /* whose number that is is not known */
        assert_refused(keys[i], "projects/host/global/networks/net",
                       "is project host's, and the cluster's project is mine");
        assert_refused(keys[i], "https://compute.googleapis.com/compute/v1/projects/host/regions/r/subnetworks/net",
                       "another project shares");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ranges, setup),
        cmocka_unit_test_setup(test_ranges_of_examples, setup),
        cmocka_unit_test_setup(test_everybody, setup),
        cmocka_unit_test_setup(test_shared_network, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
