/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every member of the plugin contract stands, on machines with 64-bit
 * pointers. A change here is a change of the ABI: with 0.x it wants a new
 * minor, from 1.0 on members are only added at the end of a table.
 */
#include <hactl/plugin.h>

#define PIN(type, member, offset) \
    _Static_assert(offsetof(struct hactl_##type, member) == (offset), "hactl_" #type "." #member " has moved")
#define SIZE(type, size) _Static_assert(sizeof(struct hactl_##type) == (size), "hactl_" #type " has another size")

_Static_assert(HACTL_ABI_MAJOR == 0 && HACTL_ABI_MINOR == 4, "this table is of ABI 0.4");
_Static_assert(offsetof(struct hactl_plugin, struct_size) == 0, "never moves");
_Static_assert(offsetof(struct hactl_plugin, abi_major) == 4, "never moves");
_Static_assert(offsetof(struct hactl_plugin, abi_minor) == 6, "never moves");

#if UINTPTR_MAX == UINT64_MAX

PIN(key, name, 0);
PIN(key, type, 8);
PIN(key, flags, 12);
PIN(key, default_value, 16);
PIN(key, minimum, 24);
PIN(key, maximum, 32);
PIN(key, choices, 40);
PIN(key, help, 48);
SIZE(key, 56);

PIN(zone, struct_size, 0);
PIN(zone, name, 8);
PIN(zone, region, 16);
PIN(zone, up, 24);
SIZE(zone, 32);

PIN(instance, struct_size, 0);
PIN(instance, name, 8);
PIN(instance, zone, 16);
PIN(instance, state, 24);
PIN(instance, internal_address, 32);
PIN(instance, data, 40);
PIN(instance, detail, 48);
PIN(instance, temporary_address, 56);
SIZE(instance, 64);

PIN(request, struct_size, 0);
PIN(request, instance, 8);
PIN(request, purpose, 16);
PIN(request, content, 24);
SIZE(request, 32);

PIN(firewall, struct_size, 0);
PIN(firewall, whole, 4);
PIN(firewall, digest, 8);
SIZE(firewall, 16);

PIN(delivery, struct_size, 0);
PIN(delivery, instance, 8);
PIN(delivery, payload, 16);
PIN(delivery, digest, 24);
PIN(delivery, running, 32);
PIN(delivery, detail, 40);
SIZE(delivery, 48);

PIN(address, struct_size, 0);
PIN(address, name, 8);
PIN(address, kind, 16);
PIN(address, address, 24);
PIN(address, held, 32);
PIN(address, instance, 40);
PIN(address, holder, 48);
SIZE(address, 56);

PIN(reach, struct_size, 0);
PIN(reach, host, 8);
PIN(reach, port, 16);
PIN(reach, verify, 24);
SIZE(reach, 32);

PIN(certificate, struct_size, 0);
PIN(certificate, purpose, 8);
PIN(certificate, replica, 16);
PIN(certificate, ready, 24);
PIN(certificate, reason, 32);
PIN(certificate, subject, 40);
PIN(certificate, names, 48);
PIN(certificate, wanted, 56);
PIN(certificate, not_before_s, 64);
PIN(certificate, not_after_s, 72);
PIN(certificate, path, 80);
PIN(certificate, is_authority, 88);
PIN(certificate, authority, 96);
PIN(certificate, due_s, 104);
PIN(certificate, rotates, 112);
PIN(certificate, rotation, 116);
PIN(certificate, carries_trust, 120);
PIN(certificate, retire_s, 128);
PIN(certificate, revocations, 136);
PIN(certificate, new_key, 140);
SIZE(certificate, 144);

PIN(credential, struct_size, 0);
PIN(credential, content, 8);
PIN(credential, content_size, 16);
PIN(credential, path, 24);
SIZE(credential, 32);

PIN(group, struct_size, 0);
PIN(group, formed, 4);
PIN(group, quorum, 8);
PIN(group, cluster_id, 16);
PIN(group, version, 24);
PIN(group, alarm, 32);
PIN(group, db_size_bytes, 40);
PIN(group, detail, 48);
SIZE(group, 56);

PIN(member, struct_size, 0);
PIN(member, id, 8);
PIN(member, name, 16);
PIN(member, address, 24);
PIN(member, peer_url, 32);
PIN(member, voter, 40);
PIN(member, leader, 44);
PIN(member, started, 48);
PIN(member, healthy, 52);
PIN(member, caught_up, 56);
PIN(member, lag_entries, 64);
SIZE(member, 72);

PIN(balancer, struct_size, 0);
PIN(balancer, name, 8);
PIN(balancer, running, 16);
PIN(balancer, address, 24);
PIN(balancer, trial_host, 32);
PIN(balancer, trial_port, 40);
PIN(balancer, detail, 48);
SIZE(balancer, 56);

PIN(backend, struct_size, 0);
PIN(backend, name, 8);
PIN(backend, healthy, 16);
PIN(backend, detail, 24);
SIZE(backend, 32);

PIN(file, struct_size, 0);
PIN(file, path, 8);
PIN(file, mode, 16);
PIN(file, content, 24);
PIN(file, content_size, 32);
PIN(file, purpose, 40);
PIN(file, part, 48);
PIN(file, sealed_to, 56);
PIN(file, reread, 64);
SIZE(file, 72);

PIN(unit, struct_size, 0);
PIN(unit, name, 8);
PIN(unit, argv, 16);
PIN(unit, package, 24);
PIN(unit, restart, 32);
PIN(unit, stop_timeout_ms, 36);
SIZE(unit, 40);

PIN(port, struct_size, 0);
PIN(port, name, 8);
PIN(port, port, 16);
PIN(port, flags, 20);
SIZE(port, 24);

PIN(cluster, struct_size, 0);
PIN(cluster, name, 8);
PIN(cluster, external_address, 16);
PIN(cluster, endpoint_port, 24);
PIN(cluster, service_address, 32);
PIN(cluster, dns_domain, 40);
PIN(cluster, extra_names, 48);
SIZE(cluster, 56);

PIN(replica, struct_size, 0);
PIN(replica, name, 8);
PIN(replica, zone, 16);
PIN(replica, internal_address, 24);
SIZE(replica, 32);

PIN(inventory, struct_size, 0);
PIN(inventory, cluster, 8);
PIN(inventory, replicas, 16);
PIN(inventory, replica_count, 24);
PIN(inventory, replica_keys, 32);
PIN(inventory, rekey, 36);
PIN(inventory, renews, 40);
PIN(inventory, key_purposes, 48);
SIZE(inventory, 56);

PIN(instance_want, struct_size, 0);
PIN(instance_want, replica, 8);
PIN(instance_want, key_purposes, 16);
SIZE(instance_want, 24);

PIN(firewall_want, struct_size, 0);
PIN(firewall_want, cluster, 8);
PIN(firewall_want, ports, 16);
PIN(firewall_want, port_count, 24);
PIN(firewall_want, digest, 32);
SIZE(firewall_want, 40);

PIN(tls, struct_size, 0);
PIN(tls, authority_file, 8);
PIN(tls, certificate_file, 16);
PIN(tls, key_file, 24);
SIZE(tls, 32);

PIN(endpoint, struct_size, 0);
PIN(endpoint, replica, 8);
PIN(endpoint, reach, 16);
SIZE(endpoint, 24);

PIN(group_want, struct_size, 0);
PIN(group_want, cluster, 8);
PIN(group_want, endpoints, 16);
PIN(group_want, endpoint_count, 24);
PIN(group_want, tls, 32);
PIN(group_want, cluster_id, 40);
SIZE(group_want, 48);

PIN(payload_want, struct_size, 0);
PIN(payload_want, cluster, 8);
PIN(payload_want, replica, 16);
PIN(payload_want, peers, 24);
PIN(payload_want, peer_count, 32);
PIN(payload_want, members, 40);
PIN(payload_want, member_count, 48);
PIN(payload_want, founding, 56);
PIN(payload_want, revocable, 64);
SIZE(payload_want, 72);

PIN(probe_want, struct_size, 0);
PIN(probe_want, reach, 8);
PIN(probe_want, tls, 16);
SIZE(probe_want, 24);

PIN(payload, struct_size, 0);
PIN(payload, name, 8);
PIN(payload, digest, 16);
PIN(payload, files, 24);
PIN(payload, file_count, 32);
PIN(payload, units, 40);
PIN(payload, unit_count, 48);
PIN(payload, ports, 56);
PIN(payload, port_count, 64);
PIN(payload, keep_running, 72);
SIZE(payload, 80);

PIN(balancer_want, struct_size, 0);
PIN(balancer_want, name, 8);
PIN(balancer_want, cluster, 16);
PIN(balancer_want, port, 24);
PIN(balancer_want, backend_port, 26);
PIN(balancer_want, backends, 32);
PIN(balancer_want, backend_count, 40);
SIZE(balancer_want, 48);

PIN(backend_want, struct_size, 0);
PIN(backend_want, name, 8);
PIN(backend_want, zone, 16);
PIN(backend_want, address, 24);
SIZE(backend_want, 32);

PIN(host, struct_size, 0);
PIN(host, abi_major, 4);
PIN(host, abi_minor, 6);
PIN(host, log, 8);
PIN(host, fail, 16);
PIN(host, retry_after, 24);
PIN(host, ms_left, 32);
PIN(host, cancelled, 40);
PIN(host, intent, 48);
PIN(host, conf_string, 56);
PIN(host, conf_integer, 64);
PIN(host, conf_boolean, 72);
PIN(host, conf_list, 80);
PIN(host, conf_instance, 88);
PIN(host, conf_cluster, 96);
PIN(host, conf_directory, 104);
PIN(host, conf_of, 112);
PIN(host, emit_token, 120);
PIN(host, emit_text, 128);
PIN(host, emit_zone, 136);
PIN(host, emit_instance, 144);
PIN(host, emit_delivery, 152);
PIN(host, emit_address, 160);
PIN(host, emit_reach, 168);
PIN(host, emit_certificate, 176);
PIN(host, emit_credential, 184);
PIN(host, emit_group, 192);
PIN(host, emit_member, 200);
PIN(host, emit_balancer, 208);
PIN(host, emit_backend, 216);
PIN(host, emit_file, 224);
PIN(host, emit_unit, 232);
PIN(host, emit_port, 240);
PIN(host, emit_request, 248);
PIN(host, emit_firewall, 256);
PIN(host, emit_unread, 264);
SIZE(host, 272);

PIN(cloud_ops, struct_size, 0);
PIN(cloud_ops, zones, 8);
PIN(cloud_ops, list, 16);
PIN(cloud_ops, address_ensure, 24);
PIN(cloud_ops, address_destroy, 32);
PIN(cloud_ops, instance_ensure, 40);
PIN(cloud_ops, instance_destroy, 48);
PIN(cloud_ops, deliver, 56);
PIN(cloud_ops, claim, 64);
PIN(cloud_ops, release, 72);
PIN(cloud_ops, reach, 80);
PIN(cloud_ops, firewall_ensure, 88);
PIN(cloud_ops, firewall_destroy, 96);
PIN(cloud_ops, unit_log, 104);
PIN(cloud_ops, forget, 112);
PIN(cloud_ops, requests, 120);
PIN(cloud_ops, temporary_address_ensure, 128);
PIN(cloud_ops, temporary_address_destroy, 136);
PIN(cloud_ops, can_run, 144);
SIZE(cloud_ops, 152);

PIN(member_ops, struct_size, 0);
PIN(member_ops, list, 8);
PIN(member_ops, add, 16);
PIN(member_ops, promote, 24);
PIN(member_ops, move_leader, 32);
PIN(member_ops, remove, 40);
PIN(member_ops, snapshot, 48);
SIZE(member_ops, 56);

PIN(payload_ops, struct_size, 0);
PIN(payload_ops, ports, 8);
PIN(payload_ops, render, 16);
PIN(payload_ops, probe, 24);
PIN(payload_ops, operator_purpose, 32);
PIN(payload_ops, key_purposes, 40);
PIN(payload_ops, programs, 48);
SIZE(payload_ops, 56);

PIN(issuer_ops, struct_size, 0);
PIN(issuer_ops, list, 8);
PIN(issuer_ops, authority_ensure, 16);
PIN(issuer_ops, issue, 24);
PIN(issuer_ops, retire, 32);
PIN(issuer_ops, credential, 40);
PIN(issuer_ops, destroy, 48);
PIN(issuer_ops, sign, 56);
PIN(issuer_ops, request, 64);
PIN(issuer_ops, import, 72);
PIN(issuer_ops, rotate, 80);
PIN(issuer_ops, revoke, 88);
PIN(issuer_ops, seal, 96);
SIZE(issuer_ops, 104);

PIN(balancer_ops, struct_size, 0);
PIN(balancer_ops, list, 8);
PIN(balancer_ops, ensure, 16);
PIN(balancer_ops, backend_ensure, 24);
PIN(balancer_ops, backend_destroy, 32);
PIN(balancer_ops, claim, 40);
PIN(balancer_ops, release, 48);
PIN(balancer_ops, destroy, 56);
SIZE(balancer_ops, 64);

PIN(plugin, struct_size, 0);
PIN(plugin, abi_major, 4);
PIN(plugin, abi_minor, 6);
PIN(plugin, name, 8);
PIN(plugin, version, 16);
PIN(plugin, summary, 24);
PIN(plugin, keys, 32);
PIN(plugin, open, 40);
PIN(plugin, close, 48);
PIN(plugin, check, 56);
PIN(plugin, poll, 64);
PIN(plugin, cloud, 72);
PIN(plugin, member, 80);
PIN(plugin, payload, 88);
PIN(plugin, issuer, 96);
PIN(plugin, balancer, 104);
SIZE(plugin, 112);

#endif
