/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/etcd_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/file.h"
#include "lib/http.h"

#define NETWORKS 16

static char pki[64];
static int slot, slot_socket = -1;

/* Runs at the same time on one machine take different addresses; a bound
 * socket is a lock that no killed test leaves behind. */
static void take_slot(void)
{
    for (slot = 0; slot < 256 / NETWORKS; slot++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(2378)};

        address.sin_addr.s_addr = htonl(0x7f290000u | (uint32_t)(slot * NETWORKS) << 8 | 250);
        slot_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(slot_socket, (struct sockaddr *)&address, sizeof(address)) == 0)
            return;
        close(slot_socket);
    }
    fail_msg("all addresses of 127.41.0.0/16 are in use");
}

int64_t rig_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void rig_sleep_ms(unsigned ms)
{
    const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

const char *rig_pki(void)
{
    return pki;
}

/* $1 directory, $2 subject alternative names */
static const char make_pki[] =
    "set -e; cd \"$1\"\n"
    "ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'\n"
    "both='extendedKeyUsage=serverAuth,clientAuth'\n"
    "ca() { openssl req -x509 $ec -subj /CN=$1 -keyout $1-key.pem -out $1.pem; }\n"
    "leaf() { openssl req -x509 $ec -subj /CN=$2 -CA $1.pem -CAkey $1-key.pem -keyout $2-key.pem -out $2.pem "
    "-addext basicConstraints=critical,CA:FALSE -addext \"$3\" -addext \"$4\"; }\n"
    "ca client-ca; ca peer-ca; ca stranger-ca\n"
    "leaf client-ca server $both \"subjectAltName=$2\"\n"
    "leaf peer-ca peer $both \"subjectAltName=$2\"\n"
    "leaf client-ca client extendedKeyUsage=clientAuth subjectAltName=DNS:operator\n"
    "leaf stranger-ca stranger extendedKeyUsage=clientAuth subjectAltName=DNS:stranger\n";

int rig_begin(void **state)
{
    char names[NETWORKS * RIG_MEMBERS * 24] = "IP:127.0.0.1";
    size_t used = strlen(names);
    pid_t pid;
    int status;

    take_slot();
    for (int network = slot * NETWORKS; network < (slot + 1) * NETWORKS; network++)
        for (int i = 1; i <= RIG_MEMBERS; i++)
            used += (size_t)snprintf(names + used, sizeof(names) - used, ",IP:127.41.%d.%d", network, i);
    snprintf(pki, sizeof(pki), "/tmp/hactl-test-etcd-XXXXXX");
    assert_non_null(mkdtemp(pki));
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        execl("/bin/sh", "sh", "-c", make_pki, "sh", pki, names, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)state;
    return 0;
}

int rig_end(void **state)
{
    ha_tree_remove(pki);
    close(slot_socket);
    (void)state;
    return 0;
}

static void fill(struct rig *rig, int network)
{
    snprintf(rig->authority, sizeof(rig->authority), "%s/client-ca.pem", pki);
    snprintf(rig->certificate, sizeof(rig->certificate), "%s/client.pem", pki);
    snprintf(rig->key, sizeof(rig->key), "%s/client-key.pem", pki);
    rig->cluster = (struct hactl_cluster){.struct_size = sizeof(rig->cluster), .name = "demo"};
    for (int i = 0; i < RIG_MEMBERS; i++) {
        snprintf(rig->names[i], sizeof(rig->names[i]), "demo-%d", i + 1);
        snprintf(rig->addresses[i], sizeof(rig->addresses[i]), "127.41.%d.%d", slot * NETWORKS + network, i + 1);
        rig->replicas[i] = (struct hactl_replica){.struct_size = sizeof(rig->replicas[i]),
                                                  .name = rig->names[i],
                                                  .zone = "a",
                                                  .internal_address = rig->addresses[i]};
        rig->endpoints[i] = (struct hactl_endpoint){
            .struct_size = sizeof(rig->endpoints[i]), .replica = rig->names[i], .reach = &rig->reaches[i]};
        rig->reaches[i] = (struct hactl_reach){.struct_size = sizeof(rig->reaches[i]),
                                               .host = rig->addresses[i],
                                               .port = 2379,
                                               .verify = rig->addresses[i]};
        rig->replica_list[i] = &rig->replicas[i];
        rig->endpoint_list[i] = &rig->endpoints[i];
    }
    rig->want = (struct hactl_group_want){
        .struct_size = sizeof(rig->want), .cluster = &rig->cluster, .endpoints = rig->endpoint_list, .tls = &rig->tls};
    rig->tls = (struct hactl_tls){.struct_size = sizeof(rig->tls),
                                  .authority_file = rig->authority,
                                  .certificate_file = rig->certificate,
                                  .key_file = rig->key};
}

struct rig *rig_new(int network, const struct fake_setting *settings)
{
    struct fake_setting all[8] = {{NULL, NULL}};
    size_t count = 0;
    struct rig *rig = calloc(1, sizeof(*rig));
    struct hactl_call *call = fake_call_new(1000);

    assert_non_null(rig);
    if (getenv("HACTL_TEST_ETCD"))
        all[count++] = (struct fake_setting){"etcd", getenv("HACTL_TEST_ETCD")};
    for (; settings && settings->key; settings++)
        all[count++] = *settings;
    snprintf(rig->directory, sizeof(rig->directory), "%s/%d", pki, network);
    assert_int_equal(mkdir(rig->directory, 0700), 0);
    fill(rig, network);
    rig->conf = fake_conf_new(hactl_plugin.keys, all, "main", "demo", rig->directory);
    assert_int_equal(hactl_plugin.open(&fake_host, rig->conf, call, &rig->self), HACTL_OK);
    fake_call_free(call);
    return rig;
}

void rig_kill(struct rig *rig, int index)
{
    if (rig->pids[index] <= 0)
        return;
    kill(rig->pids[index], SIGKILL);
    waitpid(rig->pids[index], NULL, 0);
    rig->pids[index] = 0;
}

void rig_wipe(struct rig *rig, int index)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", rig->directory, rig->names[index]);
    assert_int_equal(ha_tree_remove(path), 0);
}

void rig_free(struct rig *rig)
{
    for (int i = 0; i < RIG_MEMBERS; i++)
        rig_kill(rig, i);
    hactl_plugin.close(rig->self);
    fake_conf_free(rig->conf);
    ha_tree_remove(rig->directory);
    free(rig);
}

/* ${directory} and ${data}, as a cloud replaces them. */
static char *expand(const char *argument, const char *directory, const char *data)
{
    const char *names[] = {"${directory}", "${data}"}, *values[] = {directory, data};
    char *text = strdup(argument);

    for (int i = 0; i < 2; i++) {
        char *at = strstr(text, names[i]), *longer = NULL;

        if (!at)
            continue;
        assert_true(asprintf(&longer, "%.*s%s%s", (int)(at - text), text, values[i], at + strlen(names[i])) > 0);
        free(text);
        text = longer;
    }
    return text;
}

static void run(const struct rig *rig, int index, char **argv)
{
    char path[128];
    int log;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof(path), "%s/%s.log", rig->directory, rig->names[index]);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

void rig_start(struct rig *rig, int index, const struct hactl_payload_want *want)
{
    struct hactl_call *call = fake_call_new(1000);
    char *argv[64] = {NULL}, data[128];

    assert_int_equal(hactl_plugin.payload->render(rig->self, call, want), HACTL_OK);
    assert_int_equal(call->unit_count, 1);
    snprintf(data, sizeof(data), "%s/%s", rig->directory, rig->names[index]);
    mkdir(data, 0700);
    for (int i = 0; call->units[0].argv[i]; i++)
        argv[i] = expand(call->units[0].argv[i], pki, data);
    rig->pids[index] = fork();
    if (rig->pids[index] == 0)
        run(rig, index, argv);
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
    fake_call_free(call);
}

void rig_found_some(struct rig *rig, int count, int started)
{
    for (int i = 0; i < started; i++) {
        struct hactl_payload_want want = {.struct_size = sizeof(want),
                                          .cluster = &rig->cluster,
                                          .replica = &rig->replicas[i],
                                          .peers = rig->replica_list,
                                          .peer_count = (size_t)count,
                                          .founding = 1};

        rig_start(rig, i, &want);
    }
    rig->want.endpoint_count = (size_t)count;
}

void rig_found(struct rig *rig, int count)
{
    rig_found_some(rig, count, count);
    rig_settle(rig, (size_t)count);
}

void rig_join(struct rig *rig, int index)
{
    struct hactl_call *list = rig_list(rig);
    const struct hactl_member *members[RIG_MEMBERS];
    struct hactl_payload_want want = {.struct_size = sizeof(want),
                                      .cluster = &rig->cluster,
                                      .replica = &rig->replicas[index],
                                      .members = members,
                                      .member_count = list->member_count};

    for (size_t i = 0; i < list->member_count; i++)
        members[i] = &list->members[i];
    rig_start(rig, index, &want);
    fake_call_free(list);
}

struct hactl_call *rig_list(struct rig *rig)
{
    struct hactl_call *call = fake_call_new(10000);
    int code = hactl_plugin.member->list(rig->self, call, &rig->want);

    if (code != HACTL_OK)
        fail_msg("list: %d %s", code, call->text);
    assert_int_equal(call->group_count, 1);
    return call;
}

const struct hactl_member *rig_member(const struct hactl_call *call, const char *name)
{
    for (size_t i = 0; i < call->member_count; i++)
        if (call->members[i].name && strcmp(call->members[i].name, name) == 0)
            return &call->members[i];
    return NULL;
}

static bool settled(const struct hactl_call *call, size_t count)
{
    size_t good = 0;

    for (size_t i = 0; i < call->member_count; i++)
        good +=
            call->members[i].voter && call->members[i].healthy == HACTL_YES && call->members[i].caught_up == HACTL_YES;
    return good == count && call->member_count == count && call->groups[0].quorum == HACTL_YES;
}

void rig_settle(struct rig *rig, size_t count)
{
    int64_t until_ms = rig_now_ms() + 15000;
    bool done = false;

    while (!done) {
        struct hactl_call *call = rig_list(rig);

        done = settled(call, count);
        if (!done && rig_now_ms() > until_ms)
            fail_msg("not settled, logs in %s: %s", rig->directory,
                     call->groups[0].detail ? call->groups[0].detail : "");
        fake_call_free(call);
        if (!done)
            rig_sleep_ms(50);
    }
}

void rig_post(struct rig *rig, int index, const char *path, const char *body, int count)
{
    struct ha_http_client *client = ha_http_client_new();
    struct ha_http_identity identity = {.host = rig->addresses[index],
                                        .port = 2379,
                                        .authority_file = rig->authority,
                                        .certificate_file = rig->certificate,
                                        .key_file = rig->key};
    struct ha_http_exchange exchange = {.endpoint = ha_http_endpoint(client, &identity)};
    struct hactl_call *call = fake_call_new(300000);

    for (int i = 0; i < count; i++) {
        exchange.request = (struct ha_http_request){
            .method = "POST", .path = path, .body = body, .body_size = strlen(body), .timeout_ms = 5000};
        ha_http_run(client, &fake_host, call, &exchange, 1);
        assert_int_equal(exchange.response.code, HACTL_OK);
        assert_int_equal(exchange.response.status, 200);
    }
    ha_http_response_clear(&exchange.response);
    fake_call_free(call);
    ha_http_client_free(client);
}

void rig_write(struct rig *rig, int index, int count)
{
    rig_post(rig, index, "/v3/kv/put", "{\"key\":\"Zm9v\",\"value\":\"YmFy\"}", count);
}
