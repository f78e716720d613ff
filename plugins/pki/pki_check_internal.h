/* SPDX-License-Identifier: Apache-2.0 */
/* What pki_check.c, which reads, shares with those that judge authorities and leaves. */
#ifndef HACTL_PKI_CHECK_INTERNAL_H
#define HACTL_PKI_CHECK_INTERNAL_H

#include "plugins/pki/pki.h"

#define finding pki_state_finding
#define note    pki_state_note

/* Where the key of a pair is. */
enum key_place { KEY_HERE, KEY_MAYBE_ELSEWHERE, KEY_ELSEWHERE };

const char *pki_date_text(int64_t time_s, char text[32]);
/* The certificate's file is what is returned. `key_base`: where its key is. */
struct pki_remembered *pki_load_pair(struct pki *pki, struct pki_store *store, const char *base, const char *key_base,
                                     enum key_place place, struct pki_state *state);
struct pki_remembered *pki_load_kubeconfig(struct pki *pki, struct pki_store *store, const char *base,
                                           struct pki_state *state);
void pki_check_validity(struct pki_state *state, int64_t now_s);
int64_t pki_minimum(int64_t one, int64_t other);
/* What was only glanced at is parsed. */
void pki_authority_parse(struct pki *pki, struct pki_store *store, struct pki_authority *authority);

#endif
