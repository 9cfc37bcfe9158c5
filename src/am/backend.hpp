// The one way to PostgreSQL's headers: includes them as C, removes the macros that clash with C++, and holds
// every difference between server versions. Include it after the C++ and core headers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <new>
#include <span>
#include <utility>

extern "C" {
#include <postgres.h>

#include <access/amapi.h>
#include <access/genam.h>
#include <access/generic_xlog.h>
#include <access/heapam.h>
#include <access/htup_details.h>
#include <access/parallel.h>
#include <access/relation.h>
#include <access/reloptions.h>
#include <access/relscan.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <access/xloginsert.h>
#include <catalog/index.h>
#include <catalog/namespace.h>
#include <catalog/pg_am.h>
#include <catalog/pg_class.h>
#include <catalog/pg_type.h>
#include <commands/progress.h>
#include <commands/vacuum.h>
#include <executor/executor.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <nodes/execnodes.h>
#include <nodes/nodeFuncs.h>
#include <nodes/pathnodes.h>
#include <nodes/supportnodes.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <pgstat.h>
#include <storage/buf_internals.h>
#include <storage/bufmgr.h>
#include <storage/bufpage.h>
#include <storage/lmgr.h>
#include <utils/acl.h>
#include <utils/array.h>
#include <utils/builtins.h>
#include <utils/float.h>
#include <utils/guc.h>
#include <utils/index_selfuncs.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/selfuncs.h>
#include <utils/snapmgr.h>
#include <utils/spccache.h>
#include <utils/tuplesort.h>
#if PG_VERSION_NUM >= 180000
#include <commands/explain_state.h>
#endif
}

// PostgreSQL 15 leaves this empty, and the library hides its symbols by default.
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

// Declares and opens the definition of an SQL-callable function.
#define SCANN_FUNCTION(name)                \
  extern "C" {                              \
  PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
  PG_FUNCTION_INFO_V1(name);                \
  }                                         \
  Datum name([[maybe_unused]] PG_FUNCTION_ARGS)

#undef Min
#undef Max
#undef Abs
#undef snprintf
#undef vsnprintf
#undef printf
#undef fprintf

namespace scann::am {

// A page read under 15 or 16 must notice old_snapshot_threshold; later versions have no such thing.
inline void test_for_old_snapshot([[maybe_unused]] Snapshot snapshot, [[maybe_unused]] Relation relation,
                                  [[maybe_unused]] Page page) {
#if PG_VERSION_NUM < 170000
  TestForOldSnapshot(snapshot, relation, page);
#endif
}

// Adds a block to a fork and returns it exclusively locked, its page still all zeros.
inline Buffer extend_relation(Relation relation, ForkNumber fork) {
#if PG_VERSION_NUM >= 160000
  return ExtendBufferedRel(BMR_REL(relation), fork, nullptr, EB_LOCK_FIRST);
#else
  const bool needs_lock = !RELATION_IS_LOCAL(relation);
  if (needs_lock) LockRelationForExtension(relation, ExclusiveLock);
  const Buffer buffer = ReadBufferExtended(relation, fork, P_NEW, RBM_ZERO_AND_LOCK, nullptr);
  if (needs_lock) UnlockRelationForExtension(relation, ExclusiveLock);
  return buffer;
#endif
}

// Counts a use of a pinned buffer, by which the buffer pool decides what to keep: ReadRecentBuffer() does
// not. It changes the header as PinBuffer() does, but lets it be while someone else changes it.
inline void count_buffer_use(Buffer buffer) {
  if (BufferIsLocal(buffer)) return;
  BufferDesc* descriptor = GetBufferDescriptor(buffer - 1);
  uint32 state = pg_atomic_read_u32(&descriptor->state);
  if ((state & BM_LOCKED) != 0 || BUF_STATE_GET_USAGECOUNT(state) >= BM_MAX_USAGE_COUNT) return;
  pg_atomic_compare_exchange_u32(&descriptor->state, &state, state + BUF_USAGECOUNT_ONE);
}

// Pins the block if it is still in the buffer where it was once found.
inline bool read_recent_buffer(Relation relation, BlockNumber block, Buffer buffer) {
#if PG_VERSION_NUM >= 160000
  const RelFileLocator& locator = relation->rd_locator;
#else
  const RelFileNode& locator = relation->rd_node;
#endif
  if (!ReadRecentBuffer(locator, MAIN_FORKNUM, block, buffer)) return false;
  count_buffer_use(buffer);
  pgstat_count_buffer_read(relation);
  pgstat_count_buffer_hit(relation);
  return true;
}

// Until 17 the server plans workers for btree builds only, and access methods ask for them themselves.
inline void allow_parallel_builds([[maybe_unused]] IndexAmRoutine* routine) {
#if PG_VERSION_NUM >= 170000
  routine->amcanbuildparallel = true;
#endif
}

inline int plan_build_workers([[maybe_unused]] Relation heap, [[maybe_unused]] Relation index,
                              [[maybe_unused]] const IndexInfo* info) {
#if PG_VERSION_NUM >= 170000
  return info->ii_ParallelWorkers;
#else
  return plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index));
#endif
}

inline void count_index_scan(IndexScanDesc scan) {
  pgstat_count_index_scan(scan->indexRelation);
#if PG_VERSION_NUM >= 180000
  if (scan->instrument != nullptr) ++scan->instrument->nsearches;
#endif
}

inline bool owns_relation(Oid relation, Oid user) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(RelationRelationId, relation, user);
#else
  return pg_class_ownercheck(relation, user);
#endif
}

inline void restrict_search_path() {
#if PG_VERSION_NUM >= 170000
  RestrictSearchPath();
#endif
}

inline void walk_plan_children(PlanState* node, bool (*visit)(PlanState*, void*), void* context) {
#if PG_VERSION_NUM >= 160000
  planstate_tree_walker(node, visit, context);
#else
  planstate_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(visit)), context);
#endif
}

inline IndexScanDesc begin_index_scan(Relation heap, Relation index, Snapshot snapshot, int keys,
                                      int order_bys) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan(heap, index, snapshot, nullptr, keys, order_bys);
#else
  return index_beginscan(heap, index, snapshot, keys, order_bys);
#endif
}

inline void vacuum_pause([[maybe_unused]] bool is_analyze = false) {
#if PG_VERSION_NUM >= 180000
  vacuum_delay_point(is_analyze);
#else
  vacuum_delay_point();
#endif
}

// Calls into core code that may throw: an exception becomes a PostgreSQL error, raised after the handler has
// ended.
template <class Function>
void call_core(Function&& function) {
  char message[256] = "";
  bool out_of_memory = false;
  try {
    function();
    return;
  } catch (const std::bad_alloc&) {
    out_of_memory = true;
  } catch (const std::exception& e) {
    strlcpy(message, e.what(), sizeof(message));
  }
  if (out_of_memory) ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
  ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("unexpected error in scann: %s", message)));
}

// Constructs an object that owns memory of its own; it is destroyed with the current memory context.
template <class T, class... Arguments>
T* make_in_context(Arguments&&... arguments) {
  auto* callback = static_cast<MemoryContextCallback*>(palloc0(sizeof(MemoryContextCallback)));
  void* memory = palloc(sizeof(T));
  T* object = nullptr;
  call_core([&] { object = new (memory) T(std::forward<Arguments>(arguments)...); });
  callback->func = [](void* p) { static_cast<T*>(p)->~T(); };
  callback->arg = object;
  MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
  return object;
}

// A TID as a number, which orders as TIDs do.
inline int64 tid_key(const ItemPointerData& tid) {
  return static_cast<int64>(ItemPointerGetBlockNumberNoCheck(&tid)) << 16 |
         ItemPointerGetOffsetNumberNoCheck(&tid);
}
inline ItemPointerData tid_of_key(int64 key) {
  ItemPointerData tid;
  ItemPointerSet(&tid, static_cast<BlockNumber>(key >> 16), static_cast<OffsetNumber>(key & 0xFFFF));
  return tid;
}

// Palloc'd arrays, in the current memory context; may exceed 1 GB.
template <class T>
std::span<T> palloc_span(std::size_t count) {
  return {static_cast<T*>(
              MemoryContextAllocHuge(CurrentMemoryContext, std::max<std::size_t>(count, 1) * sizeof(T))),
          count};
}

// A growing palloc'd array of plain values, in the memory context current at construction; freed with it.
template <class T>
class PallocArray {
 public:
  PallocArray() : context_(CurrentMemoryContext) {}
  void push_back(const T& value) {
    if (size_ == capacity_) reserve(std::max<std::size_t>(64, 2 * capacity_));
    data_[size_++] = value;
  }
  void reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    const std::size_t bytes = capacity * sizeof(T);
    data_ = static_cast<T*>(data_ == nullptr ? MemoryContextAllocHuge(context_, bytes)
                                             : repalloc_huge(data_, bytes));
    capacity_ = capacity;
  }
  void resize(std::size_t size) {
    reserve(size);
    size_ = size;
  }
  bool full() const { return size_ == capacity_; }
  void clear() { size_ = 0; }
  void pop_back() { --size_; }
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  T& front() { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  MemoryContext context_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace scann::am
