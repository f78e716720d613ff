/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing a certificate or a key costs more than making one, and a command
 * looks at the same files several times. What was read of a file is kept as
 * long as device, inode, size and both times are the same. */
#include "plugins/pki/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

struct pki_memory {
    struct pki_remembered *buckets[BUCKETS];
};

struct pki_memory *pki_memory_new(void)
{
    return calloc(1, sizeof(struct pki_memory));
}

static void clear(struct pki_remembered *one)
{
    if (one->kubeconfig != NULL)
        pki_kubeconfig_free(one->kubeconfig);
    free(one->kubeconfig);
    sk_X509_pop_free(one->chain, X509_free);
    pki_readback_free(one->made);
    one->made = NULL;
    EVP_PKEY_free(one->key);
    X509_free(one->verified_by);
    EVP_PKEY_free(one->matches);
    one->kubeconfig = NULL;
    one->chain = NULL;
    one->key = one->matches = NULL;
    one->verified_by = NULL;
    one->sealed = one->unparsed = false;
    free(one->subject);
    free(one->names);
    one->subject = one->names = NULL;
    one->good_for = 0;
    memset(&one->copy_of, 0, sizeof one->copy_of);
}

void pki_memory_free(struct pki_memory *memory)
{
    for (size_t i = 0; memory != NULL && i < BUCKETS; i++)
        for (struct pki_remembered *one = memory->buckets[i], *next; one != NULL; one = next) {
            next = one->next;
            clear(one);
            free(one->name);
            free(one);
        }
    free(memory);
}

static unsigned add_to_hash(unsigned hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = hash * 33 + (unsigned char)*text;
    return hash;
}

static bool has_name(const struct pki_remembered *one, const char *base, size_t length, const char *ending)
{
    return strncmp(one->name, base, length) == 0 && strcmp(one->name + length, ending) == 0;
}

static struct pki_remembered **place_of(struct pki_memory *memory, const char *base, const char *ending)
{
    struct pki_remembered **place = &memory->buckets[add_to_hash(add_to_hash(5381, base), ending) % BUCKETS];
    size_t length = strlen(base);

    while (*place != NULL && !has_name(*place, base, length, ending))
        place = &(*place)->next;
    return place;
}

static bool same_time(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec == other->tv_sec && one->tv_nsec == other->tv_nsec;
}

bool pki_identity_same(const struct pki_identity *one, const struct pki_identity *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           same_time(&one->modified, &other->modified) && same_time(&one->changed, &other->changed);
}

struct pki_remembered *pki_memory_find(struct pki_memory *memory, const char *base, const char *ending,
                                       const struct pki_blob *now)
{
    struct pki_remembered *one = *place_of(memory, base, ending);

    return one != NULL && pki_identity_same(&one->identity, &now->identity) ? one : NULL;
}

struct pki_remembered *pki_memory_add(struct pki_memory *memory, const char *base, const char *ending,
                                      const struct pki_blob *now)
{
    char name[PKI_PATH_SIZE + 16];
    struct pki_remembered **place, *one;

    place = place_of(memory, base, ending);
    one = *place;
    if (one == NULL) {
        snprintf(name, sizeof name, "%s%s", base, ending);
        one = calloc(1, sizeof *one);
        if (one == NULL || (one->name = strdup(name)) == NULL) {
            free(one);
            return NULL;
        }
        *place = one;
    }
    clear(one);
    one->identity = now->identity;
    one->mode = now->mode;
    one->owner = now->owner;
    return one;
}

void pki_memory_forget(struct pki_memory *memory, struct pki_remembered *one)
{
    (void)memory;
    clear(one);
    memset(&one->identity, 0, sizeof one->identity);
}
