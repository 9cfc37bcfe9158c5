# Builds, installs and tests the scann_am extension (PGXS). `make help` lists the targets.

EXTENSION = scann_am
MODULE_big = scann_am
PGFILEDESC = "scann_am - approximate nearest neighbours with ScaNN"
DATA = $(wildcard sql/scann_am--*.sql)

# ---- What is built ----------------------------------------------------------------------------------

# Another directory for other flags, e.g.
#   make unit BUILD=build/asan OPTIMIZATION=-O1 CXXFLAGS='-g -fsanitize=address,undefined'
BUILD ?= build

CORE_OBJS = $(patsubst src/core/%.cpp,$(BUILD)/core/%.o,$(wildcard src/core/*.cpp))
AM_OBJS = $(patsubst src/am/%.cpp,$(BUILD)/am/%.o,$(wildcard src/am/*.cpp))
UNIT_OBJS = $(patsubst test/unit/%.cpp,$(BUILD)/unit/%.o,$(wildcard test/unit/*_test.cpp)) \
	$(patsubst %,$(BUILD)/bench/%.o,contenders hdf5_file options plot random_map)
BENCH_OBJS = $(patsubst test/bench/%.cpp,$(BUILD)/bench/%.o,$(wildcard test/bench/*.cpp))
BENCH = test/bench/scann_bench

OBJS = $(AM_OBJS) $(CORE_OBJS)
EXTRA_CLEAN = $(addprefix $(BUILD)/,core am unit bench unit_tests kernels_benchmark figure3 hdf5_cflags) $(BENCH)

# ---- What `make installcheck` runs against the installed extension -----------------------------------

REGRESS = $(filter-out scann_am--%,$(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec))
ISOLATION_OPTS = --inputdir=test/isolation
PROVE_TESTS = $(wildcard test/t/*.pl)
ifneq ($(PROVE_TESTS),)
TAP_TESTS = 1
endif

# ---- Compiler flags -----------------------------------------------------------------------------------

# WERROR=1 (development, CI) turns warnings into errors; packagers' compilers may know newer ones.
WARNINGS = -Wall -Wextra $(if $(WERROR),-Werror)

# Asks pkg-config, if there is one, and turns -I into -isystem: no warnings from other people's headers.
cflags_of = $(or $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1) 2>/dev/null)),$(2))
EIGEN_CFLAGS := $(call cflags_of,eigen3,-isystem /usr/include/eigen3)
HWY_CFLAGS := $(call cflags_of,libhwy,-DHWY_SHARED_DEFINE)
LIBPQ_CFLAGS = $(call cflags_of,libpq,$(addprefix -isystem ,$(shell $(PG_CONFIG) --includedir)))
# Only to read HDF5 files in the benchmark, which does without where pkg-config does not find it.
HDF5_CFLAGS := $(if $(shell pkg-config --cflags hdf5 2>/dev/null),-DHAVE_HDF5 $(call cflags_of,hdf5))
HDF5_LIBS := $(shell pkg-config --libs hdf5 2>/dev/null)
LIBPQ_LIBS = -L$(shell $(PG_CONFIG) --libdir) -lpq

CXXFLAGS ?= -g
# Behind the server's own flags, which say -O2 and -fno-strict-aliasing: its headers need the latter, the algorithm
# does not and is 2% faster without.
OPTIMIZATION ?= -O3
# eigen_assert would abort the server. No -march: Highway chooses the instruction set at run time.
COMMON_FLAGS = $(OPTIMIZATION) -std=c++20 -fPIC -fvisibility=hidden $(WARNINGS) -MD -MP -Isrc \
	-DEIGEN_NO_DEBUG -DEIGEN_MPL2_ONLY $(EIGEN_CFLAGS) $(HWY_CFLAGS)
CORE_FLAGS = $(COMMON_FLAGS) -fstrict-aliasing
# PostgreSQL 15's headers still say "register".
AM_FLAGS = $(COMMON_FLAGS) -Wno-register -isystem $(includedir_server) $(CPPFLAGS)
BENCH_FLAGS = -std=c++20 -O3 $(WARNINGS) -MD -MP $(HDF5_CFLAGS) $(LIBPQ_CFLAGS)
SHLIB_LINK = -lhwy -lstdc++ -lm

# ---- PGXS, unless the goals only need the scripts that install it ------------------------------------

PG_CONFIG ?= pg_config
SCRIPT_GOALS = check quickstart bench check-versions help
PLAIN_GOALS = $(SCRIPT_GOALS) unit benchmark-kernels figure3 format format-check
GOALS := $(or $(MAKECMDGOALS),all)

ifneq ($(filter-out $(SCRIPT_GOALS),$(GOALS)),)
ifneq ($(shell command -v $(PG_CONFIG)),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
# Link as C++. LLVM bitcode rules do not know our flags.
override COMPILER = $(CXX) $(CXXFLAGS)
override with_llvm = no
include $(PGXS)
else ifneq ($(filter-out $(PLAIN_GOALS),$(GOALS)),)
$(error $(PG_CONFIG) not found: install PostgreSQL's server headers or set PG_CONFIG; `make check` and \
`make quickstart` install what they need)
endif
endif

# ---- Rules ----------------------------------------------------------------------------------------------

# The algorithm is compiled without PostgreSQL's include path: it must not know the server.
$(BUILD)/core/%.o: src/core/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(CORE_FLAGS) -c -o $@ $<

$(BUILD)/am/%.o: src/am/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(AM_FLAGS) -c -o $@ $<

$(BUILD)/unit/%.o: test/unit/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(CORE_FLAGS) $(HDF5_CFLAGS) -c -o $@ $<

$(BUILD)/bench/%.o: test/bench/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(BENCH_FLAGS) -c -o $@ $<

# What reads HDF5 files is compiled anew when the library has come or gone.
$(BUILD)/bench/hdf5_file.o $(BUILD)/unit/hdf5_file_test.o: $(BUILD)/hdf5_cflags
$(BUILD)/hdf5_cflags: FORCE
	@mkdir -p $(@D)
	@echo '$(HDF5_CFLAGS)' | cmp -s - $@ || echo '$(HDF5_CFLAGS)' >$@

$(BUILD)/unit_tests: $(UNIT_OBJS) $(CORE_OBJS)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lhwy $(HDF5_LIBS) -lgtest_main -lgtest -pthread

$(BUILD)/kernels_benchmark: $(BUILD)/unit/kernels_benchmark.o $(CORE_OBJS)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lhwy -lbenchmark_main -lbenchmark -pthread

$(BUILD)/figure3: $(BUILD)/unit/figure3.o $(CORE_OBJS)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lhwy

$(BENCH): $(BENCH_OBJS)
	$(CXX) $(CXXFLAGS) -o $@ $^ $(LIBPQ_LIBS) $(HDF5_LIBS) -pthread

-include $(wildcard $(BUILD)/core/*.d $(BUILD)/am/*.d $(BUILD)/unit/*.d $(BUILD)/bench/*.d)

# ---- Targets of the project's own ---------------------------------------------------------------------

.PHONY: help quickstart unit bench scann_bench benchmark-kernels figure3 format format-check check-versions FORCE

help:
	@echo 'make quickstart       install what is missing, build, and try it on real word vectors'
	@echo 'make check            install what is missing, build with -Werror, run every test'
	@echo 'make check-versions   build and run the regression tests on newer PostgreSQL majors'
	@echo 'make, make install, make installcheck [PG_CONFIG=...]   as for any extension'
	@echo 'make unit             unit tests of the algorithm, without PostgreSQL'
	@echo 'make bench            measure it and every other vector index that is installed (see test/bench/compare);'
	@echo '                      DATASETS="glove text nested-1000000 FILE.hdf5" chooses the data'
	@echo '                      (test/bench/targets: which recall scann.target_recall reaches)'
	@echo 'make scann_bench      $(BENCH), the program that measures (see its --help)'
	@echo 'make benchmark-kernels, make figure3    speed of the kernels; gain of the score-aware loss'
	@echo 'make format           reformat the C++ sources (format-check only reports)'

quickstart:
	test/quickstart

unit: $(BUILD)/unit_tests
	$<

bench:
	test/bench/compare $(DATASETS)

scann_bench: $(BENCH)

benchmark-kernels: $(BUILD)/kernels_benchmark
	$<

figure3: $(BUILD)/figure3
	test/bench/fetch_glove
	$< build/data/glove.f32 100

check-versions:
	test/versions/check

FORMATTED = $(wildcard src/*/*.[ch]pp test/*/*.[ch]pp)

format:
	clang-format -i $(FORMATTED)

format-check:
	clang-format --dry-run -Werror $(FORMATTED)

# PGXS has a rule of its own for `check`, which only says that there is none.
ifndef PGXS
.PHONY: check
check:
	test/check
endif

# The TAP tests measure recall with the benchmark program.
ifdef TAP_TESTS
installcheck: $(BENCH)
endif
