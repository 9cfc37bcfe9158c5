// The vector types: real[] under each metric.
#include "am/vector_type.hpp"

#include "am/real_array.hpp"

namespace scann::am {

const VectorType& vector_type(Relation index) {
  FmgrInfo* support = index_getprocinfo(index, 1, kVectorTypeProc);
  return *reinterpret_cast<const VectorType*>(
      DatumGetPointer(FunctionCall1Coll(support, InvalidOid, PointerGetDatum(nullptr))));
}

void check_dimensions(Relation index, uint32 expected, uint32 actual) {
  if (expected == actual) return;
  ereport(
      ERROR,
      (errcode(ERRCODE_DATA_EXCEPTION), errmsg("expected %u dimensions, not %u", expected, actual),
       errdetail("All vectors in index \"%s\" have the same number of dimensions.",
                 RelationGetRelationName(index)),
       errhint("Index vectors of different widths separately, with partial indexes. REINDEX an index whose "
               "rows of another width are all gone.")));
}

namespace {

uint32 real_dimensions(Datum value) {
  const std::span<const float> vector = real_array(DatumGetArrayTypeP(value));
  check_finite(vector);
  return static_cast<uint32>(vector.size());
}

const float* real_components(Datum value, float* /*scratch*/) {
  return real_array(DatumGetArrayTypeP(value)).data();
}

constexpr VectorType kRealInnerProduct = {Metric::kInnerProduct, real_dimensions, real_components};
constexpr VectorType kRealCosine = {Metric::kCosine, real_dimensions, real_components};
constexpr VectorType kRealEuclidean = {Metric::kEuclidean, real_dimensions, real_components};

}  // namespace
}  // namespace scann::am

SCANN_FUNCTION(scann_real_ip_support) { PG_RETURN_POINTER(&scann::am::kRealInnerProduct); }

SCANN_FUNCTION(scann_real_cosine_support) { PG_RETURN_POINTER(&scann::am::kRealCosine); }

SCANN_FUNCTION(scann_real_l2_support) { PG_RETURN_POINTER(&scann::am::kRealEuclidean); }
