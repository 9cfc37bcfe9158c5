// What the inspection functions share.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// Whether a relation is an index of this access method.
bool is_scann_index(Relation relation);

// The table, locked in the given mode, and the index of an inspection function's argument, until the end of
// the transaction. Raises an error unless it is a scann index on a table that the user may read and,
// for a lock that keeps writers out, owns.
struct InspectedIndex {
  explicit InspectedIndex(Oid index_oid, LOCKMODE heap_lock = AccessShareLock);
  void close();

  Relation heap;
  Relation index;
};

// Runs what belongs to a table, such as the functions of an indexed expression, as its owner and not as
// whoever calls an inspection function, until end() or the abort of the transaction.
class OwnerScope {
 public:
  explicit OwnerScope(Relation heap);
  void end();

 private:
  Oid user_;
  int security_context_;
  int settings_level_;
};

// Starts the one-row result of a function with OUT parameters.
class ResultRow {
 public:
  explicit ResultRow(FunctionCallInfo fcinfo);
  void add(Datum value);
  Datum datum();

 private:
  static constexpr int kMaxColumns = 32;
  TupleDesc descriptor_;
  Datum values_[kMaxColumns];
  bool nulls_[kMaxColumns];
  int size_ = 0;
};

}  // namespace scann::am
