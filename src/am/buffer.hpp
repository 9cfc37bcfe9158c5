// Scoped buffer pins and locks, and WAL records. Their destructors only do what a transaction abort would do
// anyway, so that an ereport which jumps over them loses nothing.
#pragma once

#include <iterator>

#include "am/backend.hpp"

namespace scann::am {

enum class LockMode : int { kShare = BUFFER_LOCK_SHARE, kExclusive = BUFFER_LOCK_EXCLUSIVE };

// Raises ERRCODE_INDEX_CORRUPTED: a page names InvalidBlockNumber where there must be a block. The buffer
// manager would take it for P_NEW and add a block to the relation.
[[noreturn]] void report_invalid_link(Relation index);

// A pinned and locked buffer, released at the end of its scope.
class LockedBuffer {
 public:
  // Reads an existing block of the main fork.
  LockedBuffer(Relation relation, BlockNumber block, LockMode mode, BufferAccessStrategy strategy = nullptr)
      : buffer_(read(relation, block, strategy)) {
    LockBuffer(buffer_, static_cast<int>(mode));
  }
  // Takes over a pin.
  LockedBuffer(Buffer pinned, LockMode mode) : buffer_(pinned) {
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
  static Buffer read(Relation relation, BlockNumber block, BufferAccessStrategy strategy) {
    if (!BlockNumberIsValid(block)) report_invalid_link(relation);
    return ReadBufferExtended(relation, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
  }
  Buffer buffer_;
};

inline constexpr std::size_t kCacheLine = 64;

// Loads a byte and uses it for nothing.
inline void touch_address(const void* address) {
  asm volatile("" : : "r"(*static_cast<const char*>(address)));
}
inline void touch_bytes(const char* start, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += kCacheLine) touch_address(start + i);
  touch_address(start + bytes - 1);
}

// Where the blocks of an index were last found in the buffer pool. Looking there first spares a scan the
// shared hash table and its lock; a buffer that holds something else by now is simply looked up.
class RecentBuffers {
 public:
  RecentBuffers() = default;
  // `memory`: an entry for each block, InvalidBuffer at first.
  explicit RecentBuffers(std::span<Buffer> memory) : buffers_(memory) {}

  // A pinned buffer.
  Buffer read(Relation relation, BlockNumber block) const {
    if (!BlockNumberIsValid(block)) report_invalid_link(relation);
    if (block >= buffers_.size()) return ReadBuffer(relation, block);
    Buffer& recent = buffers_[block];
    if (recent != InvalidBuffer) {
      if (read_recent_buffer(relation, block, recent)) return recent;
      doubts_ = kDoubtedReads;
    }
    return recent = ReadBuffer(relation, block);
  }

  // Brings a page's bookkeeping into the processor's caches, and its address translations. Asks the operating
  // system for a page that is not in the buffer pool. Returns the page, null where it is not known.
  //
  // These are loads, not prefetch instructions, which the processor may drop where a translation is not
  // cached; of shared buffers in pages of 4 kB it rarely is. Nothing waits for what is loaded. What is read
  // may be torn, or another page by now: it is a hint.
  const char* touch(Relation relation, BlockNumber block) const {
    if (block >= buffers_.size()) return nullptr;
    Buffer& recent = buffers_[block];
    if (recent == InvalidBuffer || doubts_ > 0) recent = request(relation, block);
    if (recent <= 0) return nullptr;
    const char* page = static_cast<const char*>(BufferGetBlock(recent));
    touch_address(GetBufferDescriptor(recent - 1));
    touch_address(page);
    touch_address(page + BLCKSZ - 1);
    return page;
  }
  // The same, and `bytes` of the page from `offset`.
  void touch(Relation relation, BlockNumber block, std::size_t offset, std::size_t bytes) const {
    const char* page = touch(relation, block);
    if (page != nullptr) touch_bytes(page + offset, bytes);
  }

 private:
  // After a page was found to have left the pool, so many others are looked up before they are believed to be
  // where they were.
  static constexpr unsigned kDoubtedReads = 256;

  // Where the block is; InvalidBuffer where it is on its way from disk.
  static Buffer request(Relation relation, BlockNumber block) {
    if (doubts_ > 0) --doubts_;
    if (get_tablespace_io_concurrency(relation->rd_rel->reltablespace) == 0) return InvalidBuffer;
    return PrefetchBuffer(relation, MAIN_FORKNUM, block).recent_buffer;
  }

  std::span<Buffer> buffers_;
  static inline unsigned doubts_ = 0;
};

// The same for the pages of tables: a heap looks up every row's page otherwise, which takes half a
// microsecond where the buffer table is not in the processor's caches. So many pages of all tables are
// remembered, each in the one place that its number gives it.
class RecentTableBuffers {
 public:
  // Where the page may be. Kept as found; InvalidBuffer where nothing is known.
  static Buffer& of(Relation table, BlockNumber block) {
    return buffers_[(block + table->rd_id * kSpread) % std::size(buffers_)];
  }
  // Whether the buffer still seems to hold the page: read without a lock, a hint.
  static bool seems_to_hold(Buffer buffer, BlockNumber block) {
    return buffer > 0 && GetBufferDescriptor(buffer - 1)->tag.blockNum == block;
  }
  // Has a fetch from a heap find the page, pinned, as if it had just fetched another row from there; then it
  // does not look it up. Returns the buffer, InvalidBuffer where it does not hold the page any more.
  static Buffer offer(IndexFetchTableData* fetch, BlockNumber block) {
    const Buffer buffer = of(fetch->rel, block);
    Buffer& current = reinterpret_cast<IndexFetchHeapData*>(fetch)->xs_cbuf;
    if (buffer <= 0 || buffer == current || !read_recent_buffer(fetch->rel, block, buffer))
      return InvalidBuffer;
    if (BufferIsValid(current)) ReleaseBuffer(current);
    return current = buffer;
  }
  // Remembers the page that a fetch from a heap has just read.
  static void note(IndexFetchTableData* fetch, BlockNumber block) {
    of(fetch->rel, block) = reinterpret_cast<IndexFetchHeapData*>(fetch)->xs_cbuf;
  }

 private:
  static constexpr uint32 kSpread = 2654435761;  // tables apart from each other
  static inline Buffer buffers_[32768];          // 256 MB of tables
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
