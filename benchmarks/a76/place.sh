# Sourced by the scripts here and by tests/pi/run.sh: which Debian the emulated board has, and
# where it lies. SUITE: bookworm (Debian 12, the default) or trixie (13, today's Raspberry Pi OS).
suite=${SUITE:-bookworm}
case $suite in
    bookworm | trixie) ;;
    *) echo "SUITE must be bookworm or trixie, not $suite." >&2; exit 2 ;;
esac
cache=${RASPITRAIN_A76_ROOT:-$HOME/.cache/raspitrain-a76}
# The older one's folder has no name of its own, as it had before there were two.
[ "$suite" = bookworm ] || cache=$cache-$suite
root=$cache/root
