// Norms, rotary embedding, activations and sums. Included after lane_vectors.inl.
//
// Elements get the same arithmetic in whole vectors and in the part that is left: threads may
// divide them anywhere.

template <class T>
void widen(const void* from, int64_t count, float* out) {
  const auto* const x = static_cast<const T*>(from);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(load(x + i), out + i);
  if (const int64_t n = count - i; n > 0) store_some(load_some(x + i, n), n, out + i);
}

// Sum of squares: element i in lane i mod (4 * kWidth), in ascending order.
float sum_of_squares(const float* x, int64_t count) {
  constexpr int kChains = 4;
  Floats sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kWidth <= count; i += kChains * kWidth)
    for (int chain = 0; chain < kChains; ++chain) {
      const Floats v = load(x + i + chain * kWidth);
      sums[chain] = multiply_add(v, v, sums[chain]);
    }
  for (int chain = 0; i < count; ++chain, i += kWidth) {
    const Floats v = i + kWidth <= count ? load(x + i) : load_some(x + i, count - i);
    sums[chain] = multiply_add(v, v, sums[chain]);
  }
  return fold<Sum>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
void rms_norm(const float* x, const float* weight, int64_t width, float eps, void* out) {
  auto* const y = static_cast<T*>(out);
  const float mean = sum_of_squares(x, width) / static_cast<float>(width);
  const float factor = 1.0f / std::sqrt(mean + eps);
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) store(load(x + i) * factor * load(weight + i), y + i);
  if (const int64_t n = width - i; n > 0)
    store_some(load_some(x + i, n) * factor * load_some(weight + i, n), n, y + i);
}

// Sum of x[i] - less.
float sum_less(const float* x, int64_t count, float less) {
  Floats sums[2] = {};
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) sums[i / kWidth % 2] += load(x + i) - less;
  float rest = 0;
  for (; i < count; ++i) rest += x[i] - less;
  return fold<Sum>(sums[0] + sums[1]) + rest;
}

template <class T>
void layer_norm(const float* x, const LayerNormRow& norm, void* out) {
  auto* const y = static_cast<T*>(out);
  const auto width = static_cast<float>(norm.width);
  // What rounding left of the mean is taken off, too.
  float mean = sum_less(x, norm.width, 0.0f) / width;
  mean += sum_less(x, norm.width, mean) / width;
  float squares = 0;
  Floats sums = {};
  int64_t i = 0;
  for (; i + kWidth <= norm.width; i += kWidth) {
    const Floats v = load(x + i) - mean;
    sums = multiply_add(v, v, sums);
  }
  for (int64_t j = i; j < norm.width; ++j) squares += (x[j] - mean) * (x[j] - mean);
  const float factor = 1.0f / std::sqrt((fold<Sum>(sums) + squares) / width + norm.eps);
  for (i = 0; i + kWidth <= norm.width; i += kWidth)
    store(multiply_add((load(x + i) - mean) * factor, load(norm.weight + i), load(norm.bias + i)),
          y + i);
  if (const int64_t n = norm.width - i; n > 0)
    store_some(multiply_add((load_some(x + i, n) - mean) * factor, load_some(norm.weight + i, n),
                            load_some(norm.bias + i, n)),
               n, y + i);
}

struct Turned {
  Floats a;
  Floats b;
};
STRAKE_INLINE Turned turned(Floats a, Floats b, Floats cosine, Floats sine) {
  return {a * cosine - b * sine, b * cosine + a * sine};
}

template <class T>
void turn_halves(void* x, int64_t pairs, const float* cosines, const float* sines) {
  auto* const first = static_cast<T*>(x);
  T* const second = first + pairs;
  int64_t i = 0;
  for (; i + kWidth <= pairs; i += kWidth) {
    const Turned pair =
        turned(load(first + i), load(second + i), load(cosines + i), load(sines + i));
    store(pair.a, first + i);
    store(pair.b, second + i);
  }
  if (const int64_t n = pairs - i; n > 0) {
    const Turned pair = turned(load_some(first + i, n), load_some(second + i, n),
                               load_some(cosines + i, n), load_some(sines + i, n));
    store_some(pair.a, n, first + i);
    store_some(pair.b, n, second + i);
  }
}

template <class T>
STRAKE_INLINE void turn_vectors(T* x, Floats cosine, Floats sine) {
  const Floats low = load(x), high = load(x + kWidth);
  const Turned pair = turned(every_other<0>(low, high, LaneIndices()),
                             every_other<1>(low, high, LaneIndices()), cosine, sine);
  store(interleaved_low(pair.a, pair.b), x);
  store(interleaved_high(pair.a, pair.b), x + kWidth);
}

template <class T>
void turn_adjacent(void* x, int64_t pairs, const float* cosines, const float* sines) {
  auto* const data = static_cast<T*>(x);
  int64_t i = 0;
  for (; i + kWidth <= pairs; i += kWidth)
    turn_vectors(data + 2 * i, load(cosines + i), load(sines + i));
  if (const int64_t n = pairs - i; n > 0) {
    T both[2 * kWidth] = {};
    std::copy_n(data + 2 * i, 2 * n, both);
    turn_vectors(both, load_some(cosines + i, n), load_some(sines + i, n));
    std::copy_n(both, 2 * n, data + 2 * i);
  }
}

// factor / (1 + exp(-x)), from exp(-|x|), which does not overflow.
STRAKE_INLINE Floats times_sigmoid(Floats factor, Floats x) {
  const Floats e = exp_nonpositive(x < 0.0f ? x : -x);
  return (x < 0.0f ? factor * e : factor) / (1.0f + e);
}

template <Activation A>
STRAKE_INLINE Floats activated(Floats gate, Floats up) {
  if constexpr (A == Activation::kSilu) return times_sigmoid(gate, gate) * up;
  if constexpr (A == Activation::kGeluTanh) {
    // (1 + tanh(y)) / 2 = sigmoid(2 y)
    constexpr float kTwice = 1.5957691216057308f;  // 2 sqrt(2 / pi)
    const Floats cube = gate * gate * gate;
    return times_sigmoid(gate, (gate + cube * 0.044715f) * kTwice) * up;
  }
  if constexpr (A == Activation::kClampedSwiglu) {
    constexpr float kLimit = 7.0f, kAlpha = 1.702f;
    const Floats low = gate > kLimit ? splat(kLimit) : gate;
    const Floats below = up > kLimit ? splat(kLimit) : up;
    const Floats within = below < -kLimit ? splat(-kLimit) : below;
    return times_sigmoid(low, low * kAlpha) * (within + 1.0f);
  }
}

template <class T, Activation A>
void gated(const void* gate, const void* up, int64_t count, void* out) {
  const auto* const g = static_cast<const T*>(gate);
  const auto* const u = static_cast<const T*>(up);
  auto* const y = static_cast<T*>(out);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(activated<A>(load(g + i), load(u + i)), y + i);
  if (const int64_t n = count - i; n > 0)
    store_some(activated<A>(load_some(g + i, n), load_some(u + i, n)), n, y + i);
}

void add(const float* x, const float* y, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(load(x + i) + load(y + i), out + i);
  if (const int64_t n = count - i; n > 0)
    store_some(load_some(x + i, n) + load_some(y + i, n), n, out + i);
}

void scale(const float* x, float factor, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(load(x + i) * factor, out + i);
  if (const int64_t n = count - i; n > 0) store_some(load_some(x + i, n) * factor, n, out + i);
}

void exp_all(const float* x, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(exp_nonpositive(load(x + i)), out + i);
  if (const int64_t n = count - i; n > 0)
    store_some(exp_nonpositive(load_some(x + i, n)), n, out + i);
}

template <class T>
constexpr TypedLaneKernels kTyped{attend<T>,
                                  finish<T>,
                                  widen<T>,
                                  rms_norm<T>,
                                  turn_halves<T>,
                                  turn_adjacent<T>,
                                  layer_norm<T>,
                                  index<T>,
                                  {gated<T, Activation::kSilu>, gated<T, Activation::kGeluTanh>,
                                   gated<T, Activation::kClampedSwiglu>}};

constexpr LaneKernels kKernels{kTyped<float>, kTyped<F16>, kTyped<Bf16>, merge,
                               add,           scale,       largest,      exp_all};
