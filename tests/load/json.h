// Values as JSON has them, to be built and written.
#ifndef TENSORD_TESTS_LOAD_JSON_H_
#define TENSORD_TESTS_LOAD_JSON_H_

#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tensord::load {

// A number, a string, an array or an object. (protobuf's Struct will not do: in
// a build for ThreadSanitizer its header and its library disagree on it.)
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json>;

  Json(double number)
      : value_(number) {}  // NOLINT(google-explicit-constructor)
  Json(std::string text)   // NOLINT(google-explicit-constructor)
      : value_(std::move(text)) {}
  Json(Array items)  // NOLINT(google-explicit-constructor)
      : value_(std::move(items)) {}
  Json(Object fields)  // NOLINT(google-explicit-constructor)
      : value_(std::move(fields)) {}

  // REQUIRE: it is one.
  double number() const { return std::get<double>(value_); }
  const std::string& text() const { return std::get<std::string>(value_); }
  const Array& items() const { return std::get<Array>(value_); }
  const Object& fields() const { return std::get<Object>(value_); }

  // Without line breaks. Numbers have all their digits; those that are not
  // finite are null.
  std::string ToString() const;

 private:
  std::variant<double, std::string, Array, Object> value_;
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_JSON_H_
