// Checks of real[] arguments.
#include "am/real_array.hpp"

#include "core/kernels.hpp"
#include "core/params.hpp"

namespace scann::am {

std::span<const float> real_array(ArrayType* array) {
  if (ARR_NDIM(array) == 0) {
    ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("vector must have at least 1 dimension"),
                    errhint("An empty array is no vector; store NULL where there is none.")));
  }
  if (ARR_NDIM(array) > 1) {
    ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("vector must be a one-dimensional array"),
                    errdetail("The array has %d dimensions.", ARR_NDIM(array)),
                    errhint("Store one vector in each row.")));
  }
  if (ARR_HASNULL(array) && array_contains_nulls(array)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("vector must not contain NULL elements"),
                    errhint("Replace the elements that are NULL, or store NULL instead of the array.")));
  }
  const auto size = static_cast<std::size_t>(ARR_DIMS(array)[0]);
  if (size > kMaxDimensions) {
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("vector has %zu dimensions, more than the limit of %zu", size, kMaxDimensions),
                    errhint("Reduce the number of dimensions.")));
  }
  return {reinterpret_cast<const float*>(ARR_DATA_PTR(array)), size};
}

void check_finite(std::span<const float> vector) {
  if (all_finite(vector.data(), vector.size())) return;
  ereport(ERROR,
          (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("vector must not contain NaN or infinity"),
           errhint("Replace the elements that are not finite numbers.")));
}

}  // namespace scann::am
