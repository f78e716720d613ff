/* SPDX-License-Identifier: Apache-2.0 */
/* The digest of a delivery: whatever is delivered differently has another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* the name of a host service, too */
#include <string.h>

#include "core/delivery.h"

static struct hactl_file files[2];
static struct hactl_unit units[1];
static struct hactl_port ports[1];
static const char *argv[4];
static struct hactl_call rendered;
static char before[HA_DIGEST];

static int prepare(void **state)
{
    (void)state;
    files[0] = (struct hactl_file){.path = "a", .mode = 0600, .content = "one", .content_size = 3};
    files[1] = (struct hactl_file){
        .path = "sa.key", .mode = 0600, .content = "key", .content_size = 3, .purpose = "sa", .part = "key"};
    memcpy(argv, (const char *[]){"etcd", "--name", "x", NULL}, sizeof argv);
    units[0] = (struct hactl_unit){.name = "etcd", .argv = argv, .stop_timeout_ms = 5000};
    ports[0] = (struct hactl_port){.name = "client", .port = 2379, .flags = HACTL_PORT_ENDPOINT};
    rendered = (struct hactl_call){
        .files = files, .file_count = 2, .units = units, .unit_count = 1, .ports = ports, .port_count = 1};
    assert_true(ha_delivery_digest(&rendered, before));
    assert_int_equal(strlen(before), HA_DIGEST - 1);
    return 0;
}

static void check_parts(bool files_differ, bool reread_differs, bool keys_differ, bool rest_differs)
{
    char now[HA_DIGEST];
    assert_true(ha_delivery_digest(&rendered, now));
    assert_int_equal(ha_delivery_same(before, now, HA_DIGEST_FILES), !files_differ);
    assert_int_equal(ha_delivery_same(before, now, HA_DIGEST_REREAD), !reread_differs);
    assert_int_equal(ha_delivery_same(before, now, HA_DIGEST_KEYS), !keys_differ);
    assert_int_equal(ha_delivery_same(before, now, HA_DIGEST_HOW), !rest_differs);
}

static void check(bool files_differ, bool rest_differs)
{
    check_parts(files_differ, false, false, rest_differs);
}

static void test_same(void **state)
{
    char content[] = "one", path[] = "a";
    (void)state;
    files[0].content = content;
    files[0].path = path;
    check(false, false);
}

static void test_content(void **state)
{
    (void)state;
    files[0].content = "two";
    check(true, false);
}

static void test_key(void **state)
{
    (void)state;
    files[1].content = "yek";
    check(true, false);
}

static void test_mode(void **state)
{
    (void)state;
    files[0].mode = 0644;
    check(true, false);
}

/* The same bytes in the same order, cut elsewhere. */
static void test_lengths(void **state)
{
    (void)state;
    files[0].path = "ao";
    files[0].content = "ne";
    files[0].content_size = 2;
    check(true, false);
}

static void test_files_fewer(void **state)
{
    (void)state;
    rendered.file_count = 1;
    check(true, false);
}

static void reread_both(void)
{
    files[0].reread = files[1].reread = 1;
    assert_true(ha_delivery_digest(&rendered, before));
}

static void test_reread_content(void **state)
{
    (void)state;
    reread_both();
    files[0].content = "two";
    check_parts(false, true, false, false);
}

static void test_reread_key(void **state)
{
    (void)state;
    reread_both();
    files[1].content = "yek";
    check_parts(false, false, true, false);
}

/* Only what is in it is read again: a file more needs an argument that names it. */
static void test_reread_path(void **state)
{
    (void)state;
    reread_both();
    files[0].path = "b";
    check_parts(true, false, false, false);
}

static void test_reread_file_more(void **state)
{
    (void)state;
    reread_both();
    rendered.file_count = 1;
    check_parts(true, false, true, false);
}

static void test_no_longer_reread(void **state)
{
    (void)state;
    reread_both();
    files[0].reread = 0;
    check_parts(true, true, false, false);
}

/* As an older hactl wrote it. */
static void test_other_length(void **state)
{
    char now[HA_DIGEST];
    (void)state;
    assert_true(ha_delivery_digest(&rendered, now));
    now[HA_DIGEST - 2] = '\0';
    assert_false(ha_delivery_same(before, now, HA_DIGEST_FILES));
}

static void test_argument(void **state)
{
    (void)state;
    argv[1] = "--namex";
    argv[2] = "";
    check(false, true);
}

static void test_restart(void **state)
{
    (void)state;
    units[0].restart = HACTL_RESTART_ON_FAILURE;
    check(false, true);
}

static void test_stop_timeout(void **state)
{
    (void)state;
    units[0].stop_timeout_ms = 6000;
    check(false, true);
}

static void test_port(void **state)
{
    (void)state;
    ports[0].port = 2380;
    check(false, true);
}

static void test_port_flags(void **state)
{
    (void)state;
    ports[0].flags |= HACTL_PORT_OPERATOR;
    check(false, true);
}

static void test_is_sha256(void **state)
{
    (void)state;
    rendered = (struct hactl_call){.files = files};
    char now[HA_DIGEST];
    assert_true(ha_delivery_digest(&rendered, now));
    /* The first half of: printf '\4\0\0\0\0\0\0\0\0\0\0\0' | sha256sum */
    assert_memory_equal(now, "1acd855e4657b0c3f4e203d3452dbfd1", HA_DIGEST_PART);
}

#define CASE(name) cmocka_unit_test_setup(name, prepare)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_same),
        CASE(test_content),
        CASE(test_key),
        CASE(test_mode),
        CASE(test_lengths),
        CASE(test_files_fewer),
        CASE(test_argument),
        CASE(test_restart),
        CASE(test_port),
        CASE(test_port_flags),
        CASE(test_is_sha256),
        CASE(test_stop_timeout),
        CASE(test_reread_content),
        CASE(test_reread_key),
        CASE(test_reread_path),
        CASE(test_reread_file_more),
        CASE(test_no_longer_reread),
        CASE(test_other_length),
    };
    return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
