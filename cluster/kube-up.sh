#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the first master of a cluster on Google Compute Engine, or, with KUBE_REPLICATE_EXISTING_MASTER=true, one more.
# A thin shell over hactl for those who know kube-up; its variables are explained in kube-up(8).
set -eu

# shellcheck source=cluster/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1-} in
-h | --help)
    cat <<'EOT'
usage: [VARIABLE=VALUE...] cluster/kube-up.sh [OPTION OF HACTL...]

  KUBE_GCE_ZONE=ZONE HACTL_ADMIN_RANGES=RANGE MULTIZONE=true cluster/kube-up.sh      the first master
  KUBE_GCE_ZONE=ZONE KUBE_REPLICATE_EXISTING_MASTER=true cluster/kube-up.sh          one more, in that zone

RANGE is where hactl talks to the masters from, such as 203.0.113.7/32; it is asked for once.
Options go to hactl, for example --dry-run, which shows the plan, or --timeout 30m. man kube-up has all variables.
EOT
    exit 0
    ;;
esac

# ---- what is not offered is said before anything is made

refuse_unsupported() {
    ! is_true KUBE_USE_EXISTING_MASTER ||
        die 3 "KUBE_USE_EXISTING_MASTER=true adds worker nodes only, and hactl makes none" \
            "join nodes to the public address by other means; KUBE_REPLICATE_EXISTING_MASTER=true adds a master"
    ! is_true PREEMPTIBLE_MASTER || die 3 "PREEMPTIBLE_MASTER=true: masters that may vanish at any time are not made"
    local variable
    for variable in KUBE_GCE_PRIVATE_CLUSTER GCE_PRIVATE_CLUSTER; do
        ! is_true "$variable" || die 3 "$variable=true: a public address is part of every cluster"
    done
    ! is_true CREATE_CUSTOM_NETWORK ||
        die 3 "CREATE_CUSTOM_NETWORK=true: networks are not made" "make it, and name it with KUBE_GCE_NETWORK"
    ! is_true KUBE_UP_AUTOMATIC_CLEANUP ||
        die 3 "KUBE_UP_AUTOMATIC_CLEANUP=true: nothing is deleted that was not asked for" "cluster/kube-down.sh first"
    case ${KUBE_MASTER_OS_DISTRIBUTION:-${KUBE_OS_DISTRIBUTION:-debian}} in
    debian | ubuntu) ;;
    *)
        die 3 "masters run Debian or Ubuntu, not ${KUBE_MASTER_OS_DISTRIBUTION:-$KUBE_OS_DISTRIBUTION}" \
            "KUBE_OS_DISTRIBUTION=debian or ubuntu, or an image of your own in KUBE_GCE_MASTER_IMAGE"
        ;;
    esac
}

# Firewall rules are made in the project that a network is of.
refuse_shared_network() {
    local project
    [ -n "${NETWORK_PROJECT-}" ] || return 0
    project=$(project)
    [ "$NETWORK_PROJECT" = "$project" ] ||
        die 3 "NETWORK_PROJECT=$NETWORK_PROJECT: a network that another project shares (Shared VPC) is not offered" \
            "the network has to be one of project ${project:-\$PROJECT} itself"
}

# What a user of kube-up may have set for masters, and would look for in vain.
note_without_effect() {
    local variable why
    while read -r variable why; do
        case ${!variable-} in
        '' | false) ;;
        *) say "$variable has no effect: $why" ;;
        esac
    done <<'EOT'
CLUSTER_NAME the cluster is called after KUBE_GCE_INSTANCE_PREFIX
CLUSTER_IP_RANGE addresses of pods are for the network that is added to the cluster
ETCD_IMAGE masters run the etcd that HACTL_PROGRAMS or gce.conf pins
ETCD_VERSION masters run the etcd that HACTL_PROGRAMS or gce.conf pins
KUBE_EXTRA_METADATA masters have hactl's own metadata, and what is added to one of them afterwards the next ones get too
KUBE_GCE_ENABLE_IP_ALIASES addresses of pods are for the network that is added to the cluster
KUBE_MASTER_EXTRA_METADATA masters have hactl's own metadata, and what is added to one of them afterwards the next ones get too
MASTER_MIN_CPU_ARCHITECTURE no processor is asked for besides MASTER_SIZE
EOT
}

# Reads are linearizable whatever is said, so the safe wish is always fulfilled. The document has the name both ways.
note_quorum_reads() {
    local variable
    for variable in ENABLE_ETCD_QUORUM_READ ENABLE_ETCD_QUORUM_READS; do
        is_true "$variable" true || say "$variable=false: etcd's reads are linearizable all the same, never stale"
    done
}

note_nodes() {
    [[ ${NUM_NODES:-0} =~ ^[0-9]+$ ]] || die 3 "NUM_NODES=$NUM_NODES is no number"
    [ "${NUM_NODES:-0}" -eq 0 ] ||
        die 3 "NUM_NODES=$NUM_NODES: hactl makes the control plane; it makes no worker nodes" \
            "NUM_NODES=0, or no NUM_NODES, makes the masters alone"
    say "masters only: no worker nodes are made"
}

# ---- settings of one run: they hold for the master that is made now, and are not kept

settings=()
set_if() { # KEY VALUE: nothing is said where the user said nothing, so that a replica is like the one that is there
    [ -z "$2" ] || settings+=(--set "plugins.cloud.$1=$2")
}

gigabytes() { # VARIABLE: "20", "20GB"
    local size=${!1-}
    size=${size%GB}
    [[ $size =~ ^[0-9]*$ ]] || die 3 "$1=${!1}: a number of gigabytes, such as 20GB"
    echo "$size"
}

image() {
    local from=${KUBE_GCE_MASTER_PROJECT-}
    if [ -n "${KUBE_GCE_MASTER_IMAGE-}${KUBE_GCE_MASTER_IMAGE_FAMILY-}" ]; then
        [ -n "$from" ] || die 3 "which project is the image in? Set KUBE_GCE_MASTER_PROJECT, such as debian-cloud"
        echo "projects/$from/global/images/${KUBE_GCE_MASTER_IMAGE:-family/$KUBE_GCE_MASTER_IMAGE_FAMILY}"
    elif [ "${KUBE_MASTER_OS_DISTRIBUTION:-${KUBE_OS_DISTRIBUTION-}}" = ubuntu ]; then
        echo projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts
    elif [ -n "${KUBE_MASTER_OS_DISTRIBUTION:-${KUBE_OS_DISTRIBUTION-}}" ]; then
        echo projects/debian-cloud/global/images/family/debian-12
    fi
}

take_settings() {
    local value
    set_if machine_type "${MASTER_SIZE-}"
    value=$(image)
    set_if image "$value"
    value=$(gigabytes MASTER_ROOT_DISK_SIZE)
    set_if boot_disk_gb "$value"
    value=$(gigabytes MASTER_DISK_SIZE)
    set_if data_disk_gb "$value"
    set_if data_disk_type "${MASTER_DISK_TYPE-}"
    set_if service_account "${KUBE_GCE_MASTER_SERVICE_ACCOUNT-}"
}

# ---- the configuration: what is of the whole cluster, written once and kept beside its state

list_of() { # WORDS divided by spaces or commas -> "a", "b"
    local words=${1//,/ } word out=''
    for word in $words; do out+="${out:+, }\"$word\""; done
    printf '%s' "$out"
}

admin_ranges() {
    [ -n "${HACTL_ADMIN_RANGES-}" ] ||
        die 3 "from which addresses will hactl talk to the masters? Only those are let in." \
            "HACTL_ADMIN_RANGES=203.0.113.7/32 with your own public address, or your network's; it is asked for once"
    list_of "$HACTL_ADMIN_RANGES"
}

# A tunnel is a way of the user's own, so its command has to come with it; naming one is choosing that way.
reach() {
    local reach=${HACTL_REACH:-${HACTL_TUNNEL_COMMAND:+tunnel}} arguments word out=''
    printf '    reach = "%s";\n' "${reach:-external}"
    if [ "$reach" != tunnel ]; then
        [ -z "${HACTL_TUNNEL_COMMAND-}" ] || say "HACTL_TUNNEL_COMMAND has no effect: HACTL_REACH is $reach"
        return
    fi
    read -ra arguments <<<"${HACTL_TUNNEL_COMMAND-}"
    [ "${#arguments[@]}" -gt 0 ] ||
        die 3 "HACTL_REACH=tunnel: which command makes a local port a master's?" \
            "HACTL_TUNNEL_COMMAND='ssh -N -L 127.0.0.1:{local_port}:{address}:{port} HOST', a host of the network" \
            "for that of Identity-Aware Proxy see hactl-gce(8), TUNNELS"
    for word in "${arguments[@]}"; do out+="${out:+, }\"$word\""; done
    printf '    tunnel_command = [ %s ];\n' "$out"
}

# HACTL_PROGRAMS, one "NAME URL SHA256 [MEMBER]" a line, else what conf/gce.conf pins.
programs() {
    local line out='' place
    if [ -n "${HACTL_PROGRAMS-}" ]; then
        while IFS= read -r line; do
            [ -z "$line" ] || out+="${out:+, }\"$line\""
        done <<<"$HACTL_PROGRAMS"
        printf '    programs = [ %s ];\n' "$out"
        return
    fi
    for place in "${HACTL_DATA_DIR:-/nonexistent}" "$here/../conf" "$here/.."; do
        [ -r "$place/gce.conf" ] || continue
        sed -n '/^ *programs = \[/,/^ *\];/p' "$place/gce.conf"
        return
    done
    die 3 "gce.conf, which says where masters get etcd from, was not found" "set HACTL_DATA_DIR to its directory"
}

project() {
    if [ -n "${PROJECT-}" ]; then
        echo "$PROJECT"
    elif [ -z "${CLOUDSDK_CORE_PROJECT-}${GOOGLE_CLOUD_PROJECT-}" ] && command -v gcloud >/dev/null; then
        gcloud config get-value project 2>/dev/null || true
    fi
}

line_if() { # KEY VALUE
    [ -z "$2" ] || printf '    %s = "%s";\n' "$1" "$2"
}

names() { # DNS:one,IP:192.0.2.1 as kube-up took them, or plain
    local words=${MASTER_EXTRA_SANS-}
    words=${words//DNS:/}
    [ -z "$words" ] || printf '  names = [ %s ];\n' "$(list_of "${words//IP:/}")"
}

# The first address of the range: 10.0.0.0/16 -> 10.0.0.1
service_address() {
    local range=${SERVICE_CLUSTER_IP_RANGE:-10.0.0.0/16}
    [[ $range =~ ^([0-9]+\.[0-9]+\.[0-9]+)\.([0-9]+)/[0-9]+$ ]] || die 3 "SERVICE_CLUSTER_IP_RANGE=$range is no IPv4 range"
    echo "${BASH_REMATCH[1]}.$((BASH_REMATCH[2] + 1))"
}

# The region is what the API says about the zone.
where() { # ZONE
    if is_true MULTIZONE; then
        printf '    region_of_zone = "%s";\n' "$1"
    else
        printf '    zones = [ "%s" ];   # without MULTIZONE=true\n' "$1"
    fi
}

configuration_text() { # ZONE
    local project ranges reach programs service network=${KUBE_GCE_NETWORK:-${NETWORK-}}
    local subnetwork=${KUBE_GCE_SUBNETWORK:-${SUBNETWORK-}}
    project=$(project)
    ranges=$(admin_ranges)
    reach=$(reach)
    programs=$(programs)
    service=$(service_address)
    cat <<EOT
# Written by kube-up.sh, and yours to edit: hactl.conf(5) and hactl-gce(8) explain every key. Machine type, image and
# disks of masters are not here: the next one is made like those that are there.
# first zone: $1
cluster = {
  name = "$cluster";
  replicas = 1;
  service_address = "$service";
  dns_domain = "${KUBE_DNS_DOMAIN:-cluster.local}";
$(names)
};
state = { directory = ".."; };   # this file lies in the cluster's own directory
keys = { mode = "replica"; };
plugins = {
  cloud = {
    plugin = "gce";
$(line_if project "$project")
$(where "$1")
$(line_if network "$network")
$(line_if subnetwork "$subnetwork")
$reach
    admin_ranges = [ $ranges ];
$programs
  };
  lb = { plugin = "lb"; backend = "gce"; cloud = "cloud"; check = "tcp"; };
  etcd = { plugin = "etcd"; client_listen = "all"; };
  pki = { plugin = "pki"; };
};
@include "pipelines.conf"
EOT
}

# The last line tells what was edited from what was written: until there is a cluster, only the latter is written anew.
readonly mark='# checksum of the lines above, as they were written: '

write_configuration() { # TEXT
    (
        umask 077
        mkdir -p "$directory"
        printf '%s\n' "$1" | sed -e '/^ *$/d' -e "/^$mark/d" >"$configuration.new"
        printf '%s%s\n' "$mark" "$(cksum <"$configuration.new")" >>"$configuration.new"
    )
    mv "$configuration.new" "$configuration"
}

is_edited() {
    [ -f "$configuration" ] && [ "$(tail -n 1 "$configuration")" != "$mark$(sed '$d' "$configuration" | cksum)" ]
}

# ---- the two things that are done

check_zone_name() {
    [[ $1 =~ ^[a-z][-a-z0-9]*$ ]] || die 3 "KUBE_GCE_ZONE=$1 is no zone; one is called like europe-west1-b"
}

create() {
    local zone=${KUBE_GCE_ZONE:-us-central1-b} first text
    check_zone_name "$zone"
    note_nodes
    first=$(sed -n 's/^# first zone: //p' "$configuration" 2>/dev/null) || true
    if ! is_made; then
        if is_edited; then
            check_project
            say "$configuration was edited, and holds as it is; without that file it is written anew from the variables"
            zone=${KUBE_GCE_ZONE:-${first:-$zone}}
        else
            text=$(configuration_text "$zone")
            write_configuration "$text"
        fi
        run_hactl --set "cluster.zones=$zone" "${settings[@]}" "$@" up
        return
    fi
    [ -z "${KUBE_GCE_ZONE-}" ] || [ "$first" = "$zone" ] ||
        die 5 "there is a cluster $cluster already, whose first master was made in $first" \
            "KUBE_REPLICATE_EXISTING_MASTER=true adds a master in $zone; cluster/kube-down.sh takes the cluster down" \
            "another KUBE_GCE_INSTANCE_PREFIX makes another cluster"
    check_project
    say "there is a cluster $cluster already: what may be missing of it is made"
    run_hactl --set "cluster.zones=$first" "${settings[@]}" "$@" up
}

# As hactl was told by the API when the cluster was made.
region() {
    local region
    region=$(sed -n 's/.*"place": *"[^"]*region \([^" ]*\)".*/\1/p' "$directory/desired.json")
    echo "${region:-its region}"
}

is_single_zone() { grep -q '^ *zones *=' "$configuration"; }

# Where masters may be is all that MULTIZONE decides here: it can be had later too.
allow_all_zones() {
    local text
    text=$(sed 's/^\( *\)zones *= *\[ *\("[^"]*"\).*/\1region_of_zone = \2;/' "$configuration")
    write_configuration "$text"
    say "MULTIZONE=true: masters may be in every zone of $(region) from now on"
}

replicate() {
    local zone=${KUBE_GCE_ZONE-} first
    is_made ||
        die 3 "there is no master of $cluster to replicate: this machine knows none ($directory)" \
            "cluster/kube-up.sh without KUBE_REPLICATE_EXISTING_MASTER makes the first one" \
            "a cluster that was made on another machine: copy that directory from there" \
            "a cluster of another name: KUBE_GCE_INSTANCE_PREFIX"
    check_project
    first=$(sed -n 's/^ *zones *= *\[ *"\([^"]*\)".*/\1/p' "$configuration")
    if [ -n "$zone" ]; then
        check_zone_name "$zone"
        if is_single_zone && [ "$zone" != "$first" ]; then
            is_true MULTIZONE ||
                die 5 "$cluster was made without MULTIZONE=true: its masters are in $first only" \
                    "MULTIZONE=true with this command allows every zone of $(region)"
            allow_all_zones
        fi
    fi
    run_hactl "${settings[@]}" "$@" replica add ${zone:+--zone "$zone"}
}

plain PROJECT KUBE_GCE_NETWORK NETWORK KUBE_GCE_SUBNETWORK SUBNETWORK KUBE_DNS_DOMAIN MASTER_EXTRA_SANS HACTL_REACH \
    HACTL_TUNNEL_COMMAND HACTL_ADMIN_RANGES
check_provider
refuse_unsupported
refuse_shared_network
note_without_effect
note_quorum_reads
is_true MULTIZONE || true
find_hactl
name_cluster
take_settings
if is_true KUBE_REPLICATE_EXISTING_MASTER; then replicate "$@"; else create "$@"; fi
