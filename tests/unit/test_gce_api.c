/* SPDX-License-Identifier: Apache-2.0 */
/* lib/gce: request ids, errors, lists, operations and links. */
#include "tests/unit/gce_api_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/gce/gce_internal.h"
#include "lib/json.h"

/* ---- errors ------------------------------------------------------------------------------ */

static void open_none(void)
{
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {NULL, NULL}}), HACTL_OK);
}

#define SHAPE_A(reason, message)                                                                                       \
    "{\"error\":{\"code\":400,\"message\":\"" message "\",\"errors\":[{\"message\":\"x\",\"reason\":\"" reason "\"}]}" \
    "}"
#define SHAPE_B(code, message, details)                                                                            \
    "{\"name\":\"op\",\"status\":\"DONE\",\"clientOperationId\":\"none\",\"error\":{\"errors\":[{\"code\":\"" code \
    "\",\"message\":\"" message "\"" details "}]},\"httpErrorStatusCode\":400}"

static void test_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        int code;
        const char *words;
        bool waits;
    } cases[] = {
        {404, SHAPE_A("notFound", "it is gone"), HACTL_E_NOT_FOUND, "it is gone", false},
        {409, SHAPE_A("alreadyExists", "there"), HACTL_E_CONFLICT, "there", false},
        {400, SHAPE_A("resourceInUseByAnotherResource", "in use by x"), HACTL_E_BUSY, "in use by x", true},
        {400, SHAPE_A("resourceNotReady", "busy"), HACTL_E_BUSY, "busy", true},
        {403, SHAPE_A("rateLimitExceeded", "slow down"), HACTL_E_BUSY, "slow down", true},
        {429, "", HACTL_E_BUSY, "status 429", true},
        {403, SHAPE_A("quotaExceeded", "Quota 'CPUS' exceeded. Limit: 24.0 in region us-central1."), HACTL_E_QUOTA,
         "Limit: 24.0 in region us-central1. (quotaExceeded); free some", false},
        {403, SHAPE_A("forbidden", "Required 'compute.zones.list'"), HACTL_E_DENIED, "asked with the", false},
        {403, SHAPE_A("accessNotConfigured", "Compute API is not enabled"), HACTL_E_DENIED, "not enabled", false},
        {412, SHAPE_A("conditionNotMet", "fingerprint"), HACTL_E_BUSY, "fingerprint", false},
        {412, SHAPE_A("conditionNotMet", "Constraint constraints/compute.vmExternalIpAccess violated"), HACTL_E_DENIED,
         "violated", false},
        {400, SHAPE_A("invalid", "bad name"), HACTL_E_INVALID, "bad name", false},
        {400, SHAPE_A("invalid", "External IP address: 192.0.2.1 is already in-use."), HACTL_E_BUSY, "192.0.2.1", true},
        {400, SHAPE_A("instanceInMultipleLoadBalancedIgs", "x"), HACTL_E_CONFLICT, "x", false},
        {503, SHAPE_A("backendError", "oops"), HACTL_E_UNAVAILABLE, "oops", true},
        {502, "<html>", HACTL_E_UNAVAILABLE, "status 502", true},
        {200, "<html>", HACTL_E_TIMEOUT, "is that the Compute API", false},
        {200, SHAPE_B("RESOURCE_NOT_FOUND", "gone", ""), HACTL_E_NOT_FOUND, "gone", false},
        {200, SHAPE_B("IP_IN_USE_BY_ANOTHER_RESOURCE", "IP in use", ""), HACTL_E_BUSY, "IP in use", true},
        {200, SHAPE_B("RATE_LIMIT_EXCEEDED", "r", ""), HACTL_E_BUSY, "r", true},
        {200,
         SHAPE_B("QUOTA_EXCEEDED", "Quota exceeded",
                 ",\"errorDetails\":[{\"quotaInfo\":{\"metricName\":\"compute.googleapis.com/cpus\",\"limitName\":"
                 "\"CPUS-per-project-region\",\"limit\":24,\"dimensions\":{\"region\":\"us-central1\"}}}]"),
         HACTL_E_QUOTA, "quota CPUS-per-project-region is 24 in us-central1", false},
        {200,
         SHAPE_B("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "no room",
                 ",\"errorDetails\":[{\"errorInfo\":{\"metadatas\":{\"zonesAvailable\":\"us-central1-c,us-central1-f\"}"
                 "}}]"),
         HACTL_E_QUOTA, "zones that have room: us-central1-c,us-central1-f", false},
        {200, SHAPE_B("ZONE_RESOURCE_POOL_EXHAUSTED", "no room", ""), HACTL_E_QUOTA, "try another zone", false},
        {403,
         "{\"error\":{\"code\":403,\"message\":\"m\",\"errors\":[{\"reason\":\"quotaExceeded\"}],\"details\":[{\"@"
         "type\":"
         "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"CONCURRENT_OPERATIONS_QUOTA_EXCEEDED\"}]}}",
         HACTL_E_BUSY, "m", true},
    };

    (void)state;
    open_none();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gce_request request;

        script.status = cases[i].status;
        script.body = cases[i].body;
        gce_prepare(&request, "POST", json_object(), "zones/a/instances");
        int rc = gce_change(world.gce, next_call(), &request, 1, "instance x");
        if (rc != cases[i].code || !strstr(world.call->text, cases[i].words) ||
            strncmp(world.call->text, "instance x: ", 12) != 0 || (world.call->retry_after_ms > 0) != cases[i].waits)
            fail_msg("case %zu: %d, %u ms, %s", i, rc, world.call->retry_after_ms, world.call->text);
        gce_request_clear(&request);
    }
    /* Backing off doubles, and starts again after an answer. */
    script.status = 403;
    script.body = SHAPE_A("rateLimitExceeded", "slow down");
    world.gce->rate_limited = 0;
    for (uint32_t expected = 1000; expected <= 32000; expected *= 2) {
        json_t *out = NULL;
        assert_int_equal(gce_get(world.gce, next_call(), &out, "zones"), HACTL_E_BUSY);
        assert_in_range(world.call->retry_after_ms, expected - expected / 8, expected + expected / 8);
    }
}

static int change_once(const char *name)
{
    struct gce_request request;
    int rc;

    gce_prepare(&request, "POST", json_pack("{s:s}", "name", name), "zones/a/instances");
    rc = gce_change(world.gce, next_call(), &request, 1, "instance x");
    gce_request_clear(&request);
    return rc;
}

#define RUNNING                                                                                                   \
    "{\"name\":\"op-1\",\"status\":\"RUNNING\",\"selfLink\":\"https://www.googleapis.com/compute/v1/projects/p1/" \
    "zones/a/"                                                                                                    \
    "operations/op-1\"}"

static void test_request_ids(void **state)
{
    (void)state;
    open_none();
    script.body = RUNNING;
    script.drop = 1;
    assert_int_equal(change_once("x"), HACTL_E_TIMEOUT);
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_equal(world.call->token, "zones/a/operations/op-1");
    assert_string_equal(script.ids[0], script.ids[1]);
    /* Another process with the same intent. */
    open_none();
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_equal(script.ids[0], script.ids[2]);
    assert_int_equal(change_once("y"), HACTL_PENDING);
    assert_string_not_equal(script.ids[0], script.ids[3]);
    intent = "99999999-2222-4333-8444-555555555555";
    assert_int_equal(change_once("x"), HACTL_PENDING);
    assert_string_not_equal(script.ids[0], script.ids[4]);
    intent = "11111111-2222-4333-8444-555555555555";
    assert_int_equal(script.ids[0][14], '4');
    /* An operation that failed, as this process knows from its poll, is asked
     * for anew under another id. */
    {
        char failed[600];
        snprintf(failed, sizeof(failed),
                 "{\"status\":\"DONE\",\"clientOperationId\":\"%s\",\"error\":{\"errors\":[{\"code\":"
                 "\"RESOURCE_NOT_READY\",\"message\":\"m\"}]}}",
                 script.ids[0]);
        script.body = failed;
        assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1"), HACTL_E_ENDED);
        script.body = RUNNING;
        script.id_count = 5;
        assert_int_equal(change_once("x"), HACTL_PENDING);
        assert_string_not_equal(script.ids[0], script.ids[5]);
        /* A new process that is answered with the failure of an earlier one asks once more. */
        open_none();
        script.body = failed;
        script.id_count = 6;
        assert_int_equal(change_once("x"), HACTL_E_BUSY);
        assert_int_equal(script.id_count, 8);
        assert_string_equal(script.ids[6], script.ids[0]);
        assert_string_equal(script.ids[7], script.ids[5]);
    }
}

/* Google answers a POST that does not say how long its body is with 411, also where there is none (deleteAccessConfig).
 */
static void test_length(void **state)
{
    struct gce_request request;

    (void)state;
    open_none();
    script.body = RUNNING;
    gce_prepare(&request, "POST", NULL, "zones/a/instances/b/deleteAccessConfig?networkInterface=nic0");
    assert_int_equal(gce_change(world.gce, next_call(), &request, 1, "x"), HACTL_PENDING);
    assert_non_null(strstr(script.last_head, "\r\nContent-Length: 0"));
    gce_request_clear(&request);
}

/* ---- operations ----------------------------------------------------------------------------- */

static void test_operations(void **state)
{
    struct gce_request requests[3];

    (void)state;
    open_none();
    script.body = RUNNING;
    for (int i = 0; i < 3; i++)
        gce_prepare(&requests[i], "POST", json_pack("{s:i}", "i", i), "global/firewalls");
    assert_int_equal(gce_change(world.gce, next_call(), requests, 3, "x"), HACTL_PENDING);
    assert_string_equal(world.call->token, "zones/a/operations/op-1 zones/a/operations/op-1 zones/a/operations/op-1");
    assert_true(gce_stub_connections(world.stub) >= 3); /* side by side */
    for (int i = 0; i < 3; i++)
        gce_request_clear(&requests[i]);
    size_t connections = gce_stub_connections(world.stub);
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_int_equal(gce_stub_connections(world.stub), connections); /* kept */
    /* Soon at first, then after a quarter of the time that it has taken. */
    assert_int_equal(world.call->retry_after_ms, 250);
    for (size_t i = 0; i < GCE_POLLED; i++)
        world.gce->polled[i].since_ms -= 2400;
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_in_range(world.call->retry_after_ms, 600, 999);
    for (size_t i = 0; i < GCE_POLLED; i++)
        world.gce->polled[i].since_ms -= 60000;
    assert_int_equal(gce_poll(world.gce, next_call(), "zones/a/operations/op-1 regions/b/operations/op-2"),
                     HACTL_PENDING);
    assert_int_equal(world.call->retry_after_ms, 1000);
    assert_int_equal(gce_stub_count(world.stub, "GET /compute/v1/projects/p1/regions/b/operations/op-2"), 3);
    script.body = "{\"status\":\"DONE\"}";
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_OK);
    script.status = 404;
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_OK);
    script.status = 503;
    assert_int_equal(gce_poll(world.gce, next_call(), "global/operations/op-1"), HACTL_PENDING);
    assert_int_equal(gce_poll(world.gce, next_call(), "../../x"), HACTL_E_INVALID);
    /* What is gone is deleted. */
    script.status = 404;
    gce_prepare(&requests[0], "DELETE", NULL, "zones/a/disks/d");
    assert_int_equal(gce_change(world.gce, next_call(), requests, 1, "x"), HACTL_OK);
    gce_request_clear(&requests[0]);
}

/* ---- lists -------------------------------------------------------------------------------------- */

static void answer_pages(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    const char *text;

    if (strstr(request->path, "pageToken=two%2F"))
        text = "{\"items\":{\"zones/c\":{\"instances\":[{\"name\":\"i3\"}]}}}";
    else if (strstr(request->path, "aggregated"))
        text = "{\"items\":{\"zones/a\":{\"instances\":[{\"name\":\"i1\"},{\"name\":\"i2\"}]},\"zones/b\":{\"warning\":"
               "{\"code\":\"NO_RESULTS_ON_PAGE\"}},\"zones/d\":{\"warning\":{\"code\":\"UNREACHABLE\"}}},"
               "\"nextPageToken\":\"two/\",\"unreachables\":[\"https://www.googleapis.com/compute/v1/projects/p1/zones/"
               "e\"]}";
    else if (strstr(request->path, "endless"))
        text = "{\"items\":[],\"nextPageToken\":\"x\"}";
    else
        text = "{\"items\":[{\"name\":\"a1\"}]}";
    snprintf(answer->body, sizeof(answer->body), "%s", text);
}

static void test_lists(void **state)
{
    struct gce_stub *before = world.stub;
    struct gce_list lists[2];

    (void)state;
    world.stub = gce_stub_start(answer_pages);
    open_none();
    gce_list_prepare(&lists[0], "aggregated/instances?returnPartialSuccess=true");
    gce_list_prepare(&lists[1], "regions/r/addresses");
    assert_int_equal(gce_list_run(world.gce, next_call(), lists, 2), HACTL_OK);
    assert_int_equal(json_array_size(lists[0].items), 3);
    assert_int_equal(json_array_size(lists[1].items), 1);
    assert_true(gce_list_knows(&lists[0], "zones/a"));
    assert_true(gce_list_knows(&lists[0], "zones/b"));
    assert_false(gce_list_knows(&lists[0], "zones/d"));
    assert_false(gce_list_knows(&lists[0], "zones/e"));
    gce_list_clear(&lists[0]);
    gce_list_clear(&lists[1]);
    gce_list_prepare(&lists[0], "endless");
    assert_int_equal(gce_list_run(world.gce, next_call(), lists, 1), HACTL_OK);
    assert_int_equal(lists[0].code, HACTL_E_FAILED);
    gce_list_clear(&lists[0]);
    close_gce();
    gce_stub_stop(world.stub);
    world.stub = before;
}

static const char zone_list[] =
    "{\"items\":[{\"name\":\"us-central1-b\",\"status\":\"UP\",\"region\":\"https://x/projects/p1/regions/"
    "us-central1\"},"
    "{\"name\":\"us-central1-c\",\"status\":\"DOWN\",\"region\":\"projects/p1/regions/us-central1\"},"
    "{\"name\":\"odd-name\",\"status\":\"UP\",\"region\":\"projects/p1/regions/us-east1\"}]}";

static void test_zones(void **state)
{
    const struct gce_zone *zones;
    const char *region;
    size_t count;

    (void)state;
    script.body = zone_list;
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {"zones", "odd-name"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_OK);
    assert_string_equal(region, "us-east1"); /* not cut from the name */
    assert_int_equal(gce_zone_check(world.gce, next_call(), "us-central1-b"), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "region us-east1 has odd-name"));
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region", "us-central1"}, {NULL, NULL}}), HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_OK);
    assert_int_equal(count, 2);
    assert_true(zones[0].up);
    assert_false(zones[1].up);
    /* That of a zone, all zones of it. */
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "odd-name"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_OK);
    assert_string_equal(region, "us-east1");
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "us-central1-c"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_OK);
    assert_int_equal(count, 2);
    assert_string_equal(zones[0].name, "us-central1-b");
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"region_of_zone", "nowhere"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "no zone \"nowhere\""));
    /* A region that is not there is found before anything is asked of it. */
    assert_int_equal(open_gce((struct fake_setting[]){{"credentials", "none"}, {"region", "us-west9"}, {NULL, NULL}}),
                     HACTL_OK);
    assert_int_equal(gce_region(world.gce, next_call(), &region), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "no region \"us-west9\""));
    assert_int_equal(
        open_gce((struct fake_setting[]){{"credentials", "none"}, {"zones", "us-central1-b odd-name"}, {NULL, NULL}}),
        HACTL_OK);
    assert_int_equal(gce_zones(world.gce, next_call(), &zones, &count), HACTL_E_INVALID);
    assert_non_null(strstr(world.call->text, "odd-name is in region us-east1 and the cluster in us-central1"));
}

/* ---- links and names -------------------------------------------------------------------------------- */

static void test_links(void **state)
{
    char out[GCE_NAME], link[GCE_PATH];
    json_t *object;

    (void)state;
    open_none();
    assert_string_equal(gce_link_name("https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i"), "i");
    assert_string_equal(gce_link_name("i"), "i");
    assert_true(gce_link_part("https://h/compute/v1/projects/p/zones/z/instances/i", "zones", out));
    assert_string_equal(out, "z");
    assert_true(gce_link_part("zones/z", "zones", out));
    assert_false(gce_link_part("projects/p/regions/r", "zones", out));
    assert_true(gce_link_same("https://a/compute/v1/projects/p/zones/z", "https://b/x/projects/p/zones/z"));
    assert_true(gce_link_same("projects/p/zones/z", "https://b/x/projects/p/zones/z"));
    assert_false(gce_link_same("projects/q/zones/z", "https://b/x/projects/p/zones/z"));
    gce_link(world.gce, link, "zones/%s", "z");
    assert_string_equal(link, "https://www.googleapis.com/compute/v1/projects/p1/zones/z");
    gce_name(out, "demo-1", "-data");
    assert_string_equal(out, "demo-1-data");
    gce_name(out, "a-very-long-name-of-a-replica-that-leaves-no-room-for-more-of-1", "-data");
    assert_int_equal(strlen(out), 63);
    assert_int_equal(gce_name_check(world.gce, next_call(), "disk", out), HACTL_OK);
    char other[GCE_NAME];
    gce_name(other, "a-very-long-name-of-a-replica-that-leaves-no-room-for-more-of-2", "-data");
    assert_string_not_equal(out, other);
    assert_int_equal(gce_name_check(world.gce, next_call(), "replica", "Demo"), HACTL_E_INVALID);
    assert_int_equal(gce_name_check(world.gce, next_call(), "replica", "a-"), HACTL_E_INVALID);
    object = json_pack("{s:s}", "description", "hactl cluster demo");
    assert_true(gce_is_ours(object, "demo"));
    assert_false(gce_is_ours(object, "dem"));
    assert_false(gce_is_ours(object, "demo2"));
    json_object_set_new(object, "labels", gce_labels("other", NULL));
    assert_false(gce_is_ours(object, "demo"));
    json_decref(object);
}

static void test_urls(void **state)
{
    static const char *const bad[] = {"",
                                      "ftp://a",
                                      "http://",
                                      "https://a:0",
                                      "https://a:99999",
                                      "https://a:b",
                                      "https://u@a/",
                                      "https://a?x",
                                      "https:///x"};
    struct gce_url parsed;

    (void)state;
    assert_true(gce_url_parse("https://a.example/compute/v1/", &parsed));
    assert_string_equal(parsed.host, "a.example");
    assert_string_equal(parsed.path, "/compute/v1");
    assert_int_equal(parsed.port, 443);
    assert_true(gce_url_parse("http://[::1]:80", &parsed));
    assert_string_equal(parsed.host, "::1");
    assert_true(gce_url_is_near(&parsed));
    assert_true(gce_url_parse("http://10.1.2.3:8080/x", &parsed));
    assert_true(gce_url_is_near(&parsed));
    assert_true(gce_url_parse("http://11.1.2.3:8080/x", &parsed));
    assert_false(gce_url_is_near(&parsed));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gce_url_parse(bad[i], &parsed))
            fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {EACH(test_errors),     EACH(test_request_ids), EACH(test_length),
                                       EACH(test_operations), EACH(test_lists),       EACH(test_zones),
                                       EACH(test_links),      EACH(test_urls)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
