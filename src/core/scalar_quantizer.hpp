// 8-bit copies of vectors with a guaranteed error bound: x^ = scale * v, and e >= ||x - x^||.
//
// The bound makes exact ordering possible without the vectors themselves: for any q
//   <q,x> <= <q,x^> + ||q|| e      and      ||q - x|| >= ||q - x^|| - e.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace scann {

// e as 16 bits, rounded up: the upper half of an IEEE float. Infinity is a valid (useless) bound.
using ErrorBound = std::uint16_t;
ErrorBound encode_error_bound(double error);
float decode_error_bound(ErrorBound bound);

struct ScalarQuantized {
  float scale;       // >= 0; 0 for a zero vector
  ErrorBound error;  // >= ||x - scale * v||, whatever x: denormals and 1e38 included
};

// Quantises dims finite floats symmetrically to [-127, 127].
ScalarQuantized scalar_quantize(std::span<const float> x, std::span<std::int8_t> v);

// A lower bound of -<q,x>, given dot = dot_i8(q, v) as computed, query_norm >= ||q|| and code_norm >= ||v||;
// includes the slack for the rounding of dot itself.
double inner_product_lower_bound(double dot, double query_norm, float scale, double code_norm,
                                 ErrorBound error, std::size_t dims);

// A lower bound (>= 0) of ||q - x||, given squared = squared_distance_i8(q, v, scale) as computed.
double distance_lower_bound(double squared, ErrorBound error, std::size_t dims);

}  // namespace scann
