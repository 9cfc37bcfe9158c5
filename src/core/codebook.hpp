// Product quantisation of residuals under the score-aware loss (paper sections 4.1 and 7.5).
//
// A vector x in leaf c has the residual r = x - c; the quantisation error is r - r~, and the loss splits that
// error along and across the original x:  (eta - 1) <r - r~, x/||x||>^2 + ||r - r~||^2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/anisotropic.hpp"
#include "core/params.hpp"

namespace scann {

// How dimensions are cut into blocks. The last block is padded with zeros when dims_per_block does not divide
// dims.
struct CodebookShape {
  std::uint32_t dims = 0;
  std::uint32_t dims_per_block = 1;

  std::size_t blocks() const { return (std::size_t{dims} + dims_per_block - 1) / dims_per_block; }
  std::size_t padded_dims() const { return blocks() * dims_per_block; }
  // Floats in a codebook: codewords[block][codeword][dimension within the block].
  std::size_t codewords() const { return padded_dims() * kCodewords; }
};

// More sample rows than this buy nothing measurable (held-out loss within 0.2% of that of twice as many).
inline constexpr std::size_t kCodebookTrainingRows = 16384;

struct CodebookTrainingOptions {
  int l2_iterations = 8;           // plain k-means first
  int anisotropic_iterations = 8;  // then alternations of assignment and the section 7.5 update
  std::uint64_t seed = 1;
};

// Trains the codewords of every block.
//   points     count x dims row-major: the originals x, which give the parallel direction
//   residuals  count x dims row-major: x minus its leaf's centroid
//   weights    count
//   codewords  shape.codewords() floats out
// With equal etas of 1 this is plain product quantisation. A block with fewer than 16 distinct residuals
// repeats codewords. Returns false when `stop` said so.
[[nodiscard]] bool train_codebook(const CodebookShape& shape, std::span<const float> points,
                                  std::span<const float> residuals, std::span<const PointWeight> weights,
                                  const CodebookTrainingOptions& options, StopPredicate stop,
                                  std::span<float> codewords);

// The codebook update of section 7.5, one sweep: with all codes (count x blocks) fixed, solves each block's
// codewords exactly while those of the other blocks stand. The loss is a convex quadratic, so every sweep
// lowers it and repeated sweeps converge to the joint solution. A codeword without points stays. Returns
// false when `stop` said so.
[[nodiscard]] bool update_codewords(const CodebookShape& shape, std::span<const float> points,
                                    std::span<const float> residuals, std::span<const PointWeight> weights,
                                    std::span<const std::uint8_t> codes, StopPredicate stop,
                                    std::span<float> codewords);

// The loss of given codes, weighted and summed over all points.
double codebook_loss(const CodebookShape& shape, std::span<const float> points,
                     std::span<const float> residuals, std::span<const PointWeight> weights,
                     std::span<const std::uint8_t> codes, std::span<const float> codewords);

// Encodes vectors with a trained codebook, which must outlive it. Allocates nothing.
class Encoder {
 public:
  // `memory`, empty or of shape.codewords() floats kept as long as the encoder, holds the codewords
  // rearranged for encode(). Without it every encode() rearranges them: right for one vector, slower for
  // many.
  Encoder(const CodebookShape& shape, std::span<const float> codewords, std::span<float> memory = {});

  // Floats of scratch that encode() needs.
  std::size_t scratch_floats() const;

  // Coordinate descent on the loss from the nearest codewords, at most 3 rounds. `point` and `residual` have
  // dims floats; `codes` gets one code (0..15) a block. Returns the loss reached.
  double encode(std::span<const float> point, std::span<const float> residual, float eta,
                std::span<float> scratch, std::span<std::uint8_t> codes) const;

  // The same from the codes given instead of the nearest: never worse than those.
  double improve(std::span<const float> point, std::span<const float> residual, float eta,
                 std::span<float> scratch, std::span<std::uint8_t> codes) const;

  // The reconstruction r~ of a residual: dims floats.
  void decode(std::span<const std::uint8_t> codes, std::span<float> residual) const;

 private:
  double descend(std::span<const float> point, std::span<const float> residual, float eta,
                 std::span<float> scratch, bool from_nearest, std::span<std::uint8_t> codes) const;

  CodebookShape shape_;
  std::span<const float> codewords_;
  std::span<const float> transposed_;
};

}  // namespace scann
