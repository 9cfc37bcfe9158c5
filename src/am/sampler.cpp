// Block sampling for training.
#include "am/sampler.hpp"

#include <numeric>

namespace scann::am {
namespace {

constexpr std::size_t kRowsPerLeaf = 200;
constexpr std::size_t kMinSample = 10'000;
// Leaves vary in size: on average they fill so much of a page of codes.
constexpr double kFilledShare = 0.89;
// Dimensions above which one code more a block is not worth its bytes (blocks a vector, at most).
constexpr std::size_t kDefaultBlocks = 96;
// Blocks to read, and rows with a vector to see, before the table's size is estimated from them.
constexpr BlockNumber kMinBlocks = 32;
constexpr std::size_t kMinSeen = 1000;

struct SampleState {
  Sample sample;
  VectorReader reader;
  MemoryContext sample_context;
  MemoryContext row_context;
  std::size_t memory;
  std::size_t capacity = 0;                                      // rows allocated
  std::size_t wanted = std::numeric_limits<std::size_t>::max();  // rows, once estimated
  double seen = 0;                                               // rows with a vector, kept or not
};

std::size_t row_bytes(std::size_t dims) { return dims * sizeof(float) + sizeof(ItemPointerData); }

std::size_t largest_sample(const SampleState& state) { return state.memory / row_bytes(state.sample.dims); }

template <class T>
void grow(MemoryContext context, std::span<T>& array, std::size_t size) {
  void* memory = array.empty() ? MemoryContextAllocHuge(context, size * sizeof(T))
                               : repalloc_huge(array.data(), size * sizeof(T));
  array = {static_cast<T*>(memory), size};
}

// Before the sample's size is estimated, memory grows with it.
void make_room(SampleState& state) {
  Sample& sample = state.sample;
  state.capacity = std::min(largest_sample(state), std::max<std::size_t>(1024, 2 * state.capacity));
  grow(state.sample_context, sample.rows, state.capacity * sample.dims);
  grow(state.sample_context, sample.tids, state.capacity);
}

void keep_row(SampleState& state, std::span<const float> row, const ItemPointerData& tid) {
  Sample& sample = state.sample;
  if (sample.count == std::min(state.wanted, largest_sample(state))) return;
  if (sample.count == state.capacity) make_room(state);
  std::copy(row.begin(), row.end(),
            sample.rows.begin() + static_cast<std::ptrdiff_t>(sample.count * sample.dims));
  sample.tids[sample.count++] = tid;
}

// Moves the rows so far to where there is room for all that are wanted.
void fix_size(SampleState& state, std::size_t wanted, bool shared) {
  Sample& sample = state.sample;
  state.wanted = std::max(sample.count, std::min(wanted, largest_sample(state)));
  const std::span<float> rows = sample.rows;
  const std::size_t size = state.wanted * sample.dims;
  if (shared) sample.segment = dsm_create(size * sizeof(float), DSM_CREATE_NULL_IF_MAXSEGMENTS);
  if (sample.segment == nullptr) return;
  sample.rows = {static_cast<float*>(dsm_segment_address(sample.segment)), size};
  std::copy_n(rows.begin(), sample.count * sample.dims, sample.rows.begin());
  pfree(rows.data());
  grow(state.sample_context, sample.tids, state.wanted);
  state.capacity = state.wanted;
}

void sample_row(Relation /*index*/, ItemPointer tid, Datum* values, bool* isnull, bool /*alive*/, void* arg) {
  auto& state = *static_cast<SampleState*>(arg);
  if (isnull[0]) return;
  const MemoryContext old = MemoryContextSwitchTo(state.row_context);
  const std::span<const float> row = state.reader.read(values[0], static_cast<uint32>(state.sample.dims));
  if (!row.empty()) {
    state.sample.dims = row.size();
    ++state.seen;
    keep_row(state, row, *tid);
  }
  MemoryContextSwitchTo(old);
  MemoryContextReset(state.row_context);
}

std::size_t default_leaves(double entries, std::size_t entries_per_code_page) {
  const double page_filling = entries / (kFilledShare * static_cast<double>(entries_per_code_page));
  const double leaves = std::min(0.62 * std::pow(entries, 0.6), std::max(std::sqrt(entries), page_filling));
  return static_cast<std::size_t>(std::max(1.0, std::round(leaves)));
}

std::size_t wanted_rows(const IndexOptions& options, std::size_t dims, double table_rows) {
  if (options.training_sample_size > 0) return static_cast<std::size_t>(options.training_sample_size);
  return std::max(kMinSample, kRowsPerLeaf * wanted_leaves(options, dims, table_rows));
}

}  // namespace

BlockOrder::BlockOrder(BlockNumber blocks) : blocks_(std::max<BlockNumber>(blocks, 1)) {
  constexpr double kGoldenRatio = 0.6180339887498949;
  stride_ = std::max<uint64>(1, static_cast<uint64>(kGoldenRatio * static_cast<double>(blocks_)));
  while (std::gcd(stride_, blocks_) != 1) ++stride_;
}

std::uint32_t wanted_dims_per_block(const IndexOptions& options, std::size_t dims) {
  const std::size_t width = options.dimensions_per_block > 0
                                ? static_cast<std::size_t>(options.dimensions_per_block)
                                : std::max<std::size_t>(2, (dims + kDefaultBlocks - 1) / kDefaultBlocks);
  return static_cast<std::uint32_t>(std::min(dims, width));
}

std::size_t wanted_leaves(const IndexOptions& options, std::size_t dims, double table_rows) {
  if (options.num_leaves > 0) return static_cast<std::size_t>(options.num_leaves);
  const CodebookShape shape{static_cast<std::uint32_t>(dims), wanted_dims_per_block(options, dims)};
  const std::size_t blocks = std::min(shape.blocks(), ListGeometry::max_blocks(false));
  const ListGeometry leaf(ListKind::kLeaf, dims, blocks, false);
  return default_leaves(options.soar ? 2 * table_rows : table_rows, leaf.segment_entries());
}

Sample take_sample(Relation heap, Relation index, IndexInfo* info, const IndexOptions& options,
                   std::size_t memory, bool shared) {
  SampleState state{
      .sample = {},
      .reader = VectorReader(index),
      .sample_context = CurrentMemoryContext,
      .row_context = AllocSetContextCreate(CurrentMemoryContext, "scann sample row", ALLOCSET_DEFAULT_SIZES),
      .memory = memory};
  const BlockNumber blocks = RelationGetNumberOfBlocks(heap);
  const BlockOrder order(blocks);
  BlockNumber read = 0;
  double estimate = 0;
  bool sized = false;
  while (read < blocks) {
    CHECK_FOR_INTERRUPTS();
    table_index_build_range_scan(heap, index, info, false, false, false, order.at(read), 1, sample_row,
                                 &state, nullptr);
    ++read;
    estimate = state.seen / read * blocks;
    if (!sized && read >= kMinBlocks && state.sample.count >= kMinSeen) {
      fix_size(state, wanted_rows(options, state.sample.dims, estimate), shared);
      sized = true;
    }
    if (sized && state.sample.count == state.wanted) break;
    if (state.sample.dims > 0 && state.sample.count >= largest_sample(state)) break;
  }
  MemoryContextDelete(state.row_context);
  state.sample.table_rows = estimate;
  state.sample.complete = read == blocks && state.sample.count == static_cast<std::size_t>(state.seen);
  return state.sample;
}

void free_sample(Sample& sample) {
  if (sample.segment != nullptr) dsm_detach(sample.segment);
}

}  // namespace scann::am
