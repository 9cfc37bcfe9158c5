// Storage parameters of an index and settings of a session.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// WITH (...) of CREATE INDEX; 0 (for the threshold: negative) means chosen from the data.
struct IndexOptions {
  int32 vl_len_;  // varlena header, set by PostgreSQL
  int num_leaves;
  int dimensions_per_block;
  int training_sample_size;
  double anisotropic_quantization_threshold;  // as a fraction of the mean norm
  bool soar;
};

// The options of an index, defaults where none were given.
IndexOptions index_options(Relation index);

// Settings, documented in README.md.
struct Settings {
  double target_recall;
  int num_leaves_to_search;
  int pre_reordering_num_neighbors;
  int max_scan_tuples;
};
extern Settings settings;

// Registers storage parameters and settings; called once when the library is loaded.
void define_options();

extern "C" bytea* scann_options(Datum reloptions, bool validate);

}  // namespace scann::am
