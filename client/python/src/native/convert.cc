#include "native/convert.h"

#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

nb::list FromViolations(const std::vector<FieldViolation>& violations) {
  nb::list result;
  for (const FieldViolation& violation : violations) {
    result.append(nb::make_tuple(violation.field, violation.description));
  }
  return result;
}

nb::dict FromMetadata(const ErrorDetails& details) {
  nb::dict result;
  for (const auto& [key, value] : details.metadata) {
    result[key.c_str()] = value;
  }
  return result;
}

// Messages repeat what clients sent, which need not be UTF-8.
nb::str FromText(std::string_view text) {
  PyObject* decoded = PyUnicode_DecodeUTF8(
      text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (decoded == nullptr) throw nb::python_error();
  return nb::steal<nb::str>(decoded);
}

// A tuple of its members.
nb::object FromReport(const std::optional<ConversionReport>& report) {
  if (!report.has_value()) return nb::none();
  return nb::make_tuple(report->rounded, report->overflowed,
                        report->nan_to_integer, report->max_absolute_error);
}

Dims ToDims(nb::handle dims) {
  Dims result;
  for (nb::handle dim : dims) result.push_back(nb::cast<std::int64_t>(dim));
  return result;
}

Slice ToSlice(nb::handle slice) {
  const auto bound = [&slice](int position) {
    return nb::cast<std::optional<std::int64_t>>(slice[position]);
  };
  return {bound(0), bound(1), bound(2)};
}

IndexTerm ToIndexTerm(nb::handle term) {
  if (term.is_none()) return NewAxis{};
  if (term.is(nb::ellipsis())) return Ellipsis{};
  if (nb::isinstance<nb::tuple>(term)) return ToSlice(term);
  return nb::cast<std::int64_t>(term);
}

Operation ToToOperation(nb::handle arguments) {
  return ToOperation{
      .dtype = ToDType(nb::cast<std::optional<int>>(arguments[1])),
      .device = nb::cast<std::string>(arguments[2]),
      .copy = nb::cast<bool>(arguments[3]),
      .overflow = ToOverflow(nb::cast<int>(arguments[4])),
      .report_conversion = nb::cast<bool>(arguments[5])};
}

Operation ToOneOperation(nb::handle operation) {
  const auto name = nb::cast<std::string>(operation[0]);
  if (name == "to") return ToToOperation(operation);
  if (name == "detach") return DetachOperation{};
  if (name == "index") return IndexOperation{ToIndexTerms(operation[1])};
  if (name == "reshape") {
    return ReshapeOperation{ToDims(operation[1]), nb::cast<bool>(operation[2])};
  }
  if (name == "permute") return PermuteOperation{ToDims(operation[1])};
  if (name == "clone") return CloneOperation{};
  if (name == "contiguous") return ContiguousOperation{};
  throw nb::value_error("unknown operation");
}

}  // namespace

void ThrowStatus(const absl::Status& status) {
  const ErrorDetails details = GetErrorDetails(status);
  const nb::object error =
      nb::module_::import_("tensord.errors")
          .attr("from_status")(absl::StatusCodeToString(status.code()),
                               FromText(std::string(status.message())),
                               details.reason, FromMetadata(details),
                               FromViolations(details.violations));
  PyErr_SetObject(error.type().ptr(), error.ptr());
  throw nb::python_error();
}

DType ToDType(int number) {
  if (number < 0 || static_cast<std::size_t>(number) >= kDTypeCount) {
    throw nb::value_error("no such dtype");
  }
  return static_cast<DType>(number);
}

std::optional<DType> ToDType(std::optional<int> number) {
  if (!number.has_value()) return std::nullopt;
  return ToDType(*number);
}

Overflow ToOverflow(int number) {
  if (number < 0 || number > static_cast<int>(Overflow::kError)) {
    throw nb::value_error("no such overflow policy");
  }
  return static_cast<Overflow>(number);
}

std::optional<absl::Duration> ToDuration(std::optional<double> seconds) {
  if (!seconds.has_value()) return std::nullopt;
  return absl::Seconds(*seconds);
}

std::vector<IndexTerm> ToIndexTerms(nb::handle terms) {
  std::vector<IndexTerm> result;
  for (nb::handle term : terms) result.push_back(ToIndexTerm(term));
  return result;
}

std::vector<Operation> ToOperations(nb::handle operations) {
  std::vector<Operation> result;
  for (nb::handle operation : operations) {
    result.push_back(ToOneOperation(operation));
  }
  return result;
}

nb::tuple FromDims(const Dims& dims) {
  nb::list result;
  for (const std::int64_t dim : dims) result.append(dim);
  return nb::tuple(result);
}

nb::object FromTime(absl::Time time) {
  if (time == absl::InfiniteFuture()) return nb::none();
  return nb::float_(absl::ToDoubleSeconds(time - absl::UnixEpoch()));
}

nb::dict FromTensorInfo(const TensorInfo& info) {
  nb::dict result;
  result["id"] = info.id;
  result["dtype"] = static_cast<int>(info.dtype);
  result["shape"] = FromDims(info.shape);
  result["strides"] = FromDims(info.strides);
  result["device"] = info.device;
  result["requires_grad"] = info.requires_grad;
  result["is_leaf"] = info.is_leaf;
  result["grad_fn"] = info.grad_fn;
  result["size_bytes"] = info.size_bytes;
  result["storage_id"] = info.storage_id;
  result["storage_offset"] = info.storage_offset;
  result["etag"] = info.etag;
  result["create_time"] = FromTime(info.create_time);
  result["update_time"] = FromTime(info.update_time);
  result["expire_time"] = FromTime(info.expire_time);
  result["lease"] =
      info.lease.has_value()
          ? nb::object(nb::float_(absl::ToDoubleSeconds(*info.lease)))
          : nb::object(nb::none());
  result["conversion_report"] = FromReport(info.conversion_report);
  return result;
}

nb::tuple FromLayout(const ArrayLayout& layout) {
  return nb::make_tuple(static_cast<int>(layout.dtype), FromDims(layout.shape),
                        FromDims(layout.byte_strides), layout.size_bytes);
}

}  // namespace tensord::python
