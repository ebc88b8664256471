#!/bin/sh
# Makes the root of the image from Debian's packages: Python, what it stands on, and nothing else.
#
#   make_root.sh FOLDER
#
# No shell, no package manager, no set-user-id program. What each package is stays in
# /var/lib/dpkg/status.d, one file each, where scanners of images look.
set -eu
root=$1

# Below: what the modules of Python load that the service or its libraries import (libffi8: ctypes,
# libssl3: ssl, libsqlite3-0: the jobs), then what compiled packages of Python link to.
packages="base-files netbase
    python3.11-minimal libpython3.11-minimal libpython3.11-stdlib
    libbz2-1.0 libcrypt1 libexpat1 libffi8 liblzma5 libsqlite3-0 libssl3 libuuid1 zlib1g
    libc6 gcc-12-base libgcc-s1 libstdc++6"

mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/var/lib/dpkg/status.d"
for name in bin sbin lib lib64; do
    ln -s "usr/$name" "$root/$name"
done

download=$(mktemp -d)
cd "$download"
# shellcheck disable=SC2086
apt-get -o APT::Sandbox::User=root download $packages
for file in *.deb; do
    dpkg-deb --fsys-tarfile "$file" | tar --extract --keep-directory-symlink --directory "$root"
    dpkg-deb --field "$file" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$file" Package)"
done
rm -r "$download"

# Documents but the licences, translations, tables of character sets of the C library, and menus.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root/usr/share/man" "$root/usr/share/info" "$root/usr/share/lintian" "$root/usr/share/locale" \
    "$root/usr/share/applications" "$root/usr/share/pixmaps" "$root/usr/share/bug"
find "$root/usr/lib" -type d -name gconv -prune -exec rm -r {} +
# Folders that everybody or a group may write to, and others that nothing here uses.
find "$root/var" "$root/run" -mindepth 1 -maxdepth 1 ! -name lib -exec rm -r {} +
# Of Python: what builds, teaches and draws.
rm -rf "$root"/usr/lib/python3.11/lib2to3 "$root"/usr/lib/python3.11/pydoc_data

ln -s python3.11 "$root/usr/bin/python3"
ln -s python3.11 "$root/usr/bin/python"
mkdir -p "$root/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf '%s\n' 'root:x:0:0:root:/:/none' 'expofuse:x:10001:10001::/tmp:/none' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'expofuse:x:10001:' >"$root/etc/group"
mkdir -p "$root/tmp" "$root/dev" "$root/proc" "$root/sys"
chmod 1777 "$root/tmp"
