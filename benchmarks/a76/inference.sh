#!/usr/bin/env bash
# Count what using a model costs a Raspberry Pi 5, 4 and 3, without one: instructions of one window
# (mobilenetv3_small and resnet, 3 × 224) in fp32 and int8, whether all boards give the same bits,
# instructions from the start of Python to the first answer, and of one second of a stream.
#     bash benchmarks/a76/inference.sh
# Needs what README.md here says, and raspitrain installed (PYTHON, else .venv's) to make the models.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"
python=${PYTHON:-$repository/.venv/bin/python}

bash "$here/root.sh" --without-packages
folder=$(mktemp -d "$root/run/inference.XXXXXX")
trap 'rm -rf "$folder"' EXIT
inside=${folder#"$root"}
cd "$repository"
"$python" -m benchmarks.a76.inference_model "$folder"
compile_plugin count "$folder"
flags=$("$python" -c 'from raspitrain.use.engine import FLAGS; print(*FLAGS)')
# shellcheck disable=SC2086
bash "$here/enter.sh" gcc ${flags/-shared/-static} -o "$inside/inference" benchmarks/a76/inference.c -lm

count() { # board, laps' file, command: what it prints; the laps' instructions go into the file
    A76_BOARD=$1 QEMU_OPTIONS="-B 0 -plugin $inside/count.so,laps=$inside/$2" \
        bash "$here/enter.sh" "${@:3}"
}
printf '%-10s %-12s %14s\n' '' board 'M instructions'
for precision in fp32 int8 graph-fp32 graph-int8; do # graph: the resnet
    for board in cortex-a76 cortex-a72 cortex-a53; do
        laps=$precision.$board
        kind=$([ "${precision#graph}" = "$precision" ] || echo graph)
        # shellcheck disable=SC2086
        count $board "$laps" "$inside/inference" "$inside/$precision.tensors" $kind \
            >"$folder/$laps.bits"
        printf '%-10s %-12s %14s\n' $precision $board \
            "$(awk 'NR == 2 { printf "%.3f", $1 / 1e6 }' "$folder/$laps")"
        cmp "$folder/$precision.cortex-a76.bits" "$folder/$laps.bits"
    done
done
echo "All boards give the same bits."

# Once to compile engine and modules, once to be counted.
start() {
    rm -f "$folder/start"
    count cortex-a76 start /usr/bin/python3 -c "$1
import os; os.getppid()"
}
start 'pass'
printf 'bare Python                 %8s M instructions\n' \
    "$(awk 'NR == 1 { printf "%.1f", $1 / 1e6 }' "$folder/start")"
for precision in fp32 int8; do
    use="from raspitrain.use import load
load('$inside/$precision.rpt').predict([[0.5] * 224] * 3)"
    start "$use" 2>/dev/null
    start "$use"
    printf 'start to first answer, %s %8s M instructions\n' $precision \
        "$(awk 'NR == 1 { printf "%.1f", $1 / 1e6 }' "$folder/start")"
done

# A stream of 6 channels at 100 Hz, a window each 10 samples: 20 seconds less 10, reading included.
for seconds in 10 10 20; do # the first to compile modules
    start "from raspitrain.use.stream import main
main(['$inside/stream.rpt', '--source', '$inside/$seconds.csv'])" >"$folder/$seconds.told" 2>&1
    cp "$folder/start" "$folder/$seconds.count"
done
cat "$folder"/{10,20}.count | awk '
    NR == 1 { first = $1 }
    END {
        second = ($1 - first) / 1e7
        printf "stream, 6 × 100 Hz, hop 10, int8 %.1f M instructions a second: ", second
        printf "%.2f %% of a core of 2.4 GHz at one a cycle\n", second / 24
    }'
