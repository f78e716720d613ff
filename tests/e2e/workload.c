/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients at the public endpoint while the cluster changes under them: two
 * writers and a reader over mutual TLS, kept-alive connections until one brings
 * no answer, and a reader that takes a new connection for each request; a
 * refused connection is tried again once after 50 ms.
 *
 *   workload ADDRESS:PORT CA CERTIFICATE KEY
 *
 * Lines on standard input name the phases; its end ends the run. In a phase
 * whose line begins with "planned " the address moves from one holder to
 * another; the rest of the line is its name. Prints for each phase, of writers
 * and readers alike, the longest write pause, the longest time without any
 * answer, and how many requests were refused and tried again, were sent again
 * by the library because a kept connection had ended, were cut off in the
 * middle on a kept connection or on a new one, got no answer in time, were
 * dropped by etcd, or got another answer that was no success; a request counts
 * where it began.
 *
 * Then the verdicts as TAP: nothing failed that was tried again; in planned
 * phases no request was left without an answer, with two exceptions that are
 * counted beside: those in flight on a kept connection, which ends with the
 * process that held the address before (nobody between the two can tell where
 * in TLS a request ends), and those that etcd itself drops while leadership
 * moves or a member is removed; no acknowledged write is lost; every register's history is
 * linearizable.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/e2e/history.h"

enum {
    WRITERS = 2,
    READERS = 2,
    REGISTERS = 2,
    EVENTS = 400000,
    PHASES = 64,
    TIMEOUT_MS = 4000,
    RETRY_MS = 50,
    PAUSE_MS = 4,
    NEW_PAUSE_MS = 20
};
enum { TOLD = 20 }; /* how many requests without an answer are told one by one */

/* How a request ended of which nobody knows what it has done. */
enum unknown { CUT_KEPT, DROPPED, CUT_NEW, TOO_LATE, NO_SUCCESS, UNKNOWN_COUNT, EXCEPTIONS = CUT_NEW };

struct phase {
    char name[128];
    bool is_planned;
    int64_t began_ns, longest_write_ns, longest_any_ns;
    unsigned writes, refused_once, sent_again, unknown[UNKNOWN_COUNT];
};

static const char *endpoint, *files[3];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct phase phases[PHASES] = {{.name = "before the first"}};
static int phase_count = 1;
static bool stop;
/* One history a register, and at the end the acknowledged writes of the ledger. */
static struct event *events[REGISTERS + 1];
static size_t event_counts[REGISTERS + 1];
static uint64_t next_value = 1;
static int64_t last_write_ns, last_any_ns;
static unsigned failed, told;
static char first_failure[200];

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- requests */

struct answer {
    char text[1 << 16];
    size_t size;
};

static size_t take(char *bytes, size_t one, size_t count, void *context)
{
    struct answer *answer = context;
    size_t size = one * count;
    if (answer->size + size < sizeof answer->text) {
        memcpy(answer->text + answer->size, bytes, size);
        answer->size += size;
    }
    return size;
}

/* libcurl itself sends a request again when a connection that it had kept ends before anything is answered, and says so
 * in its words for people only. The context is the number of the request's phase. */
static int listen_to_curl(CURL *curl, curl_infotype type, char *text, size_t size, void *context)
{
    static const char sent_again[] = "Connection died";
    (void)curl;
    if (type != CURLINFO_TEXT || size < sizeof sent_again || memcmp(text, sent_again, sizeof sent_again - 1) != 0)
        return 0;
    pthread_mutex_lock(&mutex);
    phases[*(const int *)context].sent_again++;
    pthread_mutex_unlock(&mutex);
    return 0;
}

static CURL *new_client(void)
{
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_CAINFO, files[0]);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* what is trusted may change meanwhile */
#endif
    curl_easy_setopt(curl, CURLOPT_SSLCERT, files[1]);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, files[2]);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L); /* one that was given up is not taken up again */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, listen_to_curl);
    curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L);
    return curl;
}

static int phase_now(void)
{
    pthread_mutex_lock(&mutex);
    int phase = phase_count - 1;
    pthread_mutex_unlock(&mutex);
    return phase;
}

static void note_refused(int phase)
{
    pthread_mutex_lock(&mutex);
    phases[phase].refused_once++;
    pthread_mutex_unlock(&mutex);
}

/* etcd takes no proposals while leadership is handed over, and a member that was removed takes none any more: what
 * those who have a connection there ask just then ends in these words of its. */
static bool is_dropped(const char *text)
{
    static const char *const words[] = {"raft proposal dropped", "raft: stopped", "server stopped", "leader changed"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

/* The first ones are told as they come, so that the log says how they ended. */
static void note_unknown(CURL *curl, int phase, const char *path, CURLcode rc, const char *text, int64_t began_ns)
{
    long connects = 0, status = 0;
    curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    enum unknown how = rc == CURLE_OK && is_dropped(text) ? DROPPED
                       : rc == CURLE_OK                   ? NO_SUCCESS
                       : rc == CURLE_OPERATION_TIMEDOUT   ? TOO_LATE
                       : connects                         ? CUT_NEW
                                                          : CUT_KEPT;
    pthread_mutex_lock(&mutex);
    phases[phase].unknown[how]++;
    if (told++ < TOLD)
        printf(
            "# no answer: %s, begun %.0f ms after \"%s\", for %.0f ms, over a %s connection: %s, status %ld%s%.100s\n",
            path, (double)(began_ns - phases[phase].began_ns) / 1e6, phases[phase].name,
            (double)(now_ns() - began_ns) / 1e6, connects ? "new" : "kept", curl_easy_strerror(rc), status,
            rc == CURLE_OK ? ": " : "", rc == CURLE_OK ? text : "");
    pthread_mutex_unlock(&mutex);
}

static void note_failure(const char *path, CURLcode rc, long status)
{
    pthread_mutex_lock(&mutex);
    if (!failed++)
        snprintf(first_failure, sizeof first_failure, "%s: %s, status %ld, in phase %s", path, curl_easy_strerror(rc),
                 status, phases[phase_count - 1].name);
    pthread_mutex_unlock(&mutex);
}

enum verdict { DONE, NOT_DONE, NOBODY_KNOWS };

/* A refused connection has done nothing, so it is tried again; once. */
static enum verdict ask(CURL *curl, const char *path, const char *body, struct answer *answer)
{
    char url[300];
    long status = 0;
    CURLcode rc = CURLE_OK;
    int phase = phase_now();
    int64_t began_ns = now_ns();
    snprintf(url, sizeof url, "https://%s%s", endpoint, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, &phase);
    for (int attempt = 0; attempt < 2; attempt++) {
        answer->size = 0;
        rc = curl_easy_perform(curl);
        if (rc != CURLE_COULDNT_CONNECT)
            break;
        if (attempt == 0) {
            note_refused(phase);
            sleep_ms(RETRY_MS);
        }
    }
    answer->text[answer->size] = '\0';
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    /* On a connection that has brought nothing nobody may be left: the next request takes another. */
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, rc == CURLE_OK ? 0L : 1L);
    if (rc == CURLE_OK && status == 200)
        return DONE;
    if (rc == CURLE_COULDNT_CONNECT) {
        note_failure(path, rc, status);
        return NOT_DONE;
    }
    note_unknown(curl, phase, path, rc, answer->text, began_ns);
    return NOBODY_KNOWS; /* a broken connection or a time-out: the cluster may be between leaders */
}

static void encode(const char *text, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
}

static enum verdict put(CURL *curl, const char *key, const char *value)
{
    char key64[128], value64[128], body[400];
    struct answer answer;
    encode(key, key64);
    encode(value, value64);
    snprintf(body, sizeof body, "{\"key\":\"%s\",\"value\":\"%s\"}", key64, value64);
    return ask(curl, "/v3/kv/put", body, &answer);
}

static enum verdict get(CURL *curl, const char *key, uint64_t *value)
{
    char key64[128], body[300];
    unsigned char decoded[128] = "";
    struct answer answer;
    encode(key, key64);
    snprintf(body, sizeof body, "{\"key\":\"%s\"}", key64);
    enum verdict verdict = ask(curl, "/v3/kv/range", body, &answer);
    if (verdict != DONE)
        return verdict;
    json_t *json = json_loads(answer.text, 0, NULL);
    const char *value64 = json_string_value(json_object_get(json_array_get(json_object_get(json, "kvs"), 0), "value"));
    *value = HISTORY_NEVER;
    if (value64 && strlen(value64) < sizeof decoded &&
        EVP_DecodeBlock(decoded, (const unsigned char *)value64, (int)strlen(value64)) > 0)
        *value = strtoull((char *)decoded, NULL, 10);
    verdict = json ? DONE : NOBODY_KNOWS;
    json_decref(json);
    return verdict;
}

/* ---- what is kept */

static void keep(int which, struct event event)
{
    pthread_mutex_lock(&mutex);
    if (event_counts[which] < EVENTS)
        events[which][event_counts[which]++] = event;
    pthread_mutex_unlock(&mutex);
}

static void longer(int64_t *longest, int64_t since_ns, int64_t now)
{
    if (since_ns && now - since_ns > *longest)
        *longest = now - since_ns;
}

static void note_answer(bool is_write)
{
    pthread_mutex_lock(&mutex);
    struct phase *phase = &phases[phase_count - 1];
    int64_t now = now_ns();
    longer(&phase->longest_any_ns, last_any_ns, now);
    last_any_ns = now;
    if (is_write) {
        longer(&phase->longest_write_ns, last_write_ns, now);
        last_write_ns = now;
        phase->writes++;
    }
    pthread_mutex_unlock(&mutex);
}

static bool is_stopped(void)
{
    pthread_mutex_lock(&mutex);
    bool stopped = stop;
    pthread_mutex_unlock(&mutex);
    return stopped;
}

static uint64_t take_value(void)
{
    pthread_mutex_lock(&mutex);
    uint64_t value = next_value++;
    pthread_mutex_unlock(&mutex);
    return value;
}

/* Every second write goes to a key of its own: the ledger. */
static void *write_on(void *context)
{
    int self = (int)(intptr_t)context;
    CURL *curl = new_client();
    char key[64], text[32];
    for (unsigned round = 0; !is_stopped(); round++) {
        uint64_t value = take_value();
        bool to_ledger = round % 2;
        int which = (int)(round / 2 + (unsigned)self) % REGISTERS;
        snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        snprintf(key, sizeof key, to_ledger ? "ledger/%010llu" : "register/%llu",
                 to_ledger ? (unsigned long long)value : (unsigned long long)which);
        struct event event = {.is_write = true, .value = value, .called_ns = now_ns()};
        enum verdict verdict = put(curl, key, text);
        event.answered_ns = now_ns();
        event.is_unknown = verdict == NOBODY_KNOWS;
        if (verdict == DONE)
            note_answer(true);
        if (!to_ledger && verdict != NOT_DONE)
            keep(which, event);
        if (to_ledger && verdict == DONE)
            keep(REGISTERS, event);
        sleep_ms(PAUSE_MS);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

/* The second one takes a new connection for each request. */
static void *read_on(void *context)
{
    bool keeps = (intptr_t)context == 0;
    CURL *curl = new_client();
    char key[64];
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, keeps ? 0L : 1L);
    for (unsigned round = 0; !is_stopped(); round++) {
        int which = (int)(round % REGISTERS);
        snprintf(key, sizeof key, "register/%d", which);
        struct event event = {.called_ns = now_ns()};
        enum verdict verdict = get(curl, key, &event.value);
        event.answered_ns = now_ns();
        if (verdict == DONE) {
            note_answer(false);
            keep(which, event);
        }
        sleep_ms(keeps ? PAUSE_MS : NEW_PAUSE_MS);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

/* ---- phases and verdicts */

static void begin_phase(const char *line)
{
    static const char planned[] = "planned ";
    bool is_planned = strncmp(line, planned, sizeof planned - 1) == 0;
    pthread_mutex_lock(&mutex);
    if (phase_count < PHASES) {
        struct phase *phase = &phases[phase_count++];
        phase->is_planned = is_planned;
        phase->began_ns = now_ns();
        snprintf(phase->name, sizeof phase->name, "%s", is_planned ? line + sizeof planned - 1 : line);
    }
    pthread_mutex_unlock(&mutex);
}

static void follow_phases(void)
{
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        begin_phase(line);
    }
}

static int tests, bad;

static void judge(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void judge(bool good, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%sok %d - ", good ? "" : "not ", ++tests);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    bad += !good;
}

static void print_phases(void)
{
    printf("# %-34s %8s %12s %12s %8s %8s %8s %8s %8s %8s %8s\n", "phase", "writes", "write pause", "no answer",
           "refused", "again", "cut kept", "dropped", "cut new", "too late", "HTTP");
    for (int i = 1; i < phase_count; i++) {
        printf("# %-34s %8u %9.0f ms %9.0f ms %8u %8u", phases[i].name, phases[i].writes,
               (double)phases[i].longest_write_ns / 1e6, (double)phases[i].longest_any_ns / 1e6, phases[i].refused_once,
               phases[i].sent_again);
        for (int how = 0; how < UNKNOWN_COUNT; how++)
            printf(" %8u", phases[i].unknown[how]);
        putchar('\n');
    }
}

/* Not judged where no phase is a planned one. */
static void judge_planned(void)
{
    unsigned planned = 0, left = 0, writes = 0, excepted[EXCEPTIONS] = {0};
    for (int i = 1; i < phase_count; i++) {
        planned += phases[i].is_planned;
        writes += phases[i].is_planned ? phases[i].writes : 0;
        for (int how = 0; phases[i].is_planned && how < UNKNOWN_COUNT; how++)
            *(how < EXCEPTIONS ? &excepted[how] : &left) += phases[i].unknown[how];
    }
    if (planned)
        judge(
            left == 0 && writes > 0,
            "no request of the %u planned phases was left without an answer: %u, beside %u writes (%u in flight when a "
            "kept connection ended, %u dropped by etcd)",
            planned, left, writes, excepted[CUT_KEPT], excepted[DROPPED]);
}

static void judge_registers(void)
{
    for (int which = 0; which < REGISTERS; which++) {
        char why[256] = "";
        bool good = history_is_linearizable(events[which], event_counts[which], why, sizeof why);
        judge(good && event_counts[which] > 0, "the history of register %d is linearizable: %zu operations%s%s", which,
              event_counts[which], why[0] ? "; " : "", why);
    }
}

static void judge_ledger(void)
{
    CURL *curl = new_client();
    unsigned lost = 0;
    char key[64];
    for (size_t i = 0; i < event_counts[REGISTERS]; i++) {
        uint64_t want = events[REGISTERS][i].value, got = HISTORY_NEVER;
        snprintf(key, sizeof key, "ledger/%010llu", (unsigned long long)want);
        enum verdict verdict = get(curl, key, &got);
        for (int again = 0; verdict != DONE && again < 5; again++)
            verdict = get(curl, key, &got);
        lost += got != want;
    }
    judge(lost == 0 && event_counts[REGISTERS] > 0, "no acknowledged write is lost: %u of %zu", lost,
          event_counts[REGISTERS]);
    curl_easy_cleanup(curl);
}

int main(int argc, char **argv)
{
    pthread_t threads[WRITERS + READERS];
    if (argc != 5) {
        fprintf(stderr, "usage: workload ADDRESS:PORT CA CERTIFICATE KEY\n");
        return 2;
    }
    endpoint = argv[1];
    for (int i = 0; i < 3; i++)
        files[i] = argv[2 + i];
    for (int i = 0; i <= REGISTERS; i++)
        events[i] = calloc(EVENTS, sizeof *events[i]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    phases[0].began_ns = now_ns();
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_on, (void *)(intptr_t)i);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[WRITERS + i], NULL, read_on, (void *)(intptr_t)i);
    follow_phases();
    pthread_mutex_lock(&mutex);
    stop = true;
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    print_phases();
    judge(failed == 0, "no request failed that tried a refused connection again once: %u failed%s%s", failed,
          failed ? "; first: " : "", first_failure);
    judge_planned();
    judge_registers();
    judge_ledger();
    printf("1..%d\n", tests);
    for (int i = 0; i <= REGISTERS; i++)
        free(events[i]);
    curl_global_cleanup();
    return bad > 0;
}
