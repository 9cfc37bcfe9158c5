// The LUT16 scan, compiled once per instruction set.
#include "core/adc.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/code_block.hpp"
#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/adc.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"

#ifndef SCANN_CORE_ADC_CPP_
#define SCANN_CORE_ADC_CPP_
namespace scann {
namespace {

constexpr std::uint32_t kAllLanes = 0xFFFFFFFF;

// The score, the same on every instruction set: both products are exact in double (24 bits times 16), so that
// it makes no difference whether a compiler fuses them with the additions.
inline float score_of(const CodeRun& run, float scale, std::uint32_t sum, std::uint32_t term) {
  return static_cast<float>((double{run.base} + double{scale} * sum) - double{run.term_scale} * term);
}

// The least sum that may score above the threshold; one more than any sum when none does.
inline std::uint32_t least_sum(float threshold, float base, float scale) {
  // A score above the threshold implies sum > (threshold - base) / scale; the quotient's rounding error is
  // far smaller than the millionth taken off.
  const double limit = (double{threshold} - base) / scale;
  if (!(limit >= 0)) return 0;
  if (limit >= 65536) return 65536;
  return static_cast<std::uint32_t>(limit - 1e-6) + 1;
}

}  // namespace
}  // namespace scann
#endif  // SCANN_CORE_ADC_CPP_

HWY_BEFORE_NAMESPACE();
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kBlockBytes = kGroupSize / 2;

#if HWY_TARGET == HWY_SCALAR

// The same without vectors, for processors without byte shuffles.
template <class D8>
class GroupSums {
 public:
  static constexpr std::size_t kStep = 1;

  explicit GroupSums(const LookupTable& table) : entries_(table.entries), blocks_(table.blocks) {}

  void compute(const std::uint8_t* codes, std::uint16_t* sums) const {
    std::fill_n(sums, kGroupSize, std::uint16_t{0});
    for (std::size_t b = 0; b < blocks_; ++b) {
      const std::uint8_t* table = entries_ + b * kCodewords;
      for (std::size_t i = 0; i < kBlockBytes; ++i) {
        const std::uint8_t both = codes[b * kBlockBytes + i];
        sums[i] += table[both & 0x0F];
        sums[i + kBlockBytes] += table[both >> 4];
      }
    }
  }

 private:
  const std::uint8_t* entries_;
  std::size_t blocks_;
};

#else

// Sums the table entries of groups. A vector of D8 takes several blocks at a time, one in each of its 16-byte
// lanes, where shuffles look up both halves' codes.
template <class D8>
class GroupSums {
 public:
  // A table has at least kStep blocks.
  static constexpr std::size_t kStep = hn::MaxLanes(D8()) / kBlockBytes;

  explicit GroupSums(const LookupTable& table) : entries_(table.entries), blocks_(table.blocks) {
    // The last blocks are read with some that were counted before: those find zeros in this table.
    const std::size_t left = blocks_ % kStep;
    std::fill_n(tail_, (kStep - left) * kBlockBytes, std::uint8_t{0});
    std::copy_n(entries_ + (blocks_ - left) * kCodewords, left * kCodewords,
                tail_ + (kStep - left) * kBlockBytes);
  }

  // sums[lane] of one group; `sums` is aligned for vectors.
  HWY_INLINE void compute(const std::uint8_t* codes, std::uint16_t* sums) const {
    const D8 d8;
    const hn::Repartition<std::uint16_t, D8> d16;
    auto all_low = hn::Zero(d16), all_high = all_low, odd_low = all_low, odd_high = all_low;
    // Sums of bytes: as 16-bit lanes both bytes at once (the odd one 256-fold, modulo 2^16), and the odd byte
    // alone.
    const auto add = [&](const std::uint8_t* block, hn::Vec<D8> table) HWY_ATTR {
      const auto both = hn::LoadU(d8, block);
      const auto low = hn::TableLookupBytes(table, hn::And(both, hn::Set(d8, std::uint8_t{0x0F})));
      const auto high = hn::TableLookupBytes(table, hn::ShiftRight<4>(both));
      all_low = hn::Add(all_low, hn::BitCast(d16, low));
      all_high = hn::Add(all_high, hn::BitCast(d16, high));
      odd_low = hn::Add(odd_low, hn::ShiftRight<8>(hn::BitCast(d16, low)));
      odd_high = hn::Add(odd_high, hn::ShiftRight<8>(hn::BitCast(d16, high)));
    };
    std::size_t b = 0;
    for (; b + kStep <= blocks_; b += kStep) {
      add(codes + b * kBlockBytes, hn::LoadU(d8, entries_ + b * kCodewords));
    }
    if (b < blocks_) add(codes + (blocks_ - kStep) * kBlockBytes, hn::Load(d8, tail_));
    store(d16, all_low, all_high, odd_low, odd_high, sums);
  }

 private:
  // Adds up the blocks of a vector and puts even and odd vectors in order.
  template <class D16, class V>
  static HWY_INLINE void store(D16 d16, V all_low, V all_high, V odd_low, V odd_high, std::uint16_t* sums) {
    if constexpr (kStep == 1) {
      hn::StoreInterleaved2(hn::Sub(all_low, hn::ShiftLeft<8>(odd_low)), odd_low, d16, sums);
      hn::StoreInterleaved2(hn::Sub(all_high, hn::ShiftLeft<8>(odd_high)), odd_high, d16, sums + kBlockBytes);
    } else {
      const auto all = add_blocks(d16, all_low, all_high);
      const auto odd = add_blocks(d16, odd_low, odd_high);
      const hn::CappedTag<std::uint16_t, kBlockBytes> d;
      hn::StoreInterleaved2(hn::Sub(all, hn::ShiftLeft<8>(odd)), odd, d, sums);
    }
  }

  // Blocks of `low` into the first 16-byte lane of the result, blocks of `high` into the second.
  template <class D16, class V>
  static HWY_INLINE hn::Vec<hn::CappedTag<std::uint16_t, kBlockBytes>> add_blocks(D16 d16, V low, V high) {
    const auto straight = hn::OddEvenBlocks(high, low);
    const auto crossed = hn::SwapAdjacentBlocks(hn::OddEvenBlocks(low, high));
    const auto pairs = hn::Add(straight, crossed);
    if constexpr (kStep == 4) {
      return hn::Add(hn::LowerHalf(hn::Half<D16>(), pairs), hn::UpperHalf(hn::Half<D16>(), pairs));
    } else {
      return pairs;
    }
  }

  const std::uint8_t* entries_;
  std::size_t blocks_;
  alignas(64) std::uint8_t tail_[kStep * kBlockBytes];
};

#endif  // HWY_TARGET == HWY_SCALAR

// Bit i: sums[i] >= least, which is at most 65535.
HWY_INLINE std::uint32_t lanes_at_least(const std::uint16_t* sums, std::uint32_t least) {
  const hn::CappedTag<std::uint16_t, kGroupSize> d;
  const auto limit = hn::Set(d, static_cast<std::uint16_t>(least));
  std::uint32_t lanes = 0;
  for (std::size_t i = 0; i < kGroupSize; i += hn::Lanes(d)) {
    const auto sum = hn::Load(d, sums + i);
    alignas(8) std::uint8_t bits[8] = {};
    hn::StoreMaskBits(d, hn::Eq(hn::Max(sum, limit), sum), bits);
    std::uint32_t word;
    std::memcpy(&word, bits, sizeof(word));
    lanes |= word << i;
  }
  return lanes;
}

template <class D8>
void scan_groups(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates) {
  const GroupSums<D8> group_sums(table);
  const bool has_terms = run.term_scale > 0;
  const std::size_t stride = group_bytes(table.blocks, has_terms);
  float threshold = candidates.threshold();
  std::uint32_t least = has_terms ? 0 : least_sum(threshold, run.base, table.scale);
  alignas(64) std::uint16_t sums[kGroupSize];
  for (std::size_t first = 0; first < run.count && least <= table.max_sum; first += kGroupSize) {
    const std::uint8_t* group = run.groups + first / kGroupSize * stride;
    group_sums.compute(group, sums);
    std::uint32_t lanes = lanes_at_least(sums, least);
    if (run.count - first < kGroupSize) lanes &= kAllLanes >> (kGroupSize - (run.count - first));
    if (lanes == 0) continue;
    for (; lanes != 0; lanes &= lanes - 1) {
      const std::size_t lane = std::countr_zero(lanes);
      const float score =
          score_of(run, table.scale, sums[lane], has_terms ? load_term(table.blocks, lane, group) : 0);
      if (score > candidates.threshold()) {
        candidates.push({score, run.run, static_cast<std::uint32_t>(first + lane)});
      }
    }
    if (candidates.threshold() != threshold) {
      threshold = candidates.threshold();
      if (!has_terms) least = least_sum(threshold, run.base, table.scale);
    }
  }
}

template <class D8>
void score_groups(const LookupTable& table, const CodeRun& run, float* scores) {
  const GroupSums<D8> group_sums(table);
  const bool has_terms = run.term_scale > 0;
  const std::size_t stride = group_bytes(table.blocks, has_terms);
  alignas(64) std::uint16_t sums[kGroupSize];
  for (std::size_t first = 0; first < run.count; first += kGroupSize) {
    const std::uint8_t* group = run.groups + first / kGroupSize * stride;
    group_sums.compute(group, sums);
    const std::size_t lanes = std::min(kGroupSize, run.count - first);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      scores[first + lane] =
          score_of(run, table.scale, sums[lane], has_terms ? load_term(table.blocks, lane, group) : 0);
    }
  }
}

using WideBytes = hn::CappedTag<std::uint8_t, 64>;
using BlockBytes =
    hn::CappedTag<std::uint8_t, kBlockBytes>;  // for tables of fewer blocks than a wide vector takes

void adc_scan(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates) {
  if (table.blocks >= GroupSums<WideBytes>::kStep) return scan_groups<WideBytes>(table, run, candidates);
  scan_groups<BlockBytes>(table, run, candidates);
}

void adc_scores(const LookupTable& table, const CodeRun& run, float* scores) {
  if (table.blocks >= GroupSums<WideBytes>::kStep) return score_groups<WideBytes>(table, run, scores);
  score_groups<BlockBytes>(table, run, scores);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(adc_scan);
HWY_EXPORT(adc_scores);

void adc_scan(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates) {
  HWY_DYNAMIC_DISPATCH(adc_scan)(table, run, candidates);
}

void adc_scores(const LookupTable& table, const CodeRun& run, float* scores) {
  HWY_DYNAMIC_DISPATCH(adc_scores)(table, run, scores);
}

}  // namespace scann
#endif  // HWY_ONCE
