// Selection: the k-th best score by bisection, counting with vectors, compiled once per instruction set. No
// branch depends on how scores compare, which is where textbook selection spends its time.
#include "core/top_k.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/top_k.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"

#ifndef SCANN_CORE_TOP_K_CPP_
#define SCANN_CORE_TOP_K_CPP_
namespace scann {
namespace {

// An integer that orders as the score does; both zeros are one.
inline std::int32_t key_of(float score) {
  const auto bits = std::bit_cast<std::int32_t>(score + 0.0F);
  return bits < 0 ? bits ^ std::numeric_limits<std::int32_t>::max() : bits;
}

// An unsigned integer that orders as the key does.
inline std::uint64_t raised(std::int32_t key) {
  return static_cast<std::uint64_t>(std::int64_t{key} - std::numeric_limits<std::int32_t>::min());
}

}  // namespace
}  // namespace scann
#endif  // SCANN_CORE_TOP_K_CPP_

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

// keys[i] = key_of(values[i]), but no more than `most`. Returns the least and the greatest.
std::pair<std::int32_t, std::int32_t> make_keys(const float* values, std::size_t n, std::int32_t most,
                                                std::int32_t* keys) {
  const hn::ScalableTag<std::int32_t> d;
  const hn::RebindToFloat<decltype(d)> df;
  const auto limit = hn::Set(d, most);
  const auto magnitude = hn::Set(d, std::numeric_limits<std::int32_t>::max());
  auto least = limit;
  auto greatest = hn::Set(d, std::numeric_limits<std::int32_t>::min());
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto bits = hn::BitCast(d, hn::Add(hn::LoadU(df, values + i), hn::Zero(df)));
    const auto key = hn::Min(hn::Xor(bits, hn::And(hn::ShiftRight<31>(bits), magnitude)), limit);
    hn::StoreU(key, d, keys + i);
    least = hn::Min(least, key);
    greatest = hn::Max(greatest, key);
  }
  std::pair range(hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, greatest)));
  for (; i < n; ++i) {
    keys[i] = std::min(key_of(values[i]), most);
    range = {std::min(range.first, keys[i]), std::max(range.second, keys[i])};
  }
  return range;
}

// Writes the keys from `floor` to below `ceiling`, each above the complement of its index and raised to be
// unsigned. Returns how many. `keys` are padded to whole vectors.
std::size_t collect(const std::int32_t* keys, std::size_t n, std::int32_t floor, std::int32_t ceiling,
                    std::uint64_t* out) {
  const hn::ScalableTag<std::int32_t> d;
  const auto least = hn::Set(d, floor);
  const auto end = hn::Set(d, ceiling);
  std::uint64_t* to = out;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto key = hn::LoadU(d, keys + i);
    std::uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, hn::AndNot(hn::Lt(key, least), hn::Lt(key, end)), bytes);
    std::uint64_t lanes;
    std::memcpy(&lanes, bytes, sizeof(lanes));
    for (; lanes != 0; lanes &= lanes - 1) {
      const std::size_t index = i + static_cast<std::size_t>(std::countr_zero(lanes));
      if (index < n) *to++ = raised(keys[index]) << 32 | ~static_cast<std::uint32_t>(index);
    }
  }
  return static_cast<std::size_t>(to - out);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(kth_greatest);
HWY_EXPORT(make_keys);
HWY_EXPORT(collect);

namespace {

// The order of results: a total one, so that selection has only one outcome.
struct Better {
  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.score != b.score) return a.score > b.score;
    return std::tie(a.run, a.index) < std::tie(b.run, b.index);
  }
};

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
      size_(values.size()) {
  // Below the first batch's ceiling, were a value NaN.
  const auto [least, greatest] = HWY_DYNAMIC_DISPATCH(make_keys)(
      values.data(), size_, std::numeric_limits<std::int32_t>::max() - 1, keys_);
  least_ = least;
  floor_ = greatest + 1;
  std::fill_n(keys_ + size_, padded_keys(size_) - size_, std::numeric_limits<std::int32_t>::min());
}

void BestFirst::refill() {
  const std::int32_t ceiling = floor_;
  const bool is_last = next_batch_ >= size_ - chosen_;
  const std::int32_t floor = is_last
                                 ? least_
                                 : HWY_DYNAMIC_DISPATCH(kth_greatest)(
                                       keys_, padded_keys(size_), chosen_ + next_batch_, least_, ceiling - 1);
  batch_size_ = HWY_DYNAMIC_DISPATCH(collect)(keys_, size_, floor, ceiling, batch_);
  std::sort(batch_, batch_ + batch_size_);
  chosen_ += batch_size_;
  next_batch_ *= 2;
  floor_ = floor;
}

}  // namespace scann
#endif  // HWY_ONCE
