// The inner loops of encoding with Highway: 16 codewords are one vector of AVX-512, two of AVX2, four of SSE
// or NEON.
#include "core/codeword_search.hpp"

#include <algorithm>
#include <limits>

#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/codeword_search.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace scann {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kCodewords>;

// The index of the smallest of 16 values, the first among equals; 0 if all are NaN.
HWY_INLINE std::size_t smallest(const float* HWY_RESTRICT values) {
  const Floats d;
  auto low = hn::LoadU(d, values);
  for (std::size_t j = hn::Lanes(d); j < kCodewords; j += hn::Lanes(d))
    low = hn::Min(low, hn::LoadU(d, values + j));
  const auto minimum = hn::MinOfLanes(d, low);
  for (std::size_t j = 0; j < kCodewords; j += hn::Lanes(d)) {
    const std::intptr_t found = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, values + j), minimum));
    if (found >= 0) return j + static_cast<std::size_t>(found);
  }
  return 0;
}

void FillBlockTables(const float* HWY_RESTRICT transposed, std::size_t dims, std::size_t block_dims,
                     const float* HWY_RESTRICT point, const float* HWY_RESTRICT residual, float inverse_norm,
                     BlockTable* HWY_RESTRICT tables, std::uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  for (std::size_t from = 0; from < dims; from += block_dims, transposed += block_dims * kCodewords) {
    BlockTable& table = *tables++;
    const std::size_t width = std::min(block_dims, dims - from);
    for (std::size_t j = 0; j < kCodewords; j += hn::Lanes(d)) {
      auto error = hn::Zero(d);
      auto along = hn::Zero(d);
      for (std::size_t k = 0; k < width; ++k) {
        const auto codewords = hn::LoadU(d, transposed + k * kCodewords + j);
        const auto difference = hn::Sub(hn::Set(d, residual[from + k]), codewords);
        error = hn::MulAdd(difference, difference, error);
        along = hn::MulAdd(difference, hn::Set(d, point[from + k]), along);
      }
      hn::StoreU(error, d, table.error + j);
      hn::StoreU(hn::Mul(along, hn::Set(d, inverse_norm)), d, table.along + j);
    }
    if (codes != nullptr) *codes++ = static_cast<std::uint8_t>(smallest(table.error));
  }
}

double DescendCodes(const BlockTable* HWY_RESTRICT tables, std::size_t blocks, float eta, int rounds,
                    std::uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  const float extra = eta - 1;
  double error;
  double along;
  for (bool changed = extra > 0;; --rounds) {
    error = along = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      error += static_cast<double>(tables[b].error[codes[b]]);
      along += static_cast<double>(tables[b].along[codes[b]]);
    }
    if (!changed || rounds == 0) break;
    changed = false;
    float total = static_cast<float>(along);
    for (std::size_t b = 0; b < blocks; ++b) {
      const BlockTable& table = tables[b];
      const float others = total - table.along[codes[b]];
      HWY_ALIGN float loss[kCodewords];
      for (std::size_t j = 0; j < kCodewords; j += hn::Lanes(d)) {
        const auto parallel = hn::Add(hn::LoadU(d, table.along + j), hn::Set(d, others));
        const auto weighted = hn::Mul(parallel, hn::Set(d, extra));
        hn::Store(hn::MulAdd(weighted, parallel, hn::LoadU(d, table.error + j)), d, loss + j);
      }
      const std::size_t best = smallest(loss);
      if (!(loss[best] < loss[codes[b]])) continue;
      total = others + table.along[best];
      codes[b] = static_cast<std::uint8_t>(best);
      changed = true;
    }
  }
  return error + static_cast<double>(extra) * along * along;
}

void NearestCodewords(const float* HWY_RESTRICT transposed, std::size_t block_dims,
                      const float* HWY_RESTRICT rows, std::size_t n, std::uint8_t* HWY_RESTRICT codes,
                      float* HWY_RESTRICT distances) {
  const Floats d;
  for (std::size_t i = 0; i < n; ++i, rows += block_dims) {
    HWY_ALIGN float error[kCodewords];
    for (std::size_t j = 0; j < kCodewords; j += hn::Lanes(d)) {
      auto sum = hn::Zero(d);
      for (std::size_t k = 0; k < block_dims; ++k) {
        const auto difference = hn::Sub(hn::Set(d, rows[k]), hn::LoadU(d, transposed + k * kCodewords + j));
        sum = hn::MulAdd(difference, difference, sum);
      }
      hn::Store(sum, d, error + j);
    }
    const std::size_t best = smallest(error);
    codes[i] = static_cast<std::uint8_t>(best);
    distances[i] = error[best];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace scann
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(FillBlockTables);
HWY_EXPORT(DescendCodes);
HWY_EXPORT(NearestCodewords);

void transpose_codewords(const float* codewords, std::size_t blocks, std::size_t dims, float* transposed) {
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t j = 0; j < kCodewords; ++j) {
      for (std::size_t k = 0; k < dims; ++k) transposed[k * kCodewords + j] = *codewords++;
    }
    transposed += dims * kCodewords;
  }
}

void fill_block_tables(const float* transposed, std::size_t dims, std::size_t block_dims, const float* point,
                       const float* residual, float inverse_norm, BlockTable* tables, std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(FillBlockTables)
  (transposed, dims, block_dims, point, residual, inverse_norm, tables, codes);
}

double descend_codes(const BlockTable* tables, std::size_t blocks, float eta, int rounds,
                     std::uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(DescendCodes)(tables, blocks, eta, rounds, codes);
}

void nearest_codewords(const float* transposed, std::size_t block_dims, const float* rows, std::size_t n,
                       std::uint8_t* codes, float* distances) {
  HWY_DYNAMIC_DISPATCH(NearestCodewords)(transposed, block_dims, rows, n, codes, distances);
}

}  // namespace scann
#endif  // HWY_ONCE
