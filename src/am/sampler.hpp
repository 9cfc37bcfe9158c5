// The training sample: rows of random blocks of the table.
#pragma once

#include "am/options.hpp"
#include "am/row_encoder.hpp"

namespace scann::am {

// Rows in index space (not centred), with where they came from.
struct Sample {
  std::size_t dims = 0;  // 0: no row with a vector was seen
  std::size_t count = 0;
  std::size_t held_out = 0;  // of these, the last, which are not trained with
  double table_rows = 0;     // rows with a vector in the whole table, estimated unless every block was read
  bool complete = false;     // every block was read and every row kept
  std::span<float> rows;     // count x dims
  std::span<ItemPointerData> tids;
  dsm_segment* segment = nullptr;  // that begins with the rows, where they are to be shared with workers
};

// Visits every block of a table once, in an order that is spread evenly over the table at any point.
class BlockOrder {
 public:
  explicit BlockOrder(BlockNumber blocks);
  BlockNumber at(BlockNumber i) const { return static_cast<BlockNumber>(i * stride_ % blocks_); }

 private:
  uint64 blocks_;
  uint64 stride_;
};

// Dimensions to a block of codes: where the options do not say, two, or as many as make 96 blocks.
std::uint32_t wanted_dims_per_block(const IndexOptions& options, std::size_t dims);

// The number of leaves for a table of so many rows. Where the options do not say, it is the square root of
// the entries, more where leaves then still fill a page of codes, but at most 0.62 n^0.6, which is where more
// leaves cease to pay.
std::size_t wanted_leaves(const IndexOptions& options, std::size_t dims, double table_rows);

// Reads blocks in a pseudo-random order, the same for every build of the same table, until there are 200 rows
// for every leaf, `memory` bytes are used up, or the table ends. How many that is, is estimated when enough
// blocks are read. `shared`: puts the rows into shared memory, for free_sample() to give back.
Sample take_sample(Relation heap, Relation index, IndexInfo* info, const IndexOptions& options,
                   std::size_t memory, bool shared);
void free_sample(Sample& sample);

}  // namespace scann::am
