/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of real etcd, and the stream that they come as. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "lib/file.h"
#include "lib/json.h"
#include "plugins/etcd/etcd.h"
#include "plugins/etcd/etcd_stream.h"
#include "tests/unit/etcd_rig.h"

#define OPS hactl_plugin.member

static char text[1024]; /* why the last stream was not good */

static void sha256_of(const char *path, char out[65])
{
    unsigned char value[32];
    unsigned size = 0;
    char *content;
    size_t length;

    assert_int_equal(ha_file_read(path, 1 << 26, &content, &length), 0);
    assert_int_equal(EVP_Digest(content, length, value, &size, EVP_sha256(), NULL), 1);
    for (unsigned i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", value[i]);
    free(content);
}

static void test_snapshot(void **state)
{
    struct rig *rig = rig_new(12, NULL);
    struct hactl_call *call = fake_call_new(20000);
    char path[128], sha256[65];
    struct stat info;

    (void)state;
    rig_found(rig, 3);
    rig_write(rig, 0, 50);
    snprintf(path, sizeof(path), "%s/snapshot.db", rig->directory);
    assert_int_equal(OPS->snapshot(rig->self, call, &rig->want, path), HACTL_OK);
    sha256_of(path, sha256);
    assert_string_equal(call->emitted_text, sha256);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size % 512, 32);
    fake_call_free(call);

    call = fake_call_new(20000);
    assert_int_equal(OPS->snapshot(rig->self, call, &rig->want, path), HACTL_E_CONFLICT);
    fake_call_free(call);

    rig_kill(rig, 1); /* without a quorum one member still gives what it has */
    rig_kill(rig, 2);
    rig_sleep_ms(200);
    snprintf(path, sizeof(path), "%s/second.db", rig->directory);
    call = fake_call_new(20000);
    assert_int_equal(OPS->snapshot(rig->self, call, &rig->want, path), HACTL_OK);
    fake_call_free(call);
    rig_kill(rig, 0);
    snprintf(path, sizeof(path), "%s/third.db", rig->directory);
    call = fake_call_new(20000);
    assert_int_equal(OPS->snapshot(rig->self, call, &rig->want, path), HACTL_E_UNAVAILABLE);
    assert_int_not_equal(access(path, F_OK), 0);
    fake_call_free(call);
    rig_free(rig);
}

/* What arrived is refused unless all of it fits its trailer. */
static int stream(const char *lines, size_t size, size_t chunk, char sha256[ETCD_SHA256_HEX])
{
    FILE *file = tmpfile();
    struct etcd_stream *taker = etcd_stream_new(fileno(file));
    bool good = true;

    for (size_t at = 0; good && at < size; at += chunk)
        good = etcd_stream_take(taker, lines + at, size - at < chunk ? size - at : chunk);
    good = good && etcd_stream_finish(taker, sha256);
    assert_int_equal(good, etcd_stream_why(taker)[0] == '\0');
    snprintf(text, sizeof(text), "%s", etcd_stream_why(taker));
    etcd_stream_free(taker);
    fclose(file);
    return good;
}

static size_t craft(char *lines, size_t room, const unsigned char *content, size_t size, size_t blob)
{
    size_t used = 0;

    for (size_t at = 0; at < size; at += blob) {
        size_t part = size - at < blob ? size - at : blob;
        char *base64 = ha_base64_encode(content + at, part);

        used +=
            (size_t)snprintf(lines + used, room - used, "{\"result\":{\"remaining_bytes\":\"%zu\",\"blob\":\"%s\"}}\n",
                             size - at > part + 32 ? size - at - part - 32 : 0, base64);
        free(base64);
    }
    return used;
}

static void test_stream(void **state)
{
    unsigned char content[1024 + 32];
    char sha256[ETCD_SHA256_HEX], expected[ETCD_SHA256_HEX], lines[16384];
    static const size_t blobs[] = {1, 7, 31, 32, 33, 512, 1056};
    unsigned char value[32];
    size_t size;

    (void)state;
    for (size_t i = 0; i < 1024; i++)
        content[i] = (unsigned char)(i * 7 + i / 256);
    EVP_Digest(content, 1024, content + 1024, NULL, EVP_sha256(), NULL);
    EVP_Digest(content, sizeof(content), value, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof(value); i++)
        snprintf(expected + 2 * i, 3, "%02x", value[i]);
    for (size_t i = 2; i < sizeof(blobs) / sizeof(blobs[0]); i++) {
        size = craft(lines, sizeof(lines), content, sizeof(content), blobs[i]);
        for (size_t chunk = 1; chunk < size; chunk = chunk * 3 + 1) {
            assert_true(stream(lines, size, chunk, sha256));
            assert_string_equal(sha256, expected);
        }
    }
    size = craft(lines, sizeof(lines), content, sizeof(content), 512);
    for (size_t cut = 0; cut < size - 1; cut++) /* the last newline may be missing */
        assert_false(stream(lines, cut, 4096, sha256));
    for (size_t at = 0; at < sizeof(content); at++) {
        content[at] ^= (unsigned char)(1u << (at % 8));
        size = craft(lines, sizeof(lines), content, sizeof(content), 512);
        assert_false(stream(lines, size, 4096, sha256));
        assert_non_null(strstr(text, "SHA-256"));
        content[at] ^= (unsigned char)(1u << (at % 8));
    }
}

static void test_stream_words(void **state)
{
    static const struct {
        const char *lines, *why;
    } cases[] = {
        {"", "ended early"},
        {"{}\n", "not what etcd sends"},
        {"<html>\n", "not what etcd sends"},
        {"{\"error\":{\"message\":\"no space left\"}}\n", "no space left"},
        {"{\"result\":{\"blob\":\"A\"}}\n", "base64"},
        {"{\"result\":{\"blob\":7}}\n", "base64"},
        {"{\"result\":{\"blob\":\" AA=\"}}\n", "base64"},
        {"{\"result\":{\"blob\":\"AA=A\"}}\n", "base64"},
        {"{\"result\":{}}\n", "ended early"},
    };
    char sha256[ETCD_SHA256_HEX];
    size_t size = ETCD_LINE_LIMIT + 1;
    char *line = malloc(size);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(stream(cases[i].lines, strlen(cases[i].lines), 4096, sha256));
        if (!strstr(text, cases[i].why))
            fail_msg("%s: %s", cases[i].lines, text);
    }
    memset(line, ' ', size);
    assert_false(stream(line, size, size, sha256));
    assert_non_null(strstr(text, "too long"));
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_words),
        cmocka_unit_test(test_snapshot),
    };

    if (getenv("HACTL_TEST_ONLY"))
        cmocka_set_test_filter(getenv("HACTL_TEST_ONLY"));
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
