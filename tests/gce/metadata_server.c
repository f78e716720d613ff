/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metadata server for one machine, out of files:
 *
 *     metadata_server DIRECTORY
 *
 * serves DIRECTORY/attributes/KEY, waits for changes of them, and writes guest
 * attributes to DIRECTORY/guest/KEY. DIRECTORY/refuse: guest attributes are
 * off. Prints its port, ends with its standard input.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/gce_stub.h"

#define ROOT       "/computeMetadata/v1/instance/"
#define ATTRIBUTES ROOT "attributes/"
#define GUEST      ROOT "guest-attributes/hactl/"

static const char *directory;

/* Of names, sizes and times: another one whenever an attribute changes. */
static unsigned long version(char *names, size_t size)
{
    char path[4096];
    DIR *list;
    struct dirent *entry;
    unsigned long sum = 5381;

    snprintf(path, sizeof(path), "%s/attributes", directory);
    list = opendir(path);
    while (list && (entry = readdir(list))) {
        struct stat about;
        char file[4400];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (stat(file, &about) < 0)
            continue;
        sum += (unsigned long)about.st_mtim.tv_sec * 31 + (unsigned long)about.st_mtim.tv_nsec +
               (unsigned long)about.st_ino * 7;
        if (names)
            snprintf(names + strlen(names), size - strlen(names), "%s\n", entry->d_name);
    }
    if (list)
        closedir(list);
    return sum;
}

static void await_change(const char *path)
{
    const char *last = strstr(path, "last_etag="), *timeout = strstr(path, "timeout_sec=");
    unsigned long known = last ? strtoul(last + 10, NULL, 16) : 0;
    int rounds = timeout ? atoi(timeout + 12) * 50 : 50;

    while (rounds-- > 0 && version(NULL, 0) == known)
        usleep(20000);
}

static void serve_attribute(const char *key, struct gce_stub_answer *answer)
{
    char path[4096], *text = NULL;
    size_t size;

    snprintf(path, sizeof(path), "%s/attributes/%s", directory, key);
    if (strchr(key, '/') || ha_file_read(path, sizeof(answer->body) - 1, &text, &size) < 0)
        answer->status = 404;
    else
        memcpy(answer->body, text, size + 1);
    free(text);
}

static void answer(const struct gce_stub_request *request, struct gce_stub_answer *answer)
{
    static char etag[64];
    char path[4096];

    if (!strstr(request->head, "Metadata-Flavor: Google")) {
        answer->status = 403;
    } else if (strcmp(request->method, "PUT") == 0 && strncmp(request->path, GUEST, strlen(GUEST)) == 0) {
        snprintf(path, sizeof(path), "%s/refuse", directory);
        answer->status = access(path, F_OK) == 0 ? 403 : 200;
        snprintf(path, sizeof(path), "%s/guest/%s", directory, request->path + strlen(GUEST));
        if (answer->status == 200 && ha_file_replace(path, request->body, strlen(request->body), 0600, false) < 0)
            answer->status = 500;
    } else if (strcmp(request->path, ATTRIBUTES) == 0) {
        version(answer->body, sizeof(answer->body));
    } else if (strncmp(request->path, ATTRIBUTES "?", strlen(ATTRIBUTES) + 1) == 0) {
        await_change(request->path);
        snprintf(etag, sizeof(etag), "ETag: %lx", version(NULL, 0));
        answer->header = etag;
        strcpy(answer->body, "{}");
    } else if (strncmp(request->path, ATTRIBUTES, strlen(ATTRIBUTES)) == 0) {
        serve_attribute(request->path + strlen(ATTRIBUTES), answer);
    } else {
        answer->status = 404;
    }
}

int main(int argc, char **argv)
{
    struct gce_stub *stub;
    char byte;

    if (argc != 2)
        return 64;
    directory = argv[1];
    stub = gce_stub_start(answer);
    printf("%u\n", gce_stub_port(stub));
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    _exit(0);
}
