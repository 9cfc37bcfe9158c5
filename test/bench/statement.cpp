// The prepared statement that is measured.
#include "statement.hpp"

#include <charconv>
#include <utility>

namespace bench {

Statement::Statement(const Options& options, Connection& connection, const std::string& name)
    : name_(name),
      connection_(connection),
      format_(BinaryFormatOf(options.type).value_or(VectorFormat::kRealArray)),
      numbered_(options.where.find("{i}") != std::string::npos) {
  const std::string parameter = BinaryFormatOf(options.type) ? "$1" : "$1::" + options.type;
  const std::string where = options.where.empty() ? "" : " WHERE " + Substitute(options.where, "i", "$2");
  sql_ = "SELECT id FROM " + options.table + where + " ORDER BY v " + options.op + " " + parameter +
         " LIMIT " + std::to_string(options.limit);
  std::vector<Oid> types = {connection.TypeOid(format_ == VectorFormat::kPgvector ? "vector" : "real[]")};
  if (numbered_) types.push_back(connection.TypeOid("int"));
  connection.Prepare(name, sql_, types);
}

std::vector<BinaryValue> Statement::Parameters(std::span<const float> query, std::size_t i) const {
  BinaryWriter vector;
  AppendVector(vector, format_, query);
  std::vector<BinaryValue> values = {std::move(vector.data())};
  if (numbered_) {
    BinaryWriter number;
    number.Int32(static_cast<std::int32_t>(i));
    values.push_back(std::move(number.data()));
  }
  return values;
}

Ids Statement::Run(std::span<const BinaryValue> parameters) const {
  const Result result = connection_.RunPrepared(name_, parameters);
  Ids ids(static_cast<std::size_t>(result.rows()));
  for (int i = 0; i < result.rows(); ++i) ids[static_cast<std::size_t>(i)] = result.BinaryInt(i, 0);
  return ids;
}

std::string Statement::Execute(std::span<const float> query, std::size_t i) const {
  const bool is_array = format_ == VectorFormat::kRealArray;
  std::string literal(1, is_array ? '{' : '[');
  for (std::size_t j = 0; j < query.size(); ++j) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, query[j]).ptr;
    if (j > 0) literal += ',';
    literal.append(digits, end);
  }
  literal += is_array ? '}' : ']';
  return "EXECUTE " + name_ + "('" + literal + "'" + (numbered_ ? ", " + std::to_string(i) : "") + ")";
}

Plan Statement::Explain(std::span<const float> query, std::size_t i) const {
  const std::string plan =
      connection_.Value("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + Execute(query, i));
  const Result row = connection_.Run(
      "SELECT (p->>'Shared Hit Blocks')::bigint + (p->>'Shared Read Blocks')::bigint, "
      "(SELECT string_agg(node #>> '{}', ', ') FROM jsonb_path_query(p, 'strict $.**.\"Node Type\"') AS "
      "node), "
      "(SELECT string_agg(DISTINCT index #>> '{}', ', ') "
      "FROM jsonb_path_query(p, 'strict $.**.\"Index Name\"') AS index) FROM (SELECT " +
      connection_.Quote(plan) + "::jsonb->0->'Plan') AS plan(p)");
  return {row.Number(0, 0), row.Text(0, 1) + (row.IsNull(0, 2) ? "" : " using " + row.Text(0, 2))};
}

}  // namespace bench
