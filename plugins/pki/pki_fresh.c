/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories that are not there yet. Such a one, of a replica or of the
 * cluster, is made aside, with all files in it under their final names, and
 * gets its own name once they are durable: one rename for the directory instead
 * of one for each file, and one directory to sync, the one above. So it is there
 * whole, or it is not there.
 *
 *   .exchange/new-N   until it has its name
 *
 * What a killed process leaves of it goes the way of pki_exchange.c.
 */
#include "plugins/pki/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each is a file descriptor. What is beyond them is made in place. */
#define FRESH_MAX 256

struct pki_fresh *pki_fresh_find(const struct pki_store *store, const char *path)
{
    /* Files of one directory mostly stand together. */
    for (size_t i = store->fresh_count; i > 0; i--) {
        struct pki_fresh *fresh = &store->fresh[i - 1];
        if (strncmp(path, fresh->path, fresh->length) == 0 && path[fresh->length] == '/')
            return fresh;
    }
    return NULL;
}

static int make_aside(struct pki_store *store, struct pki_fresh *fresh)
{
    int aside, fd;

    snprintf(fresh->aside, sizeof fresh->aside, "new-%zu", store->fresh_count);
    aside = pki_exchange_aside(store);
    if (aside < 0)
        return aside;
    fd = mkdirat(aside, fresh->aside, 0700) == 0
             ? openat(aside, fresh->aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
             : -1;
    if (fd < 0)
        fd = -errno;
    close(aside);
    return fd;
}

/* Whatever is in its way is found again, and told, by whoever makes a file in it. */
void pki_fresh_begin(struct pki_store *store, const char *base)
{
    struct pki_fresh fresh = {.length = pki_unit_length(base)}, *list;

    if (fresh.length == 0 || store->fresh_count == FRESH_MAX || pki_fresh_find(store, base) != NULL)
        return;
    memcpy(fresh.path, base, fresh.length);
    if (!pki_store_has_room(store, fresh.path))
        return;
    list = reallocarray(store->fresh, store->fresh_count + 1, sizeof *list);
    if (list == NULL)
        return;
    store->fresh = list;
    fresh.fd = make_aside(store, &fresh);
    if (fresh.fd >= 0)
        store->fresh[store->fresh_count++] = fresh;
}

/* ---- the rename ---- */

/* One in which nothing was made after all gets no name. */
static void note_filled(struct pki_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct pki_item *item = &batch->items[i];
        struct pki_fresh *fresh = item->skipped ? NULL : pki_fresh_find(batch->store, item->base);
        if (fresh == NULL)
            continue;
        fresh->filled = true;
        item->exchanged = true;
    }
}

int pki_fresh_place(struct pki_batch *batch, const char **path)
{
    struct pki_store *store = batch->store;
    int aside, error = 0;

    if (store->fresh_count == 0)
        return 0;
    aside = pki_exchange_aside(store);
    if (aside < 0)
        return aside;
    note_filled(batch);
    for (size_t i = 0; error == 0 && i < store->fresh_count; i++) {
        const struct pki_fresh *fresh = &store->fresh[i];
        *path = fresh->path;
        if (fresh->filled)
            error = pki_store_take(store, aside, fresh->aside, fresh->path);
    }
    close(aside);
    /* They are in one or two directories, which stand together. */
    for (size_t i = 0; error == 0 && i < store->fresh_count; i++) {
        *path = store->fresh[i].path;
        if (i == 0 || !pki_same_directory(store->fresh[i - 1].path, store->fresh[i].path))
            error = pki_store_sync_directory(store, store->fresh[i].path);
    }
    return error;
}

void pki_fresh_end(struct pki_store *store)
{
    for (size_t i = 0; i < store->fresh_count; i++)
        close(store->fresh[i].fd);
    free(store->fresh);
    store->fresh = NULL;
    store->fresh_count = 0;
}
