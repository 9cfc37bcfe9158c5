// Creates an index, showing its progress.
#pragma once

#include <string>

#include "postgres.hpp"

namespace bench {

struct BuiltIndex {
  std::string name;
  double seconds = 0;
  double index_bytes = 0;
  double table_bytes = 0;  // without TOAST and indexes
};

// Runs CREATE INDEX, the table's latest index being the one it made. `observer` reads the progress.
BuiltIndex CreateIndex(Connection& connection, Connection& observer, const std::string& table,
                       const std::string& sql);

}  // namespace bench
