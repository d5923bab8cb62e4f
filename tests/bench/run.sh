#!/usr/bin/env bash
# run.sh BUILD_DIR - `make bench`: installs the peers that are missing, builds floor and bench programs into BUILD_DIR/bench/ and runs bench.py, which
# measures and writes the table into README.md here. A peer that is not available is left out with a warning.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
python=${PYTHON:-/usr/bin/python3}
for package in libdnnl2 python3-torch python3-sklearn python3-pandas libfann-dev wrk; do
    tests/deps.sh $package || echo "bench: without $package: its measurements are left out" >&2
done

mkdir -p "$build/bench"
cc=${CC:-gcc}
sources=tests/bench
make -s "$build/libengine.a"
$cc -O3 -D_GNU_SOURCE $sources/floor_gemm.c -o "$build/bench/floor_gemm" -lopenblas
$cc -O3 -D_GNU_SOURCE $sources/floor_http.c -o "$build/bench/floor_http" -lmicrohttpd
$cc -O3 -D_GNU_SOURCE -I. $sources/engine_bench.c "$build/libengine.a" -o "$build/bench/engine_bench" -lopenblas -lpthread -lm
make -s "$build/libschema.a"
$cc -O3 -D_GNU_SOURCE -I. $sources/read_back.c "$build/libschema.a" "$build/libengine.a" -o "$build/bench/read_back" -ljansson -lopenblas -lnettle -lz -lzstd -lpthread -lm
$cc -O3 -D_GNU_SOURCE -I. $sources/predict_rate.c "$build/libschema.a" "$build/libengine.a" -o "$build/bench/predict_rate" -ljansson -lopenblas -lnettle -lz -lzstd -lpthread -lm
rm -f "$build/bench/peer_fann"
if [ -e /usr/include/fann.h ]; then $cc -O3 -D_GNU_SOURCE $sources/peer_fann.c -o "$build/bench/peer_fann" -lfann -lm; fi
exec "$python" $sources/bench.py "$build"
