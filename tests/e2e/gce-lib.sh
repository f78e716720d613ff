# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tests with instances that boot (tests/gce-emulator): real etcd in them, hactl outside their network, so that
# every way goes through the emulated firewall. Needs root, for network namespaces.
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

base=$(mktemp -d)
trap 'rm -rf "$base"' EXIT
export HACTL_DATA_DIR=$top_srcdir/conf

# conf/gce.conf with what nobody else can know: where the operator is, and an etcd without a network.
etcd=$(command -v etcd)
sed -e 's#"203.0.113.0/24"#"192.0.2.0/24"#' \
    -e 's#reach = "external";#& poll_interval_ms = 100;#' \
    -e "s#\"etcd https.*#\"etcd file://$etcd $(sha256sum "$etcd" | cut -d' ' -f1)\"#" -e '/^ *"[0-9a-f]\{64\} etcd-v/d' \
    "$top_srcdir/conf/gce.conf" >"$base/gce.conf"

# What all commands are given besides.
settings=()
hactl() {
    timeout 300 "$top_builddir/hactl" -c "$base/gce.conf" --set "state.directory=$base/state" "${settings[@]}" --yes "$@"
}
field() { hactl status -o json 2>/dev/null | jq -r "$1"; }
api() { # VERB PATH
    curl -sS --max-time 60 -X "$1" -H "Authorization: Bearer $(cat "$GCE_EMULATOR_DIR/token")" \
        "$GCE_EMULATOR/compute/v1/projects/$CLOUDSDK_CORE_PROJECT/$2"
}
control() { # VERB PATH [BODY]
    curl -sS --max-time 60 -X "$1" --data-binary "${3:-{\}}" "$GCE_EMULATOR/_emulator/$2"
}
is() { # NAME GOT WANT
    if [ "$2" = "$3" ]; then tap_ok "$1"; else tap_not_ok "$1" "got:  $2" "want: $3"; fi
}
states() { field '[.replicas[] | "\(.name) \(.state)"] | join(", ")'; }
# Until FILTER of the status is WANT, with a deadline that only something broken reaches.
soon() { # NAME FILTER WANT
    local got i
    for ((i = 0; i < 120; i++)); do
        got=$(field "$2")
        [ "$got" != "$3" ] || break
        sleep 0.5
    done
    is "$1" "$got" "$3"
}
answers() { field '.endpoint.answers'; }
left() { curl -sS "$GCE_EMULATOR/_emulator/left" | jq -c .left; }
