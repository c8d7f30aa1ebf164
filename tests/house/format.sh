#!/bin/sh
# format.sh CLANG_FORMAT [FILE...]: fails where a file is not laid out as .clang-format says.
# `format.sh clang-format -i` repairs instead.
set -eu
cd "$(dirname "$0")/../.."

tool=$1
mode='--dry-run --Werror'
if [ "${2-}" = -i ]; then
	mode=-i
fi

# Versions differ in small things; one of them decides, the one of Debian 12.
wanted=14
version=$("$tool" --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "$version" != "$wanted" ]; then
	echo "skipped: clang-format $wanted decides, this is $version"
	exit 77
fi
# shellcheck disable=SC2086 # two words on purpose
find conf certs proxy tests -name '*.[ch]' -print0 | xargs -0 -r "$tool" $mode
