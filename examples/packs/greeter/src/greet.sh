#!/usr/bin/env bash
# Greets the person named as first argument, in the words that default.txt leads to.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Of this machine alone; installed once and never touched again.
GREETER_FALLBACK_NAME=world
if [[ -f $here/local.env ]]; then
    # shellcheck disable=SC1091
    source "$here/local.env"
fi

name=${1:-$GREETER_FALLBACK_NAME}
words=$(<"$here/default.txt")
signature=$(sed -n 's/.*"signature": *"\([^"]*\)".*/\1/p' "$here/config.json")
printf '%s -- %s\n' "${words//NAME/$name}" "$signature"
