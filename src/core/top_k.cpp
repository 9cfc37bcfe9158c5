// Selection: the k-th best score by bisection, counting with vectors, compiled once per instruction set. No
// branch depends on how scores compare, which is where textbook selection spends its time.
#include "core/top_k.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>
#include <numeric>
#include <tuple>

#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/top_k.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How many of n keys exceed the limit; n is a multiple of the lanes.
HWY_INLINE std::size_t count_above(const std::int32_t* keys, std::size_t n, std::int32_t limit) {
  const hn::ScalableTag<std::int32_t> d;
  const auto limits = hn::Set(d, limit);
  auto minus_count = hn::Zero(d);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    minus_count = hn::Add(minus_count, hn::VecFromMask(d, hn::Gt(hn::LoadU(d, keys + i), limits)));
  }
  return static_cast<std::size_t>(-std::int64_t{hn::GetLane(hn::SumOfLanes(d, minus_count))});
}

// The least of n keys that exceeds the limit; one does.
HWY_INLINE std::int32_t least_above(const std::int32_t* keys, std::size_t n, std::int32_t limit) {
  const hn::ScalableTag<std::int32_t> d;
  const auto limits = hn::Set(d, limit);
  const auto none = hn::Set(d, std::numeric_limits<std::int32_t>::max());
  auto least = none;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto loaded = hn::LoadU(d, keys + i);
    least = hn::Min(least, hn::IfThenElse(hn::Gt(loaded, limits), loaded, none));
  }
  return hn::GetLane(hn::MinOfLanes(d, least));
}

// The k-th greatest of n keys between `least` and `greatest`: the least key that fewer than k exceed. The
// search is over once exactly k lie above.
std::int32_t kth_greatest(const std::int32_t* keys, std::size_t n, std::size_t k, std::int32_t least,
                          std::int32_t greatest) {
  while (least < greatest) {
    const std::int32_t middle = std::midpoint(least, greatest);  // rounded towards `least`
    const std::size_t above = count_above(keys, n, middle);
    if (above == k) return least_above(keys, n, middle);
    if (above < k) {
      greatest = middle;
    } else {
      least = middle + 1;
    }
  }
  return least;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(kth_greatest);

namespace {

// The order of results: a total one, so that selection has only one outcome.
struct Better {
  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.score != b.score) return a.score > b.score;
    return std::tie(a.run, a.index) < std::tie(b.run, b.index);
  }
};

// An integer that orders as the score does; both zeros are one.
std::int32_t key_of(float score) {
  const auto bits = std::bit_cast<std::int32_t>(score + 0.0F);
  return bits < 0 ? bits ^ std::numeric_limits<std::int32_t>::max() : bits;
}

float score_of_key(std::int32_t key) {
  return std::bit_cast<float>(key < 0 ? key ^ std::numeric_limits<std::int32_t>::max() : key);
}

}  // namespace

CandidateBuffer::CandidateBuffer(std::span<Candidate> memory, std::size_t k)
    : memory_(memory.first(capacity_for(k))),
      k_(k),
      limit_(limit_for(k)),
      threshold_(-std::numeric_limits<float>::infinity()) {}

void CandidateBuffer::trim() {
  if (size_ < k_) return;
  const std::span<Candidate> all = memory_.first(size_);
  auto* keys = new (memory_.data() + limit_) std::int32_t[padded_keys(size_)];
  std::int32_t least = std::numeric_limits<std::int32_t>::max();
  std::int32_t greatest = std::numeric_limits<std::int32_t>::min();
  for (std::size_t i = 0; i < size_; ++i) {
    keys[i] = key_of(all[i].score);
    least = std::min(least, keys[i]);
    greatest = std::max(greatest, keys[i]);
  }
  std::fill_n(keys + size_, padded_keys(size_) - size_, std::numeric_limits<std::int32_t>::min());
  const std::int32_t last = HWY_DYNAMIC_DISPATCH(kth_greatest)(keys, padded_keys(size_), k_, least, greatest);

  std::size_t equals_left = k_;
  for (std::size_t i = 0; i < size_; ++i) equals_left -= keys[i] > last ? 1 : 0;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    const Candidate candidate = all[i];
    all[kept] = candidate;
    const std::size_t kept_equal = keys[i] == last && equals_left > 0 ? 1 : 0;
    equals_left -= kept_equal;
    kept += keys[i] > last ? 1 : kept_equal;
  }
  size_ = k_;
  threshold_ = score_of_key(last);
}

std::span<Candidate> CandidateBuffer::select() {
  trim();
  return memory_.first(size_);
}

std::span<Candidate> CandidateBuffer::finish() {
  const std::span<Candidate> best = select();
  std::sort(best.begin(), best.end(), Better());
  return best;
}

BestFirst::BestFirst(std::span<const float> values, std::span<std::uint64_t> memory)
    : batch_(memory.data()),
      keys_(new (memory.data() + values.size()) std::int32_t[padded_keys(values.size())]),
      size_(values.size()),
      floor_(std::numeric_limits<std::int32_t>::max()),
      least_(std::numeric_limits<std::int32_t>::max()) {
  for (std::size_t i = 0; i < size_; ++i) {
    keys_[i] = std::min(key_of(values[i]), floor_ - 1);  // below the first batch's ceiling, were it NaN
    least_ = std::min(least_, keys_[i]);
  }
  std::fill_n(keys_ + size_, padded_keys(size_) - size_, std::numeric_limits<std::int32_t>::min());
}

void BestFirst::refill() {
  const std::int32_t ceiling = floor_;
  const bool is_last = next_batch_ >= size_ - chosen_;
  const std::int32_t floor = is_last
                                 ? least_
                                 : HWY_DYNAMIC_DISPATCH(kth_greatest)(
                                       keys_, padded_keys(size_), chosen_ + next_batch_, least_, ceiling - 1);
  const std::int32_t* keys = keys_;
  std::uint64_t* end = batch_;
  for (std::size_t i = 0, n = size_; i < n; ++i) {
    const auto key =
        static_cast<std::uint64_t>(std::int64_t{keys[i]} - std::numeric_limits<std::int32_t>::min());
    *end = key << 32 | ~static_cast<std::uint32_t>(i);
    end += keys[i] >= floor && keys[i] < ceiling ? 1 : 0;
  }
  std::sort(batch_, end);
  batch_size_ = static_cast<std::size_t>(end - batch_);
  chosen_ += batch_size_;
  next_batch_ *= 2;
  floor_ = floor;
}

}  // namespace scann
#endif  // HWY_ONCE
