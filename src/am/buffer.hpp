// Scoped buffer pins and locks, and WAL records. Their destructors only do what a transaction abort would do
// anyway, so that an ereport which jumps over them loses nothing.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

enum class LockMode : int { kShare = BUFFER_LOCK_SHARE, kExclusive = BUFFER_LOCK_EXCLUSIVE };

// A pinned and locked buffer, released at the end of its scope.
class LockedBuffer {
 public:
  // Reads an existing block of the main fork.
  LockedBuffer(Relation relation, BlockNumber block, LockMode mode, BufferAccessStrategy strategy = nullptr)
      : buffer_(ReadBufferExtended(relation, MAIN_FORKNUM, block, RBM_NORMAL, strategy)) {
    LockBuffer(buffer_, static_cast<int>(mode));
  }
  // Adds a block; exclusively locked.
  static LockedBuffer extend(Relation relation, ForkNumber fork = MAIN_FORKNUM) {
    return LockedBuffer(extend_relation(relation, fork));
  }
  LockedBuffer(LockedBuffer&& other) noexcept : buffer_(std::exchange(other.buffer_, InvalidBuffer)) {}
  LockedBuffer& operator=(LockedBuffer&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  LockedBuffer(const LockedBuffer&) = delete;
  LockedBuffer& operator=(const LockedBuffer&) = delete;
  ~LockedBuffer() { release(); }

  void release() {
    if (buffer_ != InvalidBuffer) UnlockReleaseBuffer(std::exchange(buffer_, InvalidBuffer));
  }
  Buffer get() const { return buffer_; }
  Page page() const { return BufferGetPage(buffer_); }
  BlockNumber block() const { return BufferGetBlockNumber(buffer_); }

 private:
  explicit LockedBuffer(Buffer buffer) : buffer_(buffer) {}
  Buffer buffer_;
};

// One atomic, WAL-logged change to at most four pages. Register pages in ascending lock order, change the
// returned copies, commit().
class WalRecord {
 public:
  explicit WalRecord(Relation relation) : state_(GenericXLogStart(relation)) {}
  WalRecord(const WalRecord&) = delete;
  WalRecord& operator=(const WalRecord&) = delete;
  ~WalRecord() {
    if (state_ != nullptr) GenericXLogAbort(state_);
  }

  Page add(const LockedBuffer& buffer) { return GenericXLogRegisterBuffer(state_, buffer.get(), 0); }
  Page add_new(const LockedBuffer& buffer) {
    return GenericXLogRegisterBuffer(state_, buffer.get(), GENERIC_XLOG_FULL_IMAGE);
  }
  void commit() { GenericXLogFinish(std::exchange(state_, nullptr)); }

 private:
  GenericXLogState* state_;
};

}  // namespace scann::am
