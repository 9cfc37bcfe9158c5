// Page initialisation, geometry and validation.
#include <bit>

#include "am/page.hpp"

#include "am/buffer.hpp"

#include "core/code_block.hpp"

namespace scann::am {

ListGeometry::ListGeometry(ListKind list, std::size_t dims, std::size_t blocks, bool terms)
    : list_(list), dims_(dims), blocks_(blocks), terms_(terms && blocks > 0) {
  vector_offset_ = sizeof(SlotHeader) + (list == ListKind::kInner ? sizeof(InnerFields) : 0);
  slot_bytes_ = INTALIGN(vector_offset_ + dims);
  slots_per_page_ = kPageCapacity / slot_bytes_;
  pages_per_slot_ = slots_per_page_ > 0 ? 1 : 2;
  group_bytes_ = blocks > 0 ? scann::group_bytes(blocks, terms_) : 0;
  choose_segment();
}

std::size_t ListGeometry::max_blocks(bool terms) {
  // One group fits beside the header, the blocks of 32 two-page slots and a word of live bits.
  const std::size_t room = kPageCapacity - sizeof(CodePageHeader) -
                           MAXALIGN(2 * kGroupSize * sizeof(BlockNumber) + sizeof(std::uint32_t));
  return (room - (scann::group_bytes(0, terms))) / (kGroupSize / 2);
}

// Picks the number of groups that leaves the least space unused per entry in a full segment.
void ListGeometry::choose_segment() {
  const auto vector_pages = [this](std::size_t entries) {
    return pages_per_slot_ > 1 ? entries * pages_per_slot_
                               : (entries + slots_per_page_ - 1) / slots_per_page_;
  };
  if (blocks_ == 0) {
    segment_vector_pages_ = (kPageCapacity - sizeof(CodePageHeader)) / sizeof(BlockNumber);
    segment_vector_pages_ -= segment_vector_pages_ % pages_per_slot_;
    segment_entries_ = pages_per_slot_ > 1 ? segment_vector_pages_ / pages_per_slot_
                                           : segment_vector_pages_ * slots_per_page_;
  } else {
    double best = 0;
    for (std::size_t groups = 1;; ++groups) {
      const std::size_t entries = groups * kGroupSize;
      const std::size_t bytes =
          MAXALIGN(sizeof(CodePageHeader) + vector_pages(entries) * sizeof(BlockNumber) +
                   groups * sizeof(std::uint32_t)) +
          groups * group_bytes_;
      if (bytes > kPageCapacity) break;
      const double density = static_cast<double>(entries) / static_cast<double>(1 + vector_pages(entries));
      if (density >= best) {
        best = density;
        segment_entries_ = entries;
        segment_vector_pages_ = vector_pages(entries);
      }
    }
    Assert(segment_entries_ > 0);
  }
  const std::size_t live = sizeof(CodePageHeader) + segment_vector_pages_ * sizeof(BlockNumber);
  const std::size_t live_words = blocks_ > 0 ? segment_entries_ / kGroupSize : 0;
  live_offset_ = kPageHeaderBytes + live;
  groups_offset_ = kPageHeaderBytes + MAXALIGN(live + live_words * sizeof(std::uint32_t));
}

std::size_t ListGeometry::code_page_lower(std::size_t entries) const {
  return groups_offset_ + (entries + kGroupSize - 1) / kGroupSize * group_bytes_;
}

void init_page(Page page, PageKind kind, ListKind list, BlockNumber owner) {
  PageInit(page, BLCKSZ, sizeof(PageOpaque));
  *page_opaque(page) = PageOpaque{.next = InvalidBlockNumber,
                                  .owner = owner,
                                  .kind = kind,
                                  .list = list,
                                  .version = kFormatVersion,
                                  .page_id = kPageId};
}

void report_corruption(Relation index, BlockNumber block, const char* what) {
  ereport(ERROR,
          (errcode(ERRCODE_INDEX_CORRUPTED),
           errmsg("index \"%s\" is corrupted at block %u: %s", RelationGetRelationName(index), block, what),
           errhint("Rebuild it with REINDEX INDEX.")));
  pg_unreachable();
}

void report_invalid_link(Relation index) {
  ereport(ERROR,
          (errcode(ERRCODE_INDEX_CORRUPTED),
           errmsg("index \"%s\" is corrupted: it names an invalid block", RelationGetRelationName(index)),
           errhint("Rebuild it with REINDEX INDEX.")));
  pg_unreachable();
}

void ChainGuard::step(BlockNumber block) {
  constexpr std::size_t kStepsBetweenChecks = 256;
  if (++steps_ % kStepsBetweenChecks == 0 && steps_ > RelationGetNumberOfBlocks(index_)) {
    report_corruption(index_, block, "the chain of pages has no end");
  }
}

const PageOpaque& check_format(Relation index, Buffer buffer) {
  const Page page = BufferGetPage(buffer);
  const BlockNumber block = BufferGetBlockNumber(buffer);
  if (PageIsNew(page)) report_corruption(index, block, "the page was never initialised");
  if (PageGetSpecialSize(page) != MAXALIGN(sizeof(PageOpaque))) {
    report_corruption(index, block, "the special area has the wrong size");
  }
  const PageOpaque* opaque = page_opaque(page);
  if (opaque->page_id != kPageId) report_corruption(index, block, "not a page of this access method");
  if (opaque->version != kFormatVersion) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("index \"%s\" has page format version %u, this library reads version %u",
                           RelationGetRelationName(index), opaque->version, kFormatVersion),
                    errhint("Rebuild it with REINDEX INDEX.")));
  }
  if (page_lower(page) < kPageHeaderBytes || page_lower(page) > kPageHeaderBytes + kPageCapacity) {
    report_corruption(index, block, "pd_lower lies outside the page");
  }
  return *opaque;
}

void check_page(Relation index, Buffer buffer, PageKind kind, ListKind list) {
  const PageOpaque& opaque = check_format(index, buffer);
  const BlockNumber block = BufferGetBlockNumber(buffer);
  if (opaque.kind != kind) report_corruption(index, block, "unexpected kind of page");
  if (opaque.list != list) report_corruption(index, block, "the page belongs to another kind of list");
}

CodePage::CodePage(Relation index, Buffer buffer, const ListGeometry& geometry)
    : page_(BufferGetPage(buffer)), geometry_(&geometry) {
  check_page(index, buffer, PageKind::kCodes, geometry.list());
  const BlockNumber block = BufferGetBlockNumber(buffer);
  const CodePageHeader& head = header();
  if (head.entries > geometry.segment_entries()) report_corruption(index, block, "too many entries");
  if (head.voids > head.entries) report_corruption(index, block, "more void entries than entries");
  if (page_lower(page_) != geometry.code_page_lower(head.entries)) {
    report_corruption(index, block, "pd_lower does not match the number of entries");
  }
}

void CodePage::init(BlockNumber head, std::size_t preceding) {
  init_page(page_, PageKind::kCodes, geometry_->list(), head);
  header() = CodePageHeader{.entries = 0,
                            .voids = 0,
                            .insert_hint = head,
                            .void_hint = 0,
                            .preceding = static_cast<uint32>(std::min<std::size_t>(preceding, UINT32_MAX)),
                            .reserved = 0,
                            .residual_sum = 0};
  std::fill_n(vectors(), geometry_->segment_vector_pages(), InvalidBlockNumber);
  std::memset(live(), 0, geometry_->groups_offset() - geometry_->live_offset());
  set_entries(0);
}

std::size_t CodePage::vector_pages_in_use() const {
  const std::size_t entries = header().entries;
  return entries == 0 ? 0 : geometry_->vector_page_of(entries - 1) + geometry_->pages_per_slot();
}

void CodePage::set_entries(std::size_t entries) {
  header().entries = static_cast<uint32>(entries);
  set_page_lower(page_, geometry_->code_page_lower(entries));
}

std::size_t slots_on_page(Page page, const ListGeometry& geometry) {
  if (geometry.pages_per_slot() > 1) return 1;
  const std::size_t used = page_lower(page) - kPageHeaderBytes;
  return std::min(used / geometry.slot_bytes(), geometry.slots_per_page());
}

}  // namespace scann::am
