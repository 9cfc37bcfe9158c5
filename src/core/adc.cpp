// The LUT16 scan, compiled once per instruction set.
#include "core/adc.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

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

// The score, the same on every instruction set: both products are exact in double (24 bits times 16), so that
// it makes no difference whether a compiler fuses them with the additions.
inline float score_of(const CodeRun& run, float scale, std::uint32_t sum, std::uint32_t term) {
  return static_cast<float>((double{run.base} + double{scale} * sum) - double{run.term_scale} * term);
}

// The least sum that may score above the threshold, where the largest does.
inline std::uint32_t least_sum(double threshold, double base, double scale) {
  // A score above the threshold implies sum > (threshold - base) / scale; the quotient's rounding error is
  // far smaller than the millionth taken off.
  const double limit = (threshold - base) / scale;
  return limit >= 0 ? static_cast<std::uint32_t>(limit - 1e-6) + 1 : 0;
}

}  // namespace
}  // namespace scann
#endif  // SCANN_CORE_ADC_CPP_

#if HWY_TARGET <= HWY_AVX3_DL
// Highway looks for VNNI before it chooses this target, but older versions do not let the compiler use it.
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kBlockBytes = kGroupSize / 2;

// Brings memory into the second-level cache while codes are scanned, a few lines at a time: all of a page at
// once would fill the queue of outstanding cache misses, and the scan would wait behind it.
class Prefetcher {
 public:
  // Where nothing follows the run, its own first line is asked for: cheaper than a branch.
  explicit Prefetcher(const CodeRun& run)
      : at_(run.next_bytes > 0 ? run.next : run.groups), end_(at_ + run.next_bytes) {}

  // Asks for as many lines as kBytes fill.
  template <std::size_t kBytes>
  HWY_INLINE void advance() {
    for (std::size_t i = 0; i < kBytes; i += kLine) line();
  }

  void rest() {
    while (at_ < end_) line();
  }

 private:
  static constexpr std::size_t kLine = 64;

  // At the end, the last line again and again.
  HWY_INLINE void line() {
    __builtin_prefetch(at_, 0, 2);
    at_ = at_ + kLine < end_ ? at_ + kLine : end_;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

#if HWY_TARGET == HWY_SCALAR

// The same without vectors, for processors without byte shuffles.
template <class D8>
class GroupSums {
 public:
  static constexpr std::size_t kStep = 1;

  explicit GroupSums(const LookupTable& table) : entries_(table.entries), blocks_(table.blocks) {}

  template <std::size_t kGroups>
  void compute(const std::uint8_t* codes, std::size_t stride, std::uint16_t* sums, Prefetcher&) const {
    std::fill_n(sums, kGroups * kGroupSize, std::uint16_t{0});
    for (std::size_t g = 0; g < kGroups; ++g, codes += stride, sums += kGroupSize) {
      for (std::size_t i = 0; i < blocks_ * kBlockBytes; ++i) {
        const std::uint8_t* block_entries = entries_ + i / kBlockBytes * kCodewords;
        sums[i % kBlockBytes] += block_entries[codes[i] & 0x0F];
        sums[i % kBlockBytes + kBlockBytes] += block_entries[codes[i] >> 4];
      }
    }
  }

 private:
  const std::uint8_t* entries_;
  std::size_t blocks_;
};

#else

// A table's last blocks, fewer than a vector takes, are read together with some that were counted before:
// those find zeros in this copy of the entries.
template <std::size_t kStep>
HWY_INLINE void copy_tail(const LookupTable& table, std::uint8_t* tail) {
  const std::size_t left = table.blocks % kStep;
  std::fill_n(tail, kStep * kCodewords, std::uint8_t{0});
  std::copy_n(table.entries + (table.blocks - left) * kCodewords, left * kCodewords,
              tail + (kStep - left) * kCodewords);
}

// Sums the table entries of groups. A vector of D8 takes several blocks at a time, one in each of its 16-byte
// lanes, where shuffles look up both halves' codes.
template <class D8>
class GroupSums {
 public:
  // A table has at least kStep blocks.
  static constexpr std::size_t kStep = hn::MaxLanes(D8()) / kBlockBytes;

  explicit GroupSums(const LookupTable& table) : entries_(table.entries), blocks_(table.blocks) {
    copy_tail<kStep>(table, tail_);
  }

  // sums[lane] of kGroups consecutive groups, `stride` bytes apart; `sums` is aligned for vectors. Two groups
  // share each load of the table.
  template <std::size_t kGroups>
  HWY_INLINE void compute(const std::uint8_t* codes, std::size_t stride, std::uint16_t* sums,
                          Prefetcher& next) const {
    // For each group's low and high halves of bytes. Two bytes make a 16-bit lane: `all` sums both at once,
    // the odd byte counting 256-fold (modulo 2^16), and `odd` the odd one alone.
    V16 all[2 * kGroups];
    V16 odd[2 * kGroups];
    HWY_UNROLL(4)
    for (std::size_t i = 0; i < 2 * kGroups; ++i) all[i] = odd[i] = hn::Zero(D16());
    std::size_t b = 0;
    for (; b + kStep <= blocks_; b += kStep) {
      const auto entries = hn::LoadU(D8(), entries_ + b * kCodewords);
      next.advance<kGroups * kStep * kBlockBytes>();
      HWY_UNROLL(2)
      for (std::size_t g = 0; g < kGroups; ++g) {
        add(entries, codes + g * stride + b * kBlockBytes, all + 2 * g, odd + 2 * g);
      }
    }
    if (b < blocks_) {
      const auto entries = hn::Load(D8(), tail_);
      const std::size_t last = (blocks_ - kStep) * kBlockBytes;
      HWY_UNROLL(2)
      for (std::size_t g = 0; g < kGroups; ++g)
        add(entries, codes + g * stride + last, all + 2 * g, odd + 2 * g);
    }
    HWY_UNROLL(2)
    for (std::size_t g = 0; g < kGroups; ++g) store(all + 2 * g, odd + 2 * g, sums + g * kGroupSize);
  }

 private:
  using D16 = hn::Repartition<std::uint16_t, D8>;
  using V16 = hn::Vec<D16>;

  static HWY_INLINE void add(hn::Vec<D8> entries, const std::uint8_t* codes, V16* all, V16* odd) {
    const D8 d8;
    const D16 d16;
    const auto both = hn::LoadU(d8, codes);
    const auto low =
        hn::BitCast(d16, hn::TableLookupBytes(entries, hn::And(both, hn::Set(d8, std::uint8_t{0x0F}))));
    const auto high = hn::BitCast(d16, hn::TableLookupBytes(entries, hn::ShiftRight<4>(both)));
    all[0] = hn::Add(all[0], low);
    all[1] = hn::Add(all[1], high);
    odd[0] = hn::Add(odd[0], hn::ShiftRight<8>(low));
    odd[1] = hn::Add(odd[1], hn::ShiftRight<8>(high));
  }

  // Adds up the blocks of a vector and puts even and odd vectors in order.
  static HWY_INLINE void store(const V16* all, const V16* odd, std::uint16_t* sums) {
    if constexpr (kStep == 1) {
      const D16 d;
      hn::StoreInterleaved2(hn::Sub(all[0], hn::ShiftLeft<8>(odd[0])), odd[0], d, sums);
      hn::StoreInterleaved2(hn::Sub(all[1], hn::ShiftLeft<8>(odd[1])), odd[1], d, sums + kBlockBytes);
    } else {
      const hn::CappedTag<std::uint16_t, kBlockBytes> d;
      const auto odds = add_blocks(odd[0], odd[1]);
      const auto evens = hn::Sub(add_blocks(all[0], all[1]), hn::ShiftLeft<8>(odds));
      hn::StoreInterleaved2(evens, odds, d, sums);
    }
  }

  // Blocks of `low` into the first 16-byte lane of the result, blocks of `high` into the second.
  static HWY_INLINE hn::Vec<hn::CappedTag<std::uint16_t, kBlockBytes>> add_blocks(V16 low, V16 high) {
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

#if HWY_TARGET <= HWY_AVX3_DL

// The same four blocks at a time, with the instructions that look up 64 codes in 64 entries (VBMI) and add up
// four neighbouring bytes (VNNI).
class QuadSums {
 public:
  static constexpr std::size_t kStep = 4;

  explicit QuadSums(const LookupTable& table) : entries_(table.entries), blocks_(table.blocks) {
    copy_tail<kStep>(table, tail_);
    // Brings the four codes of a vector, which lie 16 bytes apart, together.
    alignas(64) std::uint8_t transposition[kBytes];
    for (std::size_t i = 0; i < kBytes; ++i)
      transposition[i] = static_cast<std::uint8_t>(i % kStep * kBlockBytes + i / kStep);
    transposition_ = _mm512_load_si512(transposition);
  }

  template <std::size_t kGroups>
  HWY_INLINE void compute(const std::uint8_t* codes, std::size_t stride, std::uint16_t* sums,
                          Prefetcher& next) const {
    __m512i low[kGroups];  // lanes of 32 bits: a group's first 16 vectors
    __m512i high[kGroups];
    HWY_UNROLL(2)
    for (std::size_t g = 0; g < kGroups; ++g) low[g] = high[g] = _mm512_setzero_si512();
    std::size_t b = 0;
    for (; b + kStep <= blocks_; b += kStep) {
      const __m512i entries = _mm512_loadu_si512(entries_ + b * kCodewords);
      next.advance<kGroups * kBytes>();
      HWY_UNROLL(2)
      for (std::size_t g = 0; g < kGroups; ++g)
        add(entries, codes + g * stride + b * kBlockBytes, low[g], high[g]);
    }
    if (b < blocks_) {
      const __m512i entries = _mm512_load_si512(tail_);
      const std::size_t last = (blocks_ - kStep) * kBlockBytes;
      HWY_UNROLL(2)
      for (std::size_t g = 0; g < kGroups; ++g) add(entries, codes + g * stride + last, low[g], high[g]);
    }
    HWY_UNROLL(2)
    for (std::size_t g = 0; g < kGroups; ++g) {
      auto* group_sums = reinterpret_cast<__m256i*>(sums + g * kGroupSize);
      _mm256_store_si256(group_sums, _mm512_cvtepi32_epi16(low[g]));
      _mm256_store_si256(group_sums + 1, _mm512_cvtepi32_epi16(high[g]));
    }
  }

 private:
  static constexpr std::size_t kBytes = kStep * kBlockBytes;

  // A byte's index into the entries: a code, and above it which of the four blocks it belongs to. Where the
  // codes are shifted, what comes from the neighbouring byte is masked with the rest.
  HWY_INLINE void add(__m512i entries, const std::uint8_t* codes, __m512i& low, __m512i& high) const {
    constexpr int kCodeOrBlock = 0xEA;  // (a & b) | c
    const __m512i code_bits = _mm512_set1_epi8(0x0F);
    const __m512i block_bits = _mm512_set1_epi32(0x30201000);
    const __m512i ones = _mm512_set1_epi8(1);
    const __m512i both = _mm512_permutexvar_epi8(transposition_, _mm512_loadu_si512(codes));
    const __m512i low_index = _mm512_ternarylogic_epi32(both, code_bits, block_bits, kCodeOrBlock);
    const __m512i high_index =
        _mm512_ternarylogic_epi32(_mm512_srli_epi16(both, 4), code_bits, block_bits, kCodeOrBlock);
    low = _mm512_dpbusd_epi32(low, _mm512_permutexvar_epi8(low_index, entries), ones);
    high = _mm512_dpbusd_epi32(high, _mm512_permutexvar_epi8(high_index, entries), ones);
  }

  const std::uint8_t* entries_;
  std::size_t blocks_;
  __m512i transposition_;
  alignas(64) std::uint8_t tail_[kBytes];
};

#endif  // HWY_TARGET <= HWY_AVX3_DL
#endif  // HWY_TARGET == HWY_SCALAR

// The bits of a mask, lane 0 first.
template <class D>
HWY_INLINE std::uint32_t mask_bits(D d, hn::Mask<D> mask) {
  std::uint8_t bytes[8] = {};
  hn::StoreMaskBits(d, mask, bytes);
  std::uint32_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

// Finds the lanes of a group whose sums may score above the threshold: an integer comparison.
class SumFilter {
 public:
  SumFilter(const LookupTable& table, const CodeRun& run) : base_(run.base), scale_(table.scale) {}

  void set_threshold(float threshold) {
    least_ = static_cast<std::uint16_t>(least_sum(threshold, base_, scale_));
  }

  HWY_INLINE std::uint32_t survivors(const std::uint16_t* sums, const std::uint8_t* /*terms*/) const {
    const hn::CappedTag<std::uint16_t, kGroupSize> d;
    const auto least = hn::Set(d, least_);
    std::uint32_t lanes = 0;
    for (std::size_t i = 0; i < kGroupSize; i += hn::Lanes(d)) {
      const auto sum = hn::Load(d, sums + i);
      lanes |= mask_bits(d, hn::Eq(hn::Max(sum, least), sum)) << i;
    }
    return lanes;
  }

 private:
  double base_;
  double scale_;
  std::uint16_t least_;
};

// The same where every vector has its own term: in float, less what float may be wrong by.
class TermFilter {
 public:
  TermFilter(const LookupTable& table, const CodeRun& run)
      : base_(run.base), scale_(table.scale), term_scale_(run.term_scale) {}

  void set_threshold(float threshold) {
    const double distance = double{threshold} - base_;
    const double largest = (double{scale_} + term_scale_) * 65535 + std::fabs(distance);
    limit_ = static_cast<float>(distance - largest * 0x1p-21);
    const bool overflows = largest > std::numeric_limits<float>::max() / 2 && std::isfinite(distance);
    if (overflows) limit_ = std::numeric_limits<float>::quiet_NaN();  // not above anything
  }

  HWY_INLINE std::uint32_t survivors(const std::uint16_t* sums, const std::uint8_t* terms) const {
    const hn::CappedTag<float, kGroupSize> d;
    const hn::Rebind<std::uint16_t, decltype(d)> d16;
    const hn::Rebind<std::int32_t, decltype(d)> d32;
    const auto scale = hn::Set(d, scale_);
    const auto term_scale = hn::Set(d, term_scale_);
    const auto limit = hn::Set(d, limit_);
    std::uint32_t lanes = 0;
    for (std::size_t i = 0; i < kGroupSize; i += hn::Lanes(d)) {
      const auto* term_lanes = reinterpret_cast<const std::uint16_t*>(terms) + i;
      const auto sum = hn::ConvertTo(d, hn::PromoteTo(d32, hn::Load(d16, sums + i)));
      const auto term = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d16, term_lanes)));
      const auto score = hn::NegMulAdd(term, term_scale, hn::Mul(sum, scale));
      lanes |= mask_bits(d, hn::Not(hn::Le(score, limit))) << i;
    }
    return lanes;
  }

 private:
  double base_;
  float scale_;
  float term_scale_;
  float limit_;
};

// The live lanes of a group and, in the upper half, of the one behind it.
HWY_INLINE std::uint64_t live_lanes(const CodeRun& run, std::size_t group, bool two) {
  return run.live[group] | (two ? std::uint64_t{run.live[group + 1]} << kGroupSize : 0);
}

template <class Sums, class Filter>
HWY_INLINE void scan_groups(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates) {
  const Sums group_sums(table);
  Prefetcher next(run);
  const std::size_t codes_bytes = group_bytes(table.blocks, false);
  const std::size_t stride = group_bytes(table.blocks, run.term_scale > 0);
  const float best_possible = score_of(run, table.scale, table.max_sum, 0);
  float threshold = candidates.threshold();
  Filter filter(table, run);
  filter.set_threshold(threshold);
  HWY_ALIGN std::uint16_t sums[2 * kGroupSize];
  const std::uint8_t* group = run.groups;
  for (std::size_t first = 0; first < run.count && best_possible > threshold; first += 2 * kGroupSize) {
    const std::size_t left = run.count - first;
    std::uint64_t lanes;
    if (left > kGroupSize) {
      group_sums.template compute<2>(group, stride, sums, next);
      lanes = filter.survivors(sums, group + codes_bytes);
      lanes |= std::uint64_t{filter.survivors(sums + kGroupSize, group + stride + codes_bytes)} << kGroupSize;
    } else {
      group_sums.template compute<1>(group, stride, sums, next);
      lanes = filter.survivors(sums, group + codes_bytes);
    }
    if (left < 2 * kGroupSize) lanes &= ~std::uint64_t{0} >> (2 * kGroupSize - left);
    if (lanes != 0) {
      if (run.live != nullptr) lanes &= live_lanes(run, first / kGroupSize, left > kGroupSize);
      for (; lanes != 0; lanes &= lanes - 1) {
        const std::size_t lane = std::countr_zero(lanes);
        const std::uint32_t term = run.term_scale > 0 ? load_term(table.blocks, lane % kGroupSize,
                                                                  group + lane / kGroupSize * stride)
                                                      : 0;
        const float score = score_of(run, table.scale, sums[lane], term);
        if (score > candidates.threshold()) {
          candidates.push({score, run.run, static_cast<std::uint32_t>(first + lane)});
        }
      }
      if (candidates.threshold() != threshold) {
        threshold = candidates.threshold();
        filter.set_threshold(threshold);
      }
    }
    group += 2 * stride;
  }
  next.rest();
}

// score_of() all lanes of a group.
HWY_INLINE void score_group(const LookupTable& table, const CodeRun& run, const std::uint16_t* sums,
                            const std::uint8_t* terms, float* scores) {
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128  // their DemoteTo saturates where others overflow
  for (std::size_t i = 0; i < kGroupSize; ++i) {
    std::uint16_t term = 0;
    if (run.term_scale > 0) std::memcpy(&term, terms + i * sizeof(term), sizeof(term));
    scores[i] = score_of(run, table.scale, sums[i], term);
  }
#else
  const hn::ScalableTag<double> d;
  const hn::Rebind<std::uint16_t, decltype(d)> d16;
  const hn::Rebind<std::int32_t, decltype(d)> d32;
  const hn::Rebind<float, decltype(d)> df;
  const auto base = hn::Set(d, double{run.base});
  const auto scale = hn::Set(d, double{table.scale});
  const auto term_scale = hn::Set(d, double{run.term_scale});
  for (std::size_t i = 0; i < kGroupSize; i += hn::Lanes(d)) {
    const auto sum = hn::PromoteTo(d, hn::PromoteTo(d32, hn::Load(d16, sums + i)));
    auto score = hn::Add(base, hn::Mul(scale, sum));
    if (run.term_scale > 0) {
      const auto* term_lanes = reinterpret_cast<const std::uint16_t*>(terms) + i;
      const auto term = hn::PromoteTo(d, hn::PromoteTo(d32, hn::LoadU(d16, term_lanes)));
      score = hn::Sub(score, hn::Mul(term_scale, term));
    }
    hn::StoreU(hn::DemoteTo(df, score), df, scores + i);
  }
#endif
}

template <class Sums>
HWY_INLINE void score_groups(const LookupTable& table, const CodeRun& run, float* scores) {
  const Sums group_sums(table);
  Prefetcher next(run);
  const std::size_t codes_bytes = group_bytes(table.blocks, false);
  const std::size_t stride = group_bytes(table.blocks, run.term_scale > 0);
  HWY_ALIGN std::uint16_t sums[kGroupSize];
  const std::uint8_t* group = run.groups;
  std::size_t first = 0;
  for (; first + kGroupSize <= run.count; first += kGroupSize, group += stride) {
    group_sums.template compute<1>(group, stride, sums, next);
    score_group(table, run, sums, group + codes_bytes, scores + first);
  }
  if (first == run.count) return;
  float last[kGroupSize];
  group_sums.template compute<1>(group, stride, sums, next);
  score_group(table, run, sums, group + codes_bytes, last);
  std::copy_n(last, run.count - first, scores + first);
}

#if HWY_TARGET <= HWY_AVX3_DL
using WideSums = QuadSums;
#else
using WideSums = GroupSums<hn::CappedTag<std::uint8_t, 64>>;
#endif
using BlockSums = GroupSums<hn::CappedTag<std::uint8_t, kBlockBytes>>;  // for tables of fewer blocks

void adc_scan(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates) {
  const bool wide = table.blocks >= WideSums::kStep;
  if (run.term_scale > 0) {
    if (wide) return scan_groups<WideSums, TermFilter>(table, run, candidates);
    scan_groups<BlockSums, TermFilter>(table, run, candidates);
  } else {
    if (wide) return scan_groups<WideSums, SumFilter>(table, run, candidates);
    scan_groups<BlockSums, SumFilter>(table, run, candidates);
  }
}

void adc_scores(const LookupTable& table, const CodeRun& run, float* scores) {
  if (table.blocks >= WideSums::kStep) return score_groups<WideSums>(table, run, scores);
  score_groups<BlockSums>(table, run, scores);
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
