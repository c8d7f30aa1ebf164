#!/bin/bash
# run.sh [--quick]: installs what the tests need and is missing, then builds and runs everything:
# release, debug, ASan and UBSan, TSan, and each fuzz target for a short while. --quick: release
# only. A phase that fails does not stop the next; the last lines say how each went.
#
# FUZZ_SECONDS (12) is the time for each fuzz target.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "${1-}" in
'') ;;
--quick) quick=true ;;
*)
	echo "usage: $0 [--quick]" >&2
	exit 2
	;;
esac

packages=(
	# to build
	gcc libc6-dev clang cmake ninja-build pkg-config binutils
	android-libboringssl-dev libjansson-dev libevent-dev libnghttp2-dev libseccomp-dev libc-ares-dev
	# to test
	libcriterion-dev clang-format clang-tidy libclang-rt-dev
	python3 python3-pytest python3-pytest-rerunfailures python3-pytest-xdist
	python3-cryptography python3-jsonschema
	python3-hyperframe python3-hpack python3-grpcio python3-dnslib
	curl openssl ca-certificates procps
	# to talk to
	nginx-light libnginx-mod-stream haproxy hitch nghttp2-client nghttp2-proxy wrk)
# Those that bring a service, and its name.
servers=(nginx:nginx haproxy:haproxy hitch:hitch nghttp2-proxy:nghttpx)
# The parser of HTTP/1 is a library from Debian 13 on; before, its sources lie in another package.
if [ "$(. /etc/os-release && echo "${VERSION_ID:-13}")" = 12 ]; then
	packages+=(node-llhttp)
else
	packages+=(libllhttp-dev)
fi

# A system that was just unpacked may lack even this.
name_this_host() {
	getent hosts localhost >/dev/null ||
		echo '127.0.0.1 localhost' | "${sudo[@]}" tee -a /etc/hosts >/dev/null
}

scratch=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
policy_is_ours=false
cleanup() {
	rm -rf "$scratch"
	if $policy_is_ours; then
		"${sudo[@]}" rm -f "$policy"
	fi
}
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

install_missing() {
	local missing=() fresh=() package server
	for package in "${packages[@]}"; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	for server in "${servers[@]}"; do
		is_installed "${server%:*}" || fresh+=("${server#*:}")
	done
	# Packages of servers start them, unless this file says no. One that is there stays.
	if [ ! -e "$policy" ]; then
		policy_is_ours=true
		printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
		"${sudo[@]}" chmod 755 "$policy"
	fi
	echo "installing ${missing[*]}"
	"${sudo[@]}" apt-get update -q
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
	# Nor shall those that came with us start with the machine.
	for server in "${fresh[@]}"; do
		if command -v systemctl >/dev/null; then
			"${sudo[@]}" systemctl disable --quiet "$server.service" 2>/dev/null || true
		elif command -v update-rc.d >/dev/null; then
			"${sudo[@]}" update-rc.d "$server" disable 2>/dev/null || true
		fi
	done
	if $policy_is_ours; then
		"${sudo[@]}" rm -f "$policy"
		policy_is_ours=false
	fi
}

# Sanitizers of this age die where the kernel places memory more freely than they know.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then
	fixed_addresses=(setarch "$(uname -m)" -R)
fi

summary=()
failed=0
jobs=$(nproc)

# phase NAME COMMAND...: runs it, and keeps what it said last.
phase() {
	local name=$1 start=$SECONDS log="$scratch/log" status=0 counts word=ok
	shift
	echo
	echo "==== $name"
	# Not in an `if`: that would switch -e off inside.
	set +e
	(
		set -e
		"$@"
	) 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	set -e
	counts=$(sed -n -E 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+).*/\2 \1/p' \
		"$log" | awk '{ run += $1; bad += $2 } END { if (NR) printf "%d passed, %d failed", run - bad, bad }')
	if [ "$status" -ne 0 ]; then
		word=FAILED
		failed=$((failed + 1))
	fi
	summary+=("$(printf '%-16s %-6s %5d s  %s' "$name" "$word" $((SECONDS - start)) "$counts")")
	echo "==== $name: $word in $((SECONDS - start)) s"
}

build() {
	local generator=()
	# A build folder keeps the generator that it was made with.
	[ -e "build/$1/CMakeCache.txt" ] || generator=(-G Ninja)
	cmake --preset "$1" "${generator[@]}" -DBUILD_TESTING=ON
	cmake --build --preset "$1" -j "$jobs"
}

# build_and_test PRESET CTEST_FLAGS...
build_and_test() {
	local preset=$1
	shift
	build "$preset"
	ctest --preset "$preset" -j "$jobs" "$@"
}

sanitized() {
	local preset=$1
	shift
	build "$preset"
	"${fixed_addresses[@]}" ctest --preset "$preset" -j "$jobs" "$@"
}

fuzz() {
	local target name
	sanitized fuzz -L replay
	for target in build/fuzz/tests/fuzz_*; do
		[ -x "$target" ] || continue
		name=${target##*/fuzz_}
		mkdir -p "$scratch/fuzz/$name"
		printf '%s\0' "$name"
	done >"$scratch/targets"
	if [ ! -s "$scratch/targets" ]; then
		echo "no fuzz target was built" >&2
		return 1
	fi
	# New finds go to the first folder, so that the seeds stay what was reviewed.
	export scratch FUZZ_SECONDS="${FUZZ_SECONDS:-12}"
	# shellcheck disable=SC2016 # for the inner shell
	xargs -0 -n 1 -P "$jobs" "${fixed_addresses[@]}" bash -c '
		name=$0
		log="$scratch/fuzz/$name.log"
		if "build/fuzz/tests/fuzz_$name" -max_total_time="$FUZZ_SECONDS" -timeout=10 \
			-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
			"$scratch/fuzz/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
			echo "fuzz_$name: $(sed -n "s/^stat::number_of_executed_units: //p" "$log") runs, clean"
		else
			tail -n 60 "$log"
			echo "fuzz_$name: failed; what did it is kept in build/fuzz/$name-*"
			exit 1
		fi' <"$scratch/targets"
}

# Not as a phase: those run in a shell of their own, and this one has something to tidy up.
install_missing
name_this_host
phase release build_and_test release
if ! $quick; then
	phase debug-clang build_and_test debug-clang -L 'unit|replay'
	phase asan sanitized asan -LE static
	phase tsan sanitized tsan -L race
	phase fuzz fuzz
fi

echo
echo "==== summary, $SECONDS s"
printf '%s\n' "${summary[@]}"
if [ "$failed" -gt 0 ]; then
	echo "$failed of ${#summary[@]} phases failed"
	exit 1
fi
echo "all ${#summary[@]} phases passed"
