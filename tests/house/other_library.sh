#!/bin/sh
# other_library.sh SOURCE INCLUDE SSL_LIBRARY CRYPTO_LIBRARY GENERATOR: whether another prefix is taken
# (-DBORINGSSL_ROOT), and what is no BoringSSL refused. The other library is the one that is there,
# under a prefix of its own.
set -eu

source=$1 include=$2 ssl=$3 crypto=$4 generator=$5
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "$1" >&2
	tail -n 20 "$scratch/said" >&2
	exit 1
}

configure() { # PREFIX BUILD
	cmake -S "$source" -B "$scratch/$2" -G "$generator" -DBUILD_TESTING=OFF \
		-DBORINGSSL_ROOT="$1" >"$scratch/said" 2>&1
}

mkdir -p "$scratch/prefix/include" "$scratch/prefix/lib" "$scratch/openssl/include/openssl"
ln -s "$include/openssl" "$scratch/prefix/include/openssl"
for library in "$ssl" "$crypto"; do
	ln -s "$library" "$scratch/prefix/lib/$(basename "$library")"
done
configure "$scratch/prefix" build || fail "another prefix is not taken"
grep -q "TLS library: .* $scratch/prefix/lib/" "$scratch/said" || fail "another library is taken"
grep -q 'Looking for SSL_get_group_id' "$scratch/said" || fail "features were not probed"
cmake --build "$scratch/build" --target certs >"$scratch/said" 2>&1 || fail "it cannot be built with"

configure "$scratch/nowhere" none && fail "a prefix without a library is taken"
grep -q 'BORINGSSL_ROOT=PREFIX' "$scratch/said" || fail "what to do is not said"

echo '#define OPENSSL_VERSION_MAJOR 3' >"$scratch/openssl/include/openssl/ssl.h"
configure "$scratch/openssl" other && fail "OpenSSL is taken"
grep -q 'belongs to OpenSSL' "$scratch/said" || fail "what is wrong is not said"
