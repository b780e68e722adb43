#!/usr/bin/env bash
# Make the emulated board's root once: Debian for arm64 with its own gcc, the qemu that runs it, and
# /venv with the aarch64 wheels of constraints.txt. Needs root on an x86-64 Debian, and
#     apt-get install debootstrap gcc python3-pip
#     bash benchmarks/a76/root.sh                 Debian 12
#     SUITE=trixie bash benchmarks/a76/root.sh    Debian 13
# It lives outside the tree, in RASPITRAIN_A76_ROOT (else ~/.cache/raspitrain-a76), 1.7 GB; Debian
# 13 in a folder of that name with -trixie. Debian's packages come from where this machine's own
# apt gets them, or from RASPITRAIN_DEBIAN=URL on a machine that is no Debian.
# Called again it only looks whether something is missing. --without-packages leaves /venv empty.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=benchmarks/a76/place.sh
. "$here/place.sh"

fail() { echo "$1" >&2; exit 2; }

[ "$(id -u)" = 0 ] || fail "benchmarks/a76 changes root and mounts, so it must run as root."
for command in 'debootstrap --version' 'gcc --version' 'python3 -m pip --version'; do
    $command >/dev/null 2>&1 || fail \
        "'$command' does not run: apt-get install debootstrap gcc python3-pip"
done

mkdir -p "$cache"
exec 9>"$cache/lock" # a second caller waits until the first has made it
flock 9

# debootstrap chooses and fetches; the packages are only unpacked. Their own scripts, run under
# emulation, would take ten minutes and change nothing for compiling and for Python.
if [ ! -e "$root/.debian" ]; then
    mirror=${RASPITRAIN_DEBIAN:-$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' \
        'Created-By: Packages' 2>/dev/null | awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}')}
    [ -n "$mirror" ] || fail \
        "apt on this machine knows no mirror of Debian (after apt-get update): give RASPITRAIN_DEBIAN=URL."
    debian() { # architecture, folder, packages, suite
        rm -rf "$2"
        debootstrap --foreign --variant=minbase --arch="$1" --include="$3" "$4" "$2" "$mirror"
        for package in "$2"/var/cache/apt/archives/*.deb; do
            dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$2"
            rm "$package"
        done
    }
    debian arm64 "$root" python3,python3-venv,gcc,libc6-dev,binutils "$suite"
    # In a container debootstrap leaves a link to the host's /proc.
    rm -rf "$root/proc"
    mkdir "$root/proc"
    ln -sf gcc "$root/usr/bin/cc"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"

    # Debian 12's qemu on every host: later ones are built without plugins. The kernel starts it
    # inside the root, so its libraries go there too; those of amd64 have folders of their own.
    debian amd64 "$cache/amd64" qemu-user bookworm
    cp "$cache/amd64/usr/bin/qemu-aarch64" "$root/usr/bin/"
    cp -a "$cache/amd64/usr/lib/x86_64-linux-gnu" "$root/usr/lib/"
    cp -a "$cache/amd64/usr/lib64" "$root/usr/"
    ln -s usr/lib64 "$root/lib64"
    rm -rf "$cache/amd64"

    bash "$here/enter.sh" python3 -m venv --without-pip /venv
    touch "$root/.debian"
fi

# What the libraries that choose kernels by the processor read of a Raspberry Pi 5 (A76), 4 (A72)
# and 3 or Zero 2 W (A53). qemu looks for every file under its QEMU_LD_PREFIX first, and would show
# the host's processor otherwise.
board() { # name, part, revision, features, level 2 cache, level 3 cache
    local cpus=$root/board/$1/sys/devices/system/cpu part=$2 revision=$3 features=$4 two=$5 three=$6
    mkdir -p "$root/board/$1/proc" "$cpus"
    echo 0-3 | tee "$cpus/possible" "$cpus/present" >"$cpus/online"
    echo 3 >"$cpus/kernel_max"
    for cpu in 0 1 2 3; do
        printf '%s\n' "processor	: $cpu" 'BogoMIPS	: 108.00' "Features	: $features" \
            'CPU implementer	: 0x41' 'CPU architecture: 8' "CPU variant	: 0x${revision%p*}" \
            "CPU part	: 0x$part" "CPU revision	: ${revision#*p}" '' \
            >>"$root/board/$1/proc/cpuinfo"
        mkdir -p "$cpus/cpu$cpu/regs/identification"
        echo "0x0000000041${revision%p*}f$part${revision#*p}" \
            >"$cpus/cpu$cpu/regs/identification/midr_el1"
        while read -r index level type size shared; do
            [ -n "$size" ] || continue
            mkdir -p "$cpus/cpu$cpu/cache/index$index"
            cd "$cpus/cpu$cpu/cache/index$index"
            echo "$level" >level
            echo "$type" >type
            echo "$size" >size
            echo "$shared" >shared_cpu_list
            echo 64 >coherency_line_size
        done <<END
0 1 Data ${7:-32K} $cpu
1 1 Instruction ${8:-32K} $cpu
2 2 Unified $two $([ -n "$three" ] && echo $cpu || echo 0-3)
${three:+3 3 Unified $three 0-3}
END
    done
}
if [ ! -e "$root/board/cortex-a53" ]; then
    rm -rf "$root/board"
    board cortex-a76 d0b 4p1 \
        'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp' \
        512K 2048K 64K 64K
    board cortex-a72 d08 0p3 'fp asimd evtstrm crc32 cpuid' 1024K '' 32K 48K
    board cortex-a53 d03 0p4 'fp asimd evtstrm crc32 cpuid' 512K ''
fi

[ "${1:-}" != --without-packages ] || exit 0

# pip on the host fetches and unpacks the board's wheels in a fraction of the emulated time. It
# would judge the markers in constraints.txt, and torch's own requirements, by the host: so the
# board's torch is picked here, and the list is installed as it is.
wanted=$(sed -nE "/^#/d; s/^(torch==[^;]*);.*machine == 'aarch64'.*/\1/; /;/d; p" \
    "$here/../../constraints.txt")
if [ "$wanted" != "$(cat "$root/.packages" 2>/dev/null)" ]; then
    site=$(echo "$root"/venv/lib/python3.*/site-packages)
    python=${site#"$root/venv/lib/python"}
    python=${python%/*}
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    export PIP_ROOT_USER_ACTION=ignore
    # The only one without a wheel on PyPI; it is plain Python, so any machine can make it.
    python3 -m pip wheel --quiet --no-deps --wheel-dir "$wheels" \
        "$(grep antlr4-python3-runtime <<<"$wanted")"
    rm -rf "$site"
    python3 -m pip install --quiet --no-compile --no-deps --target "$site" \
        --only-binary=:all: --find-links "$wheels" --implementation cp --python-version "$python" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        -r <(echo "$wanted")
    echo "$wanted" >"$root/.packages"
fi
