# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced, after lib.sh, by tests in which instances run.

# Ends the test with a reason where that is not possible.
boot_or_skip() {
    local probe=gce-probe-$$ status
    [ -z "${GCE_EMULATOR-}" ] || return 0
    boot_skip() { echo "1..0 # SKIP instances do not boot here: $1"; exit 0; }
    [ "$(id -u)" -eq 0 ] || boot_skip "not root"
    command -v nft >/dev/null || boot_skip "nft is missing (nftables)"
    ip netns add $probe 2>/dev/null || boot_skip "no network namespaces"
    printf 'table ip t {\n chain c {\n type nat hook prerouting priority dstnat;\n }\n}\n' >/tmp/$probe
    ip netns exec $probe nft -f /tmp/$probe 2>/dev/null
    status=$?
    ip netns del $probe
    rm -f /tmp/$probe
    [ $status -eq 0 ] || boot_skip "the kernel has no nftables"
    [ -e /dev/loop-control ] || boot_skip "the kernel has no loop devices"
}

into() { "$top_srcdir/tests/gce-emulator/into" "$@"; }

# Until a command succeeds; a busy machine may take its time.
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

soon() { # NAME COMMAND...
    local name=$1
    shift
    if within 90 "$@"; then tap_ok "$name"; else tap_not_ok "$name" "not within 90 s: $*" "$(cat "$GCE_EMULATOR_DIR"/machines/*/console.log 2>/dev/null | tail -n 30)"; fi
}

serial_has() { get "$1/serialPort" .contents | grep -q -- "$2"; }

nat='{"accessConfigs":[{"name":"external-nat","type":"ONE_TO_ONE_NAT"}]}'

# An instance with $GCE_EMULATOR_DIR/script as its startup script and the tag master.
boot() { # NAME ZONE MORE-OF-ITS-INTERFACE DISKS
    jq -n --arg name "$1" --arg zone "$2" --argjson interface "$3" --argjson disks "$4" --rawfile script "$GCE_EMULATOR_DIR/script" '{
        name: $name, machineType: "zones/\($zone)/machineTypes/e2-small", tags: {items: ["master"]},
        disks: ([{boot: true, autoDelete: true, initializeParams: {sourceImage: "projects/debian-cloud/global/images/family/debian-12"}}] + $disks),
        networkInterfaces: [{network: "global/networks/default"} + $interface],
        metadata: {items: [{key: "enable-guest-attributes", value: "TRUE"}, {key: "startup-script", value: $script}]}}' >"$GCE_EMULATOR_DIR/body"
    change POST "zones/$2/instances" "@$GCE_EMULATOR_DIR/body"
}
