/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making files as one batch: every file of it is staged beside its final
 * name, one syncfs(2) makes them durable, then they take their names; all at
 * once in a directory that was not there (pki_fresh.c). A key that is sound
 * stays, so that renewing is one rename. Where the key changes, the directory
 * is exchanged for another (pki_exchange.c). Where that cannot
 * be done, the old certificate goes first: what a crash leaves then is a pair
 * that lacks its certificate, which the next run makes, and never one that
 * does not match.
 */
#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

void pki_batch_open(struct pki_batch *batch, struct pki *pki, struct hactl_call *call, struct pki_store *store)
{
    *batch = (struct pki_batch){.pki = pki, .call = call, .store = store};
}

struct pki_item *pki_batch_add(struct pki_batch *batch, const struct pki_item *item)
{
    if (batch->count == batch->room) {
        size_t room = batch->room != 0 ? 2 * batch->room : 16;
        struct pki_item *items = reallocarray(batch->items, room, sizeof *items);
        if (items == NULL)
            return NULL;
        batch->items = items;
        batch->room = room;
    }
    pki_fresh_begin(batch->store, item->base);
    batch->items[batch->count] = *item;
    return &batch->items[batch->count++];
}

int pki_batch_out_of_memory(const struct pki_batch *batch)
{
    return batch->pki->host->fail(batch->call, HACTL_E_INTERNAL, "out of memory");
}

int pki_batch_file(struct pki_batch *batch, const struct pki_item *item, const char *content, size_t size, mode_t mode)
{
    int error;

    if (pki_batch_add(batch, item) == NULL)
        return pki_batch_out_of_memory(batch);
    error = pki_store_stage(batch->store, item->base, item->ending, content, size, mode);
    return error == 0 ? HACTL_OK : pki_store_fail(batch->pki, batch->call, error, item->base, item->ending);
}

static void discard(struct pki_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct pki_item *item = &batch->items[i];
        if (item->new_key)
            pki_store_discard(batch->store, item->base, ".key", true);
        pki_store_discard(batch->store, item->base, item->ending, item->secret);
    }
}

static int place(struct pki_batch *batch, const struct pki_item *item)
{
    int error = 0;

    if (item->new_key && item->replaces)
        error = pki_store_remove(batch->store, item->base, item->ending);
    if (error == 0 && item->new_key)
        error = pki_store_place(batch->store, item->base, ".key", item->authority);
    if (error == 0)
        error = pki_store_place(batch->store, item->base, item->ending, item->authority);
    return error == 0 ? HACTL_OK : pki_store_fail(batch->pki, batch->call, error, item->base, item->ending);
}

bool pki_same_directory(const char *one, const char *other)
{
    const char *slash = strrchr(one, '/');
    size_t length = slash != NULL ? (size_t)(slash - one) + 1 : 0;

    return strncmp(one, other, length) == 0 && strchr(other + length, '/') == NULL;
}

/* Each directory once: a file that has its name only in memory is lost in a
 * power cut. The directory above one that was made is synced by syncfs, and
 * one that took its place whole was. Items of one directory mostly stand
 * together, so few are compared with many. */
static int sync_directories(struct pki_batch *batch)
{
    size_t first[64], count = 0;

    for (size_t i = 0; i < batch->count; i++) {
        bool done = false;
        int error;
        if (batch->items[i].skipped || batch->items[i].exchanged)
            continue;
        for (size_t j = count; j > 0 && !done; j--)
            done = pki_same_directory(batch->items[first[j - 1]].base, batch->items[i].base);
        error = done ? 0 : pki_store_sync_directory(batch->store, batch->items[i].base);
        if (error != 0)
            return pki_store_fail(batch->pki, batch->call, error, batch->items[i].base, "");
        if (!done)
            first[count < 64 ? count++ : 63] = i;
    }
    return HACTL_OK;
}

static int commit(struct pki_batch *batch)
{
    const char *path = "";
    int error, result = HACTL_OK;

    if (batch->count == 0)
        return HACTL_OK;
    error = pki_exchange_prepare(batch);
    if (error == 0)
        error = pki_store_sync(batch->store);
    if (error != 0)
        return pki_store_fail(batch->pki, batch->call, error, "", "");
    batch->placing = true;
    error = pki_fresh_place(batch, &path);
    if (error != 0)
        return pki_store_fail(batch->pki, batch->call, error, path, "");
    error = pki_exchange_run(batch);
    if (error != 0)
        result = pki_store_fail(batch->pki, batch->call, error, "exchange of directories", "");
    for (size_t i = 0; result == HACTL_OK && i < batch->count; i++)
        if (!batch->items[i].skipped && !batch->items[i].exchanged)
            result = place(batch, &batch->items[i]);
    if (result == HACTL_OK)
        result = sync_directories(batch);
    for (size_t i = 0; result == HACTL_OK && i < batch->count; i++)
        if (!batch->items[i].skipped)
            batch->pki->host->log(batch->call, HACTL_LOG_INFO, "%s%s%s made (%s): %s/%s%s", batch->items[i].purpose,
                                  batch->items[i].replica != NULL ? " of " : "",
                                  batch->items[i].replica != NULL ? batch->items[i].replica : "",
                                  batch->items[i].reason, batch->pki->directory, batch->items[i].base,
                                  batch->items[i].ending);
    return result;
}

int pki_batch_close(struct pki_batch *batch, int result)
{
    if (result == HACTL_OK)
        result = commit(batch);
    if (result != HACTL_OK && !batch->placing)
        discard(batch);
    if (batch->unit_count > 0 || batch->store->fresh_count > 0)
        pki_exchange_clear(batch->store); /* else the next one does */
    pki_fresh_end(batch->store);
    return result;
}

void pki_batch_free(struct pki_batch *batch)
{
    pki_fresh_end(batch->store);
    free(batch->units);
    free(batch->items);
    batch->units = NULL;
    batch->unit_count = 0;
    batch->items = NULL;
    batch->count = batch->room = 0;
}
