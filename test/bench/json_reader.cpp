// Reads JSON from a stream piece by piece, for documents much larger than what is wanted of them.
#include "json_reader.hpp"

#include <charconv>
#include <cstring>
#include <stdexcept>
#include <streambuf>

namespace bench {
namespace {

constexpr int kEnd = std::char_traits<char>::eof();

void AppendUtf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

bool IsSpace(int c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

bool IsNumberPart(int c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

}  // namespace

int JsonReader::Take() {
  const int c = in_.sbumpc();
  if (c == kEnd) throw std::runtime_error("the JSON document ends too early");
  return c;
}

char JsonReader::Peek() {
  while (IsSpace(in_.sgetc())) in_.sbumpc();
  const int c = in_.sgetc();
  if (c == kEnd) throw std::runtime_error("the JSON document ends too early");
  return static_cast<char>(c);
}

void JsonReader::Expect(char expected) {
  const char found = Peek();
  if (found != expected) {
    throw std::runtime_error(std::string("the JSON document has ") + found + " where " + expected +
                             " was expected");
  }
  in_.sbumpc();
}

bool JsonReader::More(char closing) {
  if (Peek() == closing) {
    in_.sbumpc();
    return false;
  }
  Expect(',');
  return true;
}

std::string JsonReader::String() {
  Expect('"');
  std::string out;
  while (true) {
    const int c = Take();
    if (c == '"') return out;
    if (c == '\\') {
      AppendEscape(out);
    } else {
      out += static_cast<char>(c);
    }
  }
}

unsigned JsonReader::HexDigits() {
  unsigned code = 0;
  for (int i = 0; i < 4; ++i) {
    const char digit = static_cast<char>(Take());
    unsigned value = 0;
    if (std::from_chars(&digit, &digit + 1, value, 16).ec != std::errc()) {
      throw std::runtime_error("the JSON document has a broken \\u escape");
    }
    code = code * 16 + value;
  }
  return code;
}

void JsonReader::AppendEscape(std::string& out) {
  constexpr char kNames[] = "bfnrt";
  constexpr char kValues[] = "\b\f\n\r\t";
  const int c = Take();
  if (c != 'u') {
    const char* name = std::strchr(kNames, c);
    out += name != nullptr ? kValues[name - kNames] : static_cast<char>(c);
    return;
  }
  unsigned code = HexDigits();
  if (code >= 0xD800 && code < 0xDC00) {  // the first half of a surrogate pair
    Expect('\\');
    Expect('u');
    code = 0x10000 + ((code - 0xD800) << 10) + (HexDigits() - 0xDC00);
  }
  AppendUtf8(out, code);
}

double JsonReader::Number() {
  Peek();
  number_.clear();
  while (IsNumberPart(in_.sgetc())) number_ += static_cast<char>(in_.sbumpc());
  double value = 0;
  const char* end = number_.data() + number_.size();
  if (std::from_chars(number_.data(), end, value).ptr != end || number_.empty()) {
    throw std::runtime_error("the JSON document has no number where one was expected");
  }
  return value;
}

void JsonReader::Skip() {
  const char first = Peek();
  if (first == '"') {
    String();
  } else if (first == '[' || first == '{') {
    in_.sbumpc();
    const char closing = first == '[' ? ']' : '}';
    if (Peek() == closing) {
      in_.sbumpc();
      return;
    }
    do {
      if (first == '{') {
        String();
        Expect(':');
      }
      Skip();
    } while (More(closing));
  } else {
    while (std::strchr(",]}", Peek()) == nullptr) in_.sbumpc();  // a number, true, false or null
  }
}

}  // namespace bench
