# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the benches: figures beside their targets, what a miss means, and what happens when a command fails.
#
# A figure is of one of three kinds:
#   exact   a size, a count, a modelled time: nothing else that runs changes it, so a miss fails the bench
#   timed   a time, or a ratio of times: after a miss its part is measured once more, and a second miss fails the bench
#   known   a target that is known to be missed: the miss is shown, and fails nothing

misses=0 timed_misses=0
verdicts=()
declare -A at_first=()

judge() { # KIND WHAT VALUE at-most|at-least LIMIT [UNIT]
    local kind=$1 what=$2 value=$3 limit=$5 verdict=MISS sign='<='
    [ "$4" = at-most ] || sign='>='
    # What is no number has not been measured.
    if [[ $value =~ ^[0-9]+([.][0-9]+)?$ ]] && awk "BEGIN { exit !($value $sign $limit) }"; then verdict=PASS; fi
    if [ "$verdict" = MISS ]; then
        case $kind in
        exact) misses=$((misses + 1)) ;;
        timed) timed_misses=$((timed_misses + 1)) ;;
        esac
    fi
    verdicts+=("$kind|$verdict|$what|$(printf '%-4s  %-78s %10s  %s %s%s' "$verdict" "$what" "${value:-nothing}" "${4/-/ }" \
        "$limit${6:+ $6}" "${at_first[$what]:+; at first ${at_first[$what]}}")|$value")
}

# Runs part_PART for each, and prints its verdicts.
measure_parts() { # PART...
    local part
    for part; do
        verdicts=() timed_misses=0 at_first=()
        "part_$part"
        if [ "$timed_misses" -gt 0 ]; then
            echo "== $part once more: a time was over its target"
            keep_exact_misses
            timed_misses=0
            "part_$part"
            misses=$((misses + timed_misses))
        fi
        print_verdicts
    done
}

# Of what is measured again, only what can be missed by chance may get better.
keep_exact_misses() {
    local line kind verdict what text value kept=()
    for line in "${verdicts[@]}"; do
        IFS='|' read -r kind verdict what text value <<<"$line"
        [ "$kind|$verdict" != 'exact|MISS' ] || kept+=("$line")
        [ "$kind|$verdict" != 'timed|MISS' ] || at_first[$what]=${value:-nothing}
    done
    verdicts=("${kept[@]}")
}

print_verdicts() {
    local line kind verdict what text value
    for line in "${verdicts[@]}"; do
        IFS='|' read -r kind verdict what text value <<<"$line"
        echo "$text"
    done
}

bench_fail() { # WHY [FILE: what it said]
    [ -z "${2-}" ] || tail -n 20 "$2" >&2
    echo "bench: $1" >&2
    exit 1
}

# A command that has to succeed; not in a pipe or substitution, which this would not end. Leaves what it prints in
# $base/out, and what it says besides in $base/errors.
must() { # COMMAND...
    local status=0
    "$@" >"$base/out" 2>"$base/errors" || status=$?
    [ "$status" -eq 0 ] || bench_fail "'$*' has failed with status $status" "$base/errors"
}
