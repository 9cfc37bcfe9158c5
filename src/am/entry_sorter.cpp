// Sorting of a build's entries.
#include "am/entry_sorter.hpp"

extern "C" {
#include <catalog/pg_operator_d.h>
}

namespace scann::am {
namespace {

// What goes through the sort beside the keys: this header, codes (one a byte), int8 vector.
struct SortedPayload {
  float scale;
  float residual_squared;
  ErrorBound error;
  std::uint16_t term;
};

constexpr std::size_t kFewestKilobytes = 64;  // what tuplesort takes anyway

}  // namespace

EntrySorter::EntrySorter(const ListGeometry& geometry, std::size_t memory, SortCoordinate coordinate)
    : geometry_(geometry) {
  descriptor_ = CreateTemplateTupleDesc(3);
  TupleDescInitEntry(descriptor_, 1, "partition", INT4OID, -1, 0);
  TupleDescInitEntry(descriptor_, 2, "tid", INT8OID, -1, 0);
  TupleDescInitEntry(descriptor_, 3, "entry", BYTEAOID, -1, 0);
  AttrNumber attributes[] = {1, 2};
  Oid operators[] = {Int4LessOperator, Int8LessOperator};
  Oid collations[] = {InvalidOid, InvalidOid};
  bool nulls_first[] = {false, false};
  const std::size_t kilobytes = std::clamp(memory / 1024, kFewestKilobytes, std::size_t{MAX_KILOBYTES});
  sort_ = tuplesort_begin_heap(descriptor_, 2, attributes, operators, collations, nulls_first,
                               static_cast<int>(kilobytes), coordinate, TUPLESORT_NONE);
  in_ = MakeSingleTupleTableSlot(descriptor_, &TTSOpsVirtual);
  out_ = MakeSingleTupleTableSlot(descriptor_, &TTSOpsMinimalTuple);
  geometry_changed();
}

void EntrySorter::geometry_changed() {
  const std::size_t bytes = VARHDRSZ + sizeof(SortedPayload) + geometry_.blocks() + geometry_.dims();
  payload_ = static_cast<bytea*>(palloc0(bytes));
  SET_VARSIZE(payload_, bytes);
}

void EntrySorter::put(int32 partition, const ItemPointerData& tid, const Entry& entry) {
  const SortedPayload header{entry.scale, entry.residual_squared, entry.error, entry.term};
  char* to = VARDATA(payload_);
  std::memcpy(to, &header, sizeof(header));
  if (entry.codes != nullptr) std::memcpy(to + sizeof(header), entry.codes, geometry_.blocks());
  if (entry.vector != nullptr)
    std::memcpy(to + sizeof(header) + geometry_.blocks(), entry.vector, geometry_.dims());
  ExecClearTuple(in_);
  in_->tts_values[0] = Int32GetDatum(partition);
  in_->tts_values[1] = Int64GetDatum(tid_key(tid));
  in_->tts_values[2] = PointerGetDatum(payload_);
  std::fill_n(in_->tts_isnull, 3, false);
  ExecStoreVirtualTuple(in_);
  tuplesort_puttupleslot(sort_, in_);
}

void EntrySorter::sort() { tuplesort_performsort(sort_); }

bool EntrySorter::next(int32* partition, Entry* entry) {
  if (!tuplesort_gettupleslot(sort_, true, false, out_, nullptr)) return false;
  slot_getallattrs(out_);
  *partition = DatumGetInt32(out_->tts_values[0]);
  const char* from = VARDATA_ANY(DatumGetPointer(out_->tts_values[2]));
  SortedPayload header;
  std::memcpy(&header, from, sizeof(header));
  entry->tid = tid_of_key(DatumGetInt64(out_->tts_values[1]));
  entry->scale = header.scale;
  entry->residual_squared = header.residual_squared;
  entry->error = header.error;
  entry->term = header.term;
  entry->codes = reinterpret_cast<const std::uint8_t*>(from + sizeof(header));
  entry->vector = reinterpret_cast<const std::int8_t*>(from + sizeof(header) + geometry_.blocks());
  return true;
}

void EntrySorter::end() {
  ExecDropSingleTupleTableSlot(in_);
  ExecDropSingleTupleTableSlot(out_);
  tuplesort_end(sort_);
}

}  // namespace scann::am
