#!/usr/bin/env bash
# Count the bytes that a training step moves on a Raspberry Pi 5, without one, and predict its time:
#     bash benchmarks/a76/memory.sh                           the tables of README.md
#     bash benchmarks/a76/memory.sh --model resnet --batch-size 16       other steps, see step.py
#     THREADS="1 3" bash benchmarks/a76/memory.sh             other numbers of threads than 1, 2, 4
#     bash benchmarks/a76/memory.sh --check                   the model beside known traffic, no step
# Needs what README.md here says, and llvm-mca: apt-get install llvm-19.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"
threads=${THREADS:-1 2 4}
check=
if [ "${1:-}" = --check ]; then check=--without-packages; shift; fi
models=()
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --model) models+=("$2"); shift 2 ;;
        *) options+=("$1"); shift ;;
    esac
done
[ ${#models[@]} -gt 0 ] || models=(mobilenetv3_small_blog mobilenetv3_large_blog)

[ -n "$check" ] || python3 "$here/pipeline.py" --tools
bash "$here/root.sh" $check
folder=$(mktemp -d "$root/run/memory.XXXXXX")
trap 'rm -rf "$folder"' EXIT
inside=${folder#"$root"}
compile_plugin caches "$folder"

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

step() { # model, folder, options of the plugin
    look "$2" "$3" /venv/bin/python "$here/step.py" --network ours --model "$1" ${options[@]+"${options[@]}"}
}
for model in "${models[@]}"; do
    step "$model" "$model" ,blocks=yes
    echo
    head -1 "$folder/$model/printed"
    python3 "$here/pipeline.py" "$folder/$model.costs" "$folder/$model"
    runs=()
    for count in $threads; do
        OMP_NUM_THREADS=$count step "$model" "$model.$count" ",costs=$inside/$model.costs" &
        runs+=($!)
    done
    for run in "${runs[@]}"; do wait "$run"; done
    # shellcheck disable=SC2086
    python3 "$here/predict.py" "$folder" "$model" $threads
done
python3 "$here/predict.py" --assumptions
