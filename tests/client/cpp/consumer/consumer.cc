// Uses the client as a program outside of the tree does: from its package, and
// nothing else of tensord's. Usage: consumer TARGET FILE.npy
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensord/client.h"
#include "tensord/dtype.h"
#include "tensord/eigen.h"
#include "tensord/error.h"
#include "tensord/shape.h"

namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << "not so: " << what << '\n';
  std::exit(EXIT_FAILURE);
}

template <class T>
T Value(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::cerr << result.status() << '\n';
    std::exit(EXIT_FAILURE);
  }
  return *std::move(result);
}

}  // namespace

int main(int argc, char** argv) {
  Require(argc == 3, "there are two arguments");
  const tensord::Client client = Value(tensord::Client::Connect(argv[1]));

  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const tensord::RemoteTensor tensor = Value(client.Put<float>(
      values, {2, -1},
      {.dtype = tensord::DType::kBFloat16, .ttl = absl::Minutes(1)}));
  Require(tensord::ShapeString(tensor.info().shape) == "[2, 3]", "the shape");
  Require(tensord::Name(tensor.info().dtype) == "bfloat16", "the dtype");
  Require(Value(tensor.Get<float>()) == values, "what Get reads");
  Require(
      Value(tensor.GetAsync<int>().Get()) == std::vector<int>{0, 1, 2, 3, 4, 5},
      "what GetAsync reads");

  Eigen::MatrixXd matrix(2, 3);
  matrix << 0, 1, 2, 3, 4, 5;
  Require(Value(Value(client.Create(tensord::ViewOf(matrix))).Get<float>()) ==
              values,
          "a matrix is stored by its rows");
  const std::uint8_t table[2][2] = {{1, 2}, {3, 4}};
  Require(Value(client.Create(tensord::ViewOf(table))).info().shape ==
              tensord::Dims{2, 2},
          "the shape of a C array");

  const absl::Status refusal = tensor.SaveNpy(argv[2]);
  Require(
      tensord::GetErrorReason(refusal) == tensord::reason::kDtypeUnsupported,
      "why bfloat16 is not saved");
  const absl::Status saved =
      tensor.SaveNpy(argv[2], {.dtype = tensord::DType::kFloat32});
  Require(saved.ok(), "a tensor is saved");
  Require(Value(Value(client.LoadNpy(argv[2])).Get<float>()) == values,
          "what LoadNpy loads");

  const tensord::Cancellation cancellation;
  cancellation.Cancel();
  Require(absl::IsCancelled(
              client.GetServerInfo({.cancellation = cancellation}).status()),
          "calls are given up");
  tensord::ConversionReport report;
  report.Merge({.rounded = 1});
  Require(report.rounded == 1, "reports are merged");
  std::cout << "all is well\n";
}
