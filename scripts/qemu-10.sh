#!/bin/sh
# Unpack a newer QEMU from Debian's backports into qemu-10/, beside the system's own and without touching it.
#
# usage: scripts/qemu-10.sh [FOLDER]
#
# Needs a Debian stable system and apt's own sources; no root rights. Afterwards FOLDER/qemu-system-x86_64 runs it with
# the libraries and firmware that came along. Remove the folder to be rid of it.
set -eu

folder=${1:-$(dirname "$0")/../qemu-10}
. /etc/os-release
if [ "${ID:-}" != debian ] || [ -z "${VERSION_CODENAME:-}" ]; then
    echo "qemu-10.sh: this is not a Debian release; install QEMU 10 otherwise and name it in a target" >&2
    exit 1
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -x "$folder/qemu-system-x86_64" ] && "$folder/qemu-system-x86_64" --version >/dev/null 2>&1; then
    echo "qemu-10.sh: $("$folder/qemu-system-x86_64" --version | head -n 1) is there already"
    exit 0
fi

work=$folder/.apt
root=$folder/root
rm -rf "$work" "$root"
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/empty" "$root"

# The mirror that this system uses for its release: the suite NAME-backports lies beside NAME.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || keyring=
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v name="$VERSION_CODENAME" -v keyring="$keyring" '
        BEGIN { option = keyring == "" ? "" : "[signed-by=" keyring "] " }
        $2 == name && $3 == "main" && !seen[$1]++ {
            print "deb " option $1 " " name " main"
            print "deb " option $1 " " name "-backports main"
        }' >"$work/sources.list"
if ! [ -s "$work/sources.list" ]; then
    echo "qemu-10.sh: apt knows no source with $VERSION_CODENAME main; run apt-get update first" >&2
    exit 1
fi

# Its own lists and archives; of the system only the list of what is installed is read, so that just the libraries
# that are missing come along.
private() {
    apt-get -qq \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/empty" \
        -o Dir::Etc::preferencesparts="$work/empty" \
        -o Dir::State::lists="$work/lists" -o Dir::State::extended_states="$work/extended_states" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
        -o APT::Sandbox::User="" -o Debug::NoLocking=1 "$@"
}
private update
private --download-only --yes --no-install-recommends --target-release "$VERSION_CODENAME-backports" \
    -o APT::Get::List-Cleanup=0 install qemu-system-x86 </dev/null

for archive in "$work"/archives/*.deb; do
    dpkg-deb --extract "$archive" "$root"
done
rm -rf "$work"

# exec: the process id stays that of the caller's child.
cat >"$folder/qemu-system-x86_64" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
libraries=$here/root/usr/lib/x86_64-linux-gnu:$here/root/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
QEMU_MODULE_DIR=$here/root/usr/lib/x86_64-linux-gnu/qemu
export LD_LIBRARY_PATH QEMU_MODULE_DIR
exec "$here/root/usr/bin/qemu-system-x86_64" -L "$here/root/usr/share/qemu" -L "$here/root/usr/share/seabios" "$@"
WRAPPER
chmod +x "$folder/qemu-system-x86_64"
"$folder/qemu-system-x86_64" --version | head -n 1
