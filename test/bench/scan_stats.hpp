// What scann's scans say of their work.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "postgres.hpp"
#include "report.hpp"

namespace bench {

// The mean of every numeric column of scann_scan_stats(), read after each of some queries; nothing where that
// function does not exist.
class ScanStats {
 public:
  explicit ScanStats(Connection& client);

  void Read();

  // Of a column. Throws std::runtime_error if it was never read.
  double Mean(const std::string& column) const;
  void AddTo(Report& report) const;

 private:
  Connection& client_;
  bool exists_;
  std::vector<std::pair<std::string, double>> sums_;
  std::size_t count_ = 0;
};

}  // namespace bench
