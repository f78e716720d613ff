/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tests/unit/lb_traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

char public_address[LB_ADDRESS_SIZE];

void lb_address(char address[LB_ADDRESS_SIZE], unsigned host)
{
    snprintf(address, LB_ADDRESS_SIZE, "127.44.%u.%u", lb_network, host);
}

double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void sleep_ms(long ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&wait, NULL);
}

/* ---- backends: an echo server, one thread for all its connections -------------- */

static void *echo_run(void *data)
{
    struct echo *echo = data;
    struct pollfd fds[256] = {{.fd = echo->listener, .events = POLLIN}};
    bool counted[256] = {false};
    nfds_t count = 1;
    char bytes[4096];

    while (!echo->stop) {
        if (poll(fds, count, 20) <= 0)
            continue;
        for (nfds_t i = count; i-- > 1;) {
            ssize_t got;

            if (!fds[i].revents)
                continue;
            got = recv(fds[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            if (got > 0 && !counted[i]) {
                counted[i] = true;
                echo->served++;
            }
            if (got > 0 && send(fds[i].fd, bytes, (size_t)got, MSG_NOSIGNAL) == got)
                continue;
            close(fds[i].fd);
            fds[i] = fds[--count];
            counted[i] = counted[count];
        }
        if ((fds[0].revents & POLLIN) && count < 256) {
            int fd = accept(echo->listener, NULL, NULL);

            if (fd >= 0) {
                counted[count] = false;
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
            }
        }
    }
    for (nfds_t i = 0; i < count; i++)
        close(fds[i].fd);
    return NULL;
}

int listen_on(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 512), 0);
    return fd;
}

void echo_start(struct echo *echo, int number)
{
    memset(echo, 0, sizeof(*echo));
    lb_address(echo->address, (unsigned)(10 + number));
    echo->listener = listen_on(echo->address, BACKEND_PORT);
    assert_int_equal(pthread_create(&echo->thread, NULL, echo_run, echo), 0);
}

void echo_stop(struct echo *echo)
{
    if (echo->listener <= 0)
        return;
    echo->stop = true;
    pthread_join(echo->thread, NULL);
    echo->listener = -1;
}

/* ---- clients --------------------------------------------------------------------- */

int dial(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {3, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

int ask(int fd)
{
    char bytes[4];
    ssize_t got;

    if (send(fd, "ping", 4, MSG_NOSIGNAL) != 4)
        return -1;
    do /* a socket with a time limit tells when its process was stopped and goes on */
        got = recv(fd, bytes, 4, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    return got == 4 && memcmp(bytes, "ping", 4) == 0 ? 0 : -1;
}

bool answers(const char *address, uint16_t port)
{
    int fd = dial(address, port), rc, error;

    if (fd < 0) {
        errno = -fd;
        return false;
    }
    rc = ask(fd);
    error = errno;
    close(fd);
    errno = error;
    return rc == 0;
}

static void prober_blames(struct prober *prober, const char *what, int error, double start_ms)
{
    if (!prober->why[0])
        snprintf(prober->why, sizeof(prober->why), "%s after %d answers: %s, in %.0f ms", what, prober->answered,
                 error ? strerror(error) : "the other side closed", now_ms() - start_ms);
}

void *prober_run(void *data)
{
    struct prober *prober = data;
    int kept = -1;
    double last_ms = now_ms(), t;

    while (!prober->stop) {
        bool good = answers(public_address, PORT);

        if (good) {
            t = now_ms();
            if (prober->answered++ && t - last_ms > prober->worst_ms)
                prober->worst_ms = t - last_ms;
            last_ms = t;
        } else {
            prober->refused++;
        }
        if (prober->persistent && kept < 0)
            kept = dial(public_address, PORT);
        t = now_ms();
        errno = 0;
        if (kept >= 0 && ask(kept) < 0) {
            prober->broken++;
            prober->ended += errno == 0 || errno == ECONNRESET || errno == EPIPE;
            prober_blames(prober, "the kept connection", errno, t);
        } else if (kept >= 0) {
            prober->kept_answers++;
        }
        sleep_ms(1);
    }
    if (kept >= 0)
        close(kept);
    return NULL;
}

void *client_run(void *data)
{
    struct prober *client = data;
    double start_ms;

    while (!client->stop) {
        if (answers(public_address, PORT)) {
            client->answered++;
        } else {
            client->refused++;
            sleep_ms(REPEAT_MS);
            start_ms = now_ms();
            errno = 0;
            if (!answers(public_address, PORT)) {
                client->failed++;
                prober_blames(client, "a client that repeats once", errno, start_ms);
            }
        }
        sleep_ms(1);
    }
    return NULL;
}

void prober_start(struct prober *prober, void *(*run)(void *), bool persistent)
{
    memset(prober, 0, sizeof(*prober));
    prober->persistent = persistent;
    assert_int_equal(pthread_create(&prober->thread, NULL, run, prober), 0);
}

void prober_settle(struct prober *prober)
{
    int answered = prober->answered, kept = prober->kept_answers;
    double start = now_ms();

    while (prober->answered < answered + 5 || (prober->persistent && prober->kept_answers < kept + 3)) {
        if (now_ms() - start > 10000)
            fail_msg("a client got %d answers, %d over the connection that it keeps; %s", prober->answered - answered,
                     prober->kept_answers - kept, prober->why);
        sleep_ms(2);
    }
}

void prober_stop(struct prober *prober)
{
    prober->stop = true;
    pthread_join(prober->thread, NULL);
}
