/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/etcd_liar.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "lib/http.h"

#define LIAR_PORT 2377

struct liar {
    const char *address, *truth, *lie;
    SSL_CTX *tls;
    struct ha_http_client *client;
    struct ha_http_endpoint *member;
};

static int listening(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(LIAR_PORT)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    char path[128];

    snprintf(path, sizeof(path), "%s/server.pem", rig_pki());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(tls, path), 1);
    snprintf(path, sizeof(path), "%s/server-key.pem", rig_pki());
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM), 1);
    return tls;
}

/* One request with its whole body; the caller frees. NULL: no more. */
static char *read_request(SSL *ssl, char **body)
{
    char *text = calloc(1, 65536);
    size_t used = 0, length = 0;

    *body = NULL;
    for (;;) {
        const char *header = strcasestr(text, "\r\nContent-Length:");
        int got;

        *body = strstr(text, "\r\n\r\n");
        if (*body) {
            *body += 4;
            length = header ? strtoul(header + 17, NULL, 10) : 0;
            if (used - (size_t)(*body - text) >= length)
                return text;
        }
        got = SSL_read(ssl, text + used, (int)(65535 - used));
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    free(text);
    return NULL;
}

static char *replace(const char *text, const char *from, const char *to)
{
    char *out = calloc(1, strlen(text) * 2 + 1024);
    const char *at;

    for (; (at = strstr(text, from)); text = at + strlen(from)) {
        strncat(out, text, (size_t)(at - text));
        strcat(out, to);
    }
    return strcat(out, text);
}

static void answer(struct liar *liar, SSL *ssl, char *request, const char *body)
{
    struct hactl_call *call = fake_call_new(10000);
    struct ha_http_exchange exchange = {.endpoint = liar->member};
    char *path = strchr(request, ' '), *text, head[128];

    path = path ? strndup(path + 1, strcspn(path + 1, " ")) : strdup("/");
    exchange.request = (struct ha_http_request){
        .method = "POST", .path = path, .body = body, .body_size = strlen(body), .timeout_ms = 5000};
    ha_http_run(liar->client, &fake_host, call, &exchange, 1);
    text = replace(exchange.response.body ? exchange.response.body : "", liar->truth, liar->lie);
    snprintf(head, sizeof(head), "HTTP/1.1 %ld Whatever\r\nContent-Length: %zu\r\n\r\n",
             exchange.response.code == HACTL_OK ? exchange.response.status : 502, strlen(text));
    SSL_write(ssl, head, (int)strlen(head));
    if (text[0])
        SSL_write(ssl, text, (int)strlen(text));
    ha_http_response_clear(&exchange.response);
    fake_call_free(call);
    free(text);
    free(path);
}

static void serve(struct liar *liar, int fd)
{
    SSL *ssl = SSL_new(liar->tls);
    char *request, *body;

    SSL_set_fd(ssl, fd);
    while (SSL_accept(ssl) == 1 && (request = read_request(ssl, &body))) {
        answer(liar, ssl, request, body);
        free(request);
    }
    SSL_free(ssl);
}

static void run(struct rig *rig, int index, int fd, struct liar *liar)
{
    struct ha_http_identity identity = {.host = rig->addresses[index],
                                        .port = 2379,
                                        .authority_file = rig->authority,
                                        .certificate_file = rig->certificate,
                                        .key_file = rig->key};

    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    liar->tls = server_context();
    for (;;) {
        int one = accept(fd, NULL, NULL);

        if (fork() > 0) {
            close(one);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        liar->client = ha_http_client_new();
        liar->member = ha_http_endpoint(liar->client, &identity);
        serve(liar, one);
        _exit(0);
    }
}

pid_t liar_start(struct rig *rig, int index, const char *truth, const char *lie)
{
    struct liar liar = {.address = rig->addresses[index], .truth = truth, .lie = lie};
    int fd = listening(liar.address);
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(rig, index, fd, &liar);
    }
    close(fd);
    rig->reaches[index].port = LIAR_PORT;
    return pid;
}

void liar_stop(struct rig *rig, int index, pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    rig->reaches[index].port = 2379;
}
