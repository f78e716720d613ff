/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the pki plugin.
 *
 *   pki_profiles    what certificates there are: two tables, and the user's own
 *   pki_names       names, addresses and the address policy
 *   pki_inventory   what each certificate must say, and why, from the inventory
 *   pki_providers   libcrypto's providers, as the settings name them
 *   pki_crypto      libcrypto, made ready while hactl looks at what there is
 *   pki_thread      threads that begin at once
 *   pki_secret      memory for private keys
 *   pki_key         keys: making, reading, writing, encrypted ones
 *   pki_der         certificates: writing their DER
 *   pki_certificate certificates: reading, and what they say
 *   pki_readback    what was just made, read back and verified
 *   pki_request     certificate requests: making, reading
 *   pki_kubeconfig  kubeconfigs: writing, reading
 *   pki_memory      what was read before and has not changed since
 *   pki_check       what is on disk, read, and what is wrong with it by itself; of authorities and of leaves, what is
 *                   not as wanted: pki_check_authority, pki_check_leaf
 *   pki_tree        what else a replica's tree holds: trust, service-account keys
 *   pki_authority   authorities: made once, never replaced
 *   pki_batch       making a number of files durable and giving them their names
 *   pki_exchange    keys and certificates that are replaced in one instant
 *   pki_fresh       directories that are made whole
 *   pki_job         keys and certificates made on every processor
 *   pki_issue       making what is missing or not as wanted
 *   pki_foreign     requests of others, and certificates by others
 *   pki_renew       when a certificate is due
 *   pki_rotation    an authority and its successor on disk, and how far they are
 *   pki_rotate      the way from one to the other, phase by phase
 *   pki_crl         what was revoked
 *   pki_audit       the log of all that was made
 *   pki_credential  a key, certificate or kubeconfig for somebody who asks
 *   pki_seal        the same, for one recipient only
 *   pki_retire      removing
 *   pki_store       the directory: descriptors and lock; pki_store_files: staging, placing
 */
#ifndef HACTL_PLUGINS_PKI_H
#define HACTL_PLUGINS_PKI_H

#include "plugins/pki/pki_check.h"
#include "plugins/pki/pki_batch.h"
#include "plugins/pki/pki_operations.h"

#endif
