/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "errors.h"

#define PARTS_MOST 1000

struct part {
    struct em_connection connection;
    struct batch *batch;
    char *id; /* its Content-ID, without the brackets */
    char *answer;
    bool answered;
};

struct batch {
    struct em_connection *connection;
    struct part *parts[PARTS_MOST];
    size_t count, waiting;
    bool started; /* all parts have been begun */
};

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct part *part = batch->parts[i];

        em_timer_clear(&part->connection.timer);
        em_connection_free_request(&part->connection);
        free(part->id);
        free(part->answer);
        free(part);
    }
    free(batch);
}

static void answer_all(struct batch *batch)
{
    struct em_answer answer = {.status = 200};
    size_t size;
    FILE *out = open_memstream(&answer.text, &size);

    if (out == NULL) {
        abort();
    }
    for (size_t i = 0; i < batch->count; i++) {
        fprintf(out, "--batch_emulator\r\nContent-Type: application/http\r\nContent-ID: <response-%s>\r\n\r\n%s\r\n",
                batch->parts[i]->id, batch->parts[i]->answer);
    }
    fputs("--batch_emulator--\r\n", out);
    fclose(out);
    answer.headers = json_pack("{s:s}", "Content-Type", "multipart/mixed; boundary=batch_emulator");
    em_connection_answer(batch->connection, answer);
    free_batch(batch);
}

static void deliver(struct em_connection *connection, struct em_answer answer)
{
    struct part *part = connection->context;
    struct batch *batch = part->batch;
    char *text = answer.body == NULL ? em_strdup("") : json_dumps(answer.body, JSON_COMPACT);
    int status = answer.drop ? 503 : answer.status;

    part->answer = em_format("HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: "
                             "%zu\r\n\r\n%s",
                             status, status < 300 ? "OK" : "Error", strlen(text), text);
    free(text);
    free(answer.text);
    json_decref(answer.body);
    json_decref(answer.headers);
    batch->waiting--;
    if (batch->waiting == 0 && batch->started) {
        answer_all(batch);
    }
}

/* "GET /compute/v1/...?x=y HTTP/1.1" */
static bool read_request_line(struct em_connection *connection, const char *line)
{
    char verb[16], target[4096], *query, *from;

    if (sscanf(line, "%15s %4095s", verb, target) != 2) {
        return false;
    }
    query = strchr(target, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    from = strstr(target, "/compute/v1/"); /* it may be a whole URL */
    connection->verb = em_strdup(verb);
    connection->path = em_strdup(from == NULL ? target : from);
    connection->query = json_object();
    for (char *save = NULL, *one = query == NULL ? NULL : strtok_r(query, "&", &save); one != NULL;
         one = strtok_r(NULL, "&", &save)) {
        char *equals = strchr(one, '=');

        if (equals != NULL) {
            *equals = '\0';
        }
        em_set(connection->query, one, equals == NULL ? "" : equals + 1);
    }
    return true;
}

/* Some clients end lines with CR LF, some with LF. */
static void drop_returns(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++) {
        if (*text != '\r') {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/* Headers of the part, then those of the request in it, then its body. `text` has been cut out of the whole. */
static bool read_part(struct batch *batch, char *text)
{
    char *blank = strstr(text, "\n\n"), *id = strcasestr(text, "Content-ID:"), *inside, *body;
    struct part *part;

    if (blank == NULL || batch->count == PARTS_MOST) {
        return false;
    }
    inside = blank + 2;
    body = strstr(inside, "\n\n");
    part = em_alloc(sizeof(*part));
    part->batch = batch;
    part->id = em_format("%zu", batch->count);
    if (id != NULL && id < blank) {
        char *from = strchr(id, '<'), *to = from == NULL ? NULL : strchr(from, '>');

        if (to != NULL) {
            free(part->id);
            part->id = em_format("%.*s", (int)(to - from - 1), from + 1);
        }
    }
    part->connection.context = part;
    part->connection.deliver = deliver;
    batch->parts[batch->count++] = part;
    if (body != NULL && body[2] != '\0') {
        part->connection.body = em_strdup(body + 2);
        part->connection.body_size = strlen(body + 2);
        while (part->connection.body_size > 0 && strchr("\n ", part->connection.body[part->connection.body_size - 1])) {
            part->connection.body[--part->connection.body_size] = '\0';
        }
    }
    return read_request_line(&part->connection, inside);
}

static bool read_batch(struct batch *batch, char *text, const char *boundary)
{
    char *line = em_format("--%s", boundary), *at = strstr(text, line), *next;
    bool good = at != NULL;

    while (good) {
        at += strlen(line);
        next = strstr(at, line);
        if (next == NULL) {
            break;
        }
        *next = '\0';
        good = read_part(batch, at);
        *next = '-';
        at = next;
    }
    free(line);
    return good && batch->count > 0;
}

void em_batch_handle(struct em_connection *connection)
{
    const char *type = em_connection_header(connection, "Content-Type"),
               *authorization = em_connection_header(connection, "Authorization"),
               *mark = type == NULL ? NULL : strstr(type, "boundary=");
    struct batch *batch = em_alloc(sizeof(*batch));
    char boundary[128] = "";

    batch->connection = connection;
    if (mark != NULL) {
        mark += strlen("boundary=");
        mark += *mark == '"';
        snprintf(boundary, sizeof(boundary), "%.*s", (int)strcspn(mark, "\";\r\n"), mark);
    }
    if (connection->body != NULL) {
        drop_returns(connection->body);
    }
    if (boundary[0] == '\0' || connection->body == NULL || !read_batch(batch, connection->body, boundary)) {
        em_connection_answer(connection, em_error(400, "badRequest", "The batch request could not be parsed."));
        free_batch(batch);
        return;
    }
    batch->waiting = batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        em_dispatch_api(&batch->parts[i]->connection, authorization);
    }
    batch->started = true;
    if (batch->waiting == 0) {
        answer_all(batch);
    }
}
