// What an operator class tells the access method about its data type, so that nothing else here knows the
// type.
#pragma once

#include "am/backend.hpp"
#include "core/params.hpp"

namespace scann::am {

// Support function 1 of an operator class returns a pointer to one of these, of static storage. `value` is
// always detoasted.
struct VectorType {
  Metric metric;
  // The number of dimensions, 1 to kMaxDimensions. Raises an error for a value that is no finite vector.
  uint32 (*dimensions)(Datum value);
  // The components: `dimensions` floats, in the datum itself or converted into `scratch`.
  const float* (*components)(Datum value, float* scratch);
};

inline constexpr int kVectorTypeProc = 1;  // number of the support function

// The vector type of an index's only column.
const VectorType& vector_type(Relation index);

// The operator class's vector type belongs to. Raises an error where a value has another number of dimensions
// than the index.
void check_dimensions(Relation index, uint32 expected, uint32 actual);

}  // namespace scann::am
