# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tests that run what a manual page shows: its literal blocks under EXAMPLES, as they stand there.

# One file for each: DIRECTORY/NN.sh, with the subsection in NN.title and left or indent in NN.offset.
recipes_extract() { # MANUAL DIRECTORY
    awk -v directory="$2" '
        /^\.Sh / { examples = ($2 == "EXAMPLES") }
        examples && /^\.Ss / { title = substr($0, 5) }
        examples && /^\.Bd -literal/ {
            file = sprintf("%s/%02d", directory, ++n)
            print title >(file ".title")
            print $NF >(file ".offset")
            next
        }
        /^\.Ed/ { file = "" }
        file != "" { gsub(/\\e/, "\\"); print >(file ".sh") }
    ' "$1"
}

# The block of this subsection that is at the left margin; there is exactly one.
recipe_of() { # MANUAL TITLE
    local directory found=() file
    directory=$(mktemp -d)
    recipes_extract "$1" "$directory"
    for file in "$directory"/*.sh; do
        [ "$(cat "${file%.sh}.title")" = "$2" ] && [ "$(cat "${file%.sh}.offset")" = left ] && found+=("$file")
    done
    [ ${#found[@]} -ne 1 ] || cat "${found[0]}"
    rm -rf "$directory"
    [ ${#found[@]} -eq 1 ]
}
