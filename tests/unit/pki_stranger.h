/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody with a key who asks for a certificate. */
#ifndef HACTL_TESTS_PKI_STRANGER_H
#define HACTL_TESTS_PKI_STRANGER_H

#include "tests/unit/pki_rig.h"

struct stranger {
    struct pki_maker maker;
    EVP_PKEY *key;
};

void stranger_open(struct stranger *stranger, const char *key_type);
void stranger_close(struct stranger *stranger);
char *request_text(struct stranger *stranger, const char *common_name, const char *organization,
                   const char *const *names, EVP_PKEY *signer);
int sign(const char *replica, const char *purpose, const char *request);

#endif
