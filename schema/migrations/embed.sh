#!/bin/sh
# embed.sh - prints a C header with the migrations given as arguments (001_initial.sql ...), in the order of their numbers:
#     sh schema/migrations/embed.sh schema/migrations/[0-9]*.sql >build/gen/migrations.h
# Numbers must run 1, 2, 3 ... without a gap. Trigraphs are escaped too: -std=c11 has them.
set -eu

[ $# -gt 0 ] || { echo "embed.sh: no migrations given" >&2; exit 1; }
echo '/* Made by schema/migrations/embed.sh from the .sql files there: do not edit. */'
echo '#ifdef __GNUC__'
echo '#pragma GCC diagnostic push'
echo '#pragma GCC diagnostic ignored "-Woverlength-strings"'
echo '#endif'
echo 'static const struct {'
echo '    int number;'
echo '    const char *sql;'
echo '} migrations[] = {'
expected=1
for file in $(printf '%s\n' "$@" | sort); do
    number=$(basename "$file" | sed -n 's/^0*\([1-9][0-9]*\)_.*\.sql$/\1/p')
    if [ "$number" != "$expected" ]; then
        echo "embed.sh: $file: expected a name like 00${expected}_what.sql (numbers run from 1 without a gap)" >&2
        exit 1
    fi
    echo "    {$number,"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/?/\\?/g' -e 's/	/\\t/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
    echo '    },'
    expected=$((expected + 1))
done
echo '};'
echo '#ifdef __GNUC__'
echo '#pragma GCC diagnostic pop'
echo '#endif'
