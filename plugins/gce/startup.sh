#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a replica of hactl does by itself, on Debian and Ubuntu images of Compute Engine. Without an argument, as Google's
# guest environment runs it at every boot, it installs itself as a service and ends. "agent" is that service: it mounts
# the data disk, makes the replica's private key, waits for payloads in the instance's metadata, writes their files,
# starts their units, and tells what came of it through guest attributes. Every step may be done again at any time.
# doc/gce.md describes the layout of metadata and guest attributes.
set -u
umask 077
PATH=${PATH:-/usr/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

# Only tests set a prefix for the files, and another metadata server.
root=${HACTL_PREFIX:-}
directory=$root/var/lib/hactl
systemd=$root/etc/systemd/system
run=$root/run/hactl
metadata=http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/instance
wait_s=${HACTL_WAIT_S:-5}

log() {
    echo "hactl-agent: $*"
}

# ---- metadata and guest attributes ----

get() { # PATH
    curl -sf --max-time 20 -H 'Metadata-Flavor: Google' "$metadata/$1"
}

# Where guest attributes are not allowed the serial port stands in for them: this service writes to the console.
is_serial() {
    grep -qx 'tell serial-port' "$run/boot" 2>/dev/null
}

say() { # KEY
    echo "hactl-told $1 $(base64 -w 0 <"$run/told/$1")"
}

# What was said long ago may have left the serial port's buffer.
say_again() {
    is_serial || return 0
    now=$(date +%s)
    [ $((now - said)) -ge 300 ] || return 0
    said=$now
    for file in "$run"/told/*; do
        case $file in *.new) ;; *) say "${file##*/}" ;; esac
    done
}

# Writes a guest attribute from standard input, unless it says the same already. Google allows few writes a second, and
# none on a project that has guest attributes switched off: what could not be written is tried again in the next round.
tell() { # KEY
    mkdir -p "$run/told"
    cat >"$run/told/$1.new"
    if cmp -s "$run/told/$1.new" "$run/told/$1"; then
        rm -f "$run/told/$1.new"
        return 0
    fi
    if is_serial; then
        mv "$run/told/$1.new" "$run/told/$1"
        say "$1"
        return 0
    fi
    if curl -sf --max-time 20 -X PUT -H 'Metadata-Flavor: Google' --data-binary "@$run/told/$1.new" \
        "$metadata/guest-attributes/hactl/$1" >/dev/null; then
        mv "$run/told/$1.new" "$run/told/$1"
    else
        log "guest attribute hactl/$1 could not be written: are guest attributes allowed in this project?"
        rm -f "$run/told/$1.new"
        return 1
    fi
}

# Fails the round: the reason goes to the operator, the next round tries again.
failed() { # REASON
    log "$1"
    printf 'failed=%s\n' "$1" | tell state
    return 1
}

# ---- the data disk ----

new_token() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

lost() { # REASON
    log "$1"
    printf 'lost: %s\n' "$1" | tell data
    printf 'failed=%s\n' "$1" | tell state
    return 2
}

# A filesystem is made only where there is certainly none, and only on a machine that never had one: a member of a group
# must not come back without its memory. The token on the disk and its copy on the boot disk tell.
mount_data() {
    name=$(sed -n 's/^device //p' "$run/boot")
    device=${HACTL_DEVICE:-/dev/disk/by-id/google-$name}
    if ! mountpoint -q "$directory/data"; then
        [ -e "$device" ] || { failed "there is no data disk $device yet" || return 1; }
        blkid -p -o value -s TYPE "$device" >"$run/type" 2>/dev/null
        case $? in
        0) ;;
        2)
            [ ! -e "$directory/data-token" ] || { lost "the data disk is blank, and was not before" || return 2; }
            mkfs.ext4 -q -F -m 0 "$device" || { failed "mkfs.ext4 on $device failed" || return 1; }
            ;;
        *) failed "what is on $device could not be told" || return 1 ;;
        esac
        mkdir -p "$directory/data"
        mount -o noatime "$device" "$directory/data" || { failed "$device could not be mounted" || return 1; }
    fi
    on_disk=$(cat "$directory/data/.hactl-data" 2>/dev/null)
    kept=$(cat "$directory/data-token" 2>/dev/null)
    if [ -z "$on_disk" ] && [ -n "$kept" ]; then
        lost "the data disk is empty, and was not before" || return 2
    elif [ -z "$on_disk" ]; then
        on_disk=$(new_token)
        printf '%s\n' "$on_disk" >"$directory/data/.hactl-data.new" && sync &&
            mv "$directory/data/.hactl-data.new" "$directory/data/.hactl-data" || return 1
    elif [ -n "$kept" ] && [ "$kept" != "$on_disk" ]; then
        lost "the data disk is another one than it was" || return 2
    fi
    printf '%s\n' "$on_disk" >"$directory/data-token.new" && mv "$directory/data-token.new" "$directory/data-token"
    echo ok | tell data || :
}

# ---- the replica's own keys ----

# One for each purpose. The names that a certificate carries are the issuer's to say, so the request claims none: it only
# proves that the key is here. The key goes nowhere else; on the data disk it stays with the replica when the machine is made anew.
make_key() { # PURPOSE
    keys=$directory/data/.hactl-keys
    mkdir -p "$keys"
    if [ ! -s "$keys/$1.key" ]; then
        rm -f "$keys/$1.csr"
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$keys/$1.key.new" 2>/dev/null ||
            { failed "openssl made no key for $1" || return 1; }
        mv "$keys/$1.key.new" "$keys/$1.key"
    fi
    if [ ! -s "$keys/$1.csr" ]; then
        openssl req -new -sha256 -key "$keys/$1.key" -subj / -out "$keys/$1.csr.new" 2>/dev/null ||
            { failed "openssl made no certificate request for $1" || return 1; }
        mv "$keys/$1.csr.new" "$keys/$1.csr"
    fi
    tell "request-$1" <"$keys/$1.csr" || :
}

make_keys() {
    get attributes/hactl-keys >"$run/keys"
    while read -r purpose; do
        [ -z "$purpose" ] || make_key "$purpose" || return 1
    done <"$run/keys"
}

# ---- programs ----

# Fetched whole, compared with the SHA-256 that the operator pinned, and only then unpacked.
fetch_program() { # NAME URL SHA256 MEMBER
    place=$directory/programs/$3
    if [ ! -x "$place/$1" ]; then
        rm -rf "$place.new"
        mkdir -p "$place.new"
        curl -sfL --max-time 600 --retry 3 -o "$place.new/fetched" "$2" ||
            { failed "program $1: $2 could not be fetched (curl exit status $?)" || return 1; }
        found=$(sha256sum "$place.new/fetched" | cut -d' ' -f1)
        [ "$found" = "$3" ] ||
            { failed "program $1: what $2 gave has SHA-256 $found, and $3 is pinned" || return 1; }
        unpack_program "$1" "$2" "$4" || { failed "program $1: ${4#-} is not in what $2 gave" || return 1; }
        mkdir -p "$place"
        mv "$place.new/program" "$place/$1"
        rm -rf "$place.new"
    fi
    mkdir -p "$directory/bin"
    ln -sfn "../programs/$3/$1" "$directory/bin/$1.new" && mv -f "$directory/bin/$1.new" "$directory/bin/$1"
}

unpack_program() { # NAME URL MEMBER
    case $2 in
    *.tar | *.tar.gz | *.tgz | *.tar.xz | *.tar.bz2)
        mkdir "$place.new/unpacked" && tar -xf "$place.new/fetched" -C "$place.new/unpacked" --no-same-owner || return 1
        if [ "$3" = - ]; then
            member=$(find "$place.new/unpacked" -type f -name "$1" | head -n 1)
        else
            member=$place.new/unpacked/$3
        fi
        ;;
    *) member=$place.new/fetched ;;
    esac
    [ -f "$member" ] && chmod 755 "$member" && mv "$member" "$place.new/program"
}

fetch_programs() {
    while read -r word name url sha256 member; do
        [ "$word" = program ] || continue
        fetch_program "$name" "$url" "$sha256" "$member" || return 1
    done <"$run/boot"
}

# ---- payloads ----

# Written in a directory beside and renamed, so that a program never reads half a file. All of a directory are renamed by
# one process when all are written, since a certificate and its key may be read at any moment.
staging_of() { # PAYLOAD PATH
    staging=${2%/*}/.hactl-new
    grep -qxF -e "$staging" "$run/$1.staged" && return 0
    case $2 in
    "$directory"/*) mkdir -p "${2%/*}" ;;
    *) (umask 022 && mkdir -p "${2%/*}") ;;
    esac
    rm -rf "$staging" # of a run that was cut off
    mkdir "$staging" && echo "$staging" >>"$run/$1.staged"
}

stage_file() { # PAYLOAD MODE PATH, content on standard input
    staging_of "$1" "$3" || return 1
    staged=$staging/${3##*/}
    cat >"$staged" && chmod "$2" "$staged" || return 1
    if cmp -s "$staged" "$3"; then
        chmod "$2" "$3" && rm -f "$staged"
    fi
}

place_files() { # PAYLOAD
    while read -r staging; do
        find "$staging" -type f -exec mv -f -t "${staging%/*}" {} + && rmdir "$staging" || return 1
    done <"$run/$1.staged"
}

# What replicas share comes encrypted for one of the keys that were made here. A word of it that was changed on the way
# makes openssl end with an error; what it has written until then is not used.
open_sealed() { # PURPOSE BASE64
    printf '%s' "$2" | base64 -d >"$run/sealed" &&
        openssl cms -decrypt -binary -inform PEM -in "$run/sealed" -inkey "$directory/data/.hactl-keys/$1.key" \
            -out "$run/opened" 2>/dev/null && return 0
    rm -f "$run/opened"
    failed "what is sealed to the key for $1 could not be opened (openssl 3 is needed; here: $(openssl version | cut -c 1-40))"
}

write_payload() { # PAYLOAD
    : >"$run/$1.files"
    : >"$run/$1.units"
    : >"$run/$1.staged"
    while read -r word first second third; do
        case $word in
        file)
            printf '%s' "$third" | base64 -d | stage_file "$1" "$first" "$root$second" || return 1
            echo "$second" >>"$run/$1.files"
            ;;
        key)
            make_key "$third" || return 1
            stage_file "$1" "$first" "$root$second" <"$directory/data/.hactl-keys/$third.key" || return 1
            echo "$second" >>"$run/$1.files"
            ;;
        sealed)
            open_sealed "${third%% *}" "${third#* }" || return 2
            stage_file "$1" "$first" "$root$second" <"$run/opened" || return 1
            rm -f "$run/opened"
            echo "$second" >>"$run/$1.files"
            ;;
        unit)
            echo "$first" >>"$run/$1.units"
            if ! keeps_running "$1" || [ ! -e "$systemd/hactl-$1-$first.service" ]; then
                printf '%s' "$second" | base64 -d | stage_file "$1" 644 "$systemd/hactl-$1-$first.service" || return 1
            fi
            ;;
        esac
    done <"$run/$1.payload"
    place_files "$1"
}

# Only files that their users read again by themselves have changed.
keeps_running() { # PAYLOAD
    grep -qx keep-running "$run/$1.payload"
}

# What the payload had before and has no more: units first, then files.
drop_old() { # PAYLOAD
    mkdir -p "$directory/delivered"
    while read -r unit; do
        grep -qxF -e "$unit" "$run/$1.units" && continue
        systemctl stop "hactl-$1-$unit.service"
        rm -f "$systemd/hactl-$1-$unit.service"
    done <<EOF
$(cat "$directory/delivered/$1.units" 2>/dev/null)
EOF
    while read -r path; do
        [ -z "$path" ] || grep -qxF -e "$path" "$run/$1.files" || rm -f "$root$path"
    done <<EOF
$(cat "$directory/delivered/$1.files" 2>/dev/null)
EOF
    cp "$run/$1.units" "$directory/delivered/$1.units"
    cp "$run/$1.files" "$directory/delivered/$1.files"
}

# A unit that was started with the same is left alone, whether it runs or has ended: a member that was removed ends and
# must stay so. $run does not outlive a boot, so every unit is started after one.
start_units() { # PAYLOAD FINGERPRINT
    while read -r unit; do
        [ "$(cat "$run/$1-$unit.started" 2>/dev/null)" = "$2" ] && continue
        if keeps_running "$1" && [ -e "$run/$1-$unit.started" ]; then
            echo "$2" >"$run/$1-$unit.started"
            continue
        fi
        log "starting $unit of $1"
        systemctl restart "hactl-$1-$unit.service" || log "$unit of $1 could not be started"
        echo "$2" >"$run/$1-$unit.started"
    done <"$run/$1.units"
}

apply_payload() { # PAYLOAD
    get "attributes/hactl-payload-$1" >"$run/$1.payload" || return 1
    if [ "$(head -n 1 "$run/$1.payload")" != "payload $1" ] || [ "$(tail -n 1 "$run/$1.payload")" != end ]; then
        failed "payload $1 is not whole" || return 1
    fi
    fingerprint=$( (grep -v '^digest ' "$run/$1.payload" && grep '^program ' "$run/boot") | sha256sum | cut -d' ' -f1)
    if [ "$fingerprint" != "$(cat "$run/$1.applied" 2>/dev/null)" ]; then
        mkdir -p "$directory/data/$1" "$directory/payloads/$1" "$systemd"
        write_payload "$1"
        case $? in
        0) ;;
        2) return 1 ;; # said already
        *) failed "the files of payload $1 could not be written" || return 1 ;;
        esac
        systemctl daemon-reload
        drop_old "$1"
        echo "$fingerprint" >"$run/$1.applied"
    fi
    start_units "$1" "$fingerprint"
    sed -n 's/^digest //p' "$run/$1.payload" >"$run/$1.digest"
}

# ---- reports ----

last_words() { # SERVICE
    journalctl -q -u "$1" -n 1 -o cat 2>/dev/null | tr -d '\000-\037' | cut -c 1-200
}

# To the serial port, where "hactl etcd" and "gcloud compute instances get-serial-port-output" find it.
show_log() { # PAYLOAD UNIT
    journalctl -q -u "hactl-$1-$2.service" -n 20 -o cat 2>/dev/null | sed "s/^/hactl-unit $2: /"
}

# yes, when all of them run; else of the first that does not.
report_payload() { # PAYLOAD
    running=yes detail=
    while read -r unit; do
        active=$(systemctl is-active "hactl-$1-$unit.service")
        case $active in
        active) continue ;;
        activating | reloading) running=starting ;;
        *) running=no ;;
        esac
        detail="$unit is $active: $(last_words "hactl-$1-$unit.service")"
        break
    done <"$run/$1.units"
    {
        printf 'digest=%s\n' "$(cat "$run/$1.digest")"
        printf 'running=%s\n' "$running"
        [ -z "$detail" ] || printf 'detail=%s\n' "$detail"
    } >"$run/$1.report"
    if ! cmp -s "$run/$1.report" "$run/$1.reported"; then
        [ "$running" = yes ] || show_log "$1" "$unit"
        { cat "$run/$1.report" && printf 'at=%s\n' "$(date +%s)"; } | tell "payload-$1" &&
            mv "$run/$1.report" "$run/$1.reported"
    fi
}

# ---- the agent ----

round() {
    get attributes/hactl-boot >"$run/boot" || { failed "the metadata server does not answer" || return 1; }
    mount_data || return 1
    make_keys || return 1
    get attributes/ >"$run/attributes" || return 1
    sed -n 's/^hactl-payload-//p' "$run/attributes" >"$run/payloads"
    # Without a payload there is nothing to run, and a program that cannot be fetched is told early all the same.
    fetch_programs || return 1
    while read -r payload; do
        apply_payload "$payload" || return 1
    done <"$run/payloads"
    while read -r payload; do
        report_payload "$payload"
    done <"$run/payloads"
    echo 'state=ready' | tell state
}

# Comes back at once when the metadata has changed, and after a while in any case, to see whether the units still run.
# An agent of another version gives way: the new script is in the metadata already.
await_change() {
    curl -s --max-time $((wait_s + 20)) -H 'Metadata-Flavor: Google' -D "$run/headers" -o /dev/null \
        "$metadata/attributes/?recursive=true&wait_for_change=true&timeout_sec=$wait_s&last_etag=$etag" || sleep 2
    next=$(sed -n 's/^[Ee][Tt][Aa][Gg]: *//p' "$run/headers" 2>/dev/null | tr -d '\r')
    # A server that does not wait must not be asked without a pause.
    [ "$next" != "$etag" ] || sleep 1
    [ -z "$next" ] || etag=$next
}

renew() {
    get attributes/startup-script >"$run/script" && [ -s "$run/script" ] || return 0
    cmp -s "$run/script" "$directory/agent" && return 0
    log "another version of the script is in the metadata"
    cp "$run/script" "$directory/agent.new" && mv "$directory/agent.new" "$directory/agent" && exec /bin/sh "$directory/agent" agent
}

agent() {
    mkdir -p "$run" "$directory"
    rm -rf "$run/told" "$run"/*.reported
    etag=0 said=0
    echo 'state=booting' | tell state
    while :; do
        renew
        round
        say_again
        await_change
    done
}

# ---- installation, at every boot ----

install_agent() {
    mkdir -p "$directory" "$systemd"
    cat "$0" >"$directory/agent.new" && mv "$directory/agent.new" "$directory/agent" || exit 1
    {
        printf '%s\n' '# Written by hactl at every boot.' '[Unit]' 'Description=hactl agent' \
            'After=network-online.target' 'StartLimitIntervalSec=0' '' '[Service]' 'Type=simple' \
            "ExecStart=/bin/sh ${directory#"$root"}/agent agent" 'Restart=always' 'RestartSec=2' \
            'StandardOutput=journal+console' 'StandardError=inherit' 'KillMode=process'
        [ -z "${GCE_METADATA_HOST:-}" ] || printf 'Environment=GCE_METADATA_HOST=%s\n' "$GCE_METADATA_HOST"
    } >"$systemd/hactl-agent.service"
    # Run again by hand beside a running agent: the units that it has started are left alone.
    [ "$(systemctl is-active hactl-agent.service)" = active ] || rm -rf "$run"
    systemctl daemon-reload
    systemctl restart hactl-agent.service
}

case ${1:-} in
agent) agent ;;
*) install_agent ;;
esac
