// The access method's entry: its properties and callbacks, and the validation of operator classes.
#include "am/build.hpp"
#include "am/cost.hpp"
#include "am/insert.hpp"
#include "am/options.hpp"
#include "am/scan.hpp"
#include "am/vacuum.hpp"
#include "am/vector_type.hpp"

extern "C" {
#include <access/amvalidate.h>
#include <catalog/pg_amop.h>
#include <catalog/pg_amproc.h>
#include <catalog/pg_opclass.h>
#include <catalog/pg_opfamily.h>
#include <utils/catcache.h>
#include <utils/syscache.h>
}

namespace scann::am {
namespace {

constexpr int kDistanceStrategy = 1;

// Says why an operator class is invalid.
bool invalid(const char* family, const char* problem) {
  ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                 errmsg("operator family \"%s\" of access method scann %s", family, problem)));
  return false;
}

bool valid_support_functions(Oid family_oid, const char* family) {
  bool valid = true;
  bool found = false;
  CatCList* functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family_oid));
  for (int i = 0; i < functions->n_members; ++i) {
    const auto* form = reinterpret_cast<Form_pg_amproc>(GETSTRUCT(&functions->members[i]->tuple));
    if (form->amprocnum != kVectorTypeProc) {
      valid = invalid(family, "contains a support function with an invalid number");
    } else if (!check_amproc_signature(form->amproc, INTERNALOID, true, 1, 1, INTERNALOID)) {
      valid = invalid(family, "contains a support function with the wrong signature");
    }
    found |= form->amprocnum == kVectorTypeProc;
  }
  ReleaseCatCacheList(functions);
  return found ? valid : invalid(family, "lacks support function 1");
}

bool valid_operators(Oid family_oid, const char* family) {
  bool valid = true;
  CatCList* operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family_oid));
  for (int i = 0; i < operators->n_members; ++i) {
    const auto* form = reinterpret_cast<Form_pg_amop>(GETSTRUCT(&operators->members[i]->tuple));
    if (form->amopstrategy != kDistanceStrategy || form->amoppurpose != AMOP_ORDER) {
      valid = invalid(family, "contains an operator that is not the ordering operator 1");
    } else if (!check_amop_signature(form->amopopr, FLOAT8OID, form->amoplefttype, form->amoprighttype)) {
      valid = invalid(family, "contains an operator with the wrong signature");
    }
  }
  ReleaseCatCacheList(operators);
  return valid;
}

bool validate_operator_class(Oid operator_class) {
  HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(operator_class));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for operator class %u", operator_class);
  const Oid family_oid = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple))->opcfamily;
  ReleaseSysCache(tuple);
  tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(family_oid));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for operator family %u", family_oid);
  const char* family = pstrdup(NameStr(reinterpret_cast<Form_pg_opfamily>(GETSTRUCT(tuple))->opfname));
  ReleaseSysCache(tuple);
  const bool functions = valid_support_functions(family_oid, family);
  return valid_operators(family_oid, family) && functions;
}

// Answers pg_index_column_has_property(..., 'distance_orderable'), which PostgreSQL leaves to access methods.
bool answer_property(Oid /*index*/, int column, IndexAMProperty property, const char* /*name*/, bool* result,
                     bool* isnull) {
  if (property != AMPROP_DISTANCE_ORDERABLE || column == 0) return false;
  *result = true;
  *isnull = false;
  return true;
}

}  // namespace
}  // namespace scann::am

SCANN_FUNCTION(scann_handler) {
  using namespace scann::am;
  IndexAmRoutine* routine = makeNode(IndexAmRoutine);
  routine->amstrategies = kDistanceStrategy;
  routine->amsupport = kVectorTypeProc;
  routine->amcanorderbyop = true;
  routine->amoptionalkey = true;
  routine->amusemaintenanceworkmem = false;
  routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
  routine->amkeytype = InvalidOid;
  allow_parallel_builds(routine);
  routine->ambuild = scann_build;
  routine->ambuildempty = scann_build_empty;
  routine->aminsert = scann_insert;
  routine->ambulkdelete = scann_bulk_delete;
  routine->amvacuumcleanup = scann_vacuum_cleanup;
  routine->amcostestimate = scann_cost_estimate;
  routine->amoptions = scann_options;
  routine->amproperty = answer_property;
  routine->ambuildphasename = scann_build_phase_name;
  routine->amvalidate = validate_operator_class;
  routine->ambeginscan = scann_begin_scan;
  routine->amrescan = scann_rescan;
  routine->amgettuple = scann_get_tuple;
  routine->amendscan = scann_end_scan;
  PG_RETURN_POINTER(routine);
}
