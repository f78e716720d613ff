/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What "ssh -L" does, between two network namespaces: accepts connections on
 * 127.0.0.1:PORT here and continues them to ADDRESS:TO from the namespace of
 * the file NAMESPACE, until it is ended. Notes each one in the file NOTES.
 *
 *   forward PORT NAMESPACE ADDRESS TO NOTES
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(const char *address, const char *port, struct sockaddr_in *out)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    if (inet_pton(AF_INET, address, &out->sin_addr) != 1)
        return -1;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static bool write_all(int fd, const char *bytes, ssize_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, (size_t)size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        size -= sent;
    }
    return true;
}

/* Until both sides have said all that they had to say. */
static void relay(int one, int other)
{
    struct pollfd fds[2] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    char bytes[65536];

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0)
            return;
        for (int i = 0; i < 2; i++) {
            int to = i == 0 ? other : one;
            ssize_t size;

            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            size = recv(fds[i].fd, bytes, sizeof(bytes), 0);
            if (size > 0 && write_all(to, bytes, size))
                continue;
            shutdown(to, SHUT_WR);
            fds[i].fd = -1;
        }
    }
}

static void note(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd >= 0 && write(fd, "connection\n", 11) == 11)
        close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_in here, there;
    int one = 1, listener, space;

    if (argc != 6 || (listener = open_socket("127.0.0.1", argv[1], &here)) < 0)
        return 2;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    space = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (space < 0 || bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(listener, 64) < 0 ||
        setns(space, CLONE_NEWNET) < 0) {
        perror(argv[2]);
        return 1;
    }
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC), to;
        pid_t parent = getpid();

        if (from >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(0);
            close(listener);
            note(argv[5]);
            to = open_socket(argv[3], argv[4], &there);
            if (to >= 0 && connect(to, (struct sockaddr *)&there, sizeof(there)) == 0)
                relay(from, to);
            _exit(0);
        }
        if (from >= 0)
            close(from);
    }
}
