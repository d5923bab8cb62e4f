#!/usr/bin/env bash
# lint.sh BUILD_DIR - what the compiler does not hold: arrows between rooms, the engine's symbols, banned functions, a file without a row, headers that
# compile alone, warnings as errors with both compilers, format. Tells every fault; exit status 1 when there was one.
# Word splitting of file lists is meant: no name has a blank.
# shellcheck disable=SC2046,SC2086
set -u
build=$1
faults=0
fault() { printf 'lint: %s\n' "$*"; faults=$((faults + 1)); }
list() { git ls-files -co --exclude-standard -- "$@"; }

# 1. Dependencies: server -> schema -> engine, and between folders those of dependencies.txt. Then the libraries'.
"${PYTHON:-/usr/bin/python3}" tests/lint/dependencies.py || fault "includes"
grep -nE '#include <(jansson|microhttpd|sqlite3|yaml|nettle|zlib|zstd|stdio_ext|dlfcn|fcntl|sys/)' $(list 'engine/*.[ch]' | grep -v '^engine/kernels/onednn_library.c$') /dev/null && fault "the engine may use libc, libm, CBLAS and pthreads only"
grep -nE '#include <(microhttpd|sqlite3|pthread)' $(list 'schema/*.[ch]') /dev/null && fault "schema must not use HTTP, SQL or threads"
grep -nE '#include <sqlite3' $(list 'server/*.[ch]' | grep -v -e '^server/store/' -e '^server/commands/version.c') /dev/null && fault "only server/store/ may use SQLite"
grep -nE '\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|PRAGMA) ' $(list 'server/*.[ch]' | grep -v '^server/store/') /dev/null && fault "only server/store/ may contain SQL"

# 2. The engine calls nothing that prints, opens files or ends the process.
for library in libengine.a libengine_f64.a; do
    # onednn_library.c has the only dlopen.
    bad=$(nm -A -u "$build/$library" 2>/dev/null | grep -v ':onednn_library\.o: *U dlopen$' | awk '{print $NF}' | sort -u |
        grep -xE '(v?f?printf|puts|putchar|fputs|fopen|fdopen|open|openat|read|write|fread|fwrite|exit|_exit|abort|system|popen|socket|dlopen|getenv|__printf_chk|__fprintf_chk)')
    [ -z "$bad" ] || fault "$library uses $(echo "$bad" | tr '\n' ' ')"
done

"${PYTHON:-/usr/bin/python3}" tests/lint/calls.py "$build" || fault "a cycle of calls in engine/kernels"

# 3. Banned functions, and variable-length arrays by another name.
sources=$(list 'engine/*.[ch]' 'schema/*.[ch]' 'server/*.[ch]')
grep -nE '(^|[^_[:alnum:]])(atoi|atol|atof|strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|tmpnam|mktemp)[[:space:]]*\(' $sources && fault "a banned function"
grep -nE '(^|[^_[:alnum:]])dlopen[[:space:]]*\(' $(list 'engine/*.[ch]' 'schema/*.[ch]' 'server/*.[ch]' | grep -vE '^(engine/kernels/onednn_library|server/follow/fetch|server/worker/mpi).c$') /dev/null && fault "only engine/kernels/onednn_library.c, server/follow/fetch.c and server/worker/mpi.c may call dlopen"
"${PYTHON:-/usr/bin/python3}" tests/lint/keywords.py || fault "names"
grep -nwE 'TODO|FIXME|XXX' $sources $(list 'tests/*.[ch]' '*.py') && fault "TODO, FIXME or XXX in the code"

# 4. One file, one row.
for family in activations initializers layers losses metrics optimizers schedules; do
    for file in $(list "engine/$family/*.c"); do
        name=$(basename "$file" .c)
        grep -q "^static.*entry\|\.entry\|const struct bp_.*_ops" "$file" || continue
        grep -qE "\b$name\b" "engine/$family.def" || { grep -q "_ops bp_" "$file" && fault "$file has no row in engine/$family.def"; }
    done
done
for file in $(list 'schema/formats/*.c'); do
    name=$(basename "$file" .c)
    grep -q "struct schema_format_ops schema_format_$name\b" "$file" || continue
    grep -qE "\b$name\b" schema/formats.def schema/formats/formats.def 2>/dev/null || fault "$file has no row in formats.def"
done
for name in $(grep -hoE '^const struct route route_[a-z_]+' $(list 'server/routes/*.c') | sed 's/.*route_//'); do
    grep -q "^ROUTE($name)$" server/routes/routes.def || fault "route $name has no row in server/routes/routes.def"
done
for def in $(list '*.def'); do
    awk -F'[(,)]' '/^[A-Z]+\(/ {print ($1 == "SETTING" ? $3 : $2)}' "$def" | tr -d ' ' >/tmp/lint.$$
    if [ "$def" != server/routes/routes.def ] && ! LC_ALL=C sort -c /tmp/lint.$$ 2>/dev/null; then fault "$def is not in alphabetical order"; fi
    rm -f /tmp/lint.$$
done

# 5. Headers compile alone.
for header in $(list 'engine/*.h' 'schema/*.h' 'server/*.h'); do
    case $header in engine/kernels/vector_*.h) continue ;; esac
    # shellcheck disable=SC2086
    echo "#include \"$header\"" | gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I. -x c - || fault "$header does not compile alone"
done

# 6. No warning with either compiler.
make -s -j2 WERROR=1 CFLAGS='-O1' SANITIZER=undefined >/tmp/lint.$$ 2>&1 || { tail -n 20 /tmp/lint.$$; fault "gcc warns"; }
if command -v clang >/dev/null 2>&1; then
    in_double=" $(sed -n 's/^DOUBLE_SRC := \([^#]*\).*/\1/p' Makefile) "
    for source in $(list 'engine/*.c' 'schema/*.c' 'server/*.c'); do
        real=
        case $in_double in *" $source "*) real=-DBP_DOUBLE ;; esac
        # shellcheck disable=SC2086
        clang $real -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wno-unknown-warning-option -Werror -fsyntax-only -DBP_KERNELS=bp_kernels_base -DBP_KERNELS_NAME='"base"' -I. "$source" || fault "clang warns about $source"
    done
fi
rm -f /tmp/lint.$$

# 7. Scripts and format.
# shellcheck disable=SC2046
if command -v shellcheck >/dev/null 2>&1; then shellcheck -S warning $(list '*.sh') .ci/run || fault "shellcheck"; fi
for script in $(list '*.py'); do "${PYTHON:-/usr/bin/python3}" -m py_compile "$script" || fault "$script does not compile"; done
if command -v clang-format >/dev/null 2>&1; then
    # shellcheck disable=SC2046
    clang-format --dry-run -Werror $(list '*.c' '*.h') 2>/tmp/lint.$$ || { grep -oE '^[^: ]+\.[ch]:' /tmp/lint.$$ | sort | uniq -c | head; fault "format: run make format"; }
    rm -f /tmp/lint.$$
fi

# The dashboard: its types are in comments.
if command -v tsc >/dev/null 2>&1; then tsc -p clients/dashboard/jsconfig.json || fault "tsc"; fi

# 8. Words that our text does not use. Fixtures and corpora are data of others.
"${PYTHON:-/usr/bin/python3}" tests/lint/words.py $(list | grep -vE '^(tests/fixtures/|tests/fuzz/corpus/|tests/lint/words.py$)') || fault "words: write plain technical English"

# 9. The served OpenAPI document, and a client generated from it.
tests/lint/openapi/check.sh "$build/openapi.json" || fault "openapi.json"

# 10. The top level.
extra=$(list | cut -d/ -f1 | sort -u | grep -vxE 'Makefile|server|engine|schema|tests|clients|Dockerfile|README.md|CONTRIBUTING.md|LICENSE|\..*')
[ -z "$extra" ] || fault "unexpected at the top level: $extra"
for module in engine schema server clients tests; do [ -s "$module/README.md" ] || fault "$module has no README.md"; done

[ "$faults" -eq 0 ] && echo "lint: no fault"
[ "$faults" -eq 0 ]
