// How fast the kernels are on this machine: the scan in ns a code and GB/s, alone and with candidates; sums
// of 8-bit products; matrix products beside Eigen's; nearest centroids; building a look-up table; trimming
// candidates; encoding.
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <algorithm>
#include <random>
#include <vector>

#include "core/adc.hpp"
#include "core/code_block.hpp"
#include "core/codeword_search.hpp"
#include "core/kernels.hpp"
#include "core/lookup_table.hpp"
#include "core/scalar_quantizer.hpp"
#include "core/top_k.hpp"

namespace scann {
namespace {

std::vector<float> normals(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

struct alignas(64) CacheLine {
  std::uint8_t bytes[64];
};

// A query's work as in an index of GloVe's size: 50 leaves of 340 codes, the better leaves first.
struct Leaves {
  static constexpr std::size_t kLeaves = 50;
  static constexpr std::size_t kCodesPerLeaf = 340;
  static constexpr std::size_t kCodes = kLeaves * kCodesPerLeaf;

  Leaves(std::size_t blocks, bool has_terms) {
    std::mt19937 random(1);
    entry_lines.resize((blocks * kCodewords + 63) / 64);
    entries = entry_lines[0].bytes;
    std::uint32_t max_sum = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      std::uint8_t* block = &entries[b * kCodewords];
      for (std::size_t c = 0; c < kCodewords; ++c) block[c] = static_cast<std::uint8_t>(random());
      max_sum += *std::max_element(block, block + kCodewords);
    }
    table = {entries, blocks, 0.001F, 0.0F, max_sum};
    const std::size_t leaf_bytes =
        (kCodesPerLeaf + kGroupSize - 1) / kGroupSize * group_bytes(blocks, has_terms);
    codes.resize(kLeaves * leaf_bytes);
    for (std::uint8_t& byte : codes) byte = static_cast<std::uint8_t>(random());
    const float spread = 0.001F * 74 * std::sqrt(static_cast<float>(blocks));  // of the scores within a leaf
    for (std::uint32_t i = 0; i < kLeaves; ++i) {
      const float base = -spread * 2 * std::log2(1 + static_cast<float>(i)) / 5.7F;
      runs.push_back({&codes[i * leaf_bytes], kCodesPerLeaf, base, has_terms ? 1e-6F : 0.0F, i});
    }
  }

  std::vector<CacheLine> entry_lines;  // tables are read fastest when aligned
  std::uint8_t* entries;
  std::vector<std::uint8_t> codes;
  LookupTable table;
  std::vector<CodeRun> runs;
};

void count_codes(benchmark::State& state, const Leaves& leaves) {
  const double codes = static_cast<double>(state.iterations()) * Leaves::kCodes;
  state.counters["ns/code"] =
      benchmark::Counter(codes * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(leaves.codes.size()));
}

// No code survives: the kernel alone.
void adc_kernel(benchmark::State& state) {
  Leaves leaves(static_cast<std::size_t>(state.range(0)), state.range(1) != 0);
  std::vector<Candidate> memory(CandidateBuffer::capacity_for(1));
  CandidateBuffer buffer(memory, 1);
  // Just below what a leaf could reach at best, so that no leaf is skipped.
  const float limit = 0.001F * static_cast<float>(leaves.table.max_sum - 1);
  buffer.push({limit, 0, 0});
  buffer.finish();
  for (CodeRun& run : leaves.runs) run.base = 0;
  for (auto _ : state) {
    for (const CodeRun& run : leaves.runs) adc_scan(leaves.table, run, buffer);
  }
  benchmark::DoNotOptimize(buffer.threshold());
  count_codes(state, leaves);
}
BENCHMARK(adc_kernel)->ArgNames({"blocks", "terms"})->ArgsProduct({{25, 48, 50, 96}, {0, 1}});

// A whole query, with the best K kept and put in order.
void adc_candidates(benchmark::State& state) {
  const Leaves leaves(static_cast<std::size_t>(state.range(0)), state.range(1) != 0);
  const std::size_t k = static_cast<std::size_t>(state.range(2));
  std::vector<Candidate> memory(CandidateBuffer::capacity_for(k));
  for (auto _ : state) {
    CandidateBuffer buffer(memory, k);
    for (const CodeRun& run : leaves.runs) adc_scan(leaves.table, run, buffer);
    benchmark::DoNotOptimize(buffer.finish().data());
  }
  count_codes(state, leaves);
}
BENCHMARK(adc_candidates)
    ->ArgNames({"blocks", "terms", "k"})
    ->ArgsProduct({{25, 50, 96}, {0, 1}, {100}})
    ->Args({50, 0, 200})
    ->Args({50, 0, 1000});

// Codes on pages of 8 kB, as the buffer pool has them, in random order: what of the scan is waiting for
// memory. The working set should exceed a cache; `ahead`: each call brings the next page closer.
void adc_pages(benchmark::State& state) {
  constexpr std::size_t kPage = 8192, kOffset = 112, kBlocks = 50, kGroups = 9;
  const std::size_t pages = static_cast<std::size_t>(state.range(0)) * 1'000'000 / kPage;
  const bool ahead = state.range(1) != 0;
  const Leaves leaves(kBlocks, false);
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> memory(pages * kPage / sizeof(std::uint64_t));
  for (std::uint64_t& word : memory) word = random();
  std::vector<const std::uint8_t*> order(pages);
  for (std::size_t i = 0; i < pages; ++i) {
    order[i] = reinterpret_cast<const std::uint8_t*>(memory.data()) + i * kPage + kOffset;
  }
  std::shuffle(order.begin(), order.end(), random);
  std::vector<Candidate> candidates(CandidateBuffer::capacity_for(1));
  CandidateBuffer buffer(candidates, 1);
  buffer.push({0.001F * static_cast<float>(leaves.table.max_sum - 1), 0, 0});
  buffer.finish();
  for (auto _ : state) {
    for (std::size_t i = 0; i < pages; ++i) {
      CodeRun run{order[i], kGroups * kGroupSize, 0, 0, 0};
      if (ahead) {
        run.next = order[(i + 1) % pages];
        run.next_bytes = kGroups * group_bytes(kBlocks, false);
      }
      adc_scan(leaves.table, run, buffer);
    }
  }
  const std::int64_t calls = state.iterations() * static_cast<std::int64_t>(pages);
  state.counters["ns/code"] = benchmark::Counter(static_cast<double>(calls) * kGroups * kGroupSize * 1e-9,
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(calls * static_cast<std::int64_t>(kGroups * group_bytes(kBlocks, false)));
}
BENCHMARK(adc_pages)->ArgNames({"MB", "ahead"})->ArgsProduct({{10, 60, 200}, {0, 1}});

void adc_all_scores(benchmark::State& state) {
  const Leaves leaves(static_cast<std::size_t>(state.range(0)), state.range(1) != 0);
  std::vector<float> scores(Leaves::kCodesPerLeaf);
  for (auto _ : state) {
    for (const CodeRun& run : leaves.runs) adc_scores(leaves.table, run, scores.data());
    benchmark::ClobberMemory();
  }
  count_codes(state, leaves);
}
BENCHMARK(adc_all_scores)->ArgNames({"blocks", "terms"})->ArgsProduct({{50}, {0, 1}});

void dot_i8_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0));
  const std::vector<float> q = normals(dims, 1);
  std::vector<std::int8_t> v(dims * 64);
  std::size_t i = 0;
  for (std::int8_t& level : v) level = static_cast<std::int8_t>(i++ * 37);
  for (auto _ : state) {
    for (std::size_t row = 0; row < 64; ++row)
      benchmark::DoNotOptimize(dot_i8(q.data(), &v[row * dims], dims));
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(dot_i8_kernel)->Arg(100)->Arg(384)->Arg(768);

// The centroids of an index against one query, the query's quantisation included.
void dot_i8_rows_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0)), count = 580;
  const std::vector<float> q = normals(dims, 1);
  std::vector<std::int8_t> rows(dims * count);
  std::size_t i = 0;
  for (std::int8_t& level : rows) level = static_cast<std::int8_t>(i++ * 37);
  std::vector<std::int8_t> levels(dims);
  std::vector<float> dots(count);
  for (auto _ : state) {
    const float scale = quantize_query(q.data(), dims, levels.data());
    dot_i8_rows(levels.data(), scale, rows.data(), count, dims, dots.data());
    benchmark::ClobberMemory();
  }
  state.counters["ns/row"] = benchmark::Counter(static_cast<double>(state.iterations() * 580) * 1e-9,
                                                benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(dot_i8_rows_kernel)->Arg(100)->Arg(384)->Arg(768);

void squared_distance_i8_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0));
  const std::vector<float> q = normals(dims, 1);
  const std::vector<std::int8_t> v(dims, 3);
  for (auto _ : state) benchmark::DoNotOptimize(squared_distance_i8(q.data(), v.data(), 0.1F, dims));
}
BENCHMARK(squared_distance_i8_kernel)->Arg(100)->Arg(768);

void inner_product_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0));
  const std::vector<float> a = normals(dims, 1), b = normals(dims, 2);
  for (auto _ : state) benchmark::DoNotOptimize(inner_product(a.data(), b.data(), dims));
}
BENCHMARK(inner_product_kernel)->Arg(100)->Arg(768);

void cosine_sums_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0));
  const std::vector<float> a = normals(dims, 1), b = normals(dims, 2);
  for (auto _ : state) benchmark::DoNotOptimize(cosine_sums(a.data(), b.data(), dims));
}
BENCHMARK(cosine_sums_kernel)->Arg(100)->Arg(768);

void count_flops(benchmark::State& state) {
  const double flops =
      2.0 * static_cast<double>(state.iterations() * state.range(0) * state.range(1) * state.range(2));
  state.counters["GFlop/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
}

void matrix_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "columns", "dims"})
      ->Args({1024, 1000, 100})
      ->Args({1024, 1000, 768})
      ->Args({64, 1000, 100})
      ->Args({1024, 16, 8})
      ->Args({768, 1, 768});
}

void dot_matrix_kernel(benchmark::State& state) {
  const std::size_t rows = static_cast<std::size_t>(state.range(0)),
                    columns = static_cast<std::size_t>(state.range(1)),
                    dims = static_cast<std::size_t>(state.range(2));
  const std::vector<float> a = normals(rows * dims, 1), b = normals(columns * dims, 2);
  std::vector<float> out(rows * columns);
  for (auto _ : state) {
    dot_matrix(a.data(), rows, b.data(), columns, dims, out.data());
    benchmark::ClobberMemory();
  }
  count_flops(state);
}
BENCHMARK(dot_matrix_kernel)->Apply(matrix_shapes);

// Compile with -march=native for a fair match.
void dot_matrix_eigen(benchmark::State& state) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix a = Matrix::Random(state.range(0), state.range(2));
  const Matrix b = Matrix::Random(state.range(1), state.range(2));
  Matrix out(a.rows(), b.rows());
  for (auto _ : state) {
    out.noalias() = a * b.transpose();
    benchmark::ClobberMemory();
  }
  count_flops(state);
}
BENCHMARK(dot_matrix_eigen)->Apply(matrix_shapes);

void nearest_centroids_kernel(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0)),
                    count = static_cast<std::size_t>(state.range(1)),
                    dims = static_cast<std::size_t>(state.range(2));
  const std::vector<float> points = normals(n * dims, 1), centroids = normals(count * dims, 2);
  std::vector<float> half_norms(count), scratch(nearest_scratch_floats(count)), distance(n);
  std::vector<std::uint32_t> nearest(n);
  for (std::size_t j = 0; j < count; ++j) {
    half_norms[j] = static_cast<float>(inner_product(&centroids[j * dims], &centroids[j * dims], dims) / 2);
  }
  for (auto _ : state) {
    nearest_centroids(points.data(), n, centroids.data(), half_norms.data(), count, dims, scratch.data(),
                      nearest.data(), distance.data());
    benchmark::ClobberMemory();
  }
  count_flops(state);
}
BENCHMARK(nearest_centroids_kernel)
    ->ArgNames({"points", "centroids", "dims"})
    ->Args({1024, 1000, 100})
    ->Args({1024, 1000, 768})
    ->Args({1, 1000, 100})
    ->Args({4096, 16, 2});

void lookup_table_kernel(benchmark::State& state) {
  const CodebookShape shape{static_cast<std::uint32_t>(state.range(0)),
                            static_cast<std::uint32_t>(state.range(1))};
  const std::vector<float> codewords = normals(shape.codewords(), 1), query = normals(shape.dims, 2);
  std::vector<float> scratch(lookup_table_scratch_floats(shape));
  std::vector<std::uint8_t> entries(shape.blocks() * kCodewords);
  for (auto _ : state)
    benchmark::DoNotOptimize(build_lookup_table(shape, codewords, query, scratch, entries));
}
BENCHMARK(lookup_table_kernel)
    ->Args({100, 2})
    ->Args({100, 1})
    ->Args({384, 4})
    ->Args({768, 8})
    ->Args({1536, 16});

// One vector's codes: nearest codewords, then coordinate descent on the score-aware loss.
void encode_kernel(benchmark::State& state) {
  const std::size_t dims = static_cast<std::size_t>(state.range(0)), width = 2, blocks = dims / width;
  const std::size_t rows = 64;
  const std::vector<float> codewords = normals(dims * kCodewords, 1);
  const std::vector<float> points = normals(dims * rows, 2), residuals = normals(dims * rows, 3);
  std::vector<float> transposed(codewords.size());
  transpose_codewords(codewords.data(), blocks, width, transposed.data());
  std::vector<BlockTable> tables(blocks);
  std::vector<std::uint8_t> codes(blocks);
  const float inverse_norm = 1 / std::sqrt(static_cast<float>(dims));
  for (auto _ : state) {
    for (std::size_t i = 0; i < rows; ++i) {
      fill_block_tables(transposed.data(), dims, width, &points[i * dims], &residuals[i * dims], inverse_norm,
                        tables.data(), codes.data());
      benchmark::DoNotOptimize(descend_codes(tables.data(), blocks, 5, 3, codes.data()));
    }
  }
  state.counters["ns/vector"] = benchmark::Counter(static_cast<double>(state.iterations()) * rows * 1e-9,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(encode_kernel)->Arg(100)->Arg(192);

void scalar_quantize_kernel(benchmark::State& state) {
  const std::vector<float> x = normals(static_cast<std::size_t>(state.range(0)), 1);
  std::vector<std::int8_t> v(x.size());
  for (auto _ : state) benchmark::DoNotOptimize(scalar_quantize(x, v));
}
BENCHMARK(scalar_quantize_kernel)->Arg(100)->Arg(768);

}  // namespace
}  // namespace scann
