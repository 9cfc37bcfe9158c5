// Constants and small types shared by every part of the algorithm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace scann {

// What an index orders by. The numbers are stored in the meta page.
enum class Metric : std::uint8_t {
  kInnerProduct = 0,  // larger <q,x> first
  kCosine = 1,        // inner product of vectors scaled to unit norm
  kEuclidean = 2,     // smaller ||q-x|| first
};

inline constexpr std::size_t kMaxDimensions = 16000;

// 4-bit codes: 16 codewords in each block of dimensions.
inline constexpr std::size_t kCodewords = 16;

// Vectors whose codes are stored interleaved, so that one shuffle scores half of them (code_block.hpp).
inline constexpr std::size_t kGroupSize = 32;

// Long computations poll this between chunks of work and return `false` once it returns true.
using StopPredicate = bool (*)();

}  // namespace scann
