# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the scenarios: a cluster of its own for each, clients on it, and what is looked at after every step.
: "${top_srcdir:=.}" "${top_builddir:=.}"
. "$top_srcdir/tests/support/tap.sh"

base=$(mktemp -d)
# Networks are recorded here too, not in the register of whoever runs this.
export HACTL_DATA_DIR=$top_srcdir/conf XDG_STATE_HOME=$base/xdg
cluster=none
workload_pid=

hactl() {
    "$top_builddir/hactl" -c "${configuration:-$top_srcdir/conf/local.conf}" --set "cluster.name=$cluster" \
        --set "state.directory=$base/state" --yes "$@"
}
directory() { echo "$base/state/$cluster"; }
field() { hactl status -o json 2>/dev/null | jq -r "$1"; }

finish() {
    [ -z "$workload_pid" ] || { exec 9>&-; wait "$workload_pid"; } 2>/dev/null
    hactl down >/dev/null 2>&1
    rm -rf "$base"
}
trap finish EXIT

# A cluster of this name, and nothing of the one before.
new_cluster() { # NAME
    [ "$cluster" = none ] || hactl down >/dev/null 2>&1
    cluster=$1$$
}

start_clients() {
    local pki
    pki=$(directory)/pki
    rm -f "$base/phases"
    mkfifo "$base/phases"
    "$top_builddir/tests/e2e/workload" "$(field '"\(.endpoint.address):\(.endpoint.port)"')" "$pki/etcd/ca.crt" \
        "$pki/operator/etcd-client.crt" "$pki/operator/etcd-client.key" <"$base/phases" >"$base/workload" 2>&1 &
    workload_pid=$!
    exec 9>"$base/phases"
}

# Ends the clients; their table and their verdicts become ours.
take_results() { # NAME FILE: what a program has said in TAP counts here, under its name
    local line
    while IFS= read -r line; do
        case $line in
        '#'*) echo "$line" ;;
        'ok '*) tap_ok "$1: ${line#ok * - }" ;;
        'not ok '*) tap_not_ok "$1: ${line#not ok * - }" ;;
        1..*) ;;
        *) echo "# $line" ;;
        esac
    done <"$2"
}

end_clients() { # NAME
    local status=0
    exec 9>&-
    wait "$workload_pid" || status=$?
    workload_pid=
    take_results "$1" "$base/workload"
    [ "$status" -eq 0 ] || [ "$status" -eq 1 ] || tap_not_ok "$1: the clients" "exit status $status"
}

# One step under load: its name becomes a phase of the clients, its gap is taken from hactl's own report.
step() { # NAME HACTL-ARGUMENTS...
    local name=$1 status=0 output
    shift
    [ -z "$workload_pid" ] || echo "${planned:-}$name" >&9
    output=$(hactl -o json "$@" 2>"$base/errors") || status=$?
    echo "$output" >"$base/report"
    if [ "$status" -eq 0 ]; then
        tap_ok "$name ($(jq -r '"\(.wall_ms) ms, endpoint gap \(if .endpoint_gap.measured then "\(.endpoint_gap.gap_ms) ms" else "not measured" end)"' <<<"$output" 2>/dev/null))"
    else
        tap_not_ok "$name" "exit status $status: hactl $*" "$(tail -n 4 "$base/errors")"
    fi
    [ -z "$workload_pid" ] || echo "after $name" >&9
}

equal() { # NAME GOT WANT
    if [ "$2" = "$3" ]; then tap_ok "$1"; else tap_not_ok "$1" "got:  $2" "want: $3"; fi
}

# A step that promotes or demotes: the clients are told that it is planned, so that none of them may be left without an
# answer, and how long nobody answered is measured, and is in the journal's last record.
moving_step() { # NAME HACTL-ARGUMENTS...
    local journal
    planned='planned ' step "$@"
    journal=$(directory)/operations/$(jq -r .operation "$base/report").ndjson
    equal "$1: the endpoint's gap is measured, and the journal keeps it" \
        "$(jq -r '.endpoint_gap | "\(.measured) \(.gap_ms | type)"' "$base/report"), $(tail -n 1 "$journal" |
            jq -r '"\(.type) \(.report.endpoint_gap_ms | type)"'), the same $(jq -s '.[0].endpoint_gap.gap_ms == .[1].report.endpoint_gap_ms' \
            "$base/report" <(tail -n 1 "$journal"))" "true number, end number, the same true"
    equal "$1: so does it what else it took" "$(tail -n 1 "$journal" | jq -c '.report | [.wall_ms, .calls, .syncs | . > 0]')" \
        "[true,true,true]"
}

tls_answers() { # ADDRESS:PORT NAME-IN-THE-CERTIFICATE
    local pki
    pki=$(directory)/pki
    openssl s_client -connect "$1" -CAfile "$pki/etcd/ca.crt" -cert "$pki/operator/etcd-client.crt" \
        -key "$pki/operator/etcd-client.key" -verify_ip "$2" -verify_return_error </dev/null >/dev/null 2>&1
}

# What must hold of a cluster of COUNT replicas.
sound() { # NAME COUNT
    local name=$1 count=$2 status owner wanted_owner address ip bad='' tries=20
    # On a busy machine a member may be too slow to tell about itself; it is asked again.
    until status=$(hactl status -o json 2>/dev/null) &&
        jq -e --argjson count "$count" '[.etcd.members[] | select(.voter and .healthy)] | length == $count' <<<"$status" >/dev/null ||
        [ "$((tries--))" -eq 0 ]; do
        sleep 0.5
    done
    owner=$(jq -r .endpoint.owner <<<"$status")
    wanted_owner=balancer
    [ "$count" -gt 1 ] || wanted_owner=$(jq -r '.replicas[0].name' <<<"$status")
    equal "$name: the members are the replicas, all voters, all healthy" \
        "$(jq -c '[.etcd.members[] | select(.voter and .healthy) | .name] | sort' <<<"$status")" \
        "$(jq -c '[.replicas[].name] | sort' <<<"$status")"
    equal "$name: $count replicas, owner of the address, it answers" \
        "$(jq -r '"\(.replicas | length) \(.etcd.voters) \(.endpoint.answers)"' <<<"$status") $owner" "$count $count true $wanted_owner"
    address=$(jq -r .endpoint.address <<<"$status")
    tls_answers "$address:$(jq -r .endpoint.port <<<"$status")" "$address" || bad="$address"
    for ip in $(jq -r '.replicas[].internal_ip' <<<"$status"); do
        tls_answers "$ip:2379" "$ip" || bad="$bad $ip"
    done
    equal "$name: certificates verify for the public and every internal address" "$bad" ""
    equal "$name: no file is left of replicas that went" \
        "$(find "$(directory)/cloud/instances" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" \
        "$(jq -r '.replicas[].name' <<<"$status" | sort | tr '\n' ' ')"
    equal "$name: no process is left of replicas that went" \
        "$(replicas_that_run | sort -u | grep -vxFf <(jq -r '.replicas[].name' <<<"$status"))" ""
}

# The processes of clusters under $base, by their directory and arguments: number, directory, arguments.
processes_of_clusters() {
    local files number arguments
    files=$(grep -lzFs -- "$base/state/" /proc/[0-9]*/cmdline
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$base/state/*" 2>/dev/null)
    sed -n 's#^/proc/\([0-9]*\)/.*#\1#p' <<<"$files" | sort -u | while IFS= read -r number; do
        # Those who looked are gone by now.
        { arguments=$(tr '\0' ' ' <"/proc/$number/cmdline"); } 2>/dev/null &&
            echo "$number $(readlink "/proc/$number/cwd") $arguments"
    done
}
# The names of the replicas that have any.
replicas_that_run() { processes_of_clusters | grep -oE "$(directory)/cloud/instances/[A-Za-z0-9.-]+" | sed 's#.*/##'; }

nothing_left() { # NAME
    equal "$1: no process is left" "$(processes_of_clusters)" ""
    equal "$1: no file is left" "$(find "$base/state" -mindepth 1 2>/dev/null)" ""
    equal "$1: no network is recorded" "$(find "$XDG_STATE_HOME" -mindepth 2 2>/dev/null)" ""
}
