# backpropd - see `make help`. V=1 shows the commands; SANITIZER=address|undefined|thread builds into a separate directory.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory -r
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
PYTHON ?= /usr/bin/python3

SANITIZER ?=
ifeq ($(SANITIZER),)
  B := build
  SANFLAGS :=
else ifeq ($(SANITIZER),address)
  B := build/asan
  SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
else ifeq ($(SANITIZER),undefined)
  B := build/ubsan
  SANFLAGS := -fsanitize=undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
else ifeq ($(SANITIZER),thread)
  B := build/tsan
  SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer -O1
else
  $(error SANITIZER is "$(SANITIZER)": expected address, undefined or thread)
endif

VERSION := 0.1.0
ifeq ($(origin CC),default)
  CC := gcc
endif
AR := ar
WERROR ?=
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
CFLAGS ?= -O3 -g
DEPEND = -MMD -MP -MF $(@:.o=.d) -MT $@
BASE = -std=c11 -D_GNU_SOURCE -I. $(DEPEND) $(WARN) -fno-math-errno -fvisibility=hidden $(CFLAGS) $(SANFLAGS)

.PHONY: all
all: $(B)/backpropd

# The chart library of the dashboard, of the Debian package libjs-dygraphs.
DYGRAPHS ?= /usr/share/javascript/dygraphs/dygraph.min.js

# Checks the packages before the compiler reports missing headers.
$(B)/packages: tests/deps.sh
	@mkdir -p $(@D)
	@CC="$(CC)" DYGRAPHS="$(DYGRAPHS)" tests/deps.sh --check $(DEPS_BUILD)
	@touch $@

# ---- engine: libengine.a in float32, libengine_f64.a in double with bp_ renamed bp64_ ------------------------------
DOUBLE_SRC := engine/double_graph.c engine/gradcheck.c engine/trace.c # in libengine_f64.a only
ENGINE_SRC := $(filter-out $(DOUBLE_SRC) engine/kernels/vector.c,$(wildcard engine/*.c engine/*/*.c))
ENGINE_CFLAGS = $(BASE) -Wconversion -ffp-contract=off
X86 := $(filter x86_64,$(shell uname -m))
ISA := base $(if $(X86),avx2 avx512)
ISA_base :=
ISA_avx2 := -mavx2 -mfma -ffp-contract=fast
ISA_avx512 := -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma -mprefer-vector-width=512 -ffp-contract=fast
ENGINE_OBJ := $(ENGINE_SRC:%.c=$(B)/f32/%.o) $(ISA:%=$(B)/f32/engine/kernels/vector_%.o)
ENGINE64_OBJ := $(ENGINE_SRC:%.c=$(B)/f64/%.o) $(DOUBLE_SRC:%.c=$(B)/f64/%.o) $(B)/f64/engine/kernels/vector_base.o

# With a sanitizer too the kernels are optimised: at its -O1 no loop is vectorised, and products take fifty times as long.
KERNEL_CFLAGS = $(ENGINE_CFLAGS) $(if $(SANFLAGS),-O3)
$(B)/f32/engine/kernels/vector_%.o: engine/kernels/vector.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) $(ISA_$*) -DBP_KERNELS=bp_kernels_$* -DBP_KERNELS_NAME='"$*"' -c $< -o $@
$(B)/f64/engine/kernels/vector_%.o: engine/kernels/vector.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) -DBP_DOUBLE -DBP_KERNELS=bp_kernels_$* -DBP_KERNELS_NAME='"$*"' -c $< -o $@.raw
	$(Q)$(RENAME64)
$(B)/f32/%.o: %.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(ENGINE_CFLAGS) -c $< -o $@
# The double build's symbols are renamed here: every bp_x becomes bp64_x, defined or used.
RENAME64 = nm $@.raw | awk '$$NF ~ /bp_/ { n = $$NF; sub(/bp_/, "bp64_", n); print $$NF, n }' | sort -u >$@.syms && objcopy --redefine-syms=$@.syms $@.raw $@
$(B)/f64/%.o: %.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(ENGINE_CFLAGS) -DBP_DOUBLE -c $< -o $@.raw
	$(Q)$(RENAME64)
$(B)/libengine.a: $(ENGINE_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(B)/libengine_f64.a: $(ENGINE64_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^

.PHONY: engine
engine: $(B)/libengine.a $(B)/libengine_f64.a


# ---- generated: migrations, the OpenAPI document and the functions of exported models as C sources ---------------------------------------------------
GEN := $(B)/gen
$(B)/yaml2json: schema/tools/yaml2json.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O1 $< -o $@ -lyaml -ljansson
$(GEN)/openapi.yaml.json: schema/openapi.yaml $(B)/yaml2json
	@mkdir -p $(@D)
	$(Q)$(B)/yaml2json $< >$@.tmp && mv $@.tmp $@
$(B)/contract: $(B)/schema/tools/contract.o $(B)/libschema.a $(B)/libengine.a
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) $^ -o $@ $(WRAP) $(LIBS)
$(GEN)/openapi.c: $(GEN)/openapi.yaml.json $(B)/contract
	$(Q)ASAN_OPTIONS=detect_leaks=0 $(B)/contract $< --source server/routes/openapi.h >$@.tmp && mv $@.tmp $@
# The served document, for linters and generators of clients.
$(B)/openapi.json: $(GEN)/openapi.yaml.json $(B)/contract
	$(Q)ASAN_OPTIONS=detect_leaks=0 $(B)/contract $< >$@.tmp && mv $@.tmp $@
$(GEN)/migrations.c: schema/migrations/embed.sh $(wildcard schema/migrations/*.sql)
	@mkdir -p $(@D)
	$(Q)sh $^ >$@.tmp && mv $@.tmp $@

# The dashboard and its chart library.
DASHBOARD := $(sort $(filter-out %.sh %.md %.json %.d.ts,$(wildcard clients/dashboard/*.* clients/dashboard/*/*.*)))
PENGUINS := clients/examples/penguins.csv
$(GEN)/dashboard.c: clients/dashboard/embed.sh $(DASHBOARD) $(PENGUINS) $(wildcard $(DYGRAPHS)) | $(B)/packages
	@mkdir -p $(@D)
	$(Q)sh clients/dashboard/embed.sh $(foreach f,$(DASHBOARD),$(f:clients/dashboard/%=%)=$(f)) samples/penguins.csv=$(PENGUINS) vendor/dygraph.js=$(DYGRAPHS) >$@.tmp && mv $@.tmp $@
$(GEN)/runtime.c: schema/export/embed.sh schema/export/runtime.c99
	@mkdir -p $(@D)
	$(Q)sh $^ >$@.tmp && mv $@.tmp $@

# ---- schema and server: each uses only the modules below it (checked by make lint) ----------------------------------------------------------
SCHEMA_SRC := $(filter-out schema/tools/%,$(wildcard schema/*.c schema/*/*.c))
SCHEMA_OBJ := $(SCHEMA_SRC:%.c=$(B)/%.o) $(GEN)/runtime.o
SERVER_SRC := $(filter-out server/commands/main.c,$(wildcard server/*.c server/*/*.c server/*/*/*.c))
SERVER_OBJ := $(SERVER_SRC:%.c=$(B)/%.o) $(GEN)/openapi.o $(GEN)/migrations.o $(GEN)/dashboard.o
SERVER_CFLAGS = $(BASE) -DBACKPROPD_VERSION='"$(VERSION)"'
# Every allocation of the program goes through schema/memory.c.
WRAP := $(foreach f,malloc calloc realloc reallocarray aligned_alloc strdup strndup,-Wl,--wrap=$(f))
LIBS := -lseccomp -lmicrohttpd -ljansson -lsqlite3 -lopenblas -lgnutls -lnettle -lz -lzstd -lpthread -lm

$(B)/schema/%.o: schema/%.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -c $< -o $@
$(B)/server/%.o: server/%.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(SERVER_CFLAGS) -c $< -o $@
$(GEN)/%.o: $(GEN)/%.c
	$(Q)$(CC) $(BASE) -Wno-overlength-strings -c $< -o $@
$(B)/libschema.a: $(SCHEMA_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(B)/libserver.a: $(SERVER_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^
ROOMS := $(B)/libserver.a $(B)/libschema.a $(B)/libengine_f64.a $(B)/libengine.a
$(B)/backpropd: $(B)/server/commands/main.o $(ROOMS)
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) $^ -o $@ $(WRAP) $(LIBS)

# ---- tests ----------------------------------------------------------------------------------------------------------
TEST_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(DEPEND) -Wall -Wextra -Wshadow -g -O1 $(SANFLAGS)
TEST_LIBS := -lcheck -lsubunit -lrt $(LIBS)
T := $(B)/check
$(B)/tests/%.o: tests/%.c | $(B)/packages
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -DFIXTURES='"tests/fixtures"' -c $< -o $@

ENGINE_TESTS := $(filter-out %/main_f64.c %/test_gradcheck.c %/test_random_graphs.c %/ulp.c,$(wildcard tests/engine/*.c))
$(T)/engine_f64: $(patsubst %,$(B)/tests/engine/%.o,main_f64 support test_gradcheck test_random_graphs) $(B)/tests/allocations.o $(B)/libengine.a $(B)/libengine_f64.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(TEST_LIBS)
$(T)/engine: $(ENGINE_TESTS:%.c=$(B)/%.o) $(B)/tests/allocations.o $(B)/libengine_f64.a $(B)/libengine.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(TEST_LIBS)
# The error of the vector functions over all floats: some minutes.
.PHONY: ulp
ulp: $(B)/tests/engine/ulp.o $(B)/libengine.a
	@mkdir -p $(T)
	$(Q)$(CC) $(SANFLAGS) $^ -o $(T)/ulp $(LIBS)
	$(Q)$(T)/ulp
SCHEMA_TESTS := $(wildcard tests/schema/*.c)
$(T)/schema: $(SCHEMA_TESTS:%.c=$(B)/%.o) $(B)/tests/allocations.o $(ROOMS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(WRAP) $(TEST_LIBS)
SERVER_TESTS := $(wildcard tests/server/*.c tests/server/*/*.c)
# What units of http/ and worker/ ask of libmicrohttpd and of a trainer, the tests answer.
FAKES := $(foreach f,MHD_get_connection_values MHD_lookup_connection_value MHD_lookup_connection_value_n bp_trainer_health bp_trainer_health_count bp_trainer_metrics_count bp_trainer_metric_name bp_trainer_metric_value,-Wl,--wrap=$(f))
$(T)/server: $(SERVER_TESTS:%.c=$(B)/%.o) $(B)/tests/allocations.o $(ROOMS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(WRAP) $(FAKES) $(TEST_LIBS)
# Calls that change files go through tests/faults/disk.c.
DISK := $(foreach f,open openat write pwrite posix_fallocate fstatvfs fsync ftruncate mkdir rename renameat renameat2 linkat unlink unlinkat,-Wl,--wrap=$(f))
$(T)/faults: $(patsubst %.c,$(B)/%.o,$(wildcard tests/faults/*.c)) $(B)/tests/server/store/helper.o $(ROOMS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(WRAP) $(DISK) $(TEST_LIBS)
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
$(T)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/standalone.o $(ROOMS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $^ -o $@ $(WRAP) $(TEST_LIBS)
TEST_PROGRAMS := $(T)/engine $(T)/engine_f64 $(T)/schema $(T)/server $(T)/faults $(FUZZERS:%=$(T)/%)

.PHONY: tests test fresh sanitize fuzz bench bench-streams
tests: $(B)/backpropd $(TEST_PROGRAMS)
test:
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_DEMO) $(DEPS_TEST)
	$(Q)$(MAKE) tests
	$(Q)PYTHON=$(PYTHON) tests/run.sh $(B)
fresh:
	$(Q)tests/fresh.sh
# The API tests with the most threads, with ThreadSanitizer: any report fails its test.
RACES := aliases batch_values bounds datasets events http keys load replicas slow_clients switch tickets
# Jobs on other hosts: Slurm and ssh in namespaces of the kernel, with what can break broken (as root).
.PHONY: test-cluster
test-cluster:
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_CLUSTER)
	$(Q)$(MAKE) all
	$(Q)PYTHON=$(PYTHON) tests/cluster/run.sh $(B)/backpropd
.PHONY: races screenshots
# The pages of the dashboard as pictures, in build/screens, from the tests that walk through them; some for README and guides.
screenshots: $(B)/backpropd
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_DEMO) $(DEPS_TEST)
	$(Q)BACKPROPD=$(B)/backpropd $(PYTHON) -m pytest -q -p no:cacheprovider tests/browser/test_story.py
	$(Q)for page in run=run inside=inside-model playground=playground; do cp build/screens/$${page#*=}-wide-light.png clients/guides/screens/$${page%=*}.png; done
races:
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_DEMO) $(DEPS_TEST)
	$(Q)$(MAKE) SANITIZER=thread all
	$(Q)BACKPROPD=build/tsan/backpropd $(PYTHON) -m pytest -q -p no:cacheprovider $(RACES:%=tests/api/test_%.py)
	$(Q)BACKPROPD=build/tsan/backpropd $(PYTHON) -m pytest -q -p no:cacheprovider tests/api/test_ensemble.py -k "average or effort or validation"
sanitize:
	$(Q)$(MAKE) test SANITIZER=address
	$(Q)$(MAKE) test SANITIZER=thread
# libFuzzer, FUZZ_SECONDS each
FUZZ_SECONDS ?= 60
fuzz:
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS)
# An hour of mixed load, kills, mutated requests and every fault of the disk: SOAK_SECONDS for the first two and the third.
SOAK_SECONDS ?= 3600
.PHONY: soak
soak: $(B)/backpropd $(T)/faults
	$(Q)FAULTS=all OPENBLAS_NUM_THREADS=1 $(T)/faults >$(B)/faults.log 2>&1; status=$$?; grep -E 'lives|cuts$$|Checks|:[FE]:' $(B)/faults.log; exit $$status
	$(Q)BACKPROPD=$(B)/backpropd $(PYTHON) tests/faults/soak.py $(SOAK_SECONDS)
	$(Q)BACKPROPD=$(B)/backpropd $(PYTHON) tests/faults/fuzz_http.py $(SOAK_SECONDS)
bench: $(B)/backpropd
	$(Q)PYTHON=$(PYTHON) tests/bench/run.sh $(B)
# Memory of predictions of a large body (MEGABYTES=500).
.PHONY: predict-memory
predict-memory: $(B)/backpropd
	$(Q)$(PYTHON) tests/bench/predict_memory.py $(B)
# The default for tables against scikit-learn, on real tables from Debian's R packages; writes the result into the guide.
.PHONY: tables
tables: $(B)/backpropd
	@tests/deps.sh $(DEPS_TEST)
	$(Q)$(PYTHON) tests/bench/tables.py --guide $(TABLES_FLAGS)
bench-streams: $(B)/backpropd
	@mkdir -p $(B)/bench
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 tests/bench/streams.c -o $(B)/bench/streams -lpthread
	$(Q)BACKPROPD=$(B)/backpropd $(PYTHON) tests/bench/streams.py $(B)

# What PyTorch gives for the networks of tests/engine/golden.py, into tests/fixtures/golden/.
.PHONY: golden
golden:
	@tests/deps.sh $(DEPS_GOLDEN)
	$(Q)$(PYTHON) tests/engine/golden.py

# ---- lint and format -------------------------------------------------------------------------------------------------
C_FILES := $(shell git ls-files -co --exclude-standard '*.c' '*.h' 2>/dev/null)
.PHONY: lint format
lint: $(B)/backpropd $(B)/openapi.json
	$(Q)PYTHON=$(PYTHON) tests/lint/lint.sh $(B)
format:
	$(Q)clang-format -i $(C_FILES)

# ---- for users --------------------------------------------------------------------------------------------------------
.PHONY: help deps demo install docker docs clean coverage
help:
	@echo "make            build $(B)/backpropd"
	@echo "make deps       install the Debian packages that building, testing and the demo need"
	@echo "make demo       build, start a server, train on real data over HTTP, predict (KEEP=1 leaves the server running)"
	@echo "make test       all tests, ends with 'N passed, N failed, N skipped' (SANITIZER=address|undefined|thread)"
	@echo "make fresh      make demo and make test on a fresh Debian root (as root, with debootstrap)"
	@echo "make lint       format, module dependencies, banned functions, words, warnings as errors"
	@echo "make races      API tests with many threads, with ThreadSanitizer"
	@echo "make test-cluster  jobs under Slurm and ssh in namespaces, with faults (as root; installs slurmd, munge, ...)"
	@echo "make screenshots  the pages of the dashboard as pictures, in build/screens"
	@echo "make soak       faults of the disk, mixed load, kills and mutated requests, SOAK_SECONDS=3600"
	@echo "make bench      speed as ratios against floor and peers, table in tests/bench/README.md"
	@echo "make tables     the default for tables against scikit-learn on sixteen real tables, into the guide"
	@echo "make bench-streams  latency of short requests with 0, 500 and 1000 open event streams"
	@echo "make golden     PyTorch's values for the tests of the engine (installs python3-torch)"
	@echo "make ulp        the error of exp, tanh, sigmoid and erf over all 2^32 floats"
	@echo "make fuzz       libFuzzer on every reader, FUZZ_SECONDS=60 each"
	@echo "make sanitize   the tests under AddressSanitizer and ThreadSanitizer"
	@echo "make coverage   lines that the tests reach"
	@echo "make format     clang-format"
	@echo "make docs       the reference of layers, losses, ... as printed by the program"
	@echo "make docker     the image backpropd:$(VERSION)"
	@echo "make install    to DESTDIR/PREFIX/bin (PREFIX=/usr/local), with the systemd units and /etc/backpropd.conf"
	@echo "make clean      remove build/"
	@echo "V=1 shows the commands."

# The one list of packages.
DEPS_BUILD := gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libsqlite3-dev libopenblas-pthread-dev libseccomp-dev libgnutls28-dev nettle-dev libyaml-dev libzstd-dev zlib1g-dev libcurl4-gnutls-dev libjs-dygraphs
DEPS_DEMO := curl jq
DEPS_TEST := check chromium chromium-driver fonts-dejavu-core libdnnl2 libopenmpi3 openmpi-bin openssl procps prometheus python3 python3-jsonschema python3-numpy python3-pytest python3-pytest-xdist python3-seccomp python3-selenium python3-sklearn systemd wrk
DEPS_LINT := clang clang-format git node-typescript shellcheck
DEPS_CLUSTER := haproxy hostname iproute2 libfaketime libpmix-dev munge mount openmpi-bin openssh-client openssh-server slurm-client slurm-wlm-basic-plugins slurmctld slurmd util-linux wrk
DEPS_FRESH := debootstrap
DEPS_GOLDEN := python3-torch # only to make new golden values
DEPS := $(DEPS_BUILD) $(DEPS_DEMO) $(DEPS_TEST) $(DEPS_LINT) $(DEPS_FRESH)
deps:
	@tests/deps.sh $(DEPS)
print-deps:
	@echo $(DEPS)
print-deps-build:
	@echo $(DEPS_BUILD)

demo:
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_DEMO)
	@$(MAKE) all
	@KEEP=$(KEEP) clients/examples/demo.sh $(B)/backpropd

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
# A configuration that is there stays.
install: $(B)/backpropd
	install -D -m 755 $< $(DESTDIR)$(PREFIX)/bin/backpropd
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)
	for unit in service socket; do sed 's#/usr/local/bin/#$(PREFIX)/bin/#; s#/etc/backpropd#$(SYSCONFDIR)/backpropd#' clients/systemd/backpropd.$$unit \
	    >$(DESTDIR)$(UNITDIR)/backpropd.$$unit && chmod 644 $(DESTDIR)$(UNITDIR)/backpropd.$$unit || exit 1; done
	test -e $(DESTDIR)$(SYSCONFDIR)/backpropd.conf || install -m 644 clients/systemd/backpropd.conf $(DESTDIR)$(SYSCONFDIR)/backpropd.conf
docker:
	docker build -t backpropd:$(VERSION) .
clean:
	rm -rf build

# All tests in a separate build. A process that is killed (kill -9) does not count.
COVERAGE := build/coverage
coverage:
	@tests/deps.sh $(DEPS_BUILD) $(DEPS_TEST)
	$(Q)$(MAKE) tests B=$(COVERAGE) CFLAGS='-Og -g' SANFLAGS='--coverage -fprofile-update=atomic -Wl,-u,__gcov_dump'
	$(Q)find $(COVERAGE) -name '*.gcda' -delete
	$(Q)export CK_DEFAULT_TIMEOUT=600 OPENBLAS_NUM_THREADS=1; for suite in engine engine_f64 schema server faults; do \
	    $(COVERAGE)/check/$$suite >$(COVERAGE)/$$suite.log 2>&1 || echo "coverage: $$suite failed, see $(COVERAGE)/$$suite.log"; done; \
	    for name in $(FUZZERS:fuzz_%=%); do $(COVERAGE)/check/fuzz_$$name tests/fuzz/corpus/$$name >/dev/null || echo "coverage: fuzz_$$name failed"; done; \
	    BACKPROPD=$(COVERAGE)/backpropd $(PYTHON) -m pytest -q -p no:cacheprovider tests/api >$(COVERAGE)/api.log 2>&1 || echo "coverage: API tests failed, see $(COVERAGE)/api.log"
	$(Q)$(PYTHON) tests/coverage.py $(COVERAGE)
docs: $(B)/backpropd
	$(Q)$(PYTHON) clients/guides/reference.py $< $(B)/reference.md

-include $(shell find $(B) -name '*.d' 2>/dev/null)
# Keeps objects that only a pattern names. (Not .SECONDARY: with it a moved header would not trigger a rebuild.)
.PRECIOUS: $(B)/tests/%.o
