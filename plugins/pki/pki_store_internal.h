/* SPDX-License-Identifier: Apache-2.0 */
/* What pki_store.c, which finds directories, shares with pki_store_files.c. */
#ifndef HACTL_PKI_STORE_INTERNAL_H
#define HACTL_PKI_STORE_INTERNAL_H

#include "plugins/pki/pki.h"

#include <limits.h>

int pki_store_open_child(const struct pki_store *store, int parent, const char *name, bool make);
int pki_store_walk(const struct pki_store *store, const char *path, size_t length, bool make);
void pki_store_forget_parents(struct pki_store *store);
/* A phase of a rotation is known for as long as the lock is held and nobody writes another. */
void pki_store_forget_phase(struct pki_store *store, const char *ending);
/* The directory in which `path` lies; it stays open, and the store's, for as
 * long as few others are asked for. `*name` is the path's last component. Who
 * only reads knows of one that was not there that it is not. */
int pki_store_open_parent(struct pki_store *store, const char *path, bool make, const char **name);
/* As snprintf would, at a tenth of its price; a command does this some thousand times. */
int pki_store_join(char name[NAME_MAX + 1], const char *one, const char *other);
int pki_store_open_file_parent(struct pki_store *store, const char *base, const char *ending, bool make,
                               char name[NAME_MAX + 1]);

#endif
