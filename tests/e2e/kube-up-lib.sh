# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tests of kube-up's commands: runs the test again below an emulator whose instances boot, and has what they
# share.
: "${top_srcdir:=.}" "${top_builddir:=.}"
# shellcheck disable=SC1091 # what is sourced is checked by itself
. "$top_srcdir/tests/support/tap.sh"

if [ -z "${GCE_EMULATOR-}" ]; then
    skip() { echo "1..0 # SKIP $1"; exit 0; }
    [ "$(id -u)" -eq 0 ] || skip "instances boot only for root"
    command -v etcd >/dev/null || skip "etcd is not installed"
    [ -n "${GCE_EMULATOR_PROGRAM-}" ] || [ -x "$top_builddir/tests/gce-emulator/gce-emulator" ] ||
        skip "the emulator is not built (libmicrohttpd-dev is missing)"
    export top_srcdir top_builddir
    exec "${GCE_EMULATOR_RUN:-$top_srcdir/tests/gce-emulator/run}" -- bash "$0"
fi

# Nothing of the environment that the tests are run in.
for variable in $(compgen -v KUBE) NUM_NODES MULTIZONE; do unset "$variable"; done
base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
export HACTL_DATA_DIR=$top_srcdir/conf HACTL=$top_builddir/hactl XDG_STATE_HOME=$base/state
case $HACTL in /*) ;; *) HACTL=$PWD/$HACTL ;; esac
directory=$base/state/hactl/kubernetes-master
# What nobody else can know: where the operator is, and an etcd without a network.
etcd=$(command -v etcd)
export HACTL_ADMIN_RANGES=192.0.2.0/24
HACTL_PROGRAMS="etcd file://$etcd $(sha256sum "$etcd" | cut -d' ' -f1)"
export HACTL_PROGRAMS

hactl() { timeout 300 "$HACTL" -c "$directory/kube-up.conf" --yes "$@"; }
field() { hactl status -o json 2>/dev/null | jq -r "$1"; }
api() { # VERB PATH
    curl -sS --max-time 60 -X "$1" -H "Authorization: Bearer $(cat "$GCE_EMULATOR_DIR/token")" \
        "$GCE_EMULATOR/compute/v1/projects/$CLOUDSDK_CORE_PROJECT/$2"
}
left() { curl -sS "$GCE_EMULATOR/_emulator/left" | jq -c .left; }
is() { # NAME GOT WANT
    if [ "$2" = "$3" ]; then tap_ok "$1"; else tap_not_ok "$1" "got:  $2" "want: $3"; fi
}
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
