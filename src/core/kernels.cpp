// Vector arithmetic, compiled once per instruction set.
#include "core/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "core/matrix_product-inl.hpp"
#include "hwy/highway.h"

#if HWY_TARGET <= HWY_AVX3_DL
// Highway looks for VNNI before it chooses this target, but older versions do not let the compiler use it.
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

// ---- sums of products ----
//
// What is multiplied is described by a type whose load() gives the two vectors of factors at a position.

// Floats as vectors of d's type, float or double.
template <class D>
HWY_INLINE hn::Vec<D> load_floats(D d, const float* p) {
  if constexpr (sizeof(hn::TFromD<D>) == sizeof(float)) {
    return hn::LoadU(d, p);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), p));
  }
}

// 8-bit levels as vectors of d's type, float or double.
template <class D>
HWY_INLINE hn::Vec<D> load_levels(D d, const std::int8_t* p) {
  const hn::Rebind<std::int32_t, D> d32;
  const auto levels = hn::PromoteTo(d32, hn::LoadU(hn::Rebind<std::int8_t, D>(), p));
  if constexpr (sizeof(hn::TFromD<D>) == sizeof(float)) {
    return hn::ConvertTo(d, levels);
  } else {
    return hn::PromoteTo(d, levels);
  }
}

struct Products {
  const float* a;
  const float* b;

  template <class D>
  HWY_INLINE void load(D d, std::size_t i, hn::Vec<D>& x, hn::Vec<D>& y) const {
    x = load_floats(d, a + i);
    y = load_floats(d, b + i);
  }
};

struct SquaredDifferences {
  const float* a;
  const float* b;

  template <class D>
  HWY_INLINE void load(D d, std::size_t i, hn::Vec<D>& x, hn::Vec<D>& y) const {
    x = y = hn::Sub(load_floats(d, a + i), load_floats(d, b + i));
  }
};

struct LevelProducts {
  const float* q;
  const std::int8_t* v;

  template <class D>
  HWY_INLINE void load(D d, std::size_t i, hn::Vec<D>& x, hn::Vec<D>& y) const {
    x = load_floats(d, q + i);
    y = load_levels(d, v + i);
  }
};

struct SquaredLevelDifferences {
  const float* q;
  const std::int8_t* v;
  float scale;

  // The difference must be rounded once only: it cancels where q is near scale * v, and
  // distance_lower_bound() relies on its relative precision.
#if HWY_NATIVE_FMA
  using Lanes = hn::ScalableTag<float>;
#else
  using Lanes = hn::ScalableTag<double>;  // the product is exact
#endif

  template <class D>
  HWY_INLINE void load(D d, std::size_t i, hn::Vec<D>& x, hn::Vec<D>& y) const {
    const auto scales = hn::Set(d, static_cast<hn::TFromD<D>>(scale));
    x = y = hn::NegMulAdd(load_levels(d, v + i), scales, load_floats(d, q + i));
  }
};

// sum of x * y over n >= lanes of d; the last vector overlaps the one before, its lanes already counted are
// cleared.
template <class D, class Factors>
HWY_INLINE hn::TFromD<D> sum_whole_vectors(D d, const Factors& factors, std::size_t n) {
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<D> sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;  // hide the latency of additions
  hn::Vec<D> x, y;
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    factors.load(d, i, x, y);
    sum0 = hn::MulAdd(x, y, sum0);
    factors.load(d, i + lanes, x, y);
    sum1 = hn::MulAdd(x, y, sum1);
    factors.load(d, i + 2 * lanes, x, y);
    sum2 = hn::MulAdd(x, y, sum2);
    factors.load(d, i + 3 * lanes, x, y);
    sum3 = hn::MulAdd(x, y, sum3);
  }
  if (i + 2 * lanes <= n) {
    factors.load(d, i, x, y);
    sum0 = hn::MulAdd(x, y, sum0);
    factors.load(d, i + lanes, x, y);
    sum1 = hn::MulAdd(x, y, sum1);
    i += 2 * lanes;
  }
  if (i + lanes <= n) {
    factors.load(d, i, x, y);
    sum2 = hn::MulAdd(x, y, sum2);
    i += lanes;
  }
  if (i < n) {
    const auto counted = hn::FirstN(d, lanes - (n - i));
    factors.load(d, n - lanes, x, y);
    sum3 = hn::MulAdd(hn::IfThenZeroElse(counted, x), hn::IfThenZeroElse(counted, y), sum3);
  }
  const auto sum = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

template <class D, class Factors>
HWY_INLINE hn::TFromD<D> sum_of_products(D d, const Factors& factors, std::size_t n) {
  if (n >= hn::Lanes(d)) return sum_whole_vectors(d, factors, n);
  return sum_whole_vectors(hn::CappedTag<hn::TFromD<D>, 1>(), factors, n);
}

double inner_product(const float* a, const float* b, std::size_t n) {
  return sum_of_products(hn::ScalableTag<double>(), Products{a, b}, n);
}

double squared_distance(const float* a, const float* b, std::size_t n) {
  return sum_of_products(hn::ScalableTag<double>(), SquaredDifferences{a, b}, n);
}

CosineSums cosine_sums(const float* a, const float* b, std::size_t n) {
  const hn::ScalableTag<double> d;
  return {sum_of_products(d, Products{a, b}, n), sum_of_products(d, Products{a, a}, n),
          sum_of_products(d, Products{b, b}, n)};
}

float dot_i8(const float* q, const std::int8_t* v, std::size_t n) {
  return sum_of_products(hn::ScalableTag<float>(), LevelProducts{q, v}, n);
}

float squared_distance_i8(const float* q, const std::int8_t* v, float scale, std::size_t n) {
  const SquaredLevelDifferences differences{q, v, scale};
  return static_cast<float>(sum_of_products(SquaredLevelDifferences::Lanes(), differences, n));
}

// ---- a query against many rows of 8-bit levels ----

#if HWY_TARGET == HWY_SCALAR

void dot_i8_rows(const std::int8_t* levels, float scale, const std::int8_t* rows, std::size_t count,
                 std::size_t n, float* out) {
  for (std::size_t r = 0; r < count; ++r, rows += n) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += levels[i] * rows[i];
    out[r] = scale * static_cast<float>(sum);
  }
}

#else

using Sums = hn::Full128<std::int32_t>;

// Adds up the 16-byte blocks of a vector.
template <class D>
HWY_INLINE hn::Vec<Sums> add_blocks(D /*d*/, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == hn::MaxLanes(Sums())) {
    return v;
  } else {
    const hn::Half<D> half;
    return add_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// The sums of the lanes of four vectors.
HWY_INLINE hn::Vec<Sums> sums_of_lanes(hn::Vec<Sums> a, hn::Vec<Sums> b, hn::Vec<Sums> c, hn::Vec<Sums> d) {
  const Sums d32;
  const hn::Full128<std::uint64_t> d64;
  const auto ab = hn::BitCast(d64, hn::Add(hn::InterleaveLower(d32, a, b), hn::InterleaveUpper(d32, a, b)));
  const auto cd = hn::BitCast(d64, hn::Add(hn::InterleaveLower(d32, c, d), hn::InterleaveUpper(d32, c, d)));
  return hn::Add(hn::BitCast(d32, hn::InterleaveLower(d64, ab, cd)),
                 hn::BitCast(d32, hn::InterleaveUpper(d64, ab, cd)));
}

// The sums of four rows of n >= lanes of D16 at once. The last vector overlaps the one before; levels already
// counted are cleared.
template <class D16>
class RowProducts {
 public:
  static constexpr std::size_t kLeast = hn::MaxLanes(D16());

  RowProducts(const std::int8_t* levels, std::size_t n) : levels_(levels), n_(n) {
    const D16 d;
    const std::size_t left = n % hn::Lanes(d);
    last_ = hn::IfThenZeroElse(hn::FirstN(d, hn::Lanes(d) - left), load(levels + n - hn::Lanes(d)));
  }

  HWY_INLINE hn::Vec<Sums> four(const std::int8_t* const* rows) const {
    const D16 d;
    const D32 d32;
    hn::Vec<D32> sums[4];
    hn::Vec<D32> more[4];
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < 4; ++r) sums[r] = more[r] = hn::Zero(d32);
    std::size_t i = 0;
    for (; i + hn::Lanes(d) <= n_; i += hn::Lanes(d)) {
      const auto levels = load(levels_ + i);
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < 4; ++r) add(levels, rows[r] + i, sums[r], more[r]);
    }
    if (i < n_) {
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < 4; ++r) add(last_, rows[r] + n_ - hn::Lanes(d), sums[r], more[r]);
    }
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < 4; ++r) sums[r] = hn::Add(sums[r], more[r]);
    return sums_of_lanes(add_blocks(d32, sums[0]), add_blocks(d32, sums[1]), add_blocks(d32, sums[2]),
                         add_blocks(d32, sums[3]));
  }

 private:
  using D32 = hn::Repartition<std::int32_t, D16>;

  static HWY_INLINE hn::Vec<D16> load(const std::int8_t* p) {
    return hn::PromoteTo(D16(), hn::LoadU(hn::Rebind<std::int8_t, D16>(), p));
  }

  static HWY_INLINE void add(hn::Vec<D16> levels, const std::int8_t* row, hn::Vec<D32>& sum,
                             hn::Vec<D32>& more) {
    sum = hn::ReorderWidenMulAccumulate(D32(), levels, load(row), sum, more);
  }

  const std::int8_t* levels_;
  std::size_t n_;
  hn::Vec<D16> last_;
};

#if HWY_TARGET <= HWY_AVX3_DL

// The same with the instruction that multiplies and adds up four neighbouring bytes (VNNI). It takes one
// factor as unsigned, for which rows are raised by 128; what that adds depends on the levels alone.
class QuadRowProducts {
 public:
  static constexpr std::size_t kLeast = 64;

  QuadRowProducts(const std::int8_t* levels, std::size_t n) : levels_(levels), n_(n) {
    const std::size_t left = n % kLeast;
    const __mmask64 uncounted = left > 0 ? ~std::uint64_t{0} << (kLeast - left) : 0;
    last_ = _mm512_maskz_loadu_epi8(uncounted, levels + n - kLeast);
    excess_ = hn::Set(Sums(), 128 * std::accumulate(levels, levels + n, 0));
  }

  HWY_INLINE hn::Vec<Sums> four(const std::int8_t* const* rows) const {
    __m512i sums[4];
    HWY_UNROLL(4)
    for (std::size_t r = 0; r < 4; ++r) sums[r] = _mm512_setzero_si512();
    std::size_t i = 0;
    for (; i + kLeast <= n_; i += kLeast) {
      const __m512i levels = _mm512_loadu_si512(levels_ + i);
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < 4; ++r) add(levels, rows[r] + i, sums[r]);
    }
    if (i < n_) {
      HWY_UNROLL(4)
      for (std::size_t r = 0; r < 4; ++r) add(last_, rows[r] + n_ - kLeast, sums[r]);
    }
    const hn::Full512<std::int32_t> d;
    const auto total = [d](__m512i sum) HWY_ATTR { return add_blocks(d, hn::Vec<decltype(d)>{sum}); };
    return hn::Sub(sums_of_lanes(total(sums[0]), total(sums[1]), total(sums[2]), total(sums[3])), excess_);
  }

 private:
  static HWY_INLINE void add(__m512i levels, const std::int8_t* row, __m512i& sum) {
    const __m512i raised = _mm512_xor_si512(_mm512_loadu_si512(row), _mm512_set1_epi8(-128));
    sum = _mm512_dpbusd_epi32(sum, raised, levels);
  }

  const std::int8_t* levels_;
  std::size_t n_;
  __m512i last_;
  hn::Vec<Sums> excess_;
};

#endif  // HWY_TARGET <= HWY_AVX3_DL

template <class Products>
HWY_INLINE void dot_rows(const std::int8_t* levels, float scale, const std::int8_t* rows, std::size_t count,
                         std::size_t n, float* out) {
  const Products products(levels, n);
  const hn::Full128<float> df;
  for (std::size_t r = 0; r < count; r += 4) {
    const std::int8_t* four[4];
    for (std::size_t i = 0; i < 4; ++i) four[i] = rows + std::min(r + i, count - 1) * n;
    const auto dots = hn::Mul(hn::ConvertTo(df, products.four(four)), hn::Set(df, scale));
    if (r + 4 <= count) {
      hn::StoreU(dots, df, out + r);
    } else {
      HWY_ALIGN float last[4];
      hn::Store(dots, df, last);
      std::copy_n(last, count - r, out + r);
    }
  }
}

void dot_i8_rows(const std::int8_t* levels, float scale, const std::int8_t* rows, std::size_t count,
                 std::size_t n, float* out) {
#if HWY_TARGET <= HWY_AVX3_DL
  if (n >= QuadRowProducts::kLeast) return dot_rows<QuadRowProducts>(levels, scale, rows, count, n, out);
#endif
  using Wide = RowProducts<hn::ScalableTag<std::int16_t>>;
  using Narrow = RowProducts<hn::Full128<std::int16_t>>;
  if (n >= Wide::kLeast) return dot_rows<Wide>(levels, scale, rows, count, n, out);
  if (n >= Narrow::kLeast) return dot_rows<Narrow>(levels, scale, rows, count, n, out);
  std::int8_t padded_levels[Narrow::kLeast] = {};
  std::copy_n(levels, n, padded_levels);
  for (std::size_t r = 0; r < count; ++r, rows += n) {
    std::int8_t row[Narrow::kLeast] = {};
    std::copy_n(rows, n, row);
    dot_rows<Narrow>(padded_levels, scale, row, 1, Narrow::kLeast, out + r);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

// ---- other passes over one vector ----

template <class D>
HWY_INLINE bool whole_vectors_finite(D d, const float* a, std::size_t n) {
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i + lanes <= n; i += lanes) {
    if (!hn::AllTrue(d, hn::IsFinite(hn::LoadU(d, a + i)))) return false;
  }
  return hn::AllTrue(d, hn::IsFinite(hn::LoadU(d, a + n - lanes)));
}

bool all_finite(const float* a, std::size_t n) {
  if (n == 0) return true;
  const hn::ScalableTag<float> d;
  if (n >= hn::Lanes(d)) return whole_vectors_finite(d, a, n);
  return whole_vectors_finite(hn::CappedTag<float, 1>(), a, n);
}

// The scalar loop is for the few vectors in which any lane qualifies, and for the tail.
std::size_t differences_at_least(const float* values, const float* subtrahends, std::size_t n, float bound,
                                 std::uint32_t* indices) {
  const hn::ScalableTag<float> d;
  const auto bounds = hn::Set(d, bound);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n;) {
    const std::size_t end = std::min(n, i + hn::Lanes(d));
    if (end - i == hn::Lanes(d)) {
      const auto differences = hn::Sub(hn::LoadU(d, values + i), hn::LoadU(d, subtrahends + i));
      if (hn::AllFalse(d, hn::Ge(differences, bounds))) i = end;
    }
    for (; i < end; ++i) {
      if (values[i] - subtrahends[i] >= bound) indices[count++] = static_cast<std::uint32_t>(i);
    }
  }
  return count;
}

// Most vectors have no value above the bound.
std::size_t copy_above(const float* values, std::size_t n, float bound, float* out) {
  const hn::ScalableTag<float> d;
  const auto bounds = hn::Set(d, bound);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n;) {
    const std::size_t end = std::min(n, i + hn::Lanes(d));
    if (end - i == hn::Lanes(d) && hn::AllFalse(d, hn::Gt(hn::LoadU(d, values + i), bounds))) i = end;
    for (; i < end; ++i) {
      if (values[i] > bound) out[count++] = values[i];
    }
  }
  return count;
}

// ---- matrix products ----

inline constexpr std::size_t kFewRows = 4;  // too few to repay packing the other matrix
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One sum per pair.
void dot_pairs(const float* a, std::size_t rows, const float* b, std::size_t columns, std::size_t dims,
               float* out) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      *out++ = sum_of_products(hn::ScalableTag<float>(), Products{a + i * dims, b + j * dims}, dims);
    }
  }
}

void dot_matrix(const float* a, std::size_t rows, const float* b, std::size_t columns, std::size_t dims,
                float* out) {
  if (rows < kFewRows || columns < kFewRows) return dot_pairs(a, rows, b, columns, dims, out);
  for (std::size_t i = 0; i < rows; i += kRowBlock) {
    const std::size_t block_rows = std::min(kRowBlock, rows - i);
    std::size_t j = 0;
    for (; j + kPanelColumns <= columns; j += kPanelColumns) {
      multiply_panel<kPanelColumns>(a + i * dims, block_rows, b + j * dims, kPanelColumns, dims,
                                    out + i * columns + j, columns);
    }
    if (j + kHalfPanel <= columns) {
      multiply_panel<kHalfPanel>(a + i * dims, block_rows, b + j * dims, kHalfPanel, dims,
                                 out + i * columns + j, columns);
      j += kHalfPanel;
    }
    if (j == columns) continue;
    HWY_ALIGN float tile[kRowBlock * kHalfPanel];
    multiply_panel<kHalfPanel>(a + i * dims, block_rows, b + j * dims, columns - j, dims, tile, kHalfPanel);
    for (std::size_t r = 0; r < block_rows; ++r) {
      std::copy_n(tile + r * kHalfPanel, columns - j, out + (i + r) * columns + j);
    }
  }
}

// Folds one panel of products into the nearest centroid so far; distances are halved and without ||p||^2.
HWY_INLINE void update_nearest(const float* products, const float* half_norms, std::size_t first_centroid,
                               std::uint32_t& nearest, float& distance) {
  const FloatVectors d;
  const std::size_t lanes = hn::Lanes(d);
  const auto left = hn::Sub(hn::LoadU(d, half_norms), hn::LoadU(d, products));
  const auto right = hn::Sub(hn::LoadU(d, half_norms + lanes), hn::LoadU(d, products + lanes));
  const auto least = hn::Min(left, right);
  if (hn::AllFalse(d, hn::Lt(least, hn::Set(d, distance)))) return;  // nearly always, after a while
  const auto best = hn::MinOfLanes(d, least);
  if (!(hn::GetLane(best) < distance)) return;  // overflown products may hide the least
  std::intptr_t lane = hn::FindFirstTrue(d, hn::Eq(left, best));
  if (lane < 0) lane = static_cast<std::intptr_t>(lanes) + hn::FindFirstTrue(d, hn::Eq(right, best));
  distance = hn::GetLane(best);
  nearest = static_cast<std::uint32_t>(first_centroid + static_cast<std::size_t>(lane));
}

// Too few points to repay packing.
void nearest_by_pairs(const float* points, std::size_t n, const float* centroids, const float* half_norms,
                      std::size_t centroid_count, std::size_t dims, std::uint32_t* nearest, float* distance) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < centroid_count; ++j) {
      const Products products{points + i * dims, centroids + j * dims};
      const float candidate = half_norms[j] - sum_of_products(FloatVectors(), products, dims);
      if (candidate >= distance[i]) continue;
      distance[i] = candidate;
      nearest[i] = static_cast<std::uint32_t>(j);
    }
  }
}

void nearest_by_panels(const float* points, std::size_t n, const float* centroids, const float* half_norms,
                       std::size_t centroid_count, std::size_t dims, float* tile, std::uint32_t* nearest,
                       float* distance) {
  for (std::size_t i = 0; i < n; i += kRowBlock) {
    const std::size_t rows = std::min(kRowBlock, n - i);
    for (std::size_t j = 0; j < centroid_count; j += kPanelColumns) {
      const std::size_t columns = std::min(kPanelColumns, centroid_count - j);
      float panel_half_norms[kPanelColumns];
      std::fill(std::copy_n(half_norms + j, columns, panel_half_norms), std::end(panel_half_norms),
                kInfinity);
      multiply_panel<kPanelColumns>(points + i * dims, rows, centroids + j * dims, columns, dims, tile,
                                    kPanelColumns);
      for (std::size_t r = 0; r < rows; ++r) {
        update_nearest(tile + r * kPanelColumns, panel_half_norms, j, nearest[i + r], distance[i + r]);
      }
    }
  }
}

// One row block of products with one panel of centroids.
std::size_t nearest_scratch_floats(std::size_t /*centroids*/) { return kRowBlock * kPanelColumns; }

void nearest_centroids(const float* points, std::size_t n, const float* centroids, const float* half_norms,
                       std::size_t centroid_count, std::size_t dims, float* scratch, std::uint32_t* nearest,
                       float* distance) {
  std::fill_n(nearest, n, 0U);
  std::fill_n(distance, n, kInfinity);
  if (n < kFewRows) {
    nearest_by_pairs(points, n, centroids, half_norms, centroid_count, dims, nearest, distance);
  } else {
    nearest_by_panels(points, n, centroids, half_norms, centroid_count, dims, scratch, nearest, distance);
  }
  for (std::size_t i = 0; i < n; ++i) distance[i] *= 2;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(target_name);
HWY_EXPORT(inner_product);
HWY_EXPORT(squared_distance);
HWY_EXPORT(cosine_sums);
HWY_EXPORT(all_finite);
HWY_EXPORT(dot_i8);
HWY_EXPORT(dot_i8_rows);
HWY_EXPORT(squared_distance_i8);
HWY_EXPORT(differences_at_least);
HWY_EXPORT(copy_above);
HWY_EXPORT(dot_matrix);
HWY_EXPORT(nearest_scratch_floats);
HWY_EXPORT(nearest_centroids);

void initialize_kernels() { (void)kernel_target(); }

const char* kernel_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

double inner_product(const float* a, const float* b, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(inner_product)(a, b, n);
}

double squared_distance(const float* a, const float* b, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(squared_distance)(a, b, n);
}

CosineSums cosine_sums(const float* a, const float* b, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(cosine_sums)(a, b, n);
}

bool all_finite(const float* a, std::size_t n) { return HWY_DYNAMIC_DISPATCH(all_finite)(a, n); }

float dot_i8(const float* q, const std::int8_t* v, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(dot_i8)(q, v, n);
}

float quantize_query(const float* q, std::size_t n, std::int8_t* levels) {
  float largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(q[i]));
  const float scale = std::max(largest / 127, std::numeric_limits<float>::min());
  const float inverse = 1 / scale;
  // Rounded by truncation, which compilers turn into vectors; lrintf() they call for each component.
  for (std::size_t i = 0; i < n; ++i)
    levels[i] =
        static_cast<std::int8_t>(static_cast<std::int32_t>(q[i] * inverse + std::copysign(0.5F, q[i])));
  return scale;
}

void dot_i8_rows(const std::int8_t* levels, float scale, const std::int8_t* rows, std::size_t count,
                 std::size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(dot_i8_rows)(levels, scale, rows, count, n, out);
}

float squared_distance_i8(const float* q, const std::int8_t* v, float scale, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(squared_distance_i8)(q, v, scale, n);
}

std::size_t differences_at_least(const float* values, const float* subtrahends, std::size_t n, float bound,
                                 std::uint32_t* indices) {
  return HWY_DYNAMIC_DISPATCH(differences_at_least)(values, subtrahends, n, bound, indices);
}

std::size_t copy_above(const float* values, std::size_t n, float bound, float* out) {
  return HWY_DYNAMIC_DISPATCH(copy_above)(values, n, bound, out);
}

void dot_matrix(const float* a, std::size_t rows, const float* b, std::size_t columns, std::size_t dims,
                float* out) {
  HWY_DYNAMIC_DISPATCH(dot_matrix)(a, rows, b, columns, dims, out);
}

std::size_t nearest_scratch_floats(std::size_t centroids) {
  return HWY_DYNAMIC_DISPATCH(nearest_scratch_floats)(centroids);
}

void nearest_centroids(const float* points, std::size_t n, const float* centroids, const float* half_norms,
                       std::size_t centroid_count, std::size_t dims, float* scratch, std::uint32_t* nearest,
                       float* distance) {
  HWY_DYNAMIC_DISPATCH(nearest_centroids)
  (points, n, centroids, half_norms, centroid_count, dims, scratch, nearest, distance);
}

}  // namespace scann
#endif  // HWY_ONCE
