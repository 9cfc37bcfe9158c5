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

  const ListGeometry& geometry(ListKind list) const { return list == ListKind::kLeaf ? leaf : nulls; }
};

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
    const auto* named = std::find(page.vectors(), page.vectors() + page.vector_pages_in_use(), vector_block);
    const std::size_t first = static_cast<std::size_t>(named - page.vectors()) / geometry.pages_per_slot() *
                              (geometry.pages_per_slot() > 1 ? 1 : geometry.slots_per_page());
    page.header().void_hint = std::min(page.header().void_hint, static_cast<uint32>(first));
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
  pass.stats->num_index_tuples += static_cast<double>(live);
  if (dead_count == 0) return;
  void_slots(pass, block, owner, list, {dead, dead_count});
  pass.stats->tuples_removed += static_cast<double>(dead_count);
}

IndexBulkDeleteResult* vacuum_index(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                    IndexBulkDeleteCallback callback, void* callback_state) {
  if (stats == nullptr) stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
  stats->num_index_tuples = 0;
  VacuumPass pass{info,           stats, callback, callback_state, leaf_geometry(read_meta(info->index)),
                  null_geometry()};
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

}  // namespace

IndexBulkDeleteResult* scann_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                         IndexBulkDeleteCallback callback, void* callback_state) {
  return vacuum_index(info, stats, callback, callback_state);
}

IndexBulkDeleteResult* scann_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
  if (info->analyze_only) return stats;
  return stats != nullptr ? stats : vacuum_index(info, nullptr, nullptr, nullptr);
}

}  // namespace scann::am
