/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that open a new TLS connection for every request, all the time: each
 * verifies the server with the trust that a client was given, shows its own
 * certificate, asks one question and reads the answer to its end. Nothing is
 * tried again: whatever goes wrong is a failure.
 *
 *   handshakes ADDRESS PORT DIRECTORY
 *
 * DIRECTORY holds trust.pem, client.pem and client-key.pem. A line on standard
 * input names the phase and has the three read anew; the end of it ends the
 * run. Prints a line for each phase, then one verdict as TAP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 3, PHASES = 64, PAUSE_MS = 4, TIMEOUT_S = 20 };

struct phase {
    char name[128];
    unsigned done, failed;
    char first[256];
};

static const char *address, *directory;
static struct sockaddr_in server = {.sin_family = AF_INET};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct phase phases[PHASES] = {{.name = "at first"}};
static int phase_count = 1;
static bool stop;
static SSL_CTX *context; /* replaced under the mutex; each connection has a reference */

/* ---- what a client was given */

static SSL_CTX *read_context(void)
{
    char trust[4200], certificate[4200], key[4200];
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());

    snprintf(trust, sizeof trust, "%s/trust.pem", directory);
    snprintf(certificate, sizeof certificate, "%s/client.pem", directory);
    snprintf(key, sizeof key, "%s/client-key.pem", directory);
    if (!made || SSL_CTX_load_verify_locations(made, trust, NULL) != 1 ||
        SSL_CTX_use_certificate_chain_file(made, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(made) != 1) {
        ERR_print_errors_fp(stderr);
        exit(2);
    }
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    /* Every handshake is a whole one. */
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(made, SSL_OP_NO_TICKET);
    return made;
}

static SSL_CTX *current_context(void)
{
    SSL_CTX *taken;

    pthread_mutex_lock(&mutex);
    taken = context;
    SSL_CTX_up_ref(taken);
    pthread_mutex_unlock(&mutex);
    return taken;
}

/* ---- one connection */

static int open_socket(char *why, size_t size)
{
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) == 0)
        return fd;
    snprintf(why, size, "connect: %s", strerror(errno));
    close(fd);
    return -1;
}

static void explain(SSL *ssl, const char *what, int result, char *why, size_t size)
{
    char words[200] = "";
    long verified = SSL_get_verify_result(ssl);
    unsigned long error = ERR_get_error();
    int saved = errno;

    if (error)
        ERR_error_string_n(error, words, sizeof words);
    snprintf(why, size, "%s: %s%s%s", what,
             words[0]                                              ? words
             : SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN ? "closed"
             : saved                                               ? strerror(saved)
                                                                   : "closed without a word",
             verified != X509_V_OK ? "; " : "", verified != X509_V_OK ? X509_verify_cert_error_string(verified) : "");
}

/* With TLS 1.3 a server that dislikes the client's certificate says so only
 * after the handshake: so the answer is part of it. */
static bool ask(SSL *ssl, char *why, size_t size)
{
    static const char question[] = "GET /version HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n";
    char answer[4096];
    size_t used = 0;
    int got;

    if ((got = SSL_connect(ssl)) != 1) {
        explain(ssl, "handshake", got, why, size);
        return false;
    }
    if ((got = SSL_write(ssl, question, sizeof question - 1)) <= 0) {
        explain(ssl, "write", got, why, size);
        return false;
    }
    while (used < sizeof answer - 1 && (got = SSL_read(ssl, answer + used, (int)(sizeof answer - 1 - used))) > 0)
        used += (size_t)got;
    answer[used] = '\0';
    if (strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "etcdserver"))
        return true;
    if (used)
        snprintf(why, size, "answered: %.60s", answer);
    else
        explain(ssl, "read", got, why, size);
    return false;
}

static bool meet(char *why, size_t size)
{
    SSL_CTX *given = current_context();
    SSL *ssl = SSL_new(given);
    int fd = open_socket(why, size);
    bool met = false;

    ERR_clear_error();
    errno = 0;
    if (fd >= 0 && ssl && SSL_set_fd(ssl, fd) == 1 && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) == 1)
        met = ask(ssl, why, size);
    if (met)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(given);
    if (fd >= 0)
        close(fd);
    return met;
}

/* ---- clients and phases */

static void *client(void *unused)
{
    char why[256];
    bool over = false;

    (void)unused;
    while (!over) {
        pthread_mutex_lock(&mutex);
        struct phase *phase = &phases[phase_count - 1]; /* that it begins in */
        pthread_mutex_unlock(&mutex);
        bool met = meet(why, sizeof why);
        pthread_mutex_lock(&mutex);
        phase->done += met;
        if (!met && phase->failed++ == 0)
            snprintf(phase->first, sizeof phase->first, "%s", why);
        over = stop;
        pthread_mutex_unlock(&mutex);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    return NULL;
}

static void follow_phases(void)
{
    char line[128];

    while (fgets(line, sizeof line, stdin)) {
        SSL_CTX *read = read_context(), *before;
        line[strcspn(line, "\n")] = '\0';
        pthread_mutex_lock(&mutex);
        before = context;
        context = read;
        if (phase_count < PHASES)
            snprintf(phases[phase_count++].name, sizeof phases[0].name, "%s", line);
        pthread_mutex_unlock(&mutex);
        SSL_CTX_free(before);
    }
    pthread_mutex_lock(&mutex);
    stop = true;
    pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv)
{
    pthread_t threads[CLIENTS];
    unsigned done = 0, failed = 0;

    if (argc != 4 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        fprintf(stderr, "usage: handshakes ADDRESS PORT DIRECTORY\n");
        return 2;
    }
    address = argv[1];
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    directory = argv[3];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    context = read_context();
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&threads[i], NULL, client, NULL);
    follow_phases();
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < phase_count; i++) {
        printf("# %-40s %6u handshakes, %u failed%s%s\n", phases[i].name, phases[i].done + phases[i].failed,
               phases[i].failed, phases[i].failed ? "; first: " : "", phases[i].first);
        done += phases[i].done;
        failed += phases[i].failed;
    }
    printf("1..1\n%sok 1 - zero of %u handshakes failed%s\n", failed || !done ? "not " : "", done + failed,
           failed || !done ? " - not so" : "");
    SSL_CTX_free(context);
    return failed || !done;
}
