// Reads comma-separated values as the program writes them.
#pragma once

#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace bench {

// A row by the names in the first line.
using CsvRow = std::map<std::string, std::string>;

// Fields may be quoted, but hold no line breaks. Throws std::runtime_error for rows that are longer or
// shorter than the first line.
std::vector<CsvRow> ReadCsv(std::istream& in);

}  // namespace bench
