#!/bin/sh
# tidy.sh CLANG_TIDY BUILD_FOLDER: clang-tidy over the product's sources, one process a CPU.
set -eu
cd "$(dirname "$0")/../.."

tool=$1
build=$2
# The flags may be gcc's: those that clang does not know are no finding.
find conf certs proxy -name '*.c' -print0 |
	xargs -0 -r -n 1 -P "$(nproc)" "$tool" --quiet -p "$build" \
		--extra-arg=-Wno-unknown-warning-option 2>&1 |
	{ grep -v -E '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter' || true; } |
	tee "$build/tidy.log"
# xargs' own answer is lost in the pipe.
! grep -q -E '(warning|error):' "$build/tidy.log"
