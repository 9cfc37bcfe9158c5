// The per-query look-up table of asymmetric distance computation: <q, codeword> for every block and codeword,
// quantised to 8 bits so that one byte shuffle looks up a whole group.
//
//   <q, r~> = sum over blocks of <q_block, codeword[code_block]>  ~  offset + scale * sum of
//   table[block][code]
//
// Each block has its own offset (its smallest entry); one scale serves all:
//   1 / scale = min(255 / largest range, (65535 - blocks) / sum of ranges),
// so that the 16-bit sum over all blocks cannot overflow at any number of dimensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/codebook.hpp"

namespace scann {

struct LookupTable {
  const std::uint8_t* entries;  // blocks x 16
  std::size_t blocks;
  float scale;            // > 0
  float offset;           // sum of the blocks' smallest products
  std::uint32_t max_sum;  // sum of the blocks' largest entries: no code scores more
};

// Floats of scratch that build_lookup_table() needs.
std::size_t lookup_table_scratch_floats(const CodebookShape& shape);

// Builds the table for `query` (shape.dims floats) into `entries`: blocks * 16 bytes, kept by the caller as
// long as the result is used, and scanned fastest when aligned to 64.
LookupTable build_lookup_table(const CodebookShape& shape, std::span<const float> codewords,
                               std::span<const float> query, std::span<float> scratch,
                               std::span<std::uint8_t> entries);

}  // namespace scann
