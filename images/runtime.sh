#!/bin/sh
# The root of an image that holds Python 3.11 and what it links to, and neither a shell nor a
# package manager: `runtime.sh FOLDER`, on Debian 12. Debian's packages are unpacked as they are,
# so that their updates come with the next build; their names and versions are kept where scanners
# look for them.
set -eu
root=$1
packages="base-files ca-certificates media-types netbase
  libbz2-1.0 libc6 libcrypt1 libexpat1 libffi8 libgcc-s1 liblzma5 libsqlite3-0 libssl3 libstdc++6
  libuuid1 zlib1g
  libpython3.11-minimal libpython3.11-stdlib python3.11-minimal"

mkdir -p "$root/var/lib/dpkg/status.d" "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
archives=$(mktemp -d)
cd "$archives"
apt-get -o APT::Sandbox::User=root download $packages
for archive in *.deb; do
  dpkg-deb --extract "$archive" "$root"
  dpkg-deb --field "$archive" > "$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$archive" Package)"
done
rm -rf "$archives"

# Character sets that only C's iconv reads, and texts for people.
rm -rf "$root"/usr/lib/*/gconv "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/lintian
# What the packages' scripts would have made.
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' \
  > "$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
ldconfig -r "$root"
