# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by ./quickstart and ./check: installs the Debian packages that are missing, and starts no service by it.

# shellcheck disable=SC2034 # the lists are used by those who source this
packages_build="gcc make autoconf automake libtool pkg-config libc6-dev
    libssl-dev libcurl4-openssl-dev libjansson-dev libconfig-dev libsmartcols-dev"
# shellcheck disable=SC2034
packages_run="etcd-server haproxy"
# shellcheck disable=SC2034
packages_test="faketime clang libclang-rt-dev g++ valgrind libcmocka-dev libmicrohttpd-dev mandoc shellcheck openssl curl jq procps xz-utils
    nftables iproute2 e2fsprogs util-linux"
# Those who judge certificates (tests/judges), and the peers of bench/pki. Of node and kubectl there are packages
# of other names, too, that cannot be installed beside Debian's.
packages_judges="openssl gnutls-bin golang-go etcd-server etcd-client"
command -v node >/dev/null || packages_judges+=" nodejs"
command -v kubectl >/dev/null || packages_judges+=" kubernetes-client"
# shellcheck disable=SC2034
packages_bench_pki="openssl gnutls-bin golang-cfssl strongswan-pki libstrongswan-standard-plugins easy-rsa golang-go valgrind jq"

# The services that the packages of packages_run would start.
packages_services="etcd haproxy"

packages_installed() { # PACKAGE
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

packages_as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

packages_systemd_runs() {
    [ -d /run/systemd/system ]
}

# Debian asks /usr/sbin/policy-rc.d before it starts a service. One that is there already is somebody's decision and
# stays; otherwise ours says no until the installation is over.
packages_forbid_starts() {
    packages_policy=/usr/sbin/policy-rc.d
    if [ -e "$packages_policy" ]; then
        packages_policy=
        return
    fi
    printf '#!/bin/sh\n# for the time of one installation by hactl\nexit 101\n' |
        packages_as_root tee "$packages_policy" >/dev/null
    packages_as_root chmod 755 "$packages_policy"
    trap packages_allow_starts EXIT
}

packages_allow_starts() {
    [ -z "${packages_policy:-}" ] || packages_as_root rm -f "$packages_policy"
    packages_policy=
}

# A service that this installation brought along must not start at the next boot either.
packages_disable_services() { # SERVICE...
    local service
    for service; do
        if packages_systemd_runs; then
            packages_as_root systemctl disable --now --quiet "$service.service" 2>/dev/null
        elif [ -e "/etc/init.d/$service" ] && command -v update-rc.d >/dev/null; then
            packages_as_root update-rc.d "$service" disable >/dev/null 2>&1
        else
            continue
        fi
        echo "    system service $service: left disabled, hactl starts its own"
    done
}

# Installs what is missing of the packages named; returns 1, with the reason on stderr, when it cannot.
packages_ensure() { # PACKAGE...
    local package service missing=() new_services=() log status=0
    command -v dpkg-query >/dev/null || {
        echo "this is no Debian: please install the equivalents of: $*" >&2
        return 1
    }
    for package; do
        packages_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo "    packages: all there"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "packages are missing and there is no sudo; as root: apt-get install ${missing[*]}" >&2
        return 1
    fi
    for service in $packages_services; do
        for package in "${missing[@]}"; do
            case $package in "$service" | "$service-server") new_services+=("$service") ;; esac
        done
    done
    echo "    installing with apt-get: ${missing[*]}"
    log=$(mktemp)
    [ ${#new_services[@]} -eq 0 ] || packages_forbid_starts
    packages_apt "${missing[@]}" >"$log" 2>&1 || status=$?
    packages_allow_starts
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        echo "apt-get failed with status $status" >&2
    elif [ ${#new_services[@]} -gt 0 ]; then
        packages_disable_services "${new_services[@]}"
    fi
    rm -f "$log"
    return "$status"
}

packages_apt() { # PACKAGE...
    packages_as_root apt-get -q update &&
        packages_as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"
}
