/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clusters from one process, one after the other, each as `hactl up`
 * makes it; what that took.
 *
 *   many COUNT HACTL-OPTION...
 *   many machines NAME PAYLOAD
 *
 * Clusters are named many-1, many-2 and so on. Prints a line of JSON after
 * each tenth of them: clusters so far, wall and CPU in milliseconds since the
 * line before, resident memory in KiB. A second thread stands for the machines:
 * it says that what was delivered runs. The second form does only that, for the
 * first three replicas of one cluster, until it is ended.
 */
#include <curl/curl.h>
#include <locale.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/commands.h"
#include "core/error.h"
#include "core/interrupts.h"
#include "core/log.h"
#include "core/output.h"

enum { WORDS = 64, REPORTS = 10, REPLICAS = 3 };

static double ms_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, resident = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- the machines of the cluster that is being made --------------------------------------- */

static atomic_int current;

struct text {
    char bytes[8192];
    size_t size;
};

static size_t take(char *bytes, size_t one, size_t count, void *context)
{
    struct text *text = context;
    size_t size = one * count, room = sizeof(text->bytes) - 1 - text->size;

    memcpy(text->bytes + text->size, bytes, size < room ? size : room);
    text->size += size < room ? size : room;
    text->bytes[text->size] = '\0';
    return size;
}

/* As the metadata server of that machine answers; a body is PUT there. */
static bool ask_machine(CURL *curl, const char *cluster, int replica, const char *path, const char *body,
                        struct text *answer)
{
    static const char *const zones[] = {"us-central1-b", "us-central1-c", "us-central1-f"};
    char url[400];
    long status = 0;

    snprintf(url, sizeof(url), "%.200s/_emulator/guest/emulated/%s/%.100s-%d/computeMetadata/v1/instance/%s",
             getenv("GCE_EMULATOR"), zones[replica], cluster, replica + 1, path);
    answer->size = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, body ? "PUT" : "GET");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, body ? (long)strlen(body) : 0L);
    return curl_easy_perform(curl) == CURLE_OK &&
           curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200;
}

static bool tell_delivered(CURL *curl, const char *cluster, int replica, const char *payload)
{
    struct text answer;
    char digest[300] = "", body[400], path[128];
    const char *line;

    snprintf(path, sizeof(path), "attributes/hactl-payload-%.40s", payload);
    if (!ask_machine(curl, cluster, replica, path, NULL, &answer))
        return false;
    line = strstr(answer.bytes, "\ndigest ");
    if (!line || sscanf(line, "\ndigest %299s", digest) != 1)
        return false;
    snprintf(body, sizeof(body), "digest=%s\nrunning=yes\nat=%lld\n", digest, (long long)time(NULL) + 5);
    snprintf(path, sizeof(path), "guest-attributes/hactl/payload-%.40s", payload);
    return ask_machine(curl, cluster, replica, path, body, &answer) &&
           ask_machine(curl, cluster, replica, "guest-attributes/hactl/data", "ok", &answer);
}

static CURL *connection_to_machines(struct curl_slist **headers)
{
    CURL *curl = curl_easy_init();

    *headers = curl_slist_append(NULL, "Metadata-Flavor: Google");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    return curl;
}

static void *be_machines(void *context)
{
    struct curl_slist *headers;
    CURL *curl = connection_to_machines(&headers);
    bool told[REPLICAS] = {false};
    int cluster = 0, now;
    char name[32];

    (void)context;
    while ((now = atomic_load(&current)) >= 0) {
        if (now != cluster)
            memset(told, 0, sizeof(told));
        cluster = now;
        snprintf(name, sizeof(name), "many-%d", cluster);
        for (int i = 0; i < REPLICAS && cluster > 0; i++)
            told[i] = told[i] || tell_delivered(curl, name, i, "standin");
        usleep(5000);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return NULL;
}

/* Those of one cluster; never returns. */
static void be_machines_of(const char *name, const char *payload)
{
    struct curl_slist *headers;
    CURL *curl = connection_to_machines(&headers);
    bool told[REPLICAS] = {false};

    for (;; usleep(20000))
        for (int i = 0; i < REPLICAS; i++)
            told[i] = told[i] || tell_delivered(curl, name, i, payload);
}

/* ---- the clusters ----------------------------------------------------------------------------- */

static int make_one(int number, int argc, char **options)
{
    struct ha_error error = {.status = HA_EXIT_DONE};
    char *words[WORDS], name[64];
    struct ha_cli cli;
    int count = 0, status = -1;

    snprintf(name, sizeof(name), "cluster.name=many-%d", number);
    words[count++] = "hactl";
    for (int i = 0; i < argc && count < WORDS - 5; i++)
        words[count++] = options[i];
    words[count++] = "--set";
    words[count++] = name;
    words[count++] = "--yes";
    words[count++] = "--quiet";
    words[count++] = "up";
    words[count] = NULL;
    if (ha_cli_parse(&cli, count, words, &error) == 0) {
        ha_output_setup(cli.color, true);
        status = cli.command->run(&cli, &error);
    }
    if (error.status != HA_EXIT_DONE || status != 0)
        fprintf(stderr, "many-%d: %s\n", number, error.what);
    ha_cli_clear(&cli);
    return error.status != HA_EXIT_DONE || status != 0;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0, failed = 0;
    FILE *reports = fdopen(dup(1), "w"), *null = freopen("/dev/null", "w", stdout);
    pthread_t machines;
    double wall, cpu;

    if (argc == 4 && strcmp(argv[1], "machines") == 0)
        be_machines_of(argv[2], argv[3]);
    if (count < REPORTS || !reports || !null || !getenv("GCE_EMULATOR")) {
        fprintf(stderr, "usage: many COUNT HACTL-OPTION...\n");
        return 2;
    }
    setlocale(LC_CTYPE, "");
    ha_interrupts_setup();
    ha_log_level_set(HACTL_LOG_ERROR);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (pthread_create(&machines, NULL, be_machines, NULL) != 0)
        return 70;
    wall = ms_of(CLOCK_MONOTONIC);
    cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 1; i <= count && failed < 3; i++) {
        atomic_store(&current, i);
        failed += make_one(i, argc - 2, argv + 2);
        if (i % (count / REPORTS))
            continue;
        fprintf(reports, "{\"clusters\": %d, \"wall_ms\": %.0f, \"cpu_ms\": %.0f, \"rss_kib\": %ld}\n", i,
                ms_of(CLOCK_MONOTONIC) - wall, ms_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, resident_kib());
        fflush(reports);
        wall = ms_of(CLOCK_MONOTONIC);
        cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID);
    }
    atomic_store(&current, -1);
    pthread_join(machines, NULL);
    return failed > 0;
}
