// VACUUM.
//
// Vector pages are visited in physical order, whatever list they belong to: an entry never moves while rows
// are being removed, and rows that were dead when VACUUM began cannot be inserted behind its back.
#include "am/vacuum.hpp"

#include "am/model.hpp"
#include "am/posting_list.hpp"

namespace scann::am {
namespace {

struct VacuumPass {
  IndexVacuumInfo* info;
  IndexBulkDeleteResult* stats;
  IndexBulkDeleteCallback callback;  // null: only count
  void* callback_state;
  ListGeometry leaf;
  ListGeometry nulls;
  uint32 entries_per_row;  // in leaves

  const ListGeometry& geometry(ListKind list) const { return list == ListKind::kLeaf ? leaf : nulls; }
  // So many entries as rows, which is what PostgreSQL counts.
  double rows(ListKind list, std::size_t entries) const {
    return static_cast<double>(entries) / (list == ListKind::kLeaf ? entries_per_row : 1);
  }
};

// The entry of a segment whose slot comes first on one of its vector pages.
std::size_t first_entry_of(Relation index, const ListGeometry& geometry, const CodePage& page,
                           BlockNumber vector_block) {
  const std::span<const BlockNumber> blocks(page.vectors(), page.vector_pages_in_use());
  const auto named = std::find(blocks.begin(), blocks.end(), vector_block);
  if (named == blocks.end())
    report_corruption(index, vector_block, "a vector page belongs to a segment that does not name it");
  const auto position = static_cast<std::size_t>(named - blocks.begin());
  return geometry.pages_per_slot() > 1 ? position / geometry.pages_per_slot()
                                       : position * geometry.slots_per_page();
}

// Voids the given slots of a vector page and tells its segment. Locks the code page before the vector page.
void void_slots(VacuumPass& pass, BlockNumber vector_block, BlockNumber code_block, ListKind list,
                std::span<const std::size_t> dead) {
  Relation index = pass.info->index;
  const ListGeometry& geometry = pass.geometry(list);
  BlockNumber head = InvalidBlockNumber;
  {
    const LockedBuffer code(index, code_block, LockMode::kExclusive, pass.info->strategy);
    const CodePage current(index, code.get(), geometry);
    head = current.head();
    const LockedBuffer vectors(index, vector_block, LockMode::kExclusive, pass.info->strategy);
    WalRecord record(index);
    const CodePage page(record.add(code), geometry);
    const Page slots = record.add(vectors);
    const auto live = static_cast<double>(page.header().entries - page.header().voids);
    for (const std::size_t slot : dead) ItemPointerSetInvalid(&slot_at(slots, geometry, slot)->tid);
    page.header().voids += static_cast<uint32>(dead.size());
    const std::size_t first = first_entry_of(index, geometry, page, vector_block);
    page.header().void_hint = std::min(page.header().void_hint, static_cast<uint32>(first));
    if (geometry.has_codes()) {
      for (const std::size_t slot : dead) page.set_live(first + slot, false);
    }
    // Which residuals went is not known; the mean of the others is the best guess.
    page.header().residual_sum *= std::max(0.0, 1 - static_cast<double>(dead.size()) / std::max(live, 1.0));
    record.commit();
  }
  set_insert_hint(index, geometry, head, head);
}

void vacuum_page(VacuumPass& pass, BlockNumber block) {
  Relation index = pass.info->index;
  std::size_t dead[kPageCapacity / sizeof(SlotHeader)];
  std::size_t dead_count = 0;
  std::size_t live = 0;
  BlockNumber owner = InvalidBlockNumber;
  ListKind list = ListKind::kNone;
  {
    const LockedBuffer buffer(index, block, LockMode::kShare, pass.info->strategy);
    const Page page = buffer.page();
    if (PageIsNew(page)) return;
    const PageOpaque& opaque = check_format(index, buffer.get());
    if (opaque.kind != PageKind::kVectors || opaque.list == ListKind::kInner) return;
    list = opaque.list;
    owner = opaque.owner;
    const ListGeometry& geometry = pass.geometry(list);
    const std::size_t slots = slots_on_page(page, geometry);
    for (std::size_t i = 0; i < slots; ++i) {
      SlotHeader* slot = slot_at(page, geometry, i);
      if (!ItemPointerIsValid(&slot->tid)) continue;
      if (pass.callback != nullptr && pass.callback(&slot->tid, pass.callback_state)) {
        dead[dead_count++] = i;
      } else {
        ++live;
      }
    }
  }
  pass.stats->num_index_tuples += pass.rows(list, live);
  if (dead_count == 0) return;
  void_slots(pass, block, owner, list, {dead, dead_count});
  pass.stats->tuples_removed += pass.rows(list, dead_count);
}

IndexBulkDeleteResult* vacuum_index(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* callback_state) {
  if (stats == nullptr) stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
  stats->num_index_tuples = 0;
  const MetaPage meta = read_meta(info->index);
  VacuumPass pass{
      info, stats, callback, callback_state, leaf_geometry(meta), null_geometry(), entries_per_row(meta)};
  BlockNumber done = kMetaBlock + 1;
  // Pages added meanwhile hold nothing to remove, but their entries are counted.
  for (BlockNumber end = RelationGetNumberOfBlocks(info->index); done < end;
       end = RelationGetNumberOfBlocks(info->index)) {
    for (; done < end; ++done) {
      vacuum_pause();
      if (pass.leaf.dims() == 0) pass.leaf = leaf_geometry(read_meta(info->index));
      vacuum_page(pass, done);
    }
  }
  stats->num_pages = done;
  return stats;
}

// ---- Keeping the root list's statistics up with its leaves -----------------------------------------------

// A partition's statistics count as changed when they differ by more than this share.
constexpr double kNotableChange = 0.05;
// With fewer rows a partition keeps its sigma: it says what to expect of rows to come.
constexpr int64 kFewRows = 16;

bool differs(double before, double now) {
  return std::abs(now - before) > kNotableChange * std::max(before, now);
}

InnerFields measure_partition(Relation index, const ListGeometry& geometry, const Partition& partition) {
  const ListCounts counts = count_list(index, geometry, partition.head);
  const bool few = counts.live() < kFewRows;
  const double sigma = few ? partition.sigma : std::sqrt(counts.variance(geometry.dims()));
  return {.sigma = static_cast<float>(sigma),
          .count = static_cast<uint32>(counts.live()),
          .group = partition.group};
}

// Writes the statistics of the partitions whose slots lie on one vector page of the root list.
void store_statistics(Relation index, const ListGeometry& geometry, BlockNumber block,
                      std::span<const InnerFields> fields) {
  const LockedBuffer buffer(index, block, LockMode::kExclusive);
  check_page(index, buffer.get(), PageKind::kVectors, ListKind::kInner);
  if (slots_on_page(buffer.page(), geometry) != fields.size()) {
    report_corruption(index, block, "a page of the root list has the wrong number of slots");
  }
  WalRecord record(index);
  const Page page = record.add(buffer);
  for (std::size_t i = 0; i < fields.size(); ++i) *inner_fields(slot_at(page, geometry, i)) = fields[i];
  record.commit();
}

// Tells all backends that cached partitions are out of date.
void publish_statistics(Relation index) {
  const LockedBuffer buffer(index, kMetaBlock, LockMode::kExclusive);
  check_page(index, buffer.get(), PageKind::kMeta, ListKind::kNone);
  WalRecord record(index);
  ++meta_contents(record.add(buffer))->generation;
  record.commit();
}

// The vector pages of the root list, whose slots are in the order of the model's partitions.
PallocArray<BlockNumber> root_vector_pages(Relation index, const ListGeometry& geometry, BlockNumber root) {
  PallocArray<BlockNumber> pages;
  ChainGuard chain(index);
  for (BlockNumber block = root; BlockNumberIsValid(block);) {
    chain.step(block);
    CHECK_FOR_INTERRUPTS();
    const LockedBuffer buffer(index, block, LockMode::kShare);
    const CodePage page(index, buffer.get(), geometry);
    for (std::size_t i = 0; i < page.vector_pages_in_use(); i += geometry.pages_per_slot()) {
      pages.push_back(page.vectors()[i]);
    }
    block = page.next();
  }
  return pages;
}

// Inserts and VACUUM change what leaves hold, which the order of leaves goes by. The unit of margins stays
// what it was when they were calibrated.
void refresh_statistics(Relation index) {
  // A pause may free the cached model.
  const MetaPage meta = open_model(index).meta;
  if (meta.height == 0) return;
  const auto partitions = palloc_span<Partition>(meta.leaves);
  std::copy_n(open_model(index).partitions.begin(), partitions.size(), partitions.begin());
  const ListGeometry leaf = leaf_geometry(meta);
  const ListGeometry inner = inner_geometry(meta);
  const auto fields = palloc_span<InnerFields>(partitions.size());
  bool changed = false;
  for (std::size_t p = 0; p < fields.size(); ++p) {
    vacuum_pause();
    fields[p] = measure_partition(index, leaf, partitions[p]);
    changed |= differs(partitions[p].count, fields[p].count) || differs(partitions[p].sigma, fields[p].sigma);
  }
  if (!changed) return;
  PallocArray<BlockNumber> pages = root_vector_pages(index, inner, meta.root);
  const std::size_t per_page = inner.pages_per_slot() > 1 ? 1 : inner.slots_per_page();
  if (pages.size() != (fields.size() + per_page - 1) / per_page) {
    report_corruption(index, meta.root, "the root list has the wrong length");
  }
  for (std::size_t first = 0; first < fields.size(); first += per_page) {
    store_statistics(index, inner, pages[first / per_page],
                     fields.subspan(first, std::min(per_page, fields.size() - first)));
  }
  publish_statistics(index);
}

}  // namespace

IndexBulkDeleteResult* scann_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                         IndexBulkDeleteCallback callback, void* callback_state) {
  return vacuum_index(info, stats, callback, callback_state);
}

IndexBulkDeleteResult* scann_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
  if (info->analyze_only) return stats;
  if (stats == nullptr) stats = vacuum_index(info, nullptr, nullptr, nullptr);
  refresh_statistics(info->index);
  return stats;
}

}  // namespace scann::am
