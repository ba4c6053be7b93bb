// Calls as Python makes them: an object with the arguments, which is run on
// the thread at hand or begun in the background, once.
//
// A call C has
//   using Result = ...;            an absl::Status or absl::StatusOr
//   Result Run();                  without the GIL
//   Future<Result> Begin(const CallOptions&);    without the GIL
//   static nanobind::object ToPython(..., Tensors);   of what is in the result;
//                                  with the GIL; nothing of a Status
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_CALL_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "native/bind.h"
#include "native/completions.h"
#include "native/convert.h"
#include "native/gil.h"
#include "tensord/call_options.h"
#include "tensord/future.h"

namespace tensord::python {

// What is left of a call for Python; throws its exception if it failed.
template <class Call>
nanobind::object Finish(typename Call::Result result, Going going) {
  if constexpr (std::is_same_v<typename Call::Result, absl::Status>) {
    Check(result);
    return nanobind::none();
  } else {
    return Call::ToPython(Take(std::move(result)), going);
  }
}

template <class Call>
nanobind::object RunCall(Call& call) {
  auto result = [&] {
    GilRelease release;
    return call.Run();
  }();
  return Finish<Call>(std::move(result), Going::kWaits);
}

template <class Call>
Cancellation BeginCall(nanobind::object self, Completions& completions,
                       std::uint64_t key,
                       const std::optional<Progress>& progress) {
  auto& call = nanobind::cast<Call&>(self);
  const Kept kept(std::move(self));
  const Cancellation cancellation;
  GilRelease release;
  call.Begin({.cancellation = cancellation, .progress = progress})
      .Then([inbox = completions.inbox(), key,
             passed_on = kept](typename Call::Result result) mutable {
        const auto shared =
            std::make_shared<typename Call::Result>(std::move(result));
        // This thread keeps nothing: it could not let go of it.
        inbox->Put(key, [kept_call = std::move(passed_on), shared] {
          return Finish<Call>(std::move(*shared), Going::kInBackground);
        });
      });
  return cancellation;
}

// Adds the two ways to make the call to its class.
template <class Call>
void BindCall(nanobind::class_<Call>& bound) {
  bound.def("run", &RunCall<Call>);
  bound.def("begin", &BeginCall<Call>, nanobind::arg("completions"),
            nanobind::arg("key"), nanobind::arg("progress") = nanobind::none());
}

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_CALL_H_
