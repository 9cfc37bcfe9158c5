// Exact nearest neighbours by brute force: what an index's answers are measured against.
#include "exact.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

// Queries scored together, so that a row is read once for all of them and the loop over them vectorises
// without changing the order of any sum.
constexpr std::size_t kTile = 16;

// Rows kept by their float score beyond the k asked for; these are then ordered in double precision.
constexpr std::size_t kSpare = 64;

struct Candidate {
  float score;  // larger is nearer
  std::uint32_t row;
};

// Keeps the best candidates seen: lets a buffer grow to twice its size, then cuts it by selection.
class Candidates {
 public:
  explicit Candidates(std::size_t wanted) : wanted_(wanted) { buffer_.reserve(2 * wanted); }

  void Offer(float score, std::uint32_t row) {
    if (score < threshold_) return;
    buffer_.push_back({score, row});
    if (buffer_.size() == 2 * wanted_) Trim();
  }

  const std::vector<Candidate>& all() const { return buffer_; }

 private:
  void Trim() {
    const auto last_kept = buffer_.begin() + static_cast<std::ptrdiff_t>(wanted_) - 1;
    std::ranges::nth_element(buffer_, last_kept, std::ranges::greater(), &Candidate::score);
    threshold_ = last_kept->score;
    buffer_.resize(wanted_);
  }

  std::size_t wanted_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Candidate> buffer_;
};

// Up to kTile queries, transposed: `values[j * kTile + i]` is dimension j of query i.
struct Tile {
  std::vector<float> values;
  std::size_t count = 0;
};

Tile Transpose(const Matrix& queries, std::size_t first) {
  Tile tile{std::vector<float>(queries.dims * kTile), std::min(kTile, queries.rows() - first)};
  for (std::size_t i = 0; i < tile.count; ++i) {
    for (std::size_t j = 0; j < queries.dims; ++j) {
      tile.values[j * kTile + i] = queries.row(first + i)[j];
    }
  }
  return tile;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PER_INSTRUCTION_SET __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define PER_INSTRUCTION_SET
#endif

PER_INSTRUCTION_SET
void InnerProducts(const float* tile, const float* row, std::size_t dims, float* scores) {
  std::array<float, kTile> sums{};
  for (std::size_t j = 0; j < dims; ++j) {
    for (std::size_t i = 0; i < kTile; ++i) sums[i] += tile[j * kTile + i] * row[j];
  }
  std::copy(sums.begin(), sums.end(), scores);
}

PER_INSTRUCTION_SET
void NegativeSquaredDistances(const float* tile, const float* row, std::size_t dims, float* scores) {
  std::array<float, kTile> sums{};
  for (std::size_t j = 0; j < dims; ++j) {
    for (std::size_t i = 0; i < kTile; ++i) {
      const float difference = tile[j * kTile + i] - row[j];
      sums[i] -= difference * difference;
    }
  }
  std::copy(sums.begin(), sums.end(), scores);
}

// One over each row's norm; 0 for rows of zeros, which Distance() sorts last afterwards.
std::vector<float> InverseNorms(const Matrix& vectors) {
  std::vector<float> inverse(vectors.rows());
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const double norm = Norm(vectors.row(i));
    inverse[i] = norm > 0 ? static_cast<float>(1 / norm) : 0;
  }
  return inverse;
}

std::vector<double> Smallest(std::vector<double> distances, std::size_t k) {
  const std::size_t count = std::min(k, distances.size());
  std::ranges::partial_sort(distances, distances.begin() + static_cast<std::ptrdiff_t>(count));
  distances.resize(count);
  return distances;
}

void ScoreTile(Metric metric, const Table& table, const std::vector<float>& inverse_norms,
               const Matrix& queries, std::size_t first, std::size_t k, ExactDistances& out) {
  const Tile tile = Transpose(queries, first);
  std::vector<Candidates> best(tile.count, Candidates(k + kSpare));
  std::array<float, kTile> scores;
  for (std::size_t r = 0; r < table.vectors.rows(); ++r) {
    const auto row = table.vectors.row(r);
    if (metric == Metric::kEuclidean) {
      NegativeSquaredDistances(tile.values.data(), row.data(), row.size(), scores.data());
    } else {
      InnerProducts(tile.values.data(), row.data(), row.size(), scores.data());
    }
    const float scale = metric == Metric::kCosine ? inverse_norms[r] : 1.0F;
    for (std::size_t i = 0; i < tile.count; ++i) {
      best[i].Offer(scores[i] * scale, static_cast<std::uint32_t>(r));
    }
  }
  for (std::size_t i = 0; i < tile.count; ++i) {
    std::vector<double> distances;
    for (const Candidate& candidate : best[i].all()) {
      distances.push_back(Distance(metric, queries.row(first + i), table.vectors.row(candidate.row)));
    }
    out[first + i] = Smallest(std::move(distances), k);
  }
}

}  // namespace

Metric MetricOfOperator(const std::string& op) {
  if (op == "<#>") return Metric::kInnerProduct;
  if (op == "<=>") return Metric::kCosine;
  if (op == "<->") return Metric::kEuclidean;
  throw std::runtime_error("exact answers are known for <#>, <=> and <->, not for " + op);
}

double Norm(std::span<const float> x) {
  double squares = 0;
  for (const float v : x) squares += double{v} * v;
  return std::sqrt(squares);
}

double Distance(Metric metric, std::span<const float> query, std::span<const float> row) {
  double sum = 0;
  if (metric == Metric::kEuclidean) {
    for (std::size_t j = 0; j < row.size(); ++j) {
      const double difference = double{query[j]} - row[j];
      sum += difference * difference;
    }
    return std::sqrt(sum);
  }
  for (std::size_t j = 0; j < row.size(); ++j) sum += double{query[j]} * row[j];
  if (metric == Metric::kInnerProduct) return -sum;
  const double norms = Norm(query) * Norm(row);
  return norms > 0 ? 1 - sum / norms : std::numeric_limits<double>::infinity();
}

ExactDistances NearestDistances(Metric metric, const Table& table, const Matrix& queries, std::size_t k) {
  ExactDistances out(queries.rows());
  const auto inverse_norms = metric == Metric::kCosine ? InverseNorms(table.vectors) : std::vector<float>();
  std::atomic<std::size_t> next_tile = 0;
  const auto work = [&] {
    while (true) {
      const std::size_t first = kTile * next_tile++;
      if (first >= queries.rows()) return;
      ScoreTile(metric, table, inverse_norms, queries, first, k, out);
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
  work();
  threads.clear();
  return out;
}

std::vector<double> NearestDistances(Metric metric, const Table& table, std::span<const float> query,
                                     std::span<const std::int32_t> ids, std::size_t k) {
  std::vector<double> distances;
  for (const std::int32_t id : ids) {
    const auto found = table.row_of_id.find(id);
    if (found != table.row_of_id.end()) {
      distances.push_back(Distance(metric, query, table.vectors.row(found->second)));
    }
  }
  return Smallest(std::move(distances), k);
}

}  // namespace bench
