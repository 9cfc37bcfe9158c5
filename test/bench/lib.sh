# What the scripts that measure share: data sets, server, settings; sourced after test/lib.sh, not run.

bench=test/bench/scann_bench
results=build/benchmark
# Beside what PostgreSQL ships: memory for all data sets but the largest, and no work at times of its own choosing.
server_options="-c shared_buffers=2GB -c max_wal_size=16GB -c checkpoint_timeout=1h -c autovacuum=off"
# The same for every index. HNSW is slow to build in less memory.
build_settings=(--set maintenance_work_mem=2GB --set max_parallel_maintenance_workers=2)

# Makes a data set's file if it is not there, and sets `dataset` to the options that describe it; fails where it
# cannot be had.
prepare() {
  case $1 in
    glove-raw)
      test/bench/fetch_glove || return
      dataset=(--data build/data/glove.f32 --dims 100)
      ;;
    glove)
      prepare glove-raw || return
      dataset+=(--normalise)
      ;;
    text)
      test/bench/fetch_text_embeddings || return
      dataset=(--data build/data/text-384.f32 --dims 384 --normalise)
      ;;
    map-*)
      prepare text || return
      generate "build/data/$1.f32" "${dataset[@]}" --rows 65000 --map-to "${1#map-}" || return
      dataset=(--data "build/data/$1.f32" --dims "${1#map-}")
      ;;
    nested-*)
      generate "build/data/$1.f32" --nested --rows $((${1#nested-} + 5000)) --dims 100 || return
      dataset=(--data "build/data/$1.f32" --dims 100)
      ;;
    *)
      [ -r "$1" ] || return
      dataset=(--data "$1")
      ;;
  esac
}

# generate FILE OPTION...: 5,000 of the rows will be held out. A smaller nested set is the beginning of a larger one.
generate() {
  local file=$1
  shift
  [ ! -s "$file" ] || return 0
  mkdir -p build/data
  $bench generate "$@" --out "$file.part" >/dev/null && mv "$file.part" "$file"
}

# The name of a data set in titles and of its files.
name_of() {
  local base=${1##*/}
  echo "${base%.*}"
}

# Installs what is missing and builds; leaves in SERVER_OPTIONS what test/with_server is to start.
set_up() {
  announce "Dependencies"
  test/install_dependencies bench

  announce "Build"
  make -s -j"$(nproc)" all scann_bench
  as_root make -s install PG_CONFIG="$PG_CONFIG"

  mkdir -p $results
  export SERVER_OPTIONS=${SERVER_OPTIONS:-$server_options}
}

# finish [MISSING...]: says where the results are and what is not among them; fails where something is not.
finish() {
  announce "Results are in $results"
  [ $# -eq 0 ] || echo "NOT MEASURED, since the data cannot be had here: $*"
  [ $# -eq 0 ]
}
