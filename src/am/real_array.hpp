// real[] as vectors: checks, and access without a copy.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// The components of a detoasted real[]. Raises an error unless it is one-dimensional, without NULLs, and has
// 1 to kMaxDimensions elements.
std::span<const float> real_array(ArrayType* array);

// Raises an error when a component is NaN or infinite.
void check_finite(std::span<const float> vector);

}  // namespace scann::am
