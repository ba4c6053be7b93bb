// Stands in front of the header of the same name: calls that block run in the
// background, so that their tests are tests of those that do not.
#define RunCall RunCallOnThisThread
#include_next "client/cpp/src/call_state.h"
#undef RunCall

#ifndef TENSORD_TESTS_CLIENT_CPP_IN_BACKGROUND_CLIENT_CPP_SRC_CALL_STATE_H_
#define TENSORD_TESTS_CLIENT_CPP_IN_BACKGROUND_CLIENT_CPP_SRC_CALL_STATE_H_

namespace tensord {

template <class Work>
internal::ResultOf<Work> RunCall(const ClientOptions& defaults,
                                 const CallOptions& options, Work work) {
  return BeginCall(defaults, options, std::move(work)).Get();
}

}  // namespace tensord

#endif  // TENSORD_TESTS_CLIENT_CPP_IN_BACKGROUND_CLIENT_CPP_SRC_CALL_STATE_H_
