// What `scann_bench compare` measures, and how it is written down.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "build_index.hpp"
#include "contenders.hpp"
#include "latency.hpp"

namespace bench {

// An index's queries with one value of the setting that trades speed for recall. Times in microseconds.
struct Point {
  std::string value;
  double recall = 0;
  LatencySummary latency;
  double fastest_round = 0;  // the least and greatest of the rounds' mean latencies
  double slowest_round = 0;
  double select_1 = 0;        // median, on the same connection
  std::optional<double> cpu;  // of the server process, mean; if it runs on this machine
  double buffers = 0;
};

struct Throughput {
  std::string value;      // of the setting
  double one_client = 0;  // queries per second
  double clients = 0;     // of several together
};

// What one client and another, which inserts, do in a second while each works as fast as it can.
struct BesideInserts {
  double queries_alone = 0;  // while there is no other
  double queries = 0;
  double inserts = 0;
};

struct IndexResult {
  Contender contender;
  BuiltIndex built;
  std::vector<Point> points;  // in the order of the sweep; those that took too long are not among them
  std::string sweep_end;      // why the sweep ended where it did
  Throughput throughput;
  double first_query = 0;  // of a new connection, microseconds, median
  std::optional<LatencySummary> cold;
  double inserts_per_second = 0;     // 0: none were made
  std::optional<double> insert_cpu;  // microseconds of the server process a row
  std::optional<BesideInserts> beside_inserts;
};

struct Comparison {
  std::string name;
  std::size_t rows = 0;
  std::size_t dims = 0;
  std::string op;
  std::size_t limit = 0;
  std::size_t queries = 0;
  std::size_t rounds = 0;
  std::size_t clients = 0;
  std::size_t inserts = 0;
  std::vector<std::pair<std::string, std::string>> circumstances;
  std::vector<IndexResult> indexes;  // the first is what the others are compared with
};

// The first of the sweep with at least this recall, not the quickest: that would often be so by chance.
const Point* PointReaching(const IndexResult& index, double recall);

// Writes DIRECTORY/NAME.csv, NAME-indexes.csv, NAME.md, NAME.svg and, if processor times are known,
// NAME-cpu.svg.
void WriteComparison(const Comparison& comparison, const std::string& directory);

}  // namespace bench
