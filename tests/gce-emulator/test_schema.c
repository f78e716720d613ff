/* SPDX-License-Identifier: Apache-2.0 */
/* The check against a discovery document, with a small one of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "schema.h"

struct em_options em_options;

static const char document[] =
    "{\"parameters\": {\"alt\": {\"type\": \"string\", \"enum\": [\"json\"], \"location\": \"query\"}},"
    " \"resources\": {\"things\": {\"methods\": {\"insert\": {\"path\": \"p/{name}\", \"httpMethod\": \"POST\","
    "   \"parameters\": {\"name\": {\"type\": \"string\", \"location\": \"path\", \"required\": true,"
    "       \"pattern\": \"[a-z](?:[-a-z0-9]{0,3})?\"},"
    "     \"count\": {\"type\": \"integer\", \"location\": \"query\"},"
    "     \"must\": {\"type\": \"boolean\", \"location\": \"query\", \"required\": true}},"
    "   \"request\": {\"$ref\": \"Thing\"}, \"response\": {\"$ref\": \"Thing\"}}}}},"
    " \"schemas\": {\"Thing\": {\"type\": \"object\", \"properties\": {"
    "   \"id\": {\"type\": \"string\", \"format\": \"uint64\"}, \"print\": {\"type\": \"string\", \"format\": "
    "\"byte\"},"
    "   \"kind\": {\"type\": \"string\", \"enum\": [\"A\", \"B\"]}, \"number\": {\"type\": \"integer\"},"
    "   \"share\": {\"type\": \"number\"}, \"on\": {\"type\": \"boolean\"},"
    "   \"device\": {\"type\": \"string\", \"pattern\": \"\\\\w[\\\\w.-]{0,254}\"},"
    "   \"key\": {\"type\": \"string\", \"pattern\": \"[a-zA-Z0-9-_]{1,128}\"},"
    "   \"labels\": {\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}},"
    "   \"inner\": {\"type\": \"array\", \"items\": {\"$ref\": \"Thing\"}}}}}}";

static int load(void **state)
{
    char path[] = "/tmp/schema-XXXXXX";
    int fd = mkstemp(path);
    bool good;

    (void)state;
    if (fd < 0 || write(fd, document, strlen(document)) != (ssize_t)strlen(document)) {
        return -1;
    }
    close(fd);
    good = em_schema_load(path);
    unlink(path);
    return good ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    em_schema_free();
    return 0;
}

static void check(const char *json, bool strict, const char *expected)
{
    json_t *value = json_loads(json, 0, NULL);
    char *wrong = em_schema_value_wrong("Thing", value, strict);

    assert_non_null(value);
    if (expected == NULL) {
        assert_null(wrong);
    } else {
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, expected));
    }
    free(wrong);
    json_decref(value);
}

static void values(void **state)
{
    (void)state;
    check("{\"id\": \"18446744073709551615\", \"print\": \"TTQ=\", \"kind\": \"B\", \"number\": -1, \"share\": 0.5,"
          " \"on\": true, \"labels\": {\"a\": \"b\"}, \"inner\": [{\"kind\": \"A\"}]}",
          true, NULL);
    check("{\"other\": 1}", true, "Unknown name \"other\"");
    check("{\"inner\": [{}, {\"other\": 1}]}", true, "at 'inner[1]'");
    check("{\"id\": \"-1\"}", true, "id is not a number");
    check("{\"print\": \"***\"}", true, "print is not base64");
    check("{\"kind\": \"C\"}", true, "kind is none of");
    check("{\"number\": 4294967296}", true, "number is not an integer");
    check("{\"number\": 1.5}", true, "number is not an integer");
    check("{\"share\": \"1\"}", true, "share is not a number");
    check("{\"on\": 1}", true, "on is not a boolean");
    check("{\"labels\": {\"a\": 1}}", true, "labels.a is not a string");
    check("{\"labels\": []}", true, "labels is not an object");
    check("{\"inner\": {}}", true, "inner is not an array");
}

/* Clients may write what the server may not. */
static void directions(void **state)
{
    (void)state;
    check("{\"id\": 5}", false, NULL);
    check("{\"id\": 5}", true, "id is not a string");
    check("{\"on\": null}", false, NULL);
    check("{\"on\": null}", true, "on is null");
    check("{\"print\": \"a-_=\"}", false, NULL);
    check("{\"print\": \"a-_=\"}", true, "print is not base64");
}

static void patterns(void **state)
{
    (void)state;
    check("{\"device\": \"master-pd.1\"}", true, NULL);
    check("{\"device\": \"-x\"}", true, "device does not match");
    check("{\"key\": \"enable-guest_attributes\"}", true, NULL);
    check("{\"key\": \"with space\"}", true, "key does not match");
}

static char *query(const char *variables, const char *query)
{
    static const struct em_method method = {.id = "things.insert", .verb = "POST", .path = "p/{name}"};
    struct em_request request = {.method = &method};
    char *wrong;

    request.variables = json_loads(variables, 0, NULL);
    request.query = json_loads(query, 0, NULL);
    wrong = em_schema_query_wrong(&request);
    json_decref(request.variables);
    json_decref(request.query);
    return wrong;
}

static void parameters(void **state)
{
    static const struct {
        const char *variables, *query, *expected;
    } cases[] = {
        {"{\"name\": \"ab\"}", "{\"must\": \"True\", \"count\": \"5\", \"alt\": \"json\"}", NULL},
        {"{\"name\": \"abcdef\"}", "{\"must\": \"true\"}", "does not match"},
        {"{\"name\": \"ab\"}", "{}", "\"must\" is missing"},
        {"{\"name\": \"ab\"}", "{\"must\": \"yes\"}", "not a boolean"},
        {"{\"name\": \"ab\"}", "{\"must\": \"true\", \"count\": \"x\"}", "not an integer"},
        {"{\"name\": \"ab\"}", "{\"must\": \"true\", \"alt\": \"xml\"}", "does not know"},
        {"{\"name\": \"ab\"}", "{\"must\": \"true\", \"name\": \"x\"}", "no query parameter"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *wrong = query(cases[i].variables, cases[i].query);

        if (cases[i].expected == NULL) {
            assert_null(wrong);
        } else {
            assert_non_null(wrong);
            assert_non_null(strstr(wrong, cases[i].expected));
        }
        free(wrong);
    }
}

static void methods(void **state)
{
    static const struct em_method good = {.id = "things.insert", .verb = "POST", .path = "p/{name}"},
                                  verb = {.id = "things.insert", .verb = "PUT", .path = "p/{name}"},
                                  none = {.id = "things.get", .verb = "GET", .path = "p/{name}"};
    char *wrong;

    (void)state;
    assert_null(em_schema_method_wrong(&good));
    wrong = em_schema_method_wrong(&verb);
    assert_non_null(wrong);
    free(wrong);
    wrong = em_schema_method_wrong(&none);
    assert_non_null(wrong);
    free(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),     cmocka_unit_test(directions), cmocka_unit_test(patterns),
        cmocka_unit_test(parameters), cmocka_unit_test(methods),
    };

    return cmocka_run_group_tests_name("schema", tests, load, unload);
}
