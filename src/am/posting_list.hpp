// Posting lists: entries appended one at a time with WAL, written in bulk by a build, and walked by scans.
#pragma once

#include <array>

#include "am/buffer.hpp"
#include "am/page.hpp"

namespace scann::am {

// One entry on its way into a list. Pointers are borrowed.
struct Entry {
  ItemPointerData tid;  // row, or child_pointer() in an inner list
  float scale = 0;
  ErrorBound error = 0;
  const std::int8_t* vector = nullptr;  // geometry.dims()
  const std::uint8_t* codes = nullptr;  // geometry.blocks(), one code a byte
  std::uint16_t term = 0;               // where the geometry has terms
  float residual_squared = 0;           // ||x - c||^2
  InnerFields inner = {};               // inner lists only
};

// The TID of an inner entry.
inline ItemPointerData child_pointer(BlockNumber head) {
  ItemPointerData tid;
  ItemPointerSet(&tid, head, 1);
  return tid;
}

// Appends an entry, reusing a void slot where it can. One WAL record; concurrent callers are safe. Returns
// how many entries the list then has up to this one; 0 when a void slot took it.
std::size_t append_entry(Relation index, const ListGeometry& geometry, BlockNumber head, const Entry& entry);

// Entries of a list, from its code pages.
struct ListCounts {
  int64 entries = 0;
  int64 voids = 0;
  int64 pages = 0;
  double residual_sum = 0;

  int64 live() const { return entries - voids; }
  // The mean of ||r||^2 / dims over live entries, 0 where there are none.
  double variance(std::size_t dims) const {
    return live() > 0 ? residual_sum / static_cast<double>(live()) / static_cast<double>(dims) : 0;
  }
};

ListCounts count_list(Relation index, const ListGeometry& geometry, BlockNumber head);

// Makes inserts into the list begin their search for room at a segment.
void set_insert_hint(Relation index, const ListGeometry& geometry, BlockNumber head, BlockNumber hint);

// A page composed in private memory while its block is reserved, so that no lock is held between entries.
class ReservedPage {
 public:
  ReservedPage() = default;
  ReservedPage(const ReservedPage&) = delete;
  ReservedPage& operator=(const ReservedPage&) = delete;

  // Reserves the next block of the relation; the page starts zeroed.
  void reserve(Relation index, ForkNumber fork);
  bool reserved() const { return buffer_ != InvalidBuffer; }
  BlockNumber block() const { return BufferGetBlockNumber(buffer_); }
  Page page() { return image_.data; }
  // Takes over another's block, leaving it without one; the page starts zeroed.
  void take(ReservedPage& other);
  // Copies the page to its block, marks it dirty and lets go of it. Does nothing when none is reserved.
  void store();

 private:
  Buffer buffer_ = InvalidBuffer;
  PGAlignedBlock image_;
};

// Writes a list from its first entry to its last, without WAL, into blocks at the end of the relation.
class ListWriter {
 public:
  ListWriter(Relation index, const ListGeometry& geometry, ForkNumber fork = MAIN_FORKNUM);

  void add(const Entry& entry);
  // Entries added so far.
  std::size_t size() const { return size_; }
  // Stores what is not stored yet and returns the head of the list.
  BlockNumber finish();

 private:
  CodePage code_page() { return CodePage(code_.page(), geometry_); }
  void start_segment();
  void start_vector_pages(BlockNumber* blocks);

  Relation index_;
  const ListGeometry& geometry_;
  ForkNumber fork_;
  BlockNumber head_ = InvalidBlockNumber;
  ReservedPage code_;
  ReservedPage vector_;
  ReservedPage tail_;
  std::size_t size_ = 0;
};

// Copies a slot that may span two pages: header and int8 vector of an entry, read under the locks of its
// page(s). `first` is locked by the caller and already checked.
class SlotReader {
 public:
  SlotReader(Relation index, const ListGeometry& geometry);
  // The int8 vector of `entry`, whose slot starts on the locked page `first`; continued on `tail_block` where
  // slots span pages. Valid until the next call, or until `first` is unlocked.
  const std::int8_t* vector(Page first, std::size_t entry, BlockNumber tail_block,
                            BufferAccessStrategy strategy);

 private:
  Relation index_;
  const ListGeometry& geometry_;
  std::int8_t* wide_;  // palloc'd when slots span pages
};

// Calls visit(SlotHeader*, Page, entry, tail_block) for every entry of a list, void ones included, with the
// entry's vector page share-locked. Polls for interrupts at every page; `strategy` may be null.
template <class Visit>
void for_each_slot(Relation index, const ListGeometry& geometry, BlockNumber head,
                   BufferAccessStrategy strategy, Visit&& visit) {
  std::array<BlockNumber, kPageCapacity / sizeof(BlockNumber)> vectors;
  ChainGuard chain(index);
  for (BlockNumber block = head; BlockNumberIsValid(block);) {
    chain.step(block);
    std::size_t entries = 0;
    {
      const LockedBuffer code(index, block, LockMode::kShare, strategy);
      const CodePage page(index, code.get(), geometry);
      entries = page.header().entries;
      std::copy_n(page.vectors(), page.vector_pages_in_use(), vectors.begin());
      block = page.next();
    }
    for (std::size_t entry = 0; entry < entries;) {
      CHECK_FOR_INTERRUPTS();
      const std::size_t first = geometry.vector_page_of(entry);
      const LockedBuffer buffer(index, vectors[first], LockMode::kShare, strategy);
      check_page(index, buffer.get(), PageKind::kVectors, geometry.list());
      const std::size_t end = std::min(entries, entry + slots_on_page(buffer.page(), geometry));
      if (end == entry) report_corruption(index, vectors[first], "a vector page holds no slots");
      for (; entry < end; ++entry) {
        visit(slot_at(buffer.page(), geometry, entry), buffer.page(), entry,
              geometry.pages_per_slot() > 1 ? vectors[first + 1] : InvalidBlockNumber);
      }
    }
  }
}

}  // namespace scann::am
