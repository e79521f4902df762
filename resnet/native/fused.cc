// Batch normalisation fused with what follows it in a ResNet, for TensorFlow on processors.
//
// With the statistics m and v of a channel over batch, height and width, and k = scale / sqrt(v + epsilon):
//
//   ResnetNorm          y = f(k * (x - m) + offset)                f is max(., 0), or nothing
//   ResnetNormAdd       y = max(k * (x - m) + offset + shortcut, 0)
//
// TensorFlow computes the normalisation, the sum and the maximum as three operations. Each reads and writes the whole tensor,
// and these tensors are far larger than the caches, so a training step waits for memory most of the time. Here the forward pass
// reads x twice and writes y once. The gradient (Ioffe and Szegedy, "Batch Normalization", 2015, section 3) reads x and dy
// twice and writes dx once. It computes the mask of the maximum again instead of reading a stored one.
//
// Sums are taken over a fixed number of blocks of pixels, one after another, whatever the number of threads: the same input
// gives the same bits on any number of threads. Statistics and sums are float32 within a block and float64 over the blocks.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace {

using namespace tensorflow;  // NOLINT: the registration macros expect it
using shape_inference::InferenceContext;

constexpr int64_t kMostBlocks = 64;          // at least the threads that share one operation
constexpr int64_t kLeastNumbers = 16 * 1024;  // of a block; a smaller one costs more to hand out than to compute

// ---- numbers in memory -------------------------------------------------------------------------------------------------

inline float load(float number) { return number; }
inline float load(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float number;
  std::memcpy(&number, &wide, sizeof number);
  return number;
}

inline void store(float number, float* to) { *to = number; }
inline void store(float number, uint16_t* to) {  // to the nearest bfloat16, ties to even; a NaN stays a NaN
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const uint32_t kept = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : rounded;
  *to = static_cast<uint16_t>(kept >> 16);
}

// max(number, 0), and whether its gradient passes. Written so that a NaN passes both.
inline float positive(float number) { return number < 0 ? 0.f : number; }
inline float where_positive(float output, float gradient) { return output <= 0 ? 0.f : gradient; }

template <typename T> struct Stored { using type = float; };
template <> struct Stored<Eigen::bfloat16> { using type = uint16_t; };

template <typename T> const typename Stored<T>::type* read(const Tensor& tensor) {
  return reinterpret_cast<const typename Stored<T>::type*>(tensor.flat<T>().data());
}
template <typename T> typename Stored<T>::type* write(Tensor* tensor) {
  return reinterpret_cast<typename Stored<T>::type*>(tensor->flat<T>().data());
}

// ---- blocks of pixels --------------------------------------------------------------------------------------------------

// A tensor of images as a matrix: one row for each pixel, one column for each channel.
struct Pixels {
  int64_t rows, channels, blocks;

  explicit Pixels(const Tensor& images) {
    channels = images.dim_size(3);
    rows = channels ? images.NumElements() / channels : 0;
    blocks = std::max<int64_t>(1, std::min({kMostBlocks, rows, rows * channels / kLeastNumbers}));
  }

  // Calls work(block, first row, row after the last) for each block, on the threads of the device.
  template <typename Work> void for_blocks(OpKernelContext* context, Work work) const {
    const auto& threads = *context->device()->tensorflow_cpu_worker_threads();
    const int64_t cost = rows / blocks * channels * 4;
    Shard(threads.num_threads, threads.workers, blocks, cost, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) work(block, rows * block / blocks, rows * (block + 1) / blocks);
    });
  }
};

// Two sums for each channel, one pair for each block.
class Sums {
 public:
  explicit Sums(const Pixels& pixels) : channels_(pixels.channels), blocks_(pixels.blocks), sums_(2 * blocks_ * channels_) {}
  float* first(int64_t block) { return &sums_[2 * block * channels_]; }
  float* second(int64_t block) { return first(block) + channels_; }
  double total_first(int64_t channel) const { return total(channel); }
  double total_second(int64_t channel) const { return total(channel + channels_); }

 private:
  double total(int64_t column) const {
    double sum = 0;
    for (int64_t block = 0; block < blocks_; ++block) sum += sums_[2 * block * channels_ + column];
    return sum;
  }
  int64_t channels_, blocks_;
  std::vector<float> sums_;
};

// ---- forward -----------------------------------------------------------------------------------------------------------

// y = x * factor + shift, for each channel.
struct Line {
  std::vector<float> factor, shift;
  Line(int64_t channels, const float* scale, const float* offset, const float* mean, const float* inverse)
      : factor(channels), shift(channels) {
    for (int64_t c = 0; c < channels; ++c) {
      factor[c] = scale[c] * inverse[c];
      shift[c] = offset[c] - mean[c] * factor[c];
    }
  }
};

// Mean, variance (without Bessel's correction) and 1 / sqrt(variance + epsilon) of each channel.
//
// The sums are those of the differences from the first pixel. Without that, the variance is lost to rounding where the mean is
// large beside it: Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance" (1983), equation 1.8.
template <typename S>
void statistics(OpKernelContext* context, const Pixels& pixels, const S* x, float epsilon, float* mean, float* variance,
                float* inverse) {
  const int64_t channels = pixels.channels;
  std::vector<float> origin(channels, 0.f);
  for (int64_t c = 0; c < channels && pixels.rows; ++c) origin[c] = load(x[c]);
  Sums sums(pixels);
  pixels.for_blocks(context, [&](int64_t block, int64_t row, int64_t end) {
    const float* __restrict from = origin.data();
    float* __restrict sum = sums.first(block);
    float* __restrict squares = sums.second(block);
    for (; row + 4 <= end; row += 4) {  // four rows at a time: the sums are read and written a quarter as often
      const S* __restrict a = x + row * channels;
      const S* __restrict b = a + channels;
      const S* __restrict d = b + channels;
      const S* __restrict e = d + channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(a[c]) - from[c], q = load(b[c]) - from[c], r = load(d[c]) - from[c], s = load(e[c]) - from[c];
        sum[c] += (p + q) + (r + s);
        squares[c] += (p * p + q * q) + (r * r + s * s);
      }
    }
    for (; row < end; ++row) {
      const S* __restrict a = x + row * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(a[c]) - from[c];
        sum[c] += p;
        squares[c] += p * p;
      }
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    const double shifted = sums.total_first(c) / pixels.rows;
    const double spread = sums.total_second(c) / pixels.rows - shifted * shifted;
    const double kept = spread < 0 ? 0 : spread;  // a NaN stays
    mean[c] = static_cast<float>(origin[c] + shifted);
    variance[c] = static_cast<float>(kept);
    inverse[c] = static_cast<float>(1 / std::sqrt(kept + epsilon));
  }
}

// What both operations do before they write y: checks, statistics, and the outputs mean, variance and inverse.
struct Statistics {
  Tensor *mean = nullptr, *variance = nullptr, *inverse = nullptr;

  template <typename T> absl::Status compute(OpKernelContext* context, const Pixels& pixels, float epsilon, int first_output) {
    const TensorShape shape({pixels.channels});
    Tensor** const outputs[] = {&mean, &variance, &inverse};
    for (int i = 0; i < 3; ++i) TF_RETURN_IF_ERROR(context->allocate_output(first_output + i, shape, outputs[i]));
    statistics(context, pixels, read<T>(context->input(0)), epsilon, mean->flat<float>().data(),
               variance->flat<float>().data(), inverse->flat<float>().data());
    return absl::OkStatus();
  }

  Line line(const Pixels& pixels, const Tensor& scale, const Tensor& offset) const {
    return Line(pixels.channels, scale.flat<float>().data(), offset.flat<float>().data(), mean->flat<float>().data(),
                inverse->flat<float>().data());
  }
};

// Whether x are images and each vector has a number for each channel.
absl::Status check(OpKernelContext* context, std::initializer_list<int> like_x, std::initializer_list<int> vectors) {
  const Tensor& x = context->input(0);
  if (x.dims() != 4 || x.NumElements() == 0) {
    return errors::InvalidArgument("x must be (batch, height, width, channels) and not empty. Received: ",
                                   x.shape().DebugString());
  }
  for (const int i : like_x) {
    if (context->input(i).shape() != x.shape()) {
      return errors::InvalidArgument("input ", i, " must have the shape of x. Received: ",
                                     context->input(i).shape().DebugString(), " and ", x.shape().DebugString());
    }
  }
  for (const int i : vectors) {
    if (context->input(i).NumElements() != x.dim_size(3)) {
      return errors::InvalidArgument("input ", i, " must have one number for each of ", x.dim_size(3),
                                     " channels. Received: ", context->input(i).shape().DebugString());
    }
  }
  return absl::OkStatus();
}

template <typename T> class Norm : public OpKernel {
 public:
  explicit Norm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, check(context, {}, {1, 2}));
    const Pixels pixels(context->input(0));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &output));
    Statistics found;
    OP_REQUIRES_OK(context, found.template compute<T>(context, pixels, epsilon_, 1));
    const Line line = found.line(pixels, context->input(1), context->input(2));
    const auto* x = read<T>(context->input(0));
    auto* y = write<T>(output);
    pixels.for_blocks(context, [&](int64_t, int64_t row, int64_t end) {
      const float* __restrict factor = line.factor.data();
      const float* __restrict shift = line.shift.data();
      for (; row < end; ++row) {
        const auto* __restrict from = x + row * pixels.channels;
        auto* __restrict to = y + row * pixels.channels;
        if (relu_) {
          for (int64_t c = 0; c < pixels.channels; ++c) store(positive(load(from[c]) * factor[c] + shift[c]), to + c);
        } else {
          for (int64_t c = 0; c < pixels.channels; ++c) store(load(from[c]) * factor[c] + shift[c], to + c);
        }
      }
    });
  }

 private:
  float epsilon_;
  bool relu_;
};

template <typename T> class NormAdd : public OpKernel {
 public:
  explicit NormAdd(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("branches", &branches_));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, check(context, {1}, {2, 3}));
    const Pixels pixels(context->input(0));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &output));
    Statistics found;
    OP_REQUIRES_OK(context, found.template compute<T>(context, pixels, epsilon_, branches_));
    const Line line = found.line(pixels, context->input(2), context->input(3));
    const auto* x = read<T>(context->input(0));
    const auto* shortcut = read<T>(context->input(1));
    auto* y = write<T>(output);
    pixels.for_blocks(context, [&](int64_t, int64_t row, int64_t end) {
      const float* __restrict factor = line.factor.data();
      const float* __restrict shift = line.shift.data();
      for (; row < end; ++row) {
        const auto* __restrict from = x + row * pixels.channels;
        const auto* __restrict beside = shortcut + row * pixels.channels;
        auto* __restrict to = y + row * pixels.channels;
        for (int64_t c = 0; c < pixels.channels; ++c) {
          store(positive(load(from[c]) * factor[c] + shift[c] + load(beside[c])), to + c);
        }
      }
    });
    for (int i = 1; i < branches_; ++i) context->set_output(i, *output);  // the same memory
  }

 private:
  float epsilon_;
  int branches_;
};

// ---- gradients ---------------------------------------------------------------------------------------------------------

// With e, the gradient of the normalised and scaled x, and its sums over n pixels:
//
//   d offset = sum(e)      d scale = sum(e * (x - m)) / sqrt(v + epsilon)
//   dx = k * (e - d offset / n - (x - m) / sqrt(v + epsilon) * d scale / n) = k * e + constant + slope * x
struct Gradient {
  std::vector<float> constant, slope;

  Gradient(const Pixels& pixels, const Sums& sums, const float* factor, const float* mean, const float* inverse, float* dscale,
           float* doffset)
      : constant(pixels.channels), slope(pixels.channels) {
    for (int64_t c = 0; c < pixels.channels; ++c) {
      const double e = sums.total_first(c), of_scale = sums.total_second(c) * inverse[c];
      const double by_x = -static_cast<double>(factor[c]) * inverse[c] * of_scale / pixels.rows;
      doffset[c] = static_cast<float>(e);
      dscale[c] = static_cast<float>(of_scale);
      slope[c] = static_cast<float>(by_x);
      constant[c] = static_cast<float>(-factor[c] * e / pixels.rows - by_x * mean[c]);
    }
  }
};

template <typename T> class NormGrad : public OpKernel {
 public:
  explicit NormGrad(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {  // inputs: x, dy, scale, offset, mean, inverse
    OP_REQUIRES_OK(context, check(context, {1}, {2, 3, 4, 5}));
    const Pixels pixels(context->input(0));
    const int64_t channels = pixels.channels;
    Tensor *dx_tensor, *dscale, *doffset;
    // dx may take the memory of dy: a number of dx depends on that number of dy alone.
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1}, 0, context->input(0).shape(), &dx_tensor));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({channels}), &dscale));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({channels}), &doffset));
    const auto* x = read<T>(context->input(0));
    const auto* dy = read<T>(context->input(1));
    const float* mean = context->input(4).flat<float>().data();
    const float* inverse = context->input(5).flat<float>().data();
    const Line line(channels, context->input(2).flat<float>().data(), context->input(3).flat<float>().data(), mean, inverse);
    const float least = relu_ ? 0.f : -INFINITY;
    const auto masked = [least](float output, float gradient) { return output <= least ? 0.f : gradient; };
    Sums sums(pixels);
    pixels.for_blocks(context, [&](int64_t block, int64_t row, int64_t end) {
      const float* __restrict factor = line.factor.data();
      const float* __restrict shift = line.shift.data();
      const float* __restrict centre = mean;
      float* __restrict sum = sums.first(block);
      float* __restrict products = sums.second(block);
      for (; row + 2 <= end; row += 2) {
        const auto* __restrict x0 = x + row * channels;
        const auto* __restrict x1 = x0 + channels;
        const auto* __restrict d0 = dy + row * channels;
        const auto* __restrict d1 = d0 + channels;
        for (int64_t c = 0; c < channels; ++c) {
          const float p = load(x0[c]), q = load(x1[c]);
          const float e = masked(p * factor[c] + shift[c], load(d0[c])), f = masked(q * factor[c] + shift[c], load(d1[c]));
          sum[c] += e + f;
          products[c] += e * (p - centre[c]) + f * (q - centre[c]);
        }
      }
      for (; row < end; ++row) {
        const auto* __restrict x0 = x + row * channels;
        const auto* __restrict d0 = dy + row * channels;
        for (int64_t c = 0; c < channels; ++c) {
          const float p = load(x0[c]), e = masked(p * factor[c] + shift[c], load(d0[c]));
          sum[c] += e;
          products[c] += e * (p - centre[c]);
        }
      }
    });
    const Gradient gradient(pixels, sums, line.factor.data(), mean, inverse, dscale->flat<float>().data(),
                            doffset->flat<float>().data());
    auto* dx = write<T>(dx_tensor);
    pixels.for_blocks(context, [&](int64_t, int64_t row, int64_t end) {
      const float* __restrict factor = line.factor.data();
      const float* __restrict shift = line.shift.data();
      const float* __restrict constant = gradient.constant.data();
      const float* __restrict slope = gradient.slope.data();
      for (; row < end; ++row) {
        const auto* __restrict from = x + row * channels;
        const auto* above = dy + row * channels;
        auto* to = dx + row * channels;
#pragma GCC ivdep  // `to` is `above` or other memory, never a part of it that is shifted
        for (int64_t c = 0; c < channels; ++c) {
          const float p = load(from[c]), e = masked(p * factor[c] + shift[c], load(above[c]));
          store(factor[c] * e + (constant[c] + slope[c] * p), to + c);
        }
      }
    });
  }

 private:
  bool relu_;
};

template <typename T> class NormAddGrad : public OpKernel {
 public:
  explicit NormAddGrad(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("branches", &branches_));
    OP_REQUIRES(context, branches_ == 1 || branches_ == 2, errors::InvalidArgument("branches must be 1 or 2"));
  }

  void Compute(OpKernelContext* context) override {  // inputs: x, y, scale, mean, inverse, dy of each branch
    OP_REQUIRES_OK(context, check(context, {1, 5}, {2, 3, 4}));
    if (branches_ == 2) OP_REQUIRES_OK(context, check(context, {6}, {}));
    const Pixels pixels(context->input(0));
    const int64_t channels = pixels.channels;
    Tensor *dx_tensor, *dshortcut, *dscale, *doffset;
    // The gradient of the shortcut is dy where y is positive. It may take the memory of a dy.
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &dx_tensor));
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({5}, 1, context->input(0).shape(), &dshortcut));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({channels}), &dscale));
    OP_REQUIRES_OK(context, context->allocate_output(3, TensorShape({channels}), &doffset));
    const auto* x = read<T>(context->input(0));
    const auto* y = read<T>(context->input(1));
    const float* scale = context->input(2).flat<float>().data();
    const float* mean = context->input(3).flat<float>().data();
    const float* inverse = context->input(4).flat<float>().data();
    const auto* dy = read<T>(context->input(5));
    const auto* more = branches_ == 2 ? read<T>(context->input(6)) : nullptr;
    auto* e_out = write<T>(dshortcut);
    Sums sums(pixels);
    pixels.for_blocks(context, [&](int64_t block, int64_t row, int64_t end) {
      const float* __restrict centre = mean;
      float* __restrict sum = sums.first(block);
      float* __restrict products = sums.second(block);
      for (; row < end; ++row) {
        const int64_t at = row * channels;
        const auto* __restrict from = x + at;
        const auto* __restrict output = y + at;
        const auto* above = dy + at;
        auto* to = e_out + at;
        if (more) {
          const auto* __restrict beside = more + at;
#pragma GCC ivdep  // `to` is `above` or other memory, as below
          for (int64_t c = 0; c < channels; ++c) {
            store(where_positive(load(output[c]), load(above[c]) + load(beside[c])), to + c);
            const float e = load(to[c]);  // as the second pass will read it
            sum[c] += e;
            products[c] += e * (load(from[c]) - centre[c]);
          }
        } else {
#pragma GCC ivdep
          for (int64_t c = 0; c < channels; ++c) {
            store(where_positive(load(output[c]), load(above[c])), to + c);
            const float e = load(to[c]);
            sum[c] += e;
            products[c] += e * (load(from[c]) - centre[c]);
          }
        }
      }
    });
    std::vector<float> factor(channels);
    for (int64_t c = 0; c < channels; ++c) factor[c] = scale[c] * inverse[c];
    const Gradient gradient(pixels, sums, factor.data(), mean, inverse, dscale->flat<float>().data(),
                            doffset->flat<float>().data());
    auto* dx = write<T>(dx_tensor);
    pixels.for_blocks(context, [&](int64_t, int64_t row, int64_t end) {
      const float* __restrict k = factor.data();
      const float* __restrict constant = gradient.constant.data();
      const float* __restrict slope = gradient.slope.data();
      for (; row < end; ++row) {
        const auto* __restrict from = x + row * channels;
        const auto* __restrict above = e_out + row * channels;
        auto* __restrict to = dx + row * channels;
        for (int64_t c = 0; c < channels; ++c) store(k[c] * load(above[c]) + (constant[c] + slope[c] * load(from[c])), to + c);
      }
    });
  }

 private:
  int branches_;
};

// ---- registration ------------------------------------------------------------------------------------------------------

absl::Status vectors_like(InferenceContext* context, int vector, int first, int count) {
  for (int i = 0; i < count; ++i) context->set_output(first + i, context->input(vector));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("ResnetNorm")
    .Input("x: T").Input("scale: float").Input("offset: float")
    .Output("y: T").Output("mean: float").Output("variance: float").Output("inverse: float")
    .Attr("T: {bfloat16, float}").Attr("epsilon: float").Attr("relu: bool")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      return vectors_like(context, 1, 1, 3);
    });
REGISTER_OP("ResnetNormGrad")
    .Input("x: T").Input("dy: T").Input("scale: float").Input("offset: float").Input("mean: float").Input("inverse: float")
    .Output("dx: T").Output("dscale: float").Output("doffset: float")
    .Attr("T: {bfloat16, float}").Attr("relu: bool")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      return vectors_like(context, 2, 1, 2);
    });
REGISTER_OP("ResnetNormAdd")
    .Input("x: T").Input("shortcut: T").Input("scale: float").Input("offset: float")
    .Output("y: branches * T").Output("mean: float").Output("variance: float").Output("inverse: float")
    .Attr("T: {bfloat16, float}").Attr("epsilon: float").Attr("branches: int >= 1")
    .SetShapeFn([](InferenceContext* context) {
      const int branches = context->num_outputs() - 3;
      for (int i = 0; i < branches; ++i) context->set_output(i, context->input(0));
      return vectors_like(context, 2, branches, 3);
    });
REGISTER_OP("ResnetNormAddGrad")
    .Input("x: T").Input("y: T").Input("scale: float").Input("mean: float").Input("inverse: float").Input("dy: branches * T")
    .Output("dx: T").Output("dshortcut: T").Output("dscale: float").Output("doffset: float")
    .Attr("T: {bfloat16, float}").Attr("branches: int >= 1")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(0));
      return vectors_like(context, 2, 2, 2);
    });

#define REGISTER_KERNELS(T)                                                                            \
  REGISTER_KERNEL_BUILDER(Name("ResnetNorm").Device(DEVICE_CPU).TypeConstraint<T>("T"), Norm<T>)           \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormGrad<T>)   \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormAdd").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormAdd<T>)     \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormAddGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormAddGrad<T>)

REGISTER_KERNELS(float);
REGISTER_KERNELS(Eigen::bfloat16);
