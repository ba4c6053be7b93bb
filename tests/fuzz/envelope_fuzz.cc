// Fuzz target: any bytes as a message of a stream, in any pieces, which has to
// be read as protobuf reads it. The first byte says where the pieces end.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "core/error.h"
#include "server/wire/envelope.h"
#include "tensord/v1/tensord.pb.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

std::vector<std::string_view> Split(std::string_view bytes, unsigned seed) {
  std::minstd_rand random(seed + 1);
  const std::size_t most = 1 + random() % 20;
  std::vector<std::string_view> pieces;
  while (!bytes.empty()) {
    pieces.push_back(bytes.substr(0, random() % (most + 1)));
    bytes.remove_prefix(pieces.back().size());
  }
  return pieces;
}

// What is documented to be refused beside what protobuf refuses.
bool IsStricter(const absl::Status& status) {
  return absl::StrContains(status.message(), "groups") ||
         absl::StrContains(status.message(), "wire type");
}

// The message that was read, as protobuf holds it.
template <class Request, class Declaration>
Request Rebuild(const Envelope& envelope, const Declaration& declaration,
                std::string_view input) {
  Request request;
  request.set_finish(envelope.finish);
  if (envelope.payload == Envelope::Payload::kDeclaration) {
    *request.mutable_declaration() = declaration;
  }
  std::string data;
  for (const std::string_view piece : envelope.chunk.data) data.append(piece);
  Require(data.size() == envelope.chunk.data_bytes, "the data are counted",
          input);
  if (envelope.payload != Envelope::Payload::kChunk) {
    Require(data.empty(), "data belong to a chunk", input);
    return request;
  }
  v1::Chunk& chunk = *request.mutable_chunk();
  chunk.set_offset(envelope.chunk.offset);
  if (envelope.chunk.crc32c) chunk.set_crc32c(*envelope.chunk.crc32c);
  chunk.set_data(std::move(data));
  return request;
}

template <class Request>
Request WithoutUnknownFields(Request request) {
  // The declaration goes through protobuf, unknown fields and all.
  const auto declaration = request.declaration();
  const bool declares = request.has_declaration();
  request.DiscardUnknownFields();
  if (declares) *request.mutable_declaration() = declaration;
  return request;
}

template <class Request, class Declaration>
void Check(std::string_view bytes, unsigned seed, std::string_view input) {
  // As in a stream, where they serve message after message.
  static Envelope envelope;
  static Declaration declaration;
  Request expected;
  const bool is_message = expected.ParseFromString(std::string(bytes));
  const absl::Status status =
      ParseEnvelope(Split(bytes, seed), declaration, envelope);
  if (!status.ok()) {
    Require(GetErrorReason(status) == reason::kMessageMalformed, "the reason",
            input);
    Require(!is_message || IsStricter(status), "protobuf refuses it too",
            input);
    return;
  }
  Require(is_message, "protobuf takes it too", input);
  Require(Rebuild<Request>(envelope, declaration, input).SerializeAsString() ==
              WithoutUnknownFields(expected).SerializeAsString(),
          "protobuf reads the same", input);
}

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  // protobuf logs strings that are not UTF-8.
  static google::protobuf::LogHandler* const log =
      google::protobuf::SetLogHandler(nullptr);
  (void)log;
  if (size == 0) return 0;
  const std::string input(data, data + size);
  const std::string_view bytes = std::string_view(input).substr(1);
  tensord::Check<tensord::v1::UploadTensorRequest,
                 tensord::v1::UploadDeclaration>(bytes, data[0], input);
  tensord::Check<tensord::v1::ConvertArrayRequest,
                 tensord::v1::ConvertDeclaration>(bytes, data[0], input);
  return 0;
}
