//! Looks at an ONNX file before the runtime does: which operators it uses, what it takes and what it gives.
//!
//! The runtime reports an operator that it lacks only as text. Here the list of operators is ours: it makes both the
//! runtime's registry and the check, so the two cannot differ and an error names the operator.

use rten::OpRegistry;
use rten_onnx::onnx::{DataType, GraphProto, ModelProto, ValueInfoProto};

use super::error::Fault;

macro_rules! operators {
    ($($op:ident),* $(,)?) => {
        const OPERATORS: &[&str] = &[$(stringify!($op)),*];

        /// A registry with exactly the operators that [`Shape::of`] lets pass.
        pub(super) fn registry() -> OpRegistry {
            rten::op_registry!($($op),*)
        }
    };
}

// Deterministic operators on dense tensors: what exports of linear models, MLPs and small recurrent or convolutional
// networks use. Control flow, sequences, random numbers and image operators have no place here.
operators!(
    Abs,
    Add,
    And,
    ArgMax,
    ArgMin,
    AveragePool,
    BatchNormalization,
    Cast,
    CastLike,
    Ceil,
    Clip,
    Concat,
    Conv,
    ConstantOfShape,
    Cos,
    CumSum,
    Div,
    Einsum,
    Elu,
    Equal,
    Erf,
    Exp,
    Expand,
    Flatten,
    Floor,
    Gather,
    Gelu,
    Gemm,
    GlobalAveragePool,
    Greater,
    GreaterOrEqual,
    GRU,
    HardSigmoid,
    HardSwish,
    Identity,
    IsInf,
    IsNaN,
    LayerNormalization,
    LeakyRelu,
    Less,
    LessOrEqual,
    Log,
    LogSoftmax,
    LSTM,
    MatMul,
    Max,
    MaxPool,
    Mean,
    Min,
    Mod,
    Mul,
    Neg,
    Not,
    OneHot,
    Or,
    Pad,
    Pow,
    PRelu,
    Range,
    Reciprocal,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
    Relu,
    Reshape,
    Round,
    Shape,
    Sigmoid,
    Sign,
    Sin,
    Size,
    Slice,
    Softmax,
    Softplus,
    Softsign,
    Split,
    Sqrt,
    Squeeze,
    Sub,
    Sum,
    Tan,
    Tanh,
    Tile,
    Transpose,
    Unsqueeze,
    Where,
    Xor,
);

/// A part of the file format, not of the registry: the loader makes it a weight.
const CONSTANT: &str = "Constant";

/// The only operator domain, by its two names.
const CORE_DOMAINS: [&str; 2] = ["", "ai.onnx"];

/// What a model takes and gives, as its file declares it.
pub(super) struct Shape {
    /// Columns of the input when declared as a number.
    pub(super) width: Option<i64>,
    /// Name of the input.
    pub(super) input: String,
    /// Name of the output.
    pub(super) output: String,
}

impl Shape {
    /// Reads it from the bytes of a model file, and refuses what the node cannot run.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let model = ModelProto::parse_buf(bytes).map_err(|source| Fault::NotOnnx(Box::new(source)))?;
        let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty()).ok_or(Fault::Empty)?;
        refuse_foreign_operators(graph)?;
        // Old files list weights as inputs too.
        let weight = |value: &&ValueInfoProto| graph.initializer.iter().any(|tensor| tensor.name == value.name);
        let inputs: Vec<_> = graph.input.iter().filter(|value| !weight(value)).collect();
        let [input] = inputs.as_slice() else { return Err(Fault::Inputs { have: inputs.len() }) };
        let [output] = graph.output.as_slice() else { return Err(Fault::Outputs { have: graph.output.len() }) };
        Ok(Self { width: width_of(input)?, input: name_of(input), output: name_of(output) })
    }
}

fn refuse_foreign_operators(graph: &GraphProto) -> Result<(), Fault> {
    for node in &graph.node {
        let operator = node.op_type.as_deref().unwrap_or_default();
        let domain = node.domain.as_deref().unwrap_or_default();
        if !CORE_DOMAINS.contains(&domain) {
            return Err(Fault::Operator { operator: format!("{domain}.{operator}") });
        }
        if operator != CONSTANT && !OPERATORS.contains(&operator) {
            return Err(Fault::Operator { operator: operator.to_owned() });
        }
    }
    Ok(())
}

/// The declared number of columns; an error when the input is no row of float32.
fn width_of(input: &ValueInfoProto) -> Result<Option<i64>, Fault> {
    let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let element = tensor.and_then(|tensor| tensor.elem_type);
    if element != Some(DataType::FLOAT) {
        let have = element.as_ref().and_then(DataType::name).unwrap_or("undeclared");
        return Err(Fault::InputType { have: have.to_owned() });
    }
    let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_ref()) else { return Ok(None) };
    match shape.dim.as_slice() {
        [batch, columns] if batch.dim_value.is_none_or(|rows| rows == 1) => Ok(columns.dim_value),
        dims => {
            let dims = dims.iter().map(|dim| dim.dim_value.map_or_else(|| "?".to_owned(), |n| n.to_string()));
            Err(Fault::InputShape { have: dims.collect::<Vec<_>>().join(", ") })
        }
    }
}

fn name_of(value: &ValueInfoProto) -> String {
    value.name.clone().unwrap_or_default()
}
