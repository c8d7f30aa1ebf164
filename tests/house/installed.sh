#!/bin/sh
# installed.sh BUILD READELF: installs into a folder and looks at what is there: the binary, hardened;
# its schema, manual page and service unit, all of the same prefix.
set -eu

build=$1 readelf=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
prefix=/opt/sallyport

fail() {
	echo "$1" >&2
	exit 1
}

DESTDIR=$stage cmake --install "$build" --prefix "$prefix" >/dev/null
binary=$stage$prefix/bin/sallyport
"$binary" version | grep -q '^sallyport ' || fail "the binary does not run"
"$binary" schema | cmp - "$stage$prefix/share/sallyport/sallyport.schema.json" ||
	fail "the schema is another one's"
[ -s "$stage$prefix/share/man/man8/sallyport.8" ] || fail "there is no manual page"
grep -q "^ExecStart=$prefix/bin/sallyport run " "$stage$prefix/lib/systemd/system/sallyport.service" ||
	fail "the unit does not name the binary"

"$readelf" -h "$binary" | grep -q 'Type: *DYN' || fail "no PIE"
"$readelf" -lW "$binary" | grep -q 'GNU_RELRO' || fail "no RELRO"
"$readelf" -d "$binary" | grep -q 'BIND_NOW\|FLAGS_1.*NOW' || fail "RELRO is partial"
"$readelf" -lW "$binary" | grep 'GNU_STACK' | grep -q ' RW ' || fail "the stack can be run"
"$readelf" -sW "$binary" | grep -q '__stack_chk_fail' || fail "no stack protector"
"$readelf" -sW "$binary" | grep -q '__snprintf_chk\|__memcpy_chk' || fail "no FORTIFY"
