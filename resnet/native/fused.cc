// Operations for TensorFlow on processors, made of the arithmetic in `kernels.h`.

#include <vector>

#include "kernels.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace {

using namespace tensorflow;  // NOLINT: the registration macros expect it
using shape_inference::InferenceContext;

// ---- tensors as the arithmetic sees them -------------------------------------------------------------------------------

template <typename T> struct Stored { using type = float; };
template <> struct Stored<Eigen::bfloat16> { using type = uint16_t; };

template <typename T> const typename Stored<T>::type* read(const Tensor& tensor) {
  return reinterpret_cast<const typename Stored<T>::type*>(tensor.flat<T>().data());
}
template <typename T> typename Stored<T>::type* write(Tensor* tensor) {
  return reinterpret_cast<typename Stored<T>::type*>(tensor->flat<T>().data());
}
const float* vector(const Tensor& tensor) { return tensor.flat<float>().data(); }
float* vector(Tensor* tensor) { return tensor->flat<float>().data(); }

resnet::Pixels pixels_of(const Tensor& images) {
  return resnet::Pixels(images.NumElements() / images.dim_size(3), images.dim_size(3));
}

// Divides blocks among the threads of the device.
class Share {
 public:
  explicit Share(OpKernelContext* context) : threads_(*context->device()->tensorflow_cpu_worker_threads()) {}
  template <typename Work> void operator()(int64_t blocks, int64_t cost, const Work& work) const {
    Shard(threads_.num_threads, threads_.workers, blocks, cost, work);
  }

 private:
  const DeviceBase::CpuWorkerThreads& threads_;
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

// Computes the outputs mean, variance and inverse, of which mean is output `first_output`; `line` is then the normalisation by
// them, with the scale of input `scale` and the offset of the input after it.
template <typename T>
absl::Status normalisation(OpKernelContext* context, const resnet::Pixels& pixels, float epsilon, int first_output, int scale,
                           resnet::Line* line) {
  const TensorShape shape({pixels.channels});
  Tensor* outputs[3];
  for (int i = 0; i < 3; ++i) TF_RETURN_IF_ERROR(context->allocate_output(first_output + i, shape, &outputs[i]));
  float *mean = vector(outputs[0]), *variance = vector(outputs[1]), *inverse = vector(outputs[2]);
  resnet::statistics(Share(context), pixels, read<T>(context->input(0)), epsilon, mean, variance, inverse);
  *line = resnet::Line(pixels.channels, vector(context->input(scale)), vector(context->input(scale + 1)), mean, inverse);
  return absl::OkStatus();
}

// ---- normalisation -----------------------------------------------------------------------------------------------------

template <typename T> class Norm : public OpKernel {
 public:
  explicit Norm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {  // inputs: x, scale, offset
    OP_REQUIRES_OK(context, check(context, {}, {1, 2}));
    const Tensor& x = context->input(0);
    const resnet::Pixels pixels = pixels_of(x);
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    resnet::Line line;
    OP_REQUIRES_OK(context, normalisation<T>(context, pixels, epsilon_, 1, 1, &line));
    resnet::norm(Share(context), pixels, read<T>(x), line, relu_, write<T>(y));
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

  void Compute(OpKernelContext* context) override {  // inputs: x, shortcut, scale, offset
    OP_REQUIRES_OK(context, check(context, {1}, {2, 3}));
    const Tensor& x = context->input(0);
    const resnet::Pixels pixels = pixels_of(x);
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    resnet::Line line;
    OP_REQUIRES_OK(context, normalisation<T>(context, pixels, epsilon_, branches_, 2, &line));
    resnet::norm_add(Share(context), pixels, read<T>(x), read<T>(context->input(1)), line, write<T>(y));
    for (int i = 1; i < branches_; ++i) context->set_output(i, *y);  // the same memory
  }

 private:
  float epsilon_;
  int branches_;
};

template <typename T> class NormGrad : public OpKernel {
 public:
  explicit NormGrad(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {  // inputs: x, dy, scale, offset, mean, inverse
    OP_REQUIRES_OK(context, check(context, {1}, {2, 3, 4, 5}));
    const Tensor& x = context->input(0);
    const resnet::Pixels pixels = pixels_of(x);
    const TensorShape shape({pixels.channels});
    Tensor *dx, *dscale, *doffset;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1}, 0, x.shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &dscale));
    OP_REQUIRES_OK(context, context->allocate_output(2, shape, &doffset));
    resnet::norm_gradient(Share(context), pixels, read<T>(x), read<T>(context->input(1)), vector(context->input(2)),
                          vector(context->input(3)), vector(context->input(4)), vector(context->input(5)), relu_,
                          write<T>(dx), vector(dscale), vector(doffset));
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
    const Tensor& x = context->input(0);
    const resnet::Pixels pixels = pixels_of(x);
    const TensorShape shape({pixels.channels});
    Tensor *dx, *dshortcut, *dscale, *doffset;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({5}, 1, x.shape(), &dshortcut));
    OP_REQUIRES_OK(context, context->allocate_output(2, shape, &dscale));
    OP_REQUIRES_OK(context, context->allocate_output(3, shape, &doffset));
    const auto* more = branches_ == 2 ? read<T>(context->input(6)) : nullptr;
    resnet::norm_add_gradient(Share(context), pixels, read<T>(x), read<T>(context->input(1)), vector(context->input(2)),
                              vector(context->input(3)), vector(context->input(4)), read<T>(context->input(5)), more,
                              write<T>(dx), write<T>(dshortcut), vector(dscale), vector(doffset));
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
