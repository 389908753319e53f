#include "integration/programs/command_node.h"

#include "integration/programs/node_setup.h"

namespace sluice::programs {

integration::NodeOptions client_options(const integration::Config& config, std::string_view name,
                                        const std::string& peer) {
  integration::NodeOptions options = node_options(config);
  if (!options.tls) options.name = name;  // a certificate says who we are
  options.endpoint.listen.clear();
  options.peers = {peer};
  return options;
}

Result<std::unique_ptr<CommandNode>> CommandNode::open(const integration::NodeOptions& options) {
  std::unique_ptr<CommandNode> made(new CommandNode);
  SLUICE_ASSIGN(made->node_, integration::Node::open(options, {made->loop_, made->clock_, made->events_, nullptr}));
  return made;
}

CommandNode::~CommandNode() {
  if (node_ == nullptr) return;
  bool closed = false;
  node_->async_close([&closed] { closed = true; });
  while (!closed) loop_.run_one();
}

void CommandNode::run(const std::function<void()>& begin) {
  begin();
  while (!ended_) loop_.run_one();
}

void CommandNode::end() { ended_ = true; }

}  // namespace sluice::programs
