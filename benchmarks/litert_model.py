"""A network as LiteRT takes it, written layer by layer from its ONNX graph.

LiteRT's own converters take another torch, or TensorFlow. What they make of these networks is known
and short: signals lie as (1, 1, length, channels), a ReLU goes into the layer before it, padding
that theirs does not mean is an operation of its own, and int8 is weights with one scale for each
channel of the output, beside activations that are quantised on the way.
"""

from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

BUILTIN = schema.BuiltinOperator
RELU = schema.ActivationFunctionType.RELU
RELU6 = schema.ActivationFunctionType.RELU6


def litert_model(program: onnx.ModelProto, *, int8: bool) -> bytes:
    """The content of a .tflite file.

    Parameters
    ----------
    program : one input of shape (1, channels, length), one output of shape (1, classes)
    int8 : weights of 1,024 numbers and more in a byte each, as their converters do by default

    Raises
    ------
    NotImplementedError
        Names an operation that is not written here.
    """
    return Writer(program, int8=int8).content()


class Writer:
    def __init__(self, program: onnx.ModelProto, *, int8: bool) -> None:
        self.graph = onnx.shape_inference.infer_shapes(program).graph
        self.int8 = int8
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.number: dict[str, int] = {}  # of the tensor that holds an ONNX value
        self.constants = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in self.graph.initializer
        }
        values = (*self.graph.value_info, *self.graph.input, *self.graph.output)
        self.shapes = {
            value.name: [part.dim_value for part in value.type.tensor_type.shape.dim]
            for value in values
        }
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def content(self) -> bytes:
        (given,), (wanted,) = self.graph.input, self.graph.output
        self.number[given.name] = self.tensor(self.turned(given.name))
        for node in self.graph.node:
            if node.output[0] in self.number:  # an activation that its layer has taken in
                continue
            if (write := getattr(self, node.op_type.lower(), None)) is None:
                raise NotImplementedError(f"{node.op_type} is not written for it here")
            write(node)
        part = schema.SubGraphT()
        part.tensors, part.operators = self.tensors, self.operators
        part.inputs, part.outputs = [self.number[given.name]], [self.number[wanted.name]]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [part], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = 1
            if code in (BUILTIN.CONV_2D, BUILTIN.DEPTHWISE_CONV_2D, BUILTIN.FULLY_CONNECTED):
                entry.version = 7 if self.int8 else 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # Tensors

    def tensor(
        self, shape: list[int], values: np.ndarray | None = None, scales: np.ndarray | None = None
    ) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self.tensors)}"
        tensor.shape = shape
        tensor.type = schema.TensorType.FLOAT32
        tensor.buffer = 0
        if values is not None:
            tensor.type = {
                "float32": schema.TensorType.FLOAT32,
                "int32": schema.TensorType.INT32,
                "int8": schema.TensorType.INT8,
            }[str(values.dtype)]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(scale) for scale in scales]
            tensor.quantization.zeroPoint = [0] * len(scales)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values: np.ndarray) -> int:
        return self.tensor(list(values.shape), np.ascontiguousarray(values))

    def weight(self, values: np.ndarray, outputs: int) -> int:
        """`values`, in a byte each where that is wanted; `outputs` is the axis with the scales."""
        if not self.int8 or values.size < 1024:
            return self.constant(values)
        others = tuple(axis for axis in range(values.ndim) if axis != outputs)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = np.where(largest == 0, 1, largest) / 127
        rounded = np.rint(values / scale).astype(np.int8)
        number = self.tensor(list(values.shape), rounded, scale.ravel())
        self.tensors[number].quantization.quantizedDimension = outputs
        return number

    def turned(self, name: str) -> list[int]:
        """The shape of an ONNX value as it lies here."""
        shape = self.shapes[name]
        return [1, 1, shape[2], shape[1]] if len(shape) == 3 else shape

    def read(self, name: str) -> int:
        if name not in self.number:
            self.number[name] = self.constant(self.constants[name].astype(np.float32))
        return self.number[name]

    # Operations

    def operation(self, code: int, inputs: list[int], shape: list[int], options: Any = None) -> int:
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, [self.tensor(shape)]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.operators.append(operator)
        return int(operator.outputs[0])

    def write(self, node: Any, code: int, inputs: list[int], options: Any = None) -> None:
        """One operation for one node."""
        (name,) = node.output
        self.number[name] = self.operation(code, inputs, self.turned(name), options)

    def layer(self, node: Any, code: int, inputs: list[int], options: Any) -> None:
        """The same, with its ReLU inside, where nothing else reads the layer."""
        (name,) = node.output
        readers = self.readers.get(name, [])
        fused = None if len(readers) != 1 else self.activation(readers[0])
        if fused is not None:
            options.fusedActivationFunction = fused
        self.write(node, code, inputs, options)
        if fused is not None:
            self.number[readers[0].output[0]] = self.number[name]

    def activation(self, node: Any) -> int | None:
        if node.op_type == "Relu":
            return int(RELU)
        if node.op_type == "Clip" and [float(self.constants[n]) for n in node.input[1:]] == [0, 6]:
            return int(RELU6)
        return None

    def conv(self, node: Any) -> None:
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        weight = self.constants[node.input[1]].astype(np.float32)
        out, _, kernel = weight.shape
        depthwise = settings["group"] == out and settings["group"] > 1
        if settings["group"] != 1 and not depthwise:
            raise NotImplementedError("a grouped convolution is not written for it here")
        source, shape = self.read(node.input[0]), self.turned(node.input[0])
        (stride,), (dilation,) = settings["strides"], settings["dilations"]
        before, after = settings["pads"]
        padding = schema.Padding.VALID
        if stride == 1 and before == after == dilation * (kernel - 1) // 2 and kernel % 2:
            padding = schema.Padding.SAME
        elif before or after:
            pads = np.array([[0, 0], [0, 0], [before, after], [0, 0]], np.int32)
            shape = [1, 1, shape[2] + before + after, shape[3]]
            padded = [source, self.constant(pads)]
            source = self.operation(BUILTIN.PAD, padded, shape, schema.PadOptionsT())
        if depthwise:
            options = schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = 1
            code = BUILTIN.DEPTHWISE_CONV_2D
            stored = self.weight(weight.transpose(1, 2, 0)[:, None].reshape(1, 1, kernel, out), 3)
        else:
            options = schema.Conv2DOptionsT()
            code = BUILTIN.CONV_2D
            stored = self.weight(weight.transpose(0, 2, 1)[:, None], 0)
        options.padding = padding
        options.strideW, options.strideH = stride, 1
        options.dilationWFactor, options.dilationHFactor = dilation, 1
        bias = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(out)
        inputs = [source, stored, self.constant(bias.astype(np.float32))]
        self.layer(node, code, inputs, options)

    def gemm(self, node: Any) -> None:
        weight = self.constants[node.input[1]].astype(np.float32)
        inputs = [
            self.read(node.input[0]),
            self.weight(weight, 0),
            self.constant(self.constants[node.input[2]].astype(np.float32)),
        ]
        self.layer(node, BUILTIN.FULLY_CONNECTED, inputs, schema.FullyConnectedOptionsT())

    def add(self, node: Any) -> None:
        inputs = [self.read(name) for name in node.input]
        self.layer(node, BUILTIN.ADD, inputs, schema.AddOptionsT())

    def div(self, node: Any) -> None:
        inverse = self.constant(1 / self.constants[node.input[1]].astype(np.float32))
        self.write(node, BUILTIN.MUL, [self.read(node.input[0]), inverse], schema.MulOptionsT())

    def mul(self, node: Any) -> None:
        inputs = [self.read(name) for name in node.input]
        self.write(node, BUILTIN.MUL, inputs, schema.MulOptionsT())

    def relu(self, node: Any) -> None:
        self.write(node, BUILTIN.RELU, [self.read(node.input[0])])

    def hardswish(self, node: Any) -> None:
        inputs = [self.read(node.input[0])]
        self.write(node, BUILTIN.HARD_SWISH, inputs, schema.HardSwishOptionsT())

    def reducemean(self, node: Any) -> None:
        axes = self.constant(np.array([1, 2], np.int32))
        inputs = [self.read(node.input[0]), axes]
        self.write(node, BUILTIN.MEAN, inputs, schema.ReducerOptionsT())

    def unsqueeze(self, node: Any) -> None:
        shape = self.constant(np.array(self.turned(node.output[0]), np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = self.turned(node.output[0])
        self.write(node, BUILTIN.RESHAPE, [self.read(node.input[0]), shape], options)

    squeeze = unsqueeze
