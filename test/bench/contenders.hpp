// The indexes to compare, as the file `contenders` describes them.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

namespace bench {

struct Contender {
  std::string name;
  std::string extension;
  std::string column;               // type of the column v
  std::string index;                // what follows CREATE INDEX ON table USING
  std::string setting;              // trades speed for recall
  std::vector<std::string> values;  // of the setting, from fast to thorough
};

// Throws std::runtime_error, which names the line, for what is not as the file describes it.
std::vector<Contender> ReadContenders(std::istream& in);

// Replaces {dims}, {metric} and {lists} in the column's type and the index's definition.
Contender Adapt(Contender contender, std::size_t rows, std::size_t dims, const std::string& metric);

}  // namespace bench
