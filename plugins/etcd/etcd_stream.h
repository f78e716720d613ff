/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's snapshot stream, decoded into a file and checked as it comes. */
#ifndef HACTL_PLUGINS_ETCD_STREAM_H
#define HACTL_PLUGINS_ETCD_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#define ETCD_TRAILER    32
#define ETCD_SHA256_HEX 65
#define ETCD_LINE_LIMIT ((size_t)1 << 20) /* etcd's lines are about 44 KiB */

struct etcd_stream;

struct etcd_stream *etcd_stream_new(int fd); /* borrows `fd`; NULL: no memory */
void etcd_stream_free(struct etcd_stream *stream);
/* As ha_http_request wants its taker. */
bool etcd_stream_take(void *stream, const char *bytes, size_t size);
/* True: whole, and its trailer fits; `sha256` is that of the file as written. */
bool etcd_stream_finish(struct etcd_stream *stream, char sha256[ETCD_SHA256_HEX]);
/* The file could not be written. */
bool etcd_stream_local(const struct etcd_stream *stream);
/* One line, why not; empty while all is well. */
const char *etcd_stream_why(const struct etcd_stream *stream);

#endif
