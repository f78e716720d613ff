/* SPDX-License-Identifier: Apache-2.0 */
/* Listens where somebody else wants to: squat ADDRESS PORT. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8))
        return 1;
    pause();
    return 0;
}
