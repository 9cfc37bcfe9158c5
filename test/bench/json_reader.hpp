// Reads JSON from a stream piece by piece, for documents much larger than what is wanted of them.
#pragma once

#include <iosfwd>
#include <string>

namespace bench {

// The caller says what comes next; a document that has something else there throws std::runtime_error.
class JsonReader {
 public:
  explicit JsonReader(std::streambuf& in) : in_(in) {}

  // The next character that is not white space, without taking it.
  char Peek();
  // Takes the next character, which must be `expected`.
  void Expect(char expected);
  // Takes a comma and returns true, or the closing bracket and returns false.
  bool More(char closing);
  // A string, in UTF-8.
  std::string String();
  double Number();
  // Takes a value of any kind and forgets it.
  void Skip();

 private:
  int Take();
  unsigned HexDigits();
  void AppendEscape(std::string& out);

  std::streambuf& in_;
  std::string number_;
};

}  // namespace bench
