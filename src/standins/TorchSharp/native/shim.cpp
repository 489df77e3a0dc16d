// A thin C surface over libtorch for the managed stand-in of TorchSharp.
//
// A tensor handle is a TensorImpl* that owns one reference. Operators are called through the boxed dispatcher by
// name, so a new operator needs no new function here. Every function that can fail returns a negative number or a
// null pointer and leaves its message in ts_error().

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/torch.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using at::Tensor;
using Handle = void*;

thread_local std::string last_error;

enum Tag : int32_t {
  kNone = 0,
  kTensor = 1,
  kInt = 2,
  kDouble = 3,
  kBool = 4,
  kIntList = 5,
  kTensorList = 6,
  kOptionalTensorList = 7,
  kString = 8,
  kDevice = 9,
};

// One argument or result. bits holds the value, or the address of `count` values.
struct Arg {
  int32_t tag;
  int32_t count;
  int64_t bits;
};

c10::intrusive_ptr<c10::TensorImpl> share(Handle handle) {
  return c10::intrusive_ptr<c10::TensorImpl>::reclaim_copy(static_cast<c10::TensorImpl*>(handle));
}

Tensor borrow(Handle handle) { return handle == nullptr ? Tensor() : Tensor(share(handle)); }

Handle release(Tensor tensor) { return tensor.defined() ? tensor.unsafeReleaseTensorImpl() : nullptr; }

const Handle* handles(const Arg& arg) { return reinterpret_cast<const Handle*>(arg.bits); }

std::vector<Tensor> borrow_all(const Handle* list, int32_t count) {
  std::vector<Tensor> tensors;
  tensors.reserve(count);
  for (int32_t i = 0; i < count; i++) tensors.push_back(borrow(list[i]));
  return tensors;
}

// Runs body and turns whatever it throws into a message and `failed`.
template <typename Body, typename Result>
Result guarded(Result failed, Body&& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    last_error = error.what_without_backtrace();
  } catch (const std::exception& error) {
    last_error = error.what();
  } catch (...) {
    last_error = "an exception of unknown type";
  }
  return failed;
}

c10::IValue unpack(const Arg& arg) {
  switch (arg.tag) {
    case kNone:
      return c10::IValue();
    case kTensor:
      return borrow(reinterpret_cast<Handle>(arg.bits));
    case kInt:
      return arg.bits;
    case kDouble: {
      double value;
      std::memcpy(&value, &arg.bits, sizeof value);
      return value;
    }
    case kBool:
      return arg.bits != 0;
    case kIntList: {
      const auto* values = reinterpret_cast<const int64_t*>(arg.bits);
      return c10::IValue(at::IntArrayRef(values, arg.count));
    }
    case kTensorList:
      return c10::IValue(borrow_all(handles(arg), arg.count));
    case kOptionalTensorList: {
      c10::List<c10::optional<Tensor>> list;
      for (int32_t i = 0; i < arg.count; i++) {
        Handle handle = handles(arg)[i];
        list.push_back(handle == nullptr ? c10::optional<Tensor>() : c10::optional<Tensor>(borrow(handle)));
      }
      return list;
    }
    case kString:
      return std::string(reinterpret_cast<const char*>(arg.bits), arg.count);
    case kDevice:
      return c10::Device(static_cast<c10::DeviceType>(arg.bits), static_cast<c10::DeviceIndex>(arg.count));
    default:
      TORCH_CHECK(false, "argument of unknown tag ", arg.tag);
  }
}

Arg pack(c10::IValue value) {
  if (value.isTensor()) return {kTensor, 1, reinterpret_cast<int64_t>(release(std::move(value).toTensor()))};
  if (value.isInt()) return {kInt, 1, value.toInt()};
  if (value.isBool()) return {kBool, 1, value.toBool()};
  if (value.isDouble()) {
    Arg arg{kDouble, 1, 0};
    double number = value.toDouble();
    std::memcpy(&arg.bits, &number, sizeof number);
    return arg;
  }
  if (value.isTensorList()) {
    auto list = value.toTensorVector();
    // Freed by the caller with ts_free_list.
    auto* out = static_cast<Handle*>(std::malloc(sizeof(Handle) * (list.size() + 1)));
    for (size_t i = 0; i < list.size(); i++) out[i] = release(std::move(list[i]));
    return {kTensorList, static_cast<int32_t>(list.size()), reinterpret_cast<int64_t>(out)};
  }
  if (value.isNone()) return {kNone, 0, 0};
  TORCH_CHECK(false, "a result of kind ", value.tagKind(), " is not supported");
}

std::vector<Tensor> grads_or_empty(const Handle* grads, int32_t count) {
  return grads == nullptr ? std::vector<Tensor>() : borrow_all(grads, count);
}

// How many threads torch's loops may use; zero while nobody has said. libtorch keeps the number per thread, so every
// thread takes it over at its next call.
std::atomic<int32_t> wanted_threads{0};
thread_local int32_t applied_threads = 0;

void match_threads() {
  int32_t wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted != applied_threads) {
    at::set_num_threads(wanted);
    applied_threads = wanted;
  }
}

// The thread stack of boxed arguments; kept between calls so that a call does not allocate.
thread_local torch::jit::Stack spare_stack;

// The managed side of a custom function: fills grad_inputs (owned handles or null); negative means it threw, and
// the managed side keeps the exception.
using BackwardCallback = int32_t (*)(int64_t id, const Handle* grads, int32_t grad_count, Handle* inputs, int32_t input_count);
using ReleaseCallback = void (*)(int64_t id);

struct ManagedNode final : public torch::autograd::Node {
  int64_t id;
  int32_t inputs;
  bool materialize;
  BackwardCallback run;
  ReleaseCallback forget;
  std::vector<at::TensorOptions> output_options;
  std::vector<std::vector<int64_t>> output_sizes;

  ManagedNode(int64_t id, int32_t inputs, bool materialize, BackwardCallback run, ReleaseCallback forget)
      : id(id), inputs(inputs), materialize(materialize), run(run), forget(forget) {}
  ~ManagedNode() override { forget(id); }

  std::string name() const override { return "ManagedNode"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    std::vector<Handle> given;
    given.reserve(grads.size());
    for (size_t i = 0; i < grads.size(); i++) {
      if (!grads[i].defined() && materialize) grads[i] = at::zeros(output_sizes[i], output_options[i]);
      given.push_back(release(grads[i]));
    }
    std::vector<Handle> results(inputs, nullptr);
    int32_t status = run(id, given.data(), static_cast<int32_t>(given.size()), results.data(), inputs);
    torch::autograd::variable_list out;
    for (Handle handle : results) {
      if (handle == nullptr) {
        out.emplace_back();
      } else {
        out.emplace_back(c10::intrusive_ptr<c10::TensorImpl>::reclaim(static_cast<c10::TensorImpl*>(handle)));
      }
    }
    TORCH_CHECK(status >= 0, "backward of a custom function failed");
    return out;
  }
};

}  // namespace

extern "C" {

const char* ts_error() { return last_error.c_str(); }

const char* ts_version() { return TORCH_VERSION; }

// The operator `name` ("aten::mm") with `overload` ("" or "out"), or null. The handle lives as long as the process.
void* ts_find_operator(const char* name, const char* overload) {
  return guarded<>(static_cast<void*>(nullptr), [&]() -> void* {
    auto found = c10::Dispatcher::singleton().findSchema({name, overload});
    TORCH_CHECK(found.has_value(), "libtorch ", TORCH_VERSION, " has no operator ", name, ".", overload);
    return new c10::OperatorHandle(*found);
  });
}

// Calls op; returns the number of results written to outs.
int32_t ts_call(void* op, const Arg* args, int32_t count, Arg* outs, int32_t capacity) {
  torch::jit::Stack stack = std::move(spare_stack);
  stack.clear();
  int32_t status = guarded<>(int32_t{-1}, [&]() -> int32_t {
    match_threads();
    for (int32_t i = 0; i < count; i++) stack.push_back(unpack(args[i]));
    static_cast<c10::OperatorHandle*>(op)->callBoxed(&stack);
    TORCH_CHECK(static_cast<int32_t>(stack.size()) <= capacity, "the operator has ", stack.size(), " results");
    for (size_t i = 0; i < stack.size(); i++) outs[i] = pack(std::move(stack[i]));
    return static_cast<int32_t>(stack.size());
  });
  stack.clear();
  spare_stack = std::move(stack);
  return status;
}

void ts_free_list(void* list) { std::free(list); }

void ts_dispose(Handle handle) {
  if (handle != nullptr) c10::intrusive_ptr<c10::TensorImpl>::reclaim(static_cast<c10::TensorImpl*>(handle));
}

// A second handle to the same tensor.
Handle ts_share(Handle handle) { return share(handle).release(); }

void* ts_data(Handle handle) {
  return guarded<>(static_cast<void*>(nullptr), [&] { return borrow(handle).data_ptr(); });
}

int64_t ts_dim(Handle handle) { return static_cast<c10::TensorImpl*>(handle)->dim(); }

void ts_sizes(Handle handle, int64_t* sizes) {
  auto from = static_cast<c10::TensorImpl*>(handle)->sizes();
  std::copy(from.begin(), from.end(), sizes);
}

void ts_strides(Handle handle, int64_t* strides) {
  auto from = static_cast<c10::TensorImpl*>(handle)->strides();
  std::copy(from.begin(), from.end(), strides);
}

int64_t ts_numel(Handle handle) { return static_cast<c10::TensorImpl*>(handle)->numel(); }

int32_t ts_dtype(Handle handle) {
  return static_cast<int32_t>(c10::typeMetaToScalarType(static_cast<c10::TensorImpl*>(handle)->dtype()));
}

int32_t ts_device(Handle handle, int32_t* index) {
  auto device = static_cast<c10::TensorImpl*>(handle)->device();
  *index = device.index();
  return static_cast<int32_t>(device.type());
}

int32_t ts_is_contiguous(Handle handle) { return static_cast<c10::TensorImpl*>(handle)->is_contiguous() ? 1 : 0; }

int32_t ts_is_leaf(Handle handle) { return borrow(handle).is_leaf() ? 1 : 0; }

int32_t ts_requires_grad(Handle handle) { return borrow(handle).requires_grad() ? 1 : 0; }

int32_t ts_set_requires_grad(Handle handle, int32_t value) {
  return guarded<>(-1, [&] {
    auto tensor = borrow(handle);
    // A tensor computed by the graph always asks for gradients: libtorch refuses to change it, with the reason.
    tensor.requires_grad_(value != 0);
    return 0;
  });
}

Handle ts_grad(Handle handle) { return release(borrow(handle).grad()); }

int32_t ts_set_grad(Handle handle, Handle grad) {
  return guarded<>(-1, [&] {
    borrow(handle).mutable_grad() = borrow(grad);
    return 0;
  });
}

int32_t ts_retain_grad(Handle handle) {
  return guarded<>(-1, [&] {
    borrow(handle).retain_grad();
    return 0;
  });
}

int32_t ts_backward(const Handle* roots, int32_t count, const Handle* grads, int32_t grad_count, int32_t retain, int32_t create,
                    const Handle* inputs, int32_t input_count) {
  return guarded<>(-1, [&] {
    match_threads();
    torch::autograd::backward(borrow_all(roots, count), grads_or_empty(grads, grad_count), retain != 0, create != 0,
                              grads_or_empty(inputs, input_count));
    return 0;
  });
}

// Gradients of the inputs; an unused input's is null where allow_unused is set.
int32_t ts_gradients(const Handle* outputs, int32_t count, const Handle* inputs, int32_t input_count, const Handle* grads,
                     int32_t grad_count, int32_t retain, int32_t create, int32_t allow_unused, Handle* results) {
  return guarded<>(-1, [&] {
    match_threads();
    auto found = torch::autograd::grad(borrow_all(outputs, count), borrow_all(inputs, input_count),
                                       grads_or_empty(grads, grad_count), retain != 0, create != 0, allow_unused != 0);
    for (size_t i = 0; i < found.size(); i++) results[i] = release(std::move(found[i]));
    return 0;
  });
}

// Connects outputs, computed without recording, to inputs through a node whose backward is managed.
int32_t ts_connect(const Handle* inputs, int32_t input_count, const Handle* outputs, int32_t output_count, int64_t id,
                   int32_t materialize, BackwardCallback run, ReleaseCallback forget) {
  bool made = false;
  int32_t status = guarded<>(-1, [&] {
    auto given = borrow_all(inputs, input_count);
    auto node = std::shared_ptr<ManagedNode>(
        new ManagedNode(id, input_count, materialize != 0, run, forget), torch::autograd::deleteNode);
    made = true;
    torch::autograd::edge_list edges;
    for (auto& tensor : given) {
      edges.push_back(tensor.defined() ? torch::autograd::impl::gradient_edge(tensor) : torch::autograd::Edge());
    }
    node->set_next_edges(std::move(edges));
    for (int32_t i = 0; i < output_count; i++) {
      auto output = borrow(outputs[i]);
      node->output_sizes.push_back(output.sizes().vec());
      node->output_options.push_back(output.options());
      torch::autograd::set_history(output, node);
    }
    return 0;
  });
  if (!made) forget(id);
  return status;
}

int32_t ts_grad_enabled() { return c10::GradMode::is_enabled() ? 1 : 0; }

void ts_set_grad_enabled(int32_t value) { c10::GradMode::set_enabled(value != 0); }

int32_t ts_inference_enabled() { return c10::InferenceMode::is_enabled() ? 1 : 0; }

void* ts_enter_inference(int32_t value) { return new c10::InferenceMode(value != 0); }

void ts_leave_inference(void* guard) { delete static_cast<c10::InferenceMode*>(guard); }

void ts_manual_seed(uint64_t seed) { at::manual_seed(seed); }

int32_t ts_get_num_threads() {
  return guarded<>(-1, [&] {
    match_threads();
    return at::get_num_threads();
  });
}

// torch's own loops on every thread, and BLAS of the whole process.
int32_t ts_set_num_threads(int32_t count) {
  return guarded<>(-1, [&] {
    TORCH_CHECK(count > 0, "Expected positive number of threads, got ", count);
    wanted_threads.store(count);
    match_threads();
    using SetThreads = void (*)(int);
    static const auto set_blas = [] {
      // Libraries that libtorch has brought along only; which of them carries OpenBLAS depends on the system.
      for (const char* name : {"libblas.so.3", "libopenblas.so.0"}) {
        if (void* library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)) {
          if (void* symbol = dlsym(library, "openblas_set_num_threads")) return reinterpret_cast<SetThreads>(symbol);
        }
      }
      return reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
    }();
    if (set_blas != nullptr) set_blas(count);
    return 0;
  });
}

}  // extern "C"
