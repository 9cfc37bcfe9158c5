// The SQL functions behind the operators on real[]: inner_product, negative_inner_product, cosine_distance,
// l2_distance. All are exact: sums are accumulated in double precision.
#include <utility>

#include "core/kernels.hpp"

#include "am/real_array.hpp"

namespace scann::am {
namespace {

// Two arguments, detoasted for the time of one call.
class ArgumentPair {
 public:
  explicit ArgumentPair(FunctionCallInfo fcinfo)
      : left_(PG_GETARG_ARRAYTYPE_P(0)),
        right_(PG_GETARG_ARRAYTYPE_P(1)),
        copied_left_(PointerGetDatum(left_) != PG_GETARG_DATUM(0)),
        copied_right_(PointerGetDatum(right_) != PG_GETARG_DATUM(1)),
        a(real_array(left_)),
        b(real_array(right_)) {
    if (a.size() != b.size()) {
      ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                      errmsg("different numbers of dimensions: %zu and %zu", a.size(), b.size()),
                      errhint("Compare vectors of the same number of dimensions.")));
    }
  }
  ArgumentPair(const ArgumentPair&) = delete;
  ArgumentPair& operator=(const ArgumentPair&) = delete;
  ~ArgumentPair() {
    if (copied_left_) pfree(left_);
    if (copied_right_) pfree(right_);
  }

  // A sum over finite floats is finite in double precision, so only a sum that is not needs a look at the
  // components.
  void check(double sum) const {
    if (std::isfinite(sum)) return;
    check_finite(a);
    check_finite(b);
  }

 private:
  ArrayType* left_;
  ArrayType* right_;
  bool copied_left_;
  bool copied_right_;

 public:
  std::span<const float> a;
  std::span<const float> b;
};

double checked_inner_product(FunctionCallInfo fcinfo) {
  const ArgumentPair args(fcinfo);
  const double sum = inner_product(args.a.data(), args.b.data(), args.a.size());
  args.check(sum);
  return sum;
}

}  // namespace
}  // namespace scann::am

using namespace scann::am;

SCANN_FUNCTION(scann_inner_product) { PG_RETURN_FLOAT8(checked_inner_product(fcinfo)); }

SCANN_FUNCTION(scann_negative_inner_product) { PG_RETURN_FLOAT8(0.0 - checked_inner_product(fcinfo)); }

SCANN_FUNCTION(scann_l2_distance) {
  const ArgumentPair args(fcinfo);
  const double sum = scann::squared_distance(args.a.data(), args.b.data(), args.a.size());
  args.check(sum);
  PG_RETURN_FLOAT8(std::sqrt(sum));
}

// 1 - cos, within [0, 2]; NaN when either vector is zero, which has no direction.
SCANN_FUNCTION(scann_cosine_distance) {
  const ArgumentPair args(fcinfo);
  const scann::CosineSums sums = scann::cosine_sums(args.a.data(), args.b.data(), args.a.size());
  args.check(sums.aa + sums.bb);
  if (sums.aa == 0 || sums.bb == 0) PG_RETURN_FLOAT8(get_float8_nan());
  // Multiplied first, so that the result does not depend on the order of the arguments.
  const double cosine = sums.ab / (std::sqrt(sums.aa) * std::sqrt(sums.bb));
  PG_RETURN_FLOAT8(1.0 - std::clamp(cosine, -1.0, 1.0));
}
