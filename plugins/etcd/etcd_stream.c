/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway sends lines {"result":{"remaining_bytes":"...","blob":"..."}};
 * the last 32 bytes of all blobs together are the SHA-256 of what is before
 * them, and stay in the file, where etcd's restore looks for them.
 */
#include "plugins/etcd/etcd_stream.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"

struct etcd_stream {
    int fd;
    EVP_MD_CTX *digest;               /* of all but the tail */
    unsigned char tail[ETCD_TRAILER]; /* the last bytes so far: the trailer, if no more come */
    size_t tail_size;
    uint64_t size, remaining;
    char *line;
    size_t line_size;
    unsigned char *blob;
    bool local; /* what failed is the file */
    char why[300];
};

struct etcd_stream *etcd_stream_new(int fd)
{
    struct etcd_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    stream->fd = fd;
    stream->line = malloc(ETCD_LINE_LIMIT);
    stream->blob = malloc(ETCD_LINE_LIMIT / 4 * 3);
    stream->digest = EVP_MD_CTX_new();
    if (stream->line && stream->blob && stream->digest && EVP_DigestInit_ex(stream->digest, EVP_sha256(), NULL) == 1)
        return stream;
    etcd_stream_free(stream);
    return NULL;
}

void etcd_stream_free(struct etcd_stream *stream)
{
    if (!stream)
        return;
    EVP_MD_CTX_free(stream->digest);
    free(stream->line);
    free(stream->blob);
    free(stream);
}

const char *etcd_stream_why(const struct etcd_stream *stream)
{
    return stream->why;
}

bool etcd_stream_local(const struct etcd_stream *stream)
{
    return stream->local;
}

static bool refuse(struct etcd_stream *stream, const char *why)
{
    if (!stream->why[0])
        snprintf(stream->why, sizeof(stream->why), "%s", why);
    return false;
}

static bool write_all(struct etcd_stream *stream, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(stream->fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            stream->local = true;
            return refuse(stream, strerror(errno));
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/* The digest lags the file by the tail. */
static bool take_bytes(struct etcd_stream *stream, const unsigned char *bytes, size_t size)
{
    size_t keep = size < ETCD_TRAILER ? size : ETCD_TRAILER;
    size_t leave = stream->tail_size + keep > ETCD_TRAILER ? stream->tail_size + keep - ETCD_TRAILER : 0;

    if (!write_all(stream, bytes, size))
        return false;
    if (EVP_DigestUpdate(stream->digest, stream->tail, leave) != 1 ||
        EVP_DigestUpdate(stream->digest, bytes, size - keep) != 1)
        return refuse(stream, "libcrypto could not hash");
    memmove(stream->tail, stream->tail + leave, stream->tail_size - leave);
    memcpy(stream->tail + stream->tail_size - leave, bytes + size - keep, keep);
    stream->tail_size += keep - leave;
    stream->size += size;
    return true;
}

static bool take_line(struct etcd_stream *stream)
{
    json_t *object = ha_json_parse(stream->line, stream->line_size, NULL, 0);
    const json_t *result = json_object_get(object, "result");
    const json_t *error = json_object_get(object, "error");
    const json_t *blob = json_object_get(result, "blob");
    const char *words = ha_json_string(error, "message");
    ssize_t size = -1;
    bool taken = false;

    stream->line_size = 0;
    if (error)
        refuse(stream, words ? words : "the member broke the stream off");
    else if (!result)
        refuse(stream, "a line of the stream is not what etcd sends");
    else if (!blob)
        taken = true;
    else if (json_is_string(blob))
        size = ha_base64_decode(json_string_value(blob), json_string_length(blob), stream->blob);
    if (blob && size < 0)
        refuse(stream, "a line of the stream is not base64");
    if (size >= 0) {
        stream->remaining = ha_json_u64(result, "remaining_bytes");
        taken = take_bytes(stream, stream->blob, (size_t)size);
    }
    json_decref(object);
    return taken;
}

bool etcd_stream_take(void *taker, const char *bytes, size_t size)
{
    struct etcd_stream *stream = taker;

    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t part = end ? (size_t)(end - bytes) : size;

        if (part > ETCD_LINE_LIMIT - stream->line_size)
            return refuse(stream, "a line of the stream is too long");
        memcpy(stream->line + stream->line_size, bytes, part);
        stream->line_size += part;
        if (!end)
            return true;
        if (stream->line_size > 0 && !take_line(stream))
            return false;
        bytes += part + 1;
        size -= part + 1;
    }
    return true;
}

static bool hex(EVP_MD_CTX *digest, char *out)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (EVP_DigestFinal_ex(digest, value, &size) != 1)
        return false;
    for (unsigned i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", value[i]);
    return true;
}

/* Consumes the digest. */
static bool trailer_fits(struct etcd_stream *stream)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *before = EVP_MD_CTX_new();
    unsigned size = 0;
    bool fits = before && EVP_MD_CTX_copy_ex(before, stream->digest) == 1 &&
                EVP_DigestFinal_ex(before, value, &size) == 1 && size == ETCD_TRAILER &&
                memcmp(value, stream->tail, ETCD_TRAILER) == 0;

    EVP_MD_CTX_free(before);
    return fits;
}

bool etcd_stream_finish(struct etcd_stream *stream, char sha256[ETCD_SHA256_HEX])
{
    if (stream->why[0])
        return false;
    if (stream->line_size > 0 && !take_line(stream))
        return false;
    if (stream->remaining > 0 || stream->tail_size < ETCD_TRAILER || stream->size % 512 != ETCD_TRAILER)
        return refuse(stream, "the stream ended early");
    if (!trailer_fits(stream))
        return refuse(stream, "its SHA-256 does not match; what came over is damaged");
    if (EVP_DigestUpdate(stream->digest, stream->tail, ETCD_TRAILER) != 1 || !hex(stream->digest, sha256))
        return refuse(stream, "libcrypto could not hash");
    return true;
}
