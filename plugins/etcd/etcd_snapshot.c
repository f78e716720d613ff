/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot to a file, as `etcdctl snapshot save` writes it. Until it has
 * been checked the file has another name: what is found under the wanted one
 * is whole, even after hactl was killed.
 */
#include "plugins/etcd/etcd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "plugins/etcd/etcd_stream.h"

/* A follower that is up to date spares the leader; without a quorum any voter
 * still gives what it has. */
static const struct etcd_answer *choose_source(const struct etcd *self, const struct etcd_view *view)
{
    const struct etcd_answer *best = NULL;

    for (size_t i = 0; i < view->answer_count; i++) {
        const struct etcd_answer *answer = &view->answers[i];

        if (!answer->answered || answer->learner)
            continue;
        if (view->quorum && answer->member_id != view->leader &&
            answer->applied_index + self->caught_up_lag >= view->leader_index)
            return answer;
        if (!best || answer->applied_index > best->applied_index)
            best = answer;
    }
    return best;
}

static int stream_to(struct etcd *self, struct hactl_call *call, const struct etcd_answer *source, int fd,
                     const char *path, char sha256[ETCD_SHA256_HEX])
{
    struct ha_http_exchange exchange = {.endpoint = source->http};
    struct etcd_stream *stream = etcd_stream_new(fd);
    char words[512];
    int code;

    if (!stream)
        return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    exchange.request = (struct ha_http_request){
        .method = "POST",
        .path = "/v3/maintenance/snapshot",
        .body = "{}",
        .body_size = 2,
        .repeatable = true,
        .stall_timeout_ms = self->request_timeout_ms,
        .take = etcd_stream_take,
        .taker = stream,
    };
    ha_http_run(self->http, self->host, call, &exchange, 1);
    code = etcd_refusal(&exchange.response, words, sizeof(words));
    ha_http_response_clear(&exchange.response);
    if (etcd_stream_why(stream)[0])
        code = self->host->fail(call, etcd_stream_local(stream) ? HACTL_E_FAILED : HACTL_E_UNAVAILABLE,
                                "%s: snapshot of %s: %s", path, source->endpoint->replica, etcd_stream_why(stream));
    else if (code != HACTL_OK)
        code = self->host->fail(call, code == HACTL_E_TIMEOUT ? HACTL_E_UNAVAILABLE : code, "%s: snapshot of %s: %s",
                                path, source->endpoint->replica, words);
    else if (!etcd_stream_finish(stream, sha256))
        code = self->host->fail(call, HACTL_E_UNAVAILABLE, "%s: snapshot of %s: %s", path, source->endpoint->replica,
                                etcd_stream_why(stream));
    etcd_stream_free(stream);
    return code;
}

static int sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash && slash != path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    int result = directory ? ha_directory_sync(directory) : -ENOMEM;

    free(directory);
    return result;
}

static int name_it(struct etcd *self, struct hactl_call *call, int fd, const char *partial, const char *path)
{
    int result = fsync(fd) < 0 ? -errno : 0;

    if (result == 0 && renameat2(AT_FDCWD, partial, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        result = -errno;
    if (result == 0)
        result = sync_directory_of(path);
    if (result < 0)
        return self->host->fail(call, result == -EEXIST ? HACTL_E_CONFLICT : HACTL_E_FAILED, "%s: %s", path,
                                strerror(-result));
    return HACTL_OK;
}

static int save(struct etcd *self, struct hactl_call *call, const struct etcd_answer *source, const char *path)
{
    char sha256[ETCD_SHA256_HEX], *partial = NULL;
    int fd = -1, code;

    if (asprintf(&partial, "%s.partial", path) < 0)
        return self->host->fail(call, HACTL_E_INTERNAL, "no memory");
    unlink(partial); /* of a run that was killed */
    fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        code = self->host->fail(call, HACTL_E_FAILED, "%s: %s", partial, strerror(errno));
        goto out;
    }
    code = stream_to(self, call, source, fd, path, sha256);
    if (code == HACTL_OK)
        code = name_it(self, call, fd, partial, path);
    if (code == HACTL_OK)
        code = self->host->emit_text(call, sha256);
    else
        unlink(partial);
    close(fd);
out:
    free(partial);
    return code;
}

int etcd_snapshot(void *instance, struct hactl_call *call, const struct hactl_group_want *want, const char *path)
{
    struct etcd *self = instance;
    const struct etcd_answer *source;
    struct etcd_view view;
    struct stat there;
    int code;

    if (lstat(path, &there) == 0)
        return self->host->fail(call, HACTL_E_CONFLICT, "%s: there is such a file already; name a new one", path);
    code = etcd_observe(self, call, want, &view);
    if (code != HACTL_OK)
        goto out;
    source = choose_source(self, &view);
    code = source ? save(self, call, source, path)
                  : self->host->fail(call, HACTL_E_UNAVAILABLE, "etcd group %s: no voter can be asked: %s", self->group,
                                     view.why);
out:
    etcd_view_clear(&view);
    return code;
}
