// What compilers refuse, with a sentence for each.
#include <deque>
#include <string>
#include <vector>

#include "tensord/client.h"

void Refused(const tensord::Client& client, const tensord::RemoteTensor& tensor,
             const std::vector<bool>& flags, const std::string& text,
             const std::deque<float>& scattered) {
  (void)tensor.Get<long double>();
  (void)tensor.Get<bool>();
  (void)client.Put<bool>(flags);
  (void)tensord::ViewOf(flags);
  (void)tensord::ViewOf(text);
  (void)tensord::ViewOf(scattered);
  (void)tensord::ViewOf(std::vector<float>{1, 2});
  (void)tensord::ViewOf(client);
}
