// Insert.
#include "am/insert.hpp"

#include "am/row_encoder.hpp"

namespace scann::am {
namespace {

void insert_null(Relation index, const ItemPointerData& tid, NullReason reason) {
  Entry entry;
  entry.tid = tid;
  entry.error = static_cast<ErrorBound>(reason);
  append_entry(index, null_geometry(), read_meta(index).nulls, entry);
}

void warn_untrained(Relation index, std::size_t rows) {
  ereport(WARNING, (errmsg("index \"%s\" was built with little data and now holds %zu rows",
                           RelationGetRelationName(index), rows),
                    errdetail("It has no partitions: every query compares every row."),
                    errhint("REINDEX INDEX CONCURRENTLY %s makes queries fast.",
                            quote_identifier(RelationGetRelationName(index)))));
}

// The index's model. The first vector of all decides the number of dimensions.
const Model& model_for(Relation index, uint32 dims) {
  const Model& model = open_model(index);
  if (model.meta.dims > 0) return model;
  set_dimensions(index, dims);
  return open_model(index);
}

void insert_vector(Relation index, const Model& model, const ItemPointerData& tid,
                   std::span<const float> vector) {
  const auto centered = palloc_span<float>(vector.size());
  center(model, vector, centered);
  const bool partitioned = model.meta.height > 0;
  const ListGeometry geometry = model.leaf;
  struct {
    BlockNumber head;
    Entry entry;
  } entries[2];
  const std::size_t count = entries_per_row(model.meta);
  std::size_t partition = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (partitioned) {
      partition = i == 0 ? nearest_partition(model, centered) : second_partition(model, centered, partition);
    }
    RowEncoder encoder(model, false);  // one for each, in whose memory the entry lies
    entries[i] = {.head = partitioned ? model.partitions[partition].head : model.meta.root,
                  .entry = encoder.encode(centered, partition)};
    entries[i].entry.tid = tid;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t rows = append_entry(index, geometry, entries[i].head, entries[i].entry);
    if (!partitioned && rows == kUntrainedWarningRows) warn_untrained(index, rows);
  }
}

void insert_value(Relation index, const ItemPointerData& tid, Datum value) {
  // Reading the value may look at catalogs, and so comes before the model.
  VectorReader reader(index);
  const std::span<const float> vector = reader.read(value, 0);
  if (vector.empty()) {
    const uint32 dims = read_meta(index).dims;
    if (dims > 0) check_dimensions(index, dims, reader.dimensions());
    insert_null(index, tid, NullReason::kZeroVector);
    return;
  }
  const Model& model = model_for(index, reader.dimensions());
  check_dimensions(index, model.meta.dims, reader.dimensions());
  insert_vector(index, model, tid, vector);
}

}  // namespace

bool scann_insert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation /*heap*/,
                  IndexUniqueCheck /*check_unique*/, bool /*index_unchanged*/, IndexInfo* /*info*/) {
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "scann insert", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(context);
  if (isnull[0]) {
    insert_null(index, *tid, NullReason::kNull);
  } else {
    insert_value(index, *tid, values[0]);
  }
  MemoryContextSwitchTo(old);
  MemoryContextDelete(context);
  return false;
}

}  // namespace scann::am
