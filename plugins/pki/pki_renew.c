/* SPDX-License-Identifier: Apache-2.0 */
/* When a certificate is due. A third of its life before its end, unless the
 * configuration says otherwise, and up to a tenth of that sooner: how much is
 * a matter of the replica's name alone, so that all of one replica's are due
 * together and two replicas' hardly ever. */
#include "plugins/pki/pki.h"

#include <string.h>

static uint64_t spread(const char *text)
{
    uint64_t hash = 14695981039346656037u;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return (hash ^ hash >> 32) % 1000;
}

int64_t pki_renew_s(const struct pki *pki, const struct pki_profile *profile, const char *replica)
{
    int64_t renew_s = pki_profile_renew_s(pki, profile);
    int64_t sooner_s = replica != NULL ? renew_s / 10 * (int64_t)spread(replica) / 1000 : 0;
    int64_t life_s = pki_profile_life_s(pki, profile);

    /* A new one must not be due already. */
    return renew_s + sooner_s < life_s ? renew_s + sooner_s : renew_s;
}

int64_t pki_authority_due_s(const struct pki *pki, int64_t not_before_s, int64_t not_after_s)
{
    int64_t third_s = (not_after_s - not_before_s) / 3;

    return not_after_s - (pki->leaf_s < third_s ? pki->leaf_s : third_s);
}

bool pki_renews(const struct hactl_inventory *inventory, const struct pki_profile *profile, const char *replica)
{
    if (inventory->renews == NULL)
        return true;
    for (size_t i = 0; inventory->renews[i] != NULL; i++)
        if (strcmp(inventory->renews[i], profile->purpose) == 0 ||
            (replica != NULL && strcmp(inventory->renews[i], replica) == 0))
            return true;
    return false;
}
