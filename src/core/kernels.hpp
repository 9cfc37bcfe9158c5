// Vector arithmetic for every instruction set, chosen at run time. Lengths may be any number, pointers
// unaligned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace scann {

// Resolves run-time dispatch once, so that no query pays for it.
void initialize_kernels();

// The name of the instruction set in use, such as "AVX3".
const char* kernel_target();

// Sums over n products, accumulated in double: exact enough for the distances users see.
double inner_product(const float* a, const float* b, std::size_t n);
double squared_distance(const float* a, const float* b, std::size_t n);

// What cosine needs, in one call: <a,b>, <a,a> and <b,b>.
struct CosineSums {
  double ab;
  double aa;
  double bb;
};
CosineSums cosine_sums(const float* a, const float* b, std::size_t n);

// True when every one of n floats is finite.
bool all_finite(const float* a, std::size_t n);

// sum q[i] * v[i], accumulated in float. The rounding error is at most (n + 8) * 2^-24 * sum |q[i] v[i]|.
float dot_i8(const float* q, const std::int8_t* v, std::size_t n);

// A query for dot_i8_rows(): n <= kMaxDimensions finite floats as multiples, from -127 to 127, of a scale,
// which is returned and positive. |q[i] - scale * levels[i]| <= scale * 0.51.
float quantize_query(const float* q, std::size_t n, std::int8_t* levels);

// out[r] = scale * sum levels[i] * row r[i] for `count` rows of n lying back to back. The sums are exact:
// every instruction set gives the same bits.
void dot_i8_rows(const std::int8_t* levels, float scale, const std::int8_t* rows, std::size_t count,
                 std::size_t n, float* out);

// sum (q[i] - scale * v[i])^2, accumulated in float.
float squared_distance_i8(const float* q, const std::int8_t* v, float scale, std::size_t n);

// out[i * columns + j] = <row i, column j>; both operands row-major with dims floats a row, out rows x
// columns. Register-blocked: the matrix product of training, assignment and exact answers.
void dot_matrix(const float* a, std::size_t rows, const float* b, std::size_t columns, std::size_t dims,
                float* out);

// For each of n points the centroid of least squared distance: nearest[i], and distance[i] = ||p - c||^2 -
// ||p||^2. half_norms[j] = ||c_j||^2 / 2. Ties go to the lower index. `scratch` has nearest_scratch_floats()
// floats.
std::size_t nearest_scratch_floats(std::size_t centroids);
void nearest_centroids(const float* points, std::size_t n, const float* centroids, const float* half_norms,
                       std::size_t centroid_count, std::size_t dims, float* scratch, std::uint32_t* nearest,
                       float* distance);

// The indices i < n, ascending, where values[i] - subtrahends[i] >= bound; returns their number. No NaN is.
std::size_t differences_at_least(const float* values, const float* subtrahends, std::size_t n, float bound,
                                 std::uint32_t* indices);

// Copies the values above a bound to `out`, which has room for n, in their order; returns their number.
std::size_t copy_above(const float* values, std::size_t n, float bound, float* out);

}  // namespace scann
