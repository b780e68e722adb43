#!/usr/bin/env bash
# raspitrain on the Raspberry Pi's own instruction set, without a Raspberry Pi:
#     make test-pi                  or: bash tests/pi/run.sh [OTHER TESTS]
#     make test-pi SUITE=trixie     Debian 13 in place of 12
# An arm64 Debian under qemu (benchmarks/a76/root.sh makes it) gets a copy of this checkout,
# installs it with its own pip as a Pi 5 would, runs the tests of taken.txt, then shortened runs of
# the real command, and one step each as on a Pi 4 and on a Pi 3 or Zero 2 W.
# Needs root on an x86-64 Linux, and apt-get install debootstrap gcc python3-pip. Emulated
# arithmetic is a hundred times slower than a board's, so no time here says anything about a Pi.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$repository/benchmarks/a76/place.sh"
workers=${WORKERS:-$(nproc)}
begun=$SECONDS
failed=()

say() { printf '\n== %s (%d:%02d)\n' "$1" $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60)); }

say "The root: Debian ($suite) for arm64"
bash "$repository/benchmarks/a76/root.sh" --without-packages

say "A copy of the checkout, as git would commit it"
rm -rf "$root/raspitrain"
mkdir "$root/raspitrain"
git -C "$repository" ls-files -z --cached --others --exclude-standard |
    tar -C "$repository" --null --files-from=- --ignore-failed-read -c |
    tar -C "$root/raspitrain" -x

# The board's pip asks the index that this machine's pip asks, and trusts whom it trusts.
cp -L /etc/resolv.conf "$root/etc/"
variables='PATH=/pi/bin:/usr/sbin:/usr/bin:/sbin:/bin
PYTHONPYCACHEPREFIX=
PIP_DISABLE_PIP_VERSION_CHECK=1
PIP_ROOT_USER_ACTION=ignore
PIP_CACHE_DIR=/var/cache/pip'
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_DEFAULT_TIMEOUT PIP_CERT; do
    [ -z "${!name:-}" ] || variables+=$'\n'$name=${!name}
done
if [ -n "${PIP_CERT:-}" ]; then install -D "$PIP_CERT" "$root$PIP_CERT"; fi

board() { # what to run on the Pi 5, with SOME=VARIABLE first if need be
    A76_CHECKOUT=/raspitrain A76_VARIABLES=$variables${WITH:+$'\n'$WITH} \
        bash "$repository/benchmarks/a76/enter.sh" "$@"
}
check() { # what is checked, command; its output is shown if it fails
    local name=$1 begin=$SECONDS
    shift
    if "$@" >"$root/tmp/check" 2>&1; then
        printf 'ok       %4d s  %s\n' $((SECONDS - begin)) "$name"
    else
        printf 'FAILED   %4d s  %s\n' $((SECONDS - begin)) "$name"
        sed 's/^/    /' "$root/tmp/check"
        failed+=("$name")
    fi
}
megabytes() { du -sm --apparent-size "$root/pi/lib" | cut -f1; }

say "What the board's own pip resolves and installs"
[ -e "$root/pi/bin/pip" ] || board python3 -m venv /pi
if ! cmp -s "$root/raspitrain/constraints.txt" "$root/pi/constraints.txt"; then
    rm -rf "$root/pi"
    board python3 -m venv /pi
    empty=$(megabytes)
    # Bytecode is left to this machine, if it has the same Python: there it takes a minute.
    board pip install --quiet --no-compile -c constraints.txt -e .
    python=$(basename "$root"/pi/lib/python3.*)
    if "$python" --version >/dev/null 2>&1; then
        "$python" -m compileall -q -j 0 -s "$root" "$root/pi/lib" >/dev/null || true
    fi
    echo "$(($(megabytes) - empty))" >"$root/pi/megabytes"
    # What the tests import, without linters and exporters.
    board pip install --quiet --no-compile -c constraints.txt -e '.[ucr]' \
        hypothesis pytest pytest-xdist scikit-learn optuna
    cp "$root/raspitrain/constraints.txt" "$root/pi/"
fi
board pip check || failed+=("pip check")
board pip list --format=freeze | grep -E '^(torch|numpy|matplotlib|hydra-core|omegaconf)='
echo "installed size of the core set, bytecode included: $(cat "$root/pi/megabytes") MB"
torch_megabytes=$(du -smc --apparent-size "$root"/pi/lib/python3*/site-packages/torch* | tail -1 | cut -f1)
echo "of that torch: $torch_megabytes MB"

say "The tests of what a processor decides"
list_of() { sed -nE "s/^(tests[^ ]*).*/$2\\1/p" "$here/$1"; }
mapfile -t taken < <(list_of taken.txt "")
mapfile -t left_out < <(list_of left_out.txt --deselect=)
WITH='RASPITRAIN_TEST_PATIENCE=10' board python -m pytest -n "$workers" "${left_out[@]}" \
    "${@:-${taken[@]}}" || failed+=(tests)

say "The real command, shortened"
small='dataset.num_cases=60 dataset.length=64 batch_size=16'
# shellcheck disable=SC2086
{
    check "the first command of the README" board python -m raspitrain \
        model=mobilenetv3_large optimizer=sgd $small epochs=2 hydra.run.dir=outputs/large
    check "a run that is killed in the middle" board sh -c "
        python -m raspitrain $small epochs=8 checkpoint_minutes=0 hydra.run.dir=outputs/cut &
        until grep -qs . outputs/cut/metrics.csv; do kill -0 \$! || exit; sleep 1; done
        kill -9 \$! && ! [ -e outputs/cut/summary.json ]"
    check "... and goes on" board python -m raspitrain resume=outputs/cut
    check "a sweep of two jobs" board python -m raspitrain --multirun ${small% *} epochs=1 \
        batch_size=15,30 hydra.sweep.dir=outputs/sweep
    check "its report" board python -m raspitrain.report outputs/sweep
    check "a run's report" board python -m raspitrain.report outputs/large
    check "the doctor, which warns of what a chroot lacks" board sh -c '
        python -m raspitrain.doctor; [ $? -le 1 ]'
}

say "One step on the older boards"
for processor in cortex-a72 cortex-a53; do
    # shellcheck disable=SC2086
    A76_BOARD=$processor check "import and steps on a $processor" \
        board python -m raspitrain $small epochs=1 hydra.run.dir=outputs/$processor
done

say "A model at work, with neither torch nor numpy"
use='set -e
    /usr/bin/python3 -c "import math
print(\"channel_0,channel_1,channel_2\")
for k in range(400): print(math.sin(k / 5), math.cos(k / 7), math.sin(k / 3), sep=\",\")" \
        >outputs/signal.csv
    for command in "import torch" "import numpy"; do ! /usr/bin/python3 -c "$command" 2>&1; done
    /usr/bin/python3 -m raspitrain predict outputs/large outputs/signal.csv \
        --hop 16 --format ndjson >outputs/predict
    /usr/bin/python3 -m raspitrain stream outputs/large --hop 16 --scores \
        <outputs/signal.csv >outputs/stream.$0
    [ $(grep -c "\"event\": \"window\"" outputs/stream.$0) = $(wc -l <outputs/predict) ]
    cmp outputs/stream.cortex-a76 outputs/stream.$0
    /usr/bin/python3 -m raspitrain check outputs/large'
for processor in cortex-a76 cortex-a72 cortex-a53; do
    A76_BOARD=$processor check "predict, stream and check on a $processor" \
        board sh -c "$use" $processor
done

say "Done"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'did not work: %s\n' "${failed[@]}"
    exit 1
fi
echo "all of it works"
