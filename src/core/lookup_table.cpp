// Building and quantising the look-up table of a query.
#include "core/lookup_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace scann {
namespace {

constexpr float kMaxEntry = 255;
constexpr float kMaxSum = 65535;

// <q_block, codeword> for every block and codeword.
void block_products(const CodebookShape& shape, const float* codewords, std::span<const float> query,
                    float* products) {
  const std::size_t width = shape.dims_per_block;
  for (std::size_t begin = 0; begin < query.size(); begin += width) {
    const std::size_t used = std::min(width, query.size() - begin);  // the last block's padding is zero
    for (std::size_t c = 0; c < kCodewords; ++c) {
      float sum = 0;
      for (std::size_t i = 0; i < used; ++i) sum += query[begin + i] * codewords[i];
      *products++ = sum;
      codewords += width;
    }
  }
}

// Products of huge vectors may overflow. Such a table tells codes apart no more; re-ordering still will.
LookupTable blank_table(std::size_t blocks, std::span<std::uint8_t> entries) {
  std::fill_n(entries.begin(), blocks * kCodewords, std::uint8_t{0});
  return {entries.data(), blocks, 1.0F, 0.0F, 0};
}

}  // namespace

std::size_t lookup_table_scratch_floats(const CodebookShape& shape) { return shape.blocks() * kCodewords; }

LookupTable build_lookup_table(const CodebookShape& shape, std::span<const float> codewords,
                               std::span<const float> query, std::span<float> scratch,
                               std::span<std::uint8_t> entries) {
  const std::size_t blocks = shape.blocks();
  block_products(shape, codewords.data(), query.first(shape.dims), scratch.data());

  double offset = 0;
  double sum_of_ranges = 0;
  double largest_range = 0;
  double sum = 0;  // finite only if every product is
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::span<const float> products = scratch.subspan(b * kCodewords, kCodewords);
    for (const float product : products) sum += product;
    const auto [least, most] = std::minmax_element(products.begin(), products.end());
    const double range = double{*most} - *least;
    offset += *least;
    sum_of_ranges += range;
    largest_range = std::max(largest_range, range);
  }
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (!std::isfinite(sum) || std::fabs(offset) > kLargest || largest_range > kLargest) {
    return blank_table(blocks, entries);
  }
  const double needed =
      std::max(largest_range / kMaxEntry, sum_of_ranges / (kMaxSum - static_cast<double>(blocks)));
  const float scale = std::max(static_cast<float>(needed), std::numeric_limits<float>::min());
  const float inverse = 1.0F / scale;
  std::uint32_t max_sum = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    const float* products = &scratch[b * kCodewords];
    const float least = *std::min_element(products, products + kCodewords);
    std::uint8_t largest = 0;
    for (std::size_t c = 0; c < kCodewords; ++c) {
      const float entry = std::min((products[c] - least) * inverse + 0.5F, kMaxEntry);
      entries[b * kCodewords + c] = static_cast<std::uint8_t>(entry);
      largest = std::max(largest, entries[b * kCodewords + c]);
    }
    max_sum += largest;
  }
  return {entries.data(), blocks, scale, static_cast<float>(offset), max_sum};
}

}  // namespace scann
