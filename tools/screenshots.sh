#!/bin/sh
# Takes pictures of a report page in headless Chromium: light, dark, and as wide as a phone.
# Usage: tools/screenshots.sh PAGE.html FOLDER
set -eu
page=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Chromium's windows are at least 500 pixels wide: the phone is a frame inside one
cat > "$work/phone.html" <<PHONE
<body style="margin:0"><iframe src="file://$page" width="390" height="6000" style="border:0">
PHONE

shoot() { # name, address, window width, colour scheme (0 dark, 1 light)
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --user-data-dir="$work/profile" --window-size="$3,6000" \
        --blink-settings="preferredColorScheme=$4" --screenshot="$out/$1.png" "$2" 2> "$work/log" \
        || { cat "$work/log" >&2; exit 1; }
}

shoot light "file://$page" 1000 1
shoot dark "file://$page" 1000 0
shoot phone "file://$work/phone.html" 500 0
