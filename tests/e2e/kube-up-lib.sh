# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tests of kube-up's commands, which run on instances that boot.
. "${top_srcdir:=.}/tests/e2e/gce-lib.sh"

# Nothing of the environment that the tests are run in.
for variable in $(compgen -v KUBE) NUM_NODES MULTIZONE; do unset "$variable"; done
export HACTL=$top_builddir/hactl XDG_STATE_HOME=$base/state
case $HACTL in /*) ;; *) HACTL=$PWD/$HACTL ;; esac
directory=$base/state/hactl/kubernetes-master
# What nobody else can know: where the operator is, and an etcd without a network.
export HACTL_ADMIN_RANGES=192.0.2.0/24
HACTL_PROGRAMS="etcd file://$etcd $(sha256sum "$etcd" | cut -d' ' -f1)"
export HACTL_PROGRAMS

hactl() { timeout 300 "$HACTL" -c "$directory/kube-up.conf" --yes "$@"; }
type_in() { # NAME COMMAND-LINE: as its reader would, in a shell
    local output status=0
    output=$(cd "$top_srcdir" && timeout 600 bash -c "$2" 2>&1) || status=$?
    if [ "$status" -eq 0 ]; then tap_ok "$1"; else tap_not_ok "$1" "exit status $status: $2" "$(tail -n 5 <<<"$output")"; fi
}
refused() { # NAME STATUS TEXT COMMAND-LINE
    local output status=0
    output=$(cd "$top_srcdir" && timeout 300 bash -c "$4" 2>&1) || status=$?
    if [ "$status" -eq "$2" ] && grep -qF -- "$3" <<<"$output"; then
        tap_ok "$1"
    else
        tap_not_ok "$1" "exit status $status, expected $2, and: $3" "$output"
    fi
}

# What a cluster of the replicas that STATUS tells of is made of, all of it and nothing else.
holdings() { # STATUS
    jq -c --arg project "projects/$CLOUDSDK_CORE_PROJECT" '.replicas as $replicas |
        ($replicas | map(.zone) | unique) as $zones | "\($project)/regions/\($zones[0][:-2])" as $region | [
        ("api", "health", "operator", "peers" | "\($project)/global/firewalls/kubernetes-master-\(.)"),
        "\($region)/addresses/kubernetes-master-ip",
        ($replicas[] | "\($project)/zones/\(.zone)" as $zone | "\($region)/addresses/\(.name)-internal-ip",
            "\($zone)/instances/\(.name)", "\($zone)/disks/\(.name)", "\($zone)/disks/\(.name)-data"),
        (select($replicas | length > 1) |
            "\($region)/healthChecks/kubernetes-master-balancer", "\($region)/backendServices/kubernetes-master-balancer",
            "\($region)/forwardingRules/kubernetes-master-trial", "\($region)/forwardingRules/kubernetes-master-endpoint",
            ($zones[] | "\($project)/zones/\(.)/instanceGroups/kubernetes-master-balancer"))
        ]' <<<"$1"
}
