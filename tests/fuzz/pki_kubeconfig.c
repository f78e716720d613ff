/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfigs: what somebody edited by hand. */
#include "tests/fuzz/fuzz.h"

#include "plugins/pki/pki.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pki_kubeconfig kubeconfig;

    pki_kubeconfig_read((const char *)data, size, &kubeconfig);
    /* What was decoded is text, and as long as it says. */
    if ((kubeconfig.key != NULL && strlen(kubeconfig.key) != kubeconfig.key_size) ||
        (kubeconfig.certificate != NULL && strlen(kubeconfig.certificate) != kubeconfig.certificate_size) ||
        (kubeconfig.authority != NULL && strlen(kubeconfig.authority) != kubeconfig.authority_size))
        abort();
    pki_kubeconfig_free(&kubeconfig);
    return 0;
}

char *fuzz_seed(unsigned number, size_t *size)
{
    char *text = NULL;

    if (number >= 2)
        return NULL;
    pki_kubeconfig_write("demo", "kubernetes-admin", number == 0 ? "https://10.0.0.11:6443" : "https://[fd00::1]:6443",
                         "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                         "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n",
                         "-----BEGIN PRIVATE KEY-----\nCCCC\n-----END PRIVATE KEY-----\n", &text, size);
    return text;
}
