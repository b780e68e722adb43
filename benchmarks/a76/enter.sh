#!/usr/bin/env bash
# Run one command on the emulated board, in the checkout, which it sees at its own path:
#     bash benchmarks/a76/enter.sh /venv/bin/python -m pytest tests/test_model.py
# A76_FOLDER: one more folder to show at its own path. A76_CHECKOUT: a checkout inside the root to
# work in, in place of this one. A76_BOARD: another processor, see root.sh. A76_VARIABLES: NAME=VALUE
# for the environment, one a line. QEMU_OPTIONS: for the command's own qemu; what the command starts
# in turn runs without them. The mounts are the command's alone and end with it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
folders=()
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"

if [ "${1:-}" != --mounts-of-its-own ]; then
    # The kernel must know how to start arm64 programs; what is registered here holds until the
    # next boot.
    binfmt=/proc/sys/fs/binfmt_misc
    if ! chroot "$root" /bin/true 2>/dev/null; then
        [ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt || {
            echo "This kernel does not let arm64 programs be registered (binfmt_misc)." >&2
            exit 2
        }
        magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
        mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
        echo ":raspitrain-aarch64:M::$magic:$mask:/usr/bin/qemu-aarch64:" >$binfmt/register
    fi
    exec unshare --mount bash "$here/enter.sh" --mounts-of-its-own "$@"
fi

shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
[ -n "${A76_CHECKOUT:-}" ] || folders=("$repository")
[ -z "${A76_FOLDER:-}" ] || folders+=("$A76_FOLDER")
for folder in ${folders[@]+"${folders[@]}"}; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
mapfile -t variables <<<"${A76_VARIABLES:-A76=}"
checkout=${A76_CHECKOUT:-$repository}
read -ra qemu <<<"${QEMU_OPTIONS:+/usr/bin/qemu-aarch64 $QEMU_OPTIONS}"
# A clean environment, so that the host's settings change no count.
exec env -i PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
    QEMU_CPU="${A76_BOARD:-cortex-a76}" QEMU_LD_PREFIX="/board/${A76_BOARD:-cortex-a76}" \
    PYTHONPATH="$checkout" PYTHONPYCACHEPREFIX=/var/cache/pycache \
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" A76_LAPS="${A76_LAPS:-}" "${variables[@]}" \
    chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$checkout" "${qemu[@]}" "$@"
