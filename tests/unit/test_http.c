/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http against a server that says what each case wants, and lib/json. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/http.h"
#include "lib/json.h"
#include "tests/support/fake_host.h"

static int listening(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* Answers each request with `answer`, again and again on one connection; NULL
 * closes it after the request. An answer that ends with '#' leaves it open
 * and unfinished. */
static void serve(int fd, const char *answer)
{
    char request[65536];

    for (;;) {
        int one = accept(fd, NULL, NULL);

        if (fork() > 0) {
            close(one);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(one, request, sizeof(request)) > 0) {
            if (!answer)
                break;
            if (write(one, answer, strcspn(answer, "#")) < 0)
                break;
        }
        _exit(0);
    }
}

struct server {
    pid_t pid;
    uint16_t port;
};

static struct server server_start(const char *answer)
{
    struct server server;
    int fd = listening(&server.port);

    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGCHLD, SIG_IGN);
        serve(fd, answer);
        _exit(0);
    }
    close(fd);
    return server;
}

static void server_stop(struct server server)
{
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
}

static void ask(struct ha_http_client *client, uint16_t port, bool plain, struct ha_http_exchange *exchange)
{
    struct ha_http_identity identity = {.host = "127.0.0.1", .port = port, .plain = plain};
    struct hactl_call *call = fake_call_new(5000);

    exchange->endpoint = ha_http_endpoint(client, &identity);
    if (!exchange->request.method)
        exchange->request.method = "GET";
    if (!exchange->request.path)
        exchange->request.path = "/x?secret=1";
    if (exchange->request.timeout_ms == 0)
        exchange->request.timeout_ms = 300;
    ha_http_run(client, &fake_host, call, exchange, 1);
    fake_call_free(call);
}

#define OK200 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

static void test_classes(void **state)
{
    static const struct {
        const char *answer;
        bool plain;
        size_t limit;
        int code;
        long status;
        const char *words;
    } cases[] = {
        {OK200 "ok", true, 0, HACTL_OK, 200, ""},
        {"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", true, 0, HACTL_OK, 503, ""},
        {"HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", true, 0, HACTL_OK, 302, ""},
        {"#", true, 0, HACTL_E_TIMEOUT, 0, "no answer after"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc#", true, 0, HACTL_E_TIMEOUT, 200, "no answer after"},
        {NULL, true, 0, HACTL_E_TIMEOUT, 0, "Empty reply"},
        {"garbage\r\n\r\n", true, 0, HACTL_E_TIMEOUT, 0, ""},
        {OK200 "ok", true, 1, HACTL_E_TIMEOUT, 200, "exceeds 1 bytes"},
        {"#", false, 0, HACTL_E_UNAVAILABLE, 0, "no connection after"}, /* no handshake: nothing was sent */
        {"plain\n", false, 0, HACTL_E_UNAVAILABLE, 0, ""},
    };

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ha_http_client *client = ha_http_client_new();
        struct server server = server_start(cases[i].answer);
        struct ha_http_exchange exchange = {.request = {.response_limit = cases[i].limit}};

        /* Only those that hang ("#") are to meet their deadline, under valgrind too. */
        exchange.request.timeout_ms = cases[i].answer && strchr(cases[i].answer, '#') ? 1000 : 10000;
        ask(client, server.port, cases[i].plain, &exchange);
        if (exchange.response.code != cases[i].code || exchange.response.status != cases[i].status ||
            !strstr(exchange.response.error, cases[i].words))
            fail_msg("case %zu: %d %ld %s", i, exchange.response.code, exchange.response.status,
                     exchange.response.error);
        assert_int_equal(exchange.response.code == HACTL_OK, exchange.response.error[0] == '\0');
        if (cases[i].status == 503)
            assert_int_equal(exchange.response.retry_after_ms, 7000);
        ha_http_response_clear(&exchange.response);
        server_stop(server);
        ha_http_client_free(client);
    }
    unsetenv("http_proxy");
    unsetenv("https_proxy");
}

/* A kept connection whose server has gone, then one that is not there. */
static void test_reuse(void **state)
{
    struct ha_http_client *client = ha_http_client_new();
    struct server server = server_start(OK200 "ok");
    struct ha_http_exchange exchange = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        exchange.request.body = i ? "{}" : NULL;
        exchange.request.body_size = 2;
        exchange.request.method = i ? "POST" : "GET";
        exchange.request.fresh = i == 2;
        ask(client, server.port, true, &exchange);
        assert_int_equal(exchange.response.code, HACTL_OK);
        assert_string_equal(exchange.response.body, "ok");
    }
    server_stop(server);
    /* Its child dies with it, not at once. */
    for (int i = 0; i < 100; i++) {
        ask(client, server.port, true, &exchange);
        if (strstr(exchange.response.error, "refused"))
            break;
        usleep(100000);
    }
    assert_int_equal(exchange.response.code, HACTL_E_UNAVAILABLE);
    assert_non_null(strstr(exchange.response.error, "refused"));
    ha_http_response_clear(&exchange.response);
    ha_http_client_free(client);
}

/* Answers GET and keeps the connection; reads anything else, counts it and closes. */
static void serve_and_count(int fd, _Atomic int *counted)
{
    char request[4096];

    for (;;) {
        int one = accept(fd, NULL, NULL);

        if (fork() > 0) {
            close(one);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(one, request, sizeof(request)) > 0) {
            if (strncmp(request, "GET ", 4) != 0) {
                (*counted)++;
                break;
            }
            if (write(one, OK200 "ok", strlen(OK200 "ok")) < 0)
                break;
        }
        _exit(0);
    }
}

/* libcurl asks a second time when a kept connection ends without an answer.
 * What changes something was read by then, and may have been done. */
static void test_asked_once(void **state)
{
    static const struct {
        const char *method;
        bool repeatable;
        int times;
    } cases[] = {{"POST", false, 1}, {"PUT", false, 1}, {"DELETE", false, 1}, {"PATCH", false, 1}, {"POST", true, 2}};
    _Atomic int *counted = mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(counted != MAP_FAILED);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ha_http_client *client = ha_http_client_new();
        struct server server;
        int fd = listening(&server.port);

        server.pid = fork();
        if (server.pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGCHLD, SIG_IGN);
            serve_and_count(fd, counted);
        }
        close(fd);
        *counted = 0;
        for (int request = 0; request < 2; request++) {
            struct ha_http_exchange exchange = {.request = {.timeout_ms = 10000}};

            if (request == 1)
                exchange.request = (struct ha_http_request){.method = cases[i].method,
                                                            .body = "{}",
                                                            .body_size = 2,
                                                            .repeatable = cases[i].repeatable,
                                                            .timeout_ms = 10000};
            ask(client, server.port, true, &exchange);
            assert_int_equal(exchange.response.code, request == 0 ? HACTL_OK : HACTL_E_TIMEOUT);
            ha_http_response_clear(&exchange.response);
        }
        if (*counted != cases[i].times)
            fail_msg("%s came %d times", cases[i].method, *counted);
        server_stop(server);
        ha_http_client_free(client);
    }
    munmap((void *)counted, sizeof(*counted));
}

static void test_cancelled(void **state)
{
    struct ha_http_client *client = ha_http_client_new();
    struct server server = server_start("#");
    struct ha_http_identity identity = {.host = "127.0.0.1", .port = server.port, .plain = true};
    struct ha_http_exchange exchange = {.request = {.method = "GET", .path = "/"}};
    struct hactl_call *call = fake_call_new(60000);

    (void)state;
    exchange.endpoint = ha_http_endpoint(client, &identity);
    assert_ptr_equal(exchange.endpoint, ha_http_endpoint(client, &identity));
    call->cancelled = 1;
    ha_http_run(client, &fake_host, call, &exchange, 1);
    assert_int_equal(exchange.response.code, HACTL_E_CANCELLED);
    fake_call_free(call);
    call = fake_call_new(0);
    ha_http_run(client, &fake_host, call, &exchange, 1);
    assert_int_equal(exchange.response.code, HACTL_E_UNAVAILABLE);
    fake_call_free(call);
    ha_http_response_clear(&exchange.response);
    server_stop(server);
    ha_http_client_free(client);
}

static void test_json(void **state)
{
    static const char text[] = "{\"a\":\"18446744073709551615\",\"b\":7,\"c\":\"-5\",\"d\":\" 5\",\"e\":\"5x\","
                               "\"f\":true,"
                               "\"g\":\"\",\"h\":\"18446744073709551616\",\"i\":-1}";
    char why[100];
    json_t *object = ha_json_parse(text, strlen(text), why, sizeof(why));
    char *dump;

    (void)state;
    assert_true(ha_json_u64(object, "a") == UINT64_MAX);
    assert_int_equal(ha_json_i64(object, "a"), 0);
    assert_int_equal(ha_json_u64(object, "b"), 7);
    assert_int_equal(ha_json_i64(object, "c"), -5);
    assert_int_equal(ha_json_u64(object, "c"), 0);
    assert_int_equal(ha_json_u64(object, "d"), 0);
    assert_int_equal(ha_json_u64(object, "e"), 0);
    assert_int_equal(ha_json_u64(object, "h"), 0);
    assert_int_equal(ha_json_u64(object, "i"), 0);
    assert_int_equal(ha_json_u64(object, "missing"), 0);
    assert_true(ha_json_bool(object, "f"));
    assert_false(ha_json_bool(object, "missing"));
    assert_null(ha_json_string(object, "g"));
    assert_null(ha_json_string(NULL, "g"));
    json_decref(object);
    assert_null(ha_json_parse("{\"a\":1,\"a\":2}", 13, why, sizeof(why)));
    assert_null(ha_json_parse("{", 1, why, sizeof(why)));
    object = json_object();
    assert_int_equal(ha_json_set_u64(object, "ID", UINT64_MAX), 0);
    dump = ha_json_text(object);
    assert_string_equal(dump, "{\"ID\":\"18446744073709551615\"}");
    free(dump);
    json_decref(object);
}

static void test_base64(void **state)
{
    static const char *const bad[] = {"A", "AA=A", "====", " AAA", "AAA ", "AAA\n", "A===", "AA*=", "-_AA"};
    unsigned char bytes[64], out[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t size = 0; size < 48; size++) {
        char *text = ha_base64_encode(bytes, size);

        assert_int_equal(ha_base64_decode(text, strlen(text), out), size);
        assert_memory_equal(out, bytes, size);
        free(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (ha_base64_decode(bad[i], strlen(bad[i]), out) != -1)
            fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),    cmocka_unit_test(test_reuse), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_asked_once), cmocka_unit_test(test_json),  cmocka_unit_test(test_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
