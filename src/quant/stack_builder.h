// Stacks of weights, made matrix by matrix.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strake/quant/weight.h"

namespace strake {

// Copies matrices into a stack [count, rows, in], which is all the memory that it takes.
class StackBuilder {
 public:
  // `module` stands in messages.
  StackBuilder(std::string module, int64_t count, int64_t rows);

  // A matrix [rows, in], or one without rows, which has no place in the stack. Throws
  // Error(kCheckpoint) when it is stored otherwise than those before.
  void add(const Weight& matrix);
  Weight finish() &&;

 private:
  void place(size_t part, const Tensor& tensor);

  std::string module_;
  int64_t count_;
  int64_t rows_;
  int64_t placed_ = 0;
  std::optional<Format> format_;
  std::vector<Tensor> parts_;  // codes or values, scales, biases
};

}  // namespace strake
