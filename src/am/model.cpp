// The cached model: reading, writing and checking what the meta page leads to.
#include "am/model.hpp"

#include "am/posting_list.hpp"
#include "core/kernels.hpp"

namespace scann::am {
namespace {

constexpr std::size_t kFloatsPerPage = kPageCapacity / sizeof(float);

std::size_t align_up(std::size_t bytes) { return MAXALIGN(bytes); }

// Reads a chain of model pages into `out`.
void read_model_floats(Relation index, BlockNumber block, std::span<float> out) {
  while (!out.empty()) {
    if (!BlockNumberIsValid(block))
      report_corruption(index, kMetaBlock, "the chain of model pages is too short");
    CHECK_FOR_INTERRUPTS();
    const LockedBuffer buffer(index, block, LockMode::kShare);
    check_page(index, buffer.get(), PageKind::kModel, ListKind::kNone);
    const std::size_t floats = std::min(out.size(), kFloatsPerPage);
    if (page_lower(buffer.page()) != kPageHeaderBytes + floats * sizeof(float)) {
      report_corruption(index, block, "a model page has the wrong length");
    }
    std::memcpy(out.data(), page_contents(buffer.page()), floats * sizeof(float));
    out = out.subspan(floats);
    block = page_opaque(buffer.page())->next;
  }
}

// The parts of the chunk that holds a Model, from its start.
struct ChunkLayout {
  ChunkLayout(const MetaPage& meta, BlockNumber blocks)
      : floats(align_up(sizeof(Model))),
        partitions(floats + align_up(meta.model_floats * sizeof(float))),
        centroids(partitions + align_up((meta.height > 0 ? meta.leaves : 0) * sizeof(Partition))),
        groups(centroids + align_up(meta.height > 0 ? std::size_t{meta.leaves} * meta.dims : 0)),
        centers(groups + align_up(meta.groups * sizeof(PartitionGroup))),
        columns(centers + align_up(meta.groups * meta.dims * sizeof(float))),
        buffers(columns + align_up((meta.height > 0 ? meta.leaves : 0) * 2 * sizeof(float))),
        size(buffers + blocks * sizeof(Buffer)) {}
  std::size_t floats;
  std::size_t partitions;
  std::size_t centroids;
  std::size_t groups;
  std::size_t centers;
  std::size_t columns;
  std::size_t buffers;
  std::size_t size;
};

float half_squared_norm(const std::int8_t* vector, float scale, std::size_t dims) {
  double sum = 0;
  for (std::size_t i = 0; i < dims; ++i) sum += double{static_cast<double>(vector[i])} * vector[i];
  return static_cast<float>(0.5 * sum * scale * scale);
}

// Reads the root list of a tree of height 1.
void read_partitions(Relation index, const Model& model, Partition* partitions, std::int8_t* centroids) {
  const ListGeometry& geometry = model.inner;
  SlotReader reader(index, geometry);
  std::size_t found = 0;
  for_each_slot(index, geometry, model.meta.root, nullptr,
                [&](SlotHeader* slot, Page page, std::size_t entry, BlockNumber tail) {
                  if (found == model.meta.leaves)
                    report_corruption(index, model.meta.root, "too many partitions");
                  const std::int8_t* vector = reader.vector(page, entry, tail, nullptr);
                  std::memcpy(centroids + found * model.meta.dims, vector, model.meta.dims);
                  const InnerFields fields = *inner_fields(slot);
                  partitions[found++] =
                      Partition{.head = ItemPointerGetBlockNumber(&slot->tid),
                                .sigma = fields.sigma,
                                .count = fields.count,
                                .scale = slot->scale,
                                .half_norm = half_squared_norm(vector, slot->scale, model.meta.dims),
                                .group = fields.group};
                });
  if (found != model.meta.leaves) report_corruption(index, model.meta.root, "too few partitions");
}

bool possible_efforts(const MetaPage& meta) {
  for (const auto& row : meta.efforts) {
    for (const SearchEffort& effort : row) {
      if (effort.candidates == 0 || effort.candidates > kMostCandidates || std::isnan(effort.margin) ||
          !(effort.codes >= 0)) {
        return false;
      }
    }
  }
  return true;
}

// Codes have the blocks that the leaves' geometry says, in whatever basis.
bool possible_basis(const MetaPage& meta) {
  if (meta.coded_dims == 0 || meta.coded_dims > meta.dims) return false;
  if (meta.rotation != RotationKind::kRotation && meta.coded_dims != meta.dims) return false;
  return code_shape(meta).blocks() == leaf_geometry(meta).blocks();
}

void check_meta(Relation index, const MetaPage& meta) {
  const BlockNumber blocks = RelationGetNumberOfBlocks(index);
  if (meta.height > 1 || meta.dims_per_block > meta.dims ||
      (meta.dims > 0 && (meta.leaves == 0 || meta.leaves > blocks || meta.root >= blocks)) ||
      meta.nulls >= blocks || (meta.model_floats > 0 && meta.model_head >= blocks) ||
      meta.metric > Metric::kEuclidean || meta.rotation > RotationKind::kRotation ||
      (meta.height > 0) != (meta.dims_per_block > 0) || (meta.height > 0) != (meta.groups > 0) ||
      meta.groups > meta.leaves || meta.spilled > 1 ||
      (meta.spilled != 0 && (meta.height == 0 || meta.leaves < 2)) ||
      (meta.calibrated != 0 && meta.height == 0) || (meta.calibrated != 0 && !possible_efforts(meta))) {
    report_corruption(index, kMetaBlock, "impossible values in the meta page");
  }
  if (meta.dims_per_block > 0 && !possible_basis(meta)) {
    report_corruption(index, kMetaBlock, "impossible dimensions of codes");
  }
  const std::size_t mean = meta.metric == Metric::kEuclidean && meta.height > 0 ? meta.dims : 0;
  const std::size_t codes = meta.dims_per_block > 0 ? code_shape(meta).codewords() : 0;
  if (meta.model_floats != mean + codes + rotation_floats(meta.rotation, meta.dims, meta.coded_dims)) {
    report_corruption(index, kMetaBlock, "the model has the wrong size");
  }
}

// A permutation is stored as the source dimension of each position.
void check_rotation(Relation index, const MetaPage& meta, std::span<const float> rotation) {
  if (meta.rotation != RotationKind::kPermutation) return;
  for (const float source : rotation) {
    if (!(source >= 0 && source < static_cast<float>(meta.dims)) || source != std::floor(source)) {
      report_corruption(index, meta.model_head, "the permutation names a dimension that does not exist");
    }
  }
}

// Builds the model in a chunk of memory of the layout's size.
Model* fill_model(Relation index, const MetaPage& meta, const ChunkLayout& layout, BlockNumber blocks,
                  char* chunk) {
  Model* model = new (chunk) Model{};
  model->meta = meta;
  model->leaf = leaf_geometry(meta);
  model->inner = inner_geometry(meta);
  model->nulls = null_geometry();
  const std::span<Buffer> buffers(reinterpret_cast<Buffer*>(chunk + layout.buffers), blocks);
  std::fill(buffers.begin(), buffers.end(), InvalidBuffer);
  model->buffers = RecentBuffers(buffers);
  const std::span<float> floats(reinterpret_cast<float*>(chunk + layout.floats), meta.model_floats);
  read_model_floats(index, meta.model_head, floats);
  std::span<const float> rest = floats;
  const auto take = [&rest](std::size_t n) {
    const std::span<const float> part = rest.first(n);
    rest = rest.subspan(n);
    return part;
  };
  if (meta.dims_per_block > 0) model->shape = code_shape(meta);
  if (meta.metric == Metric::kEuclidean && meta.height > 0) model->mean = take(meta.dims);
  if (meta.dims_per_block > 0) model->codewords = take(model->shape.codewords());
  model->rotation = take(rotation_floats(meta.rotation, meta.dims, meta.coded_dims));
  check_rotation(index, meta, model->rotation);
  if (meta.height > 0) {
    auto* partitions = reinterpret_cast<Partition*>(chunk + layout.partitions);
    auto* centroids = reinterpret_cast<std::int8_t*>(chunk + layout.centroids);
    read_partitions(index, *model, partitions, centroids);
    model->partitions = {partitions, meta.leaves};
    model->centroids = centroids;
    const auto floats_at = [chunk](std::size_t offset) { return reinterpret_cast<float*>(chunk + offset); };
    if (!prepare_ranking(*model, {reinterpret_cast<PartitionGroup*>(chunk + layout.groups), meta.groups},
                         {floats_at(layout.centers), std::size_t{meta.groups} * meta.dims},
                         {floats_at(layout.columns), 2 * std::size_t{meta.leaves}})) {
      report_corruption(index, meta.root, "the partitions' groups are out of order");
    }
  }
  return model;
}

Model* load_model(Relation index, const MetaPage& meta) {
  const BlockNumber blocks = RelationGetNumberOfBlocks(index);
  const ChunkLayout layout(meta, blocks);
  char* chunk = static_cast<char*>(MemoryContextAllocHuge(index->rd_indexcxt, layout.size));
  Model* model = nullptr;
  PG_TRY();
  { model = fill_model(index, meta, layout, blocks, chunk); }
  PG_CATCH();
  {
    pfree(chunk);
    PG_RE_THROW();
  }
  PG_END_TRY();
  return model;
}

}  // namespace

MetaPage read_meta(Relation index) {
  const LockedBuffer buffer(index, kMetaBlock, LockMode::kShare);
  check_page(index, buffer.get(), PageKind::kMeta, ListKind::kNone);
  const MetaPage& meta = *meta_contents(buffer.page());
  if (meta.magic != kMetaMagic || meta.dims > kMaxDimensions) {
    report_corruption(index, kMetaBlock, "not a meta page");
  }
  return meta;
}

const Model& open_model(Relation index) {
  const MetaPage meta = read_meta(index);
  auto* cached = static_cast<Model*>(index->rd_amcache);
  if (cached != nullptr && cached->meta.generation == meta.generation && cached->meta.dims == meta.dims)
    return *cached;
  check_meta(index, meta);
  Model* model = load_model(index, meta);
  // Loading may have processed an invalidation that dropped or refilled the cache.
  if (index->rd_amcache != nullptr) pfree(index->rd_amcache);
  index->rd_amcache = model;
  return *model;
}

CodebookShape code_shape(const MetaPage& meta) {
  return scann::code_shape(meta.dims, meta.dims_per_block, meta.coded_dims);
}

ListGeometry leaf_geometry(const MetaPage& meta) {
  const std::size_t blocks =
      meta.dims_per_block > 0 ? CodebookShape{meta.dims, meta.dims_per_block}.blocks() : 0;
  return ListGeometry(ListKind::kLeaf, meta.dims, blocks, meta.metric == Metric::kEuclidean);
}

ListGeometry inner_geometry(const MetaPage& meta) {
  return ListGeometry(ListKind::kInner, meta.dims, 0, false);
}

ListGeometry null_geometry() { return ListGeometry(ListKind::kNulls, 0, 0, false); }

MetaPage empty_meta(Metric metric) {
  MetaPage meta{};
  meta.magic = kMetaMagic;
  meta.generation = 1;
  meta.metric = metric;
  meta.leaves = 1;
  meta.root = InvalidBlockNumber;
  meta.nulls = InvalidBlockNumber;
  meta.model_head = InvalidBlockNumber;
  return meta;
}

bool prepare_ranking(Model& model, std::span<PartitionGroup> groups, std::span<float> centers,
                     std::span<float> columns) {
  const std::size_t dims = model.meta.dims;
  const auto partitions = model.partitions;
  double entries = 0;
  for (std::size_t p = 0; p < partitions.size(); ++p) {
    columns[p] = partitions[p].scale;
    columns[partitions.size() + p] = partitions[p].sigma;
    entries += partitions[p].count;
  }
  model.counted_rows = entries / entries_per_row(model.meta);
  model.scales = columns.data();
  model.sigmas = columns.data() + partitions.size();
  std::uint32_t end = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    PartitionGroup& group = groups[g] = {.first = end, .end = end, .sigma = 0, .spread = 0, .half_norm = 0};
    while (group.end < partitions.size() && partitions[group.end].group == g) ++group.end;
    end = group.end;
    if (group.end == group.first) return false;
    const auto center = centers.subspan(g * dims, dims);
    const auto size = static_cast<float>(group.end - group.first);
    std::fill(center.begin(), center.end(), 0.0F);
    float variance = 0;
    double norms = 0;
    for (std::size_t p = group.first; p < group.end; ++p) {
      const std::int8_t* centroid = model.centroid(p);
      const float scale = partitions[p].scale / size;
      for (std::size_t k = 0; k < dims; ++k) center[k] += scale * static_cast<float>(centroid[k]);
      variance += partitions[p].sigma * partitions[p].sigma / size;
      norms += partitions[p].half_norm / size;
    }
    group.sigma = std::sqrt(variance);
    const double half_norm = 0.5 * inner_product(center.data(), center.data(), dims);
    group.half_norm = static_cast<float>(half_norm);
    // The mean of ||c - centre||^2 is that of ||c||^2 less ||centre||^2.
    group.spread =
        static_cast<float>(std::sqrt(std::max(0.0, 2 * (norms - half_norm)) / static_cast<double>(dims)));
  }
  model.groups = groups;
  model.group_centers = centers.data();
  return end == partitions.size();
}

void reserve_meta(Relation index, ForkNumber fork) {
  const LockedBuffer buffer = LockedBuffer::extend(index, fork);
  if (buffer.block() != kMetaBlock)
    report_corruption(index, buffer.block(), "the index was not empty before it was built");
}

void write_meta(Relation index, ForkNumber fork, const MetaPage& meta) {
  const Buffer buffer = ReadBufferExtended(index, fork, kMetaBlock, RBM_NORMAL, nullptr);
  LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
  const Page page = BufferGetPage(buffer);
  init_page(page, PageKind::kMeta, ListKind::kNone, InvalidBlockNumber);
  *meta_contents(page) = meta;
  set_page_lower(page, kPageHeaderBytes + sizeof(MetaPage));
  MarkBufferDirty(buffer);
  UnlockReleaseBuffer(buffer);
}

void write_empty_index(Relation index, ForkNumber fork, Metric metric) {
  reserve_meta(index, fork);
  const ListGeometry geometry = null_geometry();
  MetaPage meta = empty_meta(metric);
  meta.nulls = ListWriter(index, geometry, fork).finish();
  write_meta(index, fork, meta);
}

BlockNumber write_model_floats(Relation index, std::span<const float> floats) {
  BlockNumber head = InvalidBlockNumber;
  ReservedPage current;
  while (!floats.empty()) {
    ReservedPage next;
    next.reserve(index, MAIN_FORKNUM);
    if (current.reserved()) {
      page_opaque(current.page())->next = next.block();
      current.store();
    } else {
      head = next.block();
    }
    current.take(next);
    const std::size_t count = std::min(floats.size(), kFloatsPerPage);
    init_page(current.page(), PageKind::kModel, ListKind::kNone, InvalidBlockNumber);
    std::memcpy(page_contents(current.page()), floats.data(), count * sizeof(float));
    set_page_lower(current.page(), kPageHeaderBytes + count * sizeof(float));
    floats = floats.subspan(count);
  }
  current.store();
  return head;
}

void set_dimensions(Relation index, uint32 dims) {
  const LockedBuffer buffer(index, kMetaBlock, LockMode::kExclusive);
  check_page(index, buffer.get(), PageKind::kMeta, ListKind::kNone);
  if (meta_contents(buffer.page())->dims > 0) return;
  const LockedBuffer root = LockedBuffer::extend(index);
  WalRecord record(index);
  MetaPage* meta = meta_contents(record.add(buffer));
  meta->dims = dims;
  meta->root = root.block();
  ++meta->generation;
  const ListGeometry geometry = leaf_geometry(*meta);
  CodePage(record.add_new(root), geometry).init(root.block(), 0);
  record.commit();
}

void store_efforts(Relation index, const EffortTable& efforts) {
  const BlockNumber blocks = RelationGetNumberOfBlocks(index);
  const LockedBuffer buffer(index, kMetaBlock, LockMode::kExclusive);
  check_page(index, buffer.get(), PageKind::kMeta, ListKind::kNone);
  WalRecord record(index);
  MetaPage* meta = meta_contents(record.add(buffer));
  meta->efforts = efforts;
  meta->calibrated = 1;
  meta->blocks = blocks;
  ++meta->generation;
  record.commit();
}

}  // namespace scann::am
