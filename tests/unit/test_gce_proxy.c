/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/gce where only a proxy leads out: one on loopback that hears CONNECT and
 * is then, over TLS, the API itself.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/file.h"
#include "lib/gce/gce.h"
#include "lib/json.h"
#include "tests/support/fake_host.h"
#include "tests/unit/gce_stub.h"

/* No server of this machine for lib/gce, and yet nobody's name server is asked for it. */
#define HOST "compute.localhost"

static const struct hactl_key keys[] = {GCE_KEYS, {.name = NULL}};

static struct {
    char directory[64], authority[96];
    SSL_CTX *tls;
    struct gce_stub *stub; /* what is near: the metadata server, or an emulator */
    int fd, closed;        /* the proxy's; one where nobody listens */
    uint16_t port, closed_port;
    pthread_t thread;
    pthread_mutex_t mutex;
    const char *refusal; /* the proxy's answer; NULL: it leads there */
    char asked[4096], inside[4096];
    size_t connections;
    struct gce *gce;
    struct hactl_conf *conf;
    struct hactl_call *call;
} world = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- the proxy -------------------------------------------------------------------- */

static int bound(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A head, byte by byte: what follows it is TLS. */
static bool read_head(int fd, char *out, size_t size)
{
    size_t used = 0;

    while (used + 1 < size && recv(fd, out + used, 1, 0) == 1) {
        out[++used] = '\0';
        if (used >= 4 && strcmp(out + used - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static void be_api(int fd)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"name\":\"it\"}";
    SSL *tls = SSL_new(world.tls);
    char request[4096];
    int got;

    SSL_set_fd(tls, fd);
    if (SSL_accept(tls) == 1)
        while ((got = SSL_read(tls, request, sizeof(request) - 1)) > 0) {
            request[got] = '\0';
            pthread_mutex_lock(&world.mutex);
            strcpy(world.inside, request);
            pthread_mutex_unlock(&world.mutex);
            if (SSL_write(tls, answer, (int)strlen(answer)) <= 0)
                break;
        }
    SSL_free(tls);
}

static void *serve(void *unused)
{
    char head[4096];
    int fd;

    while ((fd = accept4(world.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (read_head(fd, head, sizeof(head))) {
            const char *refusal;

            pthread_mutex_lock(&world.mutex);
            strcpy(world.asked, head);
            world.connections++;
            refusal = world.refusal;
            pthread_mutex_unlock(&world.mutex);
            const char *words = refusal ? refusal : "HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n";

            if (send(fd, words, strlen(words), MSG_NOSIGNAL) > 0 && !refusal)
                be_api(fd);
        }
        close(fd);
    }
    return unused;
}

/* ---- its certificate ----------------------------------------------------------------- */

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    FILE *file;

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"test",
                               -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, NID_subject_alt_name, "DNS:" HOST);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    file = fopen(world.authority, "w");
    assert_true(file && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    world.tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(world.tls, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(world.tls, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* ---- around each test ------------------------------------------------------------------ */

static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY",
                                        "all_proxy",   "ALL_PROXY",   "no_proxy",   "NO_PROXY"};

static void answer_near(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    answer->header = "Metadata-Flavor: Google";
    snprintf(answer->body, sizeof(answer->body), "%s",
             strstr(request->path, "/token") ? "{\"access_token\":\"abc\",\"expires_in\":3600}"
                                             : "{\"name\":\"near\"}");
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    strcpy(world.directory, "/tmp/hactl-gce-XXXXXX");
    assert_non_null(mkdtemp(world.directory));
    snprintf(world.authority, sizeof(world.authority), "%s/ca.pem", world.directory);
    make_certificate();
    world.stub = gce_stub_start(answer_near);
    world.fd = bound(&world.port);
    assert_int_equal(listen(world.fd, 8), 0);
    world.closed = bound(&world.closed_port);
    world.refusal = NULL;
    world.connections = 0;
    world.asked[0] = world.inside[0] = '\0';
    assert_int_equal(pthread_create(&world.thread, NULL, serve, NULL), 0);
    return 0;
}

static void close_gce(void)
{
    gce_free(world.gce);
    world.gce = NULL;
    fake_conf_free(world.conf);
    world.conf = NULL;
}

static int teardown(void **state)
{
    (void)state;
    close_gce();
    shutdown(world.fd, SHUT_RDWR);
    pthread_join(world.thread, NULL);
    close(world.fd);
    close(world.closed);
    gce_stub_stop(world.stub);
    SSL_CTX_free(world.tls);
    fake_call_free(world.call);
    world.call = NULL;
    ha_tree_remove(world.directory);
    return 0;
}

static void name_proxy(const char *variable, uint16_t port)
{
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    setenv(variable, url, 1);
}

/* One GET of an API there: HACTL_OK when it answered, else why not in world.call. */
static int ask(const char *api)
{
    char metadata[64];
    json_t *json = NULL;
    int rc;

    snprintf(metadata, sizeof(metadata), "http://127.0.0.1:%u", gce_stub_port(world.stub));
    struct fake_setting settings[] = {{"api_url", api},  {"metadata_url", metadata},   {"credentials", "metadata"},
                                      {"project", "p1"}, {"ca_file", world.authority}, {NULL, NULL}};

    close_gce();
    fake_call_free(world.call);
    world.call = fake_call_new(20000);
    world.conf = fake_conf_new(keys, settings, "cloud", "demo", world.directory);
    assert_int_equal(gce_new(&fake_host, world.conf, world.call, &world.gce), HACTL_OK);
    rc = gce_get(world.gce, world.call, &json, "zones/z");
    json_decref(json);
    return rc;
}

/* An API of the Internet, as far as lib/gce can see; without the proxy nobody answers there. */
static int ask_far(void)
{
    char api[64];

    snprintf(api, sizeof(api), "https://" HOST ":%u/compute/v1/", world.closed_port);
    return ask(api);
}

/* ---- tests ------------------------------------------------------------------------------- */

static void test_through(void **state)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy"};
    char line[128];

    (void)state;
    snprintf(line, sizeof(line), "CONNECT " HOST ":%u HTTP/1.1\r\n", world.closed_port);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        world.asked[0] = world.inside[0] = '\0';
        name_proxy(names[i], world.port);
        if (ask_far() != HACTL_OK)
            fail_msg("%s: %s", names[i], world.call->text);
        unsetenv(names[i]);
        /* The token is for the API; of the metadata server the proxy hears nothing. */
        pthread_mutex_lock(&world.mutex);
        assert_true(strncmp(world.asked, line, strlen(line)) == 0);
        assert_null(strstr(world.asked, "abc"));
        assert_null(strcasestr(world.asked, "authorization"));
        assert_non_null(strstr(world.inside, "Authorization: Bearer abc\r\n"));
        assert_int_equal(world.connections, i + 1);
        pthread_mutex_unlock(&world.mutex);
    }
}

static void test_none(void **state)
{
    (void)state;
    assert_int_equal(ask_far(), HACTL_E_UNAVAILABLE);
    name_proxy("https_proxy", world.port);
    setenv("no_proxy", "example.org,.localhost", 1);
    assert_int_equal(ask_far(), HACTL_E_UNAVAILABLE);
    assert_int_equal(world.connections, 0);
}

/* A test server on this machine, and the metadata server, whatever the environment says. */
static void test_near(void **state)
{
    char api[64];

    (void)state;
    name_proxy("https_proxy", world.port);
    name_proxy("http_proxy", world.port);
    name_proxy("all_proxy", world.port);
    snprintf(api, sizeof(api), "http://127.0.0.1:%u/compute/v1/", gce_stub_port(world.stub));
    assert_int_equal(ask(api), HACTL_OK);
    assert_int_equal(world.connections, 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *answer, *says;
        int code;
    } cases[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
         "refused to lead there: status 407, it wants to know who asks", HACTL_E_DENIED},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused to lead there: status 403", HACTL_E_DENIED},
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "refused to lead there: status 502",
         HACTL_E_UNAVAILABLE},
    };

    (void)state;
    name_proxy("https_proxy", world.port);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pthread_mutex_lock(&world.mutex);
        world.refusal = cases[i].answer;
        pthread_mutex_unlock(&world.mutex);
        assert_int_equal(ask_far(), cases[i].code);
        if (!strstr(world.call->text, cases[i].says))
            fail_msg("%s", world.call->text);
    }
    /* The proxy is who cannot be reached, and it is named. */
    setenv("https_proxy", "http://user:secret@127.0.0.1:1", 1);
    assert_int_equal(ask_far(), HACTL_E_UNAVAILABLE);
    assert_non_null(strstr(world.call->text, "127.0.0.1"));
    assert_null(strstr(world.call->text, "secret"));
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_through),
        EACH(test_none),
        EACH(test_near),
        EACH(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
