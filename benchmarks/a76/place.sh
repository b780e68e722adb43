# Sourced by the scripts here and by tests/pi/run.sh: which Debian the emulated board has, where it
# lies, and how a plugin for its qemu is compiled. SUITE: bookworm (Debian 12, the default) or trixie (13,
# today's Raspberry Pi OS).
suite=${SUITE:-bookworm}
case $suite in
    bookworm | trixie) ;;
    *) echo "SUITE must be bookworm or trixie, not $suite." >&2; exit 2 ;;
esac
cache=${RASPITRAIN_A76_ROOT:-$HOME/.cache/raspitrain-a76}
# The older one's folder has no name of its own, as it had before there were two.
[ "$suite" = bookworm ] || cache=$cache-$suite
root=$cache/root

compile_plugin() { # name, folder
    gcc -O2 -shared -fPIC -fvisibility=hidden "$(dirname "${BASH_SOURCE[0]}")/$1.c" -o "$2/$1.so"
}
