// scann_index_info, scann_partitions, scann_calibration and scann_scan_stats: what an index holds, what its
// build measured, and what the last scan did.
#include "core/kernels.hpp"

#include "am/build.hpp"
#include "am/insert.hpp"
#include "am/inspect.hpp"
#include "am/model.hpp"
#include "am/posting_list.hpp"
#include "am/scan.hpp"

namespace scann::am {

bool is_scann_index(Relation relation) {
  return relation->rd_rel->relkind == RELKIND_INDEX && relation->rd_indam->ambuild == scann_build;
}

InspectedIndex::InspectedIndex(Oid index_oid, LOCKMODE heap_lock) {
  const Oid heap_oid = IndexGetRelation(index_oid, true);
  if (OidIsValid(heap_oid) && pg_class_aclcheck(heap_oid, GetUserId(), ACL_SELECT) != ACLCHECK_OK) {
    aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(heap_oid));
  }
  if (OidIsValid(heap_oid) && heap_lock > RowExclusiveLock && !owns_relation(heap_oid, GetUserId())) {
    aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(heap_oid));
  }
  heap = OidIsValid(heap_oid) ? table_open(heap_oid, heap_lock) : nullptr;
  index = relation_open(index_oid, AccessShareLock);
  if (heap == nullptr || !is_scann_index(index)) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not a scann index", RelationGetRelationName(index)),
                    index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX
                        ? errhint("Name the index of one partition.")
                        : errhint("Name an index that was created with USING scann.")));
  }
  if (RELATION_IS_OTHER_TEMP(index)) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot access temporary indexes of other sessions")));
  }
  if (!index->rd_index->indisvalid) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("index \"%s\" is not valid", RelationGetRelationName(index)),
                    errhint("Its build failed or is under way. Rebuild it with REINDEX INDEX.")));
  }
}

void InspectedIndex::close() {
  relation_close(index, NoLock);
  table_close(heap, NoLock);
}

OwnerScope::OwnerScope(Relation heap) {
  GetUserIdAndSecContext(&user_, &security_context_);
  SetUserIdAndSecContext(heap->rd_rel->relowner, security_context_ | SECURITY_RESTRICTED_OPERATION);
  settings_level_ = NewGUCNestLevel();
  restrict_search_path();
}

void OwnerScope::end() {
  AtEOXact_GUC(false, settings_level_);
  SetUserIdAndSecContext(user_, security_context_);
}

ResultRow::ResultRow(FunctionCallInfo fcinfo) {
  if (get_call_result_type(fcinfo, nullptr, &descriptor_) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  descriptor_ = BlessTupleDesc(descriptor_);
}

void ResultRow::add(Datum value) {
  Assert(size_ < kMaxColumns);
  values_[size_] = value;
  nulls_[size_++] = false;
}

Datum ResultRow::datum() {
  Assert(size_ == descriptor_->natts);
  return HeapTupleGetDatum(heap_form_tuple(descriptor_, values_, nulls_));
}

namespace {

// The heads of all leaf lists.
PallocArray<BlockNumber> leaf_heads(Relation index) {
  const Model& model = open_model(index);
  PallocArray<BlockNumber> heads;
  for (const Partition& partition : model.partitions) heads.push_back(partition.head);
  if (model.meta.height == 0 && model.meta.dims > 0) heads.push_back(model.meta.root);
  return heads;
}

const char* metric_name(Metric metric) {
  switch (metric) {
    case Metric::kInnerProduct:
      return "inner product";
    case Metric::kCosine:
      return "cosine";
    case Metric::kEuclidean:
      return "euclidean";
  }
  return "unknown";
}

const char* rotation_name(RotationKind kind) {
  switch (kind) {
    case RotationKind::kNone:
      return "none";
    case RotationKind::kPermutation:
      return "permutation";
    case RotationKind::kRotation:
      return "principal components";
  }
  return "unknown";
}

}  // namespace
}  // namespace scann::am

using namespace scann::am;

SCANN_FUNCTION(scann_index_info) {
  InspectedIndex inspected(PG_GETARG_OID(0));
  Relation index = inspected.index;
  const MetaPage meta = open_model(index).meta;
  const ListGeometry geometry = leaf_geometry(meta);
  ListCounts total;
  for (const BlockNumber head : leaf_heads(index)) {
    const ListCounts counts = count_list(index, geometry, head);
    total.entries += counts.entries;
    total.voids += counts.voids;
  }
  const ListCounts nulls = count_list(index, null_geometry(), meta.nulls);
  const int64 rows = (total.live() + meta.spilled) / entries_per_row(meta);
  ResultRow row(fcinfo);
  row.add(CStringGetTextDatum(metric_name(meta.metric)));
  row.add(Int32GetDatum(static_cast<int32>(meta.dims)));
  row.add(BoolGetDatum(meta.height > 0));
  row.add(BoolGetDatum(meta.height == 0 && rows >= static_cast<int64>(kUntrainedWarningRows)));
  row.add(Int32GetDatum(static_cast<int32>(meta.leaves)));
  row.add(Int32GetDatum(static_cast<int32>(meta.dims_per_block)));
  row.add(Int64GetDatum(rows));
  row.add(Int64GetDatum(total.voids));
  row.add(Int64GetDatum(nulls.live()));
  row.add(Int64GetDatum(meta.rows));
  row.add(Float8GetDatum(meta.threshold));
  row.add(Float8GetDatum(meta.effective_dims));
  row.add(CStringGetTextDatum(rotation_name(meta.rotation)));
  row.add(CStringGetTextDatum(scann::kernel_target()));
  inspected.close();
  PG_RETURN_DATUM(row.datum());
}

SCANN_FUNCTION(scann_partitions) {
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  InspectedIndex inspected(PG_GETARG_OID(0));
  const ListGeometry geometry = leaf_geometry(open_model(inspected.index).meta);
  PallocArray<BlockNumber> heads = leaf_heads(inspected.index);
  for (std::size_t p = 0; p < heads.size(); ++p) {
    const ListCounts counts = count_list(inspected.index, geometry, heads[p]);
    Datum values[] = {Int32GetDatum(static_cast<int32>(p)), Int64GetDatum(counts.live()),
                      Int64GetDatum(counts.voids), Int64GetDatum(counts.pages),
                      Float8GetDatum(std::sqrt(counts.variance(geometry.dims())))};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  inspected.close();
  return static_cast<Datum>(0);
}

SCANN_FUNCTION(scann_calibration) {
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  InspectedIndex inspected(PG_GETARG_OID(0));
  const MetaPage meta = read_meta(inspected.index);
  for (std::size_t limit = 0; meta.calibrated != 0 && limit < kCalibratedLimits.size(); ++limit) {
    for (std::size_t target = 0; target < kCalibratedRecalls.size(); ++target) {
      const SearchEffort& effort = meta.efforts[limit][target];
      Datum values[] = {Int32GetDatum(static_cast<int32>(kCalibratedLimits[limit])),
                        Float4GetDatum(kCalibratedRecalls[target]),
                        Float4GetDatum(effort.recall),
                        Int32GetDatum(static_cast<int32>(effort.candidates)),
                        Float4GetDatum(effort.margin),
                        Float4GetDatum(effort.codes)};
      bool nulls[lengthof(values)] = {};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
  }
  inspected.close();
  return static_cast<Datum>(0);
}

SCANN_FUNCTION(scann_scan_stats) {
  ResultRow row(fcinfo);
  const ScanStats& stats = last_scan_stats;
  for (const int64 number : {stats.rounds, stats.leaves, stats.entries, stats.reordered, stats.returned}) {
    row.add(Int64GetDatum(number));
  }
  PG_RETURN_DATUM(row.datum());
}
