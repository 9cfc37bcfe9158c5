// Owners of libpq's connections and results, and the binary formats of what is sent and read.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// What PostgreSQL or libpq reported, ready to be shown.
struct PostgresError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Rows that a statement returned.
class Result {
 public:
  explicit Result(PGresult* result) : result_(result, &PQclear) {}

  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  std::string ColumnName(int column) const { return PQfname(result_.get(), column); }
  bool IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string Text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  // A number sent as text; 0 for NULL.
  double Number(int row, int column) const;
  // An int4 sent in binary.
  std::int32_t BinaryInt(int row, int column) const;

  PGresult* get() const { return result_.get(); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// A value of a statement's parameter in its binary format.
using BinaryValue = std::vector<char>;

class Connection {
 public:
  // `conninfo` as libpq has it; what it leaves out comes from the environment (PGHOST, PGDATABASE, ...).
  explicit Connection(const std::string& conninfo);

  // Whether the server runs on this machine: only a Unix socket tells.
  bool IsLocal() const;

  // Runs one or several statements with text results. Throws PostgresError.
  Result Run(const std::string& sql);
  // The first column of the first row.
  std::string Value(const std::string& sql) { return Run(sql).Text(0, 0); }

  // Changes a setting for the session, given as name=value.
  void Set(const std::string& setting);

  // Creates an extension if it is not there; false if it is not installed on the server's machine.
  bool CreateExtension(const std::string& name);

  Oid TypeOid(const std::string& type);

  void Prepare(const std::string& name, const std::string& sql, const std::vector<Oid>& types);
  // Runs a prepared statement with binary parameters and binary results.
  Result RunPrepared(const std::string& name, std::span<const BinaryValue> values);

  std::string Quote(std::string_view literal) const;

  PGconn* get() const { return connection_.get(); }

 private:
  Result Check(PGresult* result) const;

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// Appends big-endian values, as every binary format of PostgreSQL has them.
class BinaryWriter {
 public:
  void Int16(std::int16_t value);
  void Int32(std::int32_t value);
  void Float(float value);
  void Bytes(std::string_view bytes) { data_.insert(data_.end(), bytes.begin(), bytes.end()); }

  std::vector<char>& data() { return data_; }

 private:
  std::vector<char> data_;
};

// The binary format of a vector: real[], or pgvector's `vector`.
enum class VectorFormat { kRealArray, kPgvector };

// The format of a column type such as real[] or vector(100); none for types that need a cast from real[].
std::optional<VectorFormat> BinaryFormatOf(std::string_view type);

void AppendVector(BinaryWriter& out, VectorFormat format, std::span<const float> vector);

// Reads an int4 in binary format.
std::int32_t ParseInt(std::string_view bytes);

// Reads a real[] in binary format into `out`; throws PostgresError unless it has as many elements as `out`.
void ParseRealArray(std::string_view bytes, std::span<float> out);

// A COPY ... FROM STDIN in binary format.
class CopyIn {
 public:
  CopyIn(Connection& connection, const std::string& sql);
  // Where the caller appends a row: the number of its fields, then the length and bytes of each.
  BinaryWriter& row() { return buffer_; }
  // Sends what has been appended so far, if it is worth a message.
  void EndRow();
  void Finish();

 private:
  void Send();

  Connection& connection_;
  BinaryWriter buffer_;
};

// A COPY ... TO STDOUT in binary format.
class CopyOut {
 public:
  CopyOut(Connection& connection, const std::string& sql);
  // Reads the next row's fields, which stay valid until the next call; false after the last one.
  bool Next(std::vector<std::string_view>& fields);

 private:
  Connection& connection_;
  std::unique_ptr<char, decltype(&PQfreemem)> message_;
  bool header_read_ = false;
};

}  // namespace bench
