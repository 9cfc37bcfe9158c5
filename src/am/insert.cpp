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

void insert_vector(Relation index, const ItemPointerData& tid, std::span<const float> vector) {
  const Model& model = open_model(index);
  const auto centered = palloc_span<float>(vector.size());
  center(model, vector, centered);
  const bool partitioned = model.meta.height > 0;
  const std::size_t partition = partitioned ? nearest_partition(model, centered) : 0;
  RowEncoder encoder(model, false);
  Entry entry = encoder.encode(centered, partition);
  entry.tid = tid;
  const ListGeometry geometry = model.leaf;
  const BlockNumber head = partitioned ? model.partitions[partition].head : model.meta.root;
  const std::size_t rows = append_entry(index, geometry, head, entry);
  if (!partitioned && rows == kUntrainedWarningRows) warn_untrained(index, rows);
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
    VectorReader reader(index);
    const uint32 dims = read_meta(index).dims;
    const std::span<const float> vector = reader.read(values[0], dims);
    if (vector.empty()) {
      insert_null(index, *tid, NullReason::kZeroVector);
    } else {
      if (dims == 0) set_dimensions(index, static_cast<uint32>(vector.size()));
      check_dimensions(index, open_model(index).meta.dims, static_cast<uint32>(vector.size()));
      insert_vector(index, *tid, vector);
    }
  }
  MemoryContextSwitchTo(old);
  MemoryContextDelete(context);
  return false;
}

}  // namespace scann::am
