// The basis in which residuals are coded, learnt from a sample so that 4-bit codes lose least: the dimensions
// as they are, dealt to blocks in another order, or the principal components worth coding. Applied to
// residuals before coding and to queries before look-up tables are built; <q, r~> is then what codes say of
// <q, r>. What the dropped components hold is lost to the codes alone: leaves, int8 copies and distances know
// nothing of the basis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/codebook.hpp"
#include "core/params.hpp"

namespace scann {

enum class RotationKind : std::uint8_t {
  kNone = 0,         // the basis as it is
  kPermutation = 1,  // dimensions dealt to blocks: enough where components already differ in variance
  kRotation = 2,     // principal components, dealt to blocks: where the covariance spectrum is skewed
};

struct CodeBasis {
  RotationKind kind = RotationKind::kNone;
  std::uint32_t dims = 0;  // of the space that is coded: all, or the number of principal components kept
};

// Principal components kept, at most.
inline constexpr std::size_t kMaxComponents = 384;

// How vectors are cut into blocks in a basis of `coded_dims` dimensions: ceil(dims / dims_per_block) blocks,
// whatever the basis, since they are what a code occupies; each as wide as they need be.
CodebookShape code_shape(std::size_t dims, std::size_t dims_per_block, std::size_t coded_dims);

// Decides from the covariance of a sample which basis makes queries cheapest (see src/README.md for the
// measurements behind the rule).
//   rows    count x dims row-major: residuals
//   matrix  rotation_floats(kRotation, dims, min(dims, kMaxComponents)) floats, of which the first
//           rotation_floats(basis->kind, dims, basis->dims) are written: what rotate() wants
// Components are learnt on three rows of four and judged on the fourth, so that too small a sample is not
// believed. Deterministic. Allocates rotation_scratch_bytes(). Returns false when `stop` said so.
[[nodiscard]] bool choose_basis(std::span<const float> rows, std::size_t dims, std::size_t dims_per_block,
                                StopPredicate stop, std::span<float> matrix, CodeBasis* basis);

// The most that choose_basis() allocates, give or take a little.
std::size_t rotation_scratch_bytes(std::size_t dims);

// Floats that a basis occupies: none; the source of every dimension; or a scale for each component, then the
// components as coded_dims x dims int8.
std::size_t rotation_floats(RotationKind kind, std::size_t dims, std::size_t coded_dims);

// Those at the end that hold int8 levels, any bytes.
std::size_t rotation_level_floats(RotationKind kind, std::size_t dims, std::size_t coded_dims);

// Brings `in` (dims floats) into the basis: `out` has coded_dims floats and must not overlap it. The levels
// of the components cost a hundredth of a component's length, much less than codes do, and a quarter of the
// memory that a query has to read.
void rotate(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
            std::span<float> out);

// The same of a query, of which 8 bits do: what a look-up table makes of it is no finer.
void rotate_query(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
                  std::span<float> out);

}  // namespace scann
