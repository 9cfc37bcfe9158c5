// The micro-kernel of dense matrix products, compiled once per instruction set (included by kernels.cpp
// only).
//
// Both operands are row-major, and out = A B^T. Columns (rows of B) are taken a panel at a time:
//
//   panel[k][j]   k < depth <= kDepthBlock, j < kPanelColumns    B's values transposed, zero where B has no
//   column
//
// so that one broadcast from a row of A meets whole vectors of columns. kTileRows x kPanelColumns sums stay
// in registers over the depth of a panel; a panel stays in the first-level cache over kRowBlock rows of A,
// and those rows in the second-level cache over all panels.

// Toggled, not #pragma once: this file is included once per instruction set.
#if defined(SCANN_CORE_MATRIX_PRODUCT_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef SCANN_CORE_MATRIX_PRODUCT_INL_HPP_
#undef SCANN_CORE_MATRIX_PRODUCT_INL_HPP_
#else
#define SCANN_CORE_MATRIX_PRODUCT_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatVectors = hn::ScalableTag<float>;

// Two vectors of columns; with kTileRows rows they fill the registers: 32 of AVX-512 and AArch64, 16
// elsewhere. Where few columns are left, a panel has half as many.
inline constexpr std::size_t kPanelColumns = 2 * hn::MaxLanes(FloatVectors());
inline constexpr std::size_t kHalfPanel = kPanelColumns / 2;
inline constexpr std::size_t kTileRows = (HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64) ? 12 : 6;
inline constexpr std::size_t kDepthBlock = 256;
inline constexpr std::size_t kRowBlock = 256;

// out[k * stride + j] = b[j * dims + k] for j < 4, k < 4.
HWY_INLINE void transpose_4x4(const float* b, std::size_t dims, float* out, std::size_t stride) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t j = 0; j < 4; ++j) out[k * stride + j] = b[j * dims + k];
  }
#else
  const hn::Full128<float> d;
  const auto row0 = hn::LoadU(d, b);
  const auto row1 = hn::LoadU(d, b + dims);
  const auto row2 = hn::LoadU(d, b + 2 * dims);
  const auto row3 = hn::LoadU(d, b + 3 * dims);
  const auto low02 = hn::InterleaveLower(d, row0, row2);
  const auto low13 = hn::InterleaveLower(d, row1, row3);
  const auto high02 = hn::InterleaveUpper(d, row0, row2);
  const auto high13 = hn::InterleaveUpper(d, row1, row3);
  hn::StoreU(hn::InterleaveLower(d, low02, low13), d, out);
  hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, out + stride);
  hn::StoreU(hn::InterleaveLower(d, high02, high13), d, out + 2 * stride);
  hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, out + 3 * stride);
#endif
}

// Transposes `columns` rows of b, `depth` values of each, into a panel.
template <std::size_t kColumns>
inline void pack_panel(const float* b, std::size_t columns, std::size_t dims, std::size_t depth,
                       float* panel) {
  const std::size_t filled = std::min(columns, kColumns);
  const std::size_t whole = filled / 4 * 4;
  for (std::size_t j = 0; j < whole; j += 4, b += 4 * dims) {
    std::size_t k = 0;
    for (; k + 4 <= depth; k += 4) transpose_4x4(b + k, dims, panel + k * kColumns + j, kColumns);
    for (; k < depth; ++k) {
      for (std::size_t i = 0; i < 4; ++i) panel[k * kColumns + j + i] = b[i * dims + k];
    }
  }
  if (whole == kColumns) return;
  for (std::size_t k = 0; k < depth; ++k, panel += kColumns) {
    for (std::size_t j = whole; j < kColumns; ++j) panel[j] = j < filled ? b[(j - whole) * dims + k] : 0.0F;
  }
}

// out[r][j] (+)= sum over the panel's depth of a[r][k] * panel[k][j].
template <std::size_t kColumns, std::size_t kRows>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT a, std::size_t dims, const float* HWY_RESTRICT panel,
                              std::size_t depth, bool accumulate, float* HWY_RESTRICT out,
                              std::size_t stride) {
  const FloatVectors d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kVectors = kColumns / hn::MaxLanes(FloatVectors());
  hn::Vec<FloatVectors> sums[kRows][kVectors];
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(2)
    for (std::size_t v = 0; v < kVectors; ++v) {
      sums[r][v] = accumulate ? hn::LoadU(d, out + r * stride + v * lanes) : hn::Zero(d);
    }
  }
  for (std::size_t k = 0; k < depth; ++k, panel += kColumns) {
    hn::Vec<FloatVectors> columns[kVectors];
    HWY_UNROLL(2)
    for (std::size_t v = 0; v < kVectors; ++v) columns[v] = hn::Load(d, panel + v * lanes);
    HWY_UNROLL(12)
    for (std::size_t r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, a[r * dims + k]);
      HWY_UNROLL(2)
      for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(value, columns[v], sums[r][v]);
    }
  }
  HWY_UNROLL(12)
  for (std::size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(2)
    for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, out + r * stride + v * lanes);
  }
}

// As many tiles of kRows rows as fit from row `r` on; returns the first row left.
template <std::size_t kColumns, std::size_t kRows>
HWY_INLINE std::size_t multiply_tiles(std::size_t r, const float* a, std::size_t rows, std::size_t dims,
                                      const float* panel, std::size_t depth, bool accumulate, float* out,
                                      std::size_t stride) {
  for (; r + kRows <= rows; r += kRows) {
    multiply_tile<kColumns, kRows>(a + r * dims, dims, panel, depth, accumulate, out + r * stride, stride);
  }
  return r;
}

// out[i * stride + j] = <row i of a, row j of b> for j < kColumns; zero where j >= columns.
template <std::size_t kColumns>
inline void multiply_panel(const float* a, std::size_t rows, const float* b, std::size_t columns,
                           std::size_t dims, float* out, std::size_t stride) {
  HWY_ALIGN float panel[kDepthBlock * kColumns];
  std::size_t k = 0;
  do {
    const std::size_t depth = std::min(kDepthBlock, dims - k);
    pack_panel<kColumns>(b + k, columns, dims, depth, panel);
    std::size_t r =
        multiply_tiles<kColumns, kTileRows>(0, a + k, rows, dims, panel, depth, k > 0, out, stride);
    r = multiply_tiles<kColumns, 3>(r, a + k, rows, dims, panel, depth, k > 0, out, stride);
    multiply_tiles<kColumns, 1>(r, a + k, rows, dims, panel, depth, k > 0, out, stride);
    k += depth;
  } while (k < dims);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
