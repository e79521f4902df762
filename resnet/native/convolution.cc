// The operation ResnetWeightGradient, for TensorFlow on processors: `weight_gradient.h` says what it computes. It is left out
// where the compiler's target does not multiply bfloat16.

#include "weight_gradient.h"

#if defined(RESNET_NATIVE_MULTIPLIES_BFLOAT16)

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace {

using namespace tensorflow;  // NOLINT: the registration macros expect it

const uint16_t* bits(const Tensor& tensor) { return reinterpret_cast<const uint16_t*>(tensor.flat<Eigen::bfloat16>().data()); }

template <typename T> class WeightGradientOp : public OpKernel {
 public:
  explicit WeightGradientOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("kernel_size", &kernel_size_));
    OP_REQUIRES_OK(context, context->GetAttr("stride", &stride_));
    OP_REQUIRES_OK(context, context->GetAttr("padding", &padding_));
    OP_REQUIRES(context, kernel_size_.size() == 2 && padding_.size() == 2 && stride_ >= 1,
                errors::InvalidArgument("kernel_size and padding have two numbers, and stride is positive"));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &images = context->input(0), &above = context->input(1);
    OP_REQUIRES(context, images.dims() == 4 && above.dims() == 4 && images.dim_size(0) == above.dim_size(0),
                errors::InvalidArgument("images and above must be two batches of one size. Received: ",
                                        images.shape().DebugString(), " and ", above.shape().DebugString()));
    const resnet::Convolution convolution{
        images.dim_size(0), images.dim_size(1), images.dim_size(2), images.dim_size(3), above.dim_size(1), above.dim_size(2),
        above.dim_size(3),  kernel_size_[0],    kernel_size_[1],    stride_,            padding_[0],       padding_[1]};
    OP_REQUIRES(context, resnet::Convolution::supported(convolution.in, convolution.out),
                errors::InvalidArgument("input channels must be a multiple of 16, output channels of 32. Received: ",
                                        convolution.in, " and ", convolution.out));
    Tensor* gradient;
    const TensorShape shape({kernel_size_[0], kernel_size_[1], convolution.in, convolution.out});
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &gradient));
    resnet::WeightGradient work(convolution);
    const auto& threads = *context->device()->tensorflow_cpu_worker_threads();
    Shard(threads.num_threads, threads.workers, work.blocks(), work.cost(), [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) work.compute(block, bits(images), bits(above));
    });
    using Number = std::conditional_t<std::is_same_v<T, float>, float, uint16_t>;
    auto* to = reinterpret_cast<Number*>(gradient->flat<T>().data());
    Shard(threads.num_threads, threads.workers, work.ranges(), 1 << 20, [&](int64_t begin, int64_t end) {
      for (int64_t range = begin; range < end; ++range) work.finish(range, to);
    });
  }

 private:
  std::vector<int32_t> kernel_size_, padding_;
  int32_t stride_;
};

}  // namespace

REGISTER_OP("ResnetWeightGradient")
    .Input("images: bfloat16").Input("above: bfloat16")
    .Output("gradient: T")
    .Attr("T: {bfloat16, float}")
    .Attr("kernel_size: list(int) = [3, 3]").Attr("stride: int").Attr("padding: list(int)")
    .SetShapeFn([](shape_inference::InferenceContext* context) {
      std::vector<int32_t> size;
      TF_RETURN_IF_ERROR(context->GetAttr("kernel_size", &size));
      context->set_output(0, context->MakeShape({context->MakeDim(size[0]), context->MakeDim(size[1]),
                                                 context->Dim(context->input(0), 3), context->Dim(context->input(1), 3)}));
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(Name("ResnetWeightGradient").Device(DEVICE_CPU).TypeConstraint<float>("T"), WeightGradientOp<float>);
REGISTER_KERNEL_BUILDER(Name("ResnetWeightGradient").Device(DEVICE_CPU).TypeConstraint<Eigen::bfloat16>("T"),
                        WeightGradientOp<Eigen::bfloat16>);

#endif  // RESNET_NATIVE_MULTIPLIES_BFLOAT16
