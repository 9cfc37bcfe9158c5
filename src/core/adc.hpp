// Asymmetric distance computation: the LUT16 scan over groups of codes (layout in code_block.hpp).
//
// score(vector) = base + table.scale * sum_b table[b][code_b]  -  term_scale * term      (larger is better)
//
// base holds what is common to a leaf (<q,c> + table.offset, and for Euclidean distance -||c||^2/2 and the
// term's offset); the term, present when term_scale > 0, is the vector's own (||x~||^2 - ||c||^2) / 2 of the
// reconstruction x~ = c + r~, quantised to 16 bits. The candidate threshold is moved into the integer domain
// once a call where no terms are present, so that a group without a survivor costs one compare and one test.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/lookup_table.hpp"
#include "core/top_k.hpp"

namespace scann {

// A run of groups lying back to back.
struct CodeRun {
  const std::uint8_t* groups;
  std::size_t count;  // vectors; the last group may be partly filled, its other lanes are ignored
  float base;
  float term_scale;   // 0: groups carry no terms
  std::uint32_t run;  // copied into candidates
  // A word a group, bit j for lane j: adc_scan() passes over vectors whose bit is 0. Null: all live.
  const std::uint32_t* live = nullptr;
  // What will be read after this run, brought into the second-level cache while it is scanned.
  const std::uint8_t* next = nullptr;
  std::size_t next_bytes = 0;
};

// Pushes every live vector of the run that scores above the buffer's threshold.
void adc_scan(const LookupTable& table, const CodeRun& run, CandidateBuffer& candidates);

// The scores of all vectors of the run, live or not: run.count floats. Bit-identical to what adc_scan pushes.
void adc_scores(const LookupTable& table, const CodeRun& run, float* scores);

}  // namespace scann
