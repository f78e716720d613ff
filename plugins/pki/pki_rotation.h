/* SPDX-License-Identifier: Apache-2.0 */
/* What pki_rotation.c, the state of a rotation on disk, shares with pki_rotate.c, its steps. */
#ifndef HACTL_PKI_ROTATION_H
#define HACTL_PKI_ROTATION_H

#include "plugins/pki/pki.h"

void pki_rotation_side(const char *file, const char *side, char out[PKI_PATH_SIZE]);
bool pki_rotation_is_there(struct pki_store *store, const char *base, const char *ending);
/* The other one: that is to sign, or did. */
void pki_rotation_other(struct pki_store *store, const char *file, enum hactl_rotation phase, const char *ending,
                        char out[PKI_PATH_SIZE]);
int pki_rotation_settle(struct pki_store *store, const struct pki_rotating *rotating, enum hactl_rotation phase);

#endif
