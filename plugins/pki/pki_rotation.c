/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rotation of an authority: a successor of the same name beside it, and a
 * small file that says how far things are. Writing that file is each phase's
 * one moment; what else a phase does can be done again.
 *
 *   X.crt, X.key            the one that signs, always exactly one
 *   X.next.crt, .key        until `switch`: the one that is to sign
 *   X.previous.crt, .key    from `switch` on: the one that did
 *   X-bundle.crt            in `trust` and `switch`: both, for whoever trusts them
 *   X.rotation              the phase, and since when
 *   archive/                those that signed once
 *
 * While the files of a pair change places, which one signs is told by the
 * phase and by what is there, never by a name alone: see pki_signer_base.
 */
#include "plugins/pki/pki_rotation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const phase_words[] = {"none", "prepare", "trust", "switch", "retire"};

const char *pki_phase_word(enum hactl_rotation phase)
{
    return phase_words[phase];
}

/* ---- the state ---- */

int pki_rotation_read(struct pki_store *store, const char *file, struct pki_rotation *out)
{
    struct pki_blob blob;
    char word[16] = "";
    long long since_s = 0;
    int error;

    if (pki_store_phase(store, file, out))
        return 0;
    *out = (struct pki_rotation){HACTL_ROTATION_NONE, 0};
    error = pki_store_read(store, file, PKI_ROTATION, &blob);
    if (error == -ENOENT)
        pki_store_note_phase(store, file, out);
    if (error != 0)
        return error == -ENOENT ? 0 : error;
    error = -EBADMSG;
    if (sscanf(blob.content, "%15s %lld", word, &since_s) == 2)
        for (int i = HACTL_ROTATION_PREPARE; i <= HACTL_ROTATION_RETIRE; i++)
            if (strcmp(word, phase_words[i]) == 0) {
                *out = (struct pki_rotation){(enum hactl_rotation)i, since_s};
                error = 0;
            }
    pki_blob_free(&blob);
    if (error == 0)
        pki_store_note_phase(store, file, out);
    return error;
}

void pki_rotation_side(const char *file, const char *side, char out[PKI_PATH_SIZE])
{
    snprintf(out, PKI_PATH_SIZE, "%.280s%s", file, side);
}

bool pki_rotation_is_there(struct pki_store *store, const char *base, const char *ending)
{
    struct pki_blob blob;
    int error = pki_store_read(store, base, ending, &blob);

    if (error == 0)
        pki_blob_free(&blob);
    return error != -ENOENT;
}

static bool new_one_signs(enum hactl_rotation phase)
{
    return phase == HACTL_ROTATION_SWITCH || phase == HACTL_ROTATION_RETIRE;
}

/* A pair that has not taken its place yet is still beside it. */
void pki_signer_base(struct pki_store *store, const char *file, const char *ending, char out[PKI_PATH_SIZE])
{
    struct pki_rotation rotation;
    char aside[PKI_PATH_SIZE];

    pki_rotation_side(file, "", out);
    if (pki_rotation_read(store, file, &rotation) != 0 || rotation.phase == HACTL_ROTATION_NONE)
        return;
    pki_rotation_side(file, new_one_signs(rotation.phase) ? ".next" : ".previous", aside);
    if (pki_rotation_is_there(store, aside, ending))
        memcpy(out, aside, PKI_PATH_SIZE);
}

void pki_rotation_other(struct pki_store *store, const char *file, enum hactl_rotation phase, const char *ending,
                        char out[PKI_PATH_SIZE])
{
    pki_rotation_side(file, new_one_signs(phase) ? ".previous" : ".next", out);
    if (!pki_rotation_is_there(store, out, ending))
        pki_rotation_side(file, "", out);
}

void pki_trust_base(struct pki_store *store, const char *file, const char *ending, char out[PKI_PATH_SIZE])
{
    struct pki_rotation rotation;

    if (pki_rotation_read(store, file, &rotation) == 0 &&
        (rotation.phase == HACTL_ROTATION_TRUST || rotation.phase == HACTL_ROTATION_SWITCH))
        pki_rotation_side(file, "-bundle", out);
    else
        pki_signer_base(store, file, ending, out);
}

/* ---- changing places ---- */

/* Forwards X becomes the previous one and the next one X; backwards the
 * reverse. Each file by itself, as often as need be. */
static int change_places(struct pki_store *store, const char *file, bool forwards, const char *ending)
{
    char from[PKI_PATH_SIZE], to[PKI_PATH_SIZE];
    int error = 0;

    pki_rotation_side(file, forwards ? ".next" : ".previous", from);
    pki_rotation_side(file, forwards ? ".previous" : ".next", to);
    if (!pki_rotation_is_there(store, from, ending))
        return 0;
    if (pki_rotation_is_there(store, file, ending))
        error = pki_store_move(store, file, to, ending);
    return error == 0 ? pki_store_move(store, from, file, ending) : error;
}

int pki_rotation_settle(struct pki_store *store, const struct pki_rotating *rotating, enum hactl_rotation phase)
{
    int error = change_places(store, rotating->file, new_one_signs(phase), ".key");

    if (error == 0)
        error = change_places(store, rotating->file, new_one_signs(phase), rotating->public_ending);
    return error == 0 ? pki_store_sync_directory(store, rotating->file) : error;
}

static const struct pki_rotating service_account = {PKI_SERVICE_ACCOUNT, PKI_ACCOUNT_FILE, ".pub"};

size_t pki_rotating_count(void)
{
    return pki_authority_count + 1;
}

struct pki_rotating pki_rotating_at(size_t i)
{
    return i < pki_authority_count ? (struct pki_rotating){pki_authorities[i].purpose, pki_authorities[i].file, ".crt"}
                                   : service_account;
}

/* What a killed process began: every process that writes goes on with it. */
int pki_rotation_finish(const struct pki *pki, struct hactl_call *call, struct pki_store *store)
{
    for (size_t i = 0; i < pki_rotating_count(); i++) {
        struct pki_rotating rotating = pki_rotating_at(i);
        struct pki_rotation rotation;
        int error = pki_rotation_read(store, rotating.file, &rotation);

        if (error == 0 && rotation.phase != HACTL_ROTATION_NONE)
            error = pki_rotation_settle(store, &rotating, rotation.phase);
        if (error != 0)
            return pki_store_fail(pki, call, error, rotating.file, PKI_ROTATION);
    }
    return HACTL_OK;
}
