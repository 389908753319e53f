#!/usr/bin/env bash
# fresh_root.sh REPO COMMAND...: runs COMMAND in a clean clone of REPO on a bare Debian 12, as root.
# Bare means debootstrap's minimal variant with git and ca-certificates. It shows that ./dev does all of its set-up itself.
# Needs root and debootstrap. The machine's own apt, pip and certificate settings go along, since another registry may not be reachable.
# FRESH_ROOT=DIR   keeps the system in DIR and uses it again (with what earlier commands installed); otherwise it is removed afterwards.
# FRESH_BARE=DIR   keeps a copy of the bare system there, so that the next fresh one takes seconds.
set -euo pipefail

die() {
  echo "fresh_root: $*" >&2
  exit 1
}

[ $# -ge 2 ] || die "usage: fresh_root.sh REPO COMMAND..."
[ "$(id -u)" = 0 ] || die "needs root, for debootstrap and chroot"
command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"

repository=$1
shift
root=${FRESH_ROOT:-}
[ -n "$root" ] || root=$(mktemp -d)

# The first address of a Debian mirror in apt's settings, in either of their two formats.
mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    awk '/^URIs:/ { print $2 } $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\//) print $i }' | sed -n 1p
}

# settle PATH: the machine's own file or folder at the same place in the new system.
settle() {
  [ -e "$1" ] || return 0
  mkdir -p "$2$(dirname "$1")"
  rm -rf "${2:?}$1"
  cp -aL "$1" "$2$1"
}

make_bare() {
  local target=$1 item address
  address=$(mirror)
  debootstrap --variant=minbase --include=ca-certificates,git bookworm "$target" ${address:+"$address"} >"$target.log" 2>&1 ||
    die "debootstrap failed; see $target.log"
  rm -f "$target.log" "$target/etc/apt/sources.list"
  for item in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/trusted.gpg.d \
    /etc/pip.conf /root/.config/pip /etc/resolv.conf /etc/hosts /etc/ssl/certs /usr/local/share/ca-certificates; do
    settle "$item" "$target"
  done
}

tidy_up() { [ -n "${FRESH_ROOT:-}" ] || rm -rf --one-file-system "$root"; }
trap tidy_up EXIT

if [ ! -x "$root/usr/bin/git" ]; then
  mkdir -p "$root"
  if [ -n "${FRESH_BARE:-}" ]; then
    [ -x "$FRESH_BARE/usr/bin/git" ] || make_bare "$FRESH_BARE"
    cp -a "$FRESH_BARE/." "$root/"
  else
    make_bare "$root"
  fi
fi

[ ! -d "$root/root/clone/build" ] || echo "fresh_root: the earlier clone's build folder goes with it" >&2
rm -rf "$root/root/clone"
git clone --quiet --no-hardlinks "$repository" "$root/root/clone"
git -C "$root/root/clone" remote remove origin

# Only settings of the registries, of proxies and of certificates pass; everything else of this shell stays out.
mapfile -t passed < <(env | grep -E '^(PIP_[A-Z_]+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(https?|no)_proxy|(HTTPS?|NO)_PROXY)=' || true)
# A mount namespace of its own: whatever is mounted below, by this or by the command, goes when the command's last process does.
# shellcheck disable=SC2016 # the inner shell expands them
env -i "${passed[@]}" HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  unshare --mount --propagation private /bin/bash -c '
    root=$1
    shift
    for place in proc sys dev; do mount --rbind "/$place" "$root/$place" || exit; done
    exec chroot "$root" /bin/bash -c "cd /root/clone && eval \"\$*\"" fresh "$@"' fresh_root "$root" "$@"
