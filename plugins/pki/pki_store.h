/* SPDX-License-Identifier: Apache-2.0 */
/* The directory: descriptors, lock, staging, placing. */
#ifndef HACTL_PLUGINS_PKI_STORE_H
#define HACTL_PLUGINS_PKI_STORE_H

#include "plugins/pki/pki_inventory.h"

/* ---- store ---- */

#define PKI_PARENTS 32

/* A directory that was used, as it often comes again. */
struct pki_parent {
    bool used;
    int fd; /* or -ENOENT */
    size_t length;
    char path[PKI_PATH_SIZE];
};

struct pki_rotation {
    enum hactl_rotation phase;
    int64_t since_s;
};

#define PKI_ROTATION ".rotation" /* the ending of the file that tells the phase */
#define PKI_PHASES   8

/* One that was read. */
struct pki_phase {
    char file[32];
    struct pki_rotation rotation;
};

/* A directory that is being made, see pki_fresh.c. */
struct pki_fresh {
    int fd;
    size_t length;
    char path[PKI_PATH_SIZE]; /* that it will have */
    char aside[24];           /* its name until then */
    bool filled;
};

struct pki_store {
    const char *directory;
    int root;          /* -1: there is no directory, and the store was opened to read */
    uid_t user;        /* who works on it */
    uid_t owner;       /* whose the directory is: his, or root's */
    bool umask_is_022; /* or looser: what others may read is made so that they can */
    int lock;
    bool reads_only;
    struct pki_parent parents[PKI_PARENTS];
    unsigned next_parent;
    struct pki_phase phases[PKI_PHASES];
    size_t phase_count;
    struct pki_fresh *fresh;
    size_t fresh_count;
};

struct pki_identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct pki_blob {
    char *content;
    size_t size;
    mode_t mode;
    uid_t owner;
    struct pki_identity identity;
};

/* To write: makes the directory if need be and locks others out. To read:
 * keeps writers out, makes nothing. HACTL_E_BUSY while another holds it. */
int pki_store_open(const struct pki *pki, struct hactl_call *call, bool write, struct pki_store *store);
void pki_store_close(struct pki_store *store);
/* As long as nobody else makes directories, those that are not there need not be looked for again. */
void pki_store_looking(struct pki_store *store, bool looking);
/* What was read of a rotation, until it is written anew. False: not known. */
bool pki_store_phase(const struct pki_store *store, const char *file, struct pki_rotation *out);
void pki_store_note_phase(struct pki_store *store, const char *file, const struct pki_rotation *rotation);
/* Does what is in it belong to the one who works on it, or to whom all of it belongs? */
bool pki_store_is_ours(const struct pki_store *store, uid_t owner);
/* For a second thread: the same directory, under the same lock. */
struct pki_store pki_store_share(const struct pki_store *store);
void pki_store_unshare(struct pki_store *store);

/* These take base and ending ("etcd/ca", ".crt"), follow no symbolic link at
 * any level below the directory, and return 0 or a negative errno. */
int pki_store_read(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob);
void pki_blob_free(struct pki_blob *blob);
int pki_store_stat(struct pki_store *store, const char *base, const char *ending, struct pki_blob *blob);
/* Writes beside the final name, exclusively, a leftover removed first. */
int pki_store_stage(struct pki_store *store, const char *base, const char *ending, const char *content, size_t size,
                    mode_t mode);
int pki_store_sync(struct pki_store *store);
/* The staged file takes its name; `keep_old`: -EEXIST when that is taken. */
int pki_store_place(struct pki_store *store, const char *base, const char *ending, bool keep_old);
/* The reverse: what has its name is staged again, as what nobody is to find. */
int pki_store_unplace(struct pki_store *store, const char *base, const char *ending);
int pki_store_sync_directory(struct pki_store *store, const char *base);
int pki_store_remove(struct pki_store *store, const char *base, const char *ending);
int pki_store_restrict(struct pki_store *store, const char *base, const char *ending);
/* What was staged is not wanted after all. */
void pki_store_discard(struct pki_store *store, const char *base, const char *ending, bool secret);
/* Best effort: the bytes of a key, before it is removed. */
void pki_store_overwrite(struct pki_store *store, const char *base, const char *ending);
/* For the caller to close; "" is the top. */
int pki_store_open_directory(struct pki_store *store, const char *path);
/* Is the name free, in a directory that is there, or was made for it? */
bool pki_store_has_room(struct pki_store *store, const char *path);
/* What is called `name` in the directory `from` gets a path that is not taken. */
int pki_store_take(struct pki_store *store, int from, const char *name, const char *path);
/* Directories that were used may be others by now. */
void pki_store_forget(struct pki_store *store);
/* Removes the directory when it is empty. */
int pki_store_remove_directory(struct pki_store *store, const char *path);
/* Calls `each` with the names of directories in `path`. */
int pki_store_each_directory(struct pki_store *store, const char *path, int (*each)(void *data, const char *name),
                             void *data);
const char *pki_store_error(int error);
/* One line about an errno, with the code that fits. */
int pki_store_fail(const struct pki *pki, struct hactl_call *call, int error, const char *base, const char *ending);

/* To another name, which is not taken; the directory is made if need be. */
int pki_store_move(struct pki_store *store, const char *from, const char *to, const char *ending);
/* Appends in one write; a line that a crash cut short is ended first. Durable after pki_store_sync. */
int pki_store_append(struct pki_store *store, const char *name, const char *content, size_t size);

#define PKI_STAGED ".new" /* after the ending */

#endif
