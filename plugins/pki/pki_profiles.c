/* SPDX-License-Identifier: Apache-2.0 */
/* File names, common names and organizations are kubeadm's where kubeadm has
 * them, so that its tools and habits fit. */
#include "plugins/pki/pki.h"

#include <string.h>

/* etcd has one authority for its members among themselves and another for its
 * clients: a client's certificate must never let anybody in as a member. */
const struct pki_authority_profile pki_authorities[] = {
    {"kubernetes-ca", "ca", "kubernetes"},
    {"etcd-ca", "etcd/ca", "etcd-ca"},
    {"etcd-peer-ca", "etcd/peer-ca", "etcd-peer-ca"},
    {"front-proxy-ca", "front-proxy-ca", "front-proxy-ca"},
};
const size_t pki_authority_count = sizeof pki_authorities / sizeof pki_authorities[0];

#define LOOPBACKS (PKI_NAME_LOOPBACK | PKI_NAME_LOOPBACK_6)
/* What the public endpoint fronts: etcd's client port while there is no
 * Kubernetes, the API server's afterwards. */
#define FRONTED (PKI_NAME_REPLICA | PKI_NAME_INTERNAL | PKI_NAME_EXTERNAL | PKI_NAME_EXTRA | LOOPBACKS)
#define BETWEEN (PKI_NAME_REPLICA | PKI_NAME_INTERNAL | PKI_NAME_LOOPBACK)

/* An etcd server is a client too: its gateway dials the server itself with
 * the server's certificate (etcd-io/etcd#9785). */
const struct pki_profile pki_profiles[] = {
    {"etcd-client", "etcd-ca", PKI_CLUSTER, "operator/etcd-client", "hactl-operator", NULL, PKI_CLIENT, 0},
    {"apiserver-etcd-client", "etcd-ca", PKI_CLUSTER, "apiserver-etcd-client", "kube-apiserver-etcd-client", NULL,
     PKI_CLIENT, 0},
    {"apiserver-kubelet-client", "kubernetes-ca", PKI_CLUSTER, "apiserver-kubelet-client",
     "kube-apiserver-kubelet-client", "kubeadm:cluster-admins", PKI_CLIENT, 0},
    {"front-proxy-client", "front-proxy-ca", PKI_CLUSTER, "front-proxy-client", "front-proxy-client", NULL, PKI_CLIENT,
     0},
    {"etcd-server", "etcd-ca", PKI_REPLICA, "etcd-server", NULL, NULL, PKI_SERVER | PKI_CLIENT, FRONTED},
    {"etcd-peer", "etcd-peer-ca", PKI_REPLICA, "etcd-peer", NULL, NULL, PKI_SERVER | PKI_CLIENT, BETWEEN},
    {"kube-apiserver", "kubernetes-ca", PKI_REPLICA, "apiserver", "kube-apiserver", NULL, PKI_SERVER,
     FRONTED | PKI_NAME_SERVICE},
};
const size_t pki_profile_count = sizeof pki_profiles / sizeof pki_profiles[0];

size_t pki_authority_find(const char *purpose)
{
    size_t i = 0;

    while (i < pki_authority_count && strcmp(pki_authorities[i].purpose, purpose) != 0)
        i++;
    return i;
}

size_t pki_profile_find(const char *purpose)
{
    size_t i = 0;

    while (i < pki_profile_count && strcmp(pki_profiles[i].purpose, purpose) != 0)
        i++;
    return i;
}
