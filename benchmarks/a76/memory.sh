#!/usr/bin/env bash
# Count the bytes that a training step moves on a Raspberry Pi 5, without one, and predict its time:
#     bash benchmarks/a76/memory.sh                           the tables of README.md
#     bash benchmarks/a76/memory.sh --model resnet --batch-size 16      other steps, as step.py takes them
#     THREADS=4 bash benchmarks/a76/memory.sh                 not with 1, 2 and 4 threads, as without
#     bash benchmarks/a76/memory.sh --check                   only hold the model to known traffic
# Needs what README.md here says, and llvm-mca: apt-get install llvm-19.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"
threads=${THREADS:-1 2 4}
check=
if [ "${1:-}" = --check ]; then check=--without-packages; shift; fi
[ $# -gt 0 ] || set -- --model mobilenetv3_small_blog --model mobilenetv3_large_blog

bash "$here/root.sh" $check
folder=$(mktemp -d "$root/run/memory.XXXXXX")
trap 'rm -rf "$folder"' EXIT
inside=${folder#"$root"}
gcc -O2 -shared -fPIC -fvisibility=hidden "$here/caches.c" -o "$folder/caches.so"

look() { # folder, options of the plugin, command: what it prints goes into the folder's `printed`
    mkdir "$folder/$1"
    A76_LAPS=$inside/$1/laps A76_VARIABLES=OMP_WAIT_POLICY=passive \
        QEMU_OPTIONS="-B 0 -plugin $inside/caches.so,laps=$inside/$1/laps$2" \
        bash "$here/enter.sh" "${@:3}" >"$folder/$1/printed"
}

bash "$here/enter.sh" gcc -O2 -static -pthread -o "$inside/known_traffic" benchmarks/a76/known_traffic.c
look known "" "$inside/known_traffic"
python3 "$here/known_traffic.py" "$folder/known"
[ -z "$check" ] || exit 0

step=(/venv/bin/python "$here/step.py" --network ours "$@")
look blocks ,blocks=yes "${step[@]}"
echo
head -1 "$folder/blocks/printed"
python3 "$here/pipeline.py" "$folder/costs" "$folder"/blocks/laps.*.json
runs=()
for count in $threads; do
    OMP_NUM_THREADS=$count look "$count" ",costs=$inside/costs" "${step[@]}" &
    runs+=($!)
done
for run in "${runs[@]}"; do wait "$run"; done
# shellcheck disable=SC2086
python3 "$here/predict.py" "$folder" $threads
