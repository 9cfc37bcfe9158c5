// scann_bench load: creates the table and fills it by binary COPY.
#include "load.hpp"

#include <array>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "commands.hpp"

namespace bench {
namespace {

std::vector<std::string> ReadLines(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error(path + ": cannot be opened");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

void AppendField(BinaryWriter& row, std::string_view bytes) {
  row.Int32(static_cast<std::int32_t>(bytes.size()));
  row.Bytes(bytes);
}

void CopyRows(Connection& connection, const std::string& table, VectorFormat format, const Rows& rows,
              const std::vector<std::string>& labels) {
  CopyIn copy(connection, "COPY " + table + " FROM STDIN (FORMAT binary)");
  for (const std::size_t id : rows.ids) {
    copy.row().Int16(labels.empty() ? 2 : 3);
    copy.row().Int32(sizeof(std::int32_t));
    copy.row().Int32(static_cast<std::int32_t>(id));
    BinaryWriter vector;
    AppendVector(vector, format, rows.vectors.row(id));
    AppendField(copy.row(), {vector.data().data(), vector.data().size()});
    if (!labels.empty()) AppendField(copy.row(), labels.at(id));
    copy.EndRow();
  }
  copy.Finish();
}

}  // namespace

void LoadTable(const Options& options, Connection& connection, const Rows& rows,
               const std::vector<std::string>& labels) {
  const std::string id = options.primary_key ? "id int PRIMARY KEY" : "id int";
  const std::string label = labels.empty() ? "" : ", label text";
  connection.Run("SET client_min_messages = warning; DROP TABLE IF EXISTS " + options.table);
  connection.Run("CREATE TABLE " + options.table + " (" + id + ", v " + options.type + label + ")");

  if (const auto format = BinaryFormatOf(options.type)) {
    CopyRows(connection, options.table, *format, rows, labels);
  } else {
    // Any other type is filled by a cast on the server.
    connection.Run("CREATE TEMPORARY TABLE scann_bench_rows (id int, v real[]" + label + ")");
    CopyRows(connection, "scann_bench_rows", VectorFormat::kRealArray, rows, labels);
    connection.Run("INSERT INTO " + options.table + " SELECT id, v::" + options.type +
                   (labels.empty() ? "" : ", label") + " FROM scann_bench_rows; DROP TABLE scann_bench_rows");
  }
  connection.Run("VACUUM ANALYZE " + options.table);
}

Inserter::Inserter(const Options& options, Connection& connection, const std::string& name)
    : name_(name),
      connection_(connection),
      format_(BinaryFormatOf(options.type).value_or(VectorFormat::kRealArray)) {
  const std::string parameter = BinaryFormatOf(options.type) ? "$2" : "$2::" + options.type;
  connection.Prepare(name, "INSERT INTO " + options.table + " (id, v) VALUES ($1, " + parameter + ")",
                     {connection.TypeOid("int"),
                      connection.TypeOid(format_ == VectorFormat::kPgvector ? "vector" : "real[]")});
}

void Inserter::Insert(std::size_t id, std::span<const float> vector) const {
  BinaryWriter number;
  number.Int32(static_cast<std::int32_t>(id));
  BinaryWriter components;
  AppendVector(components, format_, vector);
  const std::array<BinaryValue, 2> values = {std::move(number.data()), std::move(components.data())};
  connection_.RunPrepared(name_, values);
}

void Load(const Options& options, Report& report) {
  const Rows rows = ReadRows(options);
  const auto labels = options.labels.empty() ? std::vector<std::string>() : ReadLines(options.labels);
  if (!labels.empty() && labels.size() < rows.vectors.rows()) {
    throw std::runtime_error(options.labels + ": has fewer lines than there are vectors");
  }
  const auto start = std::chrono::steady_clock::now();
  Connection connection(options.conninfo);
  LoadTable(options, connection, rows, labels);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  report.Number("rows", "rows", static_cast<double>(rows.ids.size()), 0);
  report.Number("dims", "dimensions", static_cast<double>(rows.vectors.dims), 0);
  report.Number("load_seconds", "load", elapsed.count(), 1, "s");
}

}  // namespace bench
