// Exact neighbours of the calibration queries.
#include "am/neighbors.hpp"

#include "core/kernels.hpp"

namespace scann::am {
namespace {

// Queries compared with a batch at a time, so that their products stay in the processor's cache.
constexpr std::size_t kQueryBlock = 256;

bool nearer(const Neighbor& a, const Neighbor& b) {
  return a.score != b.score ? a.score > b.score : tid_key(a.tid) < tid_key(b.tid);
}

// The row of a batch, which the build has yet to put into its partitions' lists.
Neighbor neighbor(float score, const ItemPointerData& tid, std::size_t row,
                  std::span<const std::uint32_t> nearest, std::span<const std::uint32_t> second) {
  Neighbor found{.score = score, .places = {}, .tid = tid};
  found.places[0].partition = nearest[row];
  if (!second.empty()) found.places[1].partition = second[row];
  return found;
}

}  // namespace

NeighborSearch::Kept::Kept(std::size_t queries, std::span<std::byte> memory) {
  auto* neighbors = reinterpret_cast<Neighbor*>(memory.data());
  selves = {neighbors, queries};
  found = {neighbors + queries, first(queries)};
  counts = {reinterpret_cast<std::uint32_t*>(neighbors + queries + first(queries)), queries};
}

std::size_t NeighborSearch::bytes(std::size_t queries) {
  return (queries + first(queries)) * sizeof(Neighbor) + queries * sizeof(std::uint32_t);
}

std::size_t NeighborSearch::first(std::size_t query) {
  const std::size_t deep = (query + kDeepEvery - 1) / kDeepEvery;
  return deep * capacity(0) + (query - deep) * capacity(1);
}

NeighborSearch::NeighborSearch(const CalibrationQueries& queries, std::span<std::byte> memory)
    : queries_(queries),
      kept_(queries.count(), memory),
      worst_(palloc_span<Neighbor>(queries.count())),
      by_tid_(palloc_span<std::uint32_t>(queries.count())),
      products_(palloc_span<float>(std::min(kQueryBlock, queries.count()) * kObserveBatch)) {
  const Neighbor none{.score = -std::numeric_limits<float>::infinity(),
                      .places = {},
                      .tid = {.ip_blkid = {.bi_hi = 0xFFFF, .bi_lo = 0xFFFF}, .ip_posid = 0xFFFF}};
  std::fill(kept_.selves.begin(), kept_.selves.end(), none);
  std::fill(kept_.counts.begin(), kept_.counts.end(), 0);
  std::fill(worst_.begin(), worst_.end(), none);
  for (std::uint32_t q = 0; q < by_tid_.size(); ++q) by_tid_[q] = q;
  std::sort(by_tid_.begin(), by_tid_.end(), [this](std::uint32_t a, std::uint32_t b) {
    return tid_key(queries_.tids[a]) < tid_key(queries_.tids[b]);
  });
}

// The query that was sampled from a row, or kUnknown.
std::uint32_t NeighborSearch::query_of(const ItemPointerData& tid) const {
  const int64 row = tid_key(tid);
  const auto found = std::partition_point(by_tid_.begin(), by_tid_.end(),
                                          [&](std::uint32_t q) { return tid_key(queries_.tids[q]) < row; });
  return found != by_tid_.end() && tid_key(queries_.tids[*found]) == row ? *found : kUnknown;
}

void NeighborSearch::observe(std::span<const float> rows, std::span<const ItemPointerData> tids,
                             std::span<const std::uint32_t> nearest, std::span<const std::uint32_t> second) {
  float half_norms[kObserveBatch] = {};
  for (std::size_t r = 0; r < tids.size(); ++r) {
    const float* row = &rows[r * queries_.dims];
    if (queries_.metric == Metric::kEuclidean) {
      half_norms[r] = static_cast<float>(0.5 * inner_product(row, row, queries_.dims));
    }
    const std::uint32_t query = query_of(tids[r]);
    if (query == kUnknown) continue;
    self(query) = neighbor(0, tids[r], r, nearest, second);
  }
  for (std::size_t q = 0; q < queries_.count(); q += kQueryBlock) {
    observe_queries(q, std::min(q + kQueryBlock, queries_.count()), rows, tids, nearest, second, half_norms);
  }
}

void NeighborSearch::observe_queries(std::size_t begin, std::size_t end, std::span<const float> rows,
                                     std::span<const ItemPointerData> tids,
                                     std::span<const std::uint32_t> nearest,
                                     std::span<const std::uint32_t> second, const float* half_norms) {
  const std::size_t columns = rows.size() / queries_.dims;
  dot_matrix(queries_.row(begin), end - begin, rows.data(), columns, queries_.dims, products_.data());
  std::uint32_t near[kObserveBatch];
  for (std::size_t q = begin; q < end; ++q) {
    const float* products = &products_[(q - begin) * columns];
    const std::size_t count = differences_at_least(products, half_norms, tids.size(), worst_[q].score, near);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t r = near[i];
      if (tid_key(tids[r]) == tid_key(queries_.tids[q])) continue;
      add(q, neighbor(products[r] - half_norms[r], tids[r], r, nearest, second));
    }
  }
}

// Rows are collected until there is no more room for them, and only then sorted out: cheaper than a heap.
void NeighborSearch::add(std::size_t query, const Neighbor& neighbor) {
  if (!nearer(neighbor, worst_[query])) return;
  kept_.found[first(query) + kept_.counts[query]++] = neighbor;
  if (kept_.counts[query] == capacity(query)) trim(query);
}

// Leaves the best.
void NeighborSearch::trim(std::size_t query) {
  const std::size_t kept = neighbors_kept(query);
  const std::span<Neighbor> found = neighbors_of(query);
  if (found.size() <= kept) return;
  std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept - 1), found.end(), nearer);
  worst_[query] = found[kept - 1];
  kept_.counts[query] = static_cast<std::uint32_t>(kept);
}

void NeighborSearch::merge(std::span<std::byte> memory) {
  const Kept other(queries_.count(), memory);
  for (std::size_t q = 0; q < queries_.count(); ++q) {
    if (other.selves[q].places[0].partition != kUnknown) self(q) = other.selves[q];
    for (const Neighbor& neighbor : other.found.subspan(first(q), other.counts[q])) add(q, neighbor);
  }
}

void NeighborSearch::rank() {
  for (std::size_t q = 0; q < queries_.count(); ++q) {
    trim(q);
    const std::span<Neighbor> found = neighbors_of(q);
    std::sort(found.begin(), found.end(), nearer);
  }
}

}  // namespace scann::am
