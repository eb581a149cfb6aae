#!/bin/bash
# Unpack the QEMUs of Debian's other suites into qemus/VERSION/, beside the system's own and without touching it.
#
# usage: scripts/qemu-all.sh [SUITE ...]
#
# Without arguments: bookworm-backports, trixie, trixie-backports and sid. A suite without a QEMU of its own is no
# error. The result of an earlier call is not replaced: remove its folder to renew it. Each QEMU brings its loader, libraries
# and firmware along, because those of a newer suite do not run on the system's C library.
#
# Needs a Debian system and its apt sources; no root rights. Remove qemus/ to uninstall all.
#
# Exit status: 0 where every suite was fetched, else 1; the other suites are installed nevertheless.
set -uo pipefail

name=qemu-all.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/qemus
[ $# -gt 0 ] || set -- bookworm-backports trixie trixie-backports sid
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

report() { echo "$name: $*"; }

failed() { # the suite, what failed; the log's first error or warning is the cause
    echo "$name: $1: $2: $(grep -m 1 '^[EW]: ' "$work/log" || tail -n 1 "$work/log")" >&2
}

# Run a command of apt with configuration, lists and archives of its own, and as if nothing was installed.
private() {
    APT_CONFIG=$work/apt.conf "$@"
}

# The folder of the QEMU that came from a suite, empty if none is there or it does not run.
present() {
    local record
    for record in "$top"/*/suites; do
        [ -e "$record" ] && grep -qx -- "$1" "$record" || continue
        "${record%/suites}/qemu-system-x86_64" --version > "$work/version" 2>&1 && echo "${record%/suites}" && return
    done
}

# This system's mirrors of its own release, with the suites given: Debian keeps all suites side by side.
sources() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || keyring=
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v own="$codename" -v suites="$*" -v option="${keyring:+[signed-by=$keyring] }" '
            $2 == own && $3 == "main" && !seen[$1]++ {
                count = split(suites, names, " ")
                for (i = 1; i <= count; i++) print "deb " option $1 " " names[i] " main"
            }'
}

# exec: the process id stays that of the caller's child.
wrapper() {
    cat << 'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/root/usr
libraries=$here/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu
export QEMU_MODULE_DIR
exec "$libraries/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 --library-path "$libraries:$here/lib" \
    "$here/bin/qemu-system-x86_64" -L "$here/share/qemu" -L "$here/share/seabios" "$@"
WRAPPER
}

# The releases differ in whether a package has /lib or /usr/lib: here both are one folder.
unpack() {
    local root=$work/new/root archive
    mkdir -p "$root/usr/lib" "$root/usr/lib64" && ln -s usr/lib usr/lib64 "$root/" || return 1
    for archive in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$archive" |
            tar --extract --keep-directory-symlink --no-same-owner --directory "$root" || return 1
    done
    wrapper > "$work/new/qemu-system-x86_64" && chmod +x "$work/new/qemu-system-x86_64"
}

# Fetch and unpack one suite's QEMU.
bring() {
    local suite=$1 folder version
    folder=$(present "$suite")
    if [ -n "$folder" ]; then
        report "$suite: QEMU ${folder##*/} is there already"
        return 0
    fi
    rm -rf "$work" && mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/empty" || return 1
    : > "$work/status"
    cat > "$work/apt.conf" << CONFIGURATION
quiet "2";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
APT::Get::List-Cleanup "0";
Acquire::Languages "none";
Acquire::Retries "2";
Debug::NoLocking "1";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/empty";
Dir::Etc::preferencesparts "$work/empty";
Dir::State::status "$work/status";
Dir::State::lists "$work/lists";
Dir::State::extended_states "$work/extended_states";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
CONFIGURATION
    # Backports are built against their release and need its libraries.
    case $suite in
        *-backports) sources "${suite%-backports}" "$suite" ;;
        *) sources "$suite" ;;
    esac > "$work/sources.list"
    if ! [ -s "$work/sources.list" ]; then
        : > "$work/log"
        failed "$suite" "apt has no source of $codename main. To fix: apt-get update"
        return 1
    fi
    if ! private apt-get update > "$work/log" 2>&1; then
        failed "$suite" "its package lists cannot be fetched"
        return 1
    fi
    if ! private apt-cache madison qemu-system-x86 2> "$work/log" | grep " $suite/main " > /dev/null; then
        report "$suite: has no QEMU of its own"
        return 0
    fi
    if ! private apt-get --download-only --yes --no-install-recommends --target-release "$suite" install qemu-system-x86 \
        > "$work/log" 2>&1 < /dev/null; then
        failed "$suite" "QEMU cannot be fetched"
        return 1
    fi
    if ! unpack > "$work/log" 2>&1; then
        failed "$suite" "its packages cannot be unpacked"
        return 1
    fi
    if ! "$work/new/qemu-system-x86_64" --version > "$work/log" 2>&1; then
        failed "$suite" "its QEMU does not run here"
        return 1
    fi
    version=$(sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p' "$work/log")
    echo "$suite" >> "$work/new/suites"
    if [ -e "$top/$version/suites" ]; then
        echo "$suite" >> "$top/$version/suites"
    else
        rm -rf "${top:?}/$version"
        mv "$work/new" "$top/$version" || return 1
    fi
    report "$suite: QEMU $version"
}

codename=$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}")
if [ -z "$codename" ]; then
    report "this is no Debian release. To fix: install other QEMUs otherwise and name them with --qemu" >&2
    exit 1
fi
mkdir -p "$top" && work=$(mktemp -d "$top/.work.XXXXXX") || exit 1
status=0
for suite in "$@"; do
    bring "$suite" || status=1
done
exit $status
