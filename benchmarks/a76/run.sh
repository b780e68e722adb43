#!/usr/bin/env bash
# Count the instructions that a Python file executes on an emulated Cortex-A76:
#     bash benchmarks/a76/run.sh                        the table of README.md (step.py)
#     bash benchmarks/a76/run.sh --script FILE [ARG…]   any other file
#     bash benchmarks/a76/run.sh --profile […]          … and the functions they went to
# README.md here says how a file marks what is to be counted.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"
profile=
script=$here/step.py
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=yes; shift ;;
        --script) script=$(realpath "$2"); shift 2; break ;;
        *) break ;;
    esac
done

bash "$here/root.sh"

folder=$(mktemp -d "$root/run/count.XXXXXX")
trap 'rm -rf "$folder"' EXIT
compile_plugin count "$folder"

inside=${folder#"$root"}
export A76_LAPS=$inside/laps A76_FOLDER
A76_FOLDER=$(dirname "$script")
QEMU_OPTIONS="-B 0 -plugin $inside/count.so,laps=$inside/laps${profile:+,profile=$inside/profile}" \
    bash "$here/enter.sh" /venv/bin/python "$script" "$@"
if [ ! -e "$folder/laps" ]; then
    echo "$script marked nothing to count: see benchmarks/a76/README.md." >&2
    exit 2
fi
# laps.py prints what it counts; laps of os.getppid() alone are printed here.
if [ ! -e "$folder/laps.names" ]; then
    awk 'NR > 1 { printf "lap %-36d %12.3f M instructions\n", NR - 1, $1 / 1e6 }' "$folder/laps"
fi
if [ -n "$profile" ]; then python3 "$here/functions.py" "$folder" "$root"; fi
