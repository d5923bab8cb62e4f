#!/usr/bin/env bash
# run.sh [SECONDS [NAME...]] - libFuzzer with the address and undefined-behaviour sanitizers on every fuzz_*.c (or those named, without "fuzz_"),
# SECONDS each, as many at once as there are cores. Works on copies of the corpora in build/fuzz/corpus/, which grow from run to run.
# Exit status 1 when one of them found something; prints the failing inputs.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
tests/deps.sh clang libclang-rt-14-dev
build=build/fuzz
flags='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do name=$(basename "$source" .c) && names+=("${name#fuzz_}"); done
fi

# Builds the modules with the project's rules, in a separate folder with separate flags.
objects=()
for name in "${names[@]}"; do objects+=("$build/tests/fuzz/fuzz_$name.o"); done
make -s -j"$(nproc)" B=$build CC=clang CFLAGS='-O1 -g' SANFLAGS="$flags" WARN=-w $build/libschema.a $build/libengine.a "${objects[@]}"
for name in "${names[@]}"; do
    clang -fsanitize=fuzzer,address,undefined "$build/tests/fuzz/fuzz_$name.o" $build/libschema.a $build/libengine.a -o "$build/fuzz_$name" \
        -ljansson -lopenblas -lnettle -lz -lzstd -lpthread -lm
done

# An allocation of more than 512 MB fails, as when out of memory: the readers must handle it.
export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=512:detect_leaks=1 OPENBLAS_NUM_THREADS=1
export UBSAN_OPTIONS=print_stacktrace=1
one() {
    local name=$1 corpus=$build/corpus/$1 found=$build/found/$1 log=$build/$1.log
    mkdir -p "$corpus" "$found"
    find "tests/fuzz/corpus/$name" -type f -exec cp -n -t "$corpus" {} +
    local before dictionary=()
    before=$(find "$corpus" -type f | wc -l)
    [ ! -f "tests/fuzz/$name.dict" ] || dictionary=("-dict=tests/fuzz/$name.dict")
    if "$build/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1000000 -print_final_stats=1 -max_len=16384 \
        "${dictionary[@]}" -artifact_prefix="$found/" "$corpus" >"$log" 2>&1; then
        printf '%-14s %9s inputs, %4d -> %4d kept, nothing found\n' "$name" "$(awk '/number_of_executed_units/ {print $2}' "$log")" "$before" \
            "$(find "$corpus" -type f | wc -l)"
    else
        printf '%-14s FOUND: %s (log: %s)\n' "$name" "$(grep -oE "$found/[a-z]+-[0-9a-f]+" "$log" | tail -n 1)" "$log"
        grep -nE '^SUMMARY|runtime error|fuzz_[a-z_]+\.[ch]:[0-9]+: ' "$log" | head -n 5
        return 1
    fi
}

failed=0 running=0
for name in "${names[@]}"; do
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    one "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed
