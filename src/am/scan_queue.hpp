// The queues of a scan: entries by lower bound within a memory limit, and rows by exact distance.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// A row with a distance, exact or a lower bound. Ordered by distance, then TID.
struct RankedRow {
  double distance;
  ItemPointerData tid;
};

inline bool row_before(const RankedRow& a, const RankedRow& b) {
  return a.distance != b.distance ? a.distance < b.distance : tid_key(a.tid) < tid_key(b.tid);
}
inline bool row_after(const RankedRow& a, const RankedRow& b) { return row_before(b, a); }

// A heap whose front is the nearest row.
class RowQueue {
 public:
  bool empty() const { return rows_.empty(); }
  std::size_t size() const { return rows_.size(); }
  const RankedRow& front() { return rows_.front(); }
  void clear() { rows_.clear(); }
  void push(const RankedRow& row) {
    rows_.push_back(row);
    std::push_heap(rows_.begin(), rows_.end(), row_after);
  }
  // For many rows at once: append() them all, then arrange().
  void append(const RankedRow& row) { rows_.push_back(row); }
  void arrange() { std::make_heap(rows_.begin(), rows_.end(), row_after); }
  RankedRow pop() {
    std::pop_heap(rows_.begin(), rows_.end(), row_after);
    const RankedRow row = rows_.back();
    rows_.pop_back();
    return row;
  }

 private:
  friend class BoundedPass;
  PallocArray<RankedRow> rows_;
};

// Collects rows in passes over the whole index that each keep the nearest ones behind where the pass before
// ended, so that memory stays bounded however many rows there are.
class BoundedPass {
 public:
  explicit BoundedPass(RowQueue& queue) : queue_(queue), rows_(queue.rows_) {}

  // Starts the first pass; `bytes` of memory may be used.
  void restart(std::size_t bytes) {
    capacity_ = std::max<std::size_t>(1024, bytes / sizeof(RankedRow));
    has_floor_ = false;
    begin();
  }
  // Starts the pass after one that was truncated.
  void next() {
    floor_ = ceiling_;
    has_floor_ = true;
    begin();
  }
  void add(const RankedRow& row) {
    if (has_floor_ && !row_before(floor_, row)) return;
    if (truncated_ && row_before(ceiling_, row)) return;
    if (rows_.size() == capacity_) trim();
    if (rows_.full()) rows_.reserve(std::min(capacity_, std::max<std::size_t>(64, 2 * rows_.size())));
    rows_.push_back(row);
  }
  // Makes the queue a heap of what was collected.
  void finish() {
    if (truncated_) trim();
    queue_.arrange();
  }
  // Whether rows lie behind what this pass kept.
  bool truncated() const { return truncated_; }

 private:
  void begin() {
    truncated_ = false;
    rows_.clear();
  }
  // Keeps the nearer half of the capacity.
  void trim() {
    const std::size_t keep = capacity_ / 2;
    if (rows_.size() <= keep) return;
    RankedRow* last = rows_.begin() + keep - 1;
    std::nth_element(rows_.begin(), last, rows_.end(), row_before);
    ceiling_ = *last;
    truncated_ = true;
    rows_.resize(keep);
  }

  RowQueue& queue_;
  PallocArray<RankedRow>& rows_;  // of the queue
  std::size_t capacity_ = 0;
  RankedRow floor_{};    // rows up to here were collected by earlier passes
  RankedRow ceiling_{};  // rows beyond are left to later passes
  bool has_floor_ = false;
  bool truncated_ = false;
};

}  // namespace scann::am
