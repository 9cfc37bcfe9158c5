// Creates a table of vectors and fills it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "dataset.hpp"
#include "options.hpp"
#include "postgres.hpp"

namespace bench {

// The table that the options name, anew: (id int, v TYPE) and, where there are labels, a column label.
void LoadTable(const Options& options, Connection& connection, const Rows& rows,
               const std::vector<std::string>& labels);

// Inserts rows one by one, each in a transaction of its own, into the table that the options name.
class Inserter {
 public:
  // Prepares the statement under `name`; the connection must outlive it.
  Inserter(const Options& options, Connection& connection, const std::string& name);

  void Insert(std::size_t id, std::span<const float> vector) const;

 private:
  std::string name_;
  Connection& connection_;
  VectorFormat format_;
};

}  // namespace bench
