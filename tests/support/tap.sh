# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by shell tests (*.test): each case is one line of TAP.
#
#   . "$top_srcdir/tests/support/tap.sh"
#   tap_is "version says its name" 0 "$top_builddir/hactl" version
#   tap_done

tap_count=0
tap_failed=0

tap_ok() { # NAME
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1"
}

tap_not_ok() { # NAME [WHY...]
    tap_count=$((tap_count + 1))
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_count - $1"
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/# /'
}

tap_skip() { # NAME WHY
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

# Runs a command and compares its exit status; its output is shown when it differs.
tap_is() { # NAME STATUS COMMAND...
    local name=$1 want=$2 output status=0
    shift 2
    output=$("$@" 2>&1) || status=$?
    if [ "$status" -eq "$want" ]; then
        tap_ok "$name"
    else
        tap_not_ok "$name" "exit status $status, expected $want: $*" "$output"
    fi
}

# Runs a command and compares its exit status; a text is to be in its output.
tap_says() { # NAME STATUS TEXT COMMAND...
    local name=$1 want=$2 text=$3 output status=0
    shift 3
    output=$("$@" 2>&1) || status=$?
    if [ "$status" -eq "$want" ] && grep -qF -- "$text" <<<"$output"; then
        tap_ok "$name"
    else
        tap_not_ok "$name" "exit status $status, expected $want, and: $text" "$output"
    fi
}

tap_done() {
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
    exit
}
