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

tls_answers() { # ADDRESS THE-ONE-IN-ITS-CERTIFICATE
    openssl s_client -connect "$1:2379" -CAfile "$directory/pki/etcd/ca.crt" -cert "$directory/pki/operator/etcd-client.crt" \
        -key "$directory/pki/operator/etcd-client.key" -verify_ip "$2" -verify_return_error </dev/null >/dev/null 2>&1
}
