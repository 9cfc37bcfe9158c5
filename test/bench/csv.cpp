// Reads comma-separated values as the program writes them.
#include "csv.hpp"

#include <istream>
#include <stdexcept>

namespace bench {
namespace {

std::vector<std::string> Split(const std::string& line) {
  std::vector<std::string> fields(1);
  bool is_quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && is_quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (line[i] == '"') {
      is_quoted = !is_quoted;
    } else if (line[i] == ',' && !is_quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

}  // namespace

std::vector<CsvRow> ReadCsv(std::istream& in) {
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> names = Split(line);
  std::vector<CsvRow> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> fields = Split(line);
    if (fields.size() != names.size()) throw std::runtime_error("not a row of the same table: " + line);
    CsvRow row;
    for (std::size_t i = 0; i < names.size(); ++i) row[names[i]] = fields[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace bench
