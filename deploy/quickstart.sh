#!/bin/bash
# quickstart.sh [FLAGS OF sallyport demo]: from a bare Debian to a proxy to curl at: installs
# what is missing, builds release, and runs the demo in the foreground (127.0.0.1:8443 unless
# --listen says otherwise; ctrl-c ends it).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(gcc libc6-dev cmake ninja-build pkg-config
	android-libboringssl-dev libjansson-dev libevent-dev libnghttp2-dev libseccomp-dev
	libc-ares-dev)
# The parser of HTTP/1 is a library from Debian 13 on; before, its sources lie in another package.
if [ "$(. /etc/os-release && echo "${VERSION_ID:-13}")" = 12 ]; then
	packages+=(node-llhttp)
else
	packages+=(libllhttp-dev)
fi

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	sudo=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "quickstart: as root, install: ${missing[*]}" >&2
			exit 1
		}
		sudo=(sudo)
	fi
	echo "quickstart: installing ${missing[*]}" >&2
	"${sudo[@]}" apt-get update -q
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
fi

# A build folder keeps the generator that it was made with.
generator=()
[ -e build/release/CMakeCache.txt ] || generator=(-G Ninja)
cmake --preset release "${generator[@]}" -DBUILD_TESTING=OFF >&2
cmake --build --preset release >&2

exec build/release/sallyport demo "$@"
