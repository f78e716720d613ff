# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tests of what happens when the time of --timeout is over in one step of an operation.

# Like tap_says, of a command that runs under --timeout "$limit", which is empty elsewhere. On a busy machine a short limit
# may be over before the step begins that is tested: then DIRECTORY, with all that the command changes, is put back, and
# it is tried again with more.
tap_says_in_time() { # DIRECTORY NAME STATUS TEXT COMMAND...
    local directory=$1 limit want=$3 text=$4 output status
    rm -rf "$directory.first"
    cp -a "$directory" "$directory.first"
    for limit in 1s 6s 36s; do
        status=0
        output=$("${@:5}" 2>&1) || status=$?
        [ "$status" -ne "$want" ] || ! grep -qF -- "$text" <<<"$output" || break
        [ "$limit" = 36s ] && break
        rm -rf "$directory"
        cp -a "$directory.first" "$directory"
    done
    if [ "$status" -eq "$want" ] && grep -qF -- "$text" <<<"$output"; then
        tap_ok "$2"
    else
        tap_not_ok "$2" "within $limit exit status $status, expected $want, and: $text" "$output"
    fi
}
