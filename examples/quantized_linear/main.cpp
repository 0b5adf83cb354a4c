// Quantizes arrays, multiplies with them, and divides two layers over ranks.
#include <strake/strake.h>

#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

using namespace strake;

int main() {
  std::vector<float> values(256 * 256);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  const Tensor array = Tensor::from(std::span<const float>(values), {256, 256});  // [out, in]
  const Tensor x = array.slice(0, 0, 2);                                          // [rows, in]
  const QuantizedMatrix w = quantize(array, Format::parse("mxfp8"), Encoder::kLeastError);
  const Tensor restored = dequantize(w, DType::kF32);
  const Tensor y = quantized_matmul(*make_backend("cpu", {.threads = 1}), x, w);
  std::printf("%s: %.4f became %.4f; y is %s, y[0] = %.4f\n", w.format().to_string().c_str(),
              values[1], restored.data<float>()[1], y.shape().to_string().c_str(),
              y.data<float>()[0]);

  const auto run = [&](int ranks) {  // two layers, the first split by outputs, the second by inputs
    std::vector<float> result;
    run_ranks(ranks, GroupOptions{}, [&](Group& group) {
      const Linear up = shard_linear(Linear(w), Sharding::kAllToSharded, group);
      const Linear down = shard_linear(Linear(w), Sharding::kShardedToAll, group);
      const auto backend = make_backend("cpu", {.threads = 1});
      Context context{*backend, group, DType::kF32};
      const Tensor out = down.forward(context, up.forward(context, x, DType::kF32), DType::kF32);
      if (group.rank() != 0) return;
      std::printf("ranks=%d: %s\n", ranks, down.describe().c_str());
      result.assign(out.data<float>().begin(), out.data<float>().end());
    });
    return result;
  };
  const auto one = run(1), two = run(2);
  std::puts(one == two ? "the same bits" : "different bits");
  return one == two ? 0 : 1;
}
