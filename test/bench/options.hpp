// The command line: one set of options, of which each command uses some.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

struct Options {
  std::string conninfo;
  std::string table = "vectors";
  bool json = false;

  std::string data;
  std::size_t dims = 0;
  std::size_t rows = 0;
  std::size_t holdout = 0;
  std::uint64_t seed = 1;
  bool normalise = false;

  std::string type = "real[]";
  std::string labels;
  bool primary_key = true;

  std::string index = "CREATE INDEX ON {table} USING scann (v real_ip_ops)";
  bool drop_indexes = false;

  std::string query_data;
  std::size_t queries = 1000;
  std::string op;  // never empty once the arguments have been read
  std::size_t limit = 10;
  std::string where;
  std::vector<std::string> settings;
  std::string exact = "memory";
  std::size_t warmup = 100;
  std::size_t sample = 50;

  std::string name = "comparison";
  std::string contenders_file = "test/bench/contenders";
  std::vector<std::string> contenders;
  std::size_t rounds = 10;
  std::size_t clients = 2;
  std::size_t inserts = 2000;
  std::size_t cold = 0;
  std::vector<std::string> results;

  std::string out;
  std::size_t clusters = 100;
  double spread = 0.5;
  bool nested = false;
  std::size_t map_to = 0;
};

// Reads the arguments that follow the command. Throws std::runtime_error.
Options ParseOptions(int argc, char** argv);

// The text of --help.
std::string Help();

// Replaces each `{name}` in `text`.
std::string Substitute(std::string text, const std::string& name, const std::string& value);

}  // namespace bench
