# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What kube-up.sh and kube-down.sh share: the variables that a user of kube-up sets, as settings of hactl. What is
# decided, checked and done is hactl's; kube-up(8) has the table of variables.

me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }

# Exit statuses are hactl's: 3 a mistake in what was asked for, 5 refused for safety.
die() { # STATUS WHAT [NEXT...]
    local status=$1 line
    say "$2"
    shift 2
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit "$status"
}

# ---- variables

# A switch is true or false; kube-up took every other word for false, "True" and "yes" too.
is_true() { # VARIABLE [DEFAULT]
    case ${!1:-${2:-false}} in
    true) return 0 ;;
    false) return 1 ;;
    *) die 3 "$1=${!1}: it can be true or false" ;;
    esac
}

# What is written into a configuration stays one string there.
plain() { # VARIABLE...
    local variable
    for variable in "$@"; do
        case ${!variable-} in
        *[\"\\]* | *$'\n'*) die 3 "$variable has a quote, a backslash or a line end in it" ;;
        esac
    done
}

check_provider() {
    [ "${KUBERNETES_PROVIDER:-gce}" = gce ] ||
        die 3 "KUBERNETES_PROVIDER=$KUBERNETES_PROVIDER: only gce is offered here" \
            "for a control plane on this machine: hactl init && hactl up"
    [ -z "${KUBE_GCE_API_ENDPOINT-}" ] || export CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE=$KUBE_GCE_API_ENDPOINT
}

# ---- places

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# $HACTL, the tree that this file is in (built in it or below build/), the prefix that it is installed below, $PATH.
find_hactl() {
    local candidate
    if [ -n "${HACTL-}" ]; then
        [ -x "$HACTL" ] || die 3 "HACTL=$HACTL is no program"
        hactl=$HACTL
        return
    fi
    for candidate in "$here/../hactl" "$here"/../build/*/hactl "$here/../../../bin/hactl"; do
        if [ -f "$candidate" ] && [ -x "$candidate" ]; then
            hactl=$(cd "${candidate%/*}" && pwd)/hactl
            return
        fi
    done
    hactl=$(command -v hactl) ||
        die 3 "hactl was found neither beside this script nor in PATH" "build it (./quickstart), or set HACTL=/path/to/hactl"
}

# Everything about the cluster is in one directory, which `hactl down` removes as a whole.
name_cluster() {
    local prefix=${KUBE_GCE_INSTANCE_PREFIX:-kubernetes}
    [[ $prefix =~ ^[a-z][a-z0-9-]{0,32}$ ]] ||
        die 3 "KUBE_GCE_INSTANCE_PREFIX=$prefix: small letters, digits and dashes, a letter first, at most 33"
    cluster=$prefix-master
    directory=${XDG_STATE_HOME:-${HOME:?HOME is not set}/.local/state}/hactl/$cluster
    configuration=$directory/kube-up.conf
}

is_made() { [ -s "$directory/desired.json" ] && [ -f "$configuration" ]; }

# A setting of the configuration, of which there is one by that name.
configured() { sed -n "s/^ *$1 = \"\\([^\"]*\\)\";.*/\\1/p" "$configuration" | head -n 1; }

check_project() {
    local there
    there=$(configured project)
    if [ -n "${PROJECT-}" ] && [ -n "$there" ] && [ "$PROJECT" != "$there" ]; then
        die 3 "$cluster is in project $there, and PROJECT is $PROJECT" \
            "another KUBE_GCE_INSTANCE_PREFIX makes another cluster"
    fi
}

# The user has asked by name for each change that is made here: nothing is left to be consented to.
run_hactl() { "$hactl" -c "$configuration" --yes "$@"; }
