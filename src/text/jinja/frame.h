// The names of one scope, while places are being decided.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "text/jinja/ast.h"

namespace strake::jinja {

// What has slots of its own at run time: the template, a macro, a call block, a recursive loop.
struct FunctionFrame {
  int depth = 0;
  int slots = 0;
};

class Frame {
 public:
  Frame(const Frame* parent, FunctionFrame& function) : parent_(parent), function_(function) {}

  // In the order in which the scope mentions its names.
  void load(const std::string& name);
  void store(const std::string& name);
  int declare(const std::string& name);
  // Each branch may or may not run: a name that only some of them assign keeps, behind them, what
  // it was before.
  template <class... Branches>
  void branches(Branches... visit) {
    const Names before = names_;
    const std::vector<Names> after{(names_ = before, visit(), names_)...};
    names_ = before;
    merge(after);
  }

  // Once all names have been mentioned.
  Place place(const std::string& name) const;
  Scope scope() const;
  FunctionFrame& function() const { return function_; }

 private:
  struct Reference {
    int depth, slot;
  };
  struct Names {
    std::map<std::string, int> slots;
    std::map<int, std::optional<Load>> loads;  // nothing for what is set from outside
    std::set<std::string> stores;
  };
  std::optional<Reference> find(const std::string& name) const;
  std::optional<Reference> find_outside(const std::string& name) const;
  int define(const std::string& name, std::optional<Load> load);
  Place place(const Reference& reference) const;
  Load load_from_outside(const std::string& name, Load::Kind otherwise) const;
  void merge(const std::vector<Names>& branches);

  const Frame* parent_;
  FunctionFrame& function_;
  std::map<std::string, int> slots_;  // given so far, in all branches
  Names names_;
};

}  // namespace strake::jinja
