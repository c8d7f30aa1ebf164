#!/bin/sh
# no_openssl.sh BINARY...: fails where one names OpenSSL, or the loader would map it. Debian's
# BoringSSL is libssl.so.0, upstream's libssl.so; OpenSSL's are numbered from 1.
set -eu

openssl='lib(ssl|crypto)\.so\.[1-9]|libevent_openssl'
bad=0

if [ $# -eq 0 ]; then
	echo "usage: $0 BINARY..." >&2
	exit 2
fi
for binary; do
	needed=$(readelf -d "$binary" | grep NEEDED || true)
	# ldd exits 1 for a static binary, which maps nothing.
	mapped=$(ldd "$binary" 2>&1 || true)
	if printf '%s\n%s\n' "$needed" "$mapped" | grep -E "$openssl"; then
		echo "$binary: has OpenSSL in it" >&2
		bad=1
	fi
	if printf '%s\n' "$mapped" | grep 'not found'; then
		echo "$binary: a library is missing at run time" >&2
		bad=1
	fi
	# A static OpenSSL has no name to be found by; its own functions have.
	if nm "$binary" 2>/dev/null | grep -E ' [TtDdBb] (OSSL_PROVIDER_load|OPENSSL_version_major)$'; then
		echo "$binary: has OpenSSL linked into it" >&2
		bad=1
	fi
done
exit $bad
