/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "filter.h"

struct em_options em_options;

static bool matches(const char *text, const char *json)
{
    json_t *resource = json_loads(json, 0, NULL);
    struct em_filter *filter = em_filter_parse(text);
    bool result;

    assert_non_null(resource);
    assert_non_null(filter);
    result = em_filter_match(filter, resource);
    em_filter_free(filter);
    json_decref(resource);
    return result;
}

static const char one[] = "{\"name\": \"master-1\", \"sizeGb\": \"20\", \"ok\": true, \"labels\": {\"role\": \"etcd\"},"
                          " \"users\": [\"a\", \"b\"]}";

/* "a b" for names, "a..." for a beginning, "" for neither. */
static void quick(const char *expression, const char *expected)
{
    struct em_filter *filter = em_filter_parse(expression);
    const char *names[3], *prefix;
    size_t count, length;
    char text[200] = "";

    assert_non_null(filter);
    if (em_filter_names(filter, names, 3, &count)) {
        for (size_t i = 0; i < count; i++) {
            strcat(text, i == 0 ? "" : " ");
            strcat(text, names[i]);
        }
    } else if ((prefix = em_filter_prefix(filter, &length)) != NULL) {
        snprintf(text, sizeof(text), "%.*s...", (int)length, prefix);
    }
    assert_string_equal(text, expected);
    em_filter_free(filter);
}

static void quick_ways(void **state)
{
    (void)state;
    quick("name=a", "a");
    quick("(name=a) OR (name=b)", "a b");
    quick("(name=a) OR (name=b) OR (name=c) OR (name=d)", "");
    quick("(name=a) AND (ok=true)", "a");
    quick("(name=a) OR (ok=true)", "");
    quick("NOT (name=a)", "");
    quick("name=a*", "");
    quick("name='A'", "");
    quick("name!=a", "");
    quick("name eq \"a-(b|.*-c)\"", "a-...");
    quick("name eq \"ab*c\"", "a...");
    quick("name eq \"ab|cd\"", "");
    quick("name eq \"a(b)|cd\"", "");
    quick("name eq \"a\\(|b\"", "");
    quick("name eq \"a[(]|b\"", "");
    quick("name eq \".*a\"", "");
    quick("name ne \"a.*\"", "");
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(matches("name=master-1", one));
    assert_true(matches("name = \"master-1\"", one));
    assert_true(matches("name = 'MASTER-1'", one));
    assert_true(matches("name=master-*", one));
    assert_false(matches("name=master", one));
    assert_true(matches("name!=master", one));
    assert_true(matches("labels.role=etcd", one));
    assert_false(matches("labels.other=etcd", one));
    assert_true(matches("labels.other!=etcd", one));
    assert_true(matches("ok=true", one));
}

static void numbers(void **state)
{
    (void)state;
    assert_true(matches("sizeGb>9", one)); /* as text "20" would be smaller */
    assert_true(matches("sizeGb>=20", one));
    assert_true(matches("sizeGb<=20", one));
    assert_false(matches("sizeGb<20", one));
    assert_false(matches("nothing>1", one));
}

static void has(void **state)
{
    (void)state;
    assert_true(matches("labels:role", one));
    assert_true(matches("labels.role:*", one));
    assert_false(matches("labels.x:*", one));
    assert_true(matches("users:b", one));
    assert_false(matches("users:c", one));
    assert_true(matches("name:aster", one));
}

static void expressions(void **state)
{
    (void)state;
    assert_true(matches("name eq master-[0-9]", one));
    assert_false(matches("name eq master", one)); /* the whole of it */
    assert_true(matches("name ne master", one));
}

static void combinations(void **state)
{
    (void)state;
    assert_true(matches("name=x OR sizeGb=20", one));
    assert_false(matches("name=x AND sizeGb=20", one));
    assert_false(matches("name=x sizeGb=20", one));
    assert_true(matches("(name=x OR name=master-1) AND NOT sizeGb=21", one));
    assert_true(matches("-name=x", one));
    /* AND binds closer than OR. */
    assert_true(matches("ok=true OR name=x AND name=y", one));
}

static void required_label(const char *text, const char *label, const char *expected)
{
    struct em_filter *filter = em_filter_parse(text);
    const char *value = NULL, *found = em_filter_label(filter, &value);

    if (label == NULL) {
        assert_null(found);
    } else {
        assert_string_equal(found, label);
        assert_string_equal(value, expected);
    }
    em_filter_free(filter);
}

/* Only what every match must have; numbers compare as numbers, so "01" is no quick look. */
static void labels(void **state)
{
    (void)state;
    required_label("labels.a=b", "a", "b");
    required_label("name=x AND labels.a=b", "a", "b");
    required_label("name=x OR labels.a=b", NULL, NULL);
    required_label("NOT labels.a=b", NULL, NULL);
    required_label("labels.a!=b", NULL, NULL);
    required_label("labels.a=b*", NULL, NULL);
    required_label("labels.a:*", NULL, NULL);
    required_label("labels.a=1", NULL, NULL);
}

static void nonsense(void **state)
{
    static const char *const texts[] = {"",        "name",     "name=", "=x",       "(name=x",
                                        "name=x)", "name=\"x", "AND",   "name eq ["};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_null(em_filter_parse(texts[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_ways), cmocka_unit_test(comparisons), cmocka_unit_test(numbers),
        cmocka_unit_test(has),        cmocka_unit_test(expressions), cmocka_unit_test(combinations),
        cmocka_unit_test(nonsense),   cmocka_unit_test(labels),
    };

    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
