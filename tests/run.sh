#!/usr/bin/env bash
# run.sh BUILD_DIR - runs every suite of `make test`, the files of the API tests two at a time, and ends with `N passed, N failed, N skipped`, after one line "skipped: NAME: REASON"
# for each test that this machine cannot run. Exit status 0 only when nothing failed. A suite that dies before it can count is one failure.
set -u
build=$1
python=${PYTHON:-/usr/bin/python3}
passed=0 failed=0 skipped=0
log=$(mktemp)
skips=$(mktemp)
exercised=$(mktemp)
checked=$(mktemp -d)
trap 'rm -rf "$log" "$skips" "$exercised" "$checked"' EXIT

add() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }

# Check prints "100%: Checks: 12, Failures: 0, Errors: 0", and counts a test that skips as one that passed: tests/skip.h prints "SKIPPED name: reason".
# They run before, two at a time.
run_check() {
    local name
    for name in "$@"; do
        "$build/check/$name" >"$checked/$name" 2>&1
        echo $? >"$checked/$name.status"
    done
}
check_suite() {
    local name=$1 status checks bad left_out
    printf '== %s\n' "$name"
    cp "$checked/$name" "$log"
    status=$(cat "$checked/$name.status")
    grep -vE '^(Running suite|SKIPPED|$)' "$log" | tail -n 40
    left_out=$(grep -c '^SKIPPED ' "$log")
    sed -n "s/^SKIPPED /skipped: $name: /p" "$log" >>"$skips"
    checks=$(grep -oE 'Checks: [0-9]+' "$log" | awk '{n += $2} END {print n + 0}')
    bad=$(grep -oE '(Failures|Errors): [0-9]+' "$log" | awk '{n += $2} END {print n + 0}')
    if [ "$checks" -eq 0 ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        printf '%s ended with status %d without counting\n' "$name" "$status"
        bad=$((bad + 1)) checks=$((checks + 1))
    fi
    add $((checks - bad - left_out)) "$bad" "$left_out"
}

# A program that prints what it did and whose exit status is the result.
plain_suite() {
    local name=$1
    shift
    printf '== %s\n' "$name"
    if "$@" >"$log" 2>&1; then add 1 0 0; tail -n 3 "$log"; else add 0 1 0; tail -n 60 "$log"; fi
}

pytest_suite() {
    local name=$1 status good bad left_out
    shift
    printf '== %s\n' "$name"
    "$python" -m pytest -q -rs -p no:cacheprovider "$@" >"$log" 2>&1
    status=$?
    grep -vE '^([.s]+( *\[ *[0-9]+%\])?|SKIPPED .*)$' "$log" | tail -n 80
    sed -n "s/^SKIPPED \[[0-9]*\] /skipped: $name: /p" "$log" >>"$skips"
    left_out=$(grep -oE '[0-9]+ skipped' "$log" | tail -n 1 | awk '{print $1 + 0}')
    good=$(grep -oE '[0-9]+ passed' "$log" | tail -n 1 | awk '{print $1 + 0}')
    bad=$(grep -oE '[0-9]+ (failed|error)' "$log" | awk '{n += $1} END {print n + 0}')
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    add "${good:-0}" "$bad" "${left_out:-0}"
}

export CK_FORK=${CK_FORK:-yes} CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120}
export OPENBLAS_NUM_THREADS=1
run_check engine schema &
lane=$!
run_check engine_f64 server faults
wait "$lane"
for suite in engine engine_f64 schema server faults; do check_suite "$suite"; done
for target in "$build"/check/fuzz_*; do
    [ -x "$target" ] || continue
    name=$(basename "$target")
    plain_suite "$name" "$target" "tests/fuzz/corpus/${name#fuzz_}"
done
export BACKPROPD=$build/backpropd EXERCISED_ROUTES=$exercised
pytest_suite "api" -n 2 --dist loadfile tests/api --ignore tests/api/test_routes.py
pytest_suite "browser" -n 2 --dist loadfile tests/browser
pytest_suite "routes" tests/api/test_routes.py
printf '\n'
cat "$skips"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
