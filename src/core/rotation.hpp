// An orthogonal change of basis learnt from a sample, so that every block of dimensions carries about the
// same share of the log-variance. Applied to residuals before coding and to queries before look-up tables are
// built; inner products and distances are unchanged by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/params.hpp"

namespace scann {

enum class RotationKind : std::uint8_t {
  kNone = 0,         // the basis as it is
  kPermutation = 1,  // dimensions dealt to blocks: enough where components already differ in variance
  kRotation = 2,     // principal components, dealt to blocks: where the covariance spectrum is skewed
};

// Beyond this many dimensions the matrix falls out of the caches and its product with every query costs more
// than the shorter codes save (768 dimensions: some 40 us; 1536: several 100 us): the answer is kNone.
inline constexpr std::size_t kMaxRotatedDimensions = 1024;

// Decides from a sample's covariance (see src/README.md for the measurements behind the rule).
//   rows   count x dims row-major
// Writes dims x dims floats, row-major (row i = the i-th new basis vector), to `matrix` when the answer is
// kRotation; for kPermutation writes the dims source dimensions, as floats, to its first dims entries.
// Nothing is written for kNone, which is the answer whenever dims > kMaxRotatedDimensions (`matrix` may then
// be empty). Allocates O(dims^2) scratch. Returns false when `stop` said so; the eigenvectors (0.2 s at 384
// dimensions, 1.5 s at 768) are computed without polling it.
[[nodiscard]] bool choose_rotation(std::span<const float> rows, std::size_t dims, std::size_t dims_per_block,
                                   StopPredicate stop, std::span<float> matrix, RotationKind* kind);

// Floats that a rotation of this kind occupies: 0, dims or dims * dims.
std::size_t rotation_floats(RotationKind kind, std::size_t dims);

// out = R in, both dims floats, not overlapping. `matrix` has rotation_floats() entries. Vectorised.
void rotate(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
            std::span<float> out);

}  // namespace scann
