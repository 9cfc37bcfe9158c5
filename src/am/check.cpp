// scann_check: verifies every invariant of the page format, and that every row of the table is indexed.
#include "am/build.hpp"
#include "am/inspect.hpp"
#include "am/model.hpp"
#include "am/posting_list.hpp"
#include "am/row_encoder.hpp"

namespace scann::am {
namespace {

// One check of one index, under a lock that keeps writers out.
class Checker {
 public:
  explicit Checker(Relation index) : index_(index), blocks_(RelationGetNumberOfBlocks(index)) {
    visited_ = palloc_span<bool>(blocks_);
    std::fill(visited_.begin(), visited_.end(), false);
  }

  void check_index() {
    const MetaPage meta = open_model(index_).meta;
    visit(kMetaBlock, kMetaBlock);
    check_meta_numbers(meta);
    check_model_pages(meta);
    if (meta.height > 0) {
      check_list(inner_geometry(meta), meta.root);
      entries_per_row_ = entries_per_row(meta);
      check_leaves(meta);
    } else if (meta.dims > 0) {
      check_list(leaf_geometry(meta), meta.root);
    }
    check_list(null_geometry(), meta.nulls);
    check_unvisited();
  }

  // Sorts the TIDs found, for contains().
  void sort_tids() { std::sort(tids_.begin(), tids_.end()); }
  bool contains(const ItemPointerData& tid) {
    return std::binary_search(tids_.begin(), tids_.end(), tid_key(tid));
  }
  // The block of the last row found.
  BlockNumber last_block() { return tids_.empty() ? 0 : static_cast<BlockNumber>(tids_.back() >> 16); }
  // Whether a row has more entries than it should.
  bool has_duplicates() {
    for (std::size_t i = entries_per_row_; i < tids_.size(); ++i) {
      if (tids_.begin()[i] == tids_.begin()[i - entries_per_row_]) return true;
    }
    return false;
  }

 private:
  // Marks a block as reached; every block is reached at most once.
  void visit(BlockNumber block, BlockNumber from) {
    if (block >= blocks_) report_corruption(index_, from, "a link points behind the end of the index");
    if (visited_[block]) report_corruption(index_, from, "a link points to a page that belongs elsewhere");
    visited_[block] = true;
  }

  void check_meta_numbers(const MetaPage& meta) {
    bool finite = true;
    for (const float x : {meta.threshold, meta.effective_dims, meta.mean_norm, meta.mean_sigma,
                          meta.term_offset, meta.term_step}) {
      finite &= std::isfinite(x);
    }
    for (const auto& limit : meta.efforts) {
      for (const SearchEffort& effort : limit) {
        finite &= std::isfinite(effort.recall) && std::isfinite(effort.margin) && std::isfinite(effort.codes);
      }
    }
    if (!finite) report_corruption(index_, kMetaBlock, "the meta page holds a number that is not finite");
  }

  // All of the model are floats but the levels at its end, which may be anything.
  void check_model_pages(const MetaPage& meta) {
    std::size_t floats_left =
        meta.model_floats - rotation_level_floats(meta.rotation, meta.dims, meta.coded_dims);
    BlockNumber from = kMetaBlock;
    for (BlockNumber block = meta.model_head; BlockNumberIsValid(block);) {
      visit(block, from);
      const LockedBuffer buffer(index_, block, LockMode::kShare);
      check_page(index_, buffer.get(), PageKind::kModel, ListKind::kNone);
      const auto* floats = reinterpret_cast<const float*>(page_contents(buffer.page()));
      const std::size_t on_page = (page_lower(buffer.page()) - kPageHeaderBytes) / sizeof(float);
      const std::size_t count = std::min(on_page, floats_left);
      floats_left -= count;
      if (!std::all_of(floats, floats + count, [](float x) { return std::isfinite(x); })) {
        report_corruption(index_, block, "the model holds a number that is not finite");
      }
      from = block;
      block = page_opaque(buffer.page())->next;
    }
  }

  void check_leaves(const MetaPage& meta) {
    PallocArray<BlockNumber> heads;
    for (const Partition& partition : open_model(index_).partitions) {
      if (!(partition.sigma >= 0) || !std::isfinite(partition.sigma)) {
        report_corruption(index_, meta.root, "a partition's sigma is not a finite number");
      }
      heads.push_back(partition.head);
    }
    const ListGeometry geometry = leaf_geometry(meta);
    for (const BlockNumber head : heads) {
      const std::size_t first = tids_.size();
      check_list(geometry, head);
      std::sort(tids_.begin() + first, tids_.end());
      if (std::adjacent_find(tids_.begin() + first, tids_.end()) != tids_.end())
        report_corruption(index_, head, "a partition holds a row twice");
    }
  }

  void check_list(const ListGeometry& geometry, BlockNumber head) {
    bool hint_found = false;
    BlockNumber hint = InvalidBlockNumber;
    std::size_t preceding = 0;
    BlockNumber from = kMetaBlock;
    for (BlockNumber block = head; BlockNumberIsValid(block);) {
      CHECK_FOR_INTERRUPTS();
      visit(block, from);
      const LockedBuffer buffer(index_, block, LockMode::kShare);
      const CodePage page(index_, buffer.get(), geometry);
      if (block == head) hint = page.header().insert_hint;
      hint_found |= block == hint;
      if (page.head() != head) report_corruption(index_, block, "a code page names another list as its own");
      if (!(page.header().residual_sum >= 0))
        report_corruption(index_, block, "the sum of residuals is not a number");
      if (page.header().preceding != preceding) {
        report_corruption(index_, block, "the number of entries in earlier segments is wrong");
      }
      preceding += page.header().entries;
      check_segment(geometry, page, block);
      from = block;
      block = page.next();
    }
    if (!hint_found) report_corruption(index_, head, "the hint for inserts points outside the list");
  }

  void check_segment(const ListGeometry& geometry, const CodePage& page, BlockNumber block) {
    const std::size_t entries = page.header().entries;
    std::size_t voids = 0;
    for (std::size_t entry = 0; entry < entries;) {
      const std::size_t first = geometry.vector_page_of(entry);
      const BlockNumber vector_block = page.vectors()[first];
      visit(vector_block, block);
      const LockedBuffer buffer(index_, vector_block, LockMode::kShare);
      check_page(index_, buffer.get(), PageKind::kVectors, geometry.list());
      if (page_opaque(buffer.page())->owner != block)
        report_corruption(index_, vector_block, "a vector page names another segment as its own");
      if (geometry.pages_per_slot() > 1) check_tail(geometry, page.vectors()[first + 1], block);
      const std::size_t slots = slots_on_page(buffer.page(), geometry);
      const std::size_t expected =
          std::min(entries - entry, geometry.pages_per_slot() > 1 ? 1 : geometry.slots_per_page());
      if (slots != expected)
        report_corruption(index_, vector_block, "pd_lower does not match the number of slots");
      for (std::size_t i = 0; i < slots; ++i, ++entry) {
        const bool live = check_slot(geometry, buffer.page(), entry, vector_block);
        if (geometry.has_codes() && page.is_live(entry) != live) {
          report_corruption(index_, block, "a live bit does not match its entry");
        }
        if (live) continue;
        ++voids;
        if (entry < page.header().void_hint)
          report_corruption(index_, block, "a void entry lies before the hint for them");
      }
    }
    if (voids != page.header().voids) report_corruption(index_, block, "the number of void entries is wrong");
  }

  void check_tail(const ListGeometry& geometry, BlockNumber tail, BlockNumber owner) {
    visit(tail, owner);
    const LockedBuffer buffer(index_, tail, LockMode::kShare);
    check_page(index_, buffer.get(), PageKind::kVectorTail, geometry.list());
    if (page_opaque(buffer.page())->owner != owner)
      report_corruption(index_, tail, "a vector page names another segment as its own");
  }

  // Returns false for a void slot.
  bool check_slot(const ListGeometry& geometry, Page page, std::size_t entry, BlockNumber block) {
    SlotHeader* slot = slot_at(page, geometry, entry);
    if (!ItemPointerIsValid(&slot->tid)) return false;
    if (!(slot->scale >= 0) || !std::isfinite(slot->scale))
      report_corruption(index_, block, "a vector's scale is not a finite number");
    if (!(decode_error_bound(slot->error) >= 0))
      report_corruption(index_, block, "a vector's error bound is not a number");
    if (geometry.list() != ListKind::kInner) tids_.push_back(tid_key(slot->tid));
    return true;
  }

  // Pages that nothing leads to were added by a transaction that did not live to use them: new, or never
  // linked.
  void check_unvisited() {
    for (BlockNumber block = 0; block < blocks_; ++block) {
      if (visited_[block]) continue;
      CHECK_FOR_INTERRUPTS();
      const LockedBuffer buffer(index_, block, LockMode::kShare);
      if (!PageIsNew(buffer.page())) check_format(index_, buffer.get());
    }
  }

  Relation index_;
  BlockNumber blocks_;
  std::span<bool> visited_;
  uint32 entries_per_row_ = 1;
  PallocArray<int64> tids_;
};

void check_row(Relation index, ItemPointer tid, Datum* /*values*/, bool* /*isnull*/, bool /*alive*/,
               void* checker) {
  if (static_cast<Checker*>(checker)->contains(*tid)) return;
  ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                  errmsg("row (%u,%u) is missing from index \"%s\"", ItemPointerGetBlockNumber(tid),
                         ItemPointerGetOffsetNumber(tid), RelationGetRelationName(index)),
                  errhint("Rebuild it with REINDEX INDEX.")));
}

void check_rows(const InspectedIndex& inspected, Checker& checker) {
  IndexInfo* info = BuildIndexInfo(inspected.index);
  info->ii_Concurrent = true;  // a snapshot, not every row version
  checker.sort_tids();
  if (checker.has_duplicates()) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("index \"%s\" holds a row twice", RelationGetRelationName(inspected.index)),
                    errhint("Rebuild it with REINDEX INDEX.")));
  }
  if (checker.last_block() > 0 && checker.last_block() >= RelationGetNumberOfBlocks(inspected.heap)) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("index \"%s\" holds a row behind the end of its table",
                           RelationGetRelationName(inspected.index)),
                    errhint("Rebuild it with REINDEX INDEX.")));
  }
  table_index_build_scan(inspected.heap, inspected.index, info, true, false, check_row, &checker, nullptr);
}

}  // namespace
}  // namespace scann::am

SCANN_FUNCTION(scann_check) {
  using namespace scann::am;
  // The lock keeps writers out, so that what is read belongs together.
  InspectedIndex inspected(PG_GETARG_OID(0), ShareLock);
  OwnerScope owner(inspected.heap);
  Checker checker(inspected.index);
  checker.check_index();
  if (PG_GETARG_BOOL(1)) check_rows(inspected, checker);
  owner.end();
  inspected.close();
  PG_RETURN_VOID();
}
