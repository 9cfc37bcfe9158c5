// Owners of libpq's connections and results, and the binary formats of what is sent and read.
#include "postgres.hpp"

#include <bit>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

constexpr std::string_view kCopySignature("PGCOPY\n\377\r\n\0", 11);
constexpr std::size_t kCopyHeaderSize = kCopySignature.size() + 8;  // flags, length of the extension
constexpr std::size_t kCopyMessageSize = 1 << 16;
constexpr Oid kFloat4Oid = 700;

std::uint32_t ReadUint32(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

}  // namespace

double Result::Number(int row, int column) const {
  return std::strtod(PQgetvalue(result_.get(), row, column), nullptr);
}

std::int32_t Result::BinaryInt(int row, int column) const {
  return static_cast<std::int32_t>(ReadUint32(PQgetvalue(result_.get(), row, column)));
}

Connection::Connection(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str()), &PQfinish) {
  if (PQstatus(get()) != CONNECTION_OK) throw PostgresError(PQerrorMessage(get()));
}

bool Connection::IsLocal() const {
  const char* host = PQhost(get());
  return host != nullptr && host[0] == '/';
}

Result Connection::Check(PGresult* pointer) const {
  Result result(pointer);
  switch (PQresultStatus(pointer)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
      return result;
    default:
      throw PostgresError(PQerrorMessage(get()));
  }
}

Result Connection::Run(const std::string& sql) { return Check(PQexec(get(), sql.c_str())); }

void Connection::Set(const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos) throw PostgresError("a setting is given as name=value: " + setting);
  Run("SELECT set_config(" + Quote(setting.substr(0, equals)) + ", " + Quote(setting.substr(equals + 1)) +
      ", false)");
}

bool Connection::CreateExtension(const std::string& name) {
  if (Run("SELECT FROM pg_available_extensions WHERE name = " + Quote(name)).rows() == 0) return false;
  Run("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS \"" + name + "\" CASCADE");
  return true;
}

Oid Connection::TypeOid(const std::string& type) {
  return static_cast<Oid>(std::stoul(Value("SELECT " + Quote(type) + "::regtype::oid::bigint")));
}

void Connection::Prepare(const std::string& name, const std::string& sql, const std::vector<Oid>& types) {
  Check(PQprepare(get(), name.c_str(), sql.c_str(), static_cast<int>(types.size()), types.data()));
}

Result Connection::RunPrepared(const std::string& name, std::span<const BinaryValue> values) {
  constexpr std::size_t kMaxParameters = 4;
  const char* pointers[kMaxParameters];
  int lengths[kMaxParameters];
  int formats[kMaxParameters];
  if (values.size() > kMaxParameters) throw std::logic_error("too many parameters");
  for (std::size_t i = 0; i < values.size(); ++i) {
    pointers[i] = values[i].data();
    lengths[i] = static_cast<int>(values[i].size());
    formats[i] = 1;
  }
  return Check(
      PQexecPrepared(get(), name.c_str(), static_cast<int>(values.size()), pointers, lengths, formats, 1));
}

std::string Connection::Quote(std::string_view literal) const {
  const std::unique_ptr<char, decltype(&PQfreemem)> quoted(
      PQescapeLiteral(get(), literal.data(), literal.size()), &PQfreemem);
  if (!quoted) throw PostgresError(PQerrorMessage(get()));
  return quoted.get();
}

void BinaryWriter::Int16(std::int16_t value) {
  const auto bits = static_cast<std::uint16_t>(value);
  data_.push_back(static_cast<char>(bits >> 8));
  data_.push_back(static_cast<char>(bits));
}

void BinaryWriter::Int32(std::int32_t value) {
  const auto bits = static_cast<std::uint32_t>(value);
  for (int shift = 24; shift >= 0; shift -= 8) data_.push_back(static_cast<char>(bits >> shift));
}

void BinaryWriter::Float(float value) { Int32(std::bit_cast<std::int32_t>(value)); }

std::optional<VectorFormat> BinaryFormatOf(std::string_view type) {
  if (type == "real[]") return VectorFormat::kRealArray;
  if (type == "vector" || type.starts_with("vector(")) return VectorFormat::kPgvector;
  return std::nullopt;
}

void AppendVector(BinaryWriter& out, VectorFormat format, std::span<const float> vector) {
  const auto dims = static_cast<std::int32_t>(vector.size());
  if (format == VectorFormat::kPgvector) {
    out.Int16(static_cast<std::int16_t>(dims));
    out.Int16(0);
    for (const float x : vector) out.Float(x);
    return;
  }
  out.Int32(1);  // dimensions of the array
  out.Int32(0);  // has no NULLs
  out.Int32(static_cast<std::int32_t>(kFloat4Oid));
  out.Int32(dims);
  out.Int32(1);  // lower bound
  for (const float x : vector) {
    out.Int32(sizeof(float));
    out.Float(x);
  }
}

std::int32_t ParseInt(std::string_view bytes) {
  if (bytes.size() != sizeof(std::int32_t)) throw PostgresError("the column id is not an int");
  return static_cast<std::int32_t>(ReadUint32(bytes.data()));
}

void ParseRealArray(std::string_view bytes, std::span<float> out) {
  constexpr std::size_t kHeader = 20;
  constexpr std::size_t kElement = 8;  // length, value
  if (bytes.size() != kHeader + kElement * out.size() || ReadUint32(bytes.data()) != 1) {
    throw PostgresError("the table holds vectors of different dimensions");
  }
  const char* element = bytes.data() + kHeader;
  for (float& x : out) {
    x = std::bit_cast<float>(ReadUint32(element + 4));
    element += kElement;
  }
}

CopyIn::CopyIn(Connection& connection, const std::string& sql) : connection_(connection) {
  connection_.Run(sql);
  buffer_.Bytes(kCopySignature);
  buffer_.Int32(0);
  buffer_.Int32(0);
}

void CopyIn::EndRow() {
  if (buffer_.data().size() >= kCopyMessageSize) Send();
}

void CopyIn::Send() {
  const auto& data = buffer_.data();
  if (PQputCopyData(connection_.get(), data.data(), static_cast<int>(data.size())) != 1) {
    throw PostgresError(PQerrorMessage(connection_.get()));
  }
  buffer_.data().clear();
}

void CopyIn::Finish() {
  buffer_.Int16(-1);
  Send();
  if (PQputCopyEnd(connection_.get(), nullptr) != 1) {
    throw PostgresError(PQerrorMessage(connection_.get()));
  }
  const Result result(PQgetResult(connection_.get()));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    throw PostgresError(PQerrorMessage(connection_.get()));
  }
  while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
}

CopyOut::CopyOut(Connection& connection, const std::string& sql)
    : connection_(connection), message_(nullptr, &PQfreemem) {
  connection_.Run(sql);
}

// The server sends one row a message; the header comes with the first.
bool CopyOut::Next(std::vector<std::string_view>& fields) {
  char* data = nullptr;
  const int size = PQgetCopyData(connection_.get(), &data, 0);
  message_.reset(data);
  if (size == -1) {
    const Result result(PQgetResult(connection_.get()));
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
      throw PostgresError(PQerrorMessage(connection_.get()));
    }
    while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
    return false;
  }
  if (size < 0) throw PostgresError(PQerrorMessage(connection_.get()));

  std::string_view bytes(data, static_cast<std::size_t>(size));
  if (!header_read_) {
    bytes.remove_prefix(kCopyHeaderSize);
    header_read_ = true;
  }
  const auto count = static_cast<std::int16_t>(static_cast<unsigned char>(bytes[0]) << 8 |
                                               static_cast<unsigned char>(bytes[1]));
  bytes.remove_prefix(2);
  if (count < 0) return Next(fields);  // the trailer
  fields.clear();
  for (int i = 0; i < count; ++i) {
    const auto length = static_cast<std::int32_t>(ReadUint32(bytes.data()));
    bytes.remove_prefix(4);
    fields.push_back(length < 0 ? std::string_view() : bytes.substr(0, static_cast<std::size_t>(length)));
    if (length > 0) bytes.remove_prefix(static_cast<std::size_t>(length));
  }
  return true;
}

}  // namespace bench
