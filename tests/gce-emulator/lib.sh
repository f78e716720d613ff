# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the emulator's own tests, which run themselves inside `run`: `in_emulator OPTIONS` at their top does that.
: "${top_srcdir:=.}" "${top_builddir:=.}"
. "$top_srcdir/tests/support/tap.sh"

in_emulator() { # OPTIONS-OF-RUN...
    [ -z "${GCE_EMULATOR-}" ] || return 0
    if [ ! -x "$top_builddir/tests/gce-emulator/gce-emulator" ]; then
        echo "1..0 # SKIP the emulator is not built (libmicrohttpd-dev is missing)"
        exit 0
    fi
    export top_srcdir top_builddir
    exec "$top_srcdir/tests/gce-emulator/run" "$@" -- bash "$0"
}

base() { echo "$GCE_EMULATOR/compute/v1/projects/emulated"; }

# One call. Sets `status` and `body`.
call() { # VERB PATH [BODY]
    local output
    output=$(curl -sS --max-time 60 -w '\n%{http_code}' -X "$1" -H "Authorization: Bearer $(cat "$GCE_EMULATOR_DIR/token")" \
        ${3+-H Content-Type:application/json --data-binary "$3"} "$(base)/$2" 2>&1)
    status=${output##*$'\n'}
    body=${output%$'\n'*}
    printf '%s' "$body" >"$GCE_EMULATOR_DIR/last-answer"
}

# A changing call, and the wait for its operation. `operation` is what it ended as.
change() { # VERB PATH [BODY]
    call "$@"
    operation=$body
    [ "$status" = 200 ] || return 1
    wait_for "$(jq -r .selfLink <<<"$body")"
    operation=$body
    jq -e '.status == "DONE" and (has("error") | not)' <<<"$operation" >/dev/null
}

wait_for() { # SELF-LINK
    call POST "${1#*/projects/emulated/}/wait"
}

# Of the last answer, also when a subshell asked for it.
field() { jq -r "$1" "$GCE_EMULATOR_DIR/last-answer"; }

get() { # PATH FILTER
    call GET "$1"
    field "$2"
}

control() { # VERB PATH [BODY]
    curl -sS --max-time 60 -X "$1" ${3+--data-binary "$3"} "$GCE_EMULATOR/_emulator/$2"
}

equal() { # NAME GOT WANT
    if [ "$2" = "$3" ]; then tap_ok "$1"; else tap_not_ok "$1" "got:  $2" "want: $3"; fi
}

# The last call's status and reason.
refused() { # NAME STATUS REASON
    equal "$1" "$status $(field '.error.errors[0].reason // .error.status // "-"')" "$2 $3"
}

# The last operation's code and HTTP status.
failed() { # NAME STATUS CODE
    equal "$1" "$(jq -r '"\(.httpErrorStatusCode) \(.error.errors[0].code)"' <<<"$operation")" "$2 $3"
}

works() { # NAME VERB PATH [BODY]
    local name=$1
    shift
    if change "$@"; then tap_ok "$name"; else tap_not_ok "$name" "status $status" "$operation"; fi
}

# A new machine with a boot disk; MORE is more JSON of its body.
instance_body() { # NAME ZONE [MORE]
    printf '{"name":"%s","machineType":"zones/%s/machineTypes/e2-small","disks":[{"boot":true,"autoDelete":true,
        "initializeParams":{"sourceImage":"projects/debian-cloud/global/images/family/debian-12"}}],
        "networkInterfaces":[{"network":"global/networks/default"}]%s}' "$1" "$2" "${3:+,$3}"
}
external='"networkInterfaces":[{"network":"global/networks/default","accessConfigs":[{"name":"external-nat","type":"ONE_TO_ONE_NAT"}]}]'
zone=zones/us-central1-b
region=regions/us-central1
