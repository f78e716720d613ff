/* SPDX-License-Identifier: Apache-2.0 */
/* The store, links and timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "links.h"
#include "store.h"
#include "timers.h"

struct em_options em_options;

static const struct em_type type = {.collection = "disks", .kind = "compute#disk", .parameter = "disk"};

static void sorted_and_found(void **state)
{
    char name[16];
    struct em_collection *collection;
    struct em_resource *found;

    (void)state;
    for (int i = 0; i < 200; i++) { /* not in order: 37 and 200 have no common divisor */
        snprintf(name, sizeof(name), "d%03d", i * 37 % 200);
        em_store_add("p", "zones/z", &type, name, json_object());
    }
    collection = em_store_collection("p", "zones/z", "disks");
    assert_int_equal(collection->count, 200);
    for (size_t i = 1; i < collection->count; i++) {
        assert_true(strcmp(collection->resources[i - 1]->name, collection->resources[i]->name) < 0);
    }
    found = em_store_find("projects/p/zones/z/disks/d123");
    assert_non_null(found);
    snprintf(name, sizeof(name), "%s", "d123");
    assert_string_equal(found->name, name);
    assert_null(em_store_find("projects/p/zones/z/disks/d200"));
    assert_null(em_store_find("projects/p/zones/y/disks/d123"));
    for (int i = 0; i < 200; i += 2) {
        char path[64];

        snprintf(path, sizeof(path), "projects/p/zones/z/disks/d%03d", i);
        em_store_remove(em_store_find(path));
    }
    assert_int_equal(collection->count, 100);
    assert_null(em_store_find("projects/p/zones/z/disks/d122"));
    assert_non_null(em_store_find("projects/p/zones/z/disks/d123"));
    em_store_clear();
}

static void by_id(void **state)
{
    struct em_resource *resource = em_store_add("p", "zones/z", &type, "one", json_object());
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "projects/p/zones/z/disks/%llu", (unsigned long long)resource->id);
    assert_ptr_equal(em_store_find(path), resource);
    assert_string_equal(em_text(resource->json, "selfLink"), EM_LINK_PREFIX "projects/p/zones/z/disks/one");
    assert_string_equal(em_text(resource->json, "zone"), EM_LINK_PREFIX "projects/p/zones/z");
    em_store_clear();
}

static void replaced(void **state)
{
    struct em_resource *resource = em_store_add("p", "zones/z", &type, "one", json_pack("{s:s}", "a", "b"));
    json_t *other = json_pack("{s:s}", "c", "d");
    uint64_t id = resource->id;

    (void)state;
    em_store_replace(resource, other);
    assert_null(em_text(resource->json, "a"));
    assert_string_equal(em_text(resource->json, "c"), "d");
    assert_string_equal(em_text(resource->json, "name"), "one");
    assert_int_equal(resource->id, id);
    json_decref(other);
    em_store_clear();
}

static size_t labelled(const struct em_resource *any, const char *value, const char *first)
{
    size_t count;
    struct em_resource **list = em_store_indexed(any->collection, "of", value, &count);

    if (count > 0) {
        assert_string_equal(list[0]->name, first);
    }
    free(list);
    return count;
}

static void found_by_label(void **state)
{
    struct em_resource *two = em_store_add("p", "zones/z", &type, "two", json_pack("{s:{s:s}}", "labels", "of", "a"));
    struct em_resource *one = em_store_add("p", "zones/z", &type, "one", json_pack("{s:{s:s}}", "labels", "of", "a"));
    struct em_resource *none = em_store_add("p", "zones/z", &type, "none", json_object());
    json_t *other = json_pack("{s:{s:s}}", "labels", "of", "b");

    (void)state;
    assert_int_equal(labelled(none, "a", "one"), 2);
    assert_int_equal(labelled(none, "b", ""), 0);
    em_store_replace(none, other);
    assert_int_equal(labelled(none, "b", "none"), 1);
    json_object_set_new(one->json, "labels", json_pack("{s:s}", "of", "b"));
    em_store_changed(one);
    assert_int_equal(labelled(none, "a", "two"), 1);
    assert_int_equal(labelled(none, "b", "none"), 2);
    em_store_remove(two);
    assert_int_equal(labelled(none, "a", ""), 0);
    json_decref(other);
    em_store_clear();
}

static void link_forms(void **state)
{
    static const char *const same[] = {
        "m",
        "zones/z/disks/m",
        "projects/p/zones/z/disks/m",
        "https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/m",
        "https://compute.googleapis.com/compute/v1/projects/p/zones/z/disks/m",
        "http://127.0.0.1:4000/compute/v1/projects/p/zones/z/disks/m",
    };
    static const char *const none[] = {"",       "zones/z/instances/m", "zones/z/disks/", "https://example.com/", "a/b",
                                       "disks/m"};

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        char *path = em_links_path(same[i], "p", "zones/z", "disks");

        assert_string_equal(path, "projects/p/zones/z/disks/m");
        free(path);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_null(em_links_path(none[i], "p", "zones/z", "disks"));
    }
}

static void names(void **state)
{
    (void)state;
    assert_true(em_name_good("a"));
    assert_true(em_name_good("kubernetes-master-0f3"));
    assert_false(em_name_good("-a"));
    assert_false(em_name_good("a-"));
    assert_false(em_name_good("A"));
    assert_false(em_name_good("a_b"));
    assert_false(em_name_good("a234567890123456789012345678901234567890123456789012345678901234"));
}

static void fingerprints(void **state)
{
    (void)state;
    assert_true(em_fingerprint_equal("a+/=", "a-_="));
    assert_false(em_fingerprint_equal("a+/=", "a+/"));
    assert_false(em_fingerprint_equal(NULL, "a"));
}

static void note(void *context)
{
    strcat(context, "b");
}

static void note_first(void *context)
{
    strcat(context, "a");
}

static void timers_in_order(void **state)
{
    struct em_timer one = {0}, two = {0}, three = {0};
    char notes[8] = "";

    (void)state;
    em_timer_set(&one, 5, note, notes);
    em_timer_set(&two, 1, note_first, notes);
    em_timer_set(&three, 3, note, notes);
    em_timer_clear(&three);
    while (em_timers_run() >= 0) {
    }
    assert_string_equal(notes, "ab");
    assert_int_equal(em_timers_run(), -1);
}

static void merging(void **state)
{
    json_t *object = json_loads("{\"a\": 1, \"b\": {\"c\": 1, \"d\": 2}, \"e\": 3}", 0, NULL);
    json_t *patch = json_loads("{\"a\": 5, \"b\": {\"c\": null}, \"e\": null, \"f\": [1]}", 0, NULL);
    json_t *expected = json_loads("{\"a\": 5, \"b\": {\"d\": 2}, \"f\": [1]}", 0, NULL);

    (void)state;
    em_merge(object, patch);
    assert_true(json_equal(object, expected));
    json_decref(object);
    json_decref(patch);
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_and_found), cmocka_unit_test(by_id),           cmocka_unit_test(replaced),
        cmocka_unit_test(found_by_label),   cmocka_unit_test(link_forms),      cmocka_unit_test(names),
        cmocka_unit_test(fingerprints),     cmocka_unit_test(timers_in_order), cmocka_unit_test(merging),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
