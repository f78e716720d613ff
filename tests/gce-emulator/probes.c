/* SPDX-License-Identifier: Apache-2.0 */
#include "probes.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "forwarding_rules.h"
#include "health_checks.h"
#include "instances.h"
#include "members.h"
#include "netns.h"
#include "network.h"
#include "server.h"
#include "store.h"

struct probe {
    char *key;  /* all that it depends on; another one takes its place when that changes */
    char *name; /* "instance ip" */
    char *url;
    const char *source;
    unsigned mark;
    bool http;
    long interval_ms, timeout_ms;
    int up, down;                        /* thresholds */
    bool ending, healthy, known, wanted; /* under the lock */
    struct probe *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended;
static struct probe *probes;
static const char *fabric_name;
static void (*on_change)(void);
static int event = -1;
static unsigned threads; /* under the lock */

/* ---- in the thread ----------------------------------------------------------------------- */

/* The mark chooses the machine, as it does for connections of clients. */
static int mark_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
    const struct probe *probe = context;

    (void)purpose;
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &probe->mark, sizeof(probe->mark)) == 0 ? CURL_SOCKOPT_OK
                                                                                       : CURL_SOCKOPT_ERROR;
}

static size_t drop_body(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

/* A probe that is not wanted any more need not be waited for. */
static int look_up(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct probe *probe = context;
    bool ending;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    pthread_mutex_lock(&lock);
    ending = probe->ending;
    pthread_mutex_unlock(&lock);
    return ending;
}

static bool ask(const struct probe *probe)
{
    CURL *curl = curl_easy_init();
    long status = 0;
    bool good;

    if (curl == NULL) {
        return false;
    }
    curl_easy_setopt(curl, CURLOPT_URL, probe->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, probe->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_INTERFACE, probe->source);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, mark_socket);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, probe);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* Google's do not verify either */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, probe);
    if (!probe->http) {
        curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    }
    good = curl_easy_perform(curl) == CURLE_OK;
    if (good && probe->http) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        good = status == 200;
    }
    curl_easy_cleanup(curl);
    return good;
}

static void tell(void)
{
    uint64_t one = 1;
    ssize_t size = write(event, &one, sizeof(one));

    (void)size;
}

/* Until the next one is due or the end; true: end. Called with the lock. */
static bool pause_probe(struct probe *probe)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += probe->interval_ms / 1000;
    until.tv_nsec += probe->interval_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (!probe->ending) {
        if (pthread_cond_timedwait(&ended, &lock, &until) != 0) {
            break;
        }
    }
    return probe->ending;
}

static void free_probe(struct probe *probe)
{
    free(probe->key);
    free(probe->name);
    free(probe->url);
    free(probe);
}

static void *run(void *context)
{
    struct probe *probe = context;
    int good = 0, bad = 0;
    bool there = em_netns_enter(fabric_name);

    pthread_mutex_lock(&lock);
    while (there && !probe->ending) {
        bool answer, healthy;

        pthread_mutex_unlock(&lock);
        answer = ask(probe);
        pthread_mutex_lock(&lock);
        good = answer ? good + 1 : 0;
        bad = answer ? 0 : bad + 1;
        healthy = probe->healthy ? bad < probe->down : good >= probe->up;
        if (!probe->known || healthy != probe->healthy) {
            probe->known = true;
            probe->healthy = healthy;
            tell();
        }
        if (pause_probe(probe)) {
            break;
        }
    }
    while (!probe->ending) { /* it could not begin: the main thread has it still */
        pthread_cond_wait(&ended, &lock);
    }
    threads--;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    free_probe(probe);
    return NULL;
}

/* ---- on the main thread --------------------------------------------------------------------- */

static const struct {
    const char *type, *member, *scheme;
    bool http;
} kinds[] = {
    {"TCP", "tcpHealthCheck", "http", false},     {"SSL", "sslHealthCheck", "https", false},
    {"HTTP", "httpHealthCheck", "http", true},    {"HTTPS", "httpsHealthCheck", "https", true},
    {"HTTP2", "http2HealthCheck", "https", true},
};

static void describe(struct probe *probe, const struct em_resource *check, const char *ip)
{
    const char *type = em_text(check->json, "type");

    probe->interval_ms = (long)em_number(check->json, "checkIntervalSec", 5) * 1000;
    probe->timeout_ms = (long)em_number(check->json, "timeoutSec", 5) * 1000;
    probe->up = (int)em_number(check->json, "healthyThreshold", 2);
    probe->down = (int)em_number(check->json, "unhealthyThreshold", 2);
    if (type == NULL) { /* a legacy one */
        probe->http = true;
        probe->source = EM_PROBE_POOL;
        probe->url =
            em_format("http://%s:%lld%s", ip, em_number(check->json, "port", 80), em_text(check->json, "requestPath"));
        return;
    }
    probe->source = EM_PROBE_SERVICE;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            const json_t *inside = json_object_get(check->json, kinds[i].member);
            const char *path = em_text(inside, "requestPath");

            probe->http = kinds[i].http;
            probe->url = em_format("%s://%s:%lld%s", kinds[i].scheme, ip, em_number(inside, "port", 80),
                                   path == NULL ? "/" : path);
            return;
        }
    }
    probe->url = em_strdup("http://0.0.0.0:1/"); /* of a kind that nothing here passes */
}

/* Its thread frees it. */
static void end_probe(struct probe *probe)
{
    pthread_mutex_lock(&lock);
    probe->ending = true;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
}

static bool begin_probe(struct probe *probe)
{
    pthread_t thread;

    pthread_mutex_lock(&lock);
    threads++;
    pthread_mutex_unlock(&lock);
    if (pthread_create(&thread, NULL, run, probe) == 0) {
        pthread_detach(thread);
        return true;
    }
    pthread_mutex_lock(&lock);
    threads--;
    pthread_mutex_unlock(&lock);
    return false;
}

static bool keep(const char *key)
{
    for (struct probe *probe = probes; probe != NULL; probe = probe->next) {
        if (strcmp(probe->key, key) == 0) {
            probe->wanted = true;
            return true;
        }
    }
    return false;
}

static void want(const struct em_resource *rule, const struct em_resource *check, const struct em_resource *instance,
                 unsigned number)
{
    struct probe *probe = em_alloc(sizeof(*probe));

    describe(probe, check, em_text(rule->json, "IPAddress"));
    probe->mark = number;
    probe->name = em_format("%s %s", instance->path, em_text(rule->json, "IPAddress"));
    probe->key = em_format("%s %u %s %s %ld %ld %d %d", probe->name, number, probe->url, probe->source,
                           probe->interval_ms, probe->timeout_ms, probe->up, probe->down);
    if (keep(probe->key)) {
        free_probe(probe);
        return;
    }
    probe->wanted = true;
    if (!begin_probe(probe)) {
        em_log(0, "cannot make a thread for a health check");
        free_probe(probe);
        return;
    }
    probe->next = probes;
    probes = probe;
}

static void want_of_rules(struct em_collection *collection, void *context)
{
    em_machine_number *number = *(em_machine_number **)context;
    struct em_resource *rule;

    EM_FOR_EACH(rule, collection)
    {
        const struct em_resource *check = em_store_find(em_members_health_check(rule));
        json_t *members = em_members_of_rule(rule), *link;
        size_t i;

        json_array_foreach(members, i, link)
        {
            const struct em_resource *instance = em_store_find(em_link_path(json_string_value(link)));

            if (check != NULL && instance != NULL && number(instance) != 0 &&
                em_text(rule->json, "IPAddress") != NULL) {
                want(rule, check, instance, number(instance));
            }
        }
        json_decref(members);
    }
}

void em_probes_update(em_machine_number *number)
{
    struct probe **place = &probes;

    for (struct probe *probe = probes; probe != NULL; probe = probe->next) {
        probe->wanted = false;
    }
    em_store_visit(NULL, &em_forwarding_rule_type, want_of_rules, &number);
    while (*place != NULL) {
        struct probe *probe = *place;

        if (probe->wanted) {
            place = &probe->next;
        } else {
            *place = probe->next;
            end_probe(probe);
        }
    }
}

const char *em_probes_state(const char *instance_path, const char *ip)
{
    const char *state = NULL;

    pthread_mutex_lock(&lock);
    for (struct probe *probe = probes; probe != NULL && ip != NULL; probe = probe->next) {
        size_t length = strlen(instance_path);

        if (probe->known && strncmp(probe->name, instance_path, length) == 0 && probe->name[length] == ' ' &&
            strcmp(probe->name + length + 1, ip) == 0) {
            state = probe->healthy ? "HEALTHY" : "UNHEALTHY";
        }
    }
    pthread_mutex_unlock(&lock);
    return state;
}

static void on_event(void *context)
{
    uint64_t count;

    (void)context;
    if (read(event, &count, sizeof(count)) == sizeof(count)) {
        on_change();
    }
}

bool em_probes_start(const char *fabric, void (*changed)(void))
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ended, &attributes);
    pthread_condattr_destroy(&attributes);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    fabric_name = fabric;
    on_change = changed;
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0) {
        return false;
    }
    em_loop_watch(event, on_event, NULL);
    return true;
}

void em_probes_end(void)
{
    while (probes != NULL) {
        struct probe *probe = probes;

        probes = probe->next;
        end_probe(probe);
    }
    pthread_mutex_lock(&lock);
    while (threads > 0) {
        pthread_cond_wait(&ended, &lock);
    }
    pthread_mutex_unlock(&lock);
    if (event >= 0) {
        em_loop_watch(event, NULL, NULL);
        close(event);
    }
    curl_global_cleanup();
}
