#!/usr/bin/env bash
# What VSCode's pytest explorer runs: pytest of .venv, its output and the driver's log in test.log.
#
# With a PCIe address among the arguments it runs as root, as the original always does.
cd "$(dirname "$0")/.." || exit
run=(.venv/bin/python -B -m pytest)
if [ "$(id -u)" != 0 ] && printf '%s\n' "$@" |
    grep -qE -- '^--pciaddr=([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$'; then
    # Nobody can type a password here.
    run=(sudo --non-interactive "${run[@]}")
fi
# The explorer reads the tests' names from stdout.
set -o pipefail
PYTHONUNBUFFERED=1 "${run[@]}" "$@" 2>test.log | tee --append test.log
exit "${PIPESTATUS[0]}"
