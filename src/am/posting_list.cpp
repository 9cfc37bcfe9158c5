// Posting lists: append with WAL, bulk writing, slot access.
#include <optional>

#include "am/posting_list.hpp"

#include "core/code_block.hpp"

namespace scann::am {
namespace {

// Bytes of a slot's vector that lie on its first page.
std::size_t head_bytes(const ListGeometry& geometry) {
  return std::min(geometry.dims(), kPageCapacity - geometry.vector_offset());
}

void store_slot(const ListGeometry& geometry, const Entry& entry, std::size_t position, Page first,
                Page tail) {
  SlotHeader* slot = slot_at(first, geometry, position);
  *slot = SlotHeader{.tid = entry.tid, .error = entry.error, .scale = entry.scale};
  if (geometry.list() == ListKind::kInner) *inner_fields(slot) = entry.inner;
  const std::size_t here = head_bytes(geometry);
  if (geometry.dims() > 0) std::memcpy(slot_vector(slot, geometry), entry.vector, here);
  const std::size_t end = geometry.slot_offset(position) + std::min(geometry.slot_bytes(), kPageCapacity);
  set_page_lower(first, std::max(page_lower(first), end));
  if (tail != nullptr) {
    std::memcpy(page_contents(tail), entry.vector + here, geometry.dims() - here);
    set_page_lower(tail, kPageHeaderBytes + geometry.dims() - here);
  }
}

void store_entry_codes(const CodePage& page, const ListGeometry& geometry, const Entry& entry,
                       std::size_t position) {
  page.header().residual_sum += entry.residual_squared;
  if (!geometry.has_codes()) return;
  std::uint8_t* group = page.group_of(position);
  store_codes({entry.codes, geometry.blocks()}, position % kGroupSize, group);
  page.set_live(position, true);
  if (geometry.terms()) store_term(entry.term, geometry.blocks(), position % kGroupSize, group);
}

// Makes room for one more entry on a code page and returns its position.
std::size_t claim_position(CodePage& page, const ListGeometry& geometry) {
  const std::size_t position = page.header().entries;
  page.set_entries(position + 1);
  if (geometry.has_codes() && position % kGroupSize == 0) {
    std::memset(page.group_of(position), 0, geometry.group_bytes());
  }
  return position;
}

// The page(s) of one slot, exclusively locked: added to the relation where the code page does not name them
// yet.
class SlotPages {
 public:
  SlotPages(Relation index, const ListGeometry& geometry, const LockedBuffer& code, const BlockNumber* blocks)
      : geometry_(geometry), fresh_(blocks[0] == InvalidBlockNumber), first_(open(index, code, blocks[0])) {
    if (geometry.pages_per_slot() > 1) tail_.emplace(open(index, first_, blocks[1]));
    if (fresh_) return;
    check_page(index, first_.get(), PageKind::kVectors, geometry.list());
    if (tail_) check_page(index, tail_->get(), PageKind::kVectorTail, geometry.list());
  }

  const LockedBuffer& first() const { return first_; }

  // Registers the pages, first before tail, initialises fresh ones and names them in the code page's array.
  void store(WalRecord& record, const Entry& entry, std::size_t position, BlockNumber code_block,
             BlockNumber* blocks) {
    const Page first = add(record, first_, PageKind::kVectors, code_block);
    const Page tail = tail_ ? add(record, *tail_, PageKind::kVectorTail, code_block) : nullptr;
    store_slot(geometry_, entry, position, first, tail);
    blocks[0] = first_.block();
    if (tail_) blocks[1] = tail_->block();
  }

 private:
  // `locked` is the page that names the block: were it the block itself, this backend would wait for its own
  // lock.
  LockedBuffer open(Relation index, const LockedBuffer& locked, BlockNumber block) const {
    if (!fresh_ && block == locked.block()) report_corruption(index, block, "a page names itself");
    return fresh_ ? LockedBuffer::extend(index) : LockedBuffer(index, block, LockMode::kExclusive);
  }
  Page add(WalRecord& record, const LockedBuffer& buffer, PageKind kind, BlockNumber code_block) const {
    if (!fresh_) return record.add(buffer);
    const Page page = record.add_new(buffer);
    init_page(page, kind, geometry_.list(), code_block);
    return page;
  }

  const ListGeometry& geometry_;
  bool fresh_;
  LockedBuffer first_;
  std::optional<LockedBuffer> tail_;
};

// Puts the entry behind the last one of a segment that has room. Returns the list's number of entries up to
// it.
std::size_t append_to_segment(Relation index, const ListGeometry& geometry, const LockedBuffer& code,
                              const Entry& entry) {
  const std::size_t next = CodePage(code.page(), geometry).header().entries;
  SlotPages slot(index, geometry, code,
                 CodePage(code.page(), geometry).vectors() + geometry.vector_page_of(next));
  WalRecord record(index);
  CodePage page(record.add(code), geometry);
  const std::size_t position = claim_position(page, geometry);
  store_entry_codes(page, geometry, entry, position);
  slot.store(record, entry, position, code.block(), page.vectors() + geometry.vector_page_of(position));
  const std::size_t entries = page.header().preceding + position + 1;
  record.commit();
  return entries;
}

// Chains a new segment behind the last one, with the entry as its first. Returns the list's number of
// entries.
std::size_t append_segment(Relation index, const ListGeometry& geometry, BlockNumber head,
                           const LockedBuffer& last, const Entry& entry) {
  const BlockNumber unnamed[2] = {InvalidBlockNumber, InvalidBlockNumber};
  const LockedBuffer code = LockedBuffer::extend(index);
  SlotPages slot(index, geometry, code, unnamed);
  WalRecord record(index);
  page_opaque(record.add(last))->next = code.block();
  CodePage page(record.add_new(code), geometry);
  const CodePageHeader& before = CodePage(last.page(), geometry).header();
  page.init(head, std::size_t{before.preceding} + before.entries);
  claim_position(page, geometry);
  store_entry_codes(page, geometry, entry, 0);
  slot.store(record, entry, 0, code.block(), page.vectors());
  const std::size_t entries = std::size_t{page.header().preceding} + 1;
  record.commit();
  return entries;
}

// The first void slot on the vector page that holds `position`, or `end` when there is none.
std::size_t find_void(const ListGeometry& geometry, Page page, std::size_t position, std::size_t end) {
  for (; position < end; ++position) {
    if (!ItemPointerIsValid(&slot_at(page, geometry, position)->tid)) break;
  }
  return position;
}

// Puts the entry into a slot that VACUUM has voided. Returns false when the segment turns out to have none.
bool reuse_void(Relation index, const ListGeometry& geometry, const LockedBuffer& code, const Entry& entry) {
  const CodePage current(code.page(), geometry);
  const std::size_t entries = current.header().entries;
  const std::size_t per_page = geometry.pages_per_slot() > 1 ? 1 : geometry.slots_per_page();
  std::size_t begin = std::min<std::size_t>(current.header().void_hint, entries);
  while (begin < entries) {
    const std::size_t end = std::min(begin - begin % per_page + per_page, entries);
    const std::size_t vector_page = geometry.vector_page_of(begin);
    const BlockNumber* blocks = current.vectors() + vector_page;
    if (!BlockNumberIsValid(blocks[0])) report_invalid_link(index);
    SlotPages slot(index, geometry, code, blocks);
    const std::size_t position = find_void(geometry, slot.first().page(), begin, end);
    begin = end;
    if (position == end) continue;
    WalRecord record(index);
    CodePage page(record.add(code), geometry);
    --page.header().voids;
    page.header().void_hint = static_cast<uint32>(position + 1);
    store_entry_codes(page, geometry, entry, position);
    slot.store(record, entry, position, code.block(), page.vectors() + vector_page);
    record.commit();
    return true;
  }
  return false;
}

BlockNumber read_insert_hint(Relation index, const ListGeometry& geometry, BlockNumber head) {
  const LockedBuffer buffer(index, head, LockMode::kShare);
  const BlockNumber hint = CodePage(index, buffer.get(), geometry).header().insert_hint;
  return BlockNumberIsValid(hint) ? hint : head;
}

}  // namespace

void set_insert_hint(Relation index, const ListGeometry& geometry, BlockNumber head, BlockNumber hint) {
  const LockedBuffer buffer(index, head, LockMode::kExclusive);
  if (CodePage(index, buffer.get(), geometry).header().insert_hint == hint) return;
  WalRecord record(index);
  CodePage(record.add(buffer), geometry).header().insert_hint = hint;
  record.commit();
}

std::size_t append_entry(Relation index, const ListGeometry& geometry, BlockNumber head, const Entry& entry) {
  const BlockNumber hint = read_insert_hint(index, geometry, head);
  BlockNumber block = hint;
  std::size_t appended = 0;
  bool stored = false;
  ChainGuard chain(index);
  while (!stored) {
    CHECK_FOR_INTERRUPTS();
    chain.step(block);
    const LockedBuffer code(index, block, LockMode::kExclusive);
    const CodePage page(index, code.get(), geometry);
    if (page.head() != head) report_corruption(index, block, "a code page names another list as its own");
    stored = true;
    if (page.header().voids > 0 && reuse_void(index, geometry, code, entry)) {
      // No entry more than before.
    } else if (page.header().entries < geometry.segment_entries()) {
      appended = append_to_segment(index, geometry, code, entry);
    } else if (!BlockNumberIsValid(page.next())) {
      appended = append_segment(index, geometry, head, code, entry);
    } else {
      block = page.next();
      stored = false;
    }
  }
  if (block != hint) set_insert_hint(index, geometry, head, block);
  return appended;
}

ListCounts count_list(Relation index, const ListGeometry& geometry, BlockNumber head) {
  ListCounts counts;
  ChainGuard chain(index);
  for (BlockNumber block = head; BlockNumberIsValid(block);) {
    chain.step(block);
    CHECK_FOR_INTERRUPTS();
    const LockedBuffer buffer(index, block, LockMode::kShare);
    const CodePage page(index, buffer.get(), geometry);
    counts.entries += page.header().entries;
    counts.voids += page.header().voids;
    counts.residual_sum += page.header().residual_sum;
    counts.pages += 1 + static_cast<int64>(page.vector_pages_in_use());
    block = page.next();
  }
  return counts;
}

void ReservedPage::reserve(Relation index, ForkNumber fork) {
  buffer_ = extend_relation(index, fork);
  LockBuffer(buffer_, BUFFER_LOCK_UNLOCK);
  std::memset(image_.data, 0, BLCKSZ);
}

void ReservedPage::take(ReservedPage& other) {
  buffer_ = std::exchange(other.buffer_, InvalidBuffer);
  std::memset(image_.data, 0, BLCKSZ);
}

void ReservedPage::store() {
  if (!reserved()) return;
  LockBuffer(buffer_, BUFFER_LOCK_EXCLUSIVE);
  std::memcpy(BufferGetPage(buffer_), image_.data, BLCKSZ);
  MarkBufferDirty(buffer_);
  UnlockReleaseBuffer(std::exchange(buffer_, InvalidBuffer));
}

ListWriter::ListWriter(Relation index, const ListGeometry& geometry, ForkNumber fork)
    : index_(index), geometry_(geometry), fork_(fork) {
  code_.reserve(index_, fork_);
  head_ = code_.block();
  code_page().init(head_, 0);
}

void ListWriter::start_segment() {
  ReservedPage next;
  next.reserve(index_, fork_);
  page_opaque(code_.page())->next = next.block();
  finish();
  code_.take(next);
  code_page().init(head_, size_);
}

void ListWriter::add(const Entry& entry) {
  if (code_page().header().entries == geometry_.segment_entries()) start_segment();
  CodePage page = code_page();
  const std::size_t position = claim_position(page, geometry_);
  BlockNumber* blocks = page.vectors() + geometry_.vector_page_of(position);
  if (blocks[0] == InvalidBlockNumber) start_vector_pages(blocks);
  store_entry_codes(page, geometry_, entry, position);
  store_slot(geometry_, entry, position, vector_.page(), tail_.reserved() ? tail_.page() : nullptr);
  ++size_;
}

void ListWriter::start_vector_pages(BlockNumber* blocks) {
  const auto start = [&](ReservedPage& page, PageKind kind, BlockNumber& block) {
    page.store();
    page.reserve(index_, fork_);
    init_page(page.page(), kind, geometry_.list(), code_.block());
    block = page.block();
  };
  start(vector_, PageKind::kVectors, blocks[0]);
  if (geometry_.pages_per_slot() > 1) start(tail_, PageKind::kVectorTail, blocks[1]);
}

BlockNumber ListWriter::finish() {
  code_.store();
  vector_.store();
  tail_.store();
  return head_;
}

SlotReader::SlotReader(Relation index, const ListGeometry& geometry)
    : index_(index),
      geometry_(geometry),
      wide_(geometry.pages_per_slot() > 1 ? static_cast<std::int8_t*>(palloc(geometry.dims())) : nullptr) {}

const std::int8_t* SlotReader::vector(Page first, std::size_t entry, BlockNumber tail_block,
                                      BufferAccessStrategy strategy) {
  SlotHeader* slot = slot_at(first, geometry_, entry);
  if (wide_ == nullptr) return slot_vector(slot, geometry_);
  const std::size_t here = head_bytes(geometry_);
  std::memcpy(wide_, slot_vector(slot, geometry_), here);
  const LockedBuffer tail(index_, tail_block, LockMode::kShare, strategy);
  check_page(index_, tail.get(), PageKind::kVectorTail, geometry_.list());
  std::memcpy(wide_ + here, page_contents(tail.page()), geometry_.dims() - here);
  return wide_;
}

}  // namespace scann::am
