// The layout of codes in memory and on disk: groups of 32 vectors.
//
//   byte        0                 1                      15                16
//   block 0   | v0 | v16 << 4   | v1 | v17 << 4   | ...  | v15 | v31 << 4 | block 1 ...
//
// 16 bytes a block: byte j holds the code of vector j in its low half and of vector j + 16 in its high half.
// A list ordered by Euclidean distance appends 32 little-endian uint16 terms to every group (adc.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/params.hpp"

namespace scann {

// Bytes of one group.
constexpr std::size_t group_bytes(std::size_t blocks, bool has_terms) {
  return blocks * (kGroupSize / 2) + (has_terms ? kGroupSize * sizeof(std::uint16_t) : 0);
}

// Stores the codes (one a block) of lane 0..31 into a group; other lanes are left alone.
void store_codes(std::span<const std::uint8_t> codes, std::size_t lane, std::uint8_t* group);

// Reads them back.
void load_codes(const std::uint8_t* group, std::size_t lane, std::span<std::uint8_t> codes);

// The uint16 term of a lane, behind `blocks` blocks.
void store_term(std::uint16_t term, std::size_t blocks, std::size_t lane, std::uint8_t* group);
std::uint16_t load_term(std::size_t blocks, std::size_t lane, const std::uint8_t* group);

}  // namespace scann
