/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HashKV of members at one revision, over gRPC: in the JSON gateway of
 * etcd before 3.5.10 it is hidden behind Hash, which has the same path and
 * covers more than keys and values, so that sound members differ in it. A
 * request is one number, an answer four and who gave it.
 */
#include "plugins/etcd/etcd.h"

#include <stdlib.h>
#include <string.h>

#define HASH_KV    "/etcdserverpb.Maintenance/HashKV"
#define FRAME_SIZE 5 /* a byte for compression, four for the length */
#define VARINT_MAX 10

/* A message of protocol buffers that is being read. */
struct reader {
    const unsigned char *at, *end;
    bool broken;
};

static uint64_t read_varint(struct reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->broken = true;
    return 0;
}

/* The next field; `part` is what is in it, if it is a message. False: no more. */
static bool read_field(struct reader *reader, unsigned *number, uint64_t *value, struct reader *part)
{
    uint64_t tag;

    if (reader->broken || reader->at == reader->end)
        return false;
    tag = read_varint(reader);
    *number = (unsigned)(tag >> 3);
    *value = read_varint(reader); /* a number, or how long the part is */
    *part = (struct reader){.at = reader->at, .end = reader->at};
    if ((tag & 7) == 2 && !reader->broken && *value <= (uint64_t)(reader->end - reader->at)) {
        part->end += *value;
        reader->at += *value;
    } else if ((tag & 7) != 0) { /* no answer of etcd's has other kinds */
        reader->broken = true;
    }
    return !reader->broken;
}

static uint64_t read_member_id(struct reader header)
{
    struct reader part;
    unsigned number;
    uint64_t value, id = 0;

    while (read_field(&header, &number, &value, &part))
        if (number == 2)
            id = value;
    return header.broken ? 0 : id;
}

bool etcd_hash_parse(const void *body, size_t size, struct etcd_hash *hash)
{
    const unsigned char *bytes = body;
    struct reader reader, part;
    unsigned number;
    uint64_t value;

    memset(hash, 0, sizeof(*hash));
    if (!bytes || size < FRAME_SIZE || bytes[0] != 0 ||
        ((size_t)bytes[1] << 24 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 8 | bytes[4]) != size - FRAME_SIZE)
        return false;
    reader = (struct reader){.at = bytes + FRAME_SIZE, .end = bytes + size};
    while (read_field(&reader, &number, &value, &part)) {
        if (number == 1)
            hash->member_id = read_member_id(part);
        else if (number == 2)
            hash->hash = (uint32_t)value;
        else if (number == 3)
            hash->compact_revision = (int64_t)value;
    }
    return !reader.broken && hash->member_id != 0;
}

static size_t frame(int64_t revision, char out[FRAME_SIZE + 1 + VARINT_MAX])
{
    uint64_t left = (uint64_t)revision;
    size_t used = FRAME_SIZE;

    memset(out, 0, FRAME_SIZE);
    out[used++] = 1 << 3; /* the first field, a number */
    do {
        out[used++] = (char)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    out[FRAME_SIZE - 1] = (char)(used - FRAME_SIZE);
    return used;
}

bool etcd_hash_comparable(const struct etcd_hash *one, const struct etcd_hash *other)
{
    return one->member_id != 0 && other->member_id != 0 && one->compact_revision == other->compact_revision;
}

static void ask(struct etcd *self, struct ha_http_exchange *exchange, const struct etcd_answer *member,
                const char *body, size_t size)
{
    static const char *const headers[] = {"TE: trailers", NULL};

    exchange->endpoint = member->http;
    exchange->request = (struct ha_http_request){
        .method = "POST",
        .path = HASH_KV,
        .body = body,
        .body_size = size,
        .content_type = "application/grpc",
        .headers = headers,
        .timeout_ms = self->change_timeout_ms,
        .version_2 = true,
    };
}

void etcd_hash_all(struct etcd *self, struct hactl_call *call, const struct etcd_answer *const *members, size_t count,
                   int64_t revision, struct etcd_hash *hashes)
{
    struct ha_http_exchange *exchanges = calloc(count, sizeof(*exchanges));
    char body[FRAME_SIZE + 1 + VARINT_MAX];
    size_t size = frame(revision, body);

    memset(hashes, 0, count * sizeof(*hashes));
    if (!exchanges)
        return;
    for (size_t i = 0; i < count; i++)
        ask(self, &exchanges[i], members[i], body, size);
    ha_http_run(self->http, self->host, call, exchanges, count);
    for (size_t i = 0; i < count; i++) {
        const struct ha_http_response *response = &exchanges[i].response;

        /* What is refused comes without a body, and the reason in a header. */
        if (response->code != HACTL_OK || response->status != 200 ||
            !etcd_hash_parse(response->body, response->size, &hashes[i]) ||
            hashes[i].member_id != members[i]->member_id)
            hashes[i].member_id = 0;
        ha_http_response_clear(&exchanges[i].response);
    }
    free(exchanges);
}
