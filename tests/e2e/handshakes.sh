# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced after lib.sh: clients that open new TLS connections beside those that keep theirs.
handshakes_pid=
# A test that ends before its time leaves none of them behind.
finish_handshakes() {
    [ -z "$handshakes_pid" ] || { exec 8>&-; kill "$handshakes_pid"; wait "$handshakes_pid"; } 2>/dev/null
    finish
}
trap finish_handshakes EXIT
end_handshakes() { # NAME
    exec 8>&-
    wait "$handshakes_pid"
    handshakes_pid=
    take_results "$1" "$base/handshakes"
}

# What a client is given: the trust as it is now, and a certificate as it is now.
give_trust() {
    local pki bundle
    pki=$(directory)/pki
    bundle=$pki/etcd/ca-bundle.crt
    [ -e "$bundle" ] || bundle=$pki/etcd/ca.crt
    cp "$bundle" "$base/client/trust.pem.new" && mv "$base/client/trust.pem.new" "$base/client/trust.pem"
}
give_certificate() {
    local pki
    pki=$(directory)/pki
    cp "$pki/operator/etcd-client.crt" "$base/client/client.pem"
    cp "$pki/operator/etcd-client.key" "$base/client/client-key.pem"
}

start_load() {
    mkdir -p "$base/client"
    give_trust
    give_certificate
    rm -f "$base/phases" "$base/handshake-phases"
    mkfifo "$base/phases" "$base/handshake-phases"
    local address port
    address=$(field .endpoint.address)
    port=$(field .endpoint.port)
    "$top_builddir/tests/e2e/workload" "$address:$port" "$base/client/trust.pem" "$base/client/client.pem" \
        "$base/client/client-key.pem" <"$base/phases" >"$base/workload" 2>&1 &
    # shellcheck disable=SC2034 # lib.sh waits for it
    workload_pid=$!
    exec 9>"$base/phases"
    "$top_builddir/tests/e2e/handshakes" "$address" "$port" "$base/client" <"$base/handshake-phases" >"$base/handshakes" 2>&1 8>&- 9>&- &
    handshakes_pid=$!
    exec 8>"$base/handshake-phases"
}

load_step() { # NAME HACTL-ARGUMENTS...
    echo "$1" >&8
    step "$@"
}
