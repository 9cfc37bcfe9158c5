// Building and quantising the look-up table of a query, compiled once per instruction set.
#include "core/lookup_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels.hpp"
#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/lookup_table.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Codewords = hn::CappedTag<float, kCodewords>;  // a value for each codeword, or for some of them

// products[c] = <query, codeword c> for the 16 codewords of a block: all terms at once, then sums of
// neighbours.
template <std::size_t kWidth>
HWY_INLINE void block_products(const float* query, const float* codewords, float* products) {
  const Codewords d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kPattern = std::max(kWidth, kCodewords);
  HWY_ALIGN float pattern[kPattern];
  for (std::size_t i = 0; i < kPattern; ++i) pattern[i] = query[i % kWidth];
  HWY_ALIGN float terms[kWidth * kCodewords];
  for (std::size_t i = 0; i < kWidth * kCodewords; i += lanes) {
    hn::Store(hn::Mul(hn::LoadU(d, codewords + i), hn::Load(d, pattern + i % kPattern)), d, terms + i);
  }
  for (std::size_t width = kWidth; width > 1; width /= 2) {
    for (std::size_t i = 0; i < width / 2 * kCodewords; i += lanes) {
      hn::Vec<Codewords> even, odd;
      hn::LoadInterleaved2(d, terms + 2 * i, even, odd);
      hn::Store(hn::Add(even, odd), d, terms + i);
    }
  }
  std::copy_n(terms, kCodewords, products);
}

template <>
HWY_INLINE void block_products<3>(const float* query, const float* codewords, float* products) {
  const Codewords d;
  for (std::size_t i = 0; i < kCodewords; i += hn::Lanes(d)) {
    hn::Vec<Codewords> first, second, third;
    hn::LoadInterleaved3(d, codewords + 3 * i, first, second, third);
    const auto sum = hn::MulAdd(second, hn::Set(d, query[1]), hn::Mul(first, hn::Set(d, query[0])));
    hn::StoreU(hn::MulAdd(third, hn::Set(d, query[2]), sum), d, products + i);
  }
}

template <std::size_t kWidth>
void table_products(const CodebookShape& shape, const float* codewords, const float* query, float* products) {
  const std::size_t whole = shape.dims / kWidth;
  for (std::size_t b = 0; b < whole; ++b) {
    block_products<kWidth>(query + b * kWidth, codewords + b * kWidth * kCodewords,
                           products + b * kCodewords);
  }
  if (whole == shape.blocks()) return;
  float last[kWidth];  // padded as its codewords are
  for (std::size_t i = 0; i < kWidth; ++i) {
    last[i] = whole * kWidth + i < shape.dims ? query[whole * kWidth + i] : 0;
  }
  block_products<kWidth>(last, codewords + whole * kWidth * kCodewords, products + whole * kCodewords);
}

// Any other number of dimensions to a block.
void table_products_of_any_width(const CodebookShape& shape, const float* codewords, const float* query,
                                 float* products) {
  const std::size_t width = shape.dims_per_block;
  for (std::size_t begin = 0; begin < shape.dims; begin += width) {
    const std::size_t used = std::min<std::size_t>(width, shape.dims - begin);
    for (std::size_t c = 0; c < kCodewords; ++c, codewords += width) {
      if (width > 16) {
        *products++ = static_cast<float>(scann::inner_product(query + begin, codewords, used));
      } else {
        float sum = 0;
        for (std::size_t i = 0; i < used; ++i) sum += query[begin + i] * codewords[i];
        *products++ = sum;
      }
    }
  }
}

void all_products(const CodebookShape& shape, const float* codewords, const float* query, float* products) {
  switch (shape.dims_per_block) {
    case 1:
      return table_products<1>(shape, codewords, query, products);
    case 2:
      return table_products<2>(shape, codewords, query, products);
    case 3:
      return table_products<3>(shape, codewords, query, products);
    case 4:
      return table_products<4>(shape, codewords, query, products);
    case 8:
      return table_products<8>(shape, codewords, query, products);
    case 16:
      return table_products<16>(shape, codewords, query, products);
    default:
      return table_products_of_any_width(shape, codewords, query, products);
  }
}

// The least and the greatest of a block's products.
void block_range(const float* products, float* least, float* greatest) {
  const Codewords d;
  auto low = hn::LoadU(d, products);
  auto high = low;
  for (std::size_t i = hn::Lanes(d); i < kCodewords; i += hn::Lanes(d)) {
    low = hn::Min(low, hn::LoadU(d, products + i));
    high = hn::Max(high, hn::LoadU(d, products + i));
  }
  *least = hn::GetLane(hn::MinOfLanes(d, low));
  *greatest = hn::GetLane(hn::MaxOfLanes(d, high));
}

// Rounds a block's products to steps above the least; returns the largest entry.
std::uint32_t quantise_block(const float* products, float least, float steps, std::uint8_t* entries) {
  const Codewords d;
  const hn::Rebind<std::int32_t, Codewords> d32;
  const hn::Rebind<std::uint8_t, Codewords> d8;
  auto largest = hn::Zero(d32);
  for (std::size_t i = 0; i < kCodewords; i += hn::Lanes(d)) {
    const auto above = hn::Sub(hn::LoadU(d, products + i), hn::Set(d, least));
    const auto entry = hn::MulAdd(above, hn::Set(d, steps), hn::Set(d, 0.5F));
    const auto rounded = hn::ConvertTo(d32, hn::Min(entry, hn::Set(d, 255.0F)));
    largest = hn::Max(largest, rounded);
    hn::StoreU(hn::DemoteTo(d8, rounded), d8, entries + i);
  }
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(d32, largest)));
}

LookupTable build_table(const CodebookShape& shape, const float* codewords, const float* query,
                        float* scratch, std::uint8_t* entries) {
  const std::size_t blocks = shape.blocks();
  float* products = scratch;
  float* least = scratch + blocks * kCodewords;
  all_products(shape, codewords, query, products);

  double offset = 0;
  double sum_of_ranges = 0;
  double largest_range = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    float greatest;
    block_range(products + b * kCodewords, &least[b], &greatest);
    const double range = double{greatest} - least[b];
    offset += least[b];
    sum_of_ranges += range;
    largest_range = std::max(largest_range, range);
  }
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (!scann::all_finite(products, blocks * kCodewords) || std::fabs(offset) > kLargest ||
      largest_range > kLargest) {
    // Products of huge vectors overflow. This table tells codes apart no more; re-ordering still will.
    std::fill_n(entries, blocks * kCodewords, std::uint8_t{0});
    return {entries, blocks, 1.0F, 0.0F, 0};
  }

  const double needed =
      std::max(largest_range / 255, sum_of_ranges / (65535.0 - static_cast<double>(blocks)));
  const float scale = std::max(static_cast<float>(needed), std::numeric_limits<float>::min());
  std::uint32_t max_sum = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    max_sum += quantise_block(products + b * kCodewords, least[b], 1 / scale, entries + b * kCodewords);
  }
  return {entries, blocks, scale, static_cast<float>(offset), max_sum};
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(build_table);

std::size_t lookup_table_scratch_floats(const CodebookShape& shape) {
  return shape.blocks() * (kCodewords + 1);
}

LookupTable build_lookup_table(const CodebookShape& shape, std::span<const float> codewords,
                               std::span<const float> query, std::span<float> scratch,
                               std::span<std::uint8_t> entries) {
  return HWY_DYNAMIC_DISPATCH(build_table)(shape, codewords.data(), query.data(), scratch.data(),
                                           entries.data());
}

}  // namespace scann
#endif  // HWY_ONCE
