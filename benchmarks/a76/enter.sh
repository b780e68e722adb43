#!/usr/bin/env bash
# Run one command on the emulated board, the checkout mounted at its own path:
#     bash benchmarks/a76/enter.sh /venv/bin/python -m pytest tests/test_model.py
# QEMU_OPTIONS goes to the command's own qemu; what it starts in turn runs without them.
# The mounts are seen by this command alone and end with it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
root=${RASPITRAIN_A76_ROOT:-$HOME/.cache/raspitrain-a76}/root

# Programs that the command starts (gcc, say) find qemu through the kernel. Registered where it is
# not yet, until the next boot.
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

export root repository
exec unshare --mount bash -c '
    mount -t proc proc "$root/proc"
    for folder in /dev /sys; do mount --rbind $folder "$root$folder"; done
    for folder in "$repository" ${A76_FOLDERS:-}; do
        mkdir -p "$root$folder"
        mount --bind "$folder" "$root$folder"
    done
    command=("$@")
    if [ -n "${QEMU_OPTIONS:-}" ]; then command=(/usr/bin/qemu-aarch64 $QEMU_OPTIONS "$@"); fi
    # An environment of its own, so that the host'\''s settings change no count.
    exec env -i PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
        QEMU_CPU=cortex-a76 QEMU_LD_PREFIX=/board PYTHONPATH="$repository" PYTHONPYCACHEPREFIX=/var/cache/pycache \
        OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" A76_LAPS="${A76_LAPS:-}" \
        chroot "$root" sh -c "cd \"$repository\" && exec \"\$@\"" sh "${command[@]}"
' enter "$@"
