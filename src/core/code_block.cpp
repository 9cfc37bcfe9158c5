// Packing of 4-bit codes into groups of 32 vectors, and back.
#include "core/code_block.hpp"

#include <bit>
#include <cstring>

namespace scann {
namespace {

constexpr std::size_t kHalf = kGroupSize / 2;  // vectors in the low halves; the others are in the high halves

static_assert(std::endian::native == std::endian::little, "terms are stored as little-endian integers");

std::size_t term_offset(std::size_t blocks, std::size_t lane) {
  return group_bytes(blocks, false) + lane * sizeof(std::uint16_t);
}

}  // namespace

void store_codes(std::span<const std::uint8_t> codes, std::size_t lane, std::uint8_t* group) {
  const unsigned shift = lane < kHalf ? 0 : 4;
  std::uint8_t* byte = group + lane % kHalf;
  for (const std::uint8_t code : codes) {
    const unsigned other = *byte & (0xF0U >> shift);
    *byte = static_cast<std::uint8_t>(other | (code & 0x0FU) << shift);
    byte += kHalf;
  }
}

void load_codes(const std::uint8_t* group, std::size_t lane, std::span<std::uint8_t> codes) {
  const unsigned shift = lane < kHalf ? 0 : 4;
  const std::uint8_t* byte = group + lane % kHalf;
  for (std::uint8_t& code : codes) {
    code = (*byte >> shift) & 0x0F;
    byte += kHalf;
  }
}

void store_term(std::uint16_t term, std::size_t blocks, std::size_t lane, std::uint8_t* group) {
  std::memcpy(group + term_offset(blocks, lane), &term, sizeof(term));
}

std::uint16_t load_term(std::size_t blocks, std::size_t lane, const std::uint8_t* group) {
  std::uint16_t term;
  std::memcpy(&term, group + term_offset(blocks, lane), sizeof(term));
  return term;
}

}  // namespace scann
