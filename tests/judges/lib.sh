# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is for those who source this
# Sourced by those who have trees judged: trees of every kind, what must be so of each, and wrong certificates.
: "${top_srcdir:=.}" "${top_builddir:=.}"
. "$top_srcdir/tests/support/tap.sh"

hactl=$top_builddir/hactl
case $hactl in /*) ;; *) hactl=$PWD/$hactl ;; esac
here=$(cd "$top_srcdir/tests/judges" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/hactl-judges.XXXXXX") || exit 99
pids=()
finish() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
HACTL_DATA_DIR=$(cd "$top_srcdir/conf" && pwd)
export HACTL_DATA_DIR GO111MODULE=off GOCACHE=$work/go-cache HOME=$work
conf=$HACTL_DATA_DIR/pki.conf
# Addresses of the loopback network, so that what is judged can also be served.
last=$((RANDOM % 200 + 20))
address() { echo "127.83.$last.$1"; }
outside=$(address 100)
port=$((RANDOM % 10000 + 20000))

# ---- trees; the one in question is $tree, made with $settings

use_tree() { # NAME SETTING...
    local name=$1 setting
    shift
    tree=$work/$name settings=()
    for setting; do settings+=(--set "$setting"); done
}
pki() { # ARGUMENTS...: of `hactl pki`
    "$hactl" -c "$conf" --set "pki.directory=$tree" --set "state.directory=$tree.state" \
        --set "endpoint.address=$outside" --set "endpoint.port=$port" --set "pki.api_port=$port" \
        --set "replicas.demo-1.address=$(address 1)" --set "replicas.demo-2.address=$(address 2)" \
        --set "replicas.demo-3.address=$(address 3)" "${settings[@]}" -q --yes pki "$@" </dev/null
}

# Of a user's own: one for a server with all kinds of names, one for a client; and the two heavy kinds of key.
own_profiles=(pki.profiles.webhook.file=pki/webhook pki.profiles.webhook.usage=server
    "pki.profiles.webhook.names=@replica webhook.default.svc 10.9.8.7" pki.profiles.webhook.days=90
    pki.profiles.reader.file=pki/reader pki.profiles.reader.usage=client pki.profiles.reader.common_name=reader-%s
    pki.profiles.reader.organization=readers pki.profiles.reader.authority=etcd-ca)
heavy_profiles=(pki.profiles.heavy.file=heavy pki.profiles.heavy.scope=cluster pki.profiles.heavy.usage=server
    pki.profiles.heavy.common_name=heavy pki.profiles.heavy.names=heavy.example.com pki.profiles.heavy.key_type=rsa-3072
    pki.profiles.heavier.file=heavier pki.profiles.heavier.scope=cluster pki.profiles.heavier.usage=client
    pki.profiles.heavier.common_name=heavier pki.profiles.heavier.key_type=rsa-4096)
# RSA keys may take a busy machine longer than hactl waits for them; the same command goes on.
issue_patiently() {
    for _ in {1..10}; do
        pki issue && return
    done
}

ec_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
signs=(-addext "keyUsage=critical,keyCertSign,cRLSign")
# A root and, in the place of the authorities of components and of etcd, intermediate ones below it.
make_chains() {
    local name
    mkdir -m 700 "$tree" "$tree/etcd"
    openssl req -x509 "${ec_key[@]}" -keyout "$tree.root.key" -out "$tree.root.crt" -days 7300 -subj /CN=root \
        -addext basicConstraints=critical,CA:TRUE "${signs[@]}" 2>/dev/null
    for name in ca etcd/ca; do
        openssl req -x509 -CA "$tree.root.crt" -CAkey "$tree.root.key" "${ec_key[@]}" -keyout "$tree/$name.key" \
            -out "$tree/issuing.crt" -days 3650 -subj "/CN=issuing ${name/\// }" \
            -addext basicConstraints=critical,CA:TRUE,pathlen:0 "${signs[@]}" 2>/dev/null
        cat "$tree/issuing.crt" "$tree.root.crt" >"$tree/$name.crt"
        chmod 600 "$tree/$name.key"
    done
    rm "$tree/issuing.crt"
    pki issue
}

# An authority whose key is elsewhere: what it signs is asked for, and taken in.
make_imported() {
    local request sure
    mkdir -m 700 "$tree"
    openssl req -x509 "${ec_key[@]}" -keyout "$tree.away.key" -out "$tree/ca.crt" -days 3650 -subj /CN=away \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 "${signs[@]}" 2>/dev/null
    ! pki issue 2>/dev/null || return 1 # it says what is still to be done
    for replica in demo-1 demo-2 demo-3; do pki request "$replica" || return; done
    while IFS= read -r request; do
        case $request in
        */apiserver.csr) sure=serverAuth ;;
        *) sure=clientAuth ;;
        esac
        printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature "extendedKeyUsage=$sure" \
            authorityKeyIdentifier=keyid subjectKeyIdentifier=hash >"$work/import.ext"
        openssl x509 -req -in "$request" -CA "$tree/ca.crt" -CAkey "$tree.away.key" -days 90 -copy_extensions copy \
            -extfile "$work/import.ext" -out "$work/import.crt" 2>/dev/null || return
        pki import "$work/import.crt" || return
    done < <(find "$tree/replicas" -name '*.csr' | sort)
    pki check || [ $? -eq 10 ] # 90 days are soon over
}

# Requests that were made elsewhere, signed by the tree: of a client and of a server.
make_signed() {
    openssl req -new "${ec_key[@]}" -keyout "$tree.node.key" -out "$work/node.csr" \
        -subj "/O=system:nodes/CN=system:node:demo-2" 2>/dev/null
    pki sign kubelet "$work/node.csr" demo-2 >"$tree.node.crt" || return
    openssl req -new -newkey rsa:2048 -nodes -keyout "$tree.server.key" -out "$work/server.csr" -subj /CN=demo-3 2>/dev/null
    pki sign etcd-server "$work/server.csr" demo-3 >"$tree.server.crt"
}

rotate_all() {
    local name
    for name in kubernetes-ca etcd-ca front-proxy-ca; do pki rotate "$name" || return; done
}

# The key and the certificate that are in a kubeconfig, as files beside it.
open_kubeconfigs() {
    local file
    for file in "$tree"/replicas/*/*.conf; do
        awk '/client-certificate-data/ { print $2 }' "$file" | base64 -d >"${file%.conf}.opened.crt"
        (umask 077; awk '/client-key-data/ { print $2 }' "$file" | base64 -d >"${file%.conf}.opened.key")
    done
}

# ---- wrong ones

# By the tree's own authority for components, of which one thing is wrong: FROM and TO are days from now.
sign_wrong() { # NAME FROM TO EXTENSION...
    local name=$1 from=$2 to=$3
    shift 3
    openssl req -new "${ec_key[@]}" -keyout "$work/$name.key" -out "$work/$name.csr" -subj /CN=wrong 2>/dev/null
    printf '%s\n' "$@" >"$work/$name.ext"
    mkdir -p "$work/$name.ca/new"
    : >"$work/$name.ca/index"
    printf '[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index\nnew_certs_dir=%s/new\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' \
        "$work/$name.ca" "$work/$name.ca" >"$work/$name.cnf"
    openssl ca -batch -notext -config "$work/$name.cnf" -in "$work/$name.csr" -cert "${authority:-$tree/ca}.crt" \
        -keyfile "${authority:-$tree/ca}.key" -startdate "$(date -ud "$from days" +%Y%m%d%H%M%SZ)" \
        -enddate "$(date -ud "$to days" +%Y%m%d%H%M%SZ)" -extfile "$work/$name.ext" -out "$work/$name.crt" 2>/dev/null
}
leaf=("basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature")
