// Operations for TensorFlow on processors, made of the arithmetic in `kernels.h` and `update.h`.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"
#include "update.h"

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

// ---- update ------------------------------------------------------------------------------------------------------------

constexpr int64_t kUpdateNumbers = 32 * 1024;  // of a variable that a thread updates at a time

// Gives a variable memory that nothing else reads, as TensorFlow's own updates do. The variable must be locked.
absl::Status own(OpKernelContext* context, Var* variable) {
  Tensor* tensor = variable->tensor();
  if (!variable->copy_on_read_mode.load() && tensor->RefCountIsOne()) return absl::OkStatus();
  Tensor own;
  TF_RETURN_IF_ERROR(context->allocate_temp(tensor->dtype(), tensor->shape(), &own));
  std::memcpy(own.data(), tensor->data(), tensor->TotalBytes());
  *tensor = own;
  return absl::OkStatus();
}

// The variables of an operation, found, locked and owned until its end.
class Locked {
 public:
  absl::Status lock(OpKernelContext* context, const OpInputList& handles, DataType type) {
    for (int i = 0; i < handles.size(); ++i) {
      core::RefCountPtr<Var> variable;
      TF_RETURN_IF_ERROR(LookupResource(context, handles[i].flat<ResourceHandle>()(0), &variable));
      variables_.push_back(std::move(variable));
      types_.push_back(type);
    }
    return absl::OkStatus();
  }

  absl::Status lock(OpKernelContext* context) {
    std::vector<mutex*> mutexes;
    for (const auto& variable : variables_) mutexes.push_back(variable->mu());
    std::sort(mutexes.begin(), mutexes.end());  // in the order that all of TensorFlow keeps, against deadlocks
    if (std::adjacent_find(mutexes.begin(), mutexes.end()) != mutexes.end()) {
      return errors::InvalidArgument("each variable must be given once");
    }
    locks_.reserve(mutexes.size());
    for (mutex* one : mutexes) locks_.push_back(std::make_unique<mutex_lock>(*one));
    for (size_t i = 0; i < variables_.size(); ++i) {
      const Tensor& tensor = *variables_[i]->tensor();
      if (!tensor.IsInitialized() || tensor.dtype() != types_[i]) {
        return errors::FailedPrecondition("variable ", i, " must be initialised and ", DataTypeString(types_[i]));
      }
      TF_RETURN_IF_ERROR(own(context, variables_[i].get()));
    }
    return absl::OkStatus();
  }

  Tensor* operator[](int64_t i) const { return variables_[i]->tensor(); }

 private:
  std::vector<core::RefCountPtr<Var>> variables_;
  std::vector<DataType> types_;
  std::vector<std::unique_ptr<mutex_lock>> locks_;  // released first
};

template <typename S> bool all_finite(const S* numbers, int64_t count) {  // none, and so all of them, if it is null
  return !numbers || std::all_of(numbers, numbers + count, [](S number) { return std::isfinite(resnet::load(number)); });
}

// Updates all variables of an optimizer by one of the rules of `update.h`.
template <typename Rule> class Update : public OpKernel {
 public:
  explicit Update(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("decayed", &decayed_));
    OP_REQUIRES_OK(context, context->GetAttr("copy", &copy_));
    OP_REQUIRES_OK(context, context->GetAttr("l2", &l2_));
    OP_REQUIRES_OK(context, context->GetAttr("decay", &decay_));
  }

  void Compute(OpKernelContext* context) override {
    Rule rule;
    OP_REQUIRES_OK(context, find(context, &rule));
    OpInputList handles, slots, copies, gradients;
    OP_REQUIRES_OK(context, context->input_list("variables", &handles));
    OP_REQUIRES_OK(context, context->input_list("slots", &slots));
    OP_REQUIRES_OK(context, context->input_list("copies", &copies));
    OP_REQUIRES_OK(context, context->input_list("gradients", &gradients));
    const int64_t count = handles.size();
    const auto is_copy = [&](int index) { return -1 <= index && index < copies.size(); };
    OP_REQUIRES(context,
                gradients.size() == count && slots.size() % count == 0 && slots.size() >= slots_of(rule) * count &&
                    static_cast<int64_t>(decayed_.size()) == count && static_cast<int64_t>(copy_.size()) == count &&
                    std::all_of(copy_.begin(), copy_.end(), is_copy),
                errors::InvalidArgument("the lists do not belong together: ", count, " variables, ", slots.size(), " slots, ",
                                        gradients.size(), " gradients"));
    Locked locked;
    OP_REQUIRES_OK(context, locked.lock(context, handles, DT_FLOAT));
    OP_REQUIRES_OK(context, locked.lock(context, slots, DT_FLOAT));
    OP_REQUIRES_OK(context, locked.lock(context, copies, DT_BFLOAT16));
    OP_REQUIRES_OK(context, locked.lock(context));

    bool finite = true;
    std::vector<resnet::Part> parts;
    for (int64_t i = 0; i < count; ++i) {
      const Tensor& gradient = gradients[i];
      Tensor* const weight = locked[i];
      resnet::Part whole{};
      whole.count = weight->NumElements();
      whole.weight = vector(weight);
      if (gradient.dtype() == DT_FLOAT) whole.gradient = vector(gradient);
      if (gradient.dtype() == DT_BFLOAT16) whole.gradient_bits = read<Eigen::bfloat16>(gradient);
      std::vector<const Tensor*> alike{&gradient};
      for (int64_t slot = 0; slot * count < slots.size(); ++slot) {
        Tensor* const moment = locked[count * (slot + 1) + i];
        (slot ? whole.second : whole.first) = vector(moment);
        alike.push_back(moment);
      }
      if (copy_[i] >= 0) {
        Tensor* const copy = locked[count + slots.size() + copy_[i]];
        whole.copy = write<Eigen::bfloat16>(copy);
        whole.before = whole.copy;
        alike.push_back(copy);
      }
      for (const Tensor* one : alike) {
        OP_REQUIRES(context, one->shape() == weight->shape(),
                    errors::InvalidArgument("gradient, slots and copy of variable ", i, " must have its shape. Received: ",
                                            one->shape().DebugString(), " and ", weight->shape().DebugString()));
      }
      if (weight->dims() == 1) {
        finite &= all_finite(whole.weight, whole.count) && all_finite(whole.gradient, whole.count) &&
                  all_finite(whole.gradient_bits, whole.count);
      }
      if (decayed_[i]) whole.l2 = l2_, whole.decay = decay_;
      cut(whole, &parts);
    }
    std::atomic<bool> fresh{true};
    const Share share(context);
    share(parts.size(), kUpdateNumbers * 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (!resnet::update(rule, parts[i])) fresh = false;
      }
    });
    if (!fresh) {
      // The update has made all copies fresh. A wrong number in each makes later steps fail too, until they are made again.
      for (const resnet::Part& part : parts) {
        if (part.copy && part.count) part.copy[0] ^= 1;
      }
    }
    OP_REQUIRES(context, fresh, errors::FailedPrecondition("a bfloat16 copy was not that of its variable, which was assigned"));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &output));
    output->scalar<bool>()() = finite;
  }

 private:
  static int64_t slots_of(const resnet::Adam&) { return 2; }
  static int64_t slots_of(const resnet::Sgd& rule) { return rule.momentum == 0 ? 0 : 1; }

  // The rule of this step, from the inputs that are numbers.
  static absl::Status number(OpKernelContext* context, const char* name, float* to) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context->input(name, &tensor));
    if (tensor->NumElements() != 1) return errors::InvalidArgument(name, " must be one number");
    *to = vector(*tensor)[0];
    return absl::OkStatus();
  }
  static absl::Status find(OpKernelContext* context, resnet::Adam* rule) {
    float beta1, beta2, power1, power2;
    TF_RETURN_IF_ERROR(number(context, "rate", &rule->rate));
    TF_RETURN_IF_ERROR(number(context, "beta1", &beta1));
    TF_RETURN_IF_ERROR(number(context, "beta2", &beta2));
    TF_RETURN_IF_ERROR(number(context, "beta1_power", &power1));
    TF_RETURN_IF_ERROR(number(context, "beta2_power", &power2));
    TF_RETURN_IF_ERROR(number(context, "epsilon", &rule->epsilon));
    resnet::set(rule, beta1, beta2, power1, power2);
    return absl::OkStatus();
  }
  static absl::Status find(OpKernelContext* context, resnet::Sgd* rule) {
    TF_RETURN_IF_ERROR(number(context, "rate", &rule->rate));
    return number(context, "momentum", &rule->momentum);
  }

  static void cut(const resnet::Part& whole, std::vector<resnet::Part>* parts) {
    for (int64_t start = 0; start < whole.count; start += kUpdateNumbers) {
      parts->push_back(whole.part(start, std::min(kUpdateNumbers, whole.count - start)));
    }
  }

  std::vector<bool> decayed_;
  std::vector<int> copy_;
  float l2_, decay_;
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

// slots: for Adam the momenta of all variables, then their means of squares; for SGD the momenta, if there are any.
// copy: for each variable the index of its bfloat16 copy, or -1. decayed: whether the terms of `l2` and `decay` apply to it.
// finite: whether all numbers of one-dimensional variables, before the update, and of their gradients are finite.
#define UPDATE(name)                                                                                                   \
  REGISTER_OP(name)                                                                                                    \
      .Input("variables: N * resource").Input("slots: S * resource").Input("copies: C * resource").Input("gradients: T") \
      .Attr("N: int >= 1").Attr("S: int >= 0").Attr("C: int >= 0").Attr("T: list({float, bfloat16}) >= 1")                 \
      .Attr("decayed: list(bool)").Attr("copy: list(int)").Attr("l2: float").Attr("decay: float")                          \
      .Output("finite: bool").SetIsStateful().SetShapeFn(shape_inference::ScalarShape)                                      \
      .Input("rate: float")
UPDATE("ResnetAdam")
    .Input("beta1: float").Input("beta2: float").Input("beta1_power: float").Input("beta2_power: float")
    .Input("epsilon: float");
UPDATE("ResnetSgd").Input("momentum: float");
REGISTER_KERNEL_BUILDER(Name("ResnetAdam").Device(DEVICE_CPU), Update<resnet::Adam>)
REGISTER_KERNEL_BUILDER(Name("ResnetSgd").Device(DEVICE_CPU), Update<resnet::Sgd>)

#define REGISTER_KERNELS(T)                                                                            \
  REGISTER_KERNEL_BUILDER(Name("ResnetNorm").Device(DEVICE_CPU).TypeConstraint<T>("T"), Norm<T>)           \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormGrad<T>)   \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormAdd").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormAdd<T>)     \
  REGISTER_KERNEL_BUILDER(Name("ResnetNormAddGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), NormAddGrad<T>)

REGISTER_KERNELS(float);
REGISTER_KERNELS(Eigen::bfloat16);
