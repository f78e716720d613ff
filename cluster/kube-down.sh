#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Takes a cluster on Google Compute Engine down, or, with KUBE_DELETE_NODES=false, masters of it: the one that
# KUBE_REPLICA_NAME names, else those in KUBE_GCE_ZONE. A thin shell over hactl; kube-up(8) has all variables.
set -eu

# shellcheck source=cluster/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1-} in
-h | --help)
    cat <<'EOT'
usage: [VARIABLE=VALUE...] cluster/kube-down.sh [OPTION OF HACTL...]

  KUBE_DELETE_NODES=false KUBE_GCE_ZONE=ZONE cluster/kube-down.sh            removes the masters in that zone
  KUBE_DELETE_NODES=false KUBE_REPLICA_NAME=NAME cluster/kube-down.sh        removes that master
  cluster/kube-down.sh                                                       takes the cluster down, with all its data

Options go to hactl, for example --dry-run, which shows the plan. man kube-up has all variables.
EOT
    exit 0
    ;;
esac

# ---- masters

# NAME ZONE of each master that is to be, a line each.
masters() {
    sed -n '/"replicas": \[/,/^  \]/p' "$directory/desired.json" | tr -d '", ' |
        awk -F: '$1 == "name" { name = $2 } $1 == "zone" { zone = $2 } $1 == "leaving" && $2 == "false" { print name, zone }'
}

failures() { # OF HOW MANY MASTERS: what etcd outlives
    case $((($1 - 1) / 2)) in
    0) echo "no failure of a master" ;;
    1) echo "the failure of one" ;;
    *) echo "the failure of $((($1 - 1) / 2))" ;;
    esac
}

# hactl asks before it makes a cluster less safe. Here the answer is given, so what it means has to be said.
warn_of_less() { # NAME ZONE
    local before after
    before=$(masters | wc -l)
    after=$(masters | awk -v name="$1" -v zone="$2" '(name == "" || $1 == name) && (zone == "" || $2 == zone) { next } 1' | wc -l)
    [ "$after" -gt 0 ] && [ "$after" -lt "$before" ] || return 0
    if [ $((after % 2)) -eq 0 ]; then
        say "WARNING: $after masters are left of $before. An even number tolerates no more than one master less:"
        say "WARNING: $after tolerate $(failures "$after"), and so do $((after - 1)). Add one, or remove one more."
    elif [ $(((after - 1) / 2)) -lt $(((before - 1) / 2)) ]; then
        say "WARNING: $after of $before masters left tolerate $(failures "$after")."
    else
        return 0
    fi
    say "WARNING: hactl would ask whether that is meant; as it was asked for here, it is accepted for you (--accept-budget 0)."
}

# Losing the quorum is not agreed to, whatever was asked for, and hactl refuses it.
remove_masters() {
    local zone=${KUBE_GCE_ZONE-} name=${KUBE_REPLICA_NAME-} status=0
    is_made ||
        die 3 "there is no cluster $cluster: this machine knows none ($directory)" \
            "a cluster of another name: KUBE_GCE_INSTANCE_PREFIX"
    check_project
    [ -z "$name$zone" ] || warn_of_less "$name" "$zone"
    if [ -n "$name" ]; then
        run_hactl --accept-budget 0 "$@" replica remove "$name" ${zone:+--zone "$zone"} || status=$?
    elif [ -n "$zone" ]; then
        run_hactl --accept-budget 0 "$@" replica remove --zone "$zone" --all || status=$?
    else
        die 3 "which masters are to go? KUBE_GCE_ZONE=ZONE, those of a zone, or KUBE_REPLICA_NAME=NAME, one" \
            "their names and zones: $hactl -c $configuration replica list"
    fi
    [ "$status" -ne 5 ] || say "(cluster/kube-down.sh without KUBE_DELETE_NODES=false takes the whole cluster down)"
    return "$status"
}

# ---- all of it

# One zone was named: whoever means that zone must not lose the masters in others.
refuse_if_elsewhere() { # ZONE
    local list others
    list=$(run_hactl -o json replica list) || exit $?
    others=$(grep -o '"zone": *"[^"]*"' <<<"$list" | cut -d'"' -f4 | grep -vxF -- "$1" | sort -u | paste -sd, -) || true
    [ -z "$others" ] ||
        die 5 "KUBE_GCE_ZONE=$1, but $cluster has masters elsewhere too ($others); nothing was changed" \
            "KUBE_DELETE_NODES=false removes those in $1 and leaves the others" \
            "without KUBE_GCE_ZONE the whole cluster is taken down, with all its data"
}

take_down() {
    [ -z "${KUBE_REPLICA_NAME-}" ] ||
        die 3 "KUBE_REPLICA_NAME names one master, but without KUBE_DELETE_NODES=false the whole cluster is taken down" \
            "KUBE_DELETE_NODES=false KUBE_REPLICA_NAME=$KUBE_REPLICA_NAME cluster/kube-down.sh removes that one"
    if [ ! -f "$configuration" ]; then
        say "nothing to do: this machine knows no cluster $cluster ($directory); one made elsewhere is taken down there"
        return
    fi
    check_project
    [ -z "${KUBE_GCE_ZONE-}" ] || refuse_if_elsewhere "$KUBE_GCE_ZONE"
    ! is_true KUBE_DELETE_NETWORK || say "KUBE_DELETE_NETWORK=true: the network was not made here, and is left"
    run_hactl "$@" down
}

check_provider
find_hactl
name_cluster
if is_true KUBE_DELETE_NODES true; then take_down "$@"; else remove_masters "$@"; fi
