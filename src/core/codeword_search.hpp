// The inner loops of encoding: one vector's blocks against the 16 codewords of each, for every instruction
// set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/params.hpp"

namespace scann {

// One block of one vector against all codewords c.
struct BlockTable {
  float error[kCodewords];  // ||r_b - c||^2
  float along[kCodewords];  // <r_b - c, x_b> / ||x||
};

// Codewords of `blocks` blocks of `dims` floats with the codeword as the last index:
// out[block][dim][codeword].
void transpose_codewords(const float* codewords, std::size_t blocks, std::size_t dims, float* transposed);

// Fills the table of every block (block_dims floats each, the last one perhaps fewer) and sets codes[block]
// to the nearest codeword, unless `codes` is null. `inverse_norm` = 1 / ||x||.
void fill_block_tables(const float* transposed, std::size_t dims, std::size_t block_dims, const float* point,
                       const float* residual, float inverse_norm, BlockTable* tables, std::uint8_t* codes);

// Coordinate descent on the loss (sum of errors) + (eta - 1) (sum of alongs)^2, one code at a time in block
// order, until nothing changes or for `rounds` rounds. Returns the loss reached.
double descend_codes(const BlockTable* tables, std::size_t blocks, float eta, int rounds,
                     std::uint8_t* codes);

// The nearest of one block's 16 codewords for each of n rows of block_dims floats: codes[i] and distances[i].
void nearest_codewords(const float* transposed, std::size_t block_dims, const float* rows, std::size_t n,
                       std::uint8_t* codes, float* distances);

}  // namespace scann
