// What scann's scans say of their work.
#include "scan_stats.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

ScanStats::ScanStats(Connection& client)
    : client_(client),
      exists_(client.Value("SELECT to_regprocedure('scann_scan_stats()') IS NOT NULL") == "t") {}

void ScanStats::Read() {
  if (!exists_) return;
  const Result row = client_.Run("SELECT * FROM scann_scan_stats()");
  if (row.rows() == 0) return;
  sums_.resize(static_cast<std::size_t>(row.columns()));
  for (int column = 0; column < row.columns(); ++column) {
    auto& [name, sum] = sums_[static_cast<std::size_t>(column)];
    name = row.ColumnName(column);
    sum += row.Number(0, column);
  }
  ++count_;
}

double ScanStats::Mean(const std::string& column) const {
  const auto found = std::ranges::find(sums_, column, &std::pair<std::string, double>::first);
  if (found == sums_.end()) throw std::runtime_error("scann_scan_stats() shows no " + column);
  return found->second / static_cast<double>(count_);
}

void ScanStats::AddTo(Report& report) const {
  for (const auto& [name, sum] : sums_) report.Number("scan_" + name, name + " per query", Mean(name));
}

}  // namespace bench
