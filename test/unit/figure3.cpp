// Reproduces the comparison of the paper's Figure 3: product codes trained and assigned under plain L2 loss
// against the score-aware loss, at several bits per vector, with no partitions.
//
//   figure3 FILE DIMS [max_rows]      FILE: row-major float32 vectors; they are scaled to unit norm

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "core/anisotropic.hpp"
#include "core/codebook.hpp"
#include "core/kernels.hpp"

namespace {

constexpr std::size_t kQueries = 1000;
constexpr std::size_t kTop = 100;
constexpr std::size_t kTrainingRows = 32768;
constexpr double kThreshold = 0.2;

bool never() { return false; }

struct Dataset {
  std::size_t dims;
  std::vector<float> rows;     // searched, in random order
  std::vector<float> queries;  // held out

  std::size_t count() const { return rows.size() / dims; }
};

std::vector<float> read_rows(const char* path, std::size_t dims, std::size_t max_rows) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) {
    std::perror(path);
    std::exit(1);
  }
  std::vector<float> rows;
  std::vector<float> row(dims);
  while (rows.size() < max_rows * dims && std::fread(row.data(), sizeof(float), dims, file) == dims) {
    const double norm = std::sqrt(scann::inner_product(row.data(), row.data(), dims));
    if (!(norm > 0)) continue;
    for (float value : row) rows.push_back(static_cast<float>(value / norm));
  }
  std::fclose(file);
  return rows;
}

// Shuffles the rows and holds the last ones out as queries.
Dataset split(const std::vector<float>& rows, std::size_t dims) {
  const std::size_t count = rows.size() / dims;
  if (count < 2 * kQueries) {
    std::fprintf(stderr, "figure3: needs at least %zu vectors\n", 2 * kQueries);
    std::exit(1);
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  Dataset data{dims, {}, {}};
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<float>& part = i + kQueries < count ? data.rows : data.queries;
    part.insert(part.end(), &rows[order[i] * dims], &rows[order[i] * dims] + dims);
  }
  return data;
}

// The k best rows for each query by inner product, best first.
std::vector<std::vector<std::size_t>> search(const Dataset& data, std::span<const float> rows,
                                             std::size_t k) {
  std::vector<float> products(data.count());
  std::vector<std::size_t> order(data.count());
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t q = 0; q < kQueries; ++q) {
    scann::dot_matrix(&data.queries[q * data.dims], 1, rows.data(), data.count(), data.dims, products.data());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                      [&](std::size_t a, std::size_t b) { return products[a] > products[b]; });
    result.emplace_back(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return result;
}

// Every row after encoding and decoding.
std::vector<float> reconstruct(const Dataset& data, const scann::CodebookShape& shape,
                               scann::PointWeight weight) {
  const std::size_t trained = std::min(kTrainingRows, data.count());
  const std::span<const float> sample(data.rows.data(), trained * data.dims);
  const std::vector<scann::PointWeight> weights(trained, weight);
  scann::CodebookTrainingOptions options;
  options.l2_iterations = 20;
  options.anisotropic_iterations = 8;
  std::vector<float> codewords(shape.codewords());
  if (!scann::train_codebook(shape, sample, sample, weights, options, never, codewords)) std::exit(1);

  std::vector<float> rearranged(shape.codewords());
  const scann::Encoder encoder(shape, codewords, rearranged);
  std::vector<float> scratch(encoder.scratch_floats());
  std::vector<std::uint8_t> codes(shape.blocks());
  std::vector<float> result(data.rows.size());
  for (std::size_t i = 0; i < data.count(); ++i) {
    const std::span<const float> row(&data.rows[i * data.dims], data.dims);
    encoder.encode(row, row, weight.eta, scratch, codes);
    encoder.decode(codes, std::span(&result[i * data.dims], data.dims));
  }
  return result;
}

struct Quality {
  double recall_1_at_10 = 0;
  double recall_10_at_100 = 0;
  double relative_error = 0;  // of the inner product with the true best row
};

Quality evaluate(const Dataset& data, const std::vector<std::vector<std::size_t>>& truth,
                 const std::vector<float>& reconstruction) {
  const auto found = search(data, reconstruction, kTop);
  Quality sum;
  for (std::size_t q = 0; q < kQueries; ++q) {
    const auto is_found = [&](std::size_t row, std::size_t within) {
      const auto end = found[q].begin() + static_cast<std::ptrdiff_t>(within);
      return std::find(found[q].begin(), end, row) != end;
    };
    const std::size_t best = truth[q][0];
    sum.recall_1_at_10 += is_found(best, 10);
    for (std::size_t i = 0; i < 10; ++i) sum.recall_10_at_100 += is_found(truth[q][i], kTop) / 10.0;
    const float* query = &data.queries[q * data.dims];
    const double exact = scann::inner_product(query, &data.rows[best * data.dims], data.dims);
    const double approximate = scann::inner_product(query, &reconstruction[best * data.dims], data.dims);
    sum.relative_error += std::abs((exact - approximate) / exact);
  }
  return {sum.recall_1_at_10 / kQueries, sum.recall_10_at_100 / kQueries, sum.relative_error / kQueries};
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t dims = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if (dims < 2 || dims > scann::kMaxDimensions) {
    std::fprintf(stderr, "usage: figure3 FILE DIMS [max_rows]\n");
    return 2;
  }
  scann::initialize_kernels();
  const std::size_t max_rows = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 100000;
  const Dataset data = split(read_rows(argv[1], dims, max_rows), dims);
  const auto truth = search(data, data.rows, kTop);

  const double eta = scann::threshold_eta(kThreshold, 1, scann::effective_dimension(data.rows, dims));
  const scann::PointWeight score_aware{static_cast<float>(eta), 1};
  std::printf("%zu vectors of %zu dimensions, %zu held-out queries, T = %.1f, eta = %.2f\n\n", data.count(),
              dims, kQueries, kThreshold, eta);
  std::printf("bits  loss         recall1@10  recall10@100  relative error of the top inner product\n");
  for (std::uint32_t dims_per_block : {8U, 4U, 2U}) {
    const scann::CodebookShape shape{static_cast<std::uint32_t>(dims), dims_per_block};
    for (const bool aware : {false, true}) {
      const Quality quality =
          evaluate(data, truth, reconstruct(data, shape, aware ? score_aware : scann::PointWeight{1, 1}));
      std::printf("%4zu  %-11s  %10.3f  %12.3f  %14.4f\n", shape.blocks() * 4, aware ? "score-aware" : "L2",
                  quality.recall_1_at_10, quality.recall_10_at_100, quality.relative_error);
    }
  }
  return 0;
}
