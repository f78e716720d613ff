#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes ./configure from configure.ac. Wanted after a fresh clone only: a release carries it.
set -e
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "autogen.sh: $tool is missing; on Debian: apt install autoconf automake libtool pkg-config" >&2
        exit 1
    }
done
autoreconf --install "$@"
